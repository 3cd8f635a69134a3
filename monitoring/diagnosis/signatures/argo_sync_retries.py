"""A2: a sync that Argo CD does not try again, and what has gone since."""

from __future__ import annotations

from integrations.kubernetes.custom import AppCondition, Application, AppResource, OperationState
from monitoring.checks.text import clean, count, listing
from monitoring.diagnosis.argo_words import FAILED, condition_of, facts, name_of, not_there, to_sync
from monitoring.diagnosis.base import Layer, Signature, event_line, finding, shown
from monitoring.diagnosis.owning import any_grafana, missing_of
from monitoring.diagnosis.scene import Scene, event_time
from monitoring.verdict import Finding


def gave_up(scene: Scene) -> Finding | None:
    """A2: auto-sync does not retry a (revision, source) whose last sync failed at its retry limit."""
    app = scene.application
    state = app.status.operation_state if app else None
    if app is None or state is None or app.status.sync.status != "OutOfSync" or app.operation is not None:
        return None
    if state.phase not in FAILED:
        return None
    error = condition_of(app, "SyncError")
    tried = state.sync_result.revision if state.sync_result else ""
    same = tried and tried == app.status.sync.revision
    if not same and not (error and "failed last sync attempt" in error.message[:4000].lower()):
        return None
    missing = missing_of(scene, app)
    retries = f" after {count(state.retry_count, 'retry', 'retries')}" if state.retry_count else ""
    at = shown(scene, state.finished_at)
    revision = clean(tried or app.status.sync.revision, 40)
    story = _what_is_missing(scene, state, missing)
    # a Grafana that is well needs no repair: it is only what the Application was looked at through
    grafana = any_grafana(missing) or (scene.kind == "grafana" and not scene.well)
    what = "Repair Grafana in place." if grafana else "Remove the quoted cause, then sync once by hand."
    return finding(
        "A2",
        "sync_failed_at_retry_limit",
        f"Argo CD gave up{retries}",
        f"The last sync of {name_of(app)} to {revision} failed{at}{retries}, and "
        f"Argo CD does not try the same revision again. {story}{what}",
        _gave_up_evidence(scene, app, state, error, missing),
        0.97 if error else 0.85,
        remedies=to_sync(app, grafana=grafana),
        at=state.finished_at,
    )


def _what_is_missing(scene: Scene, state: OperationState, missing: list[AppResource]) -> str:
    if not missing:
        return ""
    names = listing(f"{item.kind} {item.name}" for item in missing)
    verb = "was" if len(missing) == 1 else "were"
    if any(_was_there(state, item) for item in missing) or _removal(scene, missing[0].name):
        return f"The {names} {verb} removed afterwards, so nothing creates {'it' if len(missing) == 1 else 'them'}. "
    return f"The {names} {'is' if len(missing) == 1 else 'are'} not live, so it stays that way. "


def _was_there(state: OperationState, item: AppResource) -> bool:
    """The failed sync applied the object itself: it was live then."""
    rows = state.sync_result.resources or [] if state.sync_result else []
    return any((r.kind, r.name, r.status) == (item.kind, item.name, "Synced") for r in rows)


def _removal(scene: Scene, name: str) -> str:
    """The event that shows the last pod of the workload going, after the failed sync."""
    state = scene.application.status.operation_state if scene.application else None
    finished = state.finished_at if state else None
    found = [
        event
        for event in scene.events
        if event.involved_object.name.startswith(name)
        and event.reason in {"Killing", "SuccessfulDelete", "Deleted"}
        and finished is not None
        and (event_time(event) or finished) > finished
    ]
    return event_line(scene, found[-1]) if found else ""


def _gave_up_evidence(
    scene: Scene, app: Application, state: OperationState, error: AppCondition | None, missing: list[AppResource]
) -> list[str]:
    lines = facts(app, state, scene)
    if error is not None:
        lines.append(f"SyncError{shown(scene, error.last_transition_time)}: {clean(error.message, 300)}")
    lines += [not_there(item) for item in missing[:3]]
    rows = state.sync_result.resources or [] if state.sync_result else []
    lines += [
        f"syncResult: {r.kind} {r.name} {r.status}: {clean(r.message, 200)}" for r in rows if r.status == "SyncFailed"
    ][:2]
    lines += [
        f"syncResult: {item.kind} {item.name} was applied by that sync" for item in missing if _was_there(state, item)
    ][:2]
    removal = _removal(scene, missing[0].name) if missing else ""
    lines += [removal] if removal else []
    automated, retry = app.spec.sync_policy.automated, app.spec.sync_policy.retry
    if automated is not None and automated.self_heal:
        limit = f", retry limit {retry.limit}" if retry and retry.limit is not None else ""
        lines.append(f"selfHeal is on{limit}: it acts only after a sync that succeeded")
    return lines


SIGNATURES = (
    Signature(
        "A2",
        Layer.SYNC,
        "Argo CD does not try a revision again whose sync failed at its retry limit.",
        "https://github.com/argoproj/argo-cd/issues/18442",
        gave_up,
        follows=True,
    ),
)
