"""*Terminate an operation* that runs, and *Clear a stale operation* that only its state still shows.

The two must never be mixed up: a terminate without a live operation makes a stale state, and clearing the state of a
live one makes Argo CD begin it again (facts: A13, 2.3). Both guards are read again just before the write.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from deployments.catalogue.action import Action, Blast, Condition, PlanDraft, Precondition, Rule, Verification
from deployments.catalogue.argo import calls, ownership, reading, targets
from deployments.catalogue.argo.waits import application, gone
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.custom import Application
from monitoring.snapshot import Snapshot

#: a controller writes operation and state together; for so long a state without an operation may be in the making
SETTLING = timedelta(minutes=2)
RULES = (Rule("argoproj.io", "applications", ("get", "patch")),)
_UNDO_TERMINATE = "Irreversible: what the operation applied stays. A new sync begins anew."
_UNDO_CLEAR = "Irreversible, and nothing is lost but the state of an operation that no longer exists."


# -- terminate


def draft_terminate(snapshot: Snapshot, params: targets.ApplicationParams) -> PlanDraft:
    """One patch and the wait for the operation's end. :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    where = targets.where(app)
    return PlanDraft(
        params=targets.named(app),
        preconditions=(targets.alive(app), _live(app)),
        steps=(
            targets.step(app)(
                verb="terminate",
                title=f"Terminate the operation of {app.metadata.name}",
                how="merge patch",
                timeout_seconds=180,
                effect=calls.terminate_patch(),
                guards=(Condition("argocd_running", where),),
                until=Condition("argocd_idle", where),
                irreversible=True,
            ),
        ),
        # the wait for the operation's end is the evidence
        verification=Verification((), 0, 0),
        undo=_UNDO_TERMINATE,
        blast=Blast(sentence=_after(app)),
        managed_by=targets.managed_by(app, snapshot.objects(calls.APPLICATIONS)),
    )


def _live(app: Application) -> Precondition:
    sentence = "An operation is running"
    state = app.status.operation_state
    if app.operation is None:
        stale = state is not None and state.phase in reading.BUSY
        return Precondition(
            sentence, False, "none; its state is stale: clear the stale operation instead" if stale else "none"
        )
    if state is None or state.phase != "Running":
        said = f"its phase is {state.phase}" if state is not None else "Argo CD has not begun it"
        return Precondition(sentence, False, f"{said}: look at the application controller if it stays so")
    who = reading.initiator(app.operation)
    since = f" since {state.started_at:%F %T}" if state.started_at else ""
    return Precondition(sentence, True, f"started by {who}{since}: {reading.clean(state.message) or 'no message'}")


def _after(app: Application) -> str:
    said = "Argo CD deletes hooks that still run; what was applied stays as it is."
    if reading.is_automated(app):
        return f"{said} Auto-sync does not try the same revision again after this: sync it when the cause is gone."
    return said


# -- a stale state


def draft_clear(snapshot: Snapshot, params: targets.ApplicationParams) -> PlanDraft:
    """Drop the state, then let Argo CD compare. :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
    where = targets.where(app)
    state = app.status.operation_state
    started = state.started_at.isoformat() if state is not None and state.started_at is not None else ""
    step = targets.step(app)
    return PlanDraft(
        params=msgspec.to_builtins(targets.ApplicationParams(**targets.named(app))),
        preconditions=(targets.alive(app), _stale(app, snapshot.taken_at), _unfrozen(app, apps)),
        steps=(
            step(
                verb="clear",
                title=f"Clear the stale operation state of {app.metadata.name}",
                how="merge patch",
                effect=calls.clear_state_patch(),
                guards=(Condition("argocd_stale", where),),
                until=Condition("argocd_state_cleared", {**where, "started": started}),
                irreversible=True,
            ),
            targets.refresh_step(app),
        ),
        verification=Verification((), 0, 0),
        undo=_UNDO_CLEAR,
        blast=Blast(
            changed=(f"Application {app.metadata.name}",),
            sentence="Only the state of an operation that no longer exists goes. "
            + ("Auto-sync may begin by itself then." if reading.is_automated(app) else "A sync can be started then."),
        ),
        managed_by=targets.managed_by(app, apps),
    )


def _stale(app: Application, now: datetime) -> Precondition:
    sentence = "Its state shows an operation that no longer exists"
    state = app.status.operation_state
    if app.operation is not None:
        return Precondition(sentence, False, "an operation is there: terminate it instead, if it does not move")
    if state is None or state.phase not in reading.BUSY:
        return Precondition(sentence, False, f"the last operation ended {state.phase}" if state else "there was none")
    moved = reading.moved_at(state)
    since = f"{state.phase} since {moved:%F %T}" if moved is not None else state.phase
    if moved is not None and now - moved < SETTLING:
        return Precondition(sentence, False, f"{since}: Argo CD may be about to write; wait two minutes")
    return Precondition(sentence, True, f"{since}, and .operation is absent")


def _unfrozen(app: Application, apps: list[Application]) -> Precondition:
    """A parent with ServerSideApply and RespectIgnoreDifferences owns its child's status, and freezes it (A13)."""
    sentence = "Nothing writes the stale state back"
    above = ownership.parents(app, apps)
    options = set(above[0].spec.sync_policy.sync_options) if above else set()
    if {"ServerSideApply=true", "RespectIgnoreDifferences=true"} <= options:
        return Precondition(
            sentence,
            False,
            f"{above[0].metadata.name} applies it with ServerSideApply and RespectIgnoreDifferences, which keeps its "
            "status; take one of the two out of that Application in Git first",
        )
    return Precondition(sentence, True, f"{above[0].metadata.name} leaves its status alone" if above else "no parent")


# -- conditions


def stale(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """No operation is there, and the state says that one runs."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    state = app.status.operation_state
    if app.operation is not None:
        return Seen(Outlook.REFUSED, f"An operation of {args['name']} is there now; its state is not stale.")
    if state is None or state.phase not in reading.BUSY:
        return Seen(Outlook.REFUSED, f"The state of {args['name']} is not stale any more.")
    return Seen(Outlook.MET, f"The state says {state.phase} and there is no operation.")


def state_cleared(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The state that ``started`` then is gone, or another operation's stands there."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    state = app.status.operation_state
    if state is None:
        return Seen(Outlook.MET, "The stale state is gone.", (Line("the stale state is gone", "good"),))
    started = state.started_at.isoformat() if state.started_at is not None else ""
    if started != args["started"]:
        return Seen(Outlook.MET, f"Argo CD began a new operation ({state.phase}).")
    return Seen(Outlook.NOT_YET, "Waiting for the stale state to go; if it comes back, something else writes it.")


TERMINATE = Action(
    slug="terminate-operation",
    title="Terminate an operation",
    family="Argo CD",
    tier=2,
    summary="Ask Argo CD to end the operation that runs; only while one does.",
    params=targets.ApplicationParams,
    needs=targets.needs,
    draft=draft_terminate,
    rules=RULES,
    undo=_UNDO_TERMINATE,
    guards=("An operation is there and its phase is Running, read again just before the write.",),
    verified_by="The operation is gone.",
    reference="https://argo-cd.readthedocs.io/en/stable/user-guide/commands/argocd_app_terminate-op/",
)

CLEAR = Action(
    slug="clear-stale-operation",
    title="Clear a stale operation",
    family="Argo CD",
    tier=1,
    summary="Drop the state of an operation that no longer exists, so that a sync can start again.",
    params=targets.ApplicationParams,
    needs=targets.needs,
    draft=draft_clear,
    rules=RULES,
    undo=_UNDO_CLEAR,
    guards=("No operation is there while the state says Running or Terminating, read again just before the write.",),
    verified_by="The state is gone or another operation's, and Argo CD compared again.",
    reference="https://github.com/argoproj/argo-cd/blob/master/controller/appcontroller.go",
)
