"""Rollouts: when one is done and when the cluster gave up.

A workload's status means nothing before ``observedGeneration`` has reached ``generation``; "restarted" is not "rolled
out". The rules are those of ``kubectl rollout status`` (kubectl's ``pkg/polymorphichelpers/rollout_status.go``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from deployments.catalogue.seen import Line, Outlook, Seen
from deployments.catalogue.workloads import narration, targets
from deployments.catalogue.workloads.targets import DEPLOYMENTS, KINDS, wanted
from integrations.kubernetes.objects import Workload
from monitoring.checks.text import count, phrase
from monitoring.snapshot import Need, Objects, Snapshot


def needs(snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """The workload (``kind``: a Deployment if none is given), its pods, events, and the logs of what starts."""
    yield Objects(KINDS[args.get("kind", "Deployment")], args["namespace"])
    yield from narration.needs(snapshot, args)


def rolled_out(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """All wanted replicas are updated, ready and available, and no old one is left (``kind`` as in :func:`needs`)."""
    kind, name = args.get("kind", "Deployment"), args["name"]
    item = _workload(snapshot, args)
    lines, remembered = narration.tell(snapshot, args, memory)
    if item is None:
        return Seen(Outlook.NOT_YET, f"Waiting for {kind} {name} to be there.", lines, remembered)
    if item.metadata.deletion_timestamp is not None:
        return Seen(Outlook.FAILED, f"{kind} {name} is being deleted.", lines, remembered)
    if item.status.observed_generation < item.metadata.generation:
        return Seen(Outlook.NOT_YET, "Waiting for the controller to see the new template.", lines, remembered)
    late = _deadline_passed(item, memory)
    if late:
        said = f"The rollout passed its deadline: {phrase(late)}.{narration.held_up(snapshot, args)}"
        return Seen(Outlook.FAILED, said, lines, remembered)
    done, ready, updated = _counts(kind, item)
    enough = wanted(kind, item)
    if done:
        line = Line(f"{kind} {name}: {ready} of {enough} available", "good")
        return Seen(Outlook.MET, f"{ready} of {enough} replicas are available.", (*lines, line))
    said = f"{ready} of {enough} replicas are ready, {updated} updated.{narration.held_up(snapshot, args)}"
    return Seen(Outlook.NOT_YET, said, lines, remembered)


def _deadline_passed(item: Workload, memory: Mapping[str, Any]) -> str:
    """What the controller says of a missed deadline, or nothing.

    A rollout that replaces one which had missed its own (a rollback, mostly) shows the old one's condition until its
    first pod makes progress: what was so before the effect is not this rollout's failure.
    """
    since = datetime.fromisoformat(memory["effect_at"]).replace(microsecond=0) if memory.get("effect_at") else None
    for condition in item.status.conditions:
        if condition.type == "Progressing" and condition.reason == "ProgressDeadlineExceeded":
            at = condition.last_transition_time
            if since is None or at is None or at >= since:
                return condition.message or condition.reason
    return ""


def _counts(kind: str, item: Workload) -> tuple[bool, int, int]:
    """Whether the rollout is done, and how many pods are available and updated."""
    status, enough = item.status, wanted(kind, item)
    if kind == "DaemonSet":
        updated, available = status.updated_number_scheduled, status.number_available
        return min(updated, available) >= enough, available, updated
    if kind == "StatefulSet":
        rolling = item.spec.update_strategy.rolling_update
        kept = (rolling.partition or 0) if rolling is not None else 0
        # with a partition the lower ordinals keep their template: then the two revisions stay apart for good
        updated = status.updated_replicas >= max(0, enough - kept) and (
            kept > 0 or status.update_revision == status.current_revision
        )
        return status.ready_replicas >= enough and updated, status.ready_replicas, status.updated_replicas
    least = min(status.updated_replicas, status.ready_replicas, status.available_replicas)
    return least >= enough and status.replicas <= enough, status.available_replicas, status.updated_replicas


def observed(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The controller has seen the last change of the workload's spec. Says nothing about its pods."""
    kind, name = args["kind"], args["name"]
    item = _workload(snapshot, args)
    if item is None:
        return Seen(Outlook.FAILED, f"{kind} {name} is not there any more.")
    if item.status.observed_generation < item.metadata.generation:
        return Seen(Outlook.NOT_YET, f"Waiting for the controller to see the change of {kind} {name}.")
    return Seen(Outlook.MET, f"The controller has seen the change of {kind} {name}.")


def scaled_needs(snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """As :func:`needs`, and what ties the pods to the workload."""
    yield from targets.needs(args["kind"], args["namespace"])
    yield from narration.needs(snapshot, args)


def scaled(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """The workload has exactly ``replicas`` replicas, all ready; with none, its last pod is gone too."""
    kind, name, enough = args["kind"], args["name"], args["replicas"]
    item = _workload(snapshot, args)
    lines, remembered = narration.tell(snapshot, args, memory)
    if item is None:
        return Seen(Outlook.FAILED, f"{kind} {name} is not there any more.", lines, remembered)
    if wanted(kind, item) != enough:
        said = f"Somebody else set it to {wanted(kind, item)} replicas meanwhile."
        return Seen(Outlook.FAILED, said, lines, remembered)
    status = item.status
    if status.observed_generation < item.metadata.generation:
        return Seen(Outlook.NOT_YET, "Waiting for the controller to see the new number.", lines, remembered)
    left = len(targets.pods_of(snapshot, kind, item)) if enough == 0 else 0
    if status.replicas == enough and status.ready_replicas >= enough and left == 0:
        line = Line(f"{kind} {name}: {status.ready_replicas} of {enough} ready", "good")
        return Seen(Outlook.MET, f"{name} has {count(enough, 'replica')}.", (*lines, line), remembered)
    ending = f", {count(left, 'pod')} still ending" if left else ""
    said = f"{status.replicas} replicas there, {status.ready_replicas} of {enough} ready{ending}."
    said += narration.held_up(snapshot, args) if enough else ""
    return Seen(Outlook.NOT_YET, said, lines, remembered)


def not_paused(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The Deployment is there and its rollout is not paused."""
    item: Workload | None = snapshot.get(DEPLOYMENTS, args["namespace"], args["name"])
    if item is None:
        return Seen(Outlook.REFUSED, f"Deployment {args['name']} is not there any more.")
    if item.spec.paused:
        return Seen(Outlook.REFUSED, f"The rollout of {args['name']} is paused; resume it first.")
    return Seen(Outlook.MET, f"The rollout of {args['name']} is not paused.")


def is_paused(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The controller has seen that the Deployment is paused (``paused`` true) or resumed (false)."""
    item: Workload | None = snapshot.get(DEPLOYMENTS, args["namespace"], args["name"])
    word = "paused" if args["paused"] else "resumed"
    if item is None:
        return Seen(Outlook.FAILED, f"Deployment {args['name']} is not there any more.")
    if item.spec.paused is not args["paused"]:
        return Seen(Outlook.FAILED, f"Somebody changed it meanwhile: {args['name']} is not {word}.")
    if item.status.observed_generation < item.metadata.generation:
        return Seen(Outlook.NOT_YET, f"Waiting for the controller to see that {args['name']} is {word}.")
    line = Line(f"Deployment {args['name']}: rollout {word}", "good")
    return Seen(Outlook.MET, f"The rollout of {args['name']} is {word}.", (line,))


def _workload(snapshot: Snapshot, args: Mapping[str, Any]) -> Workload | None:
    found = snapshot.get(KINDS[args.get("kind", "Deployment")], args["namespace"], args["name"])
    return found if isinstance(found, Workload) else None
