"""Walking a document along its type, as structured-merge-diff does: field sets, comparison, merge, removal.

Pure. Fields that the type does not declare count as untyped, except where `strict` asks for an error:
what a client applies must fit, what is already stored must never make the server fall over.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from lab.api.patching.errors import ApplyInvalid
from lab.api.patching.fieldset import (
    FieldSet,
    Node,
    Path,
    field_element,
    key_element,
    shown,
    tree,
    value_element,
)
from lab.api.patching.schema import DEDUCED, REST, SCALAR, Type, resolve

_KEY_DEFAULTS = {"protocol": "TCP"}  # ContainerPort and ServicePort: the only defaulted list keys of the API


class _Missing:
    """No such field, which is not the same as null."""


MISSING = _Missing()


class Comparison(NamedTuple):
    """What differs between two documents."""

    removed: FieldSet
    modified: FieldSet
    added: FieldSet


def shape_of(kind: Type, *values: Any) -> tuple[str, Type]:
    """What to do with values of this type: `scalar`, `atomic`, `map`, `list`, and the resolved type."""
    shape = resolve(kind)
    if isinstance(shape, dict):
        return "map", shape
    if shape == SCALAR:
        return "scalar", shape
    if shape[0] == "D":
        present = next((v for v in values if v is not MISSING and v is not None), None)
        return ("map", shape) if isinstance(present, dict) else ("atomic", shape)
    return {"M": "map", "L": "list", "S": "list", "A": "atomic"}[str(shape[0])], shape


def _child_type(shape: Type, name: str) -> tuple[Type, bool]:
    """The type of a field and whether the type names it."""
    if isinstance(shape, dict):
        if name in shape:
            return shape[name], True
        return shape.get(REST, DEDUCED), False
    return (shape[1] if isinstance(shape, list) and shape[0] == "M" else DEDUCED), False


def _item_type(shape: Type) -> Type:
    if not isinstance(shape, list):
        return DEDUCED
    kind: Type = shape[2] if shape[0] == "L" else shape[1]
    return kind


def item_element(shape: Type, item: Any, path: Path) -> str:
    """The path element of a list's item; raises ApplyInvalid when it lacks all of its keys."""
    if not isinstance(shape, list) or shape[0] == "S":
        return value_element(item)
    if not isinstance(item, dict):
        raise ApplyInvalid(f"{shown(path)}: associative list with keys may not have non-map elements")
    defaults = shape[3] if len(shape) > 3 else _KEY_DEFAULTS
    keys = {key: item.get(key, defaults.get(key)) for key in shape[1]}
    known = {key: value for key, value in keys.items() if value is not None}
    if not known:
        missing = ", ".join(repr(key) for key in shape[1])
        raise ApplyInvalid(
            f"{shown(path)}: element: associative list with keys has an element that omits key field {missing}"
        )
    return key_element(known)


def field_set(value: Any, kind: Type, *, strict: bool = False) -> FieldSet:
    """Every field that a document sets. Raises ApplyInvalid when strict and a field is not declared."""
    found: set[Path] = set()
    _collect(value, kind, (), found, strict)
    return frozenset(found)


def _collect(value: Any, kind: Type, path: Path, found: set[Path], strict: bool) -> None:
    what, shape = shape_of(kind, value)
    if what in ("scalar", "atomic"):
        if path:
            found.add(path)
    elif what == "map" and isinstance(value, dict):
        _collect_map(value, shape, path, found, strict)
    elif what == "list" and isinstance(value, list):
        seen: set[str] = set()
        for item in value:
            element = item_element(shape, item, path)
            if strict and element in seen:
                raise ApplyInvalid(f"{shown(path)}: duplicate entries for key {shown((element,))}")
            seen.add(element)
            _collect(item, _item_type(shape), (*path, element), found, strict)
            found.add((*path, element))
    elif value is not None and strict:
        raise ApplyInvalid(f"{shown(path)}: expected {what}, got {type(value).__name__}")


def _collect_map(value: dict[str, Any], shape: Type, path: Path, found: set[Path], strict: bool) -> None:
    for name, inner in value.items():
        below = (*path, field_element(name))
        kind, named = _child_type(shape, name)
        if strict and not named and isinstance(shape, dict) and REST not in shape:
            raise ApplyInvalid(f"{shown(below)}: field not declared in schema")
        _collect(inner, kind, below, found, strict)
        if not named or inner is None or inner == {}:
            found.add(below)


def with_named_parents(paths: FieldSet, kind: Type) -> FieldSet:
    """The set with every struct field above a member added (structured-merge-diff EnsureNamedFieldsAreMembers)."""
    found = set(paths)

    def visit(node: Node, inner: Type, path: Path) -> None:
        shape = resolve(inner)
        for element, child in node.children.items():
            below = (*path, element)
            if element.startswith("f:") and (isinstance(shape, dict) or shape[:1] in (["M"], ["D"])):
                next_type, named = _child_type(shape, element[2:])
                if named and child.children:
                    found.add(below)
            elif isinstance(shape, list) and shape[0] in ("L", "S"):
                next_type = _item_type(shape)
            else:
                next_type = DEDUCED
            visit(child, next_type, below)

    visit(tree(paths), kind, ())
    return frozenset(found)


def compare(old: Any, new: Any, kind: Type) -> Comparison:
    """What was removed, modified and added from old to new, at the grain at which fields are owned."""
    removed: set[Path] = set()
    modified: set[Path] = set()
    added: set[Path] = set()

    def visit(lhs: Any, rhs: Any, inner: Type, path: Path) -> None:
        what, shape = shape_of(inner, rhs, lhs)
        if what in ("scalar", "atomic") or (_is_empty(lhs) and _is_empty(rhs)) or not _fit(what, lhs, rhs):
            if lhs is MISSING:
                added.add(path)
            elif rhs is MISSING:
                removed.add(path)
            elif not _equal(lhs, rhs):
                modified.add(path)
            return
        for element, left, right, child in _pairs(what, shape, lhs, rhs, path):
            visit(left, right, child, (*path, element))
        if lhs is MISSING:
            added.add(path)
        elif rhs is MISSING:
            removed.add(path)

    visit(old, new, kind, ())
    return Comparison(frozenset(removed), frozenset(modified), frozenset(added))


def _is_empty(value: Any) -> bool:
    return value is MISSING or value is None or value in ({}, [])


def _fit(what: str, lhs: Any, rhs: Any) -> bool:
    """Whether both values have the form that the type says; a wrong one is compared as a whole."""
    form = dict if what == "map" else list
    return all(_is_empty(value) or isinstance(value, form) for value in (lhs, rhs))


def _equal(lhs: Any, rhs: Any) -> bool:
    return bool(lhs == rhs) and isinstance(lhs, bool) == isinstance(rhs, bool)


def _pairs(what: str, shape: Type, lhs: Any, rhs: Any, path: Path) -> list[tuple[str, Any, Any, Type]]:
    left = _index(what, shape, lhs, path)
    right = _index(what, shape, rhs, path)
    pairs = []
    for element in {**left, **right}:
        child = _child_type(shape, element[2:])[0] if what == "map" else _item_type(shape)
        pairs.append((element, left.get(element, MISSING), right.get(element, MISSING), child))
    return pairs


def _index(what: str, shape: Type, value: Any, path: Path) -> dict[str, Any]:
    if value is MISSING or not value:
        return {}
    if what == "map":
        return {field_element(name): inner for name, inner in value.items()}
    return {item_element(shape, item, path): item for item in value}


def merge(live: Any, intent: Any, kind: Type, path: Path = ()) -> Any:
    """The live document with everything the intent says; lists keep a common order of both."""
    if intent is MISSING:
        return live
    what, shape = shape_of(kind, intent, live)
    if live is MISSING or live is None or what in ("scalar", "atomic") or not _fit(what, live, intent):
        return intent
    if what == "map":
        result = dict(live)
        for name, value in (intent or {}).items():
            child, _named = _child_type(shape, name)
            result[name] = merge(live.get(name, MISSING), value, child, (*path, field_element(name)))
        return result
    return _merge_list(live or [], intent or [], shape, path)


def _merge_list(live: list[Any], intent: list[Any], shape: Type, path: Path) -> list[Any]:
    """Items of both lists; the intent's order wins, items only the live list has keep their neighbours."""
    left = [item_element(shape, item, path) for item in live]
    right = [item_element(shape, item, path) for item in intent]
    by_left = dict(zip(left, live, strict=True))
    by_right = dict(zip(right, intent, strict=True))
    shared = [element for element in right if element in by_left]
    taken: set[str] = set()
    out: list[Any] = []

    def take(element: str) -> None:
        taken.add(element)
        child = merge(by_left.get(element, MISSING), by_right[element], _item_type(shape), (*path, element))
        out.append(child)
        if shared and shared[0] == element:
            shared.pop(0)

    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right):
            if left[i] == right[j]:
                take(left[i])
                i, j = i + 1, j + 1
                continue
            if left[i] in by_right and shared and shared[0] != left[i]:
                i += 1
                continue
        if i < len(left):
            if left[i] not in by_right:
                out.append(live[i])
                i += 1
                continue
            if left[i] in taken:
                i += 1
        if j < len(right):
            take(right[j])
            j += 1
    return out


def remove(value: Any, paths: FieldSet, kind: Type) -> Any:
    """The document without the fields in the set; a list or map left empty becomes null."""
    return _remove(value, tree(paths), kind, ())


def _remove(value: Any, node: Node, kind: Type, path: Path) -> Any:
    what, shape = shape_of(kind, value)
    if what == "map" and isinstance(value, dict):
        kept: dict[str, Any] = {}
        for name, inner in value.items():
            child = node.children.get(field_element(name))
            if child is None:
                kept[name] = inner
            elif not child.member:
                kept[name] = _remove(inner, child, _child_type(shape, name)[0], (*path, field_element(name)))
        return kept or None
    if what == "list" and isinstance(value, list):
        items = []
        for item in value:
            element = item_element(shape, item, path)
            child = node.children.get(element)
            if child is None:
                items.append(item)
            elif not child.member:
                items.append(_remove(item, child, _item_type(shape), (*path, element)))
        return items or None
    return None if what == "atomic" and node.children else value
