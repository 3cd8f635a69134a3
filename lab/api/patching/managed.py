"""metadata.managedFields: reading, writing, and who loses what when a document changes. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from lab.api.patching.errors import ApplyConflict, ConflictCause
from lab.api.patching.fieldset import EMPTY, FieldSet, Path, from_fields_v1, in_order, shown, to_fields_v1
from lab.api.patching.typed import Comparison

APPLY = "Apply"
UPDATE = "Update"

# What the server itself sets is owned by nobody (apimachinery managedfields stripMeta).
_STRIPPED: FieldSet = frozenset(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",)]
    + [
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ]
)


class Manager(NamedTuple):
    """Who owns fields. Two versions of one applier are the same manager."""

    name: str
    operation: str
    subresource: str
    api_version: str


@dataclass
class Owned:
    """What a manager owns and since when."""

    fields: FieldSet
    api_version: str
    time: str | None


Managers = dict[Manager, Owned]


def manager_key(name: str, operation: str, subresource: str, api_version: str) -> Manager:
    """The identity of a manager; an applier keeps it across versions."""
    return Manager(name, operation, subresource, "" if operation == APPLY else api_version)


def read_managers(obj: dict[str, Any] | None) -> Managers:
    """The managers of an object; entries that are not in the form of FieldsV1 are left out."""
    found: Managers = {}
    for entry in ((obj or {}).get("metadata") or {}).get("managedFields") or []:
        if not isinstance(entry, dict) or entry.get("operation") not in (APPLY, UPDATE):
            continue
        version = str(entry.get("apiVersion", ""))
        key = manager_key(str(entry.get("manager", "")), entry["operation"], str(entry.get("subresource", "")), version)
        fields = from_fields_v1(entry.get("fieldsV1"))
        if key in found:
            fields |= found[key].fields
        found[key] = Owned(fields, version, entry.get("time"))
    return found


def write_managers(managers: Managers) -> list[dict[str, Any]]:
    """The managedFields list: appliers first, then by time, manager, version and subresource."""
    entries = []
    for key, owned in managers.items():
        entry: dict[str, Any] = {
            "manager": key.name,
            "operation": key.operation,
            "apiVersion": owned.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_fields_v1(owned.fields),
        }
        if owned.time:
            entry["time"] = owned.time
        if key.subresource:
            entry["subresource"] = key.subresource
        entries.append(entry)
    return sorted(
        entries,
        key=lambda e: (e["operation"], e.get("time", ""), e["manager"], e["apiVersion"], e.get("subresource", "")),
    )


def strip(managers: Managers) -> Managers:
    """Without what nobody can own, and without managers that own nothing."""
    kept = {key: Owned(owned.fields - _STRIPPED, owned.api_version, owned.time) for key, owned in managers.items()}
    return {key: owned for key, owned in kept.items() if owned.fields}


def hand_over(managers: Managers, changed: Comparison, taker: Manager, *, force: bool) -> Managers:
    """The managers after `taker` changed fields: others lose what was changed or removed.

    Raises ApplyConflict when not forced and another manager owns a field that was modified or added.
    """
    touched = changed.modified | changed.added
    conflicts = {
        key: owned.fields & touched
        for key, owned in managers.items()
        if key != taker and not owned.fields.isdisjoint(touched)
    }
    if conflicts and not force:
        raise _conflict(conflicts)
    result: Managers = {}
    for key, owned in managers.items():
        fields = owned.fields
        if key != taker:
            fields = fields - conflicts.get(key, EMPTY) - changed.removed
        result[key] = Owned(fields, owned.api_version, owned.time)
    return result


def _conflict(conflicts: dict[Manager, FieldSet]) -> ApplyConflict:
    found: list[tuple[str, Path]] = []
    for key in sorted(conflicts):
        found.extend((_named(key), path) for path in in_order(conflicts[key]))
    causes = [
        ConflictCause(reason="FieldManagerConflict", message=f"conflict with {who}", field=shown(path))
        for who, path in found
    ]
    if len(found) == 1:
        who, path = found[0]
        return ApplyConflict(causes, f"Apply failed with 1 conflict: conflict with {who}: {shown(path)}")
    lines: list[str] = []
    for who in sorted({who for who, _path in found}):
        lines.append(f"conflicts with {who}:")
        lines.extend(f"- {shown(path)}" for owner, path in found if owner == who)
    return ApplyConflict(causes, f"Apply failed with {len(found)} conflicts: " + "\n".join(lines))


def _named(key: Manager) -> str:
    name = json.dumps(key.name, ensure_ascii=False)
    if key.subresource:
        name = f"{name} with subresource {json.dumps(key.subresource, ensure_ascii=False)}"
    return f"{name} using {key.api_version}" if key.operation == UPDATE else name
