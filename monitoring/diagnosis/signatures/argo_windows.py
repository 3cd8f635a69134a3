"""A6: an Application differs from Git, Argo CD would sync it by itself, and a sync window of its project holds it back.

Argo CD writes nothing about it into the Application (argo-cd controller/appcontroller.go, autoSync: only a line of its
log), so the windows themselves are read.
"""

from __future__ import annotations

from collections.abc import Iterable

from integrations.kubernetes.custom import Application, AppProject
from monitoring.checks import sync_windows
from monitoring.checks.text import clean, listing
from monitoring.diagnosis.argo_words import BUSY, FAILED, facts, for_app, name_of
from monitoring.diagnosis.base import Layer, Signature, finding
from monitoring.diagnosis.remedies import SYNC
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Need, Objects
from monitoring.verdict import Finding

PROJECTS = "appprojects.argoproj.io"


def needs(scene: Scene) -> Iterable[Need]:
    app = scene.application
    if app is not None and _would_sync(app):
        yield Objects(PROJECTS, app.metadata.namespace)


def _would_sync(app: Application) -> bool:
    """Whether Argo CD has something to sync, is told to, and has not failed at it."""
    automated, state = app.spec.sync_policy.automated, app.status.operation_state
    told = automated is not None and automated.enabled is not False
    busy = app.operation is not None or (state is not None and state.phase in {*BUSY, *FAILED})
    return app.status.sync.status == "OutOfSync" and told and not busy


def held(scene: Scene) -> Finding | None:
    app = scene.application
    if app is None or not _would_sync(app) or not scene.known(PROJECTS, app.metadata.namespace):
        return None
    projects: list[AppProject] = scene.read(PROJECTS, app.metadata.namespace)
    name = app.spec.project or "default"
    project = next((each for each in projects if each.metadata.name == name), None)
    why = sync_windows.holds(project.spec.sync_windows, app, scene.now) if project is not None else ""
    if project is None or not why:
        return None
    differ = [f"{item.kind} {item.name}" for item in app.status.resources if item.status == "OutOfSync"]
    by_hand = not sync_windows.closed_by(project.spec.sync_windows, app, scene.now)
    return finding(
        "A6",
        "sync_window",
        "A sync window holds the sync back",
        f"{name_of(app)} differs from Git and Argo CD does not sync it by itself: {why} "
        + ("A person may sync all the same; else wait for its end." if by_hand else "Wait for its end.")
        + " The window is there on purpose.",
        (
            *facts(app, None, scene),
            f"AppProject {clean(name, 80)}: {why}",
            f"OutOfSync: {listing(differ)}" if differ else "",
        ),
        0.9,
        remedies=(for_app(app, SYNC),) if by_hand else (),
    )


SIGNATURES = (
    Signature(
        "A6",
        Layer.SYNC,
        "Argo CD does not sync by itself what differs, for a sync window of the project holds it back.",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/sync_windows/",
        held,
        needs,
    ),
)
