"""Argo CD Applications: the patches that refresh, sync and terminate, and what to wait for after each.

Facts (Argo CD's source, see the facts pages): an Application has no status subresource, so ``operation`` and
``status.operationState`` are written in one patch; a patch over a running operation merges into it, hence the guards;
a sync with ``resources`` skips hooks and makes no history entry; the API server copies ``syncOptions`` in, a bare patch
does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from deployments.catalogue.action import MARK, Patch
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.custom import Application, AppResource, OperationState
from monitoring.snapshot import Need, Objects, Snapshot

APPLICATIONS = "applications.argoproj.io"
REFRESH = "argocd.argoproj.io/refresh"
TRACKING = "argocd.argoproj.io/tracking-id"
#: where our mark stands in an operation's ``info`` list
INFO = "phaseboard"
#: an operation that has not moved for so long is stuck
STUCK = timedelta(minutes=15)
#: more objects than this are counted by kind in the log
_LINES = 12


# -- patches


def refresh_patch(mode: str = "hard") -> Patch:
    """Ask for a comparison; ``hard`` also drops the manifest cache."""
    return Patch("merge", {"metadata": {"annotations": {REFRESH: mode, MARK: "${run.mark}"}}})


def sync_patch(app: Application, resources: Sequence[AppResource]) -> Patch:
    """One operation: these resources, or everything when there are none. Never prunes."""
    sync: dict[str, Any] = {
        "revision": "",
        "prune": False,
        "dryRun": False,
        "syncStrategy": {"hook": {"force": False}},
        "syncOptions": list(app.spec.sync_policy.sync_options),
    }
    if resources:
        sync["resources"] = [
            {"group": r.group, "kind": r.kind, "namespace": r.namespace, "name": r.name} for r in resources
        ]
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


def terminate_patch() -> Patch:
    """Stop the running operation. Guarded by :func:`running`: without a live operation it would leave a stale state."""
    return Patch(
        "merge",
        {
            "metadata": {"annotations": {MARK: "${run.mark}"}},
            "status": {"operationState": {"phase": "Terminating"}},
        },
    )


# -- reading


def application_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """Applications of the namespace in question."""
    return (Objects(APPLICATIONS, args["namespace"]),)


def _application(snapshot: Snapshot, args: Mapping[str, Any]) -> Application | None:
    found = snapshot.get(APPLICATIONS, args["namespace"], args["name"])
    return found if isinstance(found, Application) else None


def _gone(args: Mapping[str, Any]) -> Seen:
    return Seen(Outlook.REFUSED, f"Application {args['name']} is not there any more.")


def parent_of(app: Application, apps: Iterable[Application]) -> tuple[str, Application | None]:
    """The name of the Application that manages this one (by tracking id or label), and itself if it is there."""
    tracking = app.metadata.annotations.get(TRACKING, "")
    name = tracking.partition(":")[0] if ":argoproj.io/Application:" in tracking else ""
    name = name or app.metadata.labels.get("app.kubernetes.io/instance", "")
    if not name or name == app.metadata.name:
        return "", None
    return name, next((other for other in apps if other.metadata.name == name), None)


def heals(app: Application) -> bool:
    """Whether this Application reverts live edits of what it manages."""
    automated = app.spec.sync_policy.automated
    return automated is not None and automated.enabled is not False and automated.self_heal


def differing(app: Application) -> list[AppResource]:
    """Resources that are not as Git says, hooks left out."""
    return [r for r in app.status.resources if not r.hook and r.status != "Synced"]


def moved_at(state: OperationState) -> datetime | None:
    """When an operation last showed life: its last end of an attempt, else its begin."""
    times = [t for t in (state.started_at, state.finished_at) if t is not None]
    return max(times) if times else None


def is_stuck(app: Application, now: datetime) -> bool:
    """An operation that is there, says it runs, and has not moved for :data:`STUCK`."""
    state = app.status.operation_state
    if app.operation is None or state is None or state.phase != "Running":
        return False
    moved = moved_at(state)
    return moved is not None and now - moved > STUCK


# -- conditions


def idle(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """No operation is requested or running, and the Application is not being deleted."""
    app = _application(snapshot, args)
    if app is None:
        return _gone(args)
    if app.metadata.deletion_timestamp is not None:
        return Seen(Outlook.REFUSED, f"Application {args['name']} is being deleted.")
    if app.operation is None:
        return Seen(Outlook.MET, f"No operation of {args['name']} is running.")
    who = _initiator(app.operation)
    return Seen(Outlook.NOT_YET, f"Waiting for the operation that {who} started to end.")


def running(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """An operation is there and runs: only then may it be terminated."""
    app = _application(snapshot, args)
    if app is None:
        return _gone(args)
    state = app.status.operation_state
    if app.operation is not None and state is not None and state.phase == "Running":
        return Seen(Outlook.MET, f"An operation of {args['name']} is running.")
    return Seen(Outlook.REFUSED, "The operation to terminate has ended by itself; make a new plan.")


def refreshed(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """Argo CD took the refresh annotation away and compared again since we wrote it."""
    app = _application(snapshot, args)
    if app is None:
        return _gone(args)
    at = app.status.reconciled_at
    before = memory.get("reconciled_at")
    remembered = dict(memory) if before is not None else {"reconciled_at": at.isoformat() if at else ""}
    if REFRESH in app.metadata.annotations:
        return Seen(Outlook.NOT_YET, "Waiting for Argo CD to compare with Git again.", memory=remembered)
    began = memory.get("effect_at")
    # reconciledAt has whole seconds: a comparison in the second of our own write counts
    fresh = at is not None and began is not None and at >= datetime.fromisoformat(began).replace(microsecond=0)
    if at is not None and (fresh or (before is not None and at.isoformat() != before)):
        line = f"compared with Git at {at:%H:%M:%S}: {app.status.sync.status}, {app.status.health.status}"
        return Seen(Outlook.MET, f"Argo CD compared {args['name']} with Git again.", (Line(line),), remembered)
    return Seen(Outlook.NOT_YET, "Argo CD took the request; waiting for its comparison.", memory=remembered)


def only_differs(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Nothing but the objects named ``base`` or ``base-…`` differs from Git, and nothing would be pruned."""
    app = _application(snapshot, args)
    if app is None:
        return _gone(args)
    errors = [c for c in app.status.conditions if c.type in ("ComparisonError", "InvalidSpecError")]
    if errors:
        return Seen(Outlook.REFUSED, f"Argo CD cannot compare {args['name']} with Git: {errors[0].message}")
    if app.status.sync.status not in ("Synced", "OutOfSync"):
        return Seen(Outlook.NOT_YET, f"Argo CD does not know yet how {args['name']} compares with Git.")
    pruned = [f"{r.kind} {r.name}" for r in app.status.resources if r.requires_pruning]
    if pruned:
        return Seen(Outlook.REFUSED, f"Git no longer has {_some(pruned)}; this plan must not decide about them.")
    differ = differing(app)
    others = [f"{r.kind} {r.name}" for r in differ if not belongs(r.name, args["base"])]
    if others:
        return Seen(
            Outlook.REFUSED, f"Other objects than {args['base']} differ from Git as well: {_some(others)}; look first."
        )
    lines = tuple(Line(f"differs from Git: {r.kind} {r.name} ({describe(r)})") for r in differ)
    said = f"Only {args['base']} objects differ from Git ({len(differ)}), nothing to prune."
    return Seen(Outlook.MET, said if differ else "Nothing differs from Git.", lines)


def operation_done(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """The operation that carries our mark ended; ``mark`` is replaced by the engine."""
    app = _application(snapshot, args)
    if app is None:
        return _gone(args)
    if args["mark"] in _marks(app.operation):
        return _progress(app.status.operation_state, memory)
    state = app.status.operation_state
    if state is None:
        return Seen(Outlook.NOT_YET, "Waiting for Argo CD to take the operation.", memory=dict(memory))
    if args["mark"] not in _marks(state.operation):
        if app.operation is not None or state.phase in ("Running", "Terminating"):
            sentence = (
                f"Another operation, started by {_initiator(state.operation)}, replaced ours before it was seen to end."
            )
        else:
            sentence = (
                f"Argo CD shows another operation ({state.phase}) in place of ours; whether ours was made is not known."
            )
        return Seen(Outlook.UNKNOWN, sentence)
    if state.phase in ("Running", "Terminating"):
        return _progress(state, memory)
    lines = _result_lines(state)
    if state.phase == "Succeeded":
        revision = state.sync_result.revision if state.sync_result else ""
        done = Line(f"operation succeeded{f', revision {revision}' if revision else ''}", "good")
        return Seen(Outlook.MET, f"Argo CD says: {state.message or state.phase}", (*lines, done))
    return Seen(Outlook.FAILED, f"Argo CD ended the operation as {state.phase}: {state.message}", lines)


# -- words


def describe(resource: AppResource) -> str:
    """``missing``, or how it differs."""
    if resource.health is not None and resource.health.status == "Missing":
        return "missing"
    return resource.status or "unknown"


def belongs(name: str, base: str) -> bool:
    """Whether an object's name is the release's Grafana or derived from it."""
    return name == base or name.startswith(f"{base}-")


def _marks(operation: Any) -> list[str]:
    info = operation.get("info") if isinstance(operation, dict) else None
    if not isinstance(info, list):
        return []
    return [str(i.get("value")) for i in info if isinstance(i, dict) and i.get("name") == INFO]


def _initiator(operation: Any) -> str:
    by = operation.get("initiatedBy") if isinstance(operation, dict) else None
    if not isinstance(by, dict):
        return "somebody"
    return "Argo CD itself" if by.get("automated") else str(by.get("username") or "somebody")


def _progress(state: OperationState | None, memory: Mapping[str, Any]) -> Seen:
    message = state.message if state else ""
    told = memory.get("message", "")
    lines = (Line(message),) if message and message != told else ()
    tries = f", try {state.retry_count + 1}" if state and state.retry_count else ""
    said = f"Argo CD is syncing{tries}{f': {message}' if message else '.'}"
    return Seen(Outlook.NOT_YET, said, lines, {**memory, "message": message or told})


def _result_lines(state: OperationState) -> tuple[Line, ...]:
    """What the operation did: each object that failed, each of a few, else how many of each kind."""
    if state.sync_result is None:
        return ()
    results = state.sync_result.resources or []
    bad = [r for r in results if r.status in ("SyncFailed", "PruneSkipped")]
    good = [r for r in results if r not in bad]
    lines = [Line(f"{r.kind} {r.name}: {r.message or r.status}", "error") for r in bad[:_LINES]]
    if len(bad) > _LINES:
        lines.append(Line(f"and {len(bad) - _LINES} more that failed", "error"))
    if len(good) <= _LINES:
        return (*lines, *(Line(f"{r.kind} {r.name} {r.message.rpartition(' ')[2] or r.status}") for r in good))
    kinds = Counter(r.kind for r in good)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return (*lines, Line(f"{len(good)} objects as Git says: {counted}"))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
