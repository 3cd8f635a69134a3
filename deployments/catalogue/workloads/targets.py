"""Workloads as targets of an action: which one is meant, what it wants, which pods are its own, who stands above it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal

from deployments.catalogue.action import CannotPlan, Precondition
from integrations.kubernetes.objects import Pod, Workload
from integrations.kubernetes.parts import LabelRequirement, LabelSelector, Meta, OwnerReference
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Missing, Need, Objects, Snapshot

Kind = Literal["Deployment", "StatefulSet", "DaemonSet"]

#: the resource key of each kind
KINDS: dict[str, str] = {
    "Deployment": "deployments.apps",
    "StatefulSet": "statefulsets.apps",
    "DaemonSet": "daemonsets.apps",
}
#: what the Prometheus operator makes StatefulSets from (facts K28)
_PROMETHEUS = ("Prometheus", "Alertmanager", "ThanosRuler")
DEPLOYMENTS = KINDS["Deployment"]
REPLICA_SETS = "replicasets.apps"


def needs(kind: str, namespace: str) -> Iterable[Need]:
    """What :func:`find` and :func:`pods_of` read."""
    yield Objects(KINDS[kind], namespace)
    yield Objects("pods", namespace)
    if kind == "Deployment":
        yield Objects(REPLICA_SETS, namespace)


def elsewhere_needs(snapshot: Snapshot, kind: str, namespace: str, name: str) -> Iterable[Need]:
    """Of a workload that is not there: where its name is. Asks for nothing more where it is there."""
    with suppress(Missing):
        if snapshot.get(KINDS[kind], namespace, name) is None:
            yield from (Objects(resource) for resource in KINDS.values())


def _elsewhere(snapshot: Snapshot, kind: str, namespace: str, name: str) -> str:
    """Another kind of this name in the namespace, else this kind in other ones: most often one of them was meant."""
    found: list[str] = []
    for other, resource in KINDS.items():
        with suppress(Missing):
            here = [item.metadata.namespace for item in snapshot.objects(resource) if item.metadata.name == name]
            found += [f"a {other} {name} there" for space in here if space == namespace and other != kind]
            if other == kind:
                found += [f"one in namespace {space}" for space in sorted(here)]
    return f" There is {listing(found)}." if found else ""


def find(snapshot: Snapshot, kind: str, namespace: str, name: str) -> Workload:
    """The workload. :raises CannotPlan: there is none of this name, or it is being deleted."""
    found: Workload | None = snapshot.get(KINDS[kind], namespace, name)
    if found is None:
        more = _elsewhere(snapshot, kind, namespace, name)
        raise CannotPlan(f"There is no {kind} {name} in namespace {namespace}.{more}")
    if found.metadata.deletion_timestamp is not None:
        raise CannotPlan(f"{kind} {name} in namespace {namespace} is being deleted.")
    return found


def wanted(kind: str, item: Workload) -> int:
    """How many pods it wants."""
    if kind == "DaemonSet":
        return item.status.desired_number_scheduled
    return 1 if item.spec.replicas is None else item.spec.replicas


def ready(kind: str, item: Workload) -> int:
    """How many ready pods it counts."""
    return item.status.number_ready if kind == "DaemonSet" else item.status.ready_replicas


def selector(item: Workload) -> str:
    """Its equality labels as ``a=b,c=d``. Expressions are left out, so it may select more than the workload's own."""
    return ",".join(f"{key}={value}" for key, value in sorted(item.spec.selector.match_labels.items()))


def selects(chosen: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches: None matches nothing, an empty one everything (Kubernetes API reference)."""
    if chosen is None:
        return False
    if any(labels.get(key) != value for key, value in chosen.match_labels.items()):
        return False
    return all(_meets(term, labels) for term in chosen.match_expressions)


def _meets(term: LabelRequirement, labels: Mapping[str, str]) -> bool:
    match term.operator:
        case "In":
            return labels.get(term.key) in term.values
        case "NotIn":
            return labels.get(term.key) not in term.values
        case "Exists":
            return term.key in labels
        case "DoesNotExist":
            return term.key not in labels
    return False


def controller(metadata: Meta) -> OwnerReference | None:
    """The owner that makes this object, if one does."""
    return next((owner for owner in metadata.owner_references if owner.controller), None)


def replica_sets(snapshot: Snapshot, item: Workload) -> list[Workload]:
    """A Deployment's own ReplicaSets, by name. :raises Missing:"""
    found: list[Workload] = snapshot.objects(REPLICA_SETS, item.metadata.namespace)
    return sorted((rs for rs in found if _owned(rs.metadata, {item.metadata.uid})), key=lambda rs: rs.metadata.name)


def pods_of(snapshot: Snapshot, kind: str, item: Workload) -> list[Pod]:
    """The pods that the workload made, by name, ended ones left out, those that are ending not. :raises Missing:"""
    uids = {item.metadata.uid}
    if kind == "Deployment":
        uids = {rs.metadata.uid for rs in replica_sets(snapshot, item)}
    found: list[Pod] = snapshot.objects("pods", item.metadata.namespace)
    mine = [pod for pod in found if _owned(pod.metadata, uids) and pod.status.phase not in ("Succeeded", "Failed")]
    return sorted(mine, key=lambda pod: pod.metadata.name)


def staying(snapshot: Snapshot, kind: str, item: Workload) -> list[Pod]:
    """Its pods that nobody has deleted yet: what a plan can still end. The others end without it. :raises Missing:"""
    return [pod for pod in pods_of(snapshot, kind, item) if pod.metadata.deletion_timestamp is None]


def _owned(metadata: Meta, uids: set[str]) -> bool:
    owner = controller(metadata)
    return owner is not None and owner.uid in uids


def nobody_above(kind: str, metadata: Meta, through: str = "its spec") -> Precondition:
    """No operator makes this workload: it would set back at once what is changed here (facts K28).

    ``through``: the field to change instead, of a custom resource of the Prometheus operator.
    """
    sentence = "No operator stands above it that would set it back"
    owner = controller(metadata)
    if owner is None:
        return Precondition(sentence, True, f"{kind} {metadata.name} has no controlling owner")
    field = through if owner.kind in _PROMETHEUS else "its spec"
    above = f"{clean(owner.kind, 80)} {clean(owner.name, 253)}"
    return Precondition(
        sentence,
        False,
        f"{kind} {metadata.name} belongs to {above}, whose operator sets it back; change {field} of {above} instead",
    )


def where(item: Workload) -> dict[str, Any]:
    """Namespace and name, as conditions and checks take them."""
    return {"namespace": item.metadata.namespace, "name": item.metadata.name}
