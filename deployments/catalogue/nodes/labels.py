"""*Set a label* and *remove a label* of any object the portal knows.

A label is how others find an object, so a plan says which Services find a pod or stop finding it, and never takes a pod
away from what made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from deployments.catalogue import texts
from deployments.catalogue.action import (
    MARK,
    Action,
    Blast,
    CannotPlan,
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
from deployments.catalogue.nodes import fields, names
from deployments.catalogue.nodes.machines import NAME
from integrations.kubernetes.kinds import RESOURCES, Resource
from integrations.kubernetes.objects import Service, Workload
from integrations.kubernetes.parts import Meta
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Need, Objects, Raw, Snapshot

_UNDO = "The label as it was is set back."
_SECONDS = 60
#: Secrets are not read by the portal; Events are nobody's; rights are not found by labels that a portal may set
_NEVER = ("secrets", "events", "roles", "rolebindings", "clusterroles", "clusterrolebindings")
#: as ``kubectl`` takes them: the plural, ``plural.group`` or the kind
_BY_NAME: dict[str, Resource] = {
    name.lower(): known
    for known in RESOURCES.values()
    if known.plural not in _NEVER
    for name in (known.key, known.plural, known.kind)
}
KINDS = tuple(sorted({known.kind for known in _BY_NAME.values()}))
_SETS = "replicasets.apps"

Kind = Annotated[
    str, msgspec.Meta(min_length=1, max_length=100, description="Kind of the object, like Node, Pod or Deployment")
]
Name = Annotated[str, msgspec.Meta(pattern=NAME, description="Name of the object")]
Namespace = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$", description="Namespace; empty: none, as for nodes"
    ),
]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=317, description="Key of the label")]


class _Target(Params, frozen=True):
    kind: Kind
    name: Name
    key: Key
    namespace: Namespace = ""

    def __post_init__(self) -> None:
        known = _BY_NAME.get(self.kind.lower())
        if known is None:
            raise texts.Refused("kind", f"kind {self.kind!r} is not known here. Known are: {', '.join(KINDS)}")
        if known.namespaced and not self.namespace:
            raise texts.Refused("namespace", f"{known.kind} lives in a namespace: name it")
        if not known.namespaced and self.namespace:
            raise texts.Refused("namespace", f"{known.kind} lives in no namespace: leave it empty")
        names.check_key(self.key)

    @property
    def resource(self) -> Resource:
        return _BY_NAME[self.kind.lower()]


class SetLabelParams(_Target, frozen=True):
    """Which object, and the label."""

    value: Annotated[str, msgspec.Meta(max_length=63, description="Value of the label; may be empty")] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        names.check_value(self.value)


class RemoveLabelParams(_Target, frozen=True):
    """Which object, and which label of it."""


@dataclass(frozen=True, slots=True)
class _Change:
    """The object as it is, and the label as it will be (None: gone)."""

    raw: Mapping[str, Any]
    meta: Meta
    params: _Target
    value: str | None

    @property
    def before(self) -> str | None:
        return self.meta.labels.get(self.params.key)

    @property
    def labels(self) -> dict[str, str]:
        kept = {key: value for key, value in self.meta.labels.items() if key != self.params.key}
        return kept if self.value is None else {**kept, self.params.key: self.value}


def needs(_snapshot: Snapshot, params: _Target) -> Iterable[Need]:
    """The object whole; of a pod also what finds it by its labels."""
    yield Raw(params.resource.key, params.namespace, params.name)
    yield from ownership.needs()
    if params.resource.key == "pods":
        yield Objects("services", params.namespace)
        yield Objects(_SETS, params.namespace)
        for resource in ("statefulsets.apps", "daemonsets.apps"):
            yield Objects(resource, params.namespace)


def draft_set(snapshot: Snapshot, params: SetLabelParams) -> PlanDraft:
    """One patch. :raises CannotPlan: no such object. :raises Missing:"""
    change = _change(snapshot, params, params.value)
    new = change.before != params.value
    had = "it has no such label" if change.before is None else f"{params.key}={clean(change.before, 63)}"
    first = Precondition(f"{params.name} does not have {params.key}={params.value} yet", new, had)
    return _draft(snapshot, change, first, f"Label {params.name} {params.key}={params.value}")


def draft_remove(snapshot: Snapshot, params: RemoveLabelParams) -> PlanDraft:
    """One patch. :raises CannotPlan: no such object. :raises Missing:"""
    change = _change(snapshot, params, None)
    there = change.before is not None
    had = (
        f"{params.key}={clean(change.before or '', 63)}"
        if there
        else f"labels: {listing(sorted(change.meta.labels), 8)}"
    )
    first = Precondition(f"{params.name} has the label {params.key}", there, had)
    return _draft(snapshot, change, first, f"Remove the label {params.key} from {params.name}")


def _change(snapshot: Snapshot, params: _Target, value: str | None) -> _Change:
    known = params.resource
    raw = snapshot.raw(known.key, params.namespace, params.name)
    if raw is None:
        where = f" in namespace {params.namespace}" if params.namespace else ""
        raise CannotPlan(f"There is no {known.kind} {params.name}{where}.")
    return _Change(raw, fields.meta_of(raw), params, value)


def _draft(snapshot: Snapshot, change: _Change, first: Precondition, title: str) -> PlanDraft:
    params, known = change.params, change.params.resource
    body = {"metadata": {"annotations": {MARK: "${run.mark}"}, "labels": {params.key: change.value}}}
    where = {"resource": known.key, "namespace": params.namespace, "name": params.name}
    path = ("metadata", "labels", params.key)
    named = fields.in_git(snapshot, change.raw, *path)
    # as stored: the kind under its own name, so that "nodes" and "Node" are one plan
    filled = {**msgspec.to_builtins(params), "kind": known.key}
    return PlanDraft(
        params=filled,
        preconditions=(
            first,
            _not_reserved(params.key),
            _keeps_its_controller(snapshot, change),
            fields.stays(snapshot, change.raw, *path),
        ),
        steps=(
            StepSpec(
                verb="label",
                title=title,
                how="merge patch",
                resource=known.key,
                namespace=params.namespace,
                name=params.name,
                effect=Patch("merge", body),
                until=Condition("label_is", {**where, "key": params.key, "value": change.value}),
                timeout_seconds=_SECONDS,
            ),
        ),
        verification=Verification((), 0, _SECONDS),
        undo=_UNDO,
        blast=Blast(changed=(f"{known.kind} {params.name}",), sentence=_found_by(snapshot, change)),
        managed_by=fields.managed_by(snapshot, change.raw, *path),
        git_way=f"In Git: set metadata.labels of {known.kind} {params.name} in the manifest." if named else "",
        locks=ownership.locks(snapshot, change.meta),
    )


def _not_reserved(key: str) -> Precondition:
    owner = names.owner_of(key)
    return Precondition("The key is no one else's", not owner, f"{key} is reserved for {owner}" if owner else key)


def _keeps_its_controller(snapshot: Snapshot, change: _Change) -> Precondition:
    """A pod whose controller does not find it any more is left alone for ever, and another one is made."""
    sentence = "No controller loses its pod by it"
    if change.params.resource.key != "pods":
        return Precondition(sentence, True, "it is no pod")
    owner = next((o for o in change.meta.owner_references if o.controller), None)
    resource = {"ReplicaSet": _SETS, "StatefulSet": "statefulsets.apps", "DaemonSet": "daemonsets.apps"}.get(
        owner.kind if owner else ""
    )
    if owner is None or resource is None:
        return Precondition(sentence, True, f"made by {owner.kind} {owner.name}" if owner else "nothing made this pod")
    found: Workload | None = snapshot.get(resource, change.params.namespace, owner.name)
    wanted = found.spec.selector.match_labels if found is not None else {}
    if change.params.key not in wanted:
        return Precondition(sentence, True, f"{owner.kind} {owner.name} does not select by {change.params.key}")
    above = f"{owner.kind} {clean(owner.name, 120)}"
    evidence = f"{above} finds its pods by {change.params.key}: it would leave this one alone and make another"
    return Precondition(sentence, False, evidence)


def _found_by(snapshot: Snapshot, change: _Change) -> str:
    if change.params.resource.key != "pods":
        return f"Whatever selects by {change.params.key} sees the change at once; no pod restarts."
    services: list[Service] = sorted(
        snapshot.objects("services", change.params.namespace), key=lambda service: service.metadata.name
    )
    was = [s.metadata.name for s in services if _selects(s, change.meta.labels)]
    will = [s.metadata.name for s in services if _selects(s, change.labels)]
    lost = [name for name in was if name not in will]
    won = [name for name in will if name not in was]
    parts = [f"Service {listing(lost)} stops sending to it"] if lost else []
    parts += [f"Service {listing(won)} begins to send to it"] if won else []
    return f"{'; '.join(parts) or 'No Service finds or loses the pod'}. The pod does not restart."


def _selects(service: Service, labels: Mapping[str, str]) -> bool:
    return bool(service.spec.selector) and service.spec.selector.items() <= labels.items()


_GUARDS = (
    "The key is neither Kubernetes' nor Argo CD's",
    "No controller loses its pod by it",
    "Argo CD does not set it back at once",
)
#: of every kind that an installation wants labelled; shipped are nodes, and in one namespace what sets may hold
_RULES = (Rule("", "nodes", ("get", "patch")),)
_REFERENCE = "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/"

SET = Action(
    slug="set-label",
    title="Set a label",
    family="Objects",
    tier=1,
    summary="Set one label of a node, a pod, a workload or another object.",
    params=SetLabelParams,
    needs=needs,
    draft=draft_set,
    rules=_RULES,
    undo=_UNDO,
    undoable=True,
    guards=_GUARDS,
    verified_by="The label reads as it was set.",
    reference=_REFERENCE,
)

REMOVE = Action(
    slug="remove-label",
    title="Remove a label",
    family="Objects",
    tier=1,
    summary="Remove one label of a node, a pod, a workload or another object.",
    params=RemoveLabelParams,
    needs=needs,
    draft=draft_remove,
    rules=_RULES,
    undo=_UNDO,
    undoable=True,
    guards=_GUARDS,
    verified_by="The label is gone.",
    reference=_REFERENCE,
)
