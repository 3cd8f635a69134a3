"""The small words of reports: marks, emphasis, dates, keys. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum

from django.utils.text import slugify


class Claimed(StrEnum):
    """What a report says about a thing."""

    DONE = "done"
    IN_PROGRESS = "in progress"
    OPEN = "open"


_MARKS = {
    Claimed.DONE: "✅✔☑✓🟢🎉",
    Claimed.IN_PROGRESS: "⚠🚧🔄⏳🟡🏗🟠",
    Claimed.OPEN: "❌⬜☐🔴✗✘🔲🟥⭕",
}
_MARK = {char: claimed for claimed, chars in _MARKS.items() for char in chars}
_WORDS = (
    (Claimed.OPEN, r"\bnot (?:yet|started|done|begun)\b"),
    (Claimed.IN_PROGRESS, r"\b(?:in[ -]progress|wip|ongoing|partial(?:ly)?|started|doing|in review)\b"),
    (Claimed.OPEN, r"\b(?:to[ -]?do|open|pending|planned|blocked|backlog|missing|failed)\b"),
    (Claimed.DONE, r"\b(?:done|complete[d]?|finished|deployed|delivered|closed|live|shipped|yes|ok)\b"),
)
_COMPILED = tuple((claimed, re.compile(words, re.IGNORECASE)) for claimed, words in _WORDS)
_PERCENT = re.compile(r"(?<!\d)(\d{1,3})(?:[.,]\d+)?\s?%")
_ASIDE = re.compile(r"\s*\([^()]*\)")
_LINK = re.compile(r"!?\[([^\]\[]{0,300})\]\((?:[^()\s]|\([^()\s]{0,200}\)){0,500}(?:\s[^()]{0,200})?\)")
_HTML = re.compile(r"<[^<>]{1,200}>")
_EMPHASIS = re.compile(r"\*\*|__|~~|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")
_LEAD = re.compile(r"^\s*(?:\*\*|__)([^*_]{1,200}?)\s*:?\s*(?:\*\*|__)\s*[:–—-]?\s*(.*)$", re.DOTALL)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DATE = re.compile(
    r"(?P<iso>\d{4}-\d{1,2}-\d{1,2})"
    r"|(?P<month>[A-Za-z]{3,9})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})"
    r"|(?P<day2>\d{1,2})(?:st|nd|rd|th)?\.?\s+(?P<month2>[A-Za-z]{3,9})\.?,?\s+(?P<year2>\d{4})"
    r"|(?P<day3>\d{1,2})\.(?P<month3>\d{1,2})\.(?P<year3>\d{4})"
)


def plain(text: str) -> str:
    """Text without emphasis, code marks, links and HTML tags, on one line."""
    text = _LINK.sub(r"\1", text)
    text = _HTML.sub("", text)
    return " ".join(_EMPHASIS.sub("", text).split())


def mark_of(text: str) -> Claimed | None:
    """What the first mark near the start of a text says (``✅ …``, ``**⚠️ …``)."""
    for char in plain(text)[:6]:
        if char in _MARK:
            return _MARK[char]
    return None


def state_of(text: str) -> Claimed | None:
    """What a text says by a mark anywhere, else by a percentage, else by its words."""
    for char in text[:400]:
        if char in _MARK:
            return _MARK[char]
    percent = _PERCENT.search(text[:400])
    if percent is not None:
        number = int(percent[1])
        return Claimed.DONE if number >= 100 else Claimed.IN_PROGRESS if number else Claimed.OPEN
    for claimed, words in _COMPILED:
        if words.search(text[:400]):
            return claimed
    return None


def unmarked(text: str) -> str:
    """The text without marks and their variation selectors at its ends."""
    return text.strip().strip("".join(_MARK) + "\ufe0f\ufe0e").strip(" \t-–—:")


def lead(text: str) -> tuple[str, str]:
    """``**Prometheus**: metrics`` as name and rest; a text without a bold lead as itself and nothing."""
    stripped = unmarked(text)
    match = _LEAD.match(stripped)
    if match is None:
        return plain(stripped), ""
    return plain(unmarked(match[1])), plain(match[2])


def normal(text: str) -> str:
    """For comparing titles: case, spaces, marks and closing punctuation do not count."""
    folded = unicodedata.normalize("NFKC", unmarked(plain(text))).casefold()
    return " ".join(folded.split()).rstrip(".:;!")


def key_of(title: str, prefix: str, taken: Iterable[str] = (), limit: int = 60) -> str:
    """A slug; what has no Latin letters gets a short digest, so that the same title has the same key for ever."""
    # what stands in parentheses is said in passing; a title that is nothing else keeps it
    base = slugify(_ASIDE.sub("", title) or title)[:limit].strip("-")
    if not base:
        base = f"{prefix}-{hashlib.sha256(normal(title).encode()).hexdigest()[:8]}"
    used = set(taken)
    key, number = base, 2
    while key in used:
        key, number = f"{base[: limit - 4]}-{number}", number + 1
    return key


def find_date(text: str) -> date | None:
    """The first date in a text: ``November 23, 2025``, ``23 Nov 2025``, ``2025-11-23``, ``23.11.2025``."""
    for match in _DATE.finditer(text[:2000]):
        found = _date_of(match)
        if found is not None:
            return found
    return None


def _date_of(match: re.Match[str]) -> date | None:
    try:
        if match["iso"]:
            return datetime.strptime(match["iso"], "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
        if match["day3"]:
            return date(int(match["year3"]), int(match["month3"]), int(match["day3"]))
        month = (match["month"] or match["month2"]).lower()[:3]
        year, day = match["year"] or match["year2"], match["day"] or match["day2"]
        return date(int(year), _MONTHS.index(month) + 1, int(day))
    except ValueError:
        return None
