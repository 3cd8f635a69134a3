"""Does an alert reach anybody? Read from the configuration Alertmanager really runs, not from what was meant.

The route tree is walked as Alertmanager walks it: children in order, a receiver is inherited, and a child that takes
everything hides those after it unless it says ``continue``. Heartbeats (Watchdog and the like) do not count: a receiver
that only they reach tells nobody about a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from io import StringIO
from typing import Annotated, Any

from msgspec import Meta
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from monitoring.checks.base import CheckType, Params, degraded, failing, unknown, verified
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Fetch, Need, Snapshot
from monitoring.verdict import Verdict

STATUS = Fetch("alertmanager", "/api/v2/status")
#: alerts that are sent while all is well, and a test's own label
_HEARTBEAT = {"Watchdog", "InfoInhibitor"}
_MATCHER = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*"?(.*?)"?\s*')
_DEPTH = 20


class AlertRoute(Params, frozen=True):
    """Parameters of ``alert_route``."""

    namespace: Annotated[str, Meta(description="where Alertmanager is, for the line to run by hand")] = "monitoring"
    receiver: Annotated[str, Meta(description="the receiver that must be reached; empty is any real one")] = ""


def _needs(_: Snapshot, __: AlertRoute) -> Iterable[Need]:
    yield STATUS


def _evaluate(snapshot: Snapshot, params: AlertRoute, _: datetime) -> Verdict:
    reply = snapshot.reply(STATUS)
    if reply.status != 200 or not isinstance(reply.body, dict):
        sentence = f"Alertmanager answers with HTTP {reply.status}, so its routes are not known. Read its log."
        return unknown("bad_status", sentence, f"HTTP {reply.status}")
    config = _config(reply.body)
    if config is None:
        sentence = "Alertmanager's configuration could not be read as YAML. Open its status page."
        return unknown("bad_config", sentence, "not readable")
    real = {
        str(entry.get("name"))
        for entry in _maps(config.get("receivers"))
        if any(key.endswith("_configs") and value for key, value in entry.items())
    }
    root = config.get("route")
    reached = list(_reached(root if isinstance(root, dict) else {}, "", (), 0))
    hits = [(name, path) for name, path in reached if name in real and not _heartbeat(path)]
    hits = [hit for hit in hits if not params.receiver or hit[0] == params.receiver]
    default = str(root.get("receiver", "")) if isinstance(root, dict) else ""
    facts = {"default": clean(default, 80), "real": sorted(clean(name, 80) for name in real)[:10]}
    if not hits:
        return _nobody(default, real, params, facts)
    names = listing(sorted({name for name, _ in hits}))
    if default in real and (not params.receiver or params.receiver == default):
        return verified(f"The default route reaches {names}.", names, facts=facts)
    narrow = [path for _, path in hits if any(label == "namespace" and op == "=" for label, op, _ in path)]
    if len(narrow) == len(hits):
        value = next(value for label, _, value in narrow[0] if label == "namespace")
        sentence = (
            f"Only alerts of namespace {clean(value, 80)} reach {names}; all others go to {clean(default, 80)}. "
            "Set the matcher strategy of the Alertmanager object to None."
        )
        return degraded("one_namespace", sentence, f"{names} for one namespace", facts=facts)
    return verified(f"Alerts reach {names}; what no route takes goes to {clean(default, 80)}.", names, facts=facts)


def _nobody(default: str, real: set[str], params: AlertRoute, facts: dict[str, Any]) -> Verdict:
    shown = clean(default, 80) or "none"
    if params.receiver and params.receiver in real:
        sentence = f"No route leads to {params.receiver}, so it is never used. Add a route to it."
    elif real:
        sentence = f"{listing(sorted(real))} is set up and no route leads there: alerts go to {shown}. Add a route."
    else:
        sentence = f"The only receiver is {shown}: nobody is notified. Add a receiver and a route to it."
    return failing("nobody_notified", sentence, f"receiver {shown}", facts=facts)


def _config(body: Mapping[str, Any]) -> dict[str, Any] | None:
    config = body.get("config")
    text = config.get("original") if isinstance(config, dict) else None
    if not isinstance(text, str) or len(text) > 2_000_000:
        return None
    try:
        loaded = YAML(typ="safe", pure=True).load(StringIO(text))
    except (YAMLError, ValueError, RecursionError):
        return None
    return loaded if isinstance(loaded, dict) else None


def _maps(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


Path = tuple[tuple[str, str, str], ...]


def _reached(route: dict[str, Any], inherited: str, path: Path, depth: int) -> Iterator[tuple[str, Path]]:
    """Every receiver an alert can end at, with the matchers on the way."""
    receiver = str(route.get("receiver") or inherited)
    closed = False
    for child in _maps(route.get("routes")) if depth < _DEPTH else []:
        matchers = _matchers(child)
        yield from _reached(child, receiver, (*path, *matchers), depth + 1)
        if not matchers and not child.get("continue"):
            closed = True
            break
    if not closed:
        yield receiver, path


def _matchers(route: Mapping[str, Any]) -> Path:
    found: list[tuple[str, str, str]] = []
    for text in route.get("matchers") or []:
        match = _MATCHER.fullmatch(str(text))
        if match:
            found.append((match.group(1), match.group(2), match.group(3)))
    for key, operator in (("match", "="), ("match_re", "=~")):
        old = route.get(key)
        found += [(str(label), operator, str(value)) for label, value in old.items()] if isinstance(old, dict) else []
    return tuple(found)


def _heartbeat(path: Path) -> bool:
    return any(
        (label == "alertname" and operator in {"=", "=~"} and value in _HEARTBEAT) or label == "portal_test"
        for label, operator, value in path
    )


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
