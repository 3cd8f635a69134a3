"""Rollouts of Deployments: when one is done, when the cluster gave up, and what pods say meanwhile.

A Deployment's status means nothing before ``observedGeneration`` has reached ``generation``; "restarted" is not "rolled
out".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.objects import ContainerStatus, Event, Pod, Workload
from monitoring.snapshot import Logs, Missing, Need, Objects, Snapshot

DEPLOYMENTS = "deployments.apps"
_LOG_LINES = 5
_EVENT_LINES = 10


def needs(snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """The Deployment, its pods, events, and the log of each container that is not ready."""
    namespace = args["namespace"]
    found: list[Need] = [Objects(DEPLOYMENTS, namespace)]
    if args.get("selector"):
        found += [Objects("pods", namespace, args["selector"]), Objects("events", namespace)]
        for pod in _pods(snapshot, args):
            found += [Logs(namespace, pod.metadata.name, s.name, tail=_LOG_LINES) for s in _starting(pod)]
    return found


def rolled_out(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """All wanted replicas are updated, ready and available, and no old one is left."""
    deployment = _deployment(snapshot, args)
    lines, remembered = _narrate(snapshot, args, memory)
    if deployment is None:
        return Seen(Outlook.NOT_YET, f"Waiting for Deployment {args['name']} to be there.", lines, remembered)
    if deployment.metadata.deletion_timestamp is not None:
        return Seen(Outlook.FAILED, f"Deployment {args['name']} is being deleted.", lines, remembered)
    wanted = 1 if deployment.spec.replicas is None else deployment.spec.replicas
    status = deployment.status
    if status.observed_generation < deployment.metadata.generation:
        return Seen(Outlook.NOT_YET, "Waiting for the controller to see the new template.", lines, remembered)
    for condition in status.conditions:
        if condition.type == "Progressing" and condition.reason == "ProgressDeadlineExceeded":
            return Seen(Outlook.FAILED, f"The rollout passed its deadline: {condition.message}", lines, remembered)
    counts = (status.updated_replicas, status.ready_replicas, status.available_replicas)
    if min(counts) >= wanted and status.replicas <= wanted:
        done = Line(f"Deployment {args['name']}: {status.available_replicas} of {wanted} available", "good")
        return Seen(Outlook.MET, f"{status.available_replicas} of {wanted} replicas are available.", (*lines, done))
    said = f"{status.ready_replicas} of {wanted} replicas are ready, {status.updated_replicas} updated."
    return Seen(Outlook.NOT_YET, said, lines, remembered)


def not_paused(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The Deployment is there and its rollout is not paused."""
    deployment = _deployment(snapshot, args)
    if deployment is None:
        return Seen(Outlook.REFUSED, f"Deployment {args['name']} is not there any more.")
    if deployment.spec.paused:
        return Seen(Outlook.REFUSED, f"The rollout of {args['name']} is paused; resume it first.")
    return Seen(Outlook.MET, f"The rollout of {args['name']} is not paused.")


def _deployment(snapshot: Snapshot, args: Mapping[str, Any]) -> Workload | None:
    found = snapshot.get(DEPLOYMENTS, args["namespace"], args["name"])
    return found if isinstance(found, Workload) else None


def _pods(snapshot: Snapshot, args: Mapping[str, Any]) -> list[Pod]:
    """Pods, or none while they were not read: they only tell the story, they decide nothing."""
    try:
        return snapshot.objects("pods", args["namespace"], args.get("selector", ""))
    except Missing:
        return []


def _starting(pod: Pod) -> list[ContainerStatus]:
    """Containers that started and are not ready: they have a log worth reading."""
    statuses = [*pod.status.init_container_statuses, *pod.status.container_statuses]
    return [s for s in statuses if not s.ready and (s.state.running is not None or s.state.terminated is not None)][:3]


def _narrate(
    snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]
) -> tuple[tuple[Line, ...], dict[str, Any]]:
    """What changed since the last look: pods, their events, their logs."""
    if not args.get("selector"):
        return (), dict(memory)
    told: dict[str, str] = dict(memory.get("pods", {}))
    lines: list[Line] = []
    pods = _pods(snapshot, args)
    for pod in pods:
        state, level = _pod_state(pod)
        if told.get(pod.metadata.name) != state:
            lines.append(Line(f"pod {pod.metadata.name}: {state}", level))
            told[pod.metadata.name] = state
    events, seen = _events(snapshot, args, {pod.metadata.name for pod in pods}, memory)
    logs, heads = _logs(snapshot, args, pods, memory)
    return (*lines, *events, *logs), {**memory, "pods": told, "events": seen, "logs": heads}


def _pod_state(pod: Pod) -> tuple[str, str]:
    statuses = pod.status.container_statuses
    for status in (*pod.status.init_container_statuses, *statuses):
        waiting = status.state.waiting
        if waiting is not None and waiting.reason not in ("", "ContainerCreating", "PodInitializing"):
            return f"{status.name} {waiting.reason}: {waiting.message}".rstrip(": "), "warn"
    ready = sum(1 for s in statuses if s.ready)
    where = f" on {pod.spec.node_name}" if pod.spec.node_name else ", not scheduled"
    restarts = sum(s.restart_count for s in statuses)
    word = "ready" if statuses and ready == len(statuses) else pod.status.phase or "Pending"
    counted = f", {ready} of {len(statuses)} containers ready" if statuses and ready < len(statuses) else ""
    again = f", {restarts} restart{'s' if restarts != 1 else ''}" if restarts else ""
    return f"{word}{where}{counted}{again}", "good" if word == "ready" else "info"


def _events(
    snapshot: Snapshot, args: Mapping[str, Any], pods: set[str], memory: Mapping[str, Any]
) -> tuple[list[Line], list[str] | None]:
    """New events and the keys of all; no keys while events were never read."""
    try:
        found: list[Event] = snapshot.objects("events", args["namespace"])
    except Missing:
        return [], memory.get("events")
    mine = [e for e in found if e.involved_object.name in pods or e.involved_object.name == args["name"]]
    keys = [f"{e.metadata.uid}:{e.count or 1}" for e in mine]
    if memory.get("events") is None:  # the first look: what happened before is not this run's story
        return [], keys
    known = set(memory["events"])
    fresh = sorted(
        ((e, key) for e, key in zip(mine, keys, strict=True) if key not in known), key=lambda pair: _at(pair[0])
    )
    lines = [
        Line(f"event {e.reason} {e.involved_object.name}: {e.message}", "warn" if e.type == "Warning" else "info")
        for e, _ in fresh[:_EVENT_LINES]
    ]
    return lines, keys


def _at(event: Event) -> str:
    when: datetime | None = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
    return when.isoformat() if when else ""


def _logs(
    snapshot: Snapshot, args: Mapping[str, Any], pods: Iterable[Pod], memory: Mapping[str, Any]
) -> tuple[list[Line], dict[str, str]]:
    heads: dict[str, str] = dict(memory.get("logs", {}))
    lines: list[Line] = []
    for pod in pods:
        for status in _starting(pod):
            reply = snapshot.replies.get(Logs(args["namespace"], pod.metadata.name, status.name, tail=_LOG_LINES))
            text = [str(line) for line in (reply.body or [])] if reply is not None and reply.status else []
            key = f"{pod.metadata.name}/{status.name}"
            last = heads.get(key)
            new = text[text.index(last) + 1 :] if last in text else text
            lines += [Line(f"{status.name}: {line}", "cluster") for line in new]
            if text:
                heads[key] = text[-1]
    return lines, heads
