"""*Rebind a volume*: give a Released volume, with the data on it, to a claim that waits (K27).

Facts (Kubernetes, "Persistent Volumes"): when its claim is deleted a volume is Released; it keeps its ``claimRef`` with
the old claim's uid, and no other claim can have it. A ``claimRef`` with a name and no uid reserves it for the claim of
that name alone, which then binds. Taking ``claimRef`` out instead would give it to whichever claim comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any

import msgspec

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
from deployments.catalogue.nodes import fields
from deployments.catalogue.nodes.classes import CLAIMS
from deployments.catalogue.nodes.machines import NAME, NAMESPACE
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.objects import Pod
from monitoring.checks.quantities import parse_quantity
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Need, Objects, Raw, Snapshot

VOLUMES = "persistentvolumes"
_UNDO = (
    "Irreversible while the claim has it. Its data stay: it is kept (Retain), so deleting the claim releases it again."
)
_PATH = ("spec", "claimRef")


class RebindParams(Params, frozen=True):
    """Which volume, and the claim that shall have it."""

    volume: Annotated[str, msgspec.Meta(pattern=NAME, description="PersistentVolume, Released")]
    namespace: Annotated[str, msgspec.Meta(pattern=NAMESPACE, description="Namespace of the claim")]
    claim: Annotated[str, msgspec.Meta(pattern=NAME, description="PersistentVolumeClaim that waits for a volume")]
    bind_seconds: Annotated[int, msgspec.Meta(ge=5, le=3600, description="How long binding may take (seconds)")] = 120


def needs(_snapshot: Snapshot, params: RebindParams) -> Iterable[Need]:
    """The volume and the claim, whole; pods that wait for it; who renders the volume."""
    return (
        Raw(VOLUMES, "", params.volume),
        Raw(CLAIMS, params.namespace, params.claim),
        Objects("pods", params.namespace),
        *ownership.needs(),
    )


def draft(snapshot: Snapshot, params: RebindParams) -> PlanDraft:
    """One patch of the volume and the wait until it is bound. :raises CannotPlan: no such volume or claim."""
    volume = snapshot.raw(VOLUMES, "", params.volume)
    claim = snapshot.raw(CLAIMS, params.namespace, params.claim)
    if volume is None:
        raise CannotPlan(f"There is no PersistentVolume {params.volume}.")
    if claim is None:
        said = f"There is no PersistentVolumeClaim {params.claim} in namespace {params.namespace}."
        raise CannotPlan(f"{said} Create it first, with volumeName: {params.volume}.")
    where = {"volume": params.volume, "namespace": params.namespace, "claim": params.claim}
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            _released(volume),
            _waits(claim, params),
            *_suits(volume, claim),
            fields.stays(snapshot, volume, *_PATH),
        ),
        steps=(
            StepSpec(
                verb="rebind",
                title=f"Keep volume {params.volume} and reserve it for claim {params.namespace}/{params.claim}",
                how="merge patch",
                resource=VOLUMES,
                namespace="",
                name=params.volume,
                effect=_reservation(params),
                until=Condition("volume_bound", where),
                timeout_seconds=params.bind_seconds,
                irreversible=True,
            ),
        ),
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=_blast(snapshot, volume, params),
        managed_by=fields.managed_by(snapshot, volume, *_PATH),
        locks=ownership.locks(snapshot, fields.meta_of(volume)),
        confirm=params.volume,
    )


def _reservation(params: RebindParams) -> Patch:
    """Keep what is on the volume, and let only this claim have it. The old claim's identity goes; the controller writes
    the new one's."""
    reference = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": params.namespace,
        "name": params.claim,
        "uid": None,
        "resourceVersion": None,
        "fieldPath": None,
    }
    spec = {"persistentVolumeReclaimPolicy": "Retain", "claimRef": reference}
    return Patch("merge", {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": spec})


# -- preconditions


def _spec(item: Mapping[str, Any]) -> Mapping[str, Any]:
    found = item.get("spec")
    return found if isinstance(found, Mapping) else {}


def _phase(item: Mapping[str, Any]) -> str:
    return clean(str((item.get("status") or {}).get("phase") or "none"), 40)


def _owner(volume: Mapping[str, Any]) -> str:
    reference = _spec(volume).get("claimRef") or {}
    return clean(f"{reference.get('namespace', '?')}/{reference.get('name', '?')}", 200)


def _released(volume: Mapping[str, Any]) -> Precondition:
    going = bool(volume["metadata"].get("deletionTimestamp"))
    said = "it is being deleted" if going else f"phase {_phase(volume)}, last of claim {_owner(volume)}"
    return Precondition("The volume is Released: no claim has it", _phase(volume) == "Released" and not going, said)


def _waits(claim: Mapping[str, Any], params: RebindParams) -> Precondition:
    named = str(_spec(claim).get("volumeName") or "")
    going = bool(claim["metadata"].get("deletionTimestamp"))
    met = _phase(claim) == "Pending" and named in ("", params.volume) and not going
    said = f"phase {_phase(claim)}, {f'names volume {clean(named, 200)}' if named else 'names no volume'}"
    return Precondition("The claim waits for a volume, and for no other", met, "it is being deleted" if going else said)


def _suits(volume: Mapping[str, Any], claim: Mapping[str, Any]) -> Iterator[Precondition]:
    """What the binder compares: else the volume would be reserved and never bound."""
    have, want = _spec(volume), _spec(claim)
    mine, asked = str(have.get("storageClassName") or ""), want.get("storageClassName")
    theirs = "not chosen yet" if asked is None else clean(str(asked), 120) or "none"
    said = f"volume {clean(mine, 120) or 'none'}, claim {theirs}"
    yield Precondition("Both are of the same class", asked == mine, said)
    size = str((have.get("capacity") or {}).get("storage", "0"))
    need = str(((want.get("resources") or {}).get("requests") or {}).get("storage", "0"))
    said = f"it has {clean(size, 20)}, {clean(need, 20)} are asked for"
    yield Precondition("The volume is large enough", _amount(size) >= _amount(need) > 0, said)
    modes = (have.get("accessModes") or [], want.get("accessModes") or [])
    kinds = (have.get("volumeMode") or "Filesystem", want.get("volumeMode") or "Filesystem")
    said = f"volume {listing(map(str, modes[0]))} {kinds[0]}, claim {listing(map(str, modes[1]))} {kinds[1]}"
    fits = set(modes[1]) <= set(modes[0]) and kinds[0] == kinds[1]
    yield Precondition("It can be mounted as the claim asks", fits, said)


def _amount(text: str) -> Decimal:
    try:
        return parse_quantity(text)
    except ValueError:
        return Decimal(0)


def _blast(snapshot: Snapshot, volume: Mapping[str, Any], params: RebindParams) -> Blast:
    pods: list[Pod] = snapshot.objects("pods", params.namespace)
    waiting = sorted(
        pod.metadata.name
        for pod in pods
        if any(
            v.persistent_volume_claim is not None and v.persistent_volume_claim.claim_name == params.claim
            for v in pod.spec.volumes
        )
    )
    kept = _spec(volume).get("persistentVolumeReclaimPolicy") == "Retain"
    use = f"{listing(waiting)} can start with it." if waiting else "No pod mounts the claim yet."
    return Blast(
        changed=(f"PersistentVolume {params.volume}",),
        claims=(f"PersistentVolumeClaim {params.namespace}/{params.claim}: gets volume {params.volume}",),
        sentence=(
            f"The claim gets what is on the volume, which was of {_owner(volume)}: ask whoever the data are of. {use}"
            + ("" if kept else " The volume is no longer deleted with its claim (Retain).")
        ),
    )


# -- conditions


def volume_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """The volume, whole."""
    yield Raw(VOLUMES, "", args["volume"])


def bound(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """``{volume, namespace, claim}``: the volume is bound to exactly this claim."""
    volume = snapshot.raw(VOLUMES, "", args["volume"])
    if volume is None:
        return Seen(Outlook.FAILED, f"Volume {args['volume']} is gone.")
    reference = _spec(volume).get("claimRef") or {}
    wanted, phase = f"{args['namespace']}/{args['claim']}", _phase(volume)
    if _owner(volume) != wanted:
        return Seen(Outlook.FAILED, f"Volume {args['volume']} was reserved for {_owner(volume)} by somebody.")
    if phase == "Bound" and reference.get("uid"):
        line = Line(f"volume {args['volume']} is bound to {wanted}", "good")
        return Seen(Outlook.MET, f"{wanted} has volume {args['volume']}.", (line,))
    if phase == "Failed":
        return Seen(Outlook.FAILED, f"Volume {args['volume']} is Failed.")
    return Seen(Outlook.NOT_YET, f"Waiting for {wanted} to be bound; the volume is {phase}.", memory=dict(memory))


ACTION = Action(
    slug="rebind-volume",
    title="Rebind a released volume",
    family="Storage",
    tier=3,
    summary="Give a Released volume, with the data on it, to a claim that waits; it is kept from now on (Retain).",
    params=RebindParams,
    needs=needs,
    draft=draft,
    rules=(Rule("", "persistentvolumes", ("get", "patch")),),
    undo=_UNDO,
    guards=(
        "The volume is Released; whoever took it since has changed its claimRef, and then nothing is written",
        "The claim is Pending and names no other volume",
        "Class, size, access modes and volume mode suit each other",
        "A second person and the volume's name typed: whoever gets the claim gets the data",
    ),
    verified_by="The volume is Bound, and to exactly this claim.",
    reference="https://kubernetes.io/docs/concepts/storage/persistent-volumes/#reserving-a-persistentvolume",
)
