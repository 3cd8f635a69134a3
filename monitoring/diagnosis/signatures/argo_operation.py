"""A3 to A6, A13, A14: an operation that waits, is stale, or is not begun (argo-cd controller/sync.go, gitops)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from monitoring.checks.text import clean, phrase
from monitoring.diagnosis.argo_words import BUSY, PATIENCE, Said, facts, for_app, name_of, old, said
from monitoring.diagnosis.base import Layer, Signature, finding, from_then, older, says, shown
from monitoring.diagnosis.owning import hooks_of
from monitoring.diagnosis.remedies import CLEAR_HOOK, CLEAR_OPERATION, SYNC, TERMINATE
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Need, Objects
from monitoring.verdict import Finding

JOBS = "jobs.batch"

_FOLLOWING = (
    said(
        "A3",
        r"waiting for completion of hook",
        "hook_does_not_end",
        "A sync waits for a hook that does not end",
        "Read the hook's Job; end the operation, delete the Job, then sync.",
        CLEAR_HOOK,
        TERMINATE,
    ),
    said(
        "A4",
        r"waiting for healthy state of",
        "waits_for_health",
        "A sync waits for an object that does not get healthy",
        "Repair that workload, or end the operation.",
        TERMINATE,
    ),
)
_OWN = (
    said(
        "A5",
        r"waiting for (?:deletion|pruning|pruning confirmation|pruning of|deletion of)",
        "waits_for_deletion",
        "A sync waits for something to be deleted",
        "Look at its finalizer, or confirm the deletion.",
        TERMINATE,
    ),
    said(
        "A6",
        r"blocked by (?:a )?sync window|sync window|cannot sync: blocked",
        "sync_window",
        "A sync window holds the sync back",
        "Wait for its end; the window is there on purpose.",
    ),
)
_REFERENCES = {
    "A3": "https://github.com/argoproj/argo-cd/issues/6880",
    "A4": "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/",
    "A5": "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/#resource-pruning-with-confirmation",
    "A6": "https://argo-cd.readthedocs.io/en/stable/user-guide/sync_windows/",
}


def stale_state(scene: Scene) -> Finding | None:
    """A13: the state says Running and no operation is there to run."""
    app = scene.application
    state = app.status.operation_state if app else None
    if app is None or state is None or state.phase not in BUSY or app.operation is not None or not old(scene, state):
        return None
    return finding(
        "A13",
        "stale_operation_state",
        "Argo CD shows an operation that no longer exists",
        f"The state of {name_of(app)} says {state.phase}{from_then(scene, state.started_at)} "
        "and there is no operation, so no sync can start. Clear status.operationState, then sync.",
        (*facts(app, state, scene), ".operation is absent"),
        0.9,
        remedies=(for_app(app, CLEAR_OPERATION), for_app(app, SYNC)),
        at=state.started_at,
    )


def not_picked_up(scene: Scene) -> Finding | None:
    """A14: an operation was asked for and the controller does not begin."""
    app = scene.application
    if app is None or app.operation is None:
        return None
    state = app.status.operation_state
    seen = app.status.reconciled_at
    silent = seen is not None and (scene.now - seen).total_seconds() > PATIENCE
    if not silent or (state is not None and state.phase in BUSY and not state.finished_at):
        return None
    return finding(
        "A14",
        "controller_does_not_act",
        "Argo CD's controller does not act",
        f"An operation on {name_of(app)} waits and its controller last looked at it{shown(scene, seen)}. "
        "Look at the StatefulSet argocd-application-controller and at redis.",
        (*facts(app, state, scene), f"status.reconciledAt{shown(scene, seen)}, .operation is set"),
        0.8,
        at=seen,
    )


def _running(scene: Scene, rows: tuple[Said, ...]) -> Finding | None:
    app = scene.application
    state = app.status.operation_state if app else None
    if app is None or state is None or app.operation is None or state.phase != "Running" or not old(scene, state):
        return None
    for entry in rows:
        if says(entry.words, state.message):
            return finding(
                entry.id,
                entry.cause,
                entry.title,
                f"The sync of {name_of(app)} runs{from_then(scene, state.started_at)}: "
                f"{phrase(state.message)}. {entry.advice}",
                facts(app, state, scene),
                0.85,
                remedies=[for_app(app, slug) for slug in entry.offers],
                at=state.started_at,
                reference=_REFERENCES[entry.id],
            )
    return None


def hook_needs(scene: Scene) -> Iterable[Need]:
    """The Jobs among which a hook should be."""
    yield from (Objects(JOBS, namespace) for namespace, _ in hooks_of(scene.application))


def waits(scene: Scene) -> Finding | None:
    """A3, A4: for a hook or a workload, whose own trouble is told first."""
    found = _running(scene, _FOLLOWING)
    if found is None or found.id != "A3":
        return found
    for namespace, name in hooks_of(scene.application):
        if scene.known(JOBS, namespace) and all(job.metadata.name != name for job in scene.read(JOBS, namespace)):
            gone = f"There is no Job {clean(name, 120)} any more, so it would wait for ever."
            return msgspec.structs.replace(
                found,
                sentence=found.sentence.replace("Read the hook's Job; end", f"{gone} End").replace(
                    ", delete the Job, then", ", then"
                ),
                evidence=(*found.evidence, f"no Job {clean(name, 120)} in {clean(namespace, 63)}"),
                confidence=0.95,
            )
    return found


def held(scene: Scene) -> Finding | None:
    """A5, A6."""
    return _running(scene, _OWN)


def endless(scene: Scene) -> Finding | None:
    """A4: it runs for long, and says what it does in words no row knows."""
    app = scene.application
    state = app.status.operation_state if app else None
    if app is None or state is None or app.operation is None or state.phase not in BUSY:
        return None
    if not older(scene, state.started_at, _LONG) or any(says(row.words, state.message) for row in (*_FOLLOWING, *_OWN)):
        return None
    return finding(
        "A4",
        "operation_runs_long",
        "An operation of Argo CD runs for long",
        f"The operation of {name_of(app)} runs{from_then(scene, state.started_at)} and says: "
        f"{phrase(state.message) or 'nothing'}. Look at its resources, or end it.",
        facts(app, state, scene),
        0.5,
        remedies=(for_app(app, TERMINATE),),
        at=state.started_at,
    )


_PAGE = "https://argo-cd.readthedocs.io/en/stable/"
#: long for any sync: ten minutes with the five retries of a policy
_LONG = 900
SIGNATURES = (
    Signature(
        "A13",
        Layer.SYNC,
        "The state says an operation runs, and there is none.",
        f"{_PAGE}user-guide/commands/argocd_app_terminate-op/",
        stale_state,
    ),
    Signature(
        "A14",
        Layer.SYNC,
        "An operation waits and the controller does not begin it.",
        f"{_PAGE}operator-manual/high_availability/#argocd-application-controller",
        not_picked_up,
        follows=True,
    ),
    Signature(
        "A3",
        Layer.SYNC,
        "A sync waits for a hook (A3) or for a workload's health (A4).",
        _REFERENCES["A3"],
        waits,
        hook_needs,
        follows=True,
    ),
    Signature("A5", Layer.SYNC, "A sync waits for a deletion (A5) or a sync window (A6).", _REFERENCES["A6"], held),
    Signature(
        "A4",
        Layer.LAST,
        "An operation of Argo CD runs for long, and nothing says what for.",
        _REFERENCES["A4"],
        endless,
        follows=True,
    ),
)
