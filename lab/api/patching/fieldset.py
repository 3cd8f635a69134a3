"""Sets of field paths and FieldsV1, the form in which managedFields stores them.

A path is a tuple of FieldsV1's own words (`f:name`, `k:{"name":"a"}`, `v:"x"`), a set of fields is a
frozenset of paths. A path that is in the set says that this very field is owned, not what is below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

Path = tuple[str, ...]
FieldSet = frozenset[Path]
EMPTY: FieldSet = frozenset()


class Node:
    """A set of paths as a tree; `member` says that the path up to here is in the set."""

    __slots__ = ("children", "member")

    def __init__(self) -> None:
        self.member = False
        self.children: dict[str, Node] = {}


def tree(paths: Iterable[Path]) -> Node:
    """The tree of a set of paths."""
    root = Node()
    for path in paths:
        node = root
        for element in path:
            node = node.children.setdefault(element, Node())
        node.member = True
    return root


def field_element(name: str) -> str:
    """The path element of a struct's or map's field."""
    return f"f:{name}"


def key_element(keys: dict[str, Any]) -> str:
    """The path element of an item of a list by keys."""
    return "k:" + json.dumps(keys, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def value_element(value: Any) -> str:
    """The path element of an item of a set."""
    return "v:" + json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def to_fields_v1(paths: Iterable[Path]) -> dict[str, Any]:
    """The FieldsV1 document of a set of paths."""
    return _written(tree(paths), root=True)


def _written(node: Node, *, root: bool = False) -> dict[str, Any]:
    below = {element: _written(child) for element, child in sorted(node.children.items())}
    return {".": {}, **below} if node.member and below and not root else below


def from_fields_v1(fields: Any) -> FieldSet:
    """The set of paths of a FieldsV1 document; what is not one counts as empty."""
    found: set[Path] = set()
    if isinstance(fields, dict):
        _read(fields, (), found)
    return frozenset(found)


def _read(fields: dict[str, Any], path: Path, found: set[Path]) -> None:
    if path and (not fields or "." in fields):
        found.add(path)
    for element, inner in fields.items():
        if element != "." and isinstance(inner, dict):
            _read(inner, (*path, element), found)


def in_order(paths: Iterable[Path]) -> list[Path]:
    """The paths in the order in which a server lists them: a level's own members first, then deeper ones."""
    found: list[Path] = []

    def visit(node: Node, path: Path) -> None:
        children = sorted(node.children.items())
        found.extend((*path, element) for element, child in children if child.member)
        for element, child in children:
            visit(child, (*path, element))

    visit(tree(paths), ())
    return found


def shown(path: Path) -> str:
    """A path as messages write it: `.spec.template.spec.containers[name="a"].image`."""
    return "".join(_shown_element(element) for element in path)


def _shown_element(element: str) -> str:
    kind, _, text = element.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "v":
        return f"[={text}]"
    keys = json.loads(text)
    return "[" + ",".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in sorted(keys.items())) + "]"
