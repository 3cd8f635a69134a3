"""What an Application says: who manages it, whether it heals, what differs, whether its operation is stuck. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from common.redaction import redact
from deployments.catalogue.argo.calls import INFO
from integrations.kubernetes.custom import Application, AppResource, OperationState
from integrations.kubernetes.parts import Meta

TRACKING = "argocd.argoproj.io/tracking-id"
#: an operation that has not moved for so long is stuck
STUCK = timedelta(minutes=15)
#: phases of an operation that has not ended
BUSY = ("Running", "Terminating")


class Tracking(NamedTuple):
    """A tracking id, read. All empty when there is none, or when it was copied from another object."""

    app: str = ""
    app_namespace: str = ""
    group: str = ""
    kind: str = ""


def tracking_of(metadata: Meta) -> Tracking:
    """``<app>:<group>/<Kind>:<ns>/<name>`` of an object, if it names this object."""
    app, _, rest = metadata.annotations.get(TRACKING, "").partition(":")
    kind, _, where = rest.partition(":")
    namespace, _, name = where.rpartition("/")
    if not app or name != metadata.name or metadata.namespace not in ("", namespace):
        return Tracking()
    called, app_namespace = instance_of(app)
    group, _, kind = kind.rpartition("/")
    return Tracking(called, app_namespace, group, kind)


def instance_of(text: str) -> tuple[str, str]:
    """(name, namespace) of how Argo CD calls an Application: ``<ns>_<name>`` outside its own namespace."""
    namespace, underscore, name = text.partition("_")
    return (name, namespace) if underscore else (text, "")


def is_called(app: Application, name: str, namespace: str) -> bool:
    """Whether this is the Application of that name; an empty namespace is Argo CD's own, which nobody knows here."""
    return app.metadata.name == name and namespace in ("", app.metadata.namespace)


def parent_of(app: Application, apps: Iterable[Application]) -> tuple[str, Application | None]:
    """The name of the Application that manages this one, and itself if it is there.

    By tracking id; else by the label that Argo CD may track by, if that Application lists this one (charts set the same
    label).
    """
    found = tracking_of(app.metadata)
    if found.kind == "Application":
        if is_called(app, found.app, found.app_namespace):
            return "", None
        return found.app, next((other for other in apps if is_called(other, found.app, found.app_namespace)), None)
    name, namespace = instance_of(app.metadata.labels.get("app.kubernetes.io/instance", ""))
    for other in apps:
        if name and is_called(other, name, namespace) and other is not app and _lists(other, app):
            return other.metadata.name, other
    return "", None


def _lists(parent: Application, app: Application) -> bool:
    return any(
        r.kind == "Application" and r.name == app.metadata.name and r.namespace in ("", app.metadata.namespace)
        for r in parent.status.resources
    )


def is_automated(app: Application) -> bool:
    """Whether Argo CD syncs this Application by itself."""
    automated = app.spec.sync_policy.automated
    return automated is not None and automated.enabled is not False


def heals(app: Application) -> bool:
    """Whether this Application reverts live edits of what it manages."""
    automated = app.spec.sync_policy.automated
    return is_automated(app) and automated is not None and automated.self_heal


def differing(app: Application) -> list[AppResource]:
    """Resources that are not as Git says, hooks left out."""
    return [r for r in app.status.resources if not r.hook and r.status != "Synced"]


def is_live(resource: AppResource) -> bool:
    """Whether Argo CD saw the object in the cluster. From 3.0 on it no longer says so for each object: then the
    difference alone is known, and what differs counts as there."""
    return resource.health is None or resource.health.status != "Missing"


def moved_at(state: OperationState) -> datetime | None:
    """When an operation last showed life: its last end of an attempt, else its begin."""
    times = [t for t in (state.started_at, state.finished_at) if t is not None]
    return max(times) if times else None


def is_stuck(app: Application, now: datetime) -> bool:
    """An operation that is there, says it runs, and has not moved for :data:`STUCK`."""
    state = app.status.operation_state
    if app.operation is None or state is None or state.phase != "Running":
        return False
    moved = moved_at(state)
    return moved is not None and now - moved > STUCK


def clean(text: str) -> str:
    """Text of the cluster for a sentence: bounded, credentials and control characters out."""
    return redact(text, 300)


def describe(resource: AppResource) -> str:
    """``missing``, or how it differs."""
    if resource.health is not None and resource.health.status == "Missing":
        return "missing"
    return resource.status or "unknown"


def belongs(name: str, base: str) -> bool:
    """Whether an object's name is the release's Grafana or derived from it."""
    return name == base or name.startswith(f"{base}-")


def marks(operation: Any) -> list[str]:
    """The marks of our runs in an operation."""
    info = operation.get("info") if isinstance(operation, dict) else None
    if not isinstance(info, list):
        return []
    return [str(i.get("value")) for i in info if isinstance(i, dict) and i.get("name") == INFO]


def initiator(operation: Any) -> str:
    """Who started an operation, for people."""
    by = operation.get("initiatedBy") if isinstance(operation, dict) else None
    if not isinstance(by, dict):
        return "somebody"
    return "Argo CD itself" if by.get("automated") else str(by.get("username") or "somebody")


def some(names: Sequence[str]) -> str:
    """The first four names and how many more."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
