"""Sync hooks: which objects of a source are hooks, of which phase, when they go, and how they have ended. Pure.

As in Argo CD: an object with `argocd.argoproj.io/hook`, or with a Helm hook that stands for a phase, is run and not
compared.
"""

from __future__ import annotations

from lab.controllers import meta
from lab.controllers.argocd import health, kinds
from lab.controllers.client import Object

HOOK, HELM_HOOK = "argocd.argoproj.io/hook", "helm.sh/hook"
_POLICY, _HELM_POLICY = "argocd.argoproj.io/hook-delete-policy", "helm.sh/hook-delete-policy"
_HELM_PHASES = {
    "pre-install": "PreSync",
    "pre-upgrade": "PreSync",
    "post-install": "PostSync",
    "post-upgrade": "PostSync",
    "post-delete": "PostDelete",
}
_HELM_POLICIES = {
    "before-hook-creation": "BeforeHookCreation",
    "hook-succeeded": "HookSucceeded",
    "hook-failed": "HookFailed",
}
RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"


def _words(obj: Object, note: str) -> list[str]:
    return [word.strip() for word in meta.notes(obj).get(note, "").split(",") if word.strip()]


def phases(obj: Object) -> tuple[str, ...]:
    """The phases that the object is a hook of; empty for what is no hook. Helm hooks without a phase are hooks too."""
    own = _words(obj, HOOK)
    if own:
        return tuple(own)
    helm = [word for word in _words(obj, HELM_HOOK) if word != "crd-install"]
    return tuple(dict.fromkeys(_HELM_PHASES.get(word, "Skip") for word in helm))


def is_hook(obj: Object) -> bool:
    return bool(phases(obj))


def policies(obj: Object) -> set[str]:
    """When the hook is deleted; without a policy before its next creation."""
    found = set(_words(obj, _POLICY)) or {_HELM_POLICIES.get(word, "") for word in _words(obj, _HELM_POLICY)}
    return found or {"BeforeHookCreation"}


def of_phase(hooks: list[Object], phase: str) -> list[Object]:
    """The hooks of one phase in their order."""
    return sorted((hook for hook in hooks if phase in phases(hook)), key=kinds.apply_order)


def wave(obj: Object) -> int:
    """The sync wave; for Helm hooks their weight."""
    weight = meta.notes(obj).get("helm.sh/hook-weight", "")
    return int(weight) if weight.lstrip("-").isdigit() else kinds.apply_order(obj)[0]


def outcome(live: Object) -> tuple[str, str]:
    """(phase, message) of a hook that is there: Jobs and pods run to an end, anything else is done when it exists."""
    if live["kind"] == "Pod":
        phase = (live.get("status") or {}).get("phase", "Pending")
        return {"Succeeded": SUCCEEDED, "Failed": FAILED}.get(phase, RUNNING), str(
            (live.get("status") or {}).get("message", "")
        )
    found = health.of(live) if live["kind"] == "Job" else None
    if found is None:
        return SUCCEEDED, ""
    word, message = found
    return {"Healthy": SUCCEEDED, "Degraded": FAILED}.get(word, RUNNING), message


def named(obj: Object) -> str:
    """A hook or resource as Argo CD's messages name it: group/Kind/name."""
    group, kind, _namespace, name = kinds.identity(obj)
    return f"{group}/{kind}/{name}"
