"""*Use Prometheus's own UI meanwhile* (the report's option C): writes nothing, proves that Prometheus answers, and says
where it is opened. What DORA and the checks need is Prometheus, not Grafana.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from deployments.catalogue.action import (
    Action,
    Blast,
    CannotPlan,
    CheckSpec,
    Condition,
    Params,
    PlanDraft,
    Precondition,
    StepSpec,
    Verification,
)
from deployments.catalogue.dashboards import stack
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.objects import Service
from monitoring.checks.services import addresses, ready_addresses
from monitoring.checks.text import clean
from monitoring.snapshot import Link, Need, Objects, Query, Snapshot

SLUG = "use-prometheus-ui"
_NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
_READY = "/-/ready"
_TARGETS = Query("count(up)")
_UNDO = "Nothing to undo: nothing is written."


class UiParams(Params, frozen=True):
    """Which Prometheus."""

    namespace: Annotated[
        str, msgspec.Meta(pattern=_NAME, description="Namespace Prometheus runs in; empty: found in the cluster")
    ] = ""


def needs(_snapshot: Snapshot, _params: UiParams) -> Iterable[Need]:
    """Services, and what is behind them."""
    yield Objects("services")
    yield stack.slices("")


def draft(snapshot: Snapshot, params: UiParams) -> PlanDraft:
    """One look. :raises CannotPlan: there is no Prometheus, or several. :raises Missing:"""
    found = stack.services(snapshot, "prometheus", params.namespace)
    found = [s for s in found if s.spec.cluster_ip != "None"] or found
    if not found:
        where = f" in {params.namespace}" if params.namespace else ""
        raise CannotPlan(f"No Service leads to a Prometheus{where}.")
    namespaces = {s.metadata.namespace for s in found}
    if len(namespaces) > 1:
        raise CannotPlan(f"Prometheus is in {', '.join(sorted(namespaces))}; name one by --param namespace.")
    item = found[0]
    meta = item.metadata
    behind = ready_addresses(snapshot, item)
    port = stack.port(item, "prometheus")
    target = {"namespace": meta.namespace, "name": meta.name, "port": _port_name(item)}
    lines = list(ways(item))
    return PlanDraft(
        params=msgspec.to_builtins(UiParams(namespace=meta.namespace)),
        preconditions=(
            Precondition(
                "A ready Prometheus is behind its Service",
                bool(behind),
                f"{len(behind)} ready behind {meta.name}, port {port.port if port is not None else '?'}",
            ),
        ),
        steps=(
            StepSpec(
                verb="ask",
                title=f"Ask Prometheus through the API server's proxy; open it by: {lines[0]}",
                how="read",
                resource="services",
                namespace=meta.namespace,
                name=meta.name,
                until=Condition("prometheus_answers", target),
                timeout_seconds=30,
            ),
        ),
        verification=Verification(
            (CheckSpec("Prometheus answers", "link_answers", {**target, "path": _READY}),),
            hold_seconds=1,
            timeout_seconds=30,
        ),
        undo=_UNDO,
        blast=Blast(sentence=f"Nothing is changed. {' Or: '.join(lines)}"),
    )


def ways(item: Service) -> Iterable[str]:
    """How a person opens it: its published address if it has one, else a port-forward; the proxy always."""
    port = stack.port(item, "prometheus")
    number = port.port if port is not None else 9090
    namespace, name = shlex.quote(item.metadata.namespace), shlex.quote(item.metadata.name)
    for address in addresses(item)[:1]:
        yield f"http://{clean(address, 80)}:{number}/graph"
    yield f"kubectl -n {namespace} port-forward service/{name} 9090:{number}, then http://localhost:9090/graph"
    raw = f"/api/v1/namespaces/{item.metadata.namespace}/services/{item.metadata.name}:{_port_name(item)}/proxy/graph"
    yield f"kubectl proxy, then http://localhost:8001{raw}"


def _port_name(item: Service) -> str:
    found = stack.port(item, "prometheus")
    return str((found.name or found.port) if found is not None else 9090)


# -- the condition


def answers_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """Its readiness through the proxy, one question, and the Service for its address."""
    yield Link(args["namespace"], args["name"], args["port"], _READY)
    yield _TARGETS
    yield Objects("services", args["namespace"])


def answers(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Prometheus is ready through the API server's proxy and answers a query; the log says how a person opens it."""
    reply = snapshot.reply(Link(args["namespace"], args["name"], args["port"], _READY))
    if reply.status != 200:
        why = clean(reply.error) or f"HTTP {reply.status}"
        return Seen(Outlook.NOT_YET, f"Prometheus is not ready through the API server's proxy: {why}.")
    body = snapshot.reply(_TARGETS).body
    value = body[0].get("value") if isinstance(body, list) and body and isinstance(body[0], dict) else None
    known = str(value[1]) if isinstance(value, list) and len(value) == 2 else "0"
    item: Service | None = snapshot.get("services", args["namespace"], args["name"])
    lines = tuple(Line(f"open it by: {way}") for way in ways(item)) if item is not None else ()
    said = f"Prometheus answers and knows {known} targets."
    return Seen(Outlook.MET, said, (Line(said, "good"), *lines))


ACTION = Action(
    slug=SLUG,
    title="Use Prometheus's own UI",
    family="Grafana",
    tier=0,
    summary="Prove that Prometheus answers without Grafana and show where it is opened (the report's option C).",
    params=UiParams,
    needs=needs,
    draft=draft,
    rules=(),
    undo=_UNDO,
    guards=("nothing is written",),
    verified_by="Prometheus is ready through the API server's proxy.",
    reference="https://prometheus.io/docs/prometheus/latest/management_api/",
)
