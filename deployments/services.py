"""What a person asks for: a plan, a run, its end. Each is a row with its audit row in one transaction, then a wake-up.

Refusals are :class:`deployments.errors.Refusal`, one sentence for the person. Rights are asked here, and again by the
engine when the run begins. Opens no connection to a cluster.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max

from common.clock import now
from common.models import audit
from common.publish import publish
from deployments import gates, messages
from deployments.catalogue import registry, undoing
from deployments.errors import NotAllowed, TargetBusy, Unfit
from deployments.models import Lock, LogLine, Plan, PlanRequest, Run, Step, WriteStop, new_ulid
from deployments.states import FINAL, RequestState, RunState, StepState

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: when the message is lost, the sweep finds the run after this
_UNTOLD = timedelta(seconds=2)
_TRIES = 5


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
        raise Unfit(str(error)) from None
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


def start_run(user: User, plan_hash: str, idempotency_key: str, context: str = "") -> Run:
    """Accept a plan for execution. The same key is the same run; a second click on a running plan shows its run.

    :raises NotAllowed: no right for this tier. :raises Unfit: unknown plan, unmet preconditions, moved targets.
    :raises TargetBusy: another run holds one of the targets; it is in ``.run``.
    """
    plan = Plan.objects.filter(pk=plan_hash).first()
    if plan is None:
        raise Unfit("There is no such plan. Make a new one.")
    _require(user, f"deployments.run_tier{plan.tier}", f"run tier {plan.tier} plans")
    key = _key(user, "run", idempotency_key)
    for _ in range(_TRIES):
        existing = _already(plan, key)
        if existing is not None:
            return existing
        _fits(plan)
        try:
            with transaction.atomic():
                return _insert(user, plan, key, context)
        except IntegrityError:
            # somebody took the key, the number or a lock in this moment: look again
            continue
    raise Unfit("Too many people start runs at this moment; try again.")


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
            held.line_count += 1
            LogLine.objects.create(
                run=held,
                number=held.line_count,
                at=held.cancel_requested_at,
                step_index=held.current_step if held.started_at else -1,
                level="warn",
                text=f"{user.get_username()} asked to cancel",
            )
            held.save(update_fields=["cancel_requested_at", "cancel_requested_by", "line_count"])
            audit(actor=user.get_username(), verb="run.cancel", object=f"run:{held.pk}", number=held.number)
        if held.state in (RunState.QUEUED.value, RunState.WAITING_FOR_APPROVAL.value) and held.lease_until is None:
            _cancel_now(held, user)
        publish(f"run:{held.pk}", "runs", *filter(None, [held.context]))
        messages.wake(messages.ADVANCE, held.pk)
    return held


def stop_writes(user: User, reason: str) -> WriteStop:
    """Stop every effect on this cluster, of queued and running runs as well. :raises NotAllowed:"""
    _require(user, "deployments.stop_writes", "stop all writes")
    cluster = settings.PORTAL_CLUSTER
    with transaction.atomic():
        stop, made = WriteStop.objects.get_or_create(
            cluster=cluster, defaults={"by": user, "reason": reason[:500], "at": now()}
        )
        if made:
            audit(actor=user.get_username(), verb="writes.stop", object=f"cluster:{cluster}", reason=reason[:500])
    return stop


def allow_writes(user: User) -> None:
    """Take the stop away; waiting runs go on. :raises NotAllowed:"""
    _require(user, "deployments.stop_writes", "allow writes again")
    cluster = settings.PORTAL_CLUSTER
    with transaction.atomic():
        if WriteStop.objects.filter(cluster=cluster).delete()[0]:
            audit(actor=user.get_username(), verb="writes.allow", object=f"cluster:{cluster}")


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
    lock = gates.holder_of(plan.document["locks"])
    if lock is None:
        return None
    if lock.run.plan_id == plan.pk:
        return lock.run
    name = lock.target_key.rsplit("/", 1)[-1]
    raise TargetBusy(lock.run, f"Run {lock.run.number} works on {name} at this moment; wait for it or cancel it.")


def _fits(plan: Plan) -> None:
    if plan.tier >= 3 or (plan.tier == 2 and settings.PORTAL_PRODUCTION):
        raise Unfit(f"Tier {plan.tier} plans need a second person's approval.")
    if plan.moved:
        raise Unfit(f"The plan no longer fits the cluster: {plan.moved} Make a new plan.")
    open_ones = gates.unmet(plan)
    if open_ones:
        first = open_ones[0]
        raise Unfit(f"{len(open_ones)} of the preconditions are not met: {first.sentence} ({first.evidence}).")


def _insert(user: User, plan: Plan, key: str, context: str) -> Run:
    """Run, steps, locks, first line and audit row: all or nothing. :raises IntegrityError: somebody was faster."""
    moment = now()
    number = (Run.objects.aggregate(last=Max("number"))["last"] or 0) + 1
    run = Run(
        number=number,
        plan=plan,
        cluster=plan.cluster,
        action=plan.action,
        state=RunState.QUEUED.value,
        state_changed_at=moment,
        context=context[:80],
        requested_by=user,
        requested_at=moment,
        idempotency_key=key,
        wake_at=moment + _UNTOLD,
        undo_of_id=plan.params["run"] if plan.action == undoing.SLUG else None,
        line_count=1,
    )
    run.save(force_insert=True)
    steps = [(index, step["spec"], step["target"]) for index, step in enumerate(plan.document["steps"])]
    Step.objects.bulk_create(
        Step(
            run=run,
            index=index,
            verb=spec["verb"],
            title=spec["title"],
            target_key=target,
            state=StepState.PENDING.value,
        )
        for index, spec, target in steps
    )
    Lock.objects.bulk_create(Lock(target_key=target, run=run, fence=0, at=moment) for target in plan.document["locks"])
    said = f"Accepted: plan {plan.pk[:8]}, asked for by {user.get_username()}; waiting for a worker"
    LogLine.objects.create(run=run, number=1, at=moment, text=said)
    audit(actor=user.get_username(), verb="run.start", object=f"run:{run.pk}", number=number, plan=plan.pk)
    publish(f"run:{run.pk}", "runs", *filter(None, [run.context]))
    messages.wake(messages.ADVANCE, run.pk)
    return run


def _cancel_now(run: Run, user: User) -> None:
    """Nobody has begun it: the end is certain."""
    run.state, run.state_changed_at, run.finished_at = RunState.CANCELLED.value, now(), now()
    run.sentence, run.wake_at = f"Cancelled by {user.get_username()} before it started.", None
    run.line_count += 1
    run.save()
    run.locks.all().delete()
    run.steps.update(state=StepState.SKIPPED.value)
    LogLine.objects.create(
        run=run, number=run.line_count, at=run.finished_at, level="warn", text=f"cancelled: {run.sentence}"
    )
    audit(actor="phaseboard", verb="run.cancelled", object=f"run:{run.pk}", number=run.number, sentence=run.sentence)
