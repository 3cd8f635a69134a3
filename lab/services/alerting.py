"""The state of one Alertmanager: alerts it was sent, silences, what mutes what, whom it notifies. Not persistent."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from lab.services.cluster import Obj
from lab.services.notifying import Counts, Notifying, Told
from lab.services.promql import Labels, Matcher
from lab.services.routing import Config
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


class AlertState:
    """See the module. Implements the exporters' `Notifications`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.entries: dict[Key, Entry] = {}
        self.silences_by_id: dict[str, Silence] = {}
        self.notifying = Notifying()
        #: whether the configuration that is there could be loaded; else the last good one is in force
        self.reloaded = True
        #: the checksum of the text that was looked at last, good or bad
        self.seen = -1

    def load(self, config: Config) -> None:
        """A configuration that could be read. Groups begin anew when it is another one."""
        self.reloaded = True
        if config != self.config:
            self.config = config
            self.notifying.forget()

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
        self.notifying.flush(self.config, [(_told(entry), entry.received_at) for entry in current], now)

    def current(self, now: float) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.ends_at > now]

    # -- what the exporter asks

    def counts(self) -> dict[str, Counts]:
        """By integration. A fresh Alertmanager exports the counters of every integration it knows."""
        fresh = {name: Counts() for name in ("email", "opsgenie", "pagerduty", "slack", "webhook")}
        return fresh | self.notifying.counts

    def active(self) -> int:
        return sum(entry.state == "active" for entry in self.entries.values())

    def silences(self) -> int:
        return len(self.silences_by_id)

    def config_hash(self) -> float:
        return float(self.config.digest)


def _told(entry: Entry) -> Told:
    return Told(
        entry.fingerprint, entry.labels, entry.annotations, entry.starts_at, entry.ends_at, entry.generator,
        muted=entry.state != "active",
    )  # fmt: skip


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
