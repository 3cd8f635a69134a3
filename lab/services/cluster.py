"""What the services read of the cluster: API objects through a cache, and who answers at which address.

Never writes. A resource that the cache does not follow reads as empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from lab.controllers import meta
from lab.controllers.rights import View

Obj = dict[str, Any]

NODES, PODS, SERVICES, SECRETS, CONFIGMAPS = "nodes", "pods", "services", "secrets", "configmaps"
SLICES = "endpointslices.discovery.k8s.io"
ENDPOINTS = "endpoints"
PROMETHEUSES = "prometheuses.monitoring.coreos.com"
ALERTMANAGERS = "alertmanagers.monitoring.coreos.com"
MONITORS = "servicemonitors.monitoring.coreos.com"
POD_MONITORS = "podmonitors.monitoring.coreos.com"
RULES = "prometheusrules.monitoring.coreos.com"
APPLICATIONS = "applications.argoproj.io"
# What a cache must follow for the services to be complete.
RESOURCES = (
    NODES,
    PODS,
    SERVICES,
    SECRETS,
    CONFIGMAPS,
    SLICES,
    ENDPOINTS,
    "namespaces",
    "persistentvolumeclaims",
    "persistentvolumes",
    "resourcequotas",
    "storageclasses.storage.k8s.io",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "jobs.batch",
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    PROMETHEUSES,
    ALERTMANAGERS,
    MONITORS,
    POD_MONITORS,
    RULES,
    APPLICATIONS,
)


class Backend(NamedTuple):
    """A ready pod behind a Service port, and the container that listens there."""

    pod: Obj
    container: Obj
    port: int


Objects = list[Obj]
Backends = list[Backend]


@dataclass(frozen=True)
class Cluster:
    """A View that answers for resources it does not know, with the questions the services ask."""

    view: View

    def list(self, resource: str, namespace: str | None = None, selector: Obj | None = None) -> Objects:
        try:
            return self.view.list(resource, namespace, selector)
        except KeyError:
            return []

    def get(self, resource: str, namespace: str | None, name: str) -> Obj | None:
        try:
            return self.view.get(resource, namespace, name)
        except KeyError:
            return None

    def backends(self, namespace: str, service: str, port: str) -> Backends:
        """The ready pods behind a Service's port (its name or number)."""
        return [Backend(*each) for each in self._backends(namespace, service, port)]

    def _backends(self, namespace: str, service: str, port: str) -> Iterator[tuple[Obj, Obj, int]]:
        found = self.get(SERVICES, namespace, service)
        ports = ((found or {}).get("spec") or {}).get("ports") or []
        wanted = next((p for p in ports if port in ("", p.get("name"), str(p.get("port")))), None)
        if wanted is None:
            return
        for piece in self.list(SLICES, namespace, {"kubernetes.io/service-name": service}):
            number = next(
                (
                    p.get("port")
                    for p in piece.get("ports") or []
                    if (p.get("name") or "") == (wanted.get("name") or "")
                ),
                None,
            )
            for endpoint in piece.get("endpoints") or []:
                target = endpoint.get("targetRef") or {}
                if (endpoint.get("conditions") or {}).get("ready", True) is False or target.get("kind") != "Pod":
                    continue
                pod = self.get(PODS, namespace, str(target.get("name")))
                container = container_at(pod, number) if pod else None
                if pod is not None and container is not None and number is not None:
                    yield pod, container, int(number)

    def reachable(self, namespace: str, service: str) -> bool:
        """Whether the Service has a ready endpoint address."""
        return self.get(SERVICES, namespace, service) is not None and any(
            (endpoint.get("conditions") or {}).get("ready", True) and endpoint.get("addresses")
            for piece in self.list(SLICES, namespace, {"kubernetes.io/service-name": service})
            for endpoint in piece.get("endpoints") or []
        )

    def owner(self, resource: str, pod: Obj) -> Obj | None:
        """The operator's resource (Prometheus, Alertmanager) whose StatefulSet the pod belongs to."""
        labels = meta.labels(pod)
        name = labels.get("operator.prometheus.io/name") or labels.get("alertmanager") or labels.get("prometheus") or ""
        return self.get(resource, pod["metadata"].get("namespace"), name)


def container_at(pod: Obj, port: Any) -> Obj | None:
    """The container that declares the port; the only container when none declares any."""
    containers: list[Obj] = pod["spec"].get("containers") or []
    for container in containers:
        if any(each.get("containerPort") == port for each in container.get("ports") or []):
            return container
    return containers[0] if len(containers) == 1 else None


def container_status(pod: Obj, name: str) -> Obj:
    """The status of a container by name; empty before the kubelet wrote one."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return next((each for each in statuses if each.get("name") == name), {})


def seconds(text: Any) -> float | None:
    """Unix seconds of an RFC 3339 time; None when absent or unreadable."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def created(obj: Obj) -> float | None:
    return seconds(obj["metadata"].get("creationTimestamp"))


def node_ready(node: Obj | None) -> bool:
    condition = meta.condition(node, "Ready") if node else None
    return bool(condition and condition.get("status") == "True")
