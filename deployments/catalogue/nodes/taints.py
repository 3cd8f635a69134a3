"""*Taint* and *untaint* a node.

Facts: ``spec.taints`` is an atomic list, so it is sent whole, every other taint as it was read (``timeAdded`` too); the
resourceVersion makes that safe. ``NoExecute`` deletes the pods that do not tolerate it at once and asks no disruption
budget: that is what *drain* is for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from deployments.catalogue import texts
from deployments.catalogue.action import (
    MARK,
    Action,
    Blast,
    CannotPlan,
    CheckSpec,
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
from deployments.catalogue.nodes import machines, names
from deployments.catalogue.nodes.machines import NODES, NodeName
from integrations.kubernetes.objects import Node
from monitoring.checks.placement import tolerated
from monitoring.checks.text import clean, count, listing
from monitoring.snapshot import Need, Objects, Raw, Snapshot

_UNDO = "The list of taints as it was is set back."
_SECONDS = 60
_RULES = (Rule("", "nodes", ("get", "patch")),)
_PROTECTED = ("storage=hdd", "metallb=disabled")
_PROTECTED_WORDS = "Taints no node may lose, key=value each: worker04 must keep storage=hdd and metallb=disabled"
Protected = Annotated[tuple[str, ...], msgspec.Meta(max_length=50, description=_PROTECTED_WORDS)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=317, description="Key of the taint")]
RawTaint = dict[str, Any]


class TaintParams(Params, frozen=True):
    """Which node, and the taint."""

    node: NodeName
    key: Key
    value: Annotated[str, msgspec.Meta(max_length=63, description="Value of the taint; may be empty")] = ""
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"], msgspec.Meta(description="What it does to pods")
    ] = "NoSchedule"
    protected: Protected = _PROTECTED

    def __post_init__(self) -> None:
        names.check_key(self.key)
        names.check_value(self.value)
        _check_protected(self.protected)


class UntaintParams(Params, frozen=True):
    """Which node, and which taints of it."""

    node: NodeName
    key: Key
    effect: Annotated[
        Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"],
        msgspec.Meta(description="Only the taint of this effect; empty is all of this key"),
    ] = ""
    protected: Protected = _PROTECTED

    def __post_init__(self) -> None:
        names.check_key(self.key)
        _check_protected(self.protected)


def _check_protected(protected: Iterable[str]) -> None:
    """A typing error would protect nothing, silently. :raises ValueError:"""
    for one in protected:
        key, _, rest = one.partition("=")
        value, _, effect = rest.partition(":")
        try:
            names.check_key(key)
            names.check_value(value)
        except ValueError:
            effect = "?"
        if effect not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
            said = f"protected: {clean(one, 80)!r} is no taint. Write it like storage=hdd"
            raise texts.Refused("protected", said)


def needs(_snapshot: Snapshot, params: TaintParams | UntaintParams) -> Iterable[Need]:
    """The node whole, all nodes (who else takes pods?) and the pods on it."""
    return (Raw(NODES, "", params.node), Objects(NODES), Objects("pods"), *ownership.needs())


def draft_taint(snapshot: Snapshot, params: TaintParams) -> PlanDraft:
    """One patch of the whole list. :raises CannotPlan: no such node. :raises Missing:"""
    node = machines.require(snapshot, params.node)
    before = _taints(snapshot, params.node)
    new: RawTaint = {"key": params.key, "effect": params.effect, **({"value": params.value} if params.value else {})}
    replaced = [t for t in before if t.get("key") == params.key and t.get("effect") == params.effect]
    kept = [t for t in before if t not in replaced]
    there = any(_text(t) == _text(new) for t in replaced)
    preconditions = [
        Precondition(f"{params.node} does not have this taint yet", not there, f"taints: {_texts(before)}"),
        _not_reserved(params.key),
        _spares_pods(snapshot, params),
        _keeps_protected(params.protected, replaced),
    ]
    if params.effect in machines.HARD:
        preconditions.append(machines.keeps_one(snapshot, params.node))
    return _draft(
        snapshot,
        params,
        node,
        (*kept, new),
        preconditions=tuple(preconditions),
        step=_step(params.node, f"Taint {params.node} with {_text(new)}", before, (*kept, new)),
        blast=Blast(
            changed=(f"Node {params.node}",),
            restarted=_thrown_off(snapshot, params),
            sentence=_taint_sentence(snapshot, params),
        ),
    )


def draft_untaint(snapshot: Snapshot, params: UntaintParams) -> PlanDraft:
    """One patch of the whole list. :raises CannotPlan: no such node. :raises Missing:"""
    node = machines.require(snapshot, params.node)
    before = _taints(snapshot, params.node)
    gone = [t for t in before if t.get("key") == params.key and params.effect in ("", t.get("effect"))]
    after = tuple(t for t in before if t not in gone)
    which = params.key + (f":{params.effect}" if params.effect else "")
    return _draft(
        snapshot,
        params,
        node,
        after,
        preconditions=(
            Precondition(f"{params.node} has taint {which}", bool(gone), f"taints: {_texts(before)}"),
            _not_reserved(params.key),
            _keeps_protected(params.protected, gone),
        ),
        step=_step(params.node, f"Remove {_texts(gone) if gone else which} from {params.node}", before, after),
        blast=Blast(
            changed=(f"Node {params.node}",),
            sentence=f"Pods that did not tolerate {_texts(gone) if gone else which} may be scheduled on {params.node} "
            f"from now on; no pod moves because of it. Left: {_texts(after)}.",
        ),
    )


# -- preconditions


def _not_reserved(key: str) -> Precondition:
    """Taints of Kubernetes say what a controller found out; it sets them again or misses them."""
    owner = names.owner_of(key)
    cordon = " Use cordon or uncordon." if key == machines.UNSCHEDULABLE else ""
    evidence = f"{key} is reserved for {owner}.{cordon}" if owner else key
    return Precondition("The key is no one else's", not owner, evidence)


def _keeps_protected(protected: tuple[str, ...], removed: Iterable[RawTaint]) -> Precondition:
    hit = [_text(taint) for taint in removed if any(_is(taint, one) for one in protected)]
    evidence = (
        f"{listing(hit)} is protected by the parameter protected"
        if hit
        else f"protected: {listing(protected, 8) or 'none'}"
    )
    return Precondition("No protected taint is removed", not hit, evidence)


def _is(taint: RawTaint, wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return taint.get("key") == key and (not equals or str(taint.get("value", "")) == value.partition(":")[0])


def _spares_pods(snapshot: Snapshot, params: TaintParams) -> Precondition:
    sentence = "The taint throws no running pod off"
    thrown = _thrown_off(snapshot, params)
    if not thrown:
        word = "all pods there tolerate it" if params.effect == "NoExecute" else f"{params.effect} lets pods run on"
        return Precondition(sentence, True, word)
    evidence = (
        f"NoExecute would delete {count(len(thrown), 'pod')} at once, without asking disruption budgets: "
        f"{listing(thrown)}. Drain the node instead, or use NoSchedule."
    )
    return Precondition(sentence, False, evidence)


def _thrown_off(snapshot: Snapshot, params: TaintParams) -> tuple[str, ...]:
    if params.effect != "NoExecute":
        return ()
    return tuple(
        f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
        for pod in machines.pods_on(snapshot, params.node)
        if pod.metadata.deletion_timestamp is None
        and not tolerated(pod.spec.tolerations, params.key, params.value, params.effect)
    )


# -- the patch


def _taints(snapshot: Snapshot, name: str) -> list[RawTaint]:
    raw = snapshot.raw(NODES, "", name)
    if raw is None:
        raise CannotPlan(f"Node {name} has just gone.")
    return [dict(taint) for taint in (raw.get("spec") or {}).get("taints") or []]


def _step(node: str, title: str, before: Iterable[RawTaint], after: tuple[RawTaint, ...]) -> StepSpec:
    left = [_text(taint) for taint in after]
    body = {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"taints": list(after) or None}}
    absent = [_text(taint) for taint in before if _text(taint) not in left]
    return StepSpec(
        verb="taint",
        title=title,
        how="merge patch",
        resource=NODES,
        namespace="",
        name=node,
        effect=Patch("merge", body),
        until=Condition("node_taints", {"name": node, "present": left, "absent": absent}),
        timeout_seconds=_SECONDS,
    )


def _draft(
    snapshot: Snapshot,
    params: TaintParams | UntaintParams,
    node: Node,
    after: Iterable[RawTaint],
    *,
    preconditions: tuple[Precondition, ...],
    step: StepSpec,
    blast: Blast,
) -> PlanDraft:
    lasting = tuple(_text(taint) for taint in after if not names.owner_of(str(taint.get("key", ""))))
    check = CheckSpec("Taints are set", "node_taints", {"node": params.node, "taints": list(lasting)})
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=preconditions,
        steps=(step,),
        verification=Verification((check,) if lasting else (), 0, _SECONDS),
        undo=_UNDO,
        blast=blast,
        managed_by=ownership.sentence(snapshot, node.metadata),
        locks=ownership.locks(snapshot, node.metadata),
    )


def _taint_sentence(snapshot: Snapshot, params: TaintParams) -> str:
    running = count(len(machines.pods_on(snapshot, params.node)), "pod")
    if params.effect == "PreferNoSchedule":
        return f"The scheduler avoids {params.node} when it can; {running} there keep running."
    if params.effect == "NoSchedule":
        return f"Pods that do not tolerate it are no longer scheduled on {params.node}; {running} there keep running."
    return f"Pods on {params.node} that do not tolerate it are deleted at once; others of {running} stay."


def _text(taint: RawTaint) -> str:
    value = taint.get("value")
    return f"{taint.get('key', '')}{f'={value}' if value else ''}:{taint.get('effect', '')}"


def _texts(taints: Iterable[RawTaint]) -> str:
    return listing(map(_text, taints), 8) or "none"


TAINT = Action(
    slug="taint",
    title="Taint a node",
    family="Nodes",
    tier=1,
    summary="Keep pods that do not tolerate it off a node; pods that run stay.",
    params=TaintParams,
    needs=needs,
    draft=draft_taint,
    rules=_RULES,
    undo=_UNDO,
    undoable=True,
    guards=(
        "The key is neither Kubernetes' nor Argo CD's",
        "No running pod is thrown off (NoExecute is for drain)",
        "No protected taint is replaced",
        "At least one other worker takes ordinary pods",
    ),
    verified_by="The node carries the taint and every other one it had.",
    reference="https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/",
)

UNTAINT = Action(
    slug="untaint",
    title="Remove a taint of a node",
    family="Nodes",
    tier=1,
    summary="Let pods that do not tolerate it be scheduled on a node again.",
    params=UntaintParams,
    needs=needs,
    draft=draft_untaint,
    rules=_RULES,
    undo=_UNDO,
    undoable=True,
    guards=(
        "The node has the taint",
        "The key is neither Kubernetes' nor Argo CD's",
        "No protected taint is removed: worker04 keeps storage=hdd and metallb=disabled",
    ),
    verified_by="The taint is gone and every other one is still there.",
    reference="https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/",
)
