"""What to wait for after a channel was written: Alertmanager runs a configuration that leads alerts to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deployments.catalogue.alerts import loading
from deployments.catalogue.seen import Line, Outlook, Seen
from monitoring.checks import alert_routes
from monitoring.checks.alert_routes import STATUS
from monitoring.checks.alerting import TEST_LABEL
from monitoring.checks.text import clean
from monitoring.snapshot import Need, Objects, Raw, Snapshot

CONFIGS = "alertmanagerconfigs.monitoring.coreos.com"


def needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """The configuration that runs; the object, and what the operator says of it."""
    yield STATUS
    if args.get("name"):
        yield Raw(CONFIGS, args["namespace"], args["name"])
        yield Objects("events", args["namespace"])


def reaches(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """``{receiver, anywhere, namespace, name}``: a route that is not only for tests leads to the receiver.

    ``anywhere``: alerts of any namespace take it. ``name``: the AlertmanagerConfig it comes from, or nothing.
    """
    receiver = str(args["receiver"])
    reply = snapshot.reply(STATUS)
    config = alert_routes.read(reply.body) if reply.status == 200 else None
    if config is None:
        return Seen(Outlook.NOT_YET, "Alertmanager's configuration cannot be read.", memory=dict(memory))
    paths = [
        path
        for route, path in config.root.reached()
        if route.receiver == receiver and all(matcher.label != TEST_LABEL for matcher in path)
    ]
    if not config.receivers.get(receiver) or not paths:
        why = _rejected(snapshot, args, memory)
        if why:
            return Seen(Outlook.FAILED, f"The operator leaves the channel out: {why}")
        said = f"Alertmanager does not run {clean(receiver, 120)} yet: the operator and a reload take a minute or two."
        return Seen(Outlook.NOT_YET, said, memory=dict(memory))
    bound = [[matcher.value for matcher in path if matcher.label == "namespace"] for path in paths]
    if args["anywhere"] and all(bound):
        said = f"Alertmanager still leads only alerts of namespace {clean(bound[0][0], 80)} to {clean(receiver, 120)}."
        return Seen(Outlook.NOT_YET, said, memory=dict(memory))
    which = " for alerts of any namespace" if args["anywhere"] else ""
    done = f"Alertmanager runs a route to {clean(receiver, 120)}{which}."
    return Seen(Outlook.MET, done, (Line(done, "good"),))


def _rejected(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> str:
    if not args.get("name"):
        return ""
    raw = snapshot.raw(CONFIGS, args["namespace"], args["name"])
    uid = str(((raw or {}).get("metadata") or {}).get("uid", ""))
    return loading.rejection(snapshot, args["namespace"], uid, loading.since(memory)) if uid else ""
