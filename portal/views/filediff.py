"""A unified diff as the lines of a page. The text is Git's and not trusted: what hides is made visible."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from common.redaction import visible

_HUNK = re.compile(r"@@ -(\d{1,9})(?:,\d{1,9})? \+(\d{1,9})(?:,\d{1,9})? @@")
_MOST = 500


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a diff: ``kind`` is add, del, same or fold; ``marked`` is the part that changed."""

    kind: str
    lead: str
    marked: str = ""
    tail: str = ""
    old: int | None = None
    new: int | None = None

    @property
    def text(self) -> str:
        return self.lead + self.marked + self.tail


def lines(diff: str) -> Iterator[Line]:
    """The lines of one file's diff with their numbers before and after; a hunk's head is a fold."""
    old = new = 0
    for raw in diff.splitlines():
        head = _HUNK.match(raw)
        if head is not None:
            old, new = int(head[1]), int(head[2])
            yield Line("fold", f"from line {old}")
        elif not old or raw[:1] not in ("+", "-", " ", ""):
            continue
        elif raw[:1] == "+":
            yield Line("add", visible(raw[1:], _MOST), new=new)
            new += 1
        elif raw[:1] == "-":
            yield Line("del", visible(raw[1:], _MOST), old=old)
            old += 1
        else:
            yield Line("same", visible(raw[1:], _MOST), old=old, new=new)
            old, new = old + 1, new + 1
