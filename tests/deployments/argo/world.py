"""Recorded Applications for the pure tests: the team's own manifests as root-app made them."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from deployments.catalogue import conditions, registry
from deployments.catalogue.action import Condition, Create, Patch, PlanDraft
from deployments.catalogue.seen import Seen
from integrations.kubernetes.custom import Application
from monitoring.snapshot import Snapshot, from_case

APPS = "applications.argoproj.io"
STACK = "kube-prometheus-stack"
GIT = Path(__file__).parents[3] / "lab" / "git"
#: stands in the lab's values, and must never come out of a plan or a patch
PASSWORD = "ChangeMe-platform-2025"
NOW = datetime(2025, 11, 23, 14, 0, tzinfo=UTC)


def manifest(file: str = "monitoring") -> dict[str, Any]:
    """One manifest of ``bootstrap/apps`` as it is in Git."""
    loaded: dict[str, Any] = yaml.load(
        (GIT / "bootstrap" / "apps" / f"{file}.yaml").read_text(), Loader=yaml.CSafeLoader
    )
    return loaded


def values_text() -> str:
    """The values block of the monitoring Application."""
    text: str = manifest()["spec"]["source"]["helm"]["values"]
    return text


def root() -> dict[str, Any]:
    """The app of apps."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "root-app", "namespace": "argocd", "uid": "app-root"},
        "spec": {
            "project": "infrastructure",
            "source": {
                "repoURL": "https://github.com/platform-team/infrastructure-gitops.git",
                "targetRevision": "main",
                "path": "bootstrap/apps",
            },
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "argocd"},
            "syncPolicy": {"automated": {"prune": False, "selfHeal": True}},
        },
        "status": {"sourceType": "Directory", "sync": {"status": "Synced", "revision": "abc"}},
    }


def child(file: str = "monitoring") -> dict[str, Any]:
    """A manifest as Argo CD applied it: tracked by root-app, synced and healthy."""
    made = manifest(file)
    meta = made["metadata"]
    meta["uid"] = f"app-{meta['name']}"
    meta["annotations"] = {"argocd.argoproj.io/tracking-id": f"root-app:argoproj.io/Application:argocd/{meta['name']}"}
    made["status"] = {
        "sync": {"status": "Synced", "revision": "55.5.0"},
        "health": {"status": "Healthy"},
        "reconciledAt": "2025-11-23T13:58:00Z",
    }
    return made


def merged(into: Any, patch: Any) -> Any:
    """RFC 7386, to vary a recorded object."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(into) if isinstance(into, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def both(one: Any, other: Any) -> Any:
    """Two patches as one; unlike :func:`merged` it keeps what they take out."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    return {**one, **{key: both(one.get(key), value) for key, value in other.items()}}


def snapshot(*apps: dict[str, Any], **more: Any) -> Snapshot:
    """A snapshot of these Applications."""
    return from_case({"taken_at": NOW, "objects": {APPS: list(apps), **more.pop("objects", {})}, **more})


def decoded(app: dict[str, Any]) -> Application:
    """An Application as the reader gives it."""
    found: Application = snapshot(app).objects(APPS)[0]
    return found


def entry(kind: str, name: str, *, group: str = "", status: str = "Synced", **more: Any) -> dict[str, Any]:
    """A row of ``status.resources``."""
    row = {"group": group, "kind": kind, "namespace": "platform-monitoring", "name": name, "status": status}
    return {key: value for key, value in {**row, **more}.items() if value not in ("", None)}


MISSING = {"health": {"status": "Missing"}}
GRAFANA = f"{STACK}-grafana"
#: what the monitoring Application renders, as far as the tests need it
RENDERED = [
    entry("ConfigMap", GRAFANA),
    entry("Deployment", GRAFANA, group="apps", health={"status": "Healthy"}),
    entry("Deployment", f"{STACK}-operator", group="apps", health={"status": "Healthy"}),
    entry("Service", GRAFANA, health={"status": "Healthy"}),
    entry("CustomResourceDefinition", "prometheuses.monitoring.coreos.com", group="apiextensions.k8s.io", namespace=""),
]
PROJECT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AppProject",
    "metadata": {"name": "infrastructure", "namespace": "argocd"},
    "spec": {},
}
CONTROLLER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "argocd-application-controller-0",
        "namespace": "argocd",
        "labels": {"app.kubernetes.io/component": "application-controller"},
    },
    "spec": {"containers": [{"name": "c", "image": "quay.io/argoproj/argocd:v2.14.20"}]},
}


def stack(patch: dict[str, Any] | None = None, *differ: dict[str, Any]) -> dict[str, Any]:
    """The monitoring Application with what it renders; ``differ`` replaces rows of the same kind and name, or adds."""
    replaced = {(row["kind"], row["name"]) for row in differ}
    rows = [row for row in RENDERED if (row["kind"], row["name"]) not in replaced]
    status = "OutOfSync" if differ else "Synced"
    made: dict[str, Any] = merged(child(), {"status": {"resources": [*rows, *differ], "sync": {"status": status}}})
    ended = {"phase": "Succeeded", "startedAt": "2025-11-23T12:00:00Z", "finishedAt": "2025-11-23T12:00:09Z"}
    made["status"] |= {"operationState": ended, "history": [{"id": 0, "revision": "55.5.0"}]}
    whole: dict[str, Any] = merged(made, patch or {})
    return whole


def above(patch: dict[str, Any] | None = None, **row: Any) -> dict[str, Any]:
    """root-app, which shows the monitoring Application as Synced."""
    mine = {"group": "argoproj.io", "kind": "Application", "namespace": "argocd", "name": STACK, "status": "Synced"}
    made: dict[str, Any] = merged(merged(root(), {"status": {"resources": [{**mine, **row}]}}), patch or {})
    return made


def alone(patch: dict[str, Any] | None = None, *differ: dict[str, Any]) -> dict[str, Any]:
    """The monitoring Application with nobody above it."""
    made = stack(patch, *differ)
    made["metadata"].pop("annotations", None)
    return made


RUNNING = {
    "operation": {"initiatedBy": {"username": "admin"}, "sync": {}},
    "status": {
        "operationState": {
            "phase": "Running",
            "startedAt": "2025-11-23T13:55:00Z",
            "finishedAt": None,
            "message": "syncing",
        }
    },
}


def seen(*apps: dict[str, Any], project: dict[str, Any] | None = None, **more: Any) -> Snapshot:
    """A snapshot with projects, the controller's pod, and each Application whole as well."""
    objects = {"appprojects.argoproj.io": [project or PROJECT], "pods": [CONTROLLER], **more.pop("objects", {})}
    raws = {f"{APPS} {a['metadata']['namespace']}/{a['metadata']['name']}": a for a in apps}
    return snapshot(*apps, objects=objects, raws=raws, **more)


def planned(slug: str, snap: Snapshot, **params: Any) -> PlanDraft:
    """A draft of the monitoring Application."""
    given = {"application": STACK, **params}
    return registry.get(slug).plan(snap, registry.parse(slug, given))


def unmet(draft: PlanDraft) -> list[str]:
    """Preconditions that are not met, with their evidence."""
    return [f"{p.sentence}: {p.evidence}" for p in draft.preconditions if not p.met]


def look(condition: str, snap: Snapshot, memory: dict[str, Any] | None = None, /, **args: Any) -> Seen:
    """One look at a condition about the monitoring Application."""
    given = {"namespace": "argocd", "name": STACK, **args}
    return conditions.look(Condition(condition, given), snap, memory or {})


def body(draft: PlanDraft, step: int) -> dict[str, Any]:
    """The body that a step writes."""
    effect = draft.steps[step].effect
    assert isinstance(effect, Patch | Create)
    return effect.body
