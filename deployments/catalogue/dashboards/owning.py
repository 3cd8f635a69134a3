"""Which Application renders Grafana, under which names, and what belongs to it. Names are a result, not assumed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deployments.catalogue.action import CannotPlan
from deployments.catalogue.argo import calls, helm, reading
from integrations.kubernetes.custom import Application, AppResource
from monitoring.snapshot import Snapshot

_WORKLOADS = {("apps", "Deployment"), ("apps", "StatefulSet")}
#: objects rendered under Grafana's name that a repair must not touch
_NEVER = {"PersistentVolumeClaim", "Namespace", "CustomResourceDefinition"}


@dataclass(frozen=True, slots=True)
class Owner:
    """The Application that renders Grafana. ``base`` is the name of its Deployment and the prefix of the rest.

    ``values`` are those of Grafana's chart (None: they cannot be read), which stand below ``prefix`` in the whole.
    """

    app: Application
    release: str
    base: str
    namespace: str
    values: dict[str, object] | None
    prefix: tuple[str, ...] = ()
    #: the chart, such as ``kube-prometheus-stack``, and its version; empty for plain manifests
    chart: str = ""
    version: str = ""

    @property
    def resources(self) -> list[AppResource]:
        """Grafana's objects in this Application, hooks, claims and what Git no longer has left out."""
        mine = (
            r
            for r in self.app.status.resources
            if reading.belongs(r.name, self.base) and not r.hook and not r.requires_pruning and r.kind not in _NEVER
        )
        # a fixed order: it is part of the plan's hash
        return sorted(mine, key=lambda r: (r.group, r.kind, r.namespace, r.name))


def find(snapshot: Snapshot, namespace: str, name: str) -> Owner:
    """The Application named, or the only one that renders Grafana.

    :raises CannotPlan: there is none, or several. :raises monitoring.snapshot.Missing: Applications were not read.
    """
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS, namespace)
    if name:
        apps = [app for app in apps if app.metadata.name == name]
        if not apps:
            where = f" in namespace {namespace}" if namespace else ""
            raise CannotPlan(f"There is no Application called {name}{where}; give another one by --param application.")
    owners = [owner for owner in map(_owner, apps) if owner is not None]
    if not owners:
        raise CannotPlan("No Argo CD Application renders Grafana; name one by --param application.")
    if len(owners) > 1:
        names = ", ".join(sorted(o.app.metadata.name for o in owners))
        raise CannotPlan(f"Several Applications render Grafana ({names}); name one by --param application.")
    return owners[0]


def _owner(app: Application) -> Owner | None:
    stack = helm.source_of(app, "kube-prometheus-stack")
    source = stack or helm.source_of(app, "grafana")
    workload = _workload(app.status.resources)
    if source is None:
        if workload is None:
            return None
        return Owner(app, app.metadata.name, workload.name, workload.namespace, {})
    release = helm.release_of(app, source)
    values = helm.values_of(source)
    inner = helm.at(values, "grafana") if stack is not None else values
    section = inner if isinstance(inner, dict) else {} if values is not None else None
    namespace = str(helm.at(section, "namespaceOverride") or app.spec.destination.namespace)
    base = workload.name if workload is not None else _fullname(release, section)
    return Owner(
        app,
        release,
        base,
        workload.namespace if workload else namespace,
        section,
        ("grafana",) if stack is not None else (),
        source.chart,
        source.target_revision,
    )


def _workload(resources: Iterable[AppResource]) -> AppResource | None:
    for r in resources:
        named = r.name == "grafana" or r.name.endswith("-grafana")
        if (r.group, r.kind) in _WORKLOADS and named and not r.requires_pruning:
            return r
    return None


def _fullname(release: str, section: dict[str, object] | None) -> str:
    """The grafana chart's ``grafana.fullname``."""
    override = helm.at(section, "fullnameOverride")
    if override:
        return str(override)[:63].rstrip("-")
    name = str(helm.at(section, "nameOverride") or "grafana")
    return (release if name in release else f"{release}-{name}")[:63].rstrip("-")
