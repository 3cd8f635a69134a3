"""Recorded Applications for the pure tests: the team's own manifests as root-app made them."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from integrations.kubernetes.custom import Application
from monitoring.snapshot import Snapshot, from_case

APPS = "applications.argoproj.io"
STACK = "kube-prometheus-stack"
GIT = Path(__file__).parents[2] / "lab" / "git"
#: stands in the lab's values, and must never come out of a plan or a patch
PASSWORD = "ChangeMe-platform-2025"
NOW = datetime(2025, 11, 23, 14, 0, tzinfo=UTC)


def manifest(file: str = "monitoring") -> dict[str, Any]:
    """One manifest of ``bootstrap/apps`` as it is in Git."""
    loaded: dict[str, Any] = yaml.safe_load((GIT / "bootstrap" / "apps" / f"{file}.yaml").read_text())
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


def snapshot(*apps: dict[str, Any], **more: Any) -> Snapshot:
    """A snapshot of these Applications."""
    return from_case({"taken_at": NOW, "objects": {APPS: list(apps), **more.pop("objects", {})}, **more})


def decoded(app: dict[str, Any]) -> Application:
    """An Application as the reader gives it."""
    found: Application = snapshot(app).objects(APPS)[0]
    return found
