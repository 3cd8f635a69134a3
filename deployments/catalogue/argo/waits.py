"""The named conditions of the Argo CD family: what its steps wait for and what guards them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from deployments.catalogue.argo.calls import APPLICATIONS, REFRESH
from deployments.catalogue.argo.reading import belongs, describe, differing, initiator, marks, some
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.custom import Application, OperationState, SyncResultResource
from monitoring.snapshot import Need, Objects, Snapshot

#: more objects than this are counted by kind in the log
_LINES = 12


def application_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """Applications of the namespace in question."""
    return (Objects(APPLICATIONS, args["namespace"]),)


def application(snapshot: Snapshot, args: Mapping[str, Any]) -> Application | None:
    """The Application of a condition's arguments. :raises Missing: not read."""
    found = snapshot.get(APPLICATIONS, args["namespace"], args["name"])
    return found if isinstance(found, Application) else None


def gone(args: Mapping[str, Any]) -> Seen:
    """It is not there any more: the plan no longer fits."""
    return Seen(Outlook.REFUSED, f"Application {args['name']} is not there any more.")


def idle(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """No operation is requested or running, and the Application is not being deleted."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    if app.metadata.deletion_timestamp is not None:
        return Seen(Outlook.REFUSED, f"Application {args['name']} is being deleted.")
    if app.operation is None:
        return Seen(Outlook.MET, f"No operation of {args['name']} is running.")
    who = initiator(app.operation)
    return Seen(Outlook.NOT_YET, f"Waiting for the operation that {who} started to end.")


def running(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """An operation is there and runs: only then may it be terminated."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    state = app.status.operation_state
    if app.operation is not None and state is not None and state.phase == "Running":
        return Seen(Outlook.MET, f"An operation of {args['name']} is running.")
    return Seen(Outlook.REFUSED, "The operation to terminate has ended by itself; make a new plan.")


def refreshed(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """Argo CD took the refresh annotation away and compared again since we wrote it."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
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
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    errors = [c for c in app.status.conditions if c.type in ("ComparisonError", "InvalidSpecError")]
    if errors:
        return Seen(Outlook.REFUSED, f"Argo CD cannot compare {args['name']} with Git: {errors[0].message}")
    if app.status.sync.status not in ("Synced", "OutOfSync"):
        return Seen(Outlook.NOT_YET, f"Argo CD does not know yet how {args['name']} compares with Git.")
    pruned = [f"{r.kind} {r.name}" for r in app.status.resources if r.requires_pruning]
    if pruned:
        return Seen(Outlook.REFUSED, f"Git no longer has {some(pruned)}; this plan must not decide about them.")
    differ = differing(app)
    others = [f"{r.kind} {r.name}" for r in differ if not belongs(r.name, args["base"])]
    if others:
        return Seen(
            Outlook.REFUSED, f"Other objects than {args['base']} differ from Git as well: {some(others)}; look first."
        )
    lines = tuple(Line(f"differs from Git: {r.kind} {r.name} ({describe(r)})") for r in differ)
    said = f"Only {args['base']} objects differ from Git ({len(differ)}), nothing to prune."
    return Seen(Outlook.MET, said if differ else "Nothing differs from Git.", lines)


def operation_done(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """The operation that carries our mark ended; ``mark`` is replaced by the engine."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    if args["mark"] in marks(app.operation):
        return _progress(app.status.operation_state, memory)
    state = app.status.operation_state
    if state is None:
        return Seen(Outlook.NOT_YET, "Waiting for Argo CD to take the operation.", memory=dict(memory))
    if args["mark"] not in marks(state.operation):
        if app.operation is not None or state.phase in ("Running", "Terminating"):
            sentence = (
                f"Another operation, started by {initiator(state.operation)}, replaced ours before it was seen to end."
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


def _progress(state: OperationState | None, memory: Mapping[str, Any]) -> Seen:
    message = state.message if state else ""
    told = memory.get("message", "")
    lines = (Line(message),) if message and message != told else ()
    tries = f", try {state.retry_count + 1}" if state and state.retry_count else ""
    said = f"Argo CD is syncing{tries}{f': {message}' if message else '.'}"
    return Seen(Outlook.NOT_YET, said, lines, {**memory, "message": message or told})


def failed(result: SyncResultResource) -> bool:
    """Not applied or not pruned; or applied, and the hook or the object itself then failed (Argo CD waits for the
    health of what it applied when a sync has hooks or waves, and what is degraded fails it)."""
    return result.status in ("SyncFailed", "PruneSkipped") or result.hook_phase in ("Failed", "Error")


def _result_lines(state: OperationState) -> tuple[Line, ...]:
    """What the operation did: each object that failed, each of a few, else how many of each kind."""
    if state.sync_result is None:
        return ()
    results = state.sync_result.resources or []
    bad = [r for r in results if failed(r)]
    good = [r for r in results if r not in bad]
    lines = [Line(f"{r.kind} {r.name}: {r.message or r.status}", "error") for r in bad[:_LINES]]
    if len(bad) > _LINES:
        lines.append(Line(f"and {len(bad) - _LINES} more that failed", "error"))
    if len(good) <= _LINES:
        return (*lines, *(Line(f"{r.kind} {r.name} {r.message.rpartition(' ')[2] or r.status}") for r in good))
    kinds = Counter(r.kind for r in good)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return (*lines, Line(f"{len(good)} objects as Git says: {counted}"))
