"""What Argo CD says of an Application, in the lines and names that its signatures share."""

from __future__ import annotations

import re
from dataclasses import dataclass

from integrations.kubernetes.custom import AppCondition, Application, AppResource, OperationState
from monitoring.checks.argocd import APPLICATIONS
from monitoring.checks.text import clean
from monitoring.diagnosis.base import pattern, shown
from monitoring.diagnosis.remedies import HELM_VALUES, REPAIR, STANDALONE, SYNC, USE_PROMETHEUS, Remedy, remedy
from monitoring.diagnosis.scene import Scene

#: a running operation younger than this is no fault
PATIENCE = 120
BUSY = {"Running", "Terminating"}
FAILED = {"Failed", "Error"}


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of the controller that names a cause. ``offers``: slugs of remedies that take the Application."""

    id: str
    words: re.Pattern[str]
    cause: str
    title: str
    advice: str
    offers: tuple[str, ...] = ()


def said(number: str, words: str, cause: str, title: str, advice: str, *offers: str) -> Said:
    return Said(number, pattern(words), cause, title, advice, offers)


def name_of(app: Application) -> str:
    return clean(app.metadata.name, 80)


def for_app(app: Application, slug: str, **more: str) -> Remedy:
    """A remedy of this Application."""
    return remedy(slug, application=app.metadata.name, namespace=app.metadata.namespace, **more)


def cascades(app: Application) -> bool:
    """Whether its deletion takes what it manages with it.

    https://argo-cd.readthedocs.io/en/stable/user-guide/app_deletion/
    """
    return any(name.startswith("resources-finalizer.argocd.argoproj.io") for name in app.metadata.finalizers)


def for_grafana(app: Application) -> tuple[Remedy, ...]:
    """The ways to a Grafana that this Application renders, best first."""
    return (repair_of(app), remedy(STANDALONE), remedy(USE_PROMETHEUS))


def repair_of(app: Application | None) -> Remedy:
    """Repairing Grafana in place: it changes the values that a finding names (see the catalogue), then syncs."""
    if app is None:
        return remedy(REPAIR)
    return remedy(REPAIR, application=app.metadata.name, application_namespace=app.metadata.namespace)


def to_grafana(scene: Scene) -> tuple[Remedy, ...]:
    """:func:`for_grafana`, whether or not its Application is known."""
    apart = (remedy(STANDALONE), remedy(USE_PROMETHEUS))
    # repairing in place goes through an Application: without Argo CD there is none
    return (repair_of(scene.application), *apart) if scene.snapshot.serves(APPLICATIONS) else apart


def to_values(scene: Scene) -> tuple[Remedy, ...]:
    """Changing values of the chart that renders the scene's workload, where one does."""
    return (for_app(scene.application, HELM_VALUES),) if scene.application is not None else ()


def to_sync(app: Application, *, grafana: bool) -> tuple[Remedy, ...]:
    """What brings an Application to what Git says."""
    return for_grafana(app) if grafana else (for_app(app, SYNC),)


def facts(app: Application, state: OperationState | None, scene: Scene) -> list[str]:
    """The lines every Argo CD finding starts with."""
    reads = f"sync {app.status.sync.status or 'Unknown'}, health {app.status.health.status or 'Unknown'}"
    lines = [f"Application {app.metadata.namespace}/{name_of(app)}: {reads}"]
    if state is not None and state.phase:
        ended = f", finished{shown(scene, state.finished_at)}" if state.finished_at else ""
        retried = f", retryCount={state.retry_count}" if state.retry_count else ""
        lines.append(f"operationState.phase={state.phase}{retried}{ended}: {clean(state.message, 300)}")
    return lines


def condition_of(app: Application, *types: str) -> AppCondition | None:
    return next((found for found in app.status.conditions if found.type in types), None)


def old(scene: Scene, state: OperationState) -> bool:
    """Whether an operation began longer ago than patience."""
    return state.started_at is not None and (scene.now - state.started_at).total_seconds() > PATIENCE


def not_there(item: AppResource) -> str:
    """An object that an Application wants and that is not live, as evidence."""
    said = ", health Missing" if item.health is not None and item.health.status == "Missing" else ", not in the cluster"
    return f"status.resources: {clean(item.kind, 60)} {clean(item.name, 120)} {item.status}{said}"
