"""Server-side apply and the managedFields bookkeeping of every other write.

The algorithm is structured-merge-diff's Updater: merge the intent into the live object, take away what the
manager applied before and nobody owns any more, compare with the live object, and let the other owners of
changed fields object (409) or, forced, lose them. Pure; inputs are never changed.
"""

from __future__ import annotations

from typing import Any

from lab.api.patching.errors import PatchError
from lab.api.patching.fieldset import EMPTY, FieldSet
from lab.api.patching.managed import (
    APPLY,
    UPDATE,
    Manager,
    Managers,
    Owned,
    hand_over,
    manager_key,
    read_managers,
    strip,
    write_managers,
)
from lab.api.patching.schema import GVK, GroupVersionKind, Type, is_built_in, resolve, root_type
from lab.api.patching.typed import Comparison, compare, field_set, merge, remove, with_named_parents
from lab.plain import copied

_BEFORE_FIRST_APPLY = "before-first-apply"


def apply(
    live: dict[str, Any] | None,
    intent: dict[str, Any],
    *,
    gvk: GVK,
    manager: str,
    force: bool,
    now: str,
    subresource: str = "",
    schema: dict[str, Any] | None = None,
    status_subresource: bool | None = None,
) -> dict[str, Any]:
    """The object after server-side apply, with metadata.managedFields.

    `now` is RFC 3339 in UTC. `schema` is the openAPIV3Schema of a CRD's version (None: untyped).
    `status_subresource` says whether the kind has /status (None: built-in kinds do). When nothing changes
    the result equals `live` byte for byte. Raises ApplyConflict (409), ApplyInvalid (a field the type does
    not declare), PatchError (400: managedFields in the intent).
    """
    if (intent.get("metadata") or {}).get("managedFields"):
        raise PatchError("metadata.managedFields must be nil")
    kind = root_type(gvk, schema)
    before = _bare(live) if live is not None else {"apiVersion": _version(gvk), "kind": gvk[2]}
    wanted = _bare(intent)
    managers = read_managers(live)
    if live is not None and not managers:
        managers = _unowned(live, gvk, kind, status_subresource)
    who = manager_key(manager, APPLY, subresource, _version(gvk))
    last = managers.get(who)
    ignored = _ignored(gvk, subresource, status_subresource)
    mine = _without(field_set(wanted, kind, strict=True), ignored)
    managers[who] = Owned(mine, _version(gvk), now)
    merged = merge(before, wanted, kind)
    if last is not None and last.fields:
        merged = _prune(merged, managers, last.fields, kind)
    merged = _isolated(before, merged, ignored)
    changed = _visible(compare(before, merged, kind), ignored)
    managers = strip(hand_over(managers, changed, who, force=force))
    if last is not None and merged == before and managers.get(who, Owned(EMPTY, "", None)).fields == last.fields:
        managers[who] = Owned(last.fields, last.api_version, last.time)
    return _with_managers(merged, managers)


def track_update(
    before: dict[str, Any] | None,
    after: dict[str, Any],
    *,
    gvk: GVK,
    manager: str,
    now: str,
    subresource: str = "",
    schema: dict[str, Any] | None = None,
    status_subresource: bool | None = None,
) -> dict[str, Any]:
    """`after` with the managedFields of a create, update or patch by `manager` (defaults already filled in).

    managedFields that the client sent are taken, `[{}]` empties them, none at all keeps those of `before`.
    """
    sent = (after.get("metadata") or {}).get("managedFields")
    result = _bare(after)
    if sent == [{}]:
        return result
    kind = root_type(gvk, schema)
    base = _bare(before) if before is not None else _zero(gvk, kind)
    managers = read_managers(after) or read_managers(before)
    ignored = _ignored(gvk, subresource, status_subresource)
    changed = _visible(compare(base, result, kind), ignored)
    who = manager_key(manager, UPDATE, subresource, _version(gvk))
    managers = hand_over(managers, changed, who, force=True)
    own = managers[who].fields if who in managers else EMPTY
    fields = (own | changed.modified | changed.added) - changed.removed
    if fields != own or changed.modified or changed.added:
        managers[who] = Owned(fields, _version(gvk), now)
    return _with_managers(result, strip(managers))


def _version(gvk: GVK) -> str:
    return GroupVersionKind(*gvk).api_version


def _bare(obj: dict[str, Any]) -> dict[str, Any]:
    """A copy without managedFields."""
    result = copied(obj)
    if isinstance(result.get("metadata"), dict):
        result["metadata"].pop("managedFields", None)
    return result


def _with_managers(obj: dict[str, Any], managers: Managers) -> dict[str, Any]:
    if managers:
        obj.setdefault("metadata", {})["managedFields"] = write_managers(managers)
    return obj


def _unowned(live: dict[str, Any], gvk: GVK, kind: Type, status_subresource: bool | None) -> Managers:
    """An object without any managers belongs to `before-first-apply`, so that apply cannot take it silently."""
    ignored = _ignored(gvk, "", status_subresource)
    changed = _visible(compare(_zero(gvk, kind), _bare(live), kind), ignored)
    who = Manager(_BEFORE_FIRST_APPLY, UPDATE, "", _version(gvk))
    return strip({who: Owned(changed.added | changed.modified, _version(gvk), None)})


def _ignored(gvk: GVK, subresource: str, status_subresource: bool | None) -> tuple[str, ...]:
    """The top-level fields that a write to this (sub)resource cannot change."""
    if subresource == "status":
        return ("spec", "metadata", "!status")
    has_status = is_built_in(gvk) if status_subresource is None else status_subresource
    return ("status",) if has_status and not subresource else ()


def _kept_out(name: str, ignored: tuple[str, ...]) -> bool:
    if "!status" in ignored:
        return name not in ("status", "apiVersion", "kind")
    return name in ignored


def _without(fields: FieldSet, ignored: tuple[str, ...]) -> FieldSet:
    return frozenset(path for path in fields if not _kept_out(path[0][2:], ignored)) if ignored else fields


def _visible(changed: Comparison, ignored: tuple[str, ...]) -> Comparison:
    return Comparison(*(_without(fields, ignored) for fields in changed))


def _isolated(before: dict[str, Any], merged: dict[str, Any], ignored: tuple[str, ...]) -> dict[str, Any]:
    """`merged` with the fields of the other (sub)resource as they were."""
    result = {name: value for name, value in merged.items() if not _kept_out(name, ignored)}
    result |= {name: value for name, value in before.items() if _kept_out(name, ignored)}
    if "metadata" not in result and "metadata" in merged:
        result["metadata"] = merged["metadata"]
    return result


def _prune(merged: dict[str, Any], managers: Managers, last: FieldSet, kind: Type) -> dict[str, Any]:
    """Take away what was applied before, then give back what anybody owns or nobody ever applied."""
    dropped = with_named_parents(last, kind)
    pruned = remove(merged, dropped, kind) or {}
    everything = with_named_parents(field_set(merged, kind), kind)
    owned: FieldSet = frozenset().union(*(entry.fields for entry in managers.values()))
    remaining = with_named_parents(field_set(pruned, kind), kind)
    pruned = remove(merged, everything - (remaining | with_named_parents(owned, kind)), kind) or {}
    remaining = with_named_parents(field_set(pruned, kind), kind)
    kept = remove(merged, (everything - remaining) & dropped, kind) or {}
    result: dict[str, Any] = _without_emptied(kept, merged)
    return result


def _without_emptied(value: Any, original: Any) -> Any:
    """Without the fields that removal left null: the server decodes them as absent."""
    if value == original:
        return value
    if isinstance(value, dict):
        was = original if isinstance(original, dict) else {}
        return {
            name: _without_emptied(inner, was.get(name))
            for name, inner in value.items()
            if inner is not None or (name in was and was[name] is None)
        }
    if isinstance(value, list):
        return [_without_emptied(item, None) for item in value]
    return value


_POD_TEMPLATE: dict[str, Any] = {"metadata": {}, "spec": {"containers": None}}
_ZERO_SPECS: dict[str, dict[str, Any]] = {
    "Pod": {"containers": None},
    "Deployment": {"strategy": {}, "template": _POD_TEMPLATE},
    "ReplicaSet": {"template": _POD_TEMPLATE},
    "StatefulSet": {"updateStrategy": {}, "template": _POD_TEMPLATE},
    "DaemonSet": {"updateStrategy": {}, "template": _POD_TEMPLATE},
    "Job": {"template": _POD_TEMPLATE},
    "CronJob": {"jobTemplate": {"metadata": {}, "spec": {"template": _POD_TEMPLATE}}},
    "PersistentVolumeClaim": {"resources": {}},
}


def _zero(gvk: GVK, kind: Type) -> dict[str, Any]:
    """The empty object a create is compared with: Go structs held by value are there before anyone sets them."""
    base: dict[str, Any] = {"apiVersion": _version(gvk), "kind": gvk[2]}
    if not is_built_in(gvk):
        return {**base, "metadata": {}}
    shape = resolve(kind)
    base.update({name: {} for name in ("metadata", "spec", "status") if isinstance(shape, dict) and name in shape})
    if gvk[2] in _ZERO_SPECS:
        base["spec"] = copied(_ZERO_SPECS[gvk[2]])
    if gvk[2] == "Service":
        base["status"] = {"loadBalancer": {}}
    return base
