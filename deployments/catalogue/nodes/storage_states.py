"""The named conditions of steps that write storage: which class is the default, whether a volume has grown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deployments.catalogue.nodes.classes import CLAIMS
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.objects import Claim, Pod, StorageClass
from integrations.kubernetes.parts import Condition
from monitoring.checks.quantities import parse_quantity
from monitoring.checks.storage import CLASSES, is_default
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Need, Objects, Snapshot

_FAILED = ("ControllerResizeError", "NodeResizeError")


def class_needs(_snapshot: Snapshot, _args: Mapping[str, Any]) -> Iterable[Need]:
    """All classes."""
    yield Objects(CLASSES)


def one_default(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """``{name}``: this class is marked as default, and no other."""
    marked = _marked(snapshot)
    if marked == [args["name"]]:
        return Seen(Outlook.MET, f"{args['name']} is the one default class.")
    return Seen(Outlook.NOT_YET, f"Default now: {listing(marked) or 'none'}.")


def not_default(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """``{name}``: this class is not marked as default."""
    if args["name"] in _marked(snapshot):
        return Seen(Outlook.NOT_YET, f"{args['name']} is still a default class.")
    return Seen(Outlook.MET, f"{args['name']} is no default class.")


def _marked(snapshot: Snapshot) -> list[str]:
    classes: list[StorageClass] = snapshot.objects(CLASSES)
    return sorted(item.metadata.name for item in classes if is_default(item))


def claim_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """Claims and pods of the namespace."""
    yield Objects(CLAIMS, args["namespace"])
    yield Objects("pods", args["namespace"])


def resized(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """``{namespace, name, size}``: the volume has the size; so has its file system, when a pod mounts it."""
    name = args["name"]
    claim: Claim | None = snapshot.get(CLAIMS, args["namespace"], name)
    if claim is None:
        return Seen(Outlook.FAILED, f"Claim {name} is not there any more.")
    have = claim.status.capacity.get("storage", "")
    if have and parse_quantity(have) >= parse_quantity(args["size"]):
        return Seen(Outlook.MET, f"{name} has {have}.")
    infeasible = claim.status.allocated_resource_statuses.get("storage", "")
    if infeasible.endswith("Infeasible"):
        return Seen(Outlook.FAILED, f"The volume of {name} cannot grow: {clean(infeasible, 80)}.")
    bad = next((c for c in claim.status.conditions if c.type in _FAILED and c.status == "True"), None)
    if bad is not None:
        return Seen(Outlook.FAILED, f"Resizing {name} failed: {clean(bad.message) or bad.type}")
    pending = next((c for c in claim.status.conditions if c.type == "FileSystemResizePending"), None)
    if pending is not None and pending.status == "True":
        return _pending(snapshot, args, pending, memory)
    said = f"{name} has {have or 'no capacity'} yet, {args['size']} asked for."
    return Seen(Outlook.NOT_YET, said, memory=dict(memory))


def _pending(snapshot: Snapshot, args: Mapping[str, Any], found: Condition, memory: Mapping[str, Any]) -> Seen:
    """The volume has grown, its file system not: the kubelet does that where it is mounted."""
    pods: list[Pod] = snapshot.objects("pods", args["namespace"])
    mounted = [pod.metadata.name for pod in pods if pod.status.phase == "Running" and _mounts(pod, args["name"])]
    if not mounted:
        return Seen(Outlook.MET, f"The volume of {args['name']} has grown; its file system does with the next pod.")
    told = () if memory.get("told") else (Line(f"claim {args['name']}: {clean(found.message) or found.type}"),)
    sentence = f"The volume of {args['name']} has grown; waiting for the node of {listing(mounted)} to grow the rest."
    return Seen(Outlook.NOT_YET, sentence, told, {**memory, "told": True})


def _mounts(pod: Pod, claim: str) -> bool:
    volumes = pod.spec.volumes
    return any(v.persistent_volume_claim is not None and v.persistent_volume_claim.claim_name == claim for v in volumes)
