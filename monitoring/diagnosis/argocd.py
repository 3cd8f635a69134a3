"""Why Argo CD does not bring an Application to what Git says. Read from the Application alone.

The controller's own words are matched: argo-cd controller/appcontroller.go, sync.go and gitops-engine's sync context.
The message of a running operation that is younger than two minutes is no fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from integrations.kubernetes.custom import AppCondition, Application, OperationState
from monitoring.checks.text import clean, listing, phrase
from monitoring.diagnosis.scene import Scene
from monitoring.diagnosis.signature import (
    ARGO,
    UNSTICK,
    Signature,
    from_then,
    iso,
    shown,
)
from monitoring.verdict import Finding

_PATIENCE = 120
_BUSY = {"Running", "Terminating"}


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence of the controller that names a cause."""

    id: str
    words: re.Pattern[str]
    cause: str
    title: str
    advice: str
    remedies: tuple[str, ...] = ()


def said(number: str, words: str, cause: str, title: str, advice: str, *remedies: str) -> Said:
    return Said(number, re.compile(words, re.IGNORECASE), cause, title, advice, remedies)


_RUNNING = (
    said(
        "A3",
        r"waiting for completion of hook",
        "hook_does_not_end",
        "A sync waits for a hook that does not end",
        "Read the hook's Job; end the operation, delete the Job, then sync.",
        UNSTICK,
    ),
    said(
        "A4",
        r"waiting for healthy state of",
        "waits_for_health",
        "A sync waits for an object that does not get healthy",
        "Repair that workload, or end the operation.",
        UNSTICK,
    ),
    said(
        "A5",
        r"waiting for (?:deletion|pruning confirmation) of",
        "waits_for_deletion",
        "A sync waits for something to be deleted",
        "Look at its finalizer, or confirm the deletion.",
    ),
    said(
        "A6",
        r"blocked by sync window",
        "sync_window",
        "A sync window holds the sync back",
        "Wait for its end; the window is there on purpose.",
    ),
)
_COMPARISON = (
    said(
        "A11",
        r"authentication required|repository not found|x509|unable to resolve|timeout|connection refused|"
        r"permission denied|i/o timeout",
        "repository_unreachable",
        "Argo CD cannot read the repository",
        "Correct its credentials, certificate or the way there, then refresh.",
    ),
    said(
        "A10",
        r"failed to generate manifest|failed to load target state|helm template",
        "cannot_render",
        "Argo CD cannot render the manifests",
        "Correct what the message names in Git, then refresh.",
    ),
)


def name_of(app: Application) -> str:
    return clean(app.metadata.name, 80)


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


def deleting(scene: Scene) -> Finding | None:
    """A18: deletion asked for, finalizers remain."""
    app = scene.application
    if app is None or app.metadata.deletion_timestamp is None or not app.metadata.finalizers:
        return None
    at = app.metadata.deletion_timestamp
    error = condition_of(app, "DeletionError")
    return Finding(
        id="A18",
        cause="deletion_hangs",
        title="The Application is being deleted",
        sentence=f"{name_of(app)} is being deleted{from_then(scene, at)} and waits for "
        f"{listing(app.metadata.finalizers)}. Look at the objects that do not go.",
        evidence=(
            f"metadata.deletionTimestamp{shown(scene, at)}, finalizers {listing(app.metadata.finalizers)}",
            *((f"DeletionError: {clean(error.message)}",) if error else ()),
        ),
        confidence=0.95,
        at=iso(at),
    )


def invalid(scene: Scene) -> Finding | None:
    """A12: the AppProject or the destination does not admit it."""
    app = scene.application
    found = condition_of(app, "InvalidSpecError") if app else None
    if app is None or found is None:
        return None
    return Finding(
        id="A12",
        cause="not_permitted",
        title="The AppProject does not admit the Application",
        sentence=f"Argo CD refuses the spec of {name_of(app)}: {phrase(found.message)}. Correct either.",
        evidence=(*facts(app, None, scene), f"InvalidSpecError: {clean(found.message, 300)}"),
        confidence=0.95,
        at=iso(found.last_transition_time),
    )


def cannot_compare(scene: Scene) -> Finding | None:
    """A10, A11: no target state."""
    app = scene.application
    found = condition_of(app, "ComparisonError") if app else None
    if app is None or found is None:
        return None
    entry = next((s for s in _COMPARISON if s.words.search(found.message)), _COMPARISON[-1])
    return Finding(
        id=entry.id,
        cause=entry.cause,
        title=entry.title,
        sentence=f"{entry.title}{from_then(scene, found.last_transition_time)}: {phrase(found.message)}. "
        f"{entry.advice}",
        evidence=(*facts(app, None, scene), f"ComparisonError: {clean(found.message, 300)}"),
        confidence=0.95 if entry.words.search(found.message) else 0.7,
        remedies=entry.remedies,
        at=iso(found.last_transition_time),
    )


def _old(scene: Scene, state: OperationState) -> bool:
    return state.started_at is not None and (scene.now - state.started_at).total_seconds() > _PATIENCE


def stale_state(scene: Scene) -> Finding | None:
    """A13: the state says Running and no operation is there to run."""
    app = scene.application
    state = app.status.operation_state if app else None
    if app is None or state is None or state.phase not in _BUSY or app.operation is not None or not _old(scene, state):
        return None
    return Finding(
        id="A13",
        cause="stale_operation_state",
        title="Argo CD shows an operation that no longer exists",
        sentence=f"The state of {name_of(app)} says {state.phase}{from_then(scene, state.started_at)} "
        "and there is no operation, so no sync can start. Clear status.operationState, then sync.",
        evidence=(*facts(app, state, scene), ".operation is absent"),
        confidence=0.9,
        remedies=(UNSTICK,),
        at=iso(state.started_at),
    )


def not_picked_up(scene: Scene) -> Finding | None:
    """A14: an operation was asked for and the controller does not begin."""
    app = scene.application
    if app is None or app.operation is None:
        return None
    state = app.status.operation_state
    seen = app.status.reconciled_at
    silent = seen is not None and (scene.now - seen).total_seconds() > _PATIENCE
    if not silent or (state is not None and state.phase in _BUSY and not state.finished_at):
        return None
    return Finding(
        id="A14",
        cause="controller_does_not_act",
        title="Argo CD's controller does not act",
        sentence=f"An operation on {name_of(app)} waits and its controller last looked at it{shown(scene, seen)}. "
        "Look at the StatefulSet argocd-application-controller and at redis.",
        evidence=(*facts(app, state, scene), f"status.reconciledAt{shown(scene, seen)}, .operation is set"),
        confidence=0.8,
        at=iso(seen),
    )


def running(scene: Scene) -> Finding | None:
    """A3 to A6: a sync that waits for something."""
    app = scene.application
    state = app.status.operation_state if app else None
    if app is None or state is None or app.operation is None or state.phase != "Running" or not _old(scene, state):
        return None
    for entry in _RUNNING:
        if entry.words.search(state.message):
            return Finding(
                id=entry.id,
                cause=entry.cause,
                title=entry.title,
                sentence=f"The sync of {name_of(app)} runs{from_then(scene, state.started_at)}: "
                f"{phrase(state.message)}. {entry.advice}",
                evidence=tuple(facts(app, state, scene)),
                confidence=0.85,
                remedies=entry.remedies,
                at=iso(state.started_at),
            )
    return None


SIGNATURES = tuple(
    Signature(ARGO, find)
    for find in (
        deleting,
        invalid,
        cannot_compare,
        stale_state,
        not_picked_up,
        running,
    )
)
