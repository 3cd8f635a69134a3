"""A21: an Application that is not healthy, and no workload of it shows why."""

from __future__ import annotations

from monitoring.checks.text import clean, listing, phrase
from monitoring.diagnosis.argo_words import facts, for_app, name_of
from monitoring.diagnosis.base import Layer, Signature, finding, older
from monitoring.diagnosis.remedies import REFRESH
from monitoring.diagnosis.scene import Scene
from monitoring.verdict import Finding

_ILL = {"Degraded", "Missing", "Unknown"}
#: a health check that waits this long waits for something
_LONG = 900


def find(scene: Scene) -> Finding | None:
    app = scene.application
    if app is None or app.metadata.deletion_timestamp is not None or app.operation is not None:
        return None
    if scene.kind != "application" and not scene.well:
        return None  # the workload itself is not well yet
    health = app.status.health
    state = app.status.operation_state
    slow = health.status == "Progressing" and state is not None and older(scene, state.finished_at, _LONG)
    if health.status not in _ILL and not slow:
        return None
    ill = [item for item in app.status.resources if item.health and item.health.status in {*_ILL, "Progressing"}]
    told = next((item.health.message for item in ill if item.health and item.health.message), health.message)
    names = listing(f"{item.kind} {item.name}" for item in ill)
    return finding(
        "A21",
        "application_unhealthy",
        "The Application is not healthy, and no workload of it shows why",
        f"{name_of(app)} reads {health.status}{f' for {names}' if names else ''}"
        f"{f': {phrase(told, 200)}' if told else ''}. Nothing known fits: look at that object's own status and events.",
        (
            *facts(app, state, scene),
            *(
                f"{clean(i.kind, 60)} {clean(i.name, 120)}: {i.health.status}"
                f"{f': {clean(i.health.message, 200)}' if i.health.message else ''}"
                for i in ill[:5]
                if i.health
            ),
        ),
        0.3,
        remedies=(for_app(app, REFRESH),),
    )


SIGNATURES = (
    Signature(
        "A21",
        Layer.LAST,
        "An Application is not healthy, and no workload of it shows why.",
        "https://argo-cd.readthedocs.io/en/stable/operator-manual/health/",
        find,
        follows=True,
    ),
)
