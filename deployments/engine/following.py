"""What follows a run by itself: the follow-up its plan announced, or the undo of a run that was not verified.

A row first, like everything: the sweep asks for the plan when it is due, and starts the run when the plan is made. A
plan that does not fit any more is not forced: the row says why it was not started, and the pages show it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from common.clock import now
from common.models import audit
from common.publish import publish
from common.redaction import redact
from deployments import services, undo
from deployments.catalogue import registry, undoing
from deployments.errors import Refusal
from deployments.models import FollowUp, Run
from deployments.states import FollowState, RequestState, RunState

if TYPE_CHECKING:
    from deployments.engine.document import Document
    from deployments.engine.journal import Entry

_log = logging.getLogger(__name__)


def after_success(entry: Entry, document: Document) -> None:
    """Note what the plan said would follow; a run that undid another one says so on that one."""
    run = entry.run
    wanted = document.follow_up
    if wanted is not None:
        FollowUp.objects.create(
            run=run,
            action=wanted.action,
            params=wanted.params,
            due_at=entry.at + timedelta(seconds=wanted.after_seconds),
            state=FollowState.WAITING.value,
            sentence=wanted.sentence,
        )
        entry.log(f"to follow in {wanted.after_seconds} s: {wanted.sentence}", level="step")


def after_failure(entry: Entry) -> None:
    """Where the action says so, undo what was made: as a plan of its own, started as soon as it is made."""
    run = entry.run
    try:
        wanted = registry.get(run.action).undo_on_failure
    except LookupError:
        return
    if not wanted or run.undo_of_id is not None:
        return
    said = f"Run {run.number} was not verified: undo it."
    FollowUp.objects.create(
        run=run, action=undoing.SLUG, due_at=entry.at, state=FollowState.WAITING.value, sentence=said
    )
    entry.log("not verified: this action is undone by itself", level="warn")


def carry_on() -> None:
    """Ask for the plans that are due, and start the runs whose plan is made. Called by the sweep; never raises."""
    moment = now()
    for row in FollowUp.objects.filter(state=FollowState.WAITING.value, due_at__lte=moment).select_related("run"):
        _ask(row)
    made = FollowUp.objects.filter(state=FollowState.PLANNING.value).select_related("run", "request")
    for row in made.exclude(request__state__in=[RequestState.QUEUED.value, RequestState.PLANNING.value]):
        _start(row)


def _ask(row: FollowUp) -> None:
    if not FollowUp.objects.filter(pk=row.pk, state=FollowState.WAITING.value).update(state=FollowState.PLANNING.value):
        return
    try:
        params = undo.parameters(row.run) if row.action == undoing.SLUG else row.params
        row.request = services.request_plan(
            row.run.requested_by, row.action, params, row.run.context, f"follow:{row.pk}", internal=True
        )
        row.state = FollowState.PLANNING.value
        row.save(update_fields=["request", "state"])
    except (Refusal, LookupError, ValueError) as refused:
        _give_up(row, str(refused))


def _start(row: FollowUp) -> None:
    request = row.request
    if request is None or request.plan_id is None:
        _give_up(row, request.sentence if request is not None else "No plan could be asked for.")
        return
    try:
        run = services.start_run(
            row.run.requested_by, request.plan_id, f"follow:{row.pk}", row.run.context, covered_by=row.run
        )
    except Refusal as refused:
        _give_up(row, str(refused))
        return
    with transaction.atomic():
        row.started, row.state = run, FollowState.STARTED.value
        row.save(update_fields=["started", "state"])
        publish(f"run:{row.run_id}", "runs")


def _give_up(row: FollowUp, sentence: str) -> None:
    """It did not follow: said on the run, in the audit trail, and to whoever looks at the overview."""
    _log.warning("a follow-up was not started", extra={"run": row.run_id, "action": row.action})
    with transaction.atomic():
        row.state, row.sentence = FollowState.FAILED.value, redact(f"{row.sentence} Not started: {sentence}", 1000)
        row.save(update_fields=["state", "sentence"])
        audit(actor="phaseboard", verb="follow.failed", object=f"run:{row.run_id}", action=row.action, why=sentence)
        publish(f"run:{row.run_id}", "runs", *filter(None, [row.run.context]))


def mark_undone(run: Run) -> None:
    """The run that this one undid is *undone* now. In the caller's transaction."""
    if run.undo_of_id is None:
        return
    Run.objects.filter(pk=run.undo_of_id).update(
        state=RunState.UNDONE.value, state_changed_at=now(), sentence=f"Undone by run {run.number}."
    )
    audit(actor="phaseboard", verb="run.undone", object=f"run:{run.undo_of_id}", by=run.pk)
    publish(f"run:{run.undo_of_id}", "runs")
