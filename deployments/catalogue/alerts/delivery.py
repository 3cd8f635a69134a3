"""Whether a test alert was really delivered, by Alertmanager's own counters as Prometheus keeps them.

Facts (Alertmanager's ``notify/notify.go``, measured with 0.25): ``alertmanager_notifications_total`` goes up when a
notification *begins* and ``…_notifications_failed_total`` only when Alertmanager gives up, a group interval later. So
"one more, none failed" is also what a receiver that is down looks like. What proves a delivery is a request that ended
well: ``…_notification_requests_total`` minus ``…_notification_requests_failed_total``, both counted at the end of each
try.

The reading from before the alert is asked of Prometheus' history (``@``), so that it is the same after a crash. The
counters are Alertmanager's for all receivers of a kind: what others send in the same moment counts too, and where a try
failed in that time nobody can tell whose it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deployments.catalogue.alerts import api
from deployments.catalogue.seen import Line, Outlook, Seen
from monitoring.checks.text import clean, count, listing
from monitoring.snapshot import Missing, Need, Query, Snapshot

_NAMES = "alertmanager_notification(s|_requests)(_failed)?_total"
_REQUESTS, _REQUESTS_FAILED = (
    "alertmanager_notification_requests_total",
    "alertmanager_notification_requests_failed_total",
)
_GIVEN_UP = "alertmanager_notifications_failed_total"


def counters(namespace: str, at: float | None = None) -> Query:
    """The counters of the Alertmanager of a namespace (of any, when empty), now or at a Unix time in seconds."""
    where = f',namespace="{namespace}"' if namespace else ""
    moment = f" @ {at:.3f}" if at is not None else ""
    return Query(f'sum by (__name__, integration) ({{__name__=~"{_NAMES}"{where}}}{moment})')


#: answered by nothing, but without an error only where ``@`` is understood
IN_HISTORY = counters("", 0)


def read(snapshot: Snapshot, query: Query) -> dict[tuple[str, str], float]:
    """Counter by (name, integration). :raises Missing:"""
    found: dict[tuple[str, str], float] = {}
    body = snapshot.reply(query).body
    for entry in body if isinstance(body, list) else []:
        metric = entry.get("metric") if isinstance(entry, Mapping) else None
        value = entry.get("value") if isinstance(entry, Mapping) else None
        if isinstance(metric, Mapping) and isinstance(value, list | tuple) and len(value) == 2:
            try:
                found[str(metric.get("__name__")), str(metric.get("integration"))] = float(value[1])
            except (TypeError, ValueError):
                continue
    return found


def countable(found: Mapping[tuple[str, str], float], kinds: Iterable[str]) -> list[str]:
    """Which of these integrations have no counter of their tries."""
    return sorted({kind for kind in kinds if (_REQUESTS, kind) not in found})


def needs(snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """The test alert; once it is shown, the counters now and from just before it."""
    need = api.test_alert(args["run"])
    yield need
    moment = None
    with suppress(Missing):
        moment = _began(snapshot, args)
    if moment is not None:
        yield counters(args["namespace"])
        yield counters(args["namespace"], moment)


def shown(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """``{run}``: Alertmanager has the test alert of this run."""
    found = api.alerts(snapshot, api.test_alert(args["run"]))
    if found:
        return Seen(Outlook.MET, "Alertmanager has the test alert.")
    return Seen(Outlook.NOT_YET, "Alertmanager does not show the test alert.")


def shown_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """The test alert of a run."""
    yield api.test_alert(args["run"])


def delivered(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """``{run, receiver, integrations, namespace}``: the alert was led to the receiver and each of its channels sent."""
    found = api.alerts(snapshot, api.test_alert(args["run"]))
    if not found:
        return Seen(Outlook.NOT_YET, "Waiting for Alertmanager to show the test alert.", memory=dict(memory))
    alert, receiver = found[0], str(args["receiver"])
    if alert.state == "suppressed":
        by = f"silence {listing(alert.silenced_by)}" if alert.silenced_by else "another alert that inhibits it"
        return Seen(Outlook.FAILED, f"The test alert is muted by {by}, so nobody is told.")
    if receiver not in alert.receivers:
        others = listing(alert.receivers) or "nobody"
        return Seen(Outlook.FAILED, f"Alertmanager leads the test alert to {others}, not to {clean(receiver, 120)}.")
    lines = () if memory.get("routed") else (Line(f"led to {listing(alert.receivers)}"),)
    seen = _counted(snapshot, args, {**memory, "routed": True})
    return Seen(seen.outlook, seen.sentence, (*lines, *seen.lines), seen.memory)


@dataclass(frozen=True, slots=True)
class _Change:
    """What one integration's counters did since the alert."""

    kind: str
    wanted: int
    tried: float
    failed: float
    given_up: float
    before: float

    @property
    def sent(self) -> float:
        return self.tried - self.failed

    def __str__(self) -> str:
        return (
            f"{self.kind}: requests {self.before:g} → {self.before + self.tried:g}, "
            f"failed {self.failed:g} of {self.tried:g}"
        )


def _counted(snapshot: Snapshot, args: Mapping[str, Any], memory: dict[str, Any]) -> Seen:
    moment = _began(snapshot, args)
    if moment is None:
        return Seen(Outlook.UNKNOWN, "Alertmanager does not say when it took the alert in, so nothing can be compared.")
    now = read(snapshot, counters(args["namespace"]))
    before = read(snapshot, counters(args["namespace"], moment))
    kinds = Counter(map(str, args["integrations"]))
    unknown = countable(before, kinds)
    if unknown:
        said = f"Prometheus has no reading of {listing(unknown)} from before the test, so nothing can be compared."
        return Seen(Outlook.UNKNOWN, said)
    changes = [_change(kind, wanted, before, now) for kind, wanted in sorted(kinds.items())]
    if any(change.tried < 0 or change.failed < 0 for change in changes):
        return Seen(Outlook.UNKNOWN, "Alertmanager began to count anew meanwhile, so nothing can be compared.")
    told = "; ".join(map(str, changes))
    lines = (Line(told),) if memory.get("told") != told else ()
    memory = {**memory, "told": told}
    given_up = [change.kind for change in changes if change.given_up > 0 and change.sent < change.wanted]
    if given_up:
        return Seen(
            Outlook.FAILED, f"Alertmanager gave up sending by {listing(given_up)}. Read its log.", lines, memory
        )
    waiting = [change for change in changes if change.sent < change.wanted]
    failing = [change for change in changes if change.failed > 0]
    if waiting:
        tries = f"; {count(int(failing[0].failed), 'try', 'tries')} failed, it tries again" if failing else ""
        said = f"Waiting for {listing(change.kind for change in waiting)} to be sent{tries}."
        return Seen(Outlook.NOT_YET, said, lines, memory)
    if failing:
        said = (
            f"Messages were sent and others failed ({told}); whether the test was among those that were sent cannot be "
            "told. Ask who receives them."
        )
        return Seen(Outlook.UNKNOWN, said, lines, memory)
    done = f"Delivered to {clean(str(args['receiver']), 120)}. {told}."
    return Seen(Outlook.MET, done, (Line(done, "good"),), memory)


def _change(kind: str, wanted: int, before: Mapping[Any, float], now: Mapping[Any, float]) -> _Change:
    def since(name: str) -> float:
        return now.get((name, kind), 0.0) - before.get((name, kind), 0.0)

    return _Change(
        kind, wanted, since(_REQUESTS), since(_REQUESTS_FAILED), since(_GIVEN_UP), before.get((_REQUESTS, kind), 0.0)
    )


def _began(snapshot: Snapshot, args: Mapping[str, Any]) -> float | None:
    """When Alertmanager took the alert in, by its own clock and in Unix seconds: nothing was told before. Not cut to
    whole seconds: what another alert was told in the same second would count as this one's."""
    found = api.alerts(snapshot, api.test_alert(args["run"]))
    if not found:
        return None
    try:
        return datetime.fromisoformat(found[0].updated_at).timestamp()
    except ValueError:
        return None
