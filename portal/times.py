"""Moments and lengths of time as people read them, in UTC. Pure. ``static/js/live.js`` has the same phrases."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


def length(seconds: float) -> str:
    """0.4 s, 38 s, 4 m 38 s, 2 h 05 m, 3 d 4 h."""
    if seconds < 0:
        seconds = 0.0
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def rough(seconds: float) -> str:
    """One unit is enough for an age: 12 s, 41 min, 5 h, 3 d."""
    whole = max(1, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h"
    return f"{whole // 86_400} d"


def limit(seconds: float) -> str:
    """A limit as it was set: 60 s, 5 min, 24 h."""
    whole = int(seconds)
    if whole >= 7200 and whole % 3600 == 0:
        return f"{whole // 3600} h"
    return f"{whole // 60} min" if whole >= 120 and whole % 60 == 0 else f"{whole} s"


def phrase(seconds: float, form: str = "ago") -> str:
    """An age in one of the forms of the page: ``ago`` (12 s ago), ``for`` (24 min), ``elapsed`` (3 m 02 s)."""
    if form == "elapsed":
        return length(max(1.0, float(int(seconds))))
    return f"{rough(seconds)} ago" if form == "ago" else rough(seconds)


def second(at: datetime) -> str:
    """14:02:11"""
    return at.astimezone(UTC).strftime("%H:%M:%S")


def minute(at: datetime) -> str:
    """14:02"""
    return at.astimezone(UTC).strftime("%H:%M")


def day(at: datetime | date) -> str:
    """23 Nov"""
    return f"{at.day} {at.strftime('%b')}"


def stamp(at: datetime) -> str:
    """23 Nov 2025, 14:02:11 UTC"""
    moment = at.astimezone(UTC)
    return f"{moment.day} {moment.strftime('%b %Y, %H:%M:%S')} UTC"


def zoned(at: datetime, zone: str) -> str:
    """19 Jan 2026, 08:00 Europe/Zurich (07:00 UTC); the day of UTC too where it is another one."""
    local, there = at.astimezone(ZoneInfo(zone)), at.astimezone(UTC)
    said = f"{day(local)} {local:%Y, %H:%M} {zone}"
    if zone == "UTC":
        return said
    other = "" if local.date() == there.date() else f"{day(there)}, "
    return f"{said} ({other}{minute(there)} UTC)"


def since(at: datetime, now: datetime) -> str:
    """Since when, as short as is still exact: the minute within a day, the day beyond it."""
    return minute(at) if now - at < timedelta(hours=20) else f"{day(at)} {minute(at)}"


def due(on: date, today: date) -> str:
    """today, tomorrow, 24 Nov; a date gone by says so."""
    days = (on - today).days
    if days < 0:
        return f"{day(on)}, overdue"
    return {0: "today", 1: "tomorrow"}.get(days, day(on))
