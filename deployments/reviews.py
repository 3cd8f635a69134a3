"""Broken glass and its review: a run without its second person stays red until another person has read diff and log.

Who may close: somebody who may approve, and neither broke the glass nor asked for the run. Never before it has ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import transaction

from common.clock import now
from common.models import AuditEvent, audit
from common.publish import publish
from deployments import gates, unclaimed
from deployments.errors import NotAllowed, Unconfirmed, Unfit
from deployments.models import Review, Run
from deployments.states import FINAL, RunState
from deployments.typed import typed

if TYPE_CHECKING:
    from django.contrib.auth.models import User

BREAK = "deployments.break_glass"
CLOSE = "deployments.approve_plan"
#: how long after it was broken the glass lets its run begin
GLASS = timedelta(minutes=15)
_TRIES, _TRIES_WITHIN = 5, timedelta(minutes=5)
_REFUSED = "glass.refused"
_TEXT = 2000


def open_in(cluster: str) -> Review | None:
    """The open review of a cluster: there is one at most."""
    rows = Review.objects.filter(cluster=cluster, closed_at=None)
    return rows.select_related("opened_by", "run", "run__plan").first()


def require_none_open(cluster: str) -> None:
    """:raises Unfit: a review is open, so nobody breaks the glass again."""
    review = open_in(cluster)
    if review is not None:
        raise Unfit(
            f"{review.opened_by.get_username()} broke the glass for run {review.run.number}; "
            "until a second person has closed that review nobody can again."
        )


def require_password(user: User, password: str) -> None:
    """The person proves once more who they are. Each failed try is audited; five in five minutes are enough.

    :raises Unconfirmed: it does not match, or too many tries.
    """
    name = user.get_username()
    since = now() - _TRIES_WITHIN
    if AuditEvent.objects.filter(verb=_REFUSED, actor=name, at__gte=since).count() >= _TRIES:
        raise Unconfirmed("Too many tries with a wrong password. Wait five minutes.")
    if not user.check_password(password):
        audit(actor=name, verb=_REFUSED, object=f"user:{name}", why="wrong password")
        raise Unconfirmed("The password does not match; the glass is whole.")


def opened(run: Run, user: User, reason: str, at: datetime, *, via: str = "page") -> Review:
    """Break the glass for a run, in the caller's transaction. :raises IntegrityError: a review is open already."""
    review = Review.objects.create(run=run, cluster=run.cluster, opened_by=user, opened_at=at, reason=reason)
    unclaimed.say(run, f"{user.get_username()} broke the glass: {reason}", level="error", at=at)
    detail = {"plan": run.plan_id, "number": run.number, "reason": reason, "tier": run.plan.tier, "via": via}
    audit(actor=user.get_username(), verb="glass.break", object=f"run:{run.pk}", **detail)
    return review


def lacking(review: Review, moment: datetime) -> str:
    """Why a broken glass does not let its run begin; empty when it does."""
    name = review.opened_by.get_username()
    if not review.opened_by.is_active or not review.opened_by.has_perm(BREAK):
        return f"{name}, who broke the glass, may not do so any more."
    if moment >= review.opened_at + GLASS:
        return f"The glass was broken {gates.moment(review.opened_at)}; its run had 15 minutes to begin."
    return ""


def may_close(user: User, review: Review) -> str:
    """Why a person may not close a review; empty when they may."""
    name = user.get_username()
    if not user.is_active or not user.has_perm(CLOSE):
        return f"{name} may not review. An approver or an admin can."
    if user.pk == review.opened_by_id:
        return f"{name} broke the glass, so somebody else must review it."
    if user.pk == review.run.requested_by_id:
        return f"{name} asked for this run, so somebody else must review it."
    return ""


def close(user: User, run_id: str, finding: str, *, read_diff: bool, read_log: bool, via: str = "page") -> Review:
    """A second person has read diff and log of a run and says what they found: the red item is gone.

    :raises NotAllowed: not this person (audited). :raises Unconfirmed: not read, or nothing said.
    :raises Unfit: no review, closed already, or the run has not ended.
    """
    fresh: User = get_user_model()._default_manager.get(pk=user.pk)
    with transaction.atomic():
        rows = Review.objects.select_for_update(of=("self",)).select_related("run", "opened_by")
        review = rows.filter(run_id=run_id).first()
        if review is None:
            raise Unfit("Nobody broke the glass for this run.")
        denied = may_close(fresh, review)
        if not denied:
            _close(fresh, review, typed(finding, _TEXT), read_diff=read_diff, read_log=read_log, via=via)
            return review
    audit(actor=fresh.get_username(), verb="review.refused", object=f"run:{run_id}", why=denied, via=via)
    raise NotAllowed(denied)


def _close(user: User, review: Review, finding: str, *, read_diff: bool, read_log: bool, via: str) -> None:
    if review.closed_at is not None:
        raise Unfit(f"The review of run {review.run.number} is closed already.")
    if RunState(review.run.state) not in FINAL:
        raise Unfit(f"Run {review.run.number} is {review.run.state.replace('_', ' ')}: review it when it has ended.")
    if not (read_diff and read_log):
        raise Unconfirmed("Read the diff and the log, and say that you did.")
    if len(finding) < 3:
        raise Unconfirmed("Say what you found, in a few words: it stays with the run.")
    review.closed_by, review.closed_at, review.finding = user, now(), finding
    review.save(update_fields=["closed_by", "closed_at", "finding"])
    audit(
        actor=user.get_username(),
        verb="review.close",
        object=f"run:{review.run_id}",
        number=review.run.number,
        finding=finding,
        via=via,
    )
    unclaimed.announce(review.run)
    publish("holds")
