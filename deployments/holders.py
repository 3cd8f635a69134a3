"""Who holds a field: ``metadata.managedFields`` read for the rows of a difference. Pure.

Format (Kubernetes docs, *Server-Side Apply*, FieldsV1): a tree of ``f:<name>`` for fields, ``k:{"name":"x"}`` for list
entries by their keys, ``v:<value>`` for entries of sets, ``.`` for the map or entry itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Row = dict[str, Any]
Path = tuple[str | int, ...]

_PIECES = re.compile(r'\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\.?([^.:\[\]]+)')


def named(rows: Iterable[Row], live: Mapping[str, Any]) -> list[Row]:
    """The rows; those whose field (or what it stands under) somebody wrote say who by ``manager``."""
    held = list(_held(live))
    found = ((row, _manager(_tokens(row["path"]), held)) for row in rows)
    return [{**row, "manager": manager} if manager else row for row, manager in found]


def _manager(path: Path, held: list[tuple[Path, str]]) -> str:
    """The manager of the longest field that is this path, lies on the way to it, or below it."""
    best, found = -1, ""
    for field, manager in held:
        shared = min(len(field), len(path))
        if field[:shared] == path[:shared] and len(field) >= 2 and shared > best:
            best, found = shared, manager
    return found


def _held(live: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Every field with its manager. What a manager only keeps a status in is left out."""
    for entry in live.get("metadata", {}).get("managedFields") or []:
        if not isinstance(entry, Mapping) or entry.get("subresource"):
            continue
        manager = str(entry.get("manager", ""))[:80]
        for path in _fields((), entry.get("fieldsV1"), live):
            yield path, manager


def _fields(path: Path, tree: Any, value: Any) -> Iterator[Path]:
    if not isinstance(tree, Mapping) or not tree:
        if path:
            yield path
        return
    for name, inner in tree.items():
        kind, _, rest = str(name).partition(":")
        if name == ".":
            continue
        if kind == "f":
            yield from _fields((*path, rest), inner, value.get(rest) if isinstance(value, Mapping) else None)
        elif kind == "k" and isinstance(value, list):
            index = _index(rest, value)
            if index is not None:
                yield from _fields((*path, index), inner, value[index])
        elif path:
            yield path


def _index(keys: str, entries: list[Any]) -> int | None:
    try:
        wanted = json.loads(keys)
    except ValueError:
        return None
    for index, entry in enumerate(entries):
        if isinstance(entry, Mapping) and all(entry.get(k) == v for k, v in wanted.items()):
            return index
    return None


def _tokens(path: str) -> Path:
    """A leaf's path (``spec.x["a/b"][0].c``) as its parts; what stands behind a colon lies inside a text."""
    found: list[str | int] = []
    for index, quoted, plain in _PIECES.findall(path.partition(":")[0] if '"' not in path else path):
        if index:
            found.append(int(index))
        elif quoted:
            found.append(json.loads(f'"{quoted}"'))
        else:
            found.append(plain)
    return tuple(found)
