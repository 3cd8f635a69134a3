"""Who has said yes to a run, who may, and what is still missing; the yes and the no themselves (docs/adr/0010).

A yes counts while it has not expired, is of the run's own plan, and is of somebody who may still say it: every question
is answered anew from the people's rights of this moment, also when the run begins. Opens no connection to a cluster.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from common.clock import by_database, now
from common.models import audit
from deployments import gates, messages, policies, policy, reviews, unclaimed
from deployments.errors import NotAllowed, Refusal, Unfit
from deployments.models import Approval, Plan, PlanRequest, Review, Run
from deployments.policy import Seats
from deployments.states import RunState
from deployments.typed import typed

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_log = logging.getLogger(__name__)

RIGHT = "deployments.approve_plan"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands. ``wanted`` has one tuple per policy; ``given`` are the approvals that count at this moment."""

    wanted: tuple[tuple[Seats, ...], ...]
    given: tuple[Approval, ...]
    #: per person who gave one that does not count, the newest with the reason
    void: tuple[tuple[Approval, str], ...]
    missing: int

    @property
    def words(self) -> str:
        """``2 approvals by approver or admin``."""
        return " and ".join(dict.fromkeys(seat.words for seats in self.wanted for seat in seats))

    @property
    def sentence(self) -> str:
        """What is missing, for the run's page."""
        if not self.missing:
            return "Everybody who is asked has approved."
        return f"Waiting for {self.words}; {len(self.given) or 'none'} given."


def needed(plan: Plan) -> bool:
    """Whether a run of this plan waits for somebody first. :raises Unfit: the policy cannot be read."""
    return bool(policies.wanted(plan.cluster, plan.tier))


def standing(run: Run, moment: datetime) -> Standing:
    """How a run stands at a moment. :raises Unfit: the policy cannot be read."""
    wanted = policies.wanted(run.cluster, run.plan.tier)
    given: dict[int, Approval] = {}
    void: dict[int, tuple[Approval, str]] = {}
    for approval in run.approvals.filter(granted=True).select_related("by").order_by("at"):
        why = _void(approval, run, moment)
        if why:
            void[approval.by_id] = (approval, why)
        else:
            given[approval.by_id] = approval
    others = tuple(each for pk, each in void.items() if pk not in given)
    return Standing(wanted, tuple(given.values()), others, _missing(wanted, [a.by for a in given.values()]))


def _missing(wanted: Iterable[tuple[Seats, ...]], people: Iterable[User]) -> int:
    groups = {person.pk: groups_of(person) for person in people}
    return max((policy.missing(seats, groups) for seats in wanted), default=0)


def groups_of(user: User) -> frozenset[str]:
    """The names of a person's groups."""
    return frozenset(user.groups.values_list("name", flat=True))


def _void(approval: Approval, run: Run, moment: datetime) -> str:
    """Why an approval does not count; empty when it does."""
    name = approval.by.get_username()
    if approval.expires_at <= moment:
        return f"expired {gates.moment(approval.expires_at)}"
    if approval.lapsed_at is not None:
        return "lapsed"
    if approval.plan_id != run.plan_id:
        return "is of another plan"
    if not approval.by.is_active:
        return f"{name} is disabled"
    if not approval.by.has_perm(RIGHT):
        return f"{name} may no longer approve"
    return f"{name} {own}" if (own := _own(approval.by, run)) else ""


def _own(user: User, run: Run) -> str:
    """Why a run is a person's own work, which they cannot approve: they asked for it, or made its plan last."""
    if user.pk == run.requested_by_id:
        return "asked for this run"
    return "made this plan" if user.pk == editor_of(run) else ""


def editor_of(run: Run) -> int | None:
    """Who asked last for this very plan before the run was asked for: its parameters are theirs."""
    before = PlanRequest.objects.filter(plan=run.plan_id, requested_at__lte=run.requested_at)
    return before.order_by("-requested_at").values_list("requested_by_id", flat=True).first()


def may_decide(user: User, run: Run) -> str:
    """Why a person may not say yes or no to a run, whatever its state; empty when they may."""
    name = user.get_username()
    if not user.is_active:
        return f"{name} is disabled."
    if not user.has_perm(RIGHT):
        return f"{name} may not approve plans. An approver or an admin can."
    own = _own(user, run)
    if own:
        return f"{name} {own}, so somebody else must decide about it."
    groups = groups_of(user)
    wanted = [seat for seats in policies.wanted(run.cluster, run.plan.tier) for seat in seats]
    if wanted and not any(policy.fits(seat.groups, groups) for seat in wanted):
        asked = " or ".join(dict.fromkeys(name for seat in wanted for name in seat.groups))
        return f"{name} is in none of the groups that the policy asks: {asked}."
    return ""


def people_who_may(run: Run, most: int = 6) -> list[str]:
    """Names of people who may decide about a run, for its page; in a few queries."""
    own = [run.requested_by_id, editor_of(run)]
    wanted = [seat for seats in policies.wanted(run.cluster, run.plan.tier) for seat in seats]
    people = get_user_model()._default_manager.with_perm(RIGHT).exclude(pk__in=[pk for pk in own if pk is not None])
    found = []
    for person in people.prefetch_related("groups").order_by("username")[:50]:
        groups = [group.name for group in person.groups.all()]
        if not wanted or any(policy.fits(seat.groups, groups) for seat in wanted):
            found.append(person.get_username())
    return found[:most]


def lacking(run: Run, moment: datetime) -> str:
    """Why a run may not begin for want of approvals; empty when it may. Asked by the engine, just before."""
    if run.covered_by_id is not None:
        return ""
    review = Review.objects.filter(run=run).select_related("opened_by").first()
    if review is not None:
        return reviews.lacking(review, moment)
    try:
        found = standing(run, moment)
    except Refusal as unreadable:
        return str(unreadable)
    if not found.missing:
        return ""
    void = "; ".join(f"the approval of {approval.by.get_username()} {why}" for approval, why in found.void[-3:])
    return f"{found.words} needed, {len(found.given)} counts{f': {void}' if void else ''}."


# -- yes and no


def approve(user: User, run_id: str, plan_hash: str, reason: str, *, via: str = "page") -> Run:
    """A second person's yes to a run of exactly this plan; the last one that is needed queues it. Twice is once.

    :raises NotAllowed: not this person (audited). :raises Unfit: not now, or not this plan.
    """
    user, reason = _fresh(user), _reason(reason)
    with transaction.atomic():
        run = _found(run_id)
        denied = may_decide(user, run)
        if not denied:
            return _approve(user, run, plan_hash, reason, via)
    raise _refused(user, run, "approval.refused", denied, via)


def _approve(user: User, run: Run, plan_hash: str, reason: str, via: str) -> Run:
    moment = now()
    _same_plan(run, plan_hash)
    before = standing(run, moment)
    if any(approval.by_id == user.pk for approval in before.given):
        return run
    if run.state != RunState.WAITING_FOR_APPROVAL.value:
        raise Unfit(f"Too late: run {run.number} is {run.state.replace('_', ' ')}.")
    gates.require_fit(run.plan)
    if _missing(before.wanted, [*(a.by for a in before.given), user]) == before.missing:
        raise Unfit(f"An approval by {user.get_username()} fills no seat that is still empty: {before.words} needed.")
    minutes = min(each.approval_minutes for each in policies.of(run.cluster))
    _record(user, run, reason, moment, granted=True, minutes=minutes)
    unclaimed.say(run, f"Approved by {user.get_username()}: {reason}", level="good", at=moment)
    audit(
        actor=user.get_username(),
        verb="approval.grant",
        object=f"run:{run.pk}",
        plan=run.plan_id,
        number=run.number,
        reason=reason,
        via=via,
    )
    settle(run, moment)
    return run


def deny(user: User, run_id: str, plan_hash: str, reason: str, *, via: str = "page") -> Run:
    """A no: it ends a run that has not begun, and its requester cannot ask for this very plan again.

    :raises NotAllowed: not this person (audited). :raises Unfit: it has begun or ended.
    """
    user, reason = _fresh(user), _reason(reason)
    with transaction.atomic():
        run = _found(run_id)
        denied = may_decide(user, run)
        if not denied:
            _same_plan(run, plan_hash)
            waits = run.state == RunState.WAITING_FOR_APPROVAL.value
            untouched = run.state == RunState.QUEUED.value and run.lease_until is None
            if not (waits or untouched):
                raise Unfit(f"Too late: run {run.number} is {run.state.replace('_', ' ')}. Cancel it instead.")
            _record(user, run, reason, now(), granted=False)
            said = f"Denied by {user.get_username()}: {reason}"
            audit(
                actor=user.get_username(),
                verb="approval.deny",
                object=f"run:{run.pk}",
                plan=run.plan_id,
                number=run.number,
                reason=reason,
                via=via,
            )
            unclaimed.move(run, RunState.REFUSED, said)
            return run
    raise _refused(user, run, "denial.refused", denied, via)


def denial_of(user: User, plan: Plan) -> Approval | None:
    """The no that a person got to this very plan, or None."""
    denied = Approval.objects.filter(plan=plan, granted=False, run__requested_by=user)
    return denied.select_related("by").order_by("-at").first()


def _fresh(user: User) -> User:
    """The person as the database has them now: rights that a session remembers do not count."""
    found: User = get_user_model()._default_manager.get(pk=user.pk)
    return found


def _reason(text: str) -> str:
    reason = typed(text)
    if len(reason) < 3:
        raise Unfit("Say why, in a few words: the reason stays with the run.")
    return reason


def _found(run_id: str) -> Run:
    try:
        return unclaimed.locked(run_id)
    except Run.DoesNotExist:
        raise Unfit("There is no such run.") from None


def _same_plan(run: Run, plan_hash: str) -> None:
    if plan_hash != run.plan_id:
        raise Unfit(f"Run {run.number} is of plan {run.plan_id[:8]}, not of the one you read. Open it again.")


def _refused(user: User, run: Run, verb: str, why: str, via: str) -> NotAllowed:
    """A try by somebody who may not is a row of its own: it must not vanish with the transaction."""
    audit(actor=user.get_username(), verb=verb, object=f"run:{run.pk}", number=run.number, why=why, via=via)
    return NotAllowed(why)


def _record(user: User, run: Run, reason: str, moment: datetime, *, granted: bool, minutes: int = 0) -> None:
    run.approvals.filter(by=user, lapsed_at=None).update(lapsed_at=moment)
    Approval.objects.create(
        run=run,
        plan_id=run.plan_id,
        by=user,
        granted=granted,
        reason=reason,
        at=moment,
        expires_at=moment + timedelta(minutes=minutes),
    )


# -- from waiting to queued, and back


def waiting_until(cluster: str, moment: datetime) -> datetime:
    """When a run that begins to wait now has waited long enough."""
    return moment + timedelta(minutes=min(each.waiting_minutes for each in policies.of(cluster)))


def settle(run: Run, moment: datetime) -> None:
    """Save a waiting run as it stands now: queued when nothing is missing and its targets are free; else say why not.
    The row is locked."""
    found = standing(run, moment)
    if not found.missing and queue(run, moment):
        return
    said = found.sentence
    if not found.missing:
        lock = gates.holder_of(run.plan.document["locks"])
        busy = f"until run {lock.run.number} ends, which works on {lock.target_key.rsplit('/', 1)[-1]}" if lock else ""
        said = f"Approved; waiting {busy or 'for its targets'}."
    before = Run.objects.values_list("sentence", "line_count").get(pk=run.pk)
    if before != (said, run.line_count):
        run.sentence = said
        run.save(update_fields=["sentence", "line_count"])
        unclaimed.announce(run)


def queue(run: Run, moment: datetime) -> bool:
    """Take a waiting run's targets and queue it; False when another run holds one of them. The row is locked."""
    try:
        with transaction.atomic():
            unclaimed.take_locks(run, moment)
    except IntegrityError:
        return False
    unclaimed.say(run, "Queued: waiting for a worker", at=moment)
    run.waiting_until, run.wake_at = None, by_database(messages.UNTOLD)
    unclaimed.move(run, RunState.QUEUED, "")
    messages.wake(messages.ADVANCE, run.pk)
    return True


def asked_again(run: Run, moment: datetime, why: str) -> None:
    """A queued run goes back to waiting: its targets are freed, and what no longer counts has lapsed."""
    audit(actor="phaseboard", verb="approval.void", object=f"run:{run.pk}", number=run.number, why=why)
    run.locks.all().delete()
    counted = [approval.pk for approval in standing(run, moment).given]
    run.approvals.filter(granted=True, lapsed_at=None).exclude(pk__in=counted).update(lapsed_at=moment)
    run.waiting_until = waiting_until(run.cluster, moment)


def sweep() -> None:
    """Every few seconds: yeses that expired are said to have, runs that waited too long end, and those that only waited
    for a target are queued."""
    for run_id in Run.objects.filter(state=RunState.WAITING_FOR_APPROVAL.value).values_list("pk", flat=True):
        try:
            with transaction.atomic():
                run = unclaimed.locked(run_id)
                if run.state == RunState.WAITING_FOR_APPROVAL.value:
                    _look_at(run, now())
        except Exception:  # noqa: BLE001 - one run that cannot be looked at must not keep the sweep from the others
            _log.exception("a waiting run could not be looked at", extra={"run": run_id})


def _look_at(run: Run, moment: datetime) -> None:
    expired = run.approvals.filter(granted=True, lapsed_at=None, expires_at__lte=moment).select_related("by")
    for approval in expired:
        name = approval.by.get_username()
        Approval.objects.filter(pk=approval.pk).update(lapsed_at=moment)
        unclaimed.say(run, f"The approval of {name} expired", level="warn", at=moment)
        audit(actor="phaseboard", verb="approval.expired", object=f"run:{run.pk}", number=run.number, by=name)
    if run.waiting_until is not None and run.waiting_until <= moment:
        waited = int((moment - run.requested_at).total_seconds() // 60)
        unclaimed.move(run, RunState.REFUSED, f"Nobody approved it within {waited} minutes. Ask again.")
        return
    try:
        settle(run, moment)
    except Unfit as unreadable:
        run.sentence = str(unreadable)
        run.save(update_fields=["sentence", "line_count"])
