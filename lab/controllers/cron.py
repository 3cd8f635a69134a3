"""Cron schedules: five fields with lists, ranges, steps and names, or a descriptor such as @hourly. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_LOOK_BACK = timedelta(days=366)


class ScheduleError(ValueError):
    """The text is no schedule."""


@dataclass(frozen=True)
class Schedule:
    """The minutes, hours, days, months and weekdays (0 is Sunday) of a schedule."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def day_fits(self, moment: datetime) -> bool:
        """Day of month and weekday: when both are restricted one of them is enough, as cron has it."""
        if moment.month not in self.months:
            return False
        by_day, by_weekday = moment.day in self.days, (moment.weekday() + 1) % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return by_day and by_weekday
        return by_day or by_weekday

    def last(self, after: datetime, until: datetime) -> datetime | None:
        """The latest scheduled minute in (after, until]; None when there is none within a year."""
        after = max(after, until - _LOOK_BACK)
        moment = until.replace(second=0, microsecond=0)
        while moment > after:
            if not self.day_fits(moment):
                moment = moment.replace(hour=0, minute=0) - timedelta(minutes=1)
            elif moment.hour not in self.hours:
                moment = moment.replace(minute=0) - timedelta(minutes=1)
            elif moment.minute not in self.minutes:
                moment -= timedelta(minutes=1)
            else:
                return moment
        return None


def _value(text: str, names: tuple[str, ...], first: int) -> int:
    if text.lower() in names:
        return names.index(text.lower()) + first
    if not text.isdigit():
        raise ScheduleError(f"failed to parse int from {text}")
    return int(text)


def _field(text: str, limits: tuple[int, int], names: tuple[str, ...] = (), first: int = 0) -> frozenset[int]:
    found: set[int] = set()
    low, high = limits
    for part in text.split(","):
        span, _, step = part.partition("/")
        begin, dash, end = span.partition("-")
        if begin in ("*", "?"):
            start, stop = low, high
        else:
            start = _value(begin, names, first)
            stop = _value(end, names, first) if dash else high if step else start
        width = int(step) if step.isdigit() else 1 if not step else 0
        if not (low <= start <= stop <= high) or width < 1:
            raise ScheduleError(f"{part} is not within {low} and {high}")
        found.update(range(start, stop + 1, width))
    return frozenset(found)


def parse(text: str) -> Schedule:
    """Raises ScheduleError."""
    fields = _DESCRIPTORS.get(text.strip().lower(), text).split()
    if len(fields) != 5:
        raise ScheduleError(f"expected exactly 5 fields, found {len(fields)}: [{text}]")
    weekdays = frozenset(day % 7 for day in _field(fields[4], _LIMITS[4], _DAYS))
    return Schedule(
        _field(fields[0], _LIMITS[0]),
        _field(fields[1], _LIMITS[1]),
        _field(fields[2], _LIMITS[2]),
        _field(fields[3], _LIMITS[3], _MONTHS, 1),
        weekdays,
        any_day=fields[2] in ("*", "?"),
        any_weekday=fields[4] in ("*", "?"),
    )
