"""Does Grafana answer, has it the datasources and dashboards that were said?

Health needs no sign-in; datasources and dashboards do, so without an address and a token they read unknown and say so.
When Grafana does not answer *and* no ready pod is behind its Service, that is failing, not unknown: it was seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from msgspec import Meta

from integrations.kubernetes.objects import Service
from monitoring.checks.base import CheckType, Params, degraded, failing, unknown, verified
from monitoring.checks.services import SLICES, ServiceParams, front, proxy_line, ready_addresses
from monitoring.checks.text import clean, count, listing, phrase
from monitoring.snapshot import Fetch, Missing, Need, Objects, Reply, Snapshot
from monitoring.verdict import Verdict

GRAFANA = "app.kubernetes.io/name=grafana"
HEALTH = Fetch("grafana", "/api/health")
DATASOURCES = Fetch("grafana", "/api/datasources")
#: dashboards whose panels are looked into; more would be many calls for one word
_LOOKED_INTO = 5
#: datasource references that Grafana resolves itself
_BUILT_IN = {"", "grafana", "-- Grafana --", "-- Mixed --", "-- Dashboard --", "__expr__", "-100"}


class GrafanaHealth(Params, frozen=True):
    """Parameters of ``grafana_health``."""

    namespace: Annotated[str, Meta(description="where Grafana's Service is; empty is everywhere")] = ""
    selector: Annotated[str, Meta(description="labels of its Service")] = GRAFANA


class GrafanaDatasource(Params, frozen=True):
    """Parameters of ``grafana_datasource``."""

    type: Annotated[str, Meta(min_length=1, description="kind of datasource")] = "prometheus"
    default: Annotated[bool, Meta(description="it must be the default one")] = False
    healthy: Annotated[bool, Meta(description="Grafana must reach it; not every kind can be asked")] = True


class GrafanaDashboards(Params, frozen=True):
    """Parameters of ``grafana_dashboards``."""

    tag: Annotated[str, Meta(min_length=1, description="tag of the dashboards")]
    minimum: Annotated[int, Meta(ge=1, description="how many there must be")] = 1


def _needs(_: Snapshot, params: GrafanaHealth) -> Iterable[Need]:
    yield HEALTH
    yield Objects("services", params.namespace)
    yield Objects(SLICES, params.namespace)


def _evaluate(snapshot: Snapshot, params: GrafanaHealth, _: datetime) -> Verdict:
    asked = snapshot.replies.get(HEALTH)
    if asked is not None and asked.status in {0, 502, 503}:
        seen = _nothing_behind(snapshot, params)
        if seen is not None:
            return seen
    reply = snapshot.reply(HEALTH)
    body = reply.body if isinstance(reply.body, dict) else {}
    database = clean(str(body.get("database", "")), 60)
    version = clean(str(body.get("version", "")), 40)
    facts = {"version": version, "database": database}
    if reply.status != 200:
        return _refused(reply, facts)
    if database != "ok":
        sentence = f"Grafana answers and its database is {database or 'not named'}. Read the log of its pod."
        return failing("database", sentence, f"database: {database or 'none'}", facts=facts)
    return verified(f"Grafana {version} answers, database ok.".replace("  ", " "), "database: ok", facts=facts)


def _nothing_behind(snapshot: Snapshot, params: GrafanaHealth) -> Verdict | None:
    """Failing when it is seen that nothing can answer; None when that is not known."""
    try:
        services: list[Service] = snapshot.objects("services", params.namespace, params.selector)
        behind = [address for service in services for address in ready_addresses(snapshot, service)]
    except Missing:
        return None
    if not services:
        sentence = "Grafana does not answer: it has no Service. Create it again by its Argo CD Application."
        return failing("no_service", sentence, "no Service")
    if behind:
        return None
    sentence = "Grafana does not answer: no ready pod is behind its Service. Bring its pod back."
    return failing("no_endpoints", sentence, "no pod to answer", facts={"front": front(services[0])})


def _refused(reply: Reply, facts: dict[str, Any]) -> Verdict:
    observed = f"HTTP {reply.status}"
    if reply.status in {401, 403}:
        sentence = f"The question to Grafana was refused with {observed}. Give the portal's account services/proxy."
        return unknown("refused", sentence, observed, facts=facts)
    why = f": {clean(reply.error)}" if reply.error else ""
    sentence = f"Grafana answers with {observed}{why}. Read the log of its pod."
    return failing("bad_status", sentence, observed, facts=facts)


def known_datasources(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The datasources Grafana has. :raises Missing: it did not answer, or not to us."""
    return listed(snapshot, DATASOURCES)


def listed(snapshot: Snapshot, need: Fetch) -> list[dict[str, Any]]:
    """A list that Grafana answers to a signed-in question. :raises Missing: it did not answer, or not to us."""
    try:
        reply = snapshot.reply(need)
    except Missing as missing:
        raise Missing(need, f"Grafana could not be asked: {phrase(str(missing))}.") from missing
    if reply.status in {401, 403}:
        raise Missing(need, f"Grafana refuses the portal's token with HTTP {reply.status}. Give it a valid one.")
    if reply.status != 200 or not isinstance(reply.body, list):
        raise Missing(need, f"Grafana answers {need.path} with HTTP {reply.status}, which says nothing.")
    return [entry for entry in reply.body if isinstance(entry, dict)]


def _health_of(entry: dict[str, Any]) -> Fetch:
    return Fetch("grafana", f"/api/datasources/uid/{quote(str(entry.get('uid', '')), safe='')}/health")


def _source_needs(snapshot: Snapshot, params: GrafanaDatasource) -> Iterable[Need]:
    yield DATASOURCES
    if params.healthy:
        yield from (_health_of(entry) for entry in _of_type(snapshot, params))


def _of_type(snapshot: Snapshot, params: GrafanaDatasource) -> list[dict[str, Any]]:
    """Datasources of the wanted kind, the default first; none while nothing was read."""
    try:
        found = [entry for entry in known_datasources(snapshot) if entry.get("type") == params.type]
    except Missing:
        return []
    return sorted(found, key=lambda entry: not entry.get("isDefault"))[:3]


def _evaluate_source(snapshot: Snapshot, params: GrafanaDatasource, _: datetime) -> Verdict:
    known = known_datasources(snapshot)
    found = _of_type(snapshot, params)
    facts: dict[str, Any] = {"datasources": len(known), "names": [_title(entry) for entry in known][:10]}
    if not found:
        others = f" It has {listing(_title(entry) for entry in known)}." if known else ""
        sentence = f"Grafana has no datasource of type {params.type}.{others} Provision it in the values of its chart."
        return failing("no_datasource", sentence, f"no {params.type} datasource", facts=facts)
    entry = found[0]
    name = _title(entry)
    if params.default and not entry.get("isDefault"):
        holder = next((_title(other) for other in known if other.get("isDefault")), "")
        which = f"{holder} is" if holder else "none is"
        sentence = f"{name} is not the default datasource: {which}. Set isDefault on {name} alone."
        return failing("not_default", sentence, f"default: {holder or 'none'}", facts=facts)
    word = ", the default" if entry.get("isDefault") else ""
    if not params.healthy:
        return verified(f"{name} is there{word}.", name, facts=facts)
    reply = snapshot.reply(_health_of(entry))
    body = reply.body if isinstance(reply.body, dict) else {}
    status, text = clean(str(body.get("status", "")), 40), clean(str(body.get("message", "")))
    if reply.status == 200 and status == "OK":
        return verified(f"{name} is healthy{word}.", "health OK", facts=facts)
    sentence = f"{name} is not healthy: {text or f'HTTP {reply.status}'}. Look at its address and at {params.type}."
    return failing("unhealthy", sentence, f"health {status or reply.status}", facts=facts)


def _title(entry: dict[str, Any]) -> str:
    return clean(str(entry.get("name") or entry.get("title") or entry.get("uid") or "unnamed"), 80)


def _search(params: GrafanaDashboards) -> Fetch:
    return Fetch("grafana", f"/api/search?tag={quote(params.tag, safe='')}")


def _dashboard(entry: dict[str, Any]) -> Fetch:
    return Fetch("grafana", f"/api/dashboards/uid/{quote(str(entry.get('uid', '')), safe='')}")


def _boards(snapshot: Snapshot, params: GrafanaDashboards) -> list[dict[str, Any]]:
    return [entry for entry in listed(snapshot, _search(params)) if entry.get("type", "dash-db") == "dash-db"]


def _board_needs(snapshot: Snapshot, params: GrafanaDashboards) -> Iterable[Need]:
    yield _search(params)
    yield DATASOURCES
    try:
        yield from [_dashboard(entry) for entry in _boards(snapshot, params)[:_LOOKED_INTO]]
    except Missing:
        return


def _evaluate_boards(snapshot: Snapshot, params: GrafanaDashboards, _: datetime) -> Verdict:
    boards = _boards(snapshot, params)
    observed = f"{count(len(boards), 'dashboard')} tagged {params.tag}"
    facts: dict[str, Any] = {"dashboards": len(boards), "titles": [_title(entry) for entry in boards][:10]}
    if len(boards) < params.minimum:
        sentence = (
            f"Grafana has {count(len(boards), 'dashboard') if boards else 'no dashboard'} tagged {params.tag}, "
            f"{params.minimum} expected. Import them as ConfigMaps labelled grafana_dashboard, or by its API."
        )
        return failing("too_few_dashboards", sentence, observed, facts=facts)
    uids = {str(entry.get("uid")) for entry in known_datasources(snapshot)}
    for entry in boards[:_LOOKED_INTO]:
        body = snapshot.reply(_dashboard(entry)).body
        lost = sorted(set(_references(body.get("dashboard") if isinstance(body, dict) else None)) - uids - _BUILT_IN)
        if lost:
            sentence = (
                f"{_title(entry)} asks datasource {listing(lost)}, which Grafana does not have. Map it to one it has."
            )
            return degraded("lost_datasource", sentence, f"datasource {listing(lost)} missing", facts=facts)
    return verified(f"{observed}: {listing(_title(entry) for entry in boards)}.", observed, facts=facts)


def _references(node: Any) -> Iterator[str]:
    """Datasource uids that panels and targets of a dashboard name; variables (``${…}``) are resolved by Grafana."""
    panels = node.get("panels") if isinstance(node, dict) else None
    for panel in panels if isinstance(panels, list) else []:
        if not isinstance(panel, dict):
            continue
        targets = panel.get("targets")
        for holder in (panel, *(targets if isinstance(targets, list) else [])):
            source = holder.get("datasource") if isinstance(holder, dict) else None
            uid = source.get("uid") if isinstance(source, dict) else None
            if isinstance(uid, str) and not uid.startswith("$"):
                yield uid
        yield from _references(panel)


def _curl(path: str) -> str:
    return f'curl -s -H "Authorization: Bearer $GRAFANA_TOKEN" "$GRAFANA_URL{path}"'


def _source_expected(params: GrafanaDatasource) -> str:
    parts = (
        f"a {params.type} datasource",
        "the default" if params.default else "",
        "healthy" if params.healthy else "",
    )
    return ", ".join(part for part in parts if part)


def _health_command(params: GrafanaHealth) -> str:
    where = ServiceParams(namespace=params.namespace or "default", selector=params.selector)
    return proxy_line(where, "", "/api/health")


TYPES = (
    CheckType(
        slug="grafana_health",
        title="Grafana answers",
        summary="Grafana answers and its database is ok.",
        params=GrafanaHealth,
        needs=_needs,
        evaluate=_evaluate,
        command=_health_command,
        expected=lambda _: "database: ok",
        source="grafana",
        watched=False,
        poll_seconds=5,
    ),
    CheckType(
        slug="grafana_datasource",
        title="Datasource is healthy",
        summary="Grafana has a datasource of this kind, the default if it must be, and reaches it.",
        params=GrafanaDatasource,
        needs=_source_needs,
        evaluate=_evaluate_source,
        command=lambda _: _curl("/api/datasources"),
        expected=_source_expected,
        source="grafana",
        watched=False,
        limit_seconds=120,
        poll_seconds=15,
    ),
    CheckType(
        slug="grafana_dashboards",
        title="Dashboards are there",
        summary="Dashboards with this tag exist and their datasources resolve.",
        params=GrafanaDashboards,
        needs=_board_needs,
        evaluate=_evaluate_boards,
        command=lambda p: _curl(_search(p).path),
        expected=lambda p: f"≥ {count(p.minimum, 'dashboard')} tagged {p.tag}",
        source="grafana",
        watched=False,
        limit_seconds=120,
        poll_seconds=30,
    ),
)
