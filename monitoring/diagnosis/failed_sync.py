"""Why Argo CD does not try again: a sync that failed at its retry limit, or one that is done and not healed."""

from __future__ import annotations

from integrations.kubernetes.custom import AppCondition, Application, AppResource, OperationState
from monitoring.checks.argocd import not_live
from monitoring.checks.text import clean, count, listing, phrase
from monitoring.diagnosis.argocd import condition_of, facts, name_of, said
from monitoring.diagnosis.scene import Scene, event_time
from monitoring.diagnosis.signature import (
    ARGO,
    REPAIR,
    STANDALONE,
    SYNC,
    USE_PROMETHEUS,
    Signature,
    event_line,
    iso,
    shown,
)
from monitoring.verdict import Finding

FAILED = {"Failed", "Error"}
_SYNC = (
    said(
        "A7",
        r"Too long: (?:must have|may not be) (?:at most|more than) \d+ bytes",
        "annotation_too_long",
        "An object is too large for client-side apply",
        "Set syncOptions ServerSideApply=true.",
    ),
    said(
        "A8",
        r"could not find .{1,200} Make sure the",
        "crd_missing",
        "A resource kind is not installed",
        "Install its CRD first; look whether the CRD itself failed to apply.",
    ),
    said(
        "A15",
        r"auto-sync will wipe out all resources",
        "would_wipe_out",
        "The source renders nothing",
        "Correct the source; Argo CD refuses to delete everything.",
    ),
)


def quoted(scene: Scene) -> Finding | None:
    """A7, A8, A15: the failed sync names its cause itself."""
    app = scene.application
    if app is None or app.status.sync.status != "OutOfSync":
        return None
    state = app.status.operation_state
    rows = state.sync_result.resources or [] if state and state.phase in FAILED and state.sync_result else []
    texts = [row.message for row in rows if row.status == "SyncFailed"]
    texts += [state.message] if state and state.phase in FAILED else []
    error = condition_of(app, "SyncError")
    texts += [error.message] if error else []
    for entry in _SYNC:
        text = next((text for text in texts if entry.words.search(text)), "")
        if text:
            return Finding(
                id=entry.id,
                cause=entry.cause,
                title=entry.title,
                sentence=f"The sync of {name_of(app)} fails: {phrase(text)}. {entry.advice}",
                evidence=tuple(facts(app, state, scene)),
                confidence=0.98,
                remedies=entry.remedies,
                at=iso(state.finished_at if state else None),
            )
    return None


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
    if not same and not (error and "failed last sync attempt" in error.message.lower()):
        return None
    missing = not_live(app)
    retries = f" after {count(state.retry_count, 'retry', 'retries')}" if state.retry_count else ""
    at = shown(scene, state.finished_at)
    revision = clean(tried or app.status.sync.revision, 40)
    story = _what_is_missing(scene, state, missing)
    grafana = scene.kind == "grafana" or any(_is_grafana(item) for item in missing)
    what = "Repair Grafana in place." if grafana else "Remove the quoted cause, then sync once by hand."
    return Finding(
        id="A2",
        cause="sync_failed_at_retry_limit",
        title=f"Argo CD gave up{retries}",
        sentence=f"The last sync of {name_of(app)} to {revision} failed{at}{retries}, and "
        f"Argo CD does not try the same revision again. {story}{what}",
        evidence=tuple(_gave_up_evidence(scene, app, state, error, missing)),
        confidence=0.97 if error else 0.85,
        remedies=(REPAIR, STANDALONE, USE_PROMETHEUS) if grafana else (SYNC,),
        reference="argo-cd: Failed last sync attempt",
        at=iso(state.finished_at),
    )


def _is_grafana(item: AppResource) -> bool:
    return item.name == "grafana" or item.name.endswith("-grafana")


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
    lines += [f"status.resources: {item.kind} {item.name} {item.status}, health Missing" for item in missing[:3]]
    rows = state.sync_result.resources or [] if state.sync_result else []
    lines += [
        f"syncResult: {r.kind} {r.name} {r.status}: {clean(r.message, 200)}" for r in rows if r.status == "SyncFailed"
    ][:2]
    lines += [
        f"syncResult: {item.kind} {item.name} was applied by that sync" for item in missing if _was_there(state, item)
    ]
    removal = _removal(scene, missing[0].name) if missing else ""
    lines += [removal] if removal else []
    automated, retry = app.spec.sync_policy.automated, app.spec.sync_policy.retry
    if automated is not None and automated.self_heal:
        limit = f", retry limit {retry.limit}" if retry and retry.limit is not None else ""
        lines.append(f"selfHeal is on{limit}: it acts only after a sync that succeeded")
    return lines


def done_once(scene: Scene) -> Finding | None:
    """A1: the revision was synced, an object went away, and nothing heals it."""
    app = scene.application
    state = app.status.operation_state if app else None
    if app is None or app.status.sync.status != "OutOfSync" or app.operation is not None:
        return None
    automated = app.spec.sync_policy.automated
    heals = automated is not None and automated.self_heal and automated.enabled is not False
    missing = not_live(app)
    if heals or not missing or (state is not None and state.phase != "Succeeded"):
        return None
    names = listing(f"{item.kind} {item.name}" for item in missing)
    why = "selfHeal is off" if automated is not None else "automatic sync is off"
    grafana = any(_is_grafana(item) for item in missing)
    return Finding(
        id="A1",
        cause="not_healed",
        title="Argo CD does not create what was removed",
        sentence=f"{names} {'was' if len(missing) == 1 else 'were'} removed after the last sync"
        f"{shown(scene, state.finished_at if state else None)}, and {why}, so it stays away. Sync what is missing.",
        evidence=(*facts(app, state, scene), f"spec.syncPolicy: {why}"),
        confidence=0.9,
        remedies=(REPAIR, STANDALONE, USE_PROMETHEUS) if grafana else (SYNC,),
        at=iso(state.finished_at if state else None),
    )


SIGNATURES = tuple(Signature(ARGO, find) for find in (quoted, gave_up, done_once))
