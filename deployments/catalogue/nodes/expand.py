"""*Expand a claim*: ask for a larger volume, where the class can give one.

Facts: a claim only grows, and only when its class says ``allowVolumeExpansion``. The provisioner of ``nfs-client``
(nfs-subdir-external-provisioner) cannot expand and does not enforce sizes at all (its issues 101 and 148): there the
size is a label, and what counts is the space left on the export. A claim made from a StatefulSet of the Prometheus
operator needs three steps through Git; a patch alone would leave the operator's object and the claim apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated

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
from deployments.catalogue.nodes import fields
from deployments.catalogue.nodes.classes import CLAIMS
from deployments.catalogue.nodes.machines import NAME, NAMESPACE
from integrations.kubernetes.objects import Claim, Pod, StorageClass, Workload
from monitoring.checks.quantities import parse_quantity
from monitoring.checks.storage import CLASSES
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Missing, Need, Objects, Query, Raw, Snapshot

_UNDO = "Irreversible: a claim cannot shrink. Restore the data to a new, smaller claim if it must."
_NFS = "nfs-subdir-external-provisioner"
_SETS = "statefulsets.apps"
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_STORAGE = ("spec", "resources", "requests", "storage")


class ExpandParams(Params, frozen=True):
    """Which claim, and how large it shall be."""

    namespace: Annotated[str, msgspec.Meta(pattern=NAMESPACE, description="Namespace")]
    name: Annotated[str, msgspec.Meta(pattern=NAME, description="PersistentVolumeClaim")]
    size: Annotated[str, msgspec.Meta(min_length=1, max_length=20, description="New size, like 40Gi")]
    resize_seconds: Annotated[
        int, msgspec.Meta(ge=5, le=7200, description="How long the resize may take (seconds)")
    ] = 600

    def __post_init__(self) -> None:
        with texts.named("size"):
            if parse_quantity(self.size) <= 0:
                raise ValueError(f"{self.size!r} is no size. Write it like 40Gi")


def needs(_snapshot: Snapshot, params: ExpandParams) -> Iterable[Need]:
    """The claim, its class, the pods that mount it, the StatefulSets it may be made from, the space that is left."""
    return (
        Raw(CLAIMS, params.namespace, params.name),
        Objects(CLAIMS, params.namespace),
        Objects(CLASSES),
        Objects("pods", params.namespace),
        Objects(_SETS, params.namespace),
        _free(params),
        *ownership.needs(),
    )


def _free(params: ExpandParams) -> Query:
    where = f'namespace="{params.namespace}",persistentvolumeclaim="{params.name}"'
    return Query(f"kubelet_volume_stats_available_bytes{{{where}}}")


def draft(snapshot: Snapshot, params: ExpandParams) -> PlanDraft:
    """One patch and the wait for the volume to grow. :raises CannotPlan: no such claim. :raises Missing:"""
    claim: Claim | None = snapshot.get(CLAIMS, params.namespace, params.name)
    raw = snapshot.raw(CLAIMS, params.namespace, params.name)
    if claim is None or raw is None:
        raise CannotPlan(f"There is no PersistentVolumeClaim {params.name} in namespace {params.namespace}.")
    mounted = _mounted_by(snapshot, params)
    where = {"namespace": params.namespace, "name": params.name}
    named = fields.in_git(snapshot, raw, *_STORAGE)
    check = CheckSpec("Volume is bound and large enough", "pvc_bound", {**where, "size": params.size})
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            _bound(claim),
            _grows(claim, params),
            _class_expands(snapshot, claim, params),
            _no_operator(snapshot, params),
            fields.stays(snapshot, raw, *_STORAGE),
        ),
        steps=(
            StepSpec(
                verb="expand",
                title=f"Expand {params.name} to {params.size}",
                how="merge patch",
                resource=CLAIMS,
                namespace=params.namespace,
                name=params.name,
                effect=Patch(
                    "merge",
                    {
                        "metadata": {"annotations": {MARK: "${run.mark}"}},
                        "spec": {"resources": {"requests": {"storage": params.size}}},
                    },
                ),
                until=Condition("claim_resized", {**where, "size": params.size}),
                timeout_seconds=params.resize_seconds,
                irreversible=True,
            ),
        ),
        # a file system on a volume nobody mounts grows only with the next pod: then the wait of the step alone is the
        # proof
        verification=Verification((check,) if mounted else (), 0, 60),
        undo=_UNDO,
        blast=_blast(snapshot, claim, params, mounted),
        managed_by=fields.managed_by(snapshot, raw, *_STORAGE),
        git_way=f"In Git: set the size of {params.name} in the manifest or values." if named else "",
        locks=ownership.locks(snapshot, claim.metadata),
    )


# -- preconditions


def _bound(claim: Claim) -> Precondition:
    phase, going = claim.status.phase or "without a phase", claim.metadata.deletion_timestamp is not None
    evidence = "it is being deleted" if going else f"phase {phase}, volume {claim.spec.volume_name or 'none'}"
    return Precondition(f"{claim.metadata.name} is Bound", phase == "Bound" and not going, evidence)


def _grows(claim: Claim, params: ExpandParams) -> Precondition:
    asked = claim.spec.resources.requests.get("storage", "0")
    have = claim.status.capacity.get("storage", "0")
    now = max(_amount(asked), _amount(have))
    evidence = f"asks for {asked}, has {have}"
    if parse_quantity(params.size) <= now:
        evidence += "; a claim cannot shrink"
    return Precondition(f"{params.size} is larger than it is now", parse_quantity(params.size) > now, evidence)


def _class_expands(snapshot: Snapshot, claim: Claim, params: ExpandParams) -> Precondition:
    sentence = "Its StorageClass can expand a volume"
    name = claim.spec.storage_class_name or claim.metadata.annotations.get(_OLD_CLASS, "")
    if not name:
        return Precondition(sentence, False, "it has no class: its volume was made by hand and is resized by hand")
    found: StorageClass | None = snapshot.get(CLASSES, "", name)
    if found is None:
        return Precondition(sentence, False, f"StorageClass {name} is not there any more")
    by = clean(found.provisioner, 120)
    if _NFS in found.provisioner:
        evidence = (
            f"{name} is provisioned by {by}, which cannot expand and does not enforce sizes: the claim may already use "
            f"all that is free on the export{_space(snapshot, params)}. Make room there."
        )
        return Precondition(sentence, False, evidence)
    if not found.allow_volume_expansion:
        evidence = (
            f"allowVolumeExpansion of {name} is not true. If {by} can expand, set it there first; else move the data "
            "to a larger claim."
        )
        return Precondition(sentence, False, evidence)
    return Precondition(sentence, True, f"{name}: allowVolumeExpansion true, {by}")


def _space(snapshot: Snapshot, params: ExpandParams) -> str:
    """`` (31.2 GiB now)``, when Prometheus knows."""
    try:
        result = snapshot.reply(_free(params)).body
        amount = Decimal(str(result[0]["value"][1]))
    except (Missing, LookupError, TypeError, ArithmeticError):
        return ""
    return f" ({amount / 2**30:.1f} GiB now)"


def _no_operator(snapshot: Snapshot, params: ExpandParams) -> Precondition:
    """Facts K17: claim, the operator's object, then the StatefulSet anew; one patch is only the first of the three."""
    sentence = "No operator keeps its size"
    found = _set_of(snapshot, params)
    if found is None:
        return Precondition(sentence, True, "no StatefulSet makes this claim")
    owner = next((o for o in found.metadata.owner_references if o.controller), None)
    name = found.metadata.name
    if owner is None:
        return Precondition(sentence, True, f"made by StatefulSet {name}, which nobody else makes")
    return Precondition(
        sentence,
        False,
        f"StatefulSet {name} is made by {clean(owner.kind, 60)} {clean(owner.name, 120)}: its operator keeps the size. "
        f"Set the larger size there (in Git), expand each claim with kubectl, then delete StatefulSet {name} with "
        "--cascade=orphan so that the operator makes it anew.",
    )


def _set_of(snapshot: Snapshot, params: ExpandParams) -> Workload | None:
    """The StatefulSet whose template made the claim: its name is ``<template>-<set>-<ordinal>``."""
    head, _, ordinal = params.name.rpartition("-")
    if not ordinal.isdecimal():
        return None
    sets: list[Workload] = snapshot.objects(_SETS, params.namespace)
    fitting = [item for item in sets if head.endswith(f"-{item.metadata.name}")]
    # of "db" and "my-db" the longer name is meant when both fit and the pod says nothing else
    return max(fitting, key=lambda item: (len(item.metadata.name), item.metadata.name), default=None)


def _mounted_by(snapshot: Snapshot, params: ExpandParams) -> list[str]:
    pods: list[Pod] = snapshot.objects("pods", params.namespace)
    return sorted(
        pod.metadata.name
        for pod in pods
        if pod.status.phase not in ("Succeeded", "Failed")
        and any(
            v.persistent_volume_claim and v.persistent_volume_claim.claim_name == params.name for v in pod.spec.volumes
        )
    )


def _blast(snapshot: Snapshot, claim: Claim, params: ExpandParams, mounted: list[str]) -> Blast:
    made_by = _set_of(snapshot, params)
    use = f"Mounted by {listing(mounted)}, which keeps running" if mounted else "No pod mounts it"
    later = "" if mounted else "; the file system grows when one does"
    new = f" StatefulSet {made_by.metadata.name} still makes new claims of the old size." if made_by else ""
    now = claim.status.capacity.get("storage") or claim.spec.resources.requests.get("storage", "?")
    return Blast(
        changed=(f"PersistentVolumeClaim {params.name}",),
        claims=(f"PersistentVolumeClaim {params.name}: {now} → {params.size}",),
        sentence=f"{use}{later}.{new}",
    )


def _amount(text: str) -> Decimal:
    try:
        return parse_quantity(text)
    except ValueError:
        return Decimal(0)


ACTION = Action(
    slug="expand-claim",
    title="Expand a volume claim",
    family="Storage",
    tier=2,
    summary="Ask for a larger volume where the StorageClass can give one.",
    params=ExpandParams,
    needs=needs,
    draft=draft,
    rules=(Rule("", "persistentvolumeclaims", ("get", "patch")),),
    undo=_UNDO,
    guards=(
        "The claim is Bound and the size is larger",
        "Its class says allowVolumeExpansion, and its provisioner is not the one of nfs-client",
        "No operator keeps its size",
        "Argo CD does not set it back at once",
    ),
    verified_by="status.capacity has reached the size; the check pvc_bound reads it.",
    reference="https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims",
)
