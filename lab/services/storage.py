"""The embedded time series database: for every series the spans in which it existed, each with its curve.

`take` is a scrape of everything at once: what is new begins, what changed goes on with another curve, what is
gone ends.
The past before the first scrape follows from each series' `since`. Not persistent; not thread safe.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from lab.services.curves import Curve
from lab.services.promql.ast import Labels, Matcher

Key = tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """One series as it is now. `since` (Unix seconds) is when it began to read like this, if that is known."""

    labels: Labels
    curve: Curve
    since: float | None = None


@dataclass(slots=True)
class Span:
    """A curve that holds from `start` to `end`; open while `end` is None."""

    start: float
    curve: Curve
    end: float | None = None


class Track:
    """One series with its history."""

    __slots__ = ("labels", "spans")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.spans: list[Span] = []

    def at(self, moment: float) -> float | None:
        for span in reversed(self.spans):
            if span.start <= moment:
                return span.curve.at(moment) if span.end is None or moment < span.end else None
        return None

    def within(self, start: float, end: float, step: float) -> list[tuple[float, float]]:
        """Samples on the scrape grid in (start, end]."""
        moment = (start // step + 1) * step
        found: list[tuple[float, float]] = []
        while moment <= end:
            value = self.at(moment)
            if value is not None:
                found.append((moment, value))
            moment += step
        return found


class Storage:
    """See the module. `epoch` is where the history of series without a `since` begins."""

    def __init__(self, epoch: float) -> None:
        self.epoch = epoch
        self._tracks: dict[str, dict[Key, Track]] = {}
        self._open: dict[tuple[str, Key], Track] = {}
        self._taken_at: float | None = None

    def take(self, now: float, series: Iterable[Series]) -> None:
        """Record what is there now."""
        seen: set[tuple[str, Key]] = set()
        for one in series:
            name = one.labels["__name__"]
            key = tuple(sorted(one.labels.items()))
            seen.add((name, key))
            track = self._open.get((name, key))
            if track is not None and track.spans[-1].curve == one.curve:
                continue
            if track is None:
                track = self._tracks.setdefault(name, {}).setdefault(key, Track(one.labels))
                self._open[name, key] = track
            self._begin(track, now, one)
        for identity in self._open.keys() - seen:
            self._open.pop(identity).spans[-1].end = now
        self._taken_at = now

    def _begin(self, track: Track, now: float, one: Series) -> None:
        if not track.spans:
            first = self.epoch if self._taken_at is None else now
            start = one.since if one.since is not None else first
            track.spans.append(Span(min(start, now), one.curve))
            return
        last = track.spans[-1]
        # it read differently at the last scrape, so an older `since` is about something else
        moved = one.since if one.since is not None and one.since > (self._taken_at or now) else now
        start = min(max(moved, last.end if last.end is not None else last.start), now)
        if last.end is None:
            last.end = start
        track.spans.append(Span(start, one.curve))

    def select(self, name: str, matchers: tuple[Matcher, ...]) -> list[Track]:
        """Tracks of a metric (of all when the name is empty) whose labels fit."""
        if name:
            tracks: Iterable[Track] = self._tracks.get(name, {}).values()
        else:
            tracks = (track for by_key in self._tracks.values() for track in by_key.values())
        return [track for track in tracks if all(matcher.fits(track.labels) for matcher in matchers)]

    def label_values(self, label: str) -> list[str]:
        return sorted({track.labels[label] for track in self._open.values() if label in track.labels})

    def label_names(self) -> list[str]:
        return sorted({name for track in self._open.values() for name in track.labels})

    def head(self) -> dict[str, int]:
        """Open series by metric name."""
        counts: dict[str, int] = {}
        for name, _key in self._open:
            counts[name] = counts.get(name, 0) + 1
        return counts
