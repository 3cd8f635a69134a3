"""Strategic merge patch as an API server (and kubectl) carries it out, directives included. Pure.

The order rules are those of apimachinery's strategicpatch: the patch's order first, items that only the
server has stay in their old places between them.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from lab.api.patching.errors import PatchError, PatchOrderError
from lab.api.patching.schema import GVK, TABLES, Type, resolve, root_type
from lab.plain import copied

_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_RETAIN = "$retainKeys"
_DIRECTIVE = "$patch"
_INLINED = {"core.v1.EphemeralContainer": "core.v1.EphemeralContainerCommon"}


class _Field:
    """How one field merges: its own type, whether lists merge, by which key, whether maps replace."""

    __slots__ = ("key", "merges", "replaces", "type")

    def __init__(self, kind: Type, strategies: str, key: str | None) -> None:
        words = strategies.split(",")
        self.type = kind
        self.merges = "merge" in words
        self.replaces = "replace" in words
        self.key = key


@cache
def _keys() -> dict[str, tuple[str, str | None]]:
    loaded = json.loads((TABLES / "strategic-merge-keys.json").read_text())
    return {name: (strategy, key) for name, (strategy, key) in loaded.items()}


def _field(owner: Type, name: str) -> _Field:
    """How `owner.name` merges. Inside an untyped value objects merge and lists replace."""
    shape = resolve(owner)
    if isinstance(shape, dict):
        child: Type = shape.get(name, ["D"])
    elif isinstance(shape, list) and shape[0] == "M":
        child = shape[1]
    else:
        child = ["D"]
    strategy, key = "", None
    if isinstance(owner, str) and owner:
        short = ".".join(owner.split(".")[-3:])
        for candidate in (short, _INLINED.get(short, "")):
            if f"{candidate}.{name}" in _keys():
                strategy, key = _keys()[f"{candidate}.{name}"]
    return _Field(child, strategy, key)


def _element(kind: Type) -> Type:
    shape = resolve(kind)
    if isinstance(shape, list) and shape[0] in ("L", "S", "M"):
        element: Type = shape[2] if shape[0] == "L" else shape[1]
        return element
    return ["D"]


def strategic_merge(group_version_kind: GVK, doc: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The document after a strategic merge patch; raises PatchError (400) for a malformed directive."""
    return _merge_map(copied(doc), copied(patch), root_type(group_version_kind))


def _merge_map(original: dict[str, Any], patch: dict[str, Any], kind: Type) -> dict[str, Any]:
    if _DIRECTIVE in patch:
        return _directive(patch)
    _retain_keys(original, patch)
    _set_element_orders(original, patch, kind)
    for key, value in patch.items():
        removing = key.startswith(_DELETE_PRIMITIVES)
        name = key.removeprefix(_DELETE_PRIMITIVES)
        if removing:
            if isinstance(original.get(name), list) and isinstance(value, list):
                original[name] = [item for item in original[name] if item not in value]
        elif value is None:
            original.pop(name, None)
        elif name not in original or type(original[name]) is not type(value):
            original[name] = _without_directives(value)
        else:
            original[name] = _merge_value(original[name], value, _field(kind, name))
    return original


def _directive(patch: dict[str, Any]) -> dict[str, Any]:
    word = patch[_DIRECTIVE]
    if word == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if word == "delete":
        return {}
    raise PatchError(f"unknown patch type: {word} in map: {_shown(patch)}")


def _shown(value: Any) -> str:
    """A value as Go prints it, which is what the API server's messages hold."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_shown(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_shown, value))}]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _merge_value(original: Any, value: Any, field: _Field) -> Any:
    if isinstance(value, dict):
        if field.replaces:
            return _without_directives(value)
        return _merge_map(original, value, field.type)
    if isinstance(value, list) and field.merges:
        return _merge_list(original, value, field)
    return value  # a list that replaces is taken as it is: a directive in it is no directive


def _retain_keys(original: dict[str, Any], patch: dict[str, Any]) -> None:
    if _RETAIN not in patch:
        return
    kept = patch.pop(_RETAIN)
    if not isinstance(kept, list):
        raise PatchError("invalid format of $retainKeys: not a list")
    stray = [key for key in patch if not key.startswith("$") and patch[key] is not None and key not in kept]
    if stray:
        raise PatchError(f"{sorted(stray)} not in the $retainKeys list")
    for key in [key for key in original if key not in kept]:
        del original[key]


def _set_element_orders(original: dict[str, Any], patch: dict[str, Any], kind: Type) -> None:
    """Carry out `$setElementOrder/x` together with the patch of x itself."""
    for directive in [key for key in patch if key.startswith(_ORDER)]:
        wanted = patch.pop(directive)
        name = directive.removeprefix(_ORDER)
        removed = patch.pop(_DELETE_PRIMITIVES + name, [])
        before = original.get(name)
        change = patch.pop(name, None)
        if before is None and change is None:
            continue
        field = _field(kind, name)
        _check_order(name, change, wanted, field.key)
        if before is None:
            merged = _without_directives(change)
        elif change is None:
            merged = before
        else:
            merged = _merge_list(before, change, field)
        merged = [item for item in merged if item not in removed]
        original[name] = _ordered(merged, wanted, before or [], field.key)


def _check_order(name: str, change: Any, wanted: list[Any], key: str | None) -> None:
    """A patch's own items must stand in the order that it asks for."""
    kept = [item for item in change or [] if not (isinstance(item, dict) and item.get(_DIRECTIVE) == "delete")]
    rest = iter(_identity(item, key) for item in wanted)
    if not all(_identity(item, key) in rest for item in kept):
        raise PatchOrderError(f"The order in patch list of {name} doesn't match $setElementOrder list")


def _merge_list(original: list[Any], patch: list[Any], field: _Field) -> list[Any]:
    if not original and not patch:
        return original
    if not all(isinstance(item, dict) for item in [*original, *patch]):
        merged = original + [item for item in patch if item not in original]
        return _ordered(merged, patch, original, None)
    if field.key is None:
        raise PatchError("map: cannot merge a list of objects without a merge key")
    if any(item.get(_DIRECTIVE) == "replace" for item in patch):
        return [_without_directives(item) for item in patch if _DIRECTIVE not in item]
    deleted = [_key_of(item, field.key) for item in patch if item.get(_DIRECTIVE) == "delete"]
    left = [item for item in original if item.get(field.key) not in deleted]
    changes = [item for item in patch if _DIRECTIVE not in item]
    merged = list(left)
    for change in changes:
        wanted = _key_of(change, field.key)
        for index, item in enumerate(merged):
            if item.get(field.key) == wanted:
                merged[index] = _merge_map(item, change, _element(field.type))
                break
        else:
            merged.append(_without_directives(change))
    return _ordered(merged, changes, left, field.key)


def _key_of(item: dict[str, Any], key: str) -> Any:
    if item.get(key) is None:
        raise PatchError(f"map: {_shown(item)} does not contain declared merge key: {key}")
    return item[key]


def _identity(item: Any, key: str | None) -> Any:
    return item.get(key) if key is not None and isinstance(item, dict) else item


def _ordered(merged: list[Any], patch_order: list[Any], server_order: list[Any], key: str | None) -> list[Any]:
    """`merged` in the patch's order, with the server's own items kept where they were between them."""
    wanted = [_identity(item, key) for item in patch_order]
    before = [_identity(item, key) for item in server_order]

    def place(order: list[Any], item: Any) -> int:
        identity = _identity(item, key)
        return order.index(identity) if identity in order else len(order)

    from_patch = sorted((m for m in merged if _identity(m, key) in wanted), key=lambda m: place(wanted, m))
    own = sorted((m for m in merged if _identity(m, key) not in wanted), key=lambda m: place(before, m))
    result: list[Any] = []
    while own or from_patch:
        own_first = bool(own) and (not from_patch or place(before, own[0]) < place(before, from_patch[0]) < len(before))
        result.append(own.pop(0) if own_first else from_patch.pop(0))
    return result


def _without_directives(value: Any) -> Any:
    """A patch value as it is stored where nothing was: directives and nulls are not data.

    What carries a `$patch` directive is dropped whole then, also with `replace` or `merge`: there is nothing to merge
    with, and apimachinery takes it for a directive alone.
    """
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return {}
        return {
            key: _without_directives(inner)
            for key, inner in value.items()
            if inner is not None and key != _RETAIN and not key.startswith((_ORDER, _DELETE_PRIMITIVES))
        }
    if isinstance(value, list):
        return [_without_directives(item) for item in value if not (isinstance(item, dict) and _DIRECTIVE in item)]
    return value
