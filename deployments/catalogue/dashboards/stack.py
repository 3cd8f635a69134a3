"""The Services and workloads around Grafana, found by what they select and run, never by a release's name.

Facts: a Service of Prometheus, Alertmanager or Grafana selects pods labelled ``app.kubernetes.io/name``; the charts'
sidecars are told by environment what to collect (``LABEL``, ``LABEL_VALUE``, ``NAMESPACE``, ``REQ_URL``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deployments.catalogue.action import CannotPlan
from integrations.kubernetes.objects import Container, Service, ServicePort, Workload
from monitoring.checks.grafana import GRAFANA
from monitoring.checks.services import SLICES
from monitoring.snapshot import Need, Objects, Snapshot, labels_match

NAME = "app.kubernetes.io/name"
WORKLOADS = ("deployments.apps", "statefulsets.apps")
_PORTS: dict[str, tuple[str | int, ...]] = {
    "prometheus": ("http-web", "web", 9090),
    "alertmanager": ("http-web", "web", 9093),
    "grafana": ("http-web", "service", "grafana", 3000, "http", 80),
}


def needs(namespace: str = "") -> Iterable[Need]:
    """Services everywhere (they name the namespaces), and workloads of one namespace or of all."""
    yield Objects("services")
    yield from (Objects(resource, namespace) for resource in WORKLOADS)


def slices(namespace: str) -> Need:
    """What is behind the Services of a namespace."""
    return Objects(SLICES, namespace)


# -- Services


def service(snapshot: Snapshot, component: str, namespace: str = "") -> Service | None:
    """The Service of a component: one with a cluster IP before a headless one, then by name. :raises Missing:"""
    found = services(snapshot, component, namespace)
    return found[0] if found else None


def services(snapshot: Snapshot, component: str, namespace: str = "") -> list[Service]:
    """All of them that have a port of the component, the best first. :raises Missing:"""
    known: list[Service] = snapshot.objects("services", namespace)
    mine = [s for s in known if s.spec.selector.get(NAME) == component and port(s, component) is not None]
    return sorted(mine, key=lambda s: (s.spec.cluster_ip == "None", s.metadata.namespace, s.metadata.name))


def port(item: Service, component: str) -> ServicePort | None:
    """The Service's port that the component listens behind, or None."""
    for wanted in _PORTS[component]:
        for candidate in item.spec.ports:
            if wanted in (candidate.name, candidate.port, candidate.target_port):
                return candidate
    return None


def url(item: Service, component: str) -> str:
    """Its address inside the cluster, as the charts write it."""
    found = port(item, component)
    number = found.port if found is not None else 80
    return f"http://{item.metadata.name}.{item.metadata.namespace}:{number}/"


def same_address(one: str, other: str) -> bool:
    """Whether two URLs lead to the same Service: ``a.ns``, ``a.ns.svc`` and ``a.ns.svc.cluster.local`` do."""
    return _plain(one) == _plain(other)


def _plain(address: str) -> str:
    scheme, _, rest = address.strip().rstrip("/").partition("://")
    host, colon, number = rest.partition(":")
    for suffix in (".svc.cluster.local", ".svc"):
        host = host.removesuffix(suffix)
    return f"{scheme}://{host}{colon}{number}".lower()


# -- Grafana's own pods


@dataclass(frozen=True, slots=True)
class Running:
    """Grafana's workload: ``resource`` is its key in ``RESOURCES``."""

    resource: str
    item: Workload

    @property
    def kind(self) -> str:
        return "Deployment" if self.resource == "deployments.apps" else "StatefulSet"

    @property
    def replicas(self) -> int:
        return 1 if self.item.spec.replicas is None else self.item.spec.replicas

    @property
    def title(self) -> str:
        return f"{self.kind} {self.item.metadata.name}"

    @property
    def keeps_data(self) -> bool:
        """Whether what people make in Grafana outlives the pod."""
        return any(v.persistent_volume_claim is not None for v in self.item.spec.template.spec.volumes)


def workloads(snapshot: Snapshot, namespace: str = "") -> list[Running]:
    """Workloads that run Grafana: whose pods a Service of Grafana would select. :raises Missing:"""
    found = [
        Running(resource, item)
        for resource in WORKLOADS
        for item in snapshot.objects(resource, namespace)
        if labels_match(item.spec.template.metadata.labels, GRAFANA) or labels_match(item.metadata.labels, GRAFANA)
    ]
    return sorted(found, key=lambda r: (r.item.metadata.namespace, r.resource, r.item.metadata.name))


def namespace_of(snapshot: Snapshot, named: str = "", *, prepares: bool = False) -> str:
    """The namespace Grafana is in: the one named, else of its only workload, else of its only Service.

    ``prepares``: the one named may have no Grafana yet.
    :raises CannotPlan: there is none, or several, or none in the one named. :raises Missing:
    """
    if named:
        if not prepares and not workloads(snapshot, named) and not services(snapshot, "grafana", named):
            raise CannotPlan(f"No Grafana runs in namespace {named}, and no Service of one is there.")
        return named
    found = {r.item.metadata.namespace for r in workloads(snapshot) if r.replicas}
    found = found or {s.metadata.namespace for s in services(snapshot, "grafana")}
    if len(found) != 1:
        several = f"Grafana is in {', '.join(sorted(found))}" if found else "No Grafana and no Service of one is here"
        raise CannotPlan(f"{several}; name its namespace by --param namespace.")
    return found.pop()


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A container that collects labelled ConfigMaps for Grafana, while it runs."""

    container: str
    label: str
    value: str
    #: it tells Grafana to read again; without, datasources wait for the next start of the pod
    reloads: bool

    @property
    def labels(self) -> dict[str, str]:
        return {self.label: self.value or "1"}


def sidecar(running: Iterable[Running], what: str, namespace: str) -> Sidecar | None:
    """The sidecar that collects ``dashboard`` or ``datasource`` from this namespace; None: nobody does.

    An init container that collects once (``METHOD: LIST``) does not count: it sees nothing new.
    """
    for each in running:
        for container in each.item.spec.template.spec.containers if each.replicas else ():
            env = {e.name: e.value for e in container.env}
            if "k8s-sidecar" not in container.image or what not in env.get("LABEL", ""):
                continue
            if env.get("METHOD", "WATCH") == "LIST" or not _searches(env.get("NAMESPACE", ""), each, namespace):
                continue
            return Sidecar(container.name, env["LABEL"], env.get("LABEL_VALUE", ""), _reloads(container))
    return None


def _searches(wanted: str, running: Running, namespace: str) -> bool:
    if not wanted:
        return running.item.metadata.namespace == namespace
    return wanted == "ALL" or namespace in (name.strip() for name in wanted.split(","))


def _reloads(container: Container) -> bool:
    return any(e.name == "REQ_URL" and e.value for e in container.env)
