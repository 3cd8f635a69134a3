"""Cron lines: five fields, names of days and months, lists, ranges and steps. Pure.

As in cron(8): when both a day of the month and a weekday are given, either is enough; 7 is Sunday too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

#: the five fields: allowed numbers, or None for ``*``
Fields = list[set[int] | None]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NAMES = {name: i for i, name in enumerate(_DAYS)} | {name: i for i, name in enumerate(_MONTHS, 1)}
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def fields(line: str) -> Fields | None:
    """A cron line's fields, or None when it cannot be read."""
    texts = line.split()
    if len(texts) != 5:
        return None
    try:
        return [_field(text, low, high) for text, (low, high) in zip(texts, _RANGES, strict=True)]
    except ValueError:
        return None


def duration(text: str) -> timedelta | None:
    """``1h30m`` as a timedelta, or None."""
    parts = _DURATION.findall(text)
    if not parts or "".join(n + unit for n, unit in parts) != text:
        return None
    try:
        return timedelta(seconds=sum(float(n) * _SECONDS[unit] for n, unit in parts))
    except (OverflowError, ValueError):
        return None


def hits(found: Fields, at: datetime) -> bool:
    """Whether the line begins something in this minute, by the wall clock of ``at``."""
    minute, hour = found[:2]
    if (minute is not None and at.minute not in minute) or (hour is not None and at.hour not in hour):
        return False
    return on_day(found, at.date())


def on_day(found: Fields, day: date) -> bool:
    """Whether the line begins something on this day."""
    of_month, month, weekday = found[2:]
    if month is not None and day.month not in month:
        return False
    today = day.isoweekday() % 7
    by_day = of_month is None or day.day in of_month
    by_weekday = weekday is None or today in weekday or (today == 0 and 7 in weekday)
    return by_day or by_weekday if of_month is not None and weekday is not None else by_day and by_weekday


def begins(found: Fields, zone: ZoneInfo, first: datetime, last: datetime) -> Iterator[datetime]:
    """Every begin from ``first`` to ``last``, in order, as moments of ``zone``. Costs by days, not by minutes."""
    day, end = first.astimezone(zone).date(), last.astimezone(zone).date()
    minutes, hours = (sorted(found[i] or ()) if found[i] is not None else range(n) for i, n in ((0, 60), (1, 24)))
    while day <= end:
        if on_day(found, day):
            for hour in hours:
                for minute in minutes:
                    at = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                    if first <= at <= last:
                        yield at
        day += timedelta(days=1)


def _field(text: str, low: int, high: int) -> set[int] | None:
    if text in ("*", "?"):
        return None
    numbers: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        begin = low if span in ("*", "?") else _number(first)
        end = _number(last) if dash else high if span in ("*", "?") or step else begin
        if not low <= begin <= end <= high or int(step or 1) < 1:
            raise ValueError(part)
        numbers.update(range(begin, end + 1, int(step or 1)))
    return numbers


def _number(text: str) -> int:
    return _NAMES[text.upper()] if text.upper() in _NAMES else int(text)
