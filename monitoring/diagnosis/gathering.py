"""Fills scenes: from a subject and a Snapshot to the workloads, pods, logs and Application that a diagnosis looks at.

A subject may have several parts, and an Application is looked at through the workloads of it that are not well: a pod's
fault comes before the drift it makes. Each part is one scene.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from integrations.kubernetes.objects import ConfigMap, ContainerStatus, Pod, Service, Workload
from integrations.kubernetes.parts import KubeObject
from monitoring.checks.grafana import GRAFANA
from monitoring.checks.operator import ALERTMANAGERS, PROMETHEUSES
from monitoring.checks.pods import is_ready, matching, statuses
from monitoring.checks.services import SLICES
from monitoring.checks.text import spelled
from monitoring.checks.workloads import PLURALS, selected
from monitoring.diagnosis import owning, values
from monitoring.diagnosis.logs import lines_of
from monitoring.diagnosis.scene import DATASOURCE_LABEL, Bad, Scene, settled
from monitoring.snapshot import Missing, Objects, Snapshot, labels_match

#: the object of the Prometheus operator that a product is made of
OPERATED = {"prometheus": PROMETHEUSES, "alertmanager": ALERTMANAGERS}
KINDS = ("Deployment", "StatefulSet", "DaemonSet")
#: kinds of subject that have no workload of their own
BARE = frozenset({"application", "claims", "storage_class", "nodes", "targets", "objects", "placement", "address", ""})
#: a container that restarted so lately is looked at although it is ready again
RECENT = timedelta(minutes=10)
_OWNERS = {"ReplicaSet", "StatefulSet", "DaemonSet"}
_JOB_LABELS = ("batch.kubernetes.io/job-name", "job-name")


def scenes_of(snapshot: Snapshot, subject: Mapping[str, Any], now: datetime) -> list[Scene]:
    """One scene for each part of a subject; the first that knows an Application keeps it."""
    scenes: list[Scene] = []
    for part in parts_of(subject):
        scenes += _looked_through(snapshot, part, now)
    scenes += [open_scene(snapshot, other, now) for scene in list(scenes) for other in owning.behind(scene)]
    seen: set[tuple[str, str]] = set()
    for scene in scenes:
        if scene.application is not None:
            meta = scene.application.metadata
            if (meta.namespace, meta.name) in seen:
                scene.application = None
            seen.add((meta.namespace, meta.name))
    return scenes


def _looked_through(snapshot: Snapshot, part: Mapping[str, Any], now: datetime, depth: int = 2) -> list[Scene]:
    """A part, and what its Application is looked at through: workloads, and Applications of its own."""
    first = open_scene(snapshot, part, now)
    others = owning.through(first) if depth else []
    own = [open_scene(snapshot, other, now) for other in others if other["kind"] != "application"]
    children = [
        scene
        for other in others
        if other["kind"] == "application"
        for scene in _looked_through(snapshot, other, now, depth - 1)
    ]
    if first.kind != "application" or not own:
        return [first, *own, *children]
    # an Application is told together with the first of its workloads
    own[0].application = first.application
    own[0].values = own[0].values or first.values
    return [*own, *children]


def parts_of(subject: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The subject and its further parts."""
    further = subject.get("parts")
    return [subject, *(part for part in further if isinstance(part, Mapping))] if further else [subject]


def open_scene(snapshot: Snapshot, subject: Mapping[str, Any], now: datetime) -> Scene:
    """Gather what was read for this part of a subject."""
    scene = Scene(
        snapshot,
        subject,
        now,
        kind=str(subject.get("kind") or ""),
        namespace=str(subject.get("namespace") or ""),
        selector=str(subject.get("selector") or ""),
        name=str(subject.get("name") or ""),
    )
    if scene.kind == "grafana":
        scene.selector = scene.selector or GRAFANA
    scene.title = str(subject.get("title") or "") or spelled(scene.selector, scene.name)
    if has_workloads(scene):
        _find_namespace(scene)
        _workloads(scene)
    elif scene.kind == "address":
        scene.services = [item for item in scene.read("services", scene.namespace) if _is_service(scene, item)]
        scene.events = scene.read("events", scene.namespace)
    scene.application = owning.application_of(scene)
    scene.values = values.of_application(scene.application)
    if scene.application is not None and owning.implied(scene) and (scene.well or not _touched(scene)):
        scene.application = None
    return scene


def has_workloads(scene: Scene) -> bool:
    """Whether the subject is about workloads: named, by labels, or all of a namespace."""
    return scene.kind not in BARE and bool(scene.selector or scene.name or scene.namespace)


def nowhere(scene: Scene) -> bool:
    """Whether the subject says by labels alone what it is: then its namespace is found first, so that not the pods of
    the whole cluster are listed for it."""
    return has_workloads(scene) and not scene.namespace and bool(scene.selector)


def searched(scene: Scene) -> list[Objects]:
    """What tells the namespace of a subject that names none: workloads and pods with its labels, and the object an
    operator makes it of, for operators label pods, not always their owner."""
    lists = [Objects(PLURALS[kind], "", scene.selector) for kind in kinds_of(scene)]
    made_of = OPERATED.get(scene.kind)
    return [*lists, Objects("pods", "", scene.selector), *([Objects(made_of)] if made_of else [])]


#: what is listed of a namespace to look at any workload of it
LISTS = ("pods", "services", SLICES, "events", "persistentvolumeclaims")


def of_namespace(subject: Mapping[str, Any]) -> list[Objects]:
    """The lists of the namespace of a subject that is about workloads."""
    wanted = str(subject.get("workload") or "")
    kinds = (wanted,) if wanted in KINDS else KINDS
    namespace = str(subject.get("namespace") or "")
    return [Objects(resource, namespace) for resource in (*(PLURALS[kind] for kind in kinds), *LISTS)]


def _find_namespace(scene: Scene) -> None:
    if not nowhere(scene):
        return
    for need in searched(scene):
        try:
            items: list[KubeObject] = scene.snapshot.objects(need.resource, need.namespace, need.labels)
        except Missing:
            continue
        if items:
            scene.namespace = min(item.metadata.namespace for item in items)
            return


def _touched(scene: Scene) -> bool:
    """An Application nobody named is looked at only for a subject that is not well."""
    return scene.absent or scene.short or bool(scene.bad) or scene.kind == "objects"


def _workloads(scene: Scene) -> None:
    found: list[tuple[str, Workload]] = []
    gaps = len(scene.unread)
    services: list[Service] = scene.read("services", scene.namespace) if scene.namespace else []
    for kind in kinds_of(scene):
        # everywhere is looked through by labels alone
        items: list[Workload] = scene.read(PLURALS[kind], scene.namespace, "" if scene.namespace else scene.selector)
        found += [(kind, item) for item in items if _meant(scene, item, services)]
    scene.workloads_read = len(scene.unread) == gaps
    scene.workloads = found
    scene.title = scene.title or (found[0][1].metadata.name if found else scene.namespace)
    if not scene.namespace:
        return
    if scene.kind == "job":
        _job_pods(scene)
    else:
        _pods(scene)
    scene.services = [item for item in services if _leads_here(scene, item)]
    scene.events = scene.read("events", scene.namespace)
    if scene.kind == "grafana":
        scene.config_maps = _config_maps(scene)


def kinds_of(scene: Scene) -> tuple[str, ...]:
    """Which kinds of workload can be meant."""
    wanted = str(scene.subject.get("workload") or "")
    if wanted in KINDS:
        return (wanted,)
    if scene.kind == "job":
        return ()
    return KINDS[:2] if scene.kind == "grafana" else KINDS


def _meant(scene: Scene, item: Workload, services: Iterable[Service]) -> bool:
    if scene.kind == "service":
        labels = item.spec.template.metadata.labels
        chosen = [s for s in services if _is_service(scene, s)]
        by_selector = any(s.spec.selector and s.spec.selector.items() <= labels.items() for s in chosen)
        return by_selector or any(s.metadata.name == item.metadata.name for s in chosen)
    if scene.selector:
        return selected(item, scene.selector)
    return not scene.name or item.metadata.name == scene.name


def _is_service(scene: Scene, service: Service) -> bool:
    if scene.selector:
        return labels_match(service.metadata.labels, scene.selector)
    return service.metadata.name == scene.name


def _leads_here(scene: Scene, service: Service) -> bool:
    """A Service that carries the subject's labels, or selects the pods of its workloads."""
    if scene.kind == "service":
        return _is_service(scene, service)
    if scene.selector and labels_match(service.metadata.labels, scene.selector):
        return True
    return any(
        service.spec.selector and service.spec.selector.items() <= item.spec.template.metadata.labels.items()
        for _, item in scene.workloads
    )


# -- pods


def _pods(scene: Scene) -> None:
    every: list[Pod] = scene.read("pods", scene.namespace)
    owned = {
        pod.metadata.uid or pod.metadata.name
        for _, item in scene.workloads
        for pod in matching(every, item.spec.selector.match_labels)
        if pod.metadata.namespace == item.metadata.namespace
    }
    by_labels = scene.selector if scene.kind != "service" else ""
    mine = [
        pod
        for pod in every
        if (pod.metadata.uid or pod.metadata.name) in owned
        or (by_labels and not scene.workloads and labels_match(pod.metadata.labels, by_labels))
    ]
    mine = [pod for pod in _kept(mine) if pod.status.phase != "Succeeded"]
    scene.leaving = [pod for pod in mine if pod.metadata.deletion_timestamp is not None]
    staying = [pod for pod in mine if pod.metadata.deletion_timestamp is None]
    scene.failed_pods = [pod for pod in staying if pod.status.phase == "Failed"]
    scene.pods = [pod for pod in staying if pod.status.phase != "Failed"]
    outdated = _outdated(scene)
    scene.bad = [bad for pod in scene.pods if pod.metadata.name not in outdated for bad in bad_of(scene, pod)]
    scene.bad.sort(key=lambda bad: (bad.recovered, bad.name.startswith("grafana-sc-")))


def _job_pods(scene: Scene) -> None:
    """The pods of one Job; those that failed are what is looked at."""
    every: list[Pod] = scene.read("pods", scene.namespace)
    mine = [
        pod for pod in every if any(o.kind == "Job" and o.name == scene.name for o in pod.metadata.owner_references)
    ]
    mine = mine or [pod for pod in every if scene.name in {pod.metadata.labels.get(key) for key in _JOB_LABELS}]
    mine.sort(key=lambda pod: (pod.metadata.creation_timestamp or scene.now, pod.metadata.name))
    if any(pod.status.phase == "Succeeded" for pod in mine):
        return
    scene.pods = [pod for pod in mine if pod.metadata.deletion_timestamp is None][-2:]
    scene.bad = [bad for pod in scene.pods for bad in bad_of(scene, pod)]


def _kept(pods: list[Pod]) -> list[Pod]:
    """Without the pods of Jobs and of tests, which may carry a workload's labels: where pods say whose they are, one
    that does not is nobody's."""
    if any(o.kind in _OWNERS for pod in pods for o in pod.metadata.owner_references):
        return [pod for pod in pods if any(o.kind in _OWNERS for o in pod.metadata.owner_references)]
    return [pod for pod in pods if not any(o.kind == "Job" for o in pod.metadata.owner_references)]


def _outdated(scene: Scene) -> set[str]:
    """Pods of an older template whose workload has all the ready pods it wants: they are on their way out."""
    found: set[str] = set()
    for kind, item in scene.workloads:
        if kind != "Deployment":
            continue
        wanted = 1 if item.spec.replicas is None else item.spec.replicas
        mine = matching(scene.pods, item.spec.selector.match_labels)
        ready = [pod for pod in mine if is_ready(pod)]
        if settled(item) and len(ready) >= wanted:
            newest = {pod.metadata.labels.get("pod-template-hash", "") for pod in ready}
            found |= {p.metadata.name for p in mine if p.metadata.labels.get("pod-template-hash", "") not in newest}
    return found


def bad_of(scene: Scene, pod: Pod) -> list[Bad]:
    """Containers of a pod that are not ready, or restarted a few minutes ago."""
    init = {status.name for status in pod.status.init_container_statuses}
    owner = scene.owner_of(pod)
    name = owner[1].metadata.name if owner else pod.metadata.name
    ready = is_ready(pod)
    found: list[Bad] = []
    for status in statuses(pod):
        ended = status.state.terminated
        done = status.name in init and ended is not None and ended.exit_code == 0
        lately = restarted_lately(scene.now, status)
        if done or (ready and not lately) or (status.ready and not lately):
            continue
        recovered = status.ready
        lines = lines_of(scene, pod, status.name)
        found.append(Bad(pod, status, status.name in init, lines, name, recovered=recovered))
    return found


def restarted_lately(now: datetime, status: ContainerStatus) -> bool:
    """Whether its last run ended badly a few minutes ago."""
    last = status.last_state.terminated
    if last is None or not status.restart_count or (last.exit_code == 0 and last.reason != "OOMKilled"):
        return False
    return last.finished_at is not None and now - last.finished_at <= RECENT


def _config_maps(scene: Scene) -> list[ConfigMap]:
    found: list[ConfigMap] = scene.read("configmaps", scene.namespace)
    known = {(item.metadata.namespace, item.metadata.name) for item in found}
    try:
        others: list[ConfigMap] = scene.snapshot.objects("configmaps", "", DATASOURCE_LABEL)
    except Missing:
        others = []
    return found + [item for item in others if (item.metadata.namespace, item.metadata.name) not in known]
