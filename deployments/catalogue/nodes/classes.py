"""*Set the default StorageClass*: take the mark from the classes that have it, then give it to one.

Facts: the default is an annotation. With two of them the newest class wins, with none a claim that names no class stays
Pending; since Kubernetes 1.28 such a claim gets the default as soon as there is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

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
from deployments.catalogue.nodes import fields
from deployments.catalogue.nodes.machines import NAME
from integrations.kubernetes.objects import Claim, StorageClass
from monitoring.checks.storage import CLASSES, is_default
from monitoring.checks.text import count, listing
from monitoring.snapshot import Need, Objects, Raw, Snapshot

CLAIMS = "persistentvolumeclaims"
DEFAULT = "storageclass.kubernetes.io/is-default-class"
OLD_DEFAULT = "storageclass.beta.kubernetes.io/is-default-class"
_UNDO = "The marks as they were are set back, the last one first. A claim that got its class meanwhile keeps it."
_SECONDS = 60


class DefaultClassParams(Params, frozen=True):
    """Which class."""

    name: Annotated[str, msgspec.Meta(pattern=NAME, description="StorageClass that becomes the one default")]
    hold_seconds: Annotated[
        int, msgspec.Meta(ge=1, le=3600, description="How long it must stay the one default (seconds)")
    ] = 10


def needs(snapshot: Snapshot, params: DefaultClassParams) -> Iterable[Need]:
    """All classes and claims; then the classes that are written, whole."""
    yield Objects(CLASSES)
    yield Objects(CLAIMS)
    yield from ownership.needs()
    yield Raw(CLASSES, "", params.name)
    if snapshot.has(Objects(CLASSES)) and not snapshot.listings[Objects(CLASSES)].error:
        yield from (Raw(CLASSES, "", item.metadata.name) for item in _others(snapshot, params.name))


def draft(snapshot: Snapshot, params: DefaultClassParams) -> PlanDraft:
    """A patch per class that loses the mark, then one for the class that gets it. :raises CannotPlan, Missing:"""
    classes: list[StorageClass] = snapshot.objects(CLASSES)
    wanted = next((item for item in classes if item.metadata.name == params.name), None)
    if wanted is None:
        names = listing(sorted(item.metadata.name for item in classes), 8) or "none"
        raise CannotPlan(f"There is no StorageClass {params.name}. Classes are: {names}.")
    others = _others(snapshot, params.name)
    written = [*others, wanted]
    now = sorted(item.metadata.name for item in classes if is_default(item))
    steps = [_step(item, give=False) for item in others]
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            Precondition(
                f"{params.name} is not the one default yet", now != [params.name], f"default: {listing(now) or 'none'}"
            ),
            Precondition(
                "Exactly one class is the default afterwards",
                wanted.metadata.deletion_timestamp is None,
                f"{listing(item.metadata.name for item in others) or 'no other class'} loses the mark, "
                f"{params.name} has it"
                if wanted.metadata.deletion_timestamp is None
                else f"{params.name} is being deleted",
            ),
            *(_stays(snapshot, item) for item in written),
        ),
        steps=(*steps, _step(wanted, give=True)),
        verification=Verification(
            (CheckSpec("One default class", "storage_class", {"name": params.name, "default": True}),),
            params.hold_seconds,
            params.hold_seconds + 60,
        ),
        undo=_UNDO,
        blast=_blast(snapshot, wanted, others),
        managed_by=" ".join(filter(None, dict.fromkeys(_managed_by(snapshot, item) for item in written))),
        locks=tuple(dict.fromkeys(lock for item in written for lock in ownership.locks(snapshot, item.metadata))),
    )


def _others(snapshot: Snapshot, name: str) -> list[StorageClass]:
    """The other classes that are marked now, by name."""
    found: list[StorageClass] = snapshot.objects(CLASSES)
    marked = [item for item in found if is_default(item) and item.metadata.name != name]
    return sorted(marked, key=lambda item: item.metadata.name)


def _step(item: StorageClass, *, give: bool) -> StepSpec:
    name = item.metadata.name
    notes = {MARK: "${run.mark}", DEFAULT: "true" if give else "false"}
    if not give and item.metadata.annotations.get(OLD_DEFAULT) == "true":
        notes[OLD_DEFAULT] = "false"
    until = Condition("one_default_class", {"name": name}) if give else Condition("class_not_default", {"name": name})
    return StepSpec(
        verb="annotate",
        title=f"Make {name} the default" if give else f"{name} is no longer the default",
        how="merge patch",
        resource=CLASSES,
        namespace="",
        name=name,
        effect=Patch("merge", {"metadata": {"annotations": notes}}),
        until=until,
        timeout_seconds=_SECONDS,
    )


def _stays(snapshot: Snapshot, item: StorageClass) -> Precondition:
    raw = snapshot.raw(CLASSES, "", item.metadata.name)
    if raw is None:
        raise CannotPlan(f"StorageClass {item.metadata.name} has just gone.")
    found = fields.stays(snapshot, raw, "metadata", "annotations", DEFAULT)
    return msgspec.structs.replace(found, sentence=f"{found.sentence} on {item.metadata.name}")


def _managed_by(snapshot: Snapshot, item: StorageClass) -> str:
    raw = snapshot.raw(CLASSES, "", item.metadata.name) or {}
    said = fields.managed_by(snapshot, raw, "metadata", "annotations", DEFAULT)
    return f"{item.metadata.name}: {said}" if said else ""


def _blast(snapshot: Snapshot, wanted: StorageClass, others: Iterable[StorageClass]) -> Blast:
    claims: list[Claim] = snapshot.objects(CLAIMS)
    waiting = sorted(
        f"PersistentVolumeClaim {claim.metadata.namespace}/{claim.metadata.name}"
        for claim in claims
        if claim.status.phase == "Pending" and claim.spec.storage_class_name is None
    )
    name = wanted.metadata.name
    get = f"{count(len(waiting), 'claim')} without a class {'gets' if len(waiting) == 1 else 'get'} it now. "
    return Blast(
        changed=tuple(f"StorageClass {item.metadata.name}" for item in (*others, wanted)),
        claims=tuple(waiting),
        sentence=f"New claims that name no class go to {name} ({wanted.provisioner}). {get if waiting else ''}"
        "Claims that are bound keep their class and volume.",
    )


ACTION = Action(
    slug="set-default-storage-class",
    title="Set the default StorageClass",
    family="Storage",
    tier=1,
    summary="Make one StorageClass the default and take the mark from every other.",
    params=DefaultClassParams,
    needs=needs,
    draft=draft,
    rules=(Rule("storage.k8s.io", "storageclasses", ("get", "patch")),),
    undo=_UNDO,
    undoable=True,
    guards=("Exactly one class is the default afterwards", "Argo CD does not set it back at once"),
    verified_by="The check storage_class reads it as the one default.",
    reference="https://kubernetes.io/docs/tasks/administer-cluster/change-default-storage-class/",
)
