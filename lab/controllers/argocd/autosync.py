"""When Argo CD starts a sync by itself. Pure.

Only when OutOfSync and no operation runs; never again after a failed attempt at the same (revision, source); self-heal
only after a successful one, and then of the resources that differ alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.controllers import meta
from lab.controllers.argocd import kinds
from lab.controllers.argocd.compare import Comparison, source_of
from lab.controllers.client import Object

SELF_HEAL_SECONDS = 5.0
#: how often to look whether a sync window is over
_WINDOW_SECONDS = 20.0
_COMPLETED = ("Succeeded", "Failed", "Error")


@dataclass(frozen=True)
class Decision:
    """An operation to start, a condition to show, or a time to look again (demo seconds)."""

    operation: Object | None = None
    condition: Object | None = None
    wait: float | None = None


def completed(state: Object | None) -> bool:
    return bool(state and state.get("phase") in _COMPLETED)


def attempted(app: Object, revision: str) -> tuple[bool, str, str]:
    """(whether this revision of this source was tried already, its phase, its message)."""
    state = (app.get("status") or {}).get("operationState")
    result = (state or {}).get("syncResult")
    if not state or not result or not completed(state):
        return False, "", ""
    same = result.get("revision") == revision and result.get("source") == source_of(app)
    return same, str(state["phase"]), str(state.get("message", ""))


def decide(app: Object, found: Comparison, since_last: float, *, held: bool = False) -> Decision:
    """What auto-sync does now. `since_last` is the age of the last operation's end in demo seconds; `held`: a sync
    window holds it back, of which Argo CD writes nothing into the Application."""
    policy = app["spec"].get("syncPolicy") or {}
    automated = policy.get("automated")
    if automated is None or automated.get("enabled") is False:
        return Decision()
    if app.get("operation") or found.sync != "OutOfSync" or meta.deleting(app):
        return Decision()
    different = [resource for resource in found.resources if resource.out_of_sync]
    prune = bool(automated.get("prune"))
    if not prune and all(resource.desired is None for resource in different):
        return Decision()
    if held:
        return Decision(wait=_WINDOW_SECONDS)
    done, phase, message = attempted(app, found.revision)
    sync: Object = {"revision": found.revision, "prune": prune}
    if policy.get("syncOptions"):
        sync["syncOptions"] = list(policy["syncOptions"])
    if done and phase != "Succeeded":
        text = f"Failed last sync attempt to [{found.revision}]: {message}"
        return Decision(condition={"type": "SyncError", "message": text})
    if done:
        if not automated.get("selfHeal"):
            return Decision()
        if since_last < SELF_HEAL_SECONDS:
            return Decision(wait=SELF_HEAL_SECONDS - since_last)
        sync["resources"] = [_reference(resource.obj) for resource in different]
    wanted = [resource for resource in found.resources if resource.desired is not None]
    if prune and not wanted and different and not automated.get("allowEmpty"):
        text = "Skipping sync attempt to [" + found.revision + "]: auto-sync will wipe out all resources"
        return Decision(condition={"type": "SyncError", "message": text})
    retry = policy.get("retry") or {"limit": 5}
    return Decision(operation={"initiatedBy": {"automated": True}, "retry": retry, "sync": sync})


def _reference(obj: Object) -> Object:
    group, kind, namespace, name = kinds.identity(obj)
    reference: Object = {"kind": kind, "name": name}
    if group:
        reference["group"] = group
    if namespace:
        reference["namespace"] = namespace
    return reference
