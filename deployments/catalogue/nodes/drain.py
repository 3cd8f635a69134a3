"""*Drain a node*: cordon it, then evict its pods one after the other, asking every disruption budget.

Never forces: an eviction that a budget forbids waits within its time. Mirror pods and pods of DaemonSets stay. What is
lost for good (an ``emptyDir``, a pod that nothing made) goes only when a parameter says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec

from deployments.catalogue.action import (
    Action,
    Blast,
    CheckSpec,
    Condition,
    Evict,
    Params,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import ownership
from deployments.catalogue.nodes import capacity, cordon, evictable, machines
from deployments.catalogue.nodes.evictable import Sorted, title
from deployments.catalogue.nodes.machines import NODES, NodeName
from deployments.catalogue.workloads import ending, pods, targets
from integrations.kubernetes.objects import Node, Pod, Workload
from monitoring.checks.text import count, listing
from monitoring.snapshot import Need, Objects, Snapshot

_UNDO = (
    "The node is uncordoned. Evicted pods stay where they started anew; an emptyDir and a pod that nothing made are "
    "not brought back."
)
_LEFT = (
    "The node stays cordoned, as it was before. Evicted pods stay where they started anew; an emptyDir and a pod that "
    "nothing made are not brought back."
)
_GRACE = 30
_SLACK = 60


class DrainParams(Params, frozen=True):
    """Which node, and what may be lost."""

    node: NodeName
    empty_dirs: Annotated[bool, msgspec.Meta(description="Evict pods with an emptyDir: what is in it is lost")] = False
    ownerless: Annotated[bool, msgspec.Meta(description="Evict pods that nothing made: they do not come back")] = False
    pod_seconds: Annotated[
        int,
        msgspec.Meta(
            ge=10, le=7200, description="How long one eviction may take, waiting for budgets included (seconds)"
        ),
    ] = 300
    hold_seconds: Annotated[
        int, msgspec.Meta(ge=1, le=3600, description="How long workloads must stay ready (seconds)")
    ] = 10
    verify_seconds: Annotated[int, msgspec.Meta(ge=1, le=7200, description="When verifying gives up (seconds)")] = 600


def needs(_snapshot: Snapshot, _params: DrainParams) -> Iterable[Need]:
    """All nodes and pods, what limits and makes the pods, their Services and their volumes."""
    yield from (Objects(resource) for resource in (NODES, "persistentvolumeclaims", "persistentvolumes"))
    yield from pods.blast_needs()
    yield Objects(targets.REPLICA_SETS)
    yield from (Objects(resource) for resource in targets.KINDS.values())
    yield from ownership.needs()


def draft(snapshot: Snapshot, params: DrainParams) -> PlanDraft:
    """Cordon, one eviction per pod, and the wait until none is left. :raises CannotPlan: no such node.

    :raises Missing:
    """
    node = machines.require(snapshot, params.node)
    found = evictable.of_node(snapshot, params.node)
    checks = tuple(_checks(snapshot, found.evicted))
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=tuple(_preconditions(snapshot, params, node, found)),
        steps=(
            # one that is cordoned already is not written, so that an undo leaves it as it was found
            msgspec.structs.replace(
                cordon.cordon_step(params.node), unless=Condition("node_cordoned", {"name": params.node})
            ),
            *(_evict(params, pod) for pod in found.evicted),
            StepSpec(
                verb="wait",
                title=f"Wait until no evictable pod is left on {params.node}",
                how="read",
                resource=NODES,
                namespace="",
                name=params.node,
                until=Condition("node_drained", {"name": params.node}),
                timeout_seconds=params.pod_seconds,
            ),
        ),
        verification=Verification(
            checks,
            params.hold_seconds if checks else 0,
            max(params.verify_seconds, params.hold_seconds + 5),
        ),
        undo=_LEFT if node.spec.unschedulable else _UNDO,
        blast=_blast(snapshot, params, found),
        managed_by=ownership.sentence(snapshot, node.metadata, named_in_git=False),
        locks=ownership.locks(snapshot, node.metadata),
    )


# -- preconditions


def _preconditions(snapshot: Snapshot, params: DrainParams, node: Node, found: Sorted) -> Iterable[Precondition]:
    going = node.metadata.deletion_timestamp is not None
    state = "it is being deleted" if going else "cordoned already" if node.spec.unschedulable else "takes pods now"
    yield Precondition(f"{params.node} is there to be drained", not going, state)
    yield machines.keeps_one(snapshot, params.node)
    yield _accepted(
        "No emptyDir is lost that nobody agreed to lose",
        [pod for pod in found.evicted if evictable.loses_data(pod)],
        params.empty_dirs,
        "empty_dirs",
    )
    yield _accepted(
        "No pod is evicted that nothing brings back",
        [pod for pod in found.evicted if evictable.ownerless(pod)],
        params.ownerless,
        "ownerless",
    )
    yield _budgets(snapshot, found.evicted)
    yield _one_budget_each(snapshot, found.evicted)
    yield from _room(snapshot, params, found.evicted)


def _accepted(sentence: str, touched: Sequence[Pod], accepted: bool, name: str) -> Precondition:
    if not touched:
        return Precondition(sentence, True, "no pod of the node is concerned")
    named = f"{count(len(touched), 'pod')}: {listing(map(title, touched), 6)}"
    evidence = f"accepted for {named}" if accepted else f"{named}. Set {name} to accept it."
    return Precondition(sentence, accepted, evidence)


def _budgets(snapshot: Snapshot, evicted: Sequence[Pod]) -> Precondition:
    sentence = "Every disruption budget allows an eviction now"
    blocked = evictable.blocking(snapshot, evicted)
    if not blocked:
        lines = pods.budgets(snapshot, evicted)
        return Precondition(sentence, True, listing(lines, 6) or "no budget covers a pod of the node")
    named = listing(
        (
            f"{budget.metadata.namespace}/{budget.metadata.name} allows none "
            f"({budget.status.current_healthy} healthy, needs {budget.status.desired_healthy}) and holds "
            f"{listing(pod.metadata.name for pod in held)}"
            for budget, held in blocked
        ),
        6,
    )
    return Precondition(sentence, False, f"{named}. Scale up first, or wait until its other pods are ready.")


def _one_budget_each(snapshot: Snapshot, evicted: Iterable[Pod]) -> Precondition:
    """Kubernetes answers such an eviction with an error for ever."""
    sentence = "No pod is covered by two disruption budgets"
    twice = [pod for pod in evicted if len(pods.budgets_over(snapshot, pod)) > 1]
    evidence = f"{listing(map(title, twice), 6)}: the API server evicts no such pod" if twice else "none is"
    return Precondition(sentence, not twice, evidence)


def _room(snapshot: Snapshot, params: DrainParams, evicted: Iterable[Pod]) -> Iterable[Precondition]:
    preview = capacity.preview(snapshot, params.node, [pod for pod in evicted if evictable.comes_back(pod)])
    yield Precondition(
        "The other nodes have room for these pods",
        not preview.homeless,
        listing(preview.homeless) or preview.sentence,
    )
    yield Precondition(
        "Their volumes can be mounted on another node",
        not preview.bound,
        f"{listing(preview.bound)} has a volume that is only on this node" if preview.bound else "all of them",
    )


# -- steps


def _evict(params: DrainParams, pod: Pod) -> StepSpec:
    meta = pod.metadata
    grace = pod.spec.termination_grace_period_seconds
    return StepSpec(
        verb="evict",
        title=f"Evict {title(pod)}",
        how="eviction",
        resource="pods",
        namespace=meta.namespace,
        name=meta.name,
        effect=Evict(),
        # a drain takes minutes, and pods come and go meanwhile: what has left by itself stops nothing
        unless=ending.leaving(pod),
        until=ending.gone(pod),
        timeout_seconds=max(params.pod_seconds, (_GRACE if grace is None else grace) + _SLACK),
    )


def _checks(snapshot: Snapshot, evicted: Iterable[Pod]) -> Iterable[CheckSpec]:
    """The workloads that were whole before: they must be so again elsewhere."""
    owners: dict[tuple[str, str, str], None] = {}
    for pod in evicted:
        found = _workload(snapshot, pod)
        if found is not None and evictable.comes_back(pod):
            kind, item = found
            if targets.ready(kind, item) >= targets.wanted(kind, item) > 0:
                owners[(item.metadata.namespace, kind, item.metadata.name)] = None
    for namespace, kind, name in sorted(owners):
        yield CheckSpec(
            f"{kind} {name} is ready", "workload_ready", {"namespace": namespace, "name": name, "kind": kind}
        )


def _workload(snapshot: Snapshot, pod: Pod) -> tuple[str, Workload] | None:
    """The Deployment or StatefulSet above a pod."""
    owner = targets.controller(pod.metadata)
    if owner is not None and owner.kind == "ReplicaSet":
        middle: Workload | None = snapshot.get(targets.REPLICA_SETS, pod.metadata.namespace, owner.name)
        owner = targets.controller(middle.metadata) if middle is not None else None
    if owner is None or owner.kind not in targets.KINDS:
        return None
    item: Workload | None = snapshot.get(targets.KINDS[owner.kind], pod.metadata.namespace, owner.name)
    return (owner.kind, item) if item is not None else None


# -- words


def _blast(snapshot: Snapshot, params: DrainParams, found: Sorted) -> Blast:
    back = [pod for pod in found.evicted if evictable.comes_back(pod)]
    lost = [pod for pod in found.evicted if pod not in back]
    watching = [pod for pod in found.evicted if evictable.is_monitoring(pod)]
    parts = [
        f"{count(len(back), 'pod')} {'starts' if len(back) == 1 else 'start'} anew on other nodes, one eviction at a "
        f"time; {count(len(found.stay), 'static or DaemonSet pod')} {'stays' if len(found.stay) == 1 else 'stay'}."
    ]
    if found.ending:
        parts.append(f"Ending already: {listing(map(title, found.ending))}.")
    if watching:
        parts.append(
            f"The node's own monitoring moves last: {listing(map(title, watching), 8)}. What the portal reads of it is "
            "stale meanwhile, and no alert comes from it."
        )
    return Blast(
        changed=(f"Node {params.node}",),
        unchanged=tuple(f"Pod {title(pod)}" for pod in found.stay),
        deleted=tuple(f"Pod {title(pod)}" for pod in lost),
        restarted=tuple(f"Pod {title(pod)}" for pod in back),
        budgets=pods.budgets(snapshot, found.evicted),
        claims=pods.claims(found.evicted),
        endpoints=pods.endpoints_lost(snapshot, found.evicted),
        sentence=" ".join(parts),
    )


ACTION = Action(
    slug="drain",
    title="Drain a node",
    family="Nodes",
    tier=2,
    summary="Cordon a node and evict its pods one after the other, so that work can be done on it.",
    params=DrainParams,
    needs=needs,
    draft=draft,
    rules=(*cordon.RULES, Rule("", "pods", ("get",)), Rule("", "pods/eviction", ("create",))),
    undo=_UNDO,
    undoable=True,
    guards=(
        "At least one other worker takes ordinary pods",
        "No emptyDir is lost and no ownerless pod is evicted unless accepted",
        "Every disruption budget allows an eviction now, and none shares a pod with another",
        "The other nodes have the requests free, and volumes can follow",
    ),
    verified_by="No evictable pod is left; the workloads that were ready before are ready again.",
    reference="https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/",
)
