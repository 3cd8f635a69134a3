"""Alertmanager's API v2: what is asked, and what of an answer is believed. Pure.

Facts (run against 0.25, see the facts pages): ``GET /alerts`` takes matchers as ``filter``, all must fit; an alert says
which ``receivers`` it is led to and whether it is ``suppressed`` and by which silences; ``GET /silences`` lists expired
ones too. Answers are the cluster's and not trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from monitoring.checks.alert_routes import Matcher
from monitoring.checks.text import clean
from monitoring.snapshot import Fetch, Missing, Snapshot

SOURCE = "alertmanager"
SILENCES = Fetch(SOURCE, "/api/v2/silences")
_SHOWN = "active=true&silenced=true&inhibited=true&unprocessed=true"
ALL_ALERTS = Fetch(SOURCE, f"/api/v2/alerts?{_SHOWN}")
#: the label that tells one test from another
RUN = "run"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as Alertmanager shows it."""

    labels: Mapping[str, str]
    receivers: tuple[str, ...]
    state: str
    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]
    #: when Alertmanager took it in, by its own clock
    updated_at: str

    @property
    def title(self) -> str:
        """``KubePodCrashLooping (namespace dev, pod x)``."""
        name = clean(self.labels.get("alertname", "an alert without a name"), 80)
        rest = [
            f"{key} {clean(self.labels[key], 60)}" for key in ("namespace", "job", "pod", "name") if key in self.labels
        ]
        return f"{name} ({', '.join(rest[:2])})" if rest else name


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence as Alertmanager shows it."""

    id: str
    state: str
    matchers: tuple[Matcher, ...]
    comment: str
    by: str
    ends_at: str

    def mutes(self, labels: Mapping[str, str]) -> bool:
        """Whether it fits these labels; what cannot be told counts as fitting."""
        return bool(self.matchers) and all(matcher.fits(labels) is not False for matcher in self.matchers)


def alerts_with(matchers: Iterable[Matcher]) -> Fetch:
    """The alerts that all these matchers fit, by Alertmanager's own judgement."""
    filters = "".join(f"&filter={quote(str(matcher), safe='')}" for matcher in matchers)
    return Fetch(SOURCE, f"/api/v2/alerts?{_SHOWN}{filters}")


def test_alert(run: str) -> Fetch:
    """The test alert of a run."""
    return alerts_with([Matcher(RUN, "=", run)])


def silence(identity: str) -> Fetch:
    """One silence."""
    return Fetch(SOURCE, f"/api/v2/silence/{quote(identity, safe='')}")


def alerts(snapshot: Snapshot, need: Fetch) -> list[Alert]:
    """The alerts of an answer, in a fixed order. :raises Missing: it was not read, or was refused."""
    found = [_alert(entry) for entry in _list(snapshot, need)]
    return sorted(found, key=lambda alert: sorted(alert.labels.items()))


def silences(snapshot: Snapshot) -> list[Silence]:
    """All silences, expired ones too, in a fixed order. :raises Missing:"""
    return sorted((read_silence(entry) for entry in _list(snapshot, SILENCES)), key=lambda each: each.id)


def read_silence(entry: Mapping[str, Any]) -> Silence:
    """A silence from its JSON."""
    status = entry.get("status")
    listed = entry.get("matchers")
    return Silence(
        id=str(entry.get("id", "")),
        state=str(status.get("state", "")) if isinstance(status, Mapping) else "",
        matchers=tuple(
            _matcher(each) for each in (listed if isinstance(listed, list) else []) if isinstance(each, dict)
        ),
        comment=str(entry.get("comment", "")),
        by=str(entry.get("createdBy", "")),
        ends_at=str(entry.get("endsAt", "")),
    )


def _list(snapshot: Snapshot, need: Fetch) -> list[dict[str, Any]]:
    reply = snapshot.reply(need)
    if reply.status != 200 or not isinstance(reply.body, list):
        raise Missing(need, f"Alertmanager answers {need.path.partition('?')[0]} with HTTP {reply.status}.")
    return [entry for entry in reply.body if isinstance(entry, dict)]


def _alert(entry: Mapping[str, Any]) -> Alert:
    labels, status = entry.get("labels"), entry.get("status")
    status = status if isinstance(status, Mapping) else {}
    receivers = entry.get("receivers")
    return Alert(
        labels={str(k): str(v) for k, v in labels.items()} if isinstance(labels, Mapping) else {},
        receivers=tuple(
            str(each.get("name"))
            for each in (receivers if isinstance(receivers, list) else [])
            if isinstance(each, Mapping)
        ),
        state=str(status.get("state", "")),
        silenced_by=tuple(map(str, status.get("silencedBy") or ())),
        inhibited_by=tuple(map(str, status.get("inhibitedBy") or ())),
        updated_at=str(entry.get("updatedAt") or entry.get("startsAt") or ""),
    )


def _matcher(entry: Mapping[str, Any]) -> Matcher:
    equal, regex = entry.get("isEqual", True) is not False, bool(entry.get("isRegex"))
    operator = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}[equal, regex]
    return Matcher(str(entry.get("name", "")), operator, str(entry.get("value", "")))
