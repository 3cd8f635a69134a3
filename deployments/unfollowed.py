"""Follow-ups that did not come about: not started, or started in a run that did not succeed.

Each stays red until the same is done (a later run of the same action on the same objects succeeds, or the run it
belongs to is undone), or until a person says what they did by hand. It is settled in the transaction that does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q

from common.models import audit
from common.publish import publish
from common.redaction import redact
from deployments.catalogue import undoing
from deployments.errors import NotAllowed, Unfit
from deployments.models import FollowUp, Run
from deployments.states import FollowState, RunState
from deployments.typed import typed

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SETTLE = "deployments.cancel_run"
_SENTENCE = 1500
_NOT_DONE = (RunState.FAILED, RunState.ERRORED, RunState.OUTCOME_UNKNOWN, RunState.REFUSED, RunState.CANCELLED)


def broken() -> Q:
    """Which rows did not come about and are not settled."""
    ended = [state.value for state in _NOT_DONE]
    return Q(state=FollowState.FAILED.value) | Q(state=FollowState.STARTED.value, started__state__in=ended)


def is_broken(row: FollowUp) -> bool:
    """The same of one row."""
    if row.state == FollowState.STARTED.value and row.started is not None:
        return RunState(row.started.state) in _NOT_DONE
    return row.state == FollowState.FAILED.value


def repaired_by(run: Run) -> None:
    """A run succeeded: settle what it did instead. In the caller's transaction."""
    rows = FollowUp.objects.filter(broken(), run__cluster=run.cluster).exclude(started=run)
    undone = rows.filter(run=run.undo_of_id) if run.undo_of_id else rows.none()
    for row in undone.select_related("run"):
        _settled(row, f"Undone by run {run.number}.")
    if run.action == undoing.SLUG:  # it undoes one run: what it shares with another is no repair of that one
        return
    for row in rows.filter(action=run.action, due_at__lte=run.requested_at).select_related("run__plan"):
        if _written(run) & _written(row.run):
            _settled(row, f"Done by run {run.number}.")


def settle(user: User, pk: int, reason: str) -> FollowUp:
    """A person did by hand what did not follow, and says what. :raises NotAllowed: no right. :raises Unfit: no reason,
    or there is nothing to settle."""
    if not (user.is_active and user.has_perm(SETTLE)):
        raise NotAllowed(f"{user.get_username()} may not settle this. An operator or an admin can.")
    said = typed(reason, 500)
    if len(said) < 3:
        raise Unfit("Say what was done by hand, in a few words: it stays with the run.")
    with transaction.atomic():
        row = FollowUp.objects.select_for_update(of=("self",)).select_related("run", "started").filter(pk=pk).first()
        if row is None or not is_broken(row):
            raise Unfit("There is nothing to settle any more.")
        _settled(row, f"Done by hand, says {user.get_username()}: {said}", actor=user.get_username())
    return row


def _settled(row: FollowUp, sentence: str, *, actor: str = "phaseboard") -> None:
    row.state, row.sentence = FollowState.SETTLED.value, redact(f"{row.sentence} {sentence}", _SENTENCE)
    row.save(update_fields=["state", "sentence"])
    audit(actor=actor, verb="follow.settled", object=f"run:{row.run_id}", action=row.action, how=sentence)
    publish(f"run:{row.run_id}", "runs", *filter(None, [row.run.context]))


def _written(run: Run) -> set[str]:
    """Keys of the objects that a run's plan writes. Its locks are more: a parent Application is shared by many."""
    steps: Iterable[dict[str, dict[str, object] | str]] = run.plan.document["steps"]
    return {str(step["target"]) for step in steps if isinstance(step["spec"], dict) and step["spec"].get("effect")}
