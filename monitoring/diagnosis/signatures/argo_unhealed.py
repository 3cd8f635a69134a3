"""A1, A16: the last sync succeeded, and the cluster differs from Git all the same, for nothing acts on it."""

from __future__ import annotations

from integrations.kubernetes.custom import AppResource
from monitoring.checks.text import clean, count, listing
from monitoring.diagnosis.argo_words import facts, for_app, name_of, not_there, to_sync
from monitoring.diagnosis.base import Layer, Signature, finding, shown
from monitoring.diagnosis.owning import any_grafana, missing_of
from monitoring.diagnosis.remedies import SYNC
from monitoring.diagnosis.scene import Scene
from monitoring.verdict import Finding

_PAGE = "https://argo-cd.readthedocs.io/en/stable/"


def done_once(scene: Scene) -> Finding | None:
    """A1: the revision was synced, then an object went away or was changed, and nothing heals it."""
    app = scene.application
    state = app.status.operation_state if app else None
    if app is None or app.status.sync.status != "OutOfSync" or app.operation is not None:
        return None
    automated = app.spec.sync_policy.automated
    on = automated is not None and automated.enabled is not False
    if (on and automated is not None and automated.self_heal) or (state is not None and state.phase != "Succeeded"):
        return None
    tried = state.sync_result.revision if state is not None and state.sync_result else ""
    missing = missing_of(scene, app)
    changed = [i for i in app.status.resources if i.status == "OutOfSync" and not i.requires_pruning]
    if not missing and (not changed or (on and tried != app.status.sync.revision)):
        return None  # automatic sync is about to act on a new revision
    why = "selfHeal is off" if on else "automatic sync is off"
    at = shown(scene, state.finished_at if state else None)
    gone = missing or changed
    plural = len(gone) > 1
    what = f"{'were' if plural else 'was'} removed" if missing else f"{'differ' if plural else 'differs'} from Git"
    stays = "stay" if plural else "stays"
    end = "away. Sync what is missing." if missing else "so. Look at what differs, then sync."
    return finding(
        "A1",
        "not_healed" if missing else "drift_not_healed",
        "Argo CD does not create what was removed" if missing else "Argo CD does not apply what differs",
        f"{listing(f'{item.kind} {item.name}' for item in gone)} {what} after the last sync{at}, and {why}, so "
        f"{'they' if plural else 'it'} {stays} {end}",
        (
            *facts(app, state, scene),
            f"spec.syncPolicy: {why}",
            *(not_there(item) for item in missing[:3]),
            *_drift(changed),
        ),
        0.9 if missing else 0.8,
        remedies=to_sync(app, grafana=any_grafana(missing)),
        at=state.finished_at if state else None,
    )


def _drift(changed: list[AppResource]) -> list[str]:
    return [f"status.resources: {clean(i.kind, 60)} {clean(i.name, 120)} OutOfSync" for i in changed[:4]]


def only_pruning(scene: Scene) -> Finding | None:
    """A16: everything Git wants is live as it should be; what Git no longer has is still there."""
    app = scene.application
    if app is None or app.status.sync.status != "OutOfSync" or app.operation is not None:
        return None
    drift = [item for item in app.status.resources if item.status == "OutOfSync"]
    if not drift or not all(item.requires_pruning for item in drift):
        return None
    automated = app.spec.sync_policy.automated
    why = "pruning is off" if automated is None or not automated.prune else "they were not pruned"
    return finding(
        "A16",
        "only_pruning",
        "What Git no longer has is still there",
        f"{name_of(app)} differs from Git only by {count(len(drift), 'object')} that Git no longer has: "
        f"{listing(f'{item.kind} {item.name}' for item in drift)}; {why}. Look at the list, then sync with pruning.",
        (*facts(app, None, scene), *(f"status.resources: {i.kind} {i.name} requiresPruning" for i in drift[:6])),
        0.93,
        remedies=(for_app(app, SYNC, prune="on"),),
    )


SIGNATURES = (
    Signature(
        "A1",
        Layer.SYNC,
        "An object was removed after a sync, and nothing heals it.",
        f"{_PAGE}user-guide/auto_sync/#automatic-self-healing",
        done_once,
        follows=True,
    ),
    Signature(
        "A16",
        Layer.SYNC,
        "An Application differs from Git only by what is to be pruned.",
        f"{_PAGE}user-guide/auto_sync/#automatic-pruning",
        only_pruning,
    ),
)
