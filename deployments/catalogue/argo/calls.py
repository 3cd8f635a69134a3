"""Argo CD Applications: the exact patches that refresh, sync and terminate.

Facts (Argo CD's source, see the facts pages): an Application has no status subresource, so ``operation`` and
``status.operationState`` are written in one patch; a patch over a running operation merges into it, hence the guards;
a sync with ``resources`` skips hooks and makes no history entry; the API server copies ``syncOptions`` in, a bare patch
does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deployments.catalogue.action import MARK, Patch
from integrations.kubernetes.custom import Application, AppResource

APPLICATIONS = "applications.argoproj.io"
REFRESH = "argocd.argoproj.io/refresh"
#: where our mark stands in an operation's ``info`` list
INFO = "phaseboard"


def refresh_patch(mode: str = "hard") -> Patch:
    """Ask for a comparison; ``hard`` also drops the manifest cache."""
    return Patch("merge", {"metadata": {"annotations": {REFRESH: mode, MARK: "${run.mark}"}}})


def sync_patch(app: Application, resources: Sequence[AppResource], *, prune: bool = False) -> Patch:
    """One operation: these resources, or everything when there are none."""
    sync: dict[str, Any] = {
        "revision": "",
        "prune": prune,
        "dryRun": False,
        "syncStrategy": {"hook": {"force": False}},
        "syncOptions": list(app.spec.sync_policy.sync_options),
    }
    if resources:
        sync["resources"] = [
            {"group": r.group, "kind": r.kind, "namespace": r.namespace, "name": r.name} for r in resources
        ]
    return operation_patch(sync)


def operation_patch(sync: dict[str, Any]) -> Patch:
    """Ask for an operation and drop the state of the last one, in one write as the API server does."""
    operation = {
        "initiatedBy": {"username": "phaseboard:${run.user}"},
        "info": [{"name": INFO, "value": "${run.mark}"}],
        "retry": {"limit": 2, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "1m"}},
        "sync": sync,
    }
    body = {
        "metadata": {"annotations": {MARK: "${run.mark}"}},
        "operation": operation,
        "status": {"operationState": None},
    }
    return Patch("merge", body)


def clear_state_patch() -> Patch:
    """Drop the state of an operation that no longer exists (facts: A13)."""
    return Patch("merge", {"metadata": {"annotations": {MARK: "${run.mark}"}}, "status": {"operationState": None}})


def spec_patch(spec: dict[str, Any], annotations: dict[str, str | None] | None = None) -> Patch:
    """Change fields of the spec; ``null`` takes one out."""
    return Patch("merge", {"metadata": {"annotations": {MARK: "${run.mark}", **(annotations or {})}}, "spec": spec})


def terminate_patch() -> Patch:
    """Stop the running operation. Guarded by ``argocd_running``: without one it would leave a stale state (A13)."""
    return Patch(
        "merge",
        {
            "metadata": {"annotations": {MARK: "${run.mark}"}},
            "status": {"operationState": {"phase": "Terminating"}},
        },
    )
