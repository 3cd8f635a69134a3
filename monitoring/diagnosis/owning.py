"""Which Application a subject belongs to, and which of its workloads an Application has to be looked at through.

An owner is read, never guessed from a release's name: the item names it, or the workload carries Argo CD's tracking id
(https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/), or the Application lists the object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from integrations.kubernetes.custom import Application, AppResource
from integrations.kubernetes.kinds import BY_KIND
from integrations.kubernetes.parts import Meta
from monitoring.checks.argocd import APPLICATIONS, not_live
from monitoring.checks.grafana import GRAFANA
from monitoring.checks.workloads import PLURALS
from monitoring.diagnosis.datasources import service_of, unreachable
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Query

TRACKING = "argocd.argoproj.io/tracking-id"
#: what the operator's Prometheus pods and the chart's objects carry
PROMETHEUS = "app.kubernetes.io/name=prometheus"
INSTANCE = "argocd.argoproj.io/instance"
_WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet"}
#: objects of the Prometheus operator stand for the StatefulSet it makes of them
_OPERATED = {"Prometheus": "prometheus", "Alertmanager": "alertmanager"}
#: what else an Application may wait for, as the subjects that look at it
_PARTS = {"PersistentVolumeClaim": "claims", "Job": "job", "Service": "address"}
_ILL = {"Degraded", "Progressing", "Missing", "Unknown"}
_MOST = 8


def named(subject: Mapping[str, Any]) -> Mapping[str, Any]:
    """Namespace and name of the Application that a subject names, or nothing."""
    if subject.get("kind") == "application":
        return {"namespace": subject.get("namespace") or "", "name": subject.get("name") or ""}
    found = subject.get("application")
    return found if isinstance(found, Mapping) else {}


def implied(scene: Scene) -> bool:
    """Whether nobody named the Application."""
    return not named(scene.subject).get("name")


def application_of(scene: Scene) -> Application | None:
    """The Application a scene belongs to."""
    where = named(scene.subject)
    found: list[Application] = scene.read(APPLICATIONS, str(where.get("namespace") or ""))
    if where.get("name"):
        return next((app for app in found if app.metadata.name == where["name"]), None)
    for _, item in scene.workloads:
        owner = owner_name(item.metadata)
        if owner:
            return next((app for app in found if app.metadata.name == owner), None)
    if scene.workloads:
        return None
    return next((app for app in found if any(_is_it(scene, item) for item in app.status.resources)), None)


def owner_name(meta: Meta) -> str:
    """The Application an object says it belongs to; empty when it says nothing."""
    tracked = meta.annotations.get(TRACKING, "").partition(":")[0] or meta.labels.get(INSTANCE, "")
    # an Application in another namespace than Argo CD's is written namespace_name
    return tracked.partition("_")[2] or tracked


def _is_it(scene: Scene, item: AppResource) -> bool:
    """Whether an object an Application lists is the subject of the scene, which is not there."""
    if scene.kind == "objects":
        known = BY_KIND.get((item.group, item.kind))
        return known is not None and known.key == scene.name and item.name in missing_names(scene)
    if scene.namespace and item.namespace != scene.namespace:
        return False
    if item.kind not in _WORKLOADS and item.kind not in _OPERATED:
        return False
    if scene.name:
        return item.name == scene.name
    product = scene.selector.rpartition("=")[2].strip()
    if not product:
        return False
    if item.kind in _OPERATED:
        return product == _OPERATED[item.kind]
    short = product.removeprefix("prometheus-")
    return item.name in {product, short} or item.name.endswith((f"-{product}", f"-{short}"))


def missing_names(scene: Scene) -> set[str]:
    """Of a subject that names objects: those that are not there."""
    wanted = {str(name) for name in scene.subject.get("names") or ()}
    if not wanted or not scene.known(scene.name, scene.namespace):
        return set()
    return wanted - {item.metadata.name for item in scene.read(scene.name, scene.namespace)}


def through(scene: Scene) -> list[dict[str, Any]]:
    """The subjects through which an Application is looked at: Grafana when it renders one, workloads not well, and
    Applications of its own. That of a workload is, once the workload itself is well and the Application is not."""
    app = scene.application
    if app is None or (scene.kind != "application" and not (scene.asks("argocd_application") and scene.well)):
        return []
    mine = {(kind, item.metadata.namespace, item.metadata.name) for kind, item in scene.workloads}
    found: list[dict[str, Any]] = []
    # Argo CD 3 writes no health of single objects down: then the Application's own says whether to look at all of them
    unsaid = not says_health(app) and app.status.health.status in _ILL
    for item in sorted(app.status.resources, key=lambda item: not is_grafana(item)):
        ill = unsaid or (item.health is not None and item.health.status in _ILL)
        if (item.kind, item.namespace, item.name) in mine:
            continue
        if item.kind == "Application" and ill and _is_ill(scene, item):
            found.append({"kind": "application", "namespace": item.namespace, "name": item.name, "asks": None})
        elif item.kind in _WORKLOADS and (ill or (is_grafana(item) and scene.kind == "application")):
            found.append(_subject(scene, app, item))
        elif item.kind in _PARTS and ill:
            found.append(_subject(scene, app, item) | {"kind": _PARTS[item.kind], "asks": None})
        elif item.kind in _OPERATED and ill:
            label = f"app.kubernetes.io/name={_OPERATED[item.kind]}"
            found.append(_subject(scene, app, item) | {"kind": _OPERATED[item.kind], "name": "", "selector": label})
    return found[:_MOST]


def _is_ill(scene: Scene, item: AppResource) -> bool:
    """Whether an Application that another one lists is not well, by its own status."""
    every: list[Application] = scene.read(APPLICATIONS, item.namespace)
    live = next((app for app in every if app.metadata.name == item.name), None)
    return live is not None and (live.metadata.deletion_timestamp is not None or live.status.health.status in _ILL)


def _subject(scene: Scene, app: Application, item: AppResource) -> dict[str, Any]:
    subject: dict[str, Any] = {
        "asks": scene.subject.get("asks"),
        "kind": "workload",
        "namespace": item.namespace,
        "name": item.name,
        "application": {"namespace": app.metadata.namespace, "name": app.metadata.name},
    }
    if is_grafana(item):
        subject |= {"kind": "grafana", "selector": GRAFANA, "name": ""}
    return subject


def says_health(app: Application) -> bool:
    """Whether Argo CD writes down how each object of it is."""
    return any(item.health is not None and item.health.status for item in app.status.resources)


def missing_of(scene: Scene, app: Application) -> list[AppResource]:
    """Objects an Application wants that are not live: as Argo CD says it, or as the cluster does where it does not."""
    if says_health(app):
        return not_live(app)
    return [item for item in unsure(app) if _gone(scene, item)]


def unsure(app: Application) -> list[AppResource]:
    """Workloads that differ from Git, and may do so because they are not there."""
    if says_health(app):
        return []
    drift = [i for i in app.status.resources if i.status == "OutOfSync" and not i.requires_pruning]
    return [item for item in drift if item.kind in PLURALS]


def _gone(scene: Scene, item: AppResource) -> bool:
    key = PLURALS[item.kind]
    return scene.known(key, item.namespace) and all(
        live.metadata.name != item.name for live in scene.read(key, item.namespace)
    )


def is_grafana(item: AppResource) -> bool:
    """Whether an object an Application lists is a Grafana."""
    return item.kind in {"Deployment", "StatefulSet"} and (item.name == "grafana" or item.name.endswith("-grafana"))


def any_grafana(items: Iterable[AppResource]) -> bool:
    return any(is_grafana(item) for item in items)


# -- what stands behind an Application's trouble

_HOOK = re.compile(r"hook (?:\S{0,80}/)?Job/(\S{1,253})")
_REPO_SERVER = re.compile(r"code = Unavailable|:8081\b|repo-server|connection error: desc", re.IGNORECASE)
_SILENT = 120


def behind(scene: Scene) -> list[dict[str, Any]]:
    """Subjects that say more about what a scene shows: what is behind a datasource or target, and what stands behind an
    Application's trouble (a hook's Job, the repo-server, the controller)."""
    if scene.kind == "targets":
        return _behind_targets(scene)
    found: list[dict[str, Any]] = []
    if scene.kind == "grafana" and scene.asks("grafana_datasource", "grafana_dashboards"):
        services = dict.fromkeys(where for entry, _ in unreachable(scene) if (where := service_of(entry)) is not None)
        found += [{"kind": "service", "namespace": ns, "name": name} for ns, name in services][:2]
    return found + (_behind_application(scene, scene.application) if scene.application is not None else [])


def _behind_application(scene: Scene, app: Application) -> list[dict[str, Any]]:
    where = {"namespace": app.metadata.namespace, "name": app.metadata.name}
    found: list[dict[str, Any]] = [
        {"kind": "job", "namespace": ns, "name": name, "application": where} for ns, name in hooks_of(app)
    ]
    errors = [c.message[:4000] for c in app.status.conditions if c.type in {"ComparisonError", "UnknownError"}]
    parts = []
    if any(_REPO_SERVER.search(message) for message in errors):
        parts.append("repo-server")
    seen = app.status.reconciled_at
    if app.operation is not None and seen is not None and (scene.now - seen).total_seconds() > _SILENT:
        parts.append("application-controller")
    return found + [
        {
            "kind": "workload",
            "namespace": app.metadata.namespace,
            "selector": f"app.kubernetes.io/component={part}",
            "application": where,
        }
        for part in parts
    ]


def _behind_targets(scene: Scene) -> list[dict[str, Any]]:
    """Prometheus itself, when it does not answer; else what is behind the targets it does not get."""
    reply = scene.snapshot.replies.get(Query(f"up{{{scene.selector}}}" if scene.selector else "up"))
    if reply is not None and reply.status == 0:
        return [{"kind": "prometheus", "selector": PROMETHEUS, "workload": "StatefulSet"}]
    found: list[dict[str, Any]] = []
    for row in reply.body if reply is not None and isinstance(reply.body, list) else []:
        metric, value = (row.get("metric"), row.get("value")) if isinstance(row, dict) else (None, None)
        down = isinstance(value, list | tuple) and len(value) == 2 and str(value[1]) != "1"
        if not down or not isinstance(metric, dict) or not metric.get("namespace") or not metric.get("service"):
            continue
        where = {"namespace": str(metric["namespace"])}
        if metric.get("container") == "grafana":
            part = where | {"kind": "grafana", "selector": GRAFANA}
        else:
            part = where | {"kind": "service", "name": str(metric["service"])}
        if part not in found:
            found.append(part)
    return found[:3]


def hooks_of(app: Application | None) -> list[tuple[str, str]]:
    """Hook Jobs that run or failed in the last operation, as namespace and name."""
    state = app.status.operation_state if app is not None else None
    if app is None or state is None or state.phase == "Succeeded":
        return []
    rows = state.sync_result.resources or [] if state.sync_result else []
    found = [
        (r.namespace, r.name)
        for r in rows
        if r.kind == "Job" and r.hook_type and r.hook_phase in {"Running", "Failed", "Error"}
    ]
    match = _HOOK.search(state.message[:4000])
    if match and match.group(1) not in {name for _, name in found}:
        found.append((app.spec.destination.namespace, match.group(1).rstrip(".,")))
    return found[:2]
