"""The state of one Alertmanager: alerts it was sent, silences, groups and how often it has notified.

Notifications are counted, not delivered: the lab has nobody to call. Not persistent.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from lab.services.cluster import Obj
from lab.services.promql import Labels, Matcher
from lab.services.routing import Config, Route
from lab.services.rules import fingerprint

Key = tuple[tuple[str, str], ...]
_RESOLVE_AFTER = 300.0


@dataclass
class Entry:
    """One alert, by its labels."""

    labels: Labels
    annotations: Labels
    starts_at: float
    ends_at: float
    updated_at: float
    generator: str = ""
    received_at: float = 0.0
    silenced_by: list[str] = field(default_factory=list)
    inhibited_by: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.labels)

    @property
    def state(self) -> str:
        return "suppressed" if self.silenced_by or self.inhibited_by else "active"


@dataclass
class Silence:
    """Mutes alerts that match for a time."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: float
    ends_at: float
    created_by: str
    comment: str
    updated_at: float

    def state(self, now: float) -> str:
        if now >= self.ends_at:
            return "expired"
        return "pending" if now < self.starts_at else "active"

    def mutes(self, labels: Labels) -> bool:
        return all(each.fits(labels) for each in self.matchers)


@dataclass
class Group:
    """Alerts of one route and receiver with equal grouping labels."""

    route: Route
    labels: Labels
    next_flush: float
    notified: frozenset[str] = frozenset()


class AlertState:
    """See the module. Implements the exporters' `Notifications`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.entries: dict[Key, Entry] = {}
        self.silences_by_id: dict[str, Silence] = {}
        self.groups: dict[tuple[str, str, Key], Group] = {}
        self._sent: dict[str, list[float]] = {}

    # -- what comes in

    def take(self, entry: Entry, now: float) -> None:
        """An alert as posted to /api/v2/alerts or sent by a Prometheus; ends at `ends_at`."""
        key = tuple(sorted(entry.labels.items()))
        known = self.entries.get(key)
        if known is not None and known.ends_at > now:
            known.annotations, known.ends_at, known.updated_at = entry.annotations, entry.ends_at, now
            known.starts_at = min(known.starts_at, entry.starts_at)
            return
        entry.received_at = now
        self.entries[key] = entry

    def resolve_missing(self, sender: str, present: Iterable[Labels], now: float) -> None:
        """End the alerts of a sending Prometheus that it no longer fires."""
        keys = {tuple(sorted(labels.items())) for labels in present}
        for key, entry in self.entries.items():
            if entry.labels.get("prometheus") == sender and key not in keys and entry.ends_at > now:
                entry.ends_at = now

    def silence(self, silence: Silence) -> None:
        self.silences_by_id[silence.id] = silence

    # -- time passes

    def tick(self, now: float) -> None:
        """Drop what has long ended, mute, group, and count the notifications that are due."""
        for key in [key for key, entry in self.entries.items() if entry.ends_at + _RESOLVE_AFTER < now]:
            del self.entries[key]
        current = self.current(now)
        muting = [silence for silence in self.silences_by_id.values() if silence.state(now) == "active"]
        for entry in current:
            entry.silenced_by = [silence.id for silence in muting if silence.mutes(entry.labels)]
        for entry in current:
            entry.inhibited_by = [
                source.fingerprint
                for source in current
                for rule in self.config.inhibitions
                if source is not entry and rule.mutes(source.labels, entry.labels)
            ]
        self._flush(self._grouped(current), now)

    def current(self, now: float) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.ends_at > now]

    def _grouped(self, current: list[Entry]) -> dict[tuple[str, str, Key], set[str]]:
        members: dict[tuple[str, str, Key], set[str]] = {}
        for entry in current:
            for route in self.config.route.matched(entry.labels):
                labels = route.group_of(entry.labels)
                key = (route.path, route.receiver, tuple(sorted(labels.items())))
                first = entry.received_at + route.group_wait
                self.groups.setdefault(key, Group(route, labels, first))
                if entry.state == "active":
                    members.setdefault(key, set()).add(entry.fingerprint)
        return members

    def _flush(self, members: dict[tuple[str, str, Key], set[str]], now: float) -> None:
        for key, group in list(self.groups.items()):
            firing = frozenset(members.get(key, ()))
            if now >= group.next_flush:
                if firing != group.notified and (firing or group.notified):
                    self._notify(group.route.receiver, group.next_flush)
                    group.notified = firing
                periods = int((now - group.next_flush) / group.route.group_interval) + 1
                group.next_flush += periods * group.route.group_interval
            if not firing and not group.notified and not self._has_entries(key):
                del self.groups[key]

    def _has_entries(self, key: tuple[str, str, Key]) -> bool:
        labels = dict(key[2])
        return any(labels.items() <= entry.labels.items() for entry in self.entries.values())

    def _notify(self, receiver: str, moment: float) -> None:
        for integration in self.config.receivers.get(receiver, ()):
            self._sent.setdefault(integration, []).append(moment)

    # -- what the exporter asks

    def sent(self, integration: str) -> tuple[float, ...]:
        return tuple(sorted(self._sent.get(integration, ())))

    def failed(self, _integration: str) -> tuple[float, ...]:
        return ()

    def integrations(self) -> list[str]:
        # a fresh Alertmanager exports the counters of every integration it knows
        return sorted({"email", "slack", "webhook", "pagerduty", "opsgenie", *self._sent})

    def active(self) -> int:
        return sum(entry.state == "active" for entry in self.entries.values())

    def silences(self) -> int:
        return len(self.silences_by_id)

    def config_hash(self) -> float:
        return float(zlib.crc32(self.config.text.encode()))


def new_silence(
    source: Any,
    known: dict[str, Silence],
    now: float,
    read_time: Callable[[Any], float],
    match: Callable[[str, Obj], Matcher],
) -> Silence:
    """A silence from its JSON. Raises ValueError with the sentence to answer."""
    if not isinstance(source, dict):
        raise TypeError("silence must be an object")
    matchers = source.get("matchers") or []
    if not matchers:
        raise ValueError("invalid silence: at least one matcher required")
    starts_at, ends_at = read_time(source.get("startsAt")), read_time(source.get("endsAt"))
    if ends_at <= starts_at:
        raise ValueError("invalid silence: end time must not be before start time")
    if ends_at <= now:
        raise ValueError("invalid silence: end time can't be in the past")
    parsed = tuple(match(_operator(each), each) for each in matchers)
    if all(each.fits({}) for each in parsed):
        raise ValueError("invalid silence: at least one matcher must not match the empty string")
    old = source.get("id")
    identity = str(old) if old and str(old) in known else str(uuid.uuid4())
    return Silence(
        identity, parsed, starts_at, ends_at, str(source.get("createdBy") or ""), str(source.get("comment") or ""), now
    )  # fmt: skip


def _operator(source: Obj) -> str:
    equal, regex = source.get("isEqual", True), bool(source.get("isRegex"))
    return {(True, True): "=~", (True, False): "=", (False, True): "!~", (False, False): "!="}[bool(equal), regex]
