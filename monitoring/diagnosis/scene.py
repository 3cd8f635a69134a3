"""What a diagnosis looks at, gathered once: a workload with its pods, Services, logs, events, and its Application.

What could not be read is an empty list and a line in ``unread``; a signature that sees nothing finds nothing, so a gap
never makes a cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from integrations.kubernetes.custom import Application
from integrations.kubernetes.objects import ConfigMap, Container, ContainerStatus, Event, Pod, Service, Workload
from monitoring.checks.argocd import APPLICATIONS
from monitoring.checks.grafana import GRAFANA
from monitoring.checks.pods import is_ready, matching, statuses
from monitoring.checks.services import SLICES, addresses, front, ready_addresses
from monitoring.checks.text import spelled
from monitoring.checks.workloads import PLURALS, selected
from monitoring.diagnosis import values
from monitoring.snapshot import Access, Logs, Missing, Need, Objects, Snapshot, labels_match

DATASOURCE_LABEL = "grafana_datasource"
_KINDS = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, slots=True)
class Default:
    """One datasource that is marked as default, and where that is written."""

    name: str
    where: str


@dataclass(frozen=True, slots=True)
class Bad:
    """A container that is not ready, with its log: the previous run first, then this one."""

    pod: Pod
    status: ContainerStatus
    init: bool
    lines: tuple[str, ...]

    @property
    def waiting(self) -> str:
        return self.status.state.waiting.reason if self.status.state.waiting else ""

    def log_has(self, words: Iterable[str]) -> str:
        """The last line that holds one of these, or nothing."""
        wanted = [word.lower() for word in words]
        return next((line for line in reversed(self.lines) if any(word in line.lower() for word in wanted)), "")


@dataclass(slots=True)
class Scene:
    """See the module. ``kind`` is the subject's: ``grafana``, ``workload``, ``application``, …"""

    snapshot: Snapshot
    kind: str
    namespace: str
    selector: str
    name: str
    now: datetime
    title: str = ""
    workloads: list[tuple[str, Workload]] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    config_maps: list[ConfigMap] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    application: Application | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    workloads_read: bool = False

    @property
    def absent(self) -> bool:
        """The workload is not there, and that was seen."""
        return self.workloads_read and not self.workloads

    @property
    def containers(self) -> list[Container]:
        return [c for _, item in self.workloads for c in item.spec.template.spec.containers]

    @property
    def sidecars(self) -> list[Container]:
        return [c for c in self.containers if is_sidecar(c)]

    def front(self) -> str:
        """The address people use, when nothing ready is behind it; else nothing."""
        for service in self.services:
            try:
                if not ready_addresses(self.snapshot, service):
                    return front(service) if addresses(service) else service.metadata.name
            except Missing:
                continue
        return ""

    def events_of(self, name: str, *reasons: str) -> list[Event]:
        """Events about an object of this name, oldest first."""
        found = [e for e in self.events if e.involved_object.name == name and (not reasons or e.reason in reasons)]
        return sorted(found, key=lambda event: event_time(event) or self.now)


def event_time(event: Event) -> datetime | None:
    return event.last_timestamp or event.event_time or event.first_timestamp


def is_sidecar(container: Container) -> bool:
    return "k8s-sidecar" in container.image or container.name.startswith("grafana-sc-")


def open_scene(snapshot: Snapshot, subject: Mapping[str, Any], now: datetime) -> Scene:
    """Gather what was read for this subject."""
    scene = Scene(
        snapshot,
        kind=str(subject.get("kind") or ""),
        namespace=str(subject.get("namespace") or ""),
        selector=str(subject.get("selector") or ""),
        name=str(subject.get("name") or ""),
        now=now,
    )
    scene.application = _application(scene, subject)
    scene.values = values.of_application(scene.application)
    if scene.kind == "application" and scene.application is not None:
        _widen(scene)
    if scene.kind == "grafana":
        scene.selector = scene.selector or GRAFANA
    scene.title = spelled(scene.selector, scene.name)
    if scene.kind != "application" and (scene.selector or scene.name):
        _workloads(scene)
    return scene


def _widen(scene: Scene) -> None:
    """Looks at an Application that renders Grafana through Grafana: a pod's fault comes before the drift it makes."""
    assert scene.application is not None
    for item in scene.application.status.resources:
        if item.kind in {"Deployment", "StatefulSet"} and (item.name == "grafana" or item.name.endswith("-grafana")):
            scene.kind, scene.namespace, scene.selector = "grafana", item.namespace, GRAFANA
            return


def _application(scene: Scene, subject: Mapping[str, Any]) -> Application | None:
    named = subject.get("application")
    where: Mapping[str, Any] = named if isinstance(named, Mapping) else {}
    if scene.kind == "application":
        where = {"namespace": scene.namespace, "name": scene.name}
    found: list[Application] = _read(scene, APPLICATIONS, str(where.get("namespace") or ""))
    if where.get("name"):
        return next((app for app in found if app.metadata.name == where["name"]), None)
    return next((app for app in found if _renders(app, scene)), None)


def _renders(app: Application, scene: Scene) -> bool:
    """Whether this Application wants the subject's workload, by the names it lists."""
    if scene.kind != "grafana":
        return False
    return any(
        item.kind in {"Deployment", "StatefulSet"}
        and (not scene.namespace or item.namespace == scene.namespace)
        and (item.name == "grafana" or item.name.endswith("-grafana"))
        for item in app.status.resources
    )


def _workloads(scene: Scene) -> None:
    found: list[tuple[str, Workload]] = []
    gaps = len(scene.unread)
    for kind in _KINDS[:2] if scene.kind == "grafana" else _KINDS:
        items: list[Workload] = _read(scene, PLURALS[kind], scene.namespace)
        found += [(kind, item) for item in items if _meant(scene, item)]
    scene.workloads_read = len(scene.unread) == gaps
    scene.workloads = found
    pods: list[Pod] = _read(scene, "pods", scene.namespace)
    owned = {pod.metadata.uid for _, item in found for pod in matching(pods, item.spec.selector.match_labels)}
    scene.pods = [
        pod
        for pod in pods
        if pod.metadata.uid in owned or (scene.selector and labels_match(pod.metadata.labels, scene.selector))
    ]
    scene.bad = [bad for pod in scene.pods if not is_ready(pod) for bad in _bad(scene, pod)]
    services: list[Service] = _read(scene, "services", scene.namespace)
    scene.services = [s for s in services if scene.selector and labels_match(s.metadata.labels, scene.selector)]
    scene.events = _read(scene, "events", scene.namespace)
    if scene.kind == "grafana":
        scene.config_maps = _read(scene, "configmaps", scene.namespace)
        known = {(m.metadata.namespace, m.metadata.name) for m in scene.config_maps}
        try:
            others: list[ConfigMap] = scene.snapshot.objects("configmaps", "", DATASOURCE_LABEL)
        except Missing:
            others = []
        scene.config_maps += [m for m in others if (m.metadata.namespace, m.metadata.name) not in known]


def _meant(scene: Scene, item: Workload) -> bool:
    if scene.selector:
        return selected(item, scene.selector)
    return item.metadata.name == scene.name


def _bad(scene: Scene, pod: Pod) -> list[Bad]:
    init = {status.name for status in pod.status.init_container_statuses}
    found: list[Bad] = []
    for status in statuses(pod):
        ended = status.state.terminated
        done = status.name in init and ended is not None and ended.exit_code == 0
        if status.ready or done:
            continue
        found.append(Bad(pod, status, status.name in init, _lines(scene.snapshot, pod, status)))
    return found


def _lines(snapshot: Snapshot, pod: Pod, status: ContainerStatus) -> tuple[str, ...]:
    lines: list[str] = []
    for previous in (True, False):
        reply = snapshot.replies.get(_logs(pod, status.name, previous=previous))
        if reply is not None and isinstance(reply.body, list):
            lines += [str(line) for line in reply.body]
    return tuple(lines)


def _logs(pod: Pod, container: str, *, previous: bool) -> Logs:
    return Logs(pod.metadata.namespace, pod.metadata.name, container, previous=previous)


def _read(scene: Scene, resource: str, namespace: str) -> list[Any]:
    try:
        return scene.snapshot.objects(resource, namespace)
    except Missing as missing:
        scene.unread.append(str(missing))
        return []


def needs_of(snapshot: Snapshot, subject: Mapping[str, Any]) -> Iterable[Need]:
    """What to read. Logs only of containers that are not ready, access only when a sidecar ended."""
    named = subject.get("application")
    where = named if isinstance(named, Mapping) else {}
    is_app = subject.get("kind") == "application"
    yield Objects(APPLICATIONS, str(subject.get("namespace") if is_app else where.get("namespace") or ""))
    scene = open_scene(snapshot, subject, snapshot.taken_at)
    if scene.kind == "application" or not (scene.selector or scene.name):
        return
    for kind in _KINDS[:2] if scene.kind == "grafana" else _KINDS:
        yield Objects(PLURALS[kind], scene.namespace)
    for resource in ("pods", "services", SLICES, "events"):
        yield Objects(resource, scene.namespace)
    if scene.kind == "grafana":
        yield Objects("configmaps", scene.namespace)
        if any(e.name == "NAMESPACE" and e.value == "ALL" for c in scene.sidecars for e in c.env):
            yield Objects("configmaps", "", DATASOURCE_LABEL)
    for bad in scene.bad:
        if bad.status.state.running or bad.status.state.terminated:
            yield _logs(bad.pod, bad.status.name, previous=False)
        if bad.status.restart_count or bad.status.last_state.terminated:
            yield _logs(bad.pod, bad.status.name, previous=True)
        account = bad.pod.spec.service_account_name
        if bad.status.name.startswith("grafana-sc-") and account:
            yield sidecar_access(bad.pod)


def sidecar_access(pod: Pod) -> Access:
    """May the pod's ServiceAccount list Secrets everywhere, as the sidecars do?"""
    user = f"system:serviceaccount:{pod.metadata.namespace}:{pod.spec.service_account_name}"
    return Access(user, "list", "secrets")


def defaults(scene: Scene) -> list[Default]:
    """Datasources marked as default among the files this Grafana reads: its own ConfigMap, and labelled ones when its
    datasource sidecar is on (or when nobody can tell, because no Deployment is there)."""
    collected = not scene.workloads or any("datasources" in c.name for c in scene.sidecars) or _has_init(scene)
    off = values.at(scene.values, "grafana.sidecar.datasources.enabled") is False
    found: list[Default] = []
    for item in scene.config_maps:
        labelled = DATASOURCE_LABEL in item.metadata.labels
        own = labels_match(item.metadata.labels, GRAFANA) and "grafana.ini" in item.data
        if not (own or (labelled and collected and not (off and not scene.workloads))):
            continue
        for key, text in sorted(item.data.items()):
            if not key.endswith((".yaml", ".yml")):
                continue
            found += [
                Default(str(entry.get("name", "")), f"ConfigMap {item.metadata.name} key {key}")
                for entry in values.datasources(text)
                if entry.get("isDefault") is True
            ]
    return found


def _has_init(scene: Scene) -> bool:
    return any(
        "datasources" in c.name and is_sidecar(c)
        for _, item in scene.workloads
        for c in item.spec.template.spec.init_containers
    )
