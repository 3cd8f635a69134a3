"""Does an alert reach anybody? Read from the configuration Alertmanager really runs, not from what was meant.

The route tree is walked as Alertmanager walks it: children in order, a receiver is inherited, and a child that takes
everything hides those after it unless it says ``continue``. Heartbeats (Watchdog and the like) do not count: a receiver
that only they reach tells nobody about a fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from monitoring.checks import alert_routes
from monitoring.checks.alert_routes import STATUS, Config, Matcher
from monitoring.checks.base import CheckType, Params, degraded, failing, unknown, verified
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Need, Snapshot
from monitoring.verdict import Verdict

#: alerts that are sent while all is well
HEARTBEAT = {"Watchdog", "InfoInhibitor"}
#: the label of a test's own alert; what only that reaches tells nobody of a fault
TEST_LABEL = "portal_test"


class AlertRoute(Params, frozen=True):
    """Parameters of ``alert_route``."""

    namespace: Annotated[str, Meta(description="where Alertmanager is, for the line to run by hand")] = "monitoring"
    receiver: Annotated[str, Meta(description="the receiver that must be reached; empty is any real one")] = ""
    alerts_of: Annotated[str, Meta(description="a namespace whose alerts are enough; empty is those of all")] = ""


def _needs(_: Snapshot, __: AlertRoute) -> Iterable[Need]:
    yield STATUS


def _evaluate(snapshot: Snapshot, params: AlertRoute, _: datetime) -> Verdict:
    reply = snapshot.reply(STATUS)
    if reply.status != 200 or not isinstance(reply.body, dict):
        sentence = f"Alertmanager answers with HTTP {reply.status}, so its routes are not known. Read its log."
        return unknown("bad_status", sentence, f"HTTP {reply.status}")
    config = alert_routes.read(reply.body)
    if config is None:
        sentence = "Alertmanager's configuration could not be read as YAML. Open its status page."
        return unknown("bad_config", sentence, "not readable")
    real = config.real
    reached = [(route.receiver, path) for route, path in config.root.reached()]
    hits = [(name, path) for name, path in reached if name in real and not is_heartbeat(path)]
    hits = [hit for hit in hits if not params.receiver or hit[0] == params.receiver]
    default = config.root.receiver
    facts = {"default": clean(default, 80), "real": sorted(clean(name, 80) for name in real)[:10]}
    if not hits:
        return _nobody(config, params, facts)
    names = listing(sorted({name for name, _ in hits}))
    if default in real and (not params.receiver or params.receiver == default):
        return verified(f"The default route reaches {names}.", names, facts=facts)
    narrow = [_namespaces(path) for _, path in hits]
    if all(narrow) and not any(params.alerts_of in bound for bound in narrow):
        sentence = (
            f"Only alerts of namespace {clean(narrow[0][0], 80)} reach {names}; all others go to {clean(default, 80)}. "
            "Set the matcher strategy of the Alertmanager object to None."
        )
        return degraded("one_namespace", sentence, f"{names} for one namespace", facts=facts)
    if all(narrow):
        sentence = f"Alerts of namespace {clean(params.alerts_of, 80)} reach {names}; others go elsewhere."
        return verified(sentence, f"{names} for one namespace", facts=facts)
    return verified(f"Alerts reach {names}; what no route takes goes to {clean(default, 80)}.", names, facts=facts)


def _nobody(config: Config, params: AlertRoute, facts: dict[str, Any]) -> Verdict:
    real = config.real
    shown = clean(config.root.receiver, 80) or "none"
    if params.receiver and params.receiver in real:
        sentence = f"No route leads to {params.receiver}, so it is never used. Add a route to it."
    elif real:
        sentence = f"{listing(sorted(real))} is set up and no route leads there: alerts go to {shown}. Add a route."
    else:
        sentence = f"The only receiver is {shown}: nobody is notified. Add a receiver and a route to it."
    return failing("nobody_notified", sentence, f"receiver {shown}", facts=facts)


def is_heartbeat(path: Iterable[Matcher]) -> bool:
    """Whether these matchers take only alerts that are sent while all is well."""
    return any(
        (matcher.label == "alertname" and matcher.op in {"=", "=~"} and matcher.value in HEARTBEAT)
        or matcher.label == TEST_LABEL
        for matcher in path
    )


def _namespaces(path: Iterable[Matcher]) -> list[str]:
    """The namespaces a path is bound to."""
    return [matcher.value for matcher in path if matcher.label == "namespace" and matcher.op == "="]


def _command(params: AlertRoute) -> str:
    where = f"/api/v1/namespaces/{params.namespace}/services/alertmanager-operated:9093"
    return f"kubectl get --raw {where}/proxy{STATUS.path}"


TYPES = (
    CheckType(
        slug="alert_route",
        title="Alerts reach somebody",
        summary="The configuration Alertmanager runs leads alerts to a receiver that sends something.",
        params=AlertRoute,
        needs=_needs,
        evaluate=_evaluate,
        command=_command,
        expected=lambda p: f"a route to {p.receiver or 'a real receiver'}",
        source="alertmanager",
        watched=False,
        limit_seconds=120,
        poll_seconds=15,
    ),
)
