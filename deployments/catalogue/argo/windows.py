"""Argo CD sync windows: may a person sync this Application now? Pure; follows ``SyncWindows.CanSync``.

An active *deny* window forbids, unless all active ones allow manual syncs; when *allow* windows exist and none is
active, syncing is forbidden, unless all of them allow manual syncs. A schedule that cannot be read counts as closed:
unknown is never a yes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from integrations.kubernetes.custom import Application, SyncWindow

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_LONGEST = timedelta(days=8)
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NAMES = {name: i for i, name in enumerate(_DAYS)} | {name: i for i, name in enumerate(_MONTHS, 1)}
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def closed_by(windows: Iterable[SyncWindow], app: Application, now: datetime) -> str:
    """Why a person may not sync now, as one sentence; empty when they may."""
    mine = [w for w in windows if _matches(w, app)]
    denies = [w for w in mine if w.kind == "deny" and is_active(w, now) is not False]
    if denies and not all(w.manual_sync for w in denies):
        return f"The deny window {_words(denies[0])} is open."
    allows = [w for w in mine if w.kind == "allow"]
    if allows and not any(is_active(w, now) for w in allows) and not all(w.manual_sync for w in allows):
        return f"No allow window is open; the next is {_words(allows[0])}."
    return ""


def is_active(window: SyncWindow, now: datetime) -> bool | None:
    """Whether the window is open, or None when its schedule or duration cannot be read."""
    length = duration(window.duration)
    fields = _fields(window.schedule)
    if length is None or fields is None:
        return None
    try:
        local = now.astimezone(ZoneInfo(window.time_zone or "UTC"))
    except (KeyError, ValueError, OSError):
        return None
    minute = local.replace(second=0, microsecond=0)
    begins = (minute - timedelta(minutes=i) for i in range(int(min(length, _LONGEST).total_seconds() // 60) + 1))
    return any(_hits(fields, begin) and begin + length > local for begin in begins)


def duration(text: str) -> timedelta | None:
    """``1h30m`` as a timedelta, or None."""
    parts = _DURATION.findall(text)
    if not parts or "".join(n + unit for n, unit in parts) != text:
        return None
    return timedelta(seconds=sum(float(n) * _SECONDS[unit] for n, unit in parts))


def _fields(schedule: str) -> list[set[int] | None] | None:
    """The five fields of a cron line: allowed numbers, or None for ``*``."""
    texts = schedule.split()
    if len(texts) != 5:
        return None
    try:
        return [_field(text, low, high) for text, (low, high) in zip(texts, _RANGES, strict=True)]
    except ValueError:
        return None


def _field(text: str, low: int, high: int) -> set[int] | None:
    if text in ("*", "?"):
        return None
    numbers: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        begin = low if span in ("*", "?") else _number(first)
        end = _number(last) if dash else high if span in ("*", "?") or step else begin
        if not (low <= begin <= high and low <= end <= high) or int(step or 1) < 1:
            raise ValueError(part)
        numbers.update(range(begin, end + 1, int(step or 1)))
    return numbers


def _number(text: str) -> int:
    return _NAMES[text.upper()] if text.upper() in _NAMES else int(text)


def _hits(fields: list[set[int] | None], at: datetime) -> bool:
    minute, hour, day, month, weekday = fields
    if minute is not None and at.minute not in minute:
        return False
    if (hour is not None and at.hour not in hour) or (month is not None and at.month not in month):
        return False
    today = at.isoweekday() % 7
    by_day = day is None or at.day in day
    by_weekday = weekday is None or today in weekday or (today == 0 and 7 in weekday)
    # cron: when both are given, either is enough
    return by_day or by_weekday if day is not None and weekday is not None else by_day and by_weekday


def _matches(window: SyncWindow, app: Application) -> bool:
    destination = app.spec.destination
    return any(
        fnmatchcase(value, pattern)
        for value, patterns in (
            (app.metadata.name, window.applications),
            (destination.namespace, window.namespaces),
            (destination.server or destination.name, window.clusters),
        )
        for pattern in patterns
    )


def _words(window: SyncWindow) -> str:
    return f"“{window.schedule}” for {window.duration}"
