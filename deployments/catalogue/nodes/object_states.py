"""The named conditions of steps that write any object: it is there as written, its label reads so, it is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deployments.catalogue.action import MARK
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.kinds import RESOURCES
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Need, Raw, Snapshot


def needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """The one object, whole."""
    yield Raw(args["resource"], args["namespace"], args["name"])


def label_is(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """``{resource, namespace, name, key, value}``: the label reads so; a ``value`` of None: there is none."""
    metadata = _metadata(snapshot, args)
    if metadata is None:
        return Seen(Outlook.FAILED, f"{_title(args)} is not there any more.")
    have = (metadata.get("labels") or {}).get(args["key"])
    if have != args["value"]:
        now = f"reads {clean(str(have), 63)}" if have is not None else "is not there"
        return Seen(Outlook.NOT_YET, f"The label {args['key']} of {args['name']} {now}.")
    if have is None:
        return Seen(Outlook.MET, f"{_title(args)} has no label {args['key']} any more.")
    return Seen(Outlook.MET, f"{_title(args)} has the label {args['key']}={clean(str(have), 63)}.")


def applied(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """``{resource, namespace, name, mark}``: the object is there, carries the mark and is not being deleted."""
    metadata = _metadata(snapshot, args)
    if metadata is None:
        return Seen(Outlook.NOT_YET, f"Waiting for {_title(args)} to be there.")
    if metadata.get("deletionTimestamp"):
        return Seen(Outlook.FAILED, f"{_title(args)} is being deleted.")
    if (metadata.get("annotations") or {}).get(MARK) != args["mark"]:
        return Seen(Outlook.NOT_YET, f"{_title(args)} does not read as it was written yet.")
    return Seen(Outlook.MET, f"{_title(args)} is there as it was written.")


def gone(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """``{resource, namespace, name, uid}``: the object is not there; another one of its name does not count."""
    metadata = _metadata(snapshot, args)
    if metadata is None or metadata.get("uid") != args["uid"]:
        return Seen(Outlook.MET, f"{_title(args)} is gone.")
    if not metadata.get("deletionTimestamp"):
        return Seen(Outlook.NOT_YET, f"{_title(args)} is still there.")
    held = [clean(str(entry), 120) for entry in metadata.get("finalizers") or []]
    said = f"{_title(args)} is being deleted{f'; {listing(held)} must let it go' if held else ''}."
    lines = () if memory.get("said") == said else (Line(said),)
    return Seen(Outlook.NOT_YET, said, lines, {**memory, "said": said})


def _metadata(snapshot: Snapshot, args: Mapping[str, Any]) -> Mapping[str, Any] | None:
    raw = snapshot.raw(args["resource"], args["namespace"], args["name"])
    return None if raw is None else raw.get("metadata") or {}


def _title(args: Mapping[str, Any]) -> str:
    return f"{RESOURCES[args['resource']].kind} {args['name']}"
