"""*Delete a set*: the objects that a set's label finds, in the opposite order of their need, each by its uid.

Claims are never deleted: they are data. Secrets of the set stay too, because the portal may not list Secrets.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated

import msgspec

from deployments.catalogue.action import (
    Action,
    Blast,
    CannotPlan,
    Condition,
    Delete,
    Params,
    PlanDraft,
    Precondition,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import ownership
from deployments.catalogue.nodes import apply_set, manifest_kinds, sets
from deployments.catalogue.nodes.sets import Member, SetName
from deployments.catalogue.workloads import pods, targets
from integrations.kubernetes.kinds import RESOURCES
from integrations.kubernetes.objects import Pod, Workload
from monitoring.checks.text import count, listing
from monitoring.snapshot import Missing, Need, Objects, Snapshot

_UNDO = (
    "What was deleted is created again from what was kept of it: a new object with a new uid, whose pods start anew. "
    "Apply the set again for the same."
)


class DeleteSetParams(Params, frozen=True):
    """Which set."""

    set: SetName
    delete_seconds: Annotated[
        int, msgspec.Meta(ge=5, le=7200, description="How long each object may take to be gone (seconds)")
    ] = 180


def needs(snapshot: Snapshot, params: DeleteSetParams) -> Iterable[Need]:
    """The set; then, in its namespaces, what its end touches."""
    yield from sets.needs(params.set)
    yield from ownership.needs()
    with suppress(Missing):
        for namespace in sorted({member.meta.namespace for member in sets.members(snapshot, params.set)}):
            yield from pods.blast_needs(namespace)
            yield Objects(targets.REPLICA_SETS, namespace)
            yield from (Objects(resource, namespace) for resource in manifest_kinds.WORKLOADS)


def draft(snapshot: Snapshot, params: DeleteSetParams) -> PlanDraft:
    """One deletion per object. :raises CannotPlan: nothing has the label. :raises Missing:"""
    found = sets.members(snapshot, params.set)
    if not found:
        raise CannotPlan(f"Nothing in the cluster carries the label of set {params.set}.")
    kept = [member for member in found if member.resource == manifest_kinds.CLAIMS]
    going = [member for member in reversed(found) if member not in kept]
    ending = _pods(snapshot, going)
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            Precondition(
                "Something of the set can be deleted", bool(going), f"{len(going)} to delete, {len(kept)} claims kept"
            ),
            _applied_here(found, params.set),
            _not_argo(snapshot, going),
        ),
        steps=tuple(_step(params, member) for member in going),
        verification=Verification((), 0, 60),
        undo=_UNDO,
        blast=Blast(
            deleted=(*(member.title for member in going), *pods.lines(ending)),
            unchanged=tuple(f"{member.title} (kept: it is data)" for member in kept),
            budgets=pods.budgets(snapshot, ending),
            claims=tuple(f"{member.title}: kept" for member in kept),
            endpoints=pods.endpoints_lost(snapshot, ending),
            sentence=f"{count(len(going), 'object')} and {count(len(ending), 'pod')} end and do not come back. Claims "
            "and Secrets of the set stay: delete them by hand when nobody needs them.",
        ),
        managed_by="No Argo CD app knows these objects, so none brings them back.",
        confirm=params.set,
    )


def _applied_here(found: Iterable[Member], name: str) -> Precondition:
    foreign = [member.title for member in found if not sets.belongs(member.meta, name)]
    evidence = (
        f"{listing(foreign)} has the label and no mark of a run: take the label off it"
        if foreign
        else "all carry the set's labels and the mark of a run"
    )
    return Precondition("Every object of the set was applied by this portal", not foreign, evidence)


def _not_argo(snapshot: Snapshot, going: Iterable[Member]) -> Precondition:
    tracked = [member.title for member in going if ownership.tracked(snapshot, member.meta) is not None]
    evidence = f"{listing(tracked)}: delete it in Git" if tracked else "no Application renders any of them"
    return Precondition("Argo CD would not bring one of them back", not tracked, evidence)


def _step(params: DeleteSetParams, member: Member) -> StepSpec:
    meta = member.meta
    where = {"resource": member.resource, "namespace": meta.namespace, "name": meta.name}
    # a workload is gone when its pods are
    waits = member.resource in manifest_kinds.WORKLOADS or member.resource == "jobs.batch"
    return StepSpec(
        verb="delete",
        title=f"Delete {member.title}",
        how="delete, foreground" if waits else "delete",
        resource=member.resource,
        namespace=meta.namespace,
        name=meta.name,
        effect=Delete("Foreground" if waits else "Background"),
        until=Condition("object_gone", {**where, "uid": meta.uid}),
        timeout_seconds=params.delete_seconds,
    )


def _pods(snapshot: Snapshot, going: Iterable[Member]) -> list[Pod]:
    """The pods of the set's workloads."""
    found: list[Pod] = []
    for member in going:
        if member.resource not in manifest_kinds.WORKLOADS:
            continue
        item: Workload | None = snapshot.get(member.resource, member.meta.namespace, member.meta.name)
        if item is not None:
            found += targets.staying(snapshot, RESOURCES[member.resource].kind, item)
    return sorted(found, key=lambda pod: (pod.metadata.namespace, pod.metadata.name))


ACTION = Action(
    slug="delete-set",
    title="Delete a set",
    family="Objects",
    tier=3,
    summary="Delete what a set's label finds, each object by its uid; claims and Secrets stay.",
    params=DeleteSetParams,
    needs=needs,
    draft=draft,
    rules=apply_set.rules(("get", "create", "delete")),
    undo=_UNDO,
    undoable=True,
    guards=(
        "Every object carries the mark of a run of this portal",
        "Argo CD would not bring one of them back",
        "Claims and Secrets are never deleted",
        "The set's name is typed",
    ),
    verified_by="Each object is gone by its uid.",
    reference="https://kubernetes.io/docs/concepts/architecture/garbage-collection/",
)
