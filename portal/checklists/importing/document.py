"""Markdown as a list of units, each with its lines and what stands above it. Pure; any text is accepted.

A *unit* is what a person would point at: a heading, a line of a paragraph, a list item, a table cell, a line of code.
Lines are numbered from 1 in the text with its line ends normalised. What looks like a credential is masked before
anything else sees it, line by line, so that the numbers stay true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from markdown_it import MarkdownIt
from markdown_it.token import Token

from common.redaction import MASK, redact, visible

MAX_BYTES = 2 * 1024 * 1024
_LINE_LIMIT = 4000
_NEWLINES = re.compile(r"\r\n?|\n")
_KEY_BEGIN, _KEY_END = "-----BEGIN ", "-----END "
_DELIMITER = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_RULE = re.compile(r"^\s{0,3}(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,}|=+\s*)$")
_BOX = re.compile(r"\[[ xX]\](?:\s|$)")
_LABEL = re.compile(r"[^:=]*[:=][\W_]*")
_FENCE = re.compile(r"^\s*(?:[>\-*+\s]*)(?:`{3,}|~{3,})")


class ReportError(ValueError):
    """The report cannot be read at all. ``str()`` is the sentence to show."""


class Kind(StrEnum):
    """What a unit is."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    ITEM = "item"
    CELL = "cell"
    CODE = "code"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing to understand. ``first`` and ``last`` are line numbers, inclusive.

    ``headings`` are indexes of the headings above, ``parents`` those of the list items around it, both nearest
    first; ``label`` the paragraph before its list (``**Namespaces:**``). ``column`` and ``row`` are the heading
    and the first cell of a table cell's column and row.
    """

    index: int
    kind: Kind
    text: str
    first: int
    last: int
    level: int = 0
    headings: tuple[int, ...] = ()
    parents: tuple[int, ...] = ()
    label: int | None = None
    ordered: bool = False
    checked: bool | None = None
    column: str = ""
    row: str = ""
    cell: int = 0
    header: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Document:
    """The text line by line, and its units in order."""

    lines: tuple[str, ...]
    units: tuple[Unit, ...] = ()

    def above(self, unit: Unit) -> Iterator[Unit]:
        """List items around it, its label, then its headings: nearest first."""
        for index in unit.parents:
            yield self.units[index]
        if unit.label is not None:
            yield self.units[unit.label]
        for index in unit.headings:
            yield self.units[index]

    def structural(self, line: int) -> bool:
        """Whether a line says nothing by itself: blank, a rule, a fence, the line under a table's head."""
        text = self.lines[line - 1]
        return not text.strip() or bool(_RULE.match(text) or _FENCE.match(text) or _DELIMITER.match(text))


def decode(raw: bytes) -> str:
    """The text of a report file. :raises ReportError: not UTF-8, or too large."""
    if len(raw) > MAX_BYTES:
        raise ReportError(f"The report has {len(raw) / 1e6:.1f} MB; at most {MAX_BYTES // 1024 // 1024} MB are read.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ReportError(f"The report is not UTF-8 text (line {line}). Save it as UTF-8 and try again.") from error


def parse(markdown: str) -> Document:
    """Any text as a document. :raises ReportError: it is too large."""
    if len(markdown) > MAX_BYTES:
        raise ReportError(f"The report is longer than {MAX_BYTES // 1024 // 1024} MB.")
    lines = tuple(_masked(_NEWLINES.split(markdown)))
    parser = MarkdownIt("commonmark", {"maxNesting": 40}).enable(["table", "strikethrough"])
    reader = _Reader(lines)
    reader.read(parser.parse("\n".join(lines)))
    return Document(lines, tuple(reader.units))


def _masked(lines: Sequence[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        if _KEY_BEGIN in line and "PRIVATE KEY" in line:
            inside = True
        if not inside:
            # "**Secrets:**" names a list; there is nothing behind the colon to hide
            yield visible(line, _LINE_LIMIT) if _LABEL.fullmatch(line[:200]) else redact(line, _LINE_LIMIT)
            continue
        yield MASK
        inside = _KEY_END not in line


@dataclass(slots=True)
class _Table:
    header: list[str] = field(default_factory=list)
    row: list[str] = field(default_factory=list)
    in_head: bool = False
    lines: tuple[int, int] = (0, 0)


class _Reader:
    """Walks the token stream once."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.units: list[Unit] = []
        self._lines = lines
        self._headings: list[int] = []
        #: per open list item its unit, None until its first line was read
        self._items: list[int | None] = []
        self._ordered: list[bool] = []
        self._labels: list[int | None] = []
        self._paragraph: int | None = None
        self._table: _Table | None = None
        self._heading_level = 0

    def read(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            handler = getattr(self, f"_on_{token.type}", None)
            if handler is not None:
                handler(token)

    # -- blocks ---------------------------------------------------------------------------------------------------

    def _on_heading_open(self, token: Token) -> None:
        self._heading_level = int(token.tag[1:])

    def _on_heading_close(self, _: Token) -> None:
        self._heading_level = 0

    def _on_bullet_list_open(self, _: Token) -> None:
        self._open_list(ordered=False)

    def _on_ordered_list_open(self, _: Token) -> None:
        self._open_list(ordered=True)

    def _open_list(self, *, ordered: bool) -> None:
        self._ordered.append(ordered)
        self._labels.append(self._paragraph if not self._items else None)

    def _on_bullet_list_close(self, _: Token) -> None:
        self._ordered.pop()
        self._labels.pop()
        self._paragraph = None

    _on_ordered_list_close = _on_bullet_list_close

    def _on_list_item_open(self, _: Token) -> None:
        self._items.append(None)

    def _on_list_item_close(self, _: Token) -> None:
        self._items.pop()

    def _on_table_open(self, _: Token) -> None:
        self._table = _Table()
        self._labels.append(self._paragraph)

    def _on_table_close(self, _: Token) -> None:
        self._table = None
        self._labels.pop()
        self._paragraph = None

    def _on_thead_open(self, token: Token) -> None:
        if self._table is not None:
            self._table.in_head = True
            self._table.lines = _range(token)

    def _on_thead_close(self, _: Token) -> None:
        if self._table is not None:
            self._table.in_head = False

    def _on_tr_open(self, _: Token) -> None:
        if self._table is not None:
            self._table.row = []

    def _on_fence(self, token: Token) -> None:
        first, last = _range(token)
        for offset, text in enumerate(token.content.split("\n")):
            line = first + 1 + offset
            if text.strip() and line <= last:
                self._add(Kind.CODE, text, line, line)

    def _on_code_block(self, token: Token) -> None:
        self._plain_lines(Kind.CODE, token)

    def _on_html_block(self, token: Token) -> None:
        self._plain_lines(Kind.HTML, token)

    def _plain_lines(self, kind: Kind, token: Token) -> None:
        first, last = _range(token)
        for line in range(first, min(last, len(self._lines)) + 1):
            if self._lines[line - 1].strip():
                self._add(kind, self._lines[line - 1].strip(), line, line)

    def _on_inline(self, token: Token) -> None:
        first, last = _range(token)
        text = token.content
        if self._heading_level:
            self._heading(text, first, last)
        elif self._table is not None:
            self._cell(text, first, last)
        elif self._items and self._items[-1] is None:
            self._item(text, first, last)
        else:
            for offset, line in enumerate(text.split("\n")):
                at = min(first + offset, last)
                if line.strip():
                    self._paragraph = self._add(Kind.PARAGRAPH, line.strip(), at, at)

    # -- units ----------------------------------------------------------------------------------------------------

    def _heading(self, text: str, first: int, last: int) -> None:
        while self._headings and self.units[self._headings[-1]].level >= self._heading_level:
            self._headings.pop()
        index = self._add(Kind.HEADING, " ".join(text.split()), first, last, level=self._heading_level)
        if not self._items:
            self._headings.append(index)
        self._paragraph = None

    def _item(self, text: str, first: int, last: int) -> None:
        checked: bool | None = None
        # not by the tasklists plugin: its cost grows with the square of a list's length
        if _BOX.match(text):
            checked, text = text[1] in "xX", text[3:]
        index = len(self.units)
        self._items[-1] = index
        parents = tuple(item for item in reversed(self._items[:-1]) if item is not None)
        self._add(
            Kind.ITEM,
            " ".join(text.split()),
            first,
            last,
            level=len(self._items),
            parents=parents,
            ordered=self._ordered[-1] if self._ordered else False,
            checked=checked,
        )

    def _cell(self, text: str, first: int, last: int) -> None:
        table = self._table
        if table is None:
            return
        if table.in_head:
            table.header.append(" ".join(text.split()))
            return
        position = len(table.row)
        table.row.append(" ".join(text.split()))
        column = table.header[position] if position < len(table.header) else ""
        self._add(
            Kind.CELL,
            table.row[-1],
            first,
            last,
            column=column,
            row=table.row[0],
            cell=position,
            header=table.lines,
        )

    def _add(self, kind: Kind, text: str, first: int, last: int, **more: object) -> int:
        index = len(self.units)
        around = tuple(item for item in reversed(self._items) if item is not None)
        values: dict[str, object] = {
            "headings": tuple(reversed(self._headings)),
            "parents": around,
            "label": self._labels[0] if self._labels else None,
        } | more
        limit = len(self._lines)
        self.units.append(Unit(index, kind, text, min(first, limit), min(max(first, last), limit), **values))  # type: ignore[arg-type]
        return index


def _range(token: Token) -> tuple[int, int]:
    """First and last line of a token, from 1, inclusive."""
    first, end = token.map or (0, 1)
    return first + 1, max(first + 1, end)
