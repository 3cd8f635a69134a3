"""What a person asks for: a plan, a run, its end. Each is a row with its audit row in one transaction, then a wake-up.

Refusals are :class:`deployments.errors.Refusal`, one sentence for the person. Rights are asked here, and again by the
engine when the run begins. Opens no connection to a cluster.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max

from common.clock import by_database, now
from common.models import audit
from common.publish import publish
from deployments import approvals, gates, limits, messages, reviews, unclaimed
from deployments.catalogue import registry, undoing
from deployments.errors import NotAllowed, TargetBusy, Unconfirmed, Unfit
from deployments.models import Plan, PlanRequest, Run, Step, new_ulid
from deployments.states import ACTIVE, FINAL, RequestState, RunState, StepState
from deployments.stops import allow_writes, stop_writes
from deployments.typed import typed

if TYPE_CHECKING:
    from django.contrib.auth.models import User

__all__ = ["allow_writes", "break_glass", "cancel_run", "request_plan", "start_run", "stop_writes"]


class Glass(NamedTuple):
    """Broken glass: why, and by which way (a page, a command)."""

    reason: str
    via: str


#: of so many runs that start in one moment the last takes its number after this many tries
_TRIES = 80


def request_plan(
    user: User,
    action: str,
    params: Mapping[str, Any],
    context: str = "",
    idempotency_key: str = "",
    *,
    internal: bool = False,
) -> PlanRequest:
    """Ask for a plan; its page fills while a worker makes it. The same key is the same request.

    ``internal``: the portal itself asks, with parameters of its own making (an undo).
    :raises NotAllowed: no right to plan. :raises Unfit: no such action, or a parameter that does not fit.
    """
    _require(user, "deployments.make_plan", "ask for a plan")
    try:
        known = registry.get(action)
        registry.parse(action, params)
    except (LookupError, ValueError) as error:
        raise Unfit(str(error)) from error
    if known.internal and not internal:
        raise Unfit(f"{known.title} cannot be asked for with parameters; use the page of the run.")
    key = _key(user, "plan", idempotency_key)
    existing = PlanRequest.objects.filter(idempotency_key=key).first()
    if existing is not None:
        return existing
    request = PlanRequest(
        cluster=settings.PORTAL_CLUSTER,
        action=known.slug,
        params={k: v for k, v in params.items() if v not in ("", None)},
        context=context[:80],
        requested_by=user,
        requested_at=now(),
        idempotency_key=key,
        state=RequestState.QUEUED.value,
    )
    try:
        with transaction.atomic():
            request.save(force_insert=True)
            audit(actor=user.get_username(), verb="plan.request", object=f"plan:{request.pk}", action=known.slug)
            publish(f"plan:{request.pk}")
            messages.wake(messages.MAKE_PLAN, request.pk)
    except IntegrityError:
        return PlanRequest.objects.get(idempotency_key=key)
    return request


def start_run(
    user: User,
    plan_hash: str,
    idempotency_key: str,
    context: str = "",
    *,
    confirm: str = "",
    covered_by: Run | None = None,
) -> Run:
    """Accept a plan for execution, or for approval where the policy asks a second person. The same key is the same run;
    a second click on a plan at work, or waiting, shows its run. ``confirm`` is what tier 3 wants typed.

    ``covered_by`` is the run whose plan announced this one: it was read and approved with that plan, so nobody is asked
    again. Only the engine says so, never a page.

    :raises NotAllowed: no right for this tier. :raises Unfit: unknown plan, unmet preconditions, moved targets, denied.
    :raises Unconfirmed: not typed. :raises TooOften: a rate limit.
    :raises TargetBusy: another run holds one of the targets; it is in ``.run``.
    """
    key = _key(user, "run", idempotency_key)
    return _start(user, _plan(plan_hash), key, context, confirm, covered_by=covered_by)


def break_glass(
    user: User,
    plan_hash: str,
    idempotency_key: str,
    context: str = "",
    *,
    confirm: str,
    reason: str,
    password: str,
    via: str = "page",
) -> Run:
    """Run a plan now without its second person, through a freeze too. Opens a review that stays red until another
    person has read diff and log. A run of this plan that waits, for approval or in a freeze, is taken as it is.

    :raises Unconfirmed: the password or what is to be typed does not match. :raises Unfit: also when no second person
    is needed, or a review is open. Else like :func:`start_run`.
    """
    plan = _plan(plan_hash)
    _require(user, reviews.BREAK, "break the glass")
    _require(user, f"deployments.run_tier{plan.tier}", f"run tier {plan.tier} plans")
    reason = typed(reason)
    if len(reason) < 10:
        raise Unfit("Say what is so urgent, in a sentence: a second person reviews it.")
    _confirmed(plan, confirm)
    key = _key(user, "glass", idempotency_key)
    done = Run.objects.filter(idempotency_key=key, plan=plan).first()
    if done is not None:
        return done
    reviews.require_password(user, password)
    if not approvals.needed(plan) and gates.freeze_of(plan.cluster, plan.tier, now()) is None:
        raise Unfit("Nobody needs to approve this plan and nothing is frozen: run it.")
    glass = Glass(reason, via)
    return _taken_over(user, plan, glass) or _start(user, plan, key, context, confirm, glass=glass)


def cancel_run(user: User, run: Run) -> Run:
    """Ask a run to end. A run that no worker has begun ends at once, a running one between steps or inside a wait.

    :raises NotAllowed: no right to cancel. :raises Unfit: it has ended already.
    """
    _require(user, "deployments.cancel_run", "cancel runs")
    with transaction.atomic():
        held = Run.objects.select_for_update().get(pk=run.pk)
        if RunState(held.state) in FINAL:
            raise Unfit(f"Too late: run {held.number} is {held.state.replace('_', ' ')}.")
        if held.cancel_requested_at is None:
            held.cancel_requested_at, held.cancel_requested_by = now(), user
            unclaimed.say(held, f"{user.get_username()} asked to cancel", level="warn", at=held.cancel_requested_at)
            held.save(update_fields=["cancel_requested_at", "cancel_requested_by", "line_count"])
            audit(actor=user.get_username(), verb="run.cancel", object=f"run:{held.pk}", number=held.number)
        if held.state in (RunState.QUEUED.value, RunState.WAITING_FOR_APPROVAL.value) and held.lease_until is None:
            unclaimed.move(held, RunState.CANCELLED, f"Cancelled by {user.get_username()} before it started.")
        unclaimed.announce(held)
        messages.wake(messages.ADVANCE, held.pk)
    return held


# -- the parts


def _require(user: User, permission: str, what: str) -> None:
    if not (user.is_active and user.has_perm(permission)):
        raise NotAllowed(f"{user.get_username()} may not {what}. An operator or an admin can.")


def _key(user: User, kind: str, given: str) -> str:
    """A key of one person and one kind of request; without one, every request is its own."""
    return hashlib.sha256(f"{kind}:{user.pk}:{given or new_ulid()}".encode()).hexdigest()


def _already(plan: Plan, key: str) -> Run | None:
    """The run of this very click, or the active run of this very plan. :raises TargetBusy, Unfit:"""
    same = Run.objects.filter(idempotency_key=key).first()
    if same is not None:
        if same.plan_id != plan.pk:
            raise Unfit("This form was already used for another plan. Open the plan again.")
        return same
    active = plan.runs.filter(state__in=[state.value for state in ACTIVE]).order_by("requested_at").first()
    if active is not None:
        return active
    lock = gates.holder_of(plan.document["locks"])
    if lock is None:
        return None
    if lock.run.plan_id == plan.pk:
        return lock.run
    name = lock.target_key.rsplit("/", 1)[-1]
    raise TargetBusy(lock.run, f"Run {lock.run.number} works on {name} at this moment; wait for it or cancel it.")


def _plan(plan_hash: str) -> Plan:
    plan = Plan.objects.filter(pk=plan_hash).first()
    if plan is None:
        raise Unfit("There is no such plan. Make a new one.")
    return plan


def _start(
    user: User,
    plan: Plan,
    key: str,
    context: str,
    confirm: str,
    *,
    glass: Glass | None = None,
    covered_by: Run | None = None,
) -> Run:
    _require(user, f"deployments.run_tier{plan.tier}", f"run tier {plan.tier} plans")
    for attempt in range(_TRIES):
        existing = _already(plan, key)
        if existing is not None:
            return existing
        gates.require_fit(plan)
        if covered_by is None:
            _confirmed(plan, confirm)
        if glass:
            reviews.require_none_open(plan.cluster)
        else:
            _not_denied(user, plan)
        try:
            with transaction.atomic():
                return _insert(user, plan, key, context, glass, covered_by)
        except IntegrityError:
            # somebody took the key, the number or a lock in this moment: look again
            time.sleep(random.uniform(0, 0.002) * min(attempt, 10))  # noqa: S311 - no secret, only out of step
    raise Unfit("Too many people start runs at this moment; try again.")


def _confirmed(plan: Plan, typed: str) -> None:
    wanted = gates.phrase(plan)
    if wanted and " ".join(typed.split()) != wanted:
        raise Unconfirmed(f"Type {wanted} to say that you mean this very target.")


def _not_denied(user: User, plan: Plan) -> None:
    denial = approvals.denial_of(user, plan)
    if denial is not None:
        raise Unfit(
            f"{denial.by.get_username()} denied this plan to {user.get_username()} {gates.moment(denial.at)}: "
            f"{denial.reason} Only another plan can be asked for."
        )


def _taken_over(user: User, plan: Plan, glass: Glass) -> Run | None:
    """Break the glass for the run of this plan that waits for approval or in a freeze; None when none does.

    :raises Unfit: a review is open, or it no longer waits. :raises TargetBusy: another run holds a target.
    """
    waits = plan.runs.filter(state__in=[RunState.WAITING_FOR_APPROVAL.value, RunState.QUEUED.value])
    found = waits.values_list("pk", flat=True).first()
    if found is None:
        return None
    with transaction.atomic():
        run, moment = unclaimed.locked(found), now()
        frozen = gates.freeze_of(plan.cluster, plan.tier, moment)
        if hasattr(run, "review") or (run.state == RunState.QUEUED.value and frozen is None):
            return run
        gates.require_fit(plan)
        reviews.require_none_open(plan.cluster)
        try:
            with transaction.atomic():
                reviews.opened(run, user, glass.reason, moment, via=glass.via)
        except IntegrityError:
            reviews.require_none_open(plan.cluster)
        if run.state == RunState.QUEUED.value and run.lease_until is None:
            run.wake_at = by_database()
            run.save(update_fields=["wake_at", "line_count"])
            messages.wake(messages.ADVANCE, run.pk)
        elif run.state != RunState.WAITING_FOR_APPROVAL.value:
            raise Unfit(f"Run {run.number} of this plan is at work at this moment; open it.")
        elif not approvals.queue(run, moment):
            lock = gates.holder_of(plan.document["locks"])
            raise TargetBusy(lock.run if lock else run, "Another run works on one of the targets at this moment.")
        unclaimed.announce(run)
        publish("holds")
        return run


def _insert(user: User, plan: Plan, key: str, context: str, glass: Glass | None, covered_by: Run | None) -> Run:
    """Run, steps, locks, first line and audit row: all or nothing. A run that waits for approval holds no lock.

    :raises IntegrityError: somebody was faster. :raises TooOften: no room.
    """
    moment = now()
    number = (Run.objects.aggregate(last=Max("number"))["last"] or 0) + 1
    if covered_by is None:
        limits.require_room(user, plan, moment)
    waits = not glass and covered_by is None and approvals.needed(plan)
    state = RunState.WAITING_FOR_APPROVAL if waits else RunState.QUEUED
    run = Run(
        number=number,
        plan=plan,
        cluster=plan.cluster,
        action=plan.action,
        state=state.value,
        state_changed_at=moment,
        context=context[:80],
        requested_by=user,
        requested_at=moment,
        idempotency_key=key,
        covered_by=covered_by,
        wake_at=None if waits else by_database(messages.UNTOLD),
        waiting_until=approvals.waiting_until(plan.cluster, moment) if waits else None,
        undo_of_id=plan.params["run"] if plan.action == undoing.SLUG else None,
    )
    run.save(force_insert=True)
    _steps_of(run)
    name = user.get_username()
    what = "a second person" if waits else "a worker"
    unclaimed.say(run, f"Accepted: plan {plan.pk[:8]}, asked for by {name}; waiting for {what}", at=moment)
    audit(actor=name, verb="run.ask" if waits else "run.start", object=f"run:{run.pk}", number=number, plan=plan.pk)
    if glass:
        reviews.opened(run, user, glass.reason, moment, via=glass.via)
        publish("holds")
    if waits:
        run.sentence = approvals.standing(run, moment).sentence
    else:
        unclaimed.take_locks(run, moment)
        messages.wake(messages.ADVANCE, run.pk)
    run.save(update_fields=["line_count", "sentence"])
    unclaimed.announce(run)
    return run


def _steps_of(run: Run) -> None:
    steps = enumerate(run.plan.document["steps"])
    Step.objects.bulk_create(
        Step(
            run=run,
            index=index,
            verb=step["spec"]["verb"],
            title=step["spec"]["title"],
            target_key=step["target"],
            state=StepState.PENDING.value,
        )
        for index, step in steps
    )
