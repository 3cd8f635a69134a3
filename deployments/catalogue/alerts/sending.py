"""*Send a test alert*: one synthetic alert through the routes Alertmanager really runs, with proof of delivery.

Alertmanager has no way to test a receiver (its API's description), so the test is an alert with labels of its own: the
routes must lead it to the receiver, and the channel's own counters must say that it was sent (see ``delivery``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated

import msgspec

from deployments.catalogue.action import (
    Action,
    Blast,
    Call,
    CannotPlan,
    Condition,
    Params,
    PlanDraft,
    Precondition,
    Rule,
    Shown,
    StepSpec,
    Verification,
)
from deployments.catalogue.alerts import api, delivery, managers
from monitoring.checks import alert_routes
from monitoring.checks.alert_routes import STATUS, Config, Matcher, Route
from monitoring.checks.alerting import TEST_LABEL
from monitoring.checks.text import clean, count, listing, span
from monitoring.snapshot import Missing, Need, Snapshot

NAME = "PortalTest"
#: what a scrape of Alertmanager and the reading of it may take beside the route's own waiting
_SCRAPE_SECONDS = 120
_MOST_SECONDS = 1200
#: it outlives its proof, but not for long: a channel that is new within that time is told of it too
_ENDS_AFTER = 60
_WORD = re.compile(r"[A-Za-z0-9_./:-]+")
_UNDO = "A message that was sent cannot be taken back; the alert itself ends by itself."


class SendParams(Params, frozen=True):
    """Whom to reach. Left empty, everything is found in the cluster."""

    receiver: Annotated[
        str,
        msgspec.Meta(max_length=400, description="Receiver to reach, as Alertmanager calls it; empty: the only one"),
    ] = ""
    severity: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,63}$", description="Severity of the alert")] = (
        "warning"
    )
    namespace: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$",
            description="Namespace the alert speaks of; empty: Alertmanager's own",
        ),
    ] = ""


def needs(snapshot: Snapshot, _params: SendParams) -> Iterable[Need]:
    """The routes, what might mute a test, the counters, and where Alertmanager runs."""
    yield STATUS
    yield api.SILENCES
    yield api.ALL_ALERTS
    yield from managers.needs(snapshot, managers.ALERTMANAGERS, "", "")
    yield delivery.counters("")
    yield delivery.IN_HISTORY
    with suppress(Missing, CannotPlan):
        yield delivery.counters(managers.choose(snapshot, managers.ALERTMANAGERS, "", "").namespace)


def draft(snapshot: Snapshot, params: SendParams) -> PlanDraft:
    """One request and the wait for its proof. :raises CannotPlan: no configuration, or no receiver. :raises Missing:"""
    config = read_config(snapshot)
    receiver = _receiver(config, params)
    home = _home(snapshot)
    filled = SendParams(receiver=receiver, severity=params.severity, namespace=params.namespace or home)
    labels = labels_for(config, receiver, filled)
    routes = [route for route in config.root.taken(labels) if route.receiver == receiver]
    kinds = config.receivers.get(receiver, ())
    where = _counted_where(snapshot, home, kinds)
    seconds = _seconds(routes)
    return PlanDraft(
        params=msgspec.to_builtins(filled),
        preconditions=tuple(_preconditions(snapshot, config, receiver, labels, where)),
        steps=(
            StepSpec(
                verb="send",
                title=f"Send a test alert to {clean(receiver, 120)} and wait for the proof",
                how="Alertmanager's API",
                resource="alerts.alertmanager",
                namespace="",
                name=NAME,
                effect=_call(labels, seconds),
                until=Condition(
                    "alertmanager_test_delivered",
                    {
                        "run": "${run.mark}",
                        "receiver": receiver,
                        "integrations": sorted(kinds),
                        "namespace": where if where is not None else home,
                    },
                ),
                timeout_seconds=seconds,
            ),
        ),
        verification=Verification((), 0, 0),
        undo=f"{_UNDO} That is {span(_ENDS_AFTER + seconds)} after it was sent.",
        blast=_blast(config, receiver, labels, kinds),
    )


# -- what is read


def read_config(snapshot: Snapshot) -> Config:
    """The configuration Alertmanager runs. :raises CannotPlan: it cannot be read. :raises Missing:"""
    reply = snapshot.reply(STATUS)
    config = alert_routes.read(reply.body) if reply.status == 200 else None
    if config is None:
        raise CannotPlan(f"Alertmanager's configuration could not be read (HTTP {reply.status}); look at its log.")
    return config


def _receiver(config: Config, params: SendParams) -> str:
    """The receiver to reach: the one named, or the only one that sends something and is not a heartbeat's."""
    if params.receiver:
        if params.receiver not in config.receivers:
            known = listing(sorted(config.real)) or "none that sends anything"
            raise CannotPlan(f"Alertmanager knows no receiver {clean(params.receiver, 120)}. There are: {known}.")
        return params.receiver
    reached = {route.receiver for route, path in config.root.reached() if not _only_watchdog(path)}
    real = sorted(config.real & reached)
    if not real:
        raise CannotPlan("No receiver is reached that sends anything: create a notification channel first.")
    if len(real) > 1:
        raise CannotPlan(f"Several receivers send something ({listing(real)}): name the one to test.")
    return real[0]


def _only_watchdog(path: Iterable[Matcher]) -> bool:
    return any(matcher.label == "alertname" and matcher.op == "=" for matcher in path)


def _home(snapshot: Snapshot) -> str:
    """The namespace of the Alertmanager object; empty when there is none (Alertmanager runs without the operator)."""
    with suppress(Missing, CannotPlan):
        return managers.choose(snapshot, managers.ALERTMANAGERS, "", "").namespace
    return ""


def _counted_where(snapshot: Snapshot, home: str, kinds: Iterable[str]) -> str | None:
    """The namespace by which the counters are found: Alertmanager's own, or any; None when they are not found.

    :raises Missing: Prometheus does not answer, or does not look into its history (before 2.33).
    """
    snapshot.reply(delivery.IN_HISTORY)
    for namespace in dict.fromkeys((home, "")):
        if not delivery.countable(delivery.read(snapshot, delivery.counters(namespace)), kinds):
            return namespace
    return None


def labels_for(config: Config, receiver: str, params: SendParams) -> dict[str, str]:
    """Labels that the routes lead to the receiver, as far as they can be found; else the plain ones."""
    plain = {
        "alertname": NAME,
        "severity": params.severity,
        TEST_LABEL: "true",
        api.RUN: "${run.mark}",
        **({"namespace": params.namespace} if params.namespace else {}),
    }
    paths = [path for route, path in config.root.reached() if route.receiver == receiver]
    # the route made for tests first: it does not make people wait
    paths.sort(key=lambda path: not any(matcher.label == TEST_LABEL for matcher in path))
    for labels in (plain, *(_along(plain, path) for path in paths)):
        if any(route.receiver == receiver for route in config.root.taken(labels)):
            return labels
    return plain


def _along(plain: Mapping[str, str], path: Iterable[Matcher]) -> dict[str, str]:
    """The labels with what a path asks for; what makes a test a test stays, so it never poses as another alert."""
    labels = dict(plain)
    for matcher in path:
        if matcher.label in (TEST_LABEL, api.RUN, "alertname") or matcher.fits(labels):
            continue
        if matcher.op == "=":
            labels[matcher.label] = matcher.value
        elif matcher.op == "=~":
            words = [word for word in matcher.value.split("|") if _WORD.fullmatch(word)]
            labels.update({matcher.label: words[0]} if words else {})
    return {key: value for key, value in sorted(labels.items()) if value}


def _seconds(routes: Iterable[Route]) -> int:
    """How long the proof may take: the route waits to group, or for the next flush of a group that is there."""
    waits = [route.group_wait + (0.0 if _alone(route) else route.group_interval) for route in routes]
    return int(min(max(waits, default=0.0) + _SCRAPE_SECONDS, _MOST_SECONDS))


def _alone(route: Route) -> bool:
    """Whether each test is a group of its own, so that it waits for no flush of an older one."""
    return bool({api.RUN, "..."} & set(route.group_by))


# -- what must hold


def _preconditions(
    snapshot: Snapshot, config: Config, receiver: str, labels: Mapping[str, str], where: str | None
) -> Iterator[Precondition]:
    kinds = config.receivers.get(receiver, ())
    name = clean(receiver, 120)
    yield Precondition(f"{name} sends something", bool(kinds), listing(kinds) or "it has no channel")
    taken = list(config.root.taken(labels))
    led = any(route.receiver == receiver for route in taken)
    shown = ", ".join(f"{key}={value}" for key, value in labels.items() if key != api.RUN)
    there = f"an alert with {clean(shown, 200)} goes to {listing(route.receiver for route in taken) or 'nobody'}"
    yield Precondition(f"The routes lead a test alert to {name}", led, there)
    muting = [each for each in api.silences(snapshot) if each.state == "active" and each.mutes(labels)]
    evidence = "; ".join(f"{clean(m.id, 40)} of {clean(m.by, 40)} until {clean(m.ends_at, 30)}" for m in muting[:3])
    yield Precondition("No silence mutes it", not muting, evidence or "no active silence fits its labels")
    above = [
        alert.title
        for alert in api.alerts(snapshot, api.ALL_ALERTS)
        if any(rule.mutes(alert.labels, labels) for rule in config.inhibitions)
    ]
    evidence = f"{listing(above)} does, by the configuration's inhibit_rules; wait for its end" if above else ""
    yield Precondition("No alert that fires inhibits it", not above, evidence or "none does")
    yield Precondition(
        "Prometheus keeps the counters of its channels",
        where is not None,
        "alertmanager_notification_requests_total is read"
        if where is not None
        else f"no counter of {listing(sorted(set(kinds)))}: Prometheus must scrape Alertmanager (0.22 or newer)",
    )


def _call(labels: Mapping[str, str], seconds: int) -> Call:
    alert = {
        "labels": dict(labels),
        "annotations": {
            "summary": "Test alert of Phaseboard, asked for by ${run.user}. Nothing is wrong.",
            "description": "It shows that alerts reach you. Nobody needs to do anything.",
        },
        "startsAt": "${run.time}",
        "endsAt": f"${{run.time+{_ENDS_AFTER + seconds}}}",
    }
    return Call(
        service="alertmanager",
        method="POST",
        path="/api/v2/alerts",
        made=Condition("alertmanager_alert_shown", {"run": "${run.mark}"}),
        body=[alert],
        shown=tuple(Shown(f"alert.labels.{key}", None, value) for key, value in sorted(labels.items())),
    )


def _blast(config: Config, receiver: str, labels: Mapping[str, str], kinds: Iterable[str]) -> Blast:
    told = sorted({route.receiver for route in config.root.taken(labels)} & config.real)
    others = [name for name in told if name != receiver]
    also = f" {listing(others)} {'gets' if len(others) == 1 else 'get'} it as well." if others else ""
    channels = count(len(tuple(kinds)), "channel")
    messages = "one message now, and one when the alert ends where the channel sends those"
    return Blast(
        created=(f"Alert {NAME}",),
        sentence=f"{clean(receiver, 120)} tells its people by {channels}: {messages}.{also}",
    )


ACTION = Action(
    slug="send-test-alert",
    title="Send a test alert",
    family="Alerts",
    tier=1,
    summary="Send one synthetic alert through Alertmanager's routes and prove from its counters that it was delivered.",
    params=SendParams,
    needs=needs,
    draft=draft,
    rules=(Rule("", "services/proxy", ("create",)),),
    undo=_UNDO,
    guards=(
        "The receiver sends something, and the routes that run lead the alert to it",
        "No active silence mutes it, and no alert that fires inhibits it",
        "Prometheus keeps Alertmanager's counters, so that a delivery can be proved",
    ),
    verified_by=(
        "Alertmanager shows the alert with the receiver, and each of its channels has one more request that ended well "
        "than just before the alert"
    ),
    reference="https://prometheus.io/docs/alerting/latest/clients/ and Alertmanager's notify/notify.go",
)
