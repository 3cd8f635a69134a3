"""Makes a difference readable: what belongs together in one row, what is only removed with its parent counted. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]

#: a removed part with more fields than this is one row that says how many
_MANY = 6
#: what was removed stands two levels deep (``status.operationState``); its own plain fields stay visible
_ROOT = 2
_PIECES = re.compile(r'\[\d+\]|\["(?:[^"\\]|\\.)*"\]|[:.]?[^.:\[\]]+')
_DIGITS = re.compile(r"(\d+)")


def fold(changes: list[Row]) -> tuple[list[Row], int]:
    """The rows to show, and how many fields they stand for beyond themselves.

    A list entry that is wholly new or wholly gone is one row; so is a removed part of more than six fields that lies
    below something removed (the result of a past operation, say).
    """
    rows = _entries(changes, "after", "before")
    rows = _entries(rows, "before", "after")
    rows = _removed(rows)
    rows.sort(key=lambda row: [int(p) if p.isdigit() else p for p in _DIGITS.split(row["path"])])
    return rows, len(changes) - len(rows)


def _entries(changes: list[Row], there: str, empty: str) -> list[Row]:
    """Entries of lists in one row each, when every field of the entry is only on one side."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in changes:
        entry = _entry_of(row["path"])
        if entry:
            groups[entry].append(row)
    whole = {e for e, rows in groups.items() if len(rows) > 1 and all(r[empty] is None for r in rows)}
    kept = [row for row in changes if _entry_of(row["path"]) not in whole]
    return kept + [{"path": e, there: _words(e, groups[e], there), empty: None} for e in whole]


def _entry_of(path: str) -> str:
    """The path up to its last list index, if something follows it and nothing deeper than one field."""
    pieces = _PIECES.findall(path)
    if len(pieces) < 2 or not re.fullmatch(r"\[\d+\]", pieces[-2]):
        return ""
    return "".join(pieces[:-1])


def _words(entry: str, rows: list[Row], side: str) -> str:
    parts = (f"{row['path'][len(entry) :].lstrip('.')}: {row[side]}" for row in rows if row[side] not in ("", None))
    return "{" + ", ".join(parts) + "}"


def _removed(changes: list[Row]) -> list[Row]:
    """Parts of something that is removed whole, counted when they are large."""
    counted: dict[str, int] = defaultdict(int)
    alive: set[str] = set()
    for row in changes:
        for parent in _parents(row["path"]):
            counted[parent] += 1
            if row["after"] is not None:
                alive.add(parent)
    rows: list[Row] = []
    done: set[str] = set()
    for row in changes:
        part = _large_part(row["path"], counted, alive)
        if not part:
            rows.append(row)
        elif part not in done:
            done.add(part)
            rows.append({"path": part, "before": f"({counted[part]} fields)", "after": None})
    return rows


def _large_part(path: str, counted: Mapping[str, int], alive: set[str]) -> str:
    """The outermost large part below what was removed."""
    dead = [parent for parent in _parents(path) if parent not in alive]
    return next((parent for parent in dead[_ROOT:] if counted[parent] > _MANY), "")


def _parents(path: str) -> list[str]:
    pieces = _PIECES.findall(path)
    return ["".join(pieces[:end]) for end in range(1, len(pieces))]
