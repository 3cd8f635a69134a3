"""*Force delete a pod* whose node does not answer: the API server forgets it without knowing that it ended (K6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from deployments.catalogue.action import Action, Blast, Condition, Delete, PlanDraft, Precondition, Rule, StepSpec
from deployments.catalogue.seen import Line, Outlook, Seen
from deployments.catalogue.workloads import ending, pods, targets
from deployments.catalogue.workloads.asked import PodParams
from integrations.kubernetes.objects import Node, Pod
from monitoring.checks.pods import condition
from monitoring.checks.text import clean, since
from monitoring.snapshot import Need, Objects, Snapshot

_UNDO = "Irreversible: nobody can tell whether the containers ended. Switch the node off if it may still run them."
_TWO_WRITERS = (
    "This pod is of StatefulSet {name}: if its containers still run, the next pod of the same name writes the same "
    "data beside them (a Prometheus TSDB, a database). Make sure that the node is off."
)


class ForceDeletePodParams(PodParams, frozen=True):
    """Which pod."""


def needs(_snapshot: Snapshot, params: ForceDeletePodParams) -> Iterable[Need]:
    """The pod, its node, those beside it, and what its end touches."""
    yield from ending.needs(params.namespace)
    yield Objects("nodes")


def draft(snapshot: Snapshot, params: ForceDeletePodParams) -> PlanDraft:
    """One deletion with no grace, after the node was looked at again. :raises CannotPlan: no such pod."""
    pod = ending.find(snapshot, params.namespace, params.name)
    where = {"namespace": params.namespace, "name": params.name, "uid": pod.metadata.uid}
    lost = Condition("pod_lost", {**where, "node": pod.spec.node_name})
    owner = targets.controller(pod.metadata)
    warning = _TWO_WRITERS.format(name=owner.name) if owner is not None and owner.kind == "StatefulSet" else ""
    blast = ending.blast(snapshot, pod, *([warning] if warning else []))
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            _lost(snapshot, pod),
            ending.not_static(pod),
            ending.nothing_holds(pod),
        ),
        steps=(
            StepSpec(
                verb="look",
                title=f"Look again: stop if the node of {params.name} answers and it may still end by itself",
                how="read",
                resource="pods",
                namespace=params.namespace,
                name=params.name,
                until=lost,
                timeout_seconds=60,
            ),
            StepSpec(
                verb="delete",
                title=f"Delete pod {params.name} by force",
                how="delete by uid, no grace",
                resource="pods",
                namespace=params.namespace,
                name=params.name,
                effect=Delete(grace_seconds=0),
                unless=ending.gone(pod),
                until=ending.gone(pod),
                timeout_seconds=params.wait_seconds,
                irreversible=True,
            ),
        ),
        verification=ending.VERIFICATION,
        undo=_UNDO,
        blast=_with_node(blast, pod),
        confirm=params.name,
    )


def _with_node(blast: Blast, pod: Pod) -> Blast:
    node = pod.spec.node_name
    said = f"The API server forgets the pod; its containers may run on at {node}." if node else "It runs nowhere."
    return msgspec.structs.replace(blast, sentence=f"{said} {blast.sentence}")


def _lost(snapshot: Snapshot, pod: Pod) -> Precondition:
    sentence = "Its node does not answer, or it should have been gone for five minutes"
    met, said = _judged(
        snapshot, pod.metadata.deletion_timestamp, pods.overdue(pod, snapshot.taken_at), pod.spec.node_name
    )
    return Precondition(sentence, met, said)


def _judged(snapshot: Snapshot, until: datetime | None, late: bool, node_name: str) -> tuple[bool, str]:
    """Whether the pod may be deleted by force, and why. :raises Missing: nodes were not read."""
    if late and until is not None:
        return True, f"its grace period ended{since(until, snapshot.taken_at)}"
    waiting = f"; its grace period ends {until:%T}" if until is not None else "; nobody has deleted it yet"
    if not node_name:
        return False, f"no node has it{waiting}, an ordinary deletion is enough"
    node: Node | None = snapshot.get("nodes", "", node_name)
    if node is None:
        return True, f"node {node_name} is not there any more"
    ready = condition(node.status.conditions, "Ready")
    if ready is None or ready.status != "True":
        at = ready.last_transition_time if ready else None
        word = clean(ready.reason, 80) if ready and ready.reason else "no word from it"
        return True, f"node {node_name} is not Ready{since(at, snapshot.taken_at)} ({word})"
    return False, f"node {node_name} is Ready{waiting}"


def look_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """The pod and the nodes."""
    yield Objects("pods", args["namespace"])
    yield Objects("nodes")


def lost(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The condition ``pod_lost``: the pod is still the planned one and may still be deleted by force."""
    pod: Pod | None = snapshot.get("pods", args["namespace"], args["name"])
    if pod is None or pod.metadata.uid != args["uid"]:
        return Seen(Outlook.MET, f"Pod {args['name']} is gone by itself: nothing to force.")
    late = pods.overdue(pod, snapshot.taken_at)
    met, said = _judged(snapshot, pod.metadata.deletion_timestamp, late, pod.spec.node_name)
    if met:
        return Seen(Outlook.MET, f"Pod {args['name']}: {said}.", (Line(f"pod {args['name']}: {said}"),))
    return Seen(Outlook.REFUSED, f"Pod {args['name']} must not be forced: {said}.")


ACTION = Action(
    slug="force-delete-pod",
    title="Force delete a pod",
    family="Pods",
    tier=3,
    summary="Remove a pod from the API although nobody knows whether its containers ended: for a node that is lost.",
    params=ForceDeletePodParams,
    needs=needs,
    draft=draft,
    rules=(Rule("", "pods", ("get", "delete")),),
    undo=_UNDO,
    guards=(
        "its node is not Ready or gone, or the pod should have been gone for five minutes; looked at again just before",
        "it is not a static pod and no finalizer holds it",
        "for a pod of a StatefulSet the plan warns of two writers",
        "the pod's name is typed to confirm",
    ),
    verified_by="The API server does not know a pod of this uid any more.",
    reference="https://kubernetes.io/docs/tasks/run-application/force-delete-stateful-set-pod/",
)
