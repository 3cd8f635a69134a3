"""Unified diffs of text that may hold credentials: no line that holds one is ever in them. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from deployments.catalogue.argo import credentials

_CONTEXT = 3
#: lines around a change that stand in so many places that no more of them help
_MOST_CONTEXT = 40
#: lines times lines that are compared; values come from the cluster and may be made to be slow
_MOST_WORK = 4_000_000
NOT_FINDABLE = "the lines around it are not enough to find the place without showing a credential"


@dataclass(frozen=True, slots=True)
class Block:
    """The lines of a text, and which of them (from 0) hold a credential."""

    lines: list[str]
    hidden: set[int]

    @classmethod
    def of(cls, text: str) -> Block:
        return cls(text.splitlines(), credentials.lines_of(text))


@dataclass(frozen=True, slots=True)
class Hunk:
    """One stretch of changes: its ranges of lines (from 0) before and after, and how many lines stand around them."""

    before: tuple[int, int]
    after: tuple[int, int]
    lines: tuple[str, ...]
    leading: int
    trailing: int


def between(before: Block, after: Block, *, findable: bool) -> list[Hunk]:
    """The changes with the lines around them. ``findable``: with as many as make each of them stand once only; else
    line numbers say where it is. :raises ValueError: not without a credential."""
    groups: list[tuple[int, int, list[tuple[int, int, int, int]]]] = []
    for i1, i2, j1, j2 in _changes(before.lines, after.lines):
        if before.hidden & set(range(i1, i2)) or after.hidden & set(range(j1, j2)):
            raise ValueError("a line that holds a credential would have to change; do it by hand")
        low, high = _findable(before, i1, i2) if findable else _around(before, i1, i2)
        if groups and groups[-1][1] >= low:
            first, _, changes = groups.pop()
            groups.append((min(first, low), high, [*changes, (i1, i2, j1, j2)]))
        else:
            groups.append((low, high, [(i1, i2, j1, j2)]))
    return [_hunk(before.lines, after.lines, *group) for group in groups]


def _around(block: Block, first: int, end: int) -> tuple[int, int]:
    low, high = first, end
    for _ in range(_CONTEXT):
        low -= int(low > 0 and low - 1 not in block.hidden)
        high += int(high < len(block.lines) and high not in block.hidden)
    return low, high


def _changes(before: list[str], after: list[str]) -> Iterable[tuple[int, int, int, int]]:
    """The ranges that differ, as ``(from, to)`` in each. :raises ValueError: too much to compare."""
    first = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    same = 0
    while same < min(len(before), len(after)) - first and before[-1 - same] == after[-1 - same]:
        same += 1
    old, new = before[first : len(before) - same], after[first : len(after) - same]
    if len(old) * len(new) > _MOST_WORK:
        raise ValueError("the changes lie too far apart in values that are too long; make them one by one")
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield i1 + first, i2 + first, j1 + first, j2 + first


def _findable(block: Block, first: int, end: int) -> tuple[int, int]:
    """The range around a change that stands once only in the block."""
    lines, (low, high) = block.lines, (first, end)
    for grown in range(_MOST_CONTEXT):
        before = (low, high)
        once = low < high and _count(lines, lines[low:high]) == 1
        if once and grown >= _CONTEXT:
            return low, high
        low -= int(low > 0 and low - 1 not in block.hidden)
        high += int(high < len(lines) and high not in block.hidden)
        if before == (low, high) and once:
            return low, high
        if before == (low, high):
            break
    raise ValueError(NOT_FINDABLE)


def _count(lines: list[str], part: list[str]) -> int:
    return sum(1 for at in range(len(lines) - len(part) + 1) if lines[at : at + len(part)] == part)


def _hunk(before: list[str], after: list[str], low: int, high: int, changes: list[tuple[int, int, int, int]]) -> Hunk:
    lines: list[str] = []
    at = low
    for i1, i2, j1, j2 in changes:
        lines += [f" {line}" for line in before[at:i1]]
        lines += [f"-{line}" for line in before[i1:i2]]
        lines += [f"+{line}" for line in after[j1:j2]]
        at = i2
    lines += [f" {line}" for line in before[at:high]]
    (i1, _, j1, _), (_, i2, _, j2) = changes[0], changes[-1]
    new = (j1 - (i1 - low), j2 + (high - i2))
    return Hunk((low, high), new, tuple(lines), leading=i1 - low, trailing=high - i2)


def flag_of(hunks: Iterable[Hunk]) -> str:
    """Git takes a hunk without lines after the change for the end of the file, unless told that less will do."""
    least = [hunk.leading - 1 for hunk in hunks if not hunk.trailing]
    if least and min(least) < 0:
        raise ValueError(NOT_FINDABLE)
    return f" -C{min(least)}" if least else ""


def shown(hunk: Hunk, indent: str = "", offset: int = 1) -> list[str]:
    """The hunk as lines of a unified diff. ``offset``: the number of the first line of what was compared."""
    (a, b), (c, d) = hunk.before, hunk.after
    head = f"@@ -{a + offset},{b - a} +{c + offset},{d - c} @@"
    return [head, *(line[0] + (indent + line[1:] if line[1:] else "") for line in hunk.lines)]


def heading(path: str) -> list[str]:
    """What stands above the hunks of a file."""
    return [f"diff --git a/{path} b/{path}", f"--- a/{path}", f"+++ b/{path}"]
