"""Freeze windows: when no run of certain tiers may begin. Pure: the time is an argument.

A window is from-to, or a cron line with a length; its times are the wall clock of its own zone. What has begun to
change something goes on in a freeze: half of a change is worse than all of it (docs/adr/0011).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from monitoring import cron

Tier = Annotated[int, Meta(ge=0, le=3)]
Tiers = Annotated[tuple[Tier, ...], Meta(min_length=1)]

#: a window of a cron line is at most this long
_LONGEST = timedelta(days=8)
#: how far ahead the next window is looked for
AHEAD = timedelta(days=7)
#: so many windows that follow each other without a gap are looked through
_CHAIN = 100


class Freeze(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One freeze window: ``from`` and ``to``, or ``cron`` and ``lasts`` (``11h``). Tier 0 only reads or refreshes, so
    it is left out unless named. :raises ValueError: neither or both, or a time that cannot be read."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    reason: Annotated[str, Meta(min_length=1, max_length=200)]
    tiers: Tiers = (1, 2, 3)
    time_zone: str = "UTC"
    begins: str = msgspec.field(name="from", default="")
    ends: str = msgspec.field(name="to", default="")
    cron: str = ""
    lasts: str = ""

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {self.time_zone!r}") from None
        if bool(self.begins or self.ends) == bool(self.cron or self.lasts):
            raise ValueError("a freeze has either from and to, or cron and lasts")
        if self.cron or self.lasts:
            self._check_cron()
        elif self.local(self.begins) >= self.local(self.ends):
            raise ValueError("a freeze ends after it begins")

    def _check_cron(self) -> None:
        length = cron.duration(self.lasts)
        if cron.fields(self.cron) is None:
            raise ValueError(f"cron is five fields, as in 0 20 * * mon-fri, not {self.cron!r}")
        if length is None or not timedelta(0) < length <= _LONGEST:
            raise ValueError(f"lasts is a length up to 192h, as in 11h or 1h30m, not {self.lasts!r}")

    def local(self, text: str) -> datetime:
        """A bound as a moment. :raises ValueError: not a local date or time."""
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"from and to are dates or times, as in 2025-12-20T18:00, not {text!r}") from None
        if at.tzinfo is not None:
            raise ValueError("from and to are local times; the offset follows from time_zone")
        return at.replace(tzinfo=ZoneInfo(self.time_zone))

    def stretches(self, first: datetime, last: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The stretches that touch ``first`` to ``last``, in order of their begin, in UTC."""
        if self.begins:
            begin, end = self.local(self.begins).astimezone(UTC), self.local(self.ends).astimezone(UTC)
            if end > first and begin <= last:
                yield begin, end
            return
        found, length = cron.fields(self.cron), cron.duration(self.lasts)
        assert found is not None and length is not None
        for at in cron.begins(found, ZoneInfo(self.time_zone), first - length, last):
            begin = at.astimezone(UTC)
            if begin + length > first:
                yield begin, begin + length


class Frozen(msgspec.Struct, frozen=True):
    """A freeze that holds at a moment, or begins next. ``until`` is when this one freeze ends."""

    freeze: Freeze
    since: datetime
    until: datetime


def holding(freezes: Iterable[Freeze], tier: int, at: datetime) -> Frozen | None:
    """The freeze of this tier that holds at ``at`` and ends last, or None."""
    found = [frozen for freeze in freezes if tier in freeze.tiers and (frozen := _at(freeze, at)) is not None]
    return max(found, key=lambda frozen: frozen.until, default=None)


def open_until(freezes: Iterable[Freeze], tier: int, at: datetime) -> datetime:
    """When a run of this tier may begin: ``at`` itself, or the end of all freezes that follow without a gap."""
    known, end = list(freezes), at
    for _ in range(_CHAIN):
        frozen = holding(known, tier, end)
        if frozen is None:
            break
        end = frozen.until
    return end


def current(freezes: Iterable[Freeze], at: datetime) -> list[Frozen]:
    """Every freeze that holds at ``at``, the one that ends last first."""
    found = [frozen for freeze in freezes if (frozen := _at(freeze, at)) is not None]
    return sorted(found, key=lambda frozen: (frozen.until, frozen.freeze.name), reverse=True)


def coming(freezes: Iterable[Freeze], at: datetime) -> list[Frozen]:
    """The next stretch of each freeze that does not hold now and begins within :data:`AHEAD`, soonest first."""
    found = []
    for freeze in freezes:
        ahead = [Frozen(freeze, *each) for each in freeze.stretches(at, at + AHEAD)]
        if ahead and all(frozen.since > at for frozen in ahead):
            found.append(min(ahead, key=lambda frozen: frozen.since))
    return sorted(found, key=lambda frozen: (frozen.since, frozen.freeze.name))


def changes_at(freezes: Iterable[Freeze], at: datetime) -> datetime | None:
    """The next moment at which a freeze begins or ends, within :data:`AHEAD`."""
    bounds = [bound for freeze in freezes for each in freeze.stretches(at, at + AHEAD) for bound in each]
    return min((bound for bound in bounds if bound > at), default=None)


def _at(freeze: Freeze, at: datetime) -> Frozen | None:
    """This freeze at a moment; stretches that overlap there are one."""
    since: datetime | None = None
    until = at
    for begin, end in freeze.stretches(at, at):
        if begin <= at < end:
            since, until = min(since or begin, begin), max(until, end)
    return Frozen(freeze, since, until) if since is not None else None
