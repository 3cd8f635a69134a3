"""Days of a component: one bar a day and a percentage, from Spans and SourceSpans. Pure but for one query.

A day without any reading has no data. Time in which a check's source was unreachable reads *unknown*: nobody saw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import CharField, F, Q, QuerySet, Value
from django.db.models.functions import Concat

from monitoring.models import SourceSpan, Span
from portal.checklists.selectors.prepared import Raw, prepared
from portal.checklists.selectors.shapes import Bar

#: a day reads failing when it failed for at least this share of the time it was read, else degraded
FAILING_SHARE = 0.25

_NEVER = datetime.min.replace(tzinfo=UTC)
_BAD = {"failing": 3, "degraded": 2, "unknown": 1, "verified": 0}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A word held from ``start`` to ``end``, which is None while it goes on."""

    start: datetime
    end: datetime | None
    word: str
    #: began before the first day shown
    clipped: bool = False

    @property
    def open(self) -> bool:
        return self.end is None


Strip = tuple[tuple[Bar, ...], float | None]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Stretches by check id, and by source name the times in which nobody answered. Keeps the strips made of them."""

    checks: Mapping[int, list[Stretch]]
    silent: Mapping[str, list[Stretch]]
    #: the newest beginning or end
    newest: datetime
    strips: dict[tuple[object, ...], Strip] = field(default_factory=dict)


#: by what was asked: the raw rows of last time and what was made of them
_known: dict[tuple[object, ...], tuple[Raw, History]] = {}
_MOST_KNOWN = 256
_MOST_STRIPS = 500


def history(cluster: str, check_ids: Iterable[int], days: int, now: datetime) -> History:
    """What the strips of these checks follow from: one query. The same object while the rows are the same."""
    ids = tuple(sorted(set(check_ids)))
    if not ids:
        return History({}, {}, _NEVER)
    start = _start(days, now)
    asked = _spans(cluster, ids, start)
    raw = asked.raw()
    key = (cluster, ids, start)
    known = _known.get(key)
    if known is not None and known[0] == raw:
        return known[1]
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    found = _history(asked.values(raw), start)
    _known[key] = (raw, found)
    return found


@prepared
def _spans(cluster: str, check_ids: tuple[int, ...], start: datetime) -> QuerySet[Span, Any]:
    overlapping = Q(closed_at=None) | Q(closed_at__gt=start)
    columns = ("key", "word", "opened_at", "closed_at")
    spans: QuerySet[Span, Any] = (
        Span.objects.filter(overlapping, check_ref__in=check_ids)
        .order_by()
        .annotate(key=Concat(Value("c"), F("check_ref_id"), output_field=_text()))
        .values_list(*columns)
    )
    silent: QuerySet[SourceSpan, Any] = (
        SourceSpan.objects.filter(overlapping, source__cluster=cluster, reachable=False)
        .order_by()
        .annotate(key=Concat(Value("s"), F("source__name"), output_field=_text()), word=Value("", output_field=_text()))
        .values_list(*columns)
    )
    return spans.union(silent, all=True)


def _history(rows: Iterable[tuple[Any, ...]], start: datetime) -> History:
    checks: dict[int, list[Stretch]] = defaultdict(list)
    sources: dict[str, list[Stretch]] = defaultdict(list)
    newest = start
    for key, word, opened_at, closed_at in rows:
        stretch = Stretch(max(opened_at, start), closed_at, word, opened_at < start)
        newest = max(newest, opened_at, closed_at or start)
        if key[0] == "c":
            checks[int(key[1:])].append(stretch)
        else:
            sources[key[1:]].append(stretch)
    return History(checks, sources, newest)


def _text() -> CharField[str, str]:
    return CharField()


def _start(days: int, now: datetime) -> datetime:
    return datetime.combine(now.date() - timedelta(days=days - 1), time.min, tzinfo=UTC)


def until(found: History, now: datetime) -> datetime:
    """Up to when shares are counted: the last full minute, or this moment if something has changed since."""
    minute = now.replace(second=0, microsecond=0)
    return minute if found.newest <= minute else now


def strip(found: History, checks: Sequence[tuple[int, str]], days: int, now: datetime) -> Strip:
    """The bars of ``days`` days up to today and the share of verified time. ``checks``: ids with their source."""
    at = until(found, now)
    key = (tuple(checks), days, at)
    made = found.strips.get(key)
    if made is None:
        if len(found.strips) >= _MOST_STRIPS:
            found.strips.clear()
        made = found.strips[key] = _strip(found, checks, days, at)
    return made


def _strip(found: History, checks: Sequence[tuple[int, str]], days: int, now: datetime) -> Strip:
    seconds: dict[date, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for piece in _worst_pieces(found, checks, now):
        for day, length in _by_day(piece):
            seconds[day][piece.word] += length
    first = now.date() - timedelta(days=days - 1)
    bars = tuple(_bar(first + timedelta(days=index), seconds) for index in range(days))
    total: dict[str, float] = defaultdict(float)
    for spent in seconds.values():
        for word, length in spent.items():
            total[word] += length
    read = total["verified"] + total["degraded"] + total["failing"]
    return bars, (round(100 * total["verified"] / read, 2) if read else None)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch whose end is known."""

    start: datetime
    end: datetime
    word: str


def _worst_pieces(found: History, checks: Sequence[tuple[int, str]], now: datetime) -> Iterable[_Piece]:
    """The stretches of several checks laid over each other: at each moment the worst word of those that were seen."""
    layers: list[tuple[datetime, int, str]] = []
    for check_id, source in checks:
        for stretch in found.checks.get(check_id, ()):
            for piece in _masked(stretch, found.silent.get(source, ()), now):
                layers += [(piece.start, 1, piece.word), (piece.end, -1, piece.word)]
    layers.sort(key=lambda edge: edge[0])
    held: dict[str, int] = defaultdict(int)
    for index, (at, step, word) in enumerate(layers[:-1]):
        held[word] += step
        end = layers[index + 1][0]
        shown = max((each for each in _BAD if held[each] > 0), key=_BAD.__getitem__, default="")
        if shown and end > at:
            yield _Piece(at, end, shown)


def _masked(stretch: Stretch, gaps: Iterable[Stretch], now: datetime) -> Iterable[_Piece]:
    """The stretch with the times its source was silent turned into *unknown*."""
    at, last = stretch.start, stretch.end or now
    for gap in sorted(gaps, key=lambda each: each.start):
        start, end = max(gap.start, at), min(gap.end or now, last)
        if start >= end:
            continue
        if start > at:
            yield _Piece(at, start, stretch.word)
        yield _Piece(start, end, "unknown")
        at = end
    if at < last:
        yield _Piece(at, last, stretch.word)


def _by_day(piece: _Piece) -> Iterable[tuple[date, float]]:
    at = piece.start
    while at < piece.end:
        midnight = datetime.combine(at.date() + timedelta(days=1), time.min, tzinfo=UTC)
        end = min(midnight, piece.end)
        yield at.date(), (end - at).total_seconds()
        at = end


def _bar(day: date, seconds: Mapping[date, Mapping[str, float]]) -> Bar:
    own = seconds.get(day)
    if not own:
        return Bar(day, "", f"{day:%-d %b}: no data")
    bad, weak, good = own.get("failing", 0.0), own.get("degraded", 0.0), own.get("verified", 0.0)
    read = bad + weak + good
    if not read:
        return Bar(day, "unknown", f"{day:%-d %b}: could not be read")
    share = f"{100 * good / read:.4g} % verified"
    if bad / read >= FAILING_SHARE:
        return Bar(day, "failing", f"{day:%-d %b}: failing, {share}")
    if bad or weak:
        return Bar(day, "degraded", f"{day:%-d %b}: degraded, {share}")
    return Bar(day, "verified", f"{day:%-d %b}: verified")
