"""What a ServiceMonitor or PodMonitor would find to scrape: Services and pods by its own selector and port names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deployments.catalogue.alerts.selection import fit, shown
from integrations.kubernetes.objects import Pod, Service
from monitoring.checks.text import count, listing
from monitoring.snapshot import Need, Objects, Snapshot


def needs(kind: str) -> Iterable[Need]:
    """What :func:`what` reads."""
    yield Objects("services" if kind == "ServiceMonitor" else "pods")


def what(snapshot: Snapshot, kind: str, raw: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether there is something, and one sentence with what it is or what is lacking. :raises Missing:"""
    spec = raw.get("spec") or {}
    namespaces = _namespaces(raw)
    resource = "services" if kind == "ServiceMonitor" else "pods"
    items: list[Service | Pod] = [
        item
        for item in snapshot.objects(resource)
        if (namespaces is None or item.metadata.namespace in namespaces)
        and fit(spec.get("selector") or {}, item.metadata.labels).met
    ]
    where = "any namespace" if namespaces is None else listing(sorted(namespaces))
    noun = "Service" if kind == "ServiceMonitor" else "pod"
    if not items:
        return False, f"no {noun} in {where} has {shown(spec.get('selector') or {})}"
    many = count(len(items), noun)
    fits = "fits" if len(items) == 1 else "fit"
    wanted = _ports(spec, kind)
    have = {name for item in items for name in _names(item)}
    lacking = sorted(wanted - have)
    if lacking:
        return False, f"{many} {fits}, but none has a port called {listing(lacking)}"
    return True, f"{many} in {where} {fits}: {listing(sorted(item.metadata.name for item in items))}"


def _namespaces(raw: Mapping[str, Any]) -> set[str] | None:
    """The namespaces a monitor looks into; None for all."""
    selector = (raw.get("spec") or {}).get("namespaceSelector") or {}
    if selector.get("any"):
        return None
    return set(map(str, selector.get("matchNames") or [])) or {str((raw.get("metadata") or {}).get("namespace", ""))}


def _ports(spec: Mapping[str, Any], kind: str) -> set[str]:
    """The port names it asks for; ``targetPort`` and numbers are not looked at."""
    listed = spec.get("endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints") or []
    return {str(entry["port"]) for entry in listed if isinstance(entry, Mapping) and entry.get("port")}


def _names(item: Service | Pod) -> set[str]:
    if isinstance(item, Service):
        return {port.name for port in item.spec.ports}
    return {port.name for container in item.spec.containers for port in container.ports}
