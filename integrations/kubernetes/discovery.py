"""Finds the Services of the monitoring stack by what they select, never by a release's name.

Charts, releases and namespaces differ; what does not is that a Service of Prometheus selects pods labelled
``app.kubernetes.io/name=prometheus`` (facts: kube-prometheus-stack and prometheus-operator since 2021, Grafana's chart
since 2020). Knows only the API server.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from integrations.errors import NotFound, SourceError
from integrations.kubernetes.objects import Service, ServicePort
from integrations.kubernetes.reader import Reader

_NAME = "app.kubernetes.io/name"
#: a component's usual port names and numbers, the likeliest first
_PORTS: dict[str, tuple[str | int, ...]] = {
    "prometheus": ("http-web", "web", 9090),
    "alertmanager": ("http-web", "web", 9093),
    "grafana": ("http-web", "service", "grafana", 3000, "http", 80),
}
#: seconds a found Service is believed in
_KEEP = 60.0


class Target(NamedTuple):
    """A Service's port to be reached through the API server's proxy."""

    namespace: str
    service: str
    port: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"


def _port(component: str, ports: list[ServicePort]) -> ServicePort | None:
    for wanted in _PORTS[component]:
        for port in ports:
            if wanted in (port.name, port.port, port.target_port):
                return port
    return None


def choose(component: str, services: list[Service]) -> Target | None:
    """The Service of a component: one with a cluster IP before a headless one, then by name. None: there is none."""
    found: list[tuple[bool, str, str, Target]] = []
    for service in services:
        if service.spec.selector.get(_NAME) != component:
            continue
        port = _port(component, service.spec.ports)
        if port is not None:
            meta = service.metadata
            target = Target(meta.namespace, meta.name, port.name or str(port.port))
            found.append((service.spec.cluster_ip == "None", meta.namespace, meta.name, target))
    return min(found)[3] if found else None


class Finder:
    """Where a component's Service is, looked up at most once a minute. Safe to share between threads."""

    def __init__(self, reader: Reader, component: str) -> None:
        self._reader, self._component = reader, component
        self._lock = threading.Lock()
        self._target: Target | None = None
        self._found_at = 0.0

    def __call__(self) -> Target:
        """Where it is. :raises NotFound: no Service selects its pods. :raises SourceError: no answer."""
        with self._lock:
            if self._target is None or time.monotonic() - self._found_at > _KEEP:
                try:
                    services, _ = self._reader.list("services")
                except SourceError as error:
                    raise type(error)(
                        f"{self._component.capitalize()} cannot be looked for: {error.sentence}",
                        transient=error.transient,
                        status=error.status,
                    ) from error
                self._target = choose(self._component, services)
                self._found_at = time.monotonic()
            if self._target is None:
                raise NotFound(
                    f"No Service in this cluster selects pods labelled {_NAME}={self._component}.", status=404
                )
            return self._target

    def forget(self) -> None:
        """Look it up again next time: it did not answer as that component."""
        with self._lock:
            self._target = None
