"""The Source rows: one per system, touched every few seconds, never once per check (design §5).

A watched source is confirmed when the oldest of its watches was; a polled one when a poll last came back. A source that
answers again after readings went stale makes their rows due again, since nothing else would tell the open pages.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction

from common import clock, publish
from common.redaction import redact
from monitoring.collect import Readers
from monitoring.models import Check, Source, SourceSpan
from monitoring.observer.polling import Poll
from monitoring.observer.watching import Watch
from monitoring.services import Sink

TOUCH_SECONDS = 4.0
WATCHED = ("kubernetes", "argocd")


@dataclass(slots=True)
class State:
    """What is known of one source at a moment."""

    name: str
    mode: str
    reachable: bool | None = None
    confirmed_at: datetime | None = None
    watches: dict[str, str] = field(default_factory=dict)
    error: str = ""
    latency_ms: float | None = None


class Sources:
    """Writes the rows of one cluster. Belongs to the main thread."""

    def __init__(self, readers: Readers, sink: Sink) -> None:
        self._readers, self._sink = readers, sink
        self._cluster = readers.cluster
        self._rows: dict[str, Source] = {}
        self._touched: dict[str, float] = {}
        #: who the API server says we are, and each source's version; filled by the observer's polls
        self.identity = ""
        self.versions: dict[str, str] = {}
        self._polled_at: dict[str, datetime] = {}

    def polled(self, name: str, at: datetime) -> None:
        """A poll of this source came back at ``at``."""
        self._polled_at[name] = at

    def write(
        self,
        watches: Iterable[Watch],
        polls: Iterable[Poll],
        dependents: Callable[[str], list[Check]],
        quarantined: Mapping[str, int],
    ) -> None:
        """Bring the rows up to date: at once where something changed, else every few seconds."""
        moment = time.monotonic()
        for state in [*_watched(watches, quarantined), *self._polled_states(polls)]:
            row = self._row(state)
            urgent = row.reachable != state.reachable or row.last_error != state.error
            if urgent or moment - self._touched.get(state.name, 0.0) >= TOUCH_SECONDS:
                self._write(row, state, dependents)
                self._touched[state.name] = moment

    def _row(self, state: State) -> Source:
        row = self._rows.get(state.name)
        if row is None:
            row, _ = Source.objects.get_or_create(cluster=self._cluster, name=state.name, defaults={"mode": state.mode})
            self._rows[state.name] = row
        return row

    def forget(self) -> None:
        """Read the rows again next time: a transaction failed half-way."""
        self._rows.clear()

    def _polled_states(self, polls: Iterable[Poll]) -> list[State]:
        by_source: dict[str, list[Poll]] = {}
        for poll in polls:
            if poll.need.source not in WATCHED:
                by_source.setdefault(poll.need.source, []).append(poll)
        return [
            State(
                name=name,
                mode="poll",
                reachable=_any_good(members),
                confirmed_at=self._polled_at.get(name),
                error=next((redact(poll.error, 256) for poll in members if poll.good is False), ""),
                latency_ms=max((poll.milliseconds for poll in members if poll.milliseconds is not None), default=None),
            )
            for name, members in by_source.items()
        ]

    def _write(self, row: Source, state: State, dependents: Callable[[str], list[Check]]) -> None:
        at = clock.now()
        before = row.confirmed_at
        with transaction.atomic():
            if state.reachable is not None and state.reachable != row.reachable:
                SourceSpan.objects.filter(source=row, closed_at=None).update(closed_at=at)
                SourceSpan.objects.create(source=row, reachable=state.reachable, error=state.error, opened_at=at)
            if state.error and state.error != row.last_error:
                row.error_at = at
            row.mode, row.reachable, row.last_error = state.mode, state.reachable, state.error
            row.confirmed_at = state.confirmed_at or row.confirmed_at
            row.watches = state.watches or row.watches
            row.latency_ms = state.latency_ms
            row.address = redact(self._readers.address(state.name), 200)
            row.identity = self.identity if state.name in WATCHED else row.identity
            row.version = self.versions.get(state.name, row.version)[:60]
            row.save()
            topics = [f"source:{self._cluster}/{state.name}"]
            if before and row.confirmed_at and row.confirmed_at > before:
                topics += self._revived(dependents(state.name), before, at)
            publish.publish(*topics)

    def _revived(self, checks: list[Check], before: datetime, at: datetime) -> list[str]:
        """Topics of checks that had gone stale since the last confirmation that was written."""
        stale = [check for check in checks if before + timedelta(seconds=check.limit_seconds) < at]
        if not stale:
            return []
        return [*(f"check:{check.pk}" for check in stale), *self._sink.touched(stale)]


def _any_good(polls: list[Poll]) -> bool | None:
    answers = [poll.good for poll in polls if poll.good is not None]
    return any(answers) if answers else None


def _watched(watches: Iterable[Watch], quarantined: Mapping[str, int]) -> list[State]:
    by_source: dict[str, list[Watch]] = {}
    for watch in watches:
        by_source.setdefault(watch.source, []).append(watch)
    states = []
    for name, members in by_source.items():
        confirmed = [watch.confirmed_at for watch in members if watch.confirmed_at]
        dead = [watch for watch in members if watch.error]
        states.append(
            State(
                name=name,
                mode="watch",
                reachable=False if dead else True if confirmed else None,
                confirmed_at=min(confirmed) if len(confirmed) == len(members) else None,
                watches={watch.key: watch.confirmed_at.isoformat() for watch in members if watch.confirmed_at},
                error=redact(_complaint(members, dead, quarantined), 256),
                latency_ms=max((w.latency_ms for w in members if w.latency_ms is not None), default=None),
            )
        )
    return states


def _complaint(members: list[Watch], dead: list[Watch], quarantined: Mapping[str, int]) -> str:
    if dead:
        return dead[0].error
    refused = next((watch.refused for watch in members if watch.refused), "")
    if refused:
        return refused
    unreadable = [(w.key, quarantined.get(w.need.resource, 0)) for w in members if quarantined.get(w.need.resource, 0)]
    if unreadable:
        key, count = unreadable[0]
        return f"{count} of the {key} could not be read and {'is' if count == 1 else 'are'} left out."
    return ""
