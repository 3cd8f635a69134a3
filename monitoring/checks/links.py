"""Does what is behind a Service answer, as a person's browser would ask? Read through the API server's proxy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from integrations.kubernetes.objects import Service
from monitoring.checks.base import CheckType, failing, ref, unknown, verified
from monitoring.checks.services import SLICES, ServiceParams, front, proxy_line, ready_addresses, select
from monitoring.checks.text import clean, in_namespace, spelled
from monitoring.snapshot import Link, Missing, Need, Objects, Snapshot
from monitoring.verdict import Verdict


class LinkAnswers(ServiceParams, frozen=True):
    """Parameters of ``link_answers``."""

    path: Annotated[str, Meta(pattern="^/", description="what to open")] = "/"
    port: Annotated[str, Meta(description="port name or number; empty is the first of the Service")] = ""

    def __post_init__(self) -> None:
        if not (self.selector or self.name):
            raise ValueError("name the Service by a selector or a name")


def _link(service: Service, params: LinkAnswers) -> Link:
    ports = service.spec.ports
    port = params.port or (str(ports[0].name or ports[0].port) if ports else "80")
    return Link(service.metadata.namespace, service.metadata.name, port, params.path)


def _needs(snapshot: Snapshot, params: LinkAnswers) -> Iterable[Need]:
    wanted = Objects("services", params.namespace)
    yield wanted
    yield Objects(SLICES, params.namespace)
    if snapshot.has(wanted):
        try:
            services = select(snapshot, params)
        except Missing:
            return
        yield from (_link(service, params) for service in services[:1])


def _evaluate(snapshot: Snapshot, params: LinkAnswers, _: datetime) -> Verdict:
    services = select(snapshot, params)
    title = spelled(params.selector, params.name)
    if not services:
        sentence = (
            f"{title} has no Service{in_namespace(params.namespace)}, so there is nothing to open. Create it first."
        )
        return failing("no_service", sentence, "no Service")
    service = services[0]
    shown = f"{front(service)}{params.path}"
    more: dict[str, Any] = {"facts": {"link": shown}, "refs": (ref(service, "services"),)}
    if not ready_addresses(snapshot, service):
        sentence = f"{shown} cannot answer: no ready pod is behind {service.metadata.name}. Bring its pods back."
        return failing("no_endpoints", sentence, "no pod to answer", **more)
    reply = snapshot.reply(_link(service, params))
    observed = f"HTTP {reply.status}"
    if reply.status in {401, 403}:
        sentence = (
            f"{shown} was refused with {observed}: by what is behind it, or by the API server's proxy. "
            "Give the portal's account services/proxy, or check a path that needs no sign-in."
        )
        return unknown("refused", sentence, observed, **more)
    if 200 <= reply.status < 400:
        return verified(f"{shown} answers.", observed, **more)
    why = f": {clean(reply.error)}" if reply.error else ""
    sentence = f"{shown} answers with {observed}{why}. Read the log of the pod behind it."
    return failing("bad_status", sentence, observed, **more)


def _command(params: LinkAnswers) -> str:
    return proxy_line(params, params.port, params.path)


TYPES = (
    CheckType(
        slug="link_answers",
        title="Link answers",
        summary="The page behind a Service opens.",
        params=LinkAnswers,
        needs=_needs,
        evaluate=_evaluate,
        command=_command,
        expected=lambda p: f"{p.path} opens",
        watched=False,
        limit_seconds=120,
        poll_seconds=30,
    ),
)
