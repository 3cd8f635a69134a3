"""*Cordon* and *uncordon* a node: whether new pods may be scheduled there. Pods that run stay where they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from deployments.catalogue.action import (
    MARK,
    Action,
    Blast,
    Condition,
    Params,
    Patch,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import ownership
from deployments.catalogue.nodes import machines
from deployments.catalogue.nodes.machines import NODES, NodeName
from integrations.kubernetes.objects import Node
from monitoring.checks.nodes import is_ready, taint_text
from monitoring.checks.text import count, listing
from monitoring.snapshot import Need, Objects, Snapshot

_CORDON_UNDO = "Uncordon it: the same field is set back."
_UNCORDON_UNDO = "Cordon it again: the same field is set back. Pods scheduled there meanwhile stay."
_SECONDS = 60
RULES = (Rule("", "nodes", ("get", "patch")),)


class CordonParams(Params, frozen=True):
    """Which node."""

    node: NodeName


def needs(_snapshot: Snapshot, _params: CordonParams) -> Iterable[Need]:
    """All nodes (who else takes pods?) and all pods (what stays there?)."""
    return (Objects(NODES), Objects("pods"), *ownership.needs())


def cordon_step(node: str, title: str = "") -> StepSpec:
    """The step that cordons a node; *drain* begins with it too."""
    return StepSpec(
        verb="cordon",
        title=title or f"Cordon {node}",
        how="strategic merge patch",
        resource=NODES,
        namespace="",
        name=node,
        effect=_patch(True),
        until=Condition("node_unschedulable", {"name": node}),
        timeout_seconds=_SECONDS,
    )


def draft_cordon(snapshot: Snapshot, params: CordonParams) -> PlanDraft:
    """One patch. :raises CannotPlan: no such node. :raises Missing:"""
    node = machines.require(snapshot, params.node)
    running = machines.pods_on(snapshot, params.node)
    taken = not node.spec.unschedulable
    return _draft(
        snapshot,
        params,
        node,
        preconditions=(
            Precondition(f"{params.node} is not cordoned yet", taken, f"spec.unschedulable: {str(not taken).lower()}"),
            machines.keeps_one(snapshot, params.node),
        ),
        step=cordon_step(params.node),
        undo=_CORDON_UNDO,
        sentence=f"{count(len(running), 'pod')} on {params.node} keep running; no new pod is scheduled there.",
    )


def draft_uncordon(snapshot: Snapshot, params: CordonParams) -> PlanDraft:
    """One patch. :raises CannotPlan: no such node. :raises Missing:"""
    node = machines.require(snapshot, params.node)
    step = StepSpec(
        verb="uncordon",
        title=f"Uncordon {params.node}",
        how="strategic merge patch",
        resource=NODES,
        namespace="",
        name=params.node,
        effect=_patch(None),
        guards=(Condition("node_cordoned", {"name": params.node}),),
        until=Condition("node_schedulable", {"name": params.node}),
        timeout_seconds=_SECONDS,
    )
    hard = [t for t in node.spec.taints if t.effect in machines.HARD and t.key != machines.UNSCHEDULABLE]
    for_whom = f" Pods that do not tolerate {listing(map(taint_text, hard))} still stay off it." if hard else ""
    return _draft(
        snapshot,
        params,
        node,
        preconditions=(
            Precondition(
                f"{params.node} is cordoned",
                node.spec.unschedulable,
                f"spec.unschedulable: {str(node.spec.unschedulable).lower()}",
            ),
            Precondition(
                f"{params.node} is ready, so that it can run what it is given",
                is_ready(node),
                "its kubelet reports Ready"
                if is_ready(node)
                else "its kubelet does not report Ready: look at it first",
            ),
        ),
        step=step,
        undo=_UNCORDON_UNDO,
        sentence=f"The scheduler may put new pods on {params.node}; no pod moves because of it.{for_whom}",
    )


def _patch(value: bool | None) -> Patch:
    return Patch("strategic", {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"unschedulable": value}})


def _draft(
    snapshot: Snapshot, params: CordonParams, node: Node, *, step: StepSpec, sentence: str, undo: str, **more: Any
) -> PlanDraft:
    return PlanDraft(
        params=msgspec.to_builtins(params),
        steps=(step,),
        verification=Verification((), 0, _SECONDS),
        undo=undo,
        blast=Blast(changed=(f"Node {params.node}",), sentence=sentence),
        managed_by=ownership.sentence(snapshot, node.metadata, named_in_git=False),
        locks=ownership.locks(snapshot, node.metadata),
        **more,
    )


CORDON = Action(
    slug="cordon",
    title="Cordon a node",
    family="Nodes",
    tier=1,
    summary="Schedule no new pod on a node; what runs there keeps running.",
    params=CordonParams,
    needs=needs,
    draft=draft_cordon,
    rules=RULES,
    undo=_CORDON_UNDO,
    undoable=True,
    guards=("It is not cordoned yet", "At least one other worker takes ordinary pods"),
    verified_by="The node is unschedulable and carries the taint node.kubernetes.io/unschedulable.",
    reference="https://kubernetes.io/docs/concepts/architecture/nodes/#manual-node-administration",
)

UNCORDON = Action(
    slug="uncordon",
    title="Uncordon a node",
    family="Nodes",
    tier=1,
    summary="Let the scheduler use a node again.",
    params=CordonParams,
    needs=needs,
    draft=draft_uncordon,
    rules=RULES,
    undo=_UNCORDON_UNDO,
    undoable=True,
    guards=("It is cordoned", "It is ready"),
    verified_by="The node is schedulable and the taint node.kubernetes.io/unschedulable is gone.",
    reference="https://kubernetes.io/docs/concepts/architecture/nodes/#manual-node-administration",
)
