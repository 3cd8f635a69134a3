"""Plans and runs as the commands print them.

Reads the database only. Every word of a cluster in here was redacted when it was stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from common.clock import now
from common.redaction import visible
from deployments import approvals, freezes, gates, policies, reviews
from deployments.catalogue.action import Blast, FollowUp, Precondition
from deployments.engine import document as documents
from deployments.engine.document import PlannedStep
from deployments.models import Plan, Run
from deployments.states import RunState

TIERS = ("read, refresh", "reversible", "disruptive", "destructive")


@dataclass(frozen=True, slots=True)
class Change:
    """One field before and after; None where there is none."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step of a plan, counted from 1."""

    number: int
    verb: str
    title: str
    how: str
    kind: str
    namespace: str
    name: str
    writes: bool
    irreversible: bool
    timeout_seconds: int
    diff: tuple[Change, ...]
    folded: int
    command: str
    refused: str

    @property
    def added(self) -> int:
        return sum(1 for change in self.diff if change.after is not None)

    @property
    def removed(self) -> int:
        return sum(1 for change in self.diff if change.before is not None)


@dataclass(frozen=True, slots=True)
class VerificationCheck:
    """One check that must hold at the end."""

    title: str
    type: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan, ready to be shown. ``runnable``: everything is met; who may run it is the view's to ask."""

    hash: str
    action: str
    title: str
    summary: str
    tier: int
    params: dict[str, Any]
    created_at: datetime
    compared_at: datetime | None
    moved: str
    managed_by: str
    git_way: str
    git_patch: str
    confirm: str
    follow_up: FollowUp | None
    steps: tuple[PlanStep, ...]
    preconditions: tuple[Precondition, ...]
    checks: tuple[VerificationCheck, ...]
    hold_seconds: int
    verify_seconds: int
    undo: str
    blast: Blast
    rights: tuple[dict[str, Any], ...]
    identity: str
    one_identity: bool
    objects_read: int
    #: the run that holds a target, if any
    holder: Run | None

    @property
    def short(self) -> str:
        return self.hash[:8]

    @property
    def tier_word(self) -> str:
        return TIERS[self.tier]

    @property
    def changes(self) -> tuple[PlanStep, ...]:
        """The steps that write something, with their differences."""
        return tuple(step for step in self.steps if step.writes)

    @property
    def unmet(self) -> tuple[Precondition, ...]:
        return tuple(p for p in self.preconditions if not p.met)

    @property
    def runnable(self) -> bool:
        return not self.unmet and not self.moved

    @property
    def irreversible(self) -> bool:
        return any(step.irreversible for step in self.steps)

    @property
    def folded(self) -> int:
        return sum(step.folded for step in self.steps)


def plan_view(plan: Plan) -> PlanView:
    """A plan with the latest reading of its preconditions."""
    document = documents.load(plan.document)
    lock = gates.holder_of(document.locks)
    return PlanView(
        hash=plan.pk,
        action=plan.action,
        title=plan.title,
        summary=document.summary,
        tier=plan.tier,
        params=plan.params,
        created_at=plan.created_at,
        compared_at=plan.compared_at,
        moved=plan.moved,
        managed_by=document.managed_by,
        git_way=document.git_way,
        git_patch=document.git_patch,
        confirm=document.confirm,
        follow_up=document.follow_up,
        steps=tuple(_plan_step(number, step) for number, step in enumerate(document.steps, 1)),
        preconditions=tuple(gates.preconditions(plan)),
        checks=tuple(VerificationCheck(c.title, c.type, c.params) for c in document.verification.checks),
        hold_seconds=document.verification.hold_seconds,
        verify_seconds=document.verification.timeout_seconds,
        undo=document.undo,
        blast=document.blast,
        rights=tuple(plan.rights),
        identity=document.identity,
        one_identity=document.one_identity,
        objects_read=document.objects_read,
        holder=lock.run if lock else None,
    )


def _plan_step(number: int, step: PlannedStep) -> PlanStep:
    spec = step.spec
    return PlanStep(
        number=number,
        verb=spec.verb,
        title=spec.title,
        how=spec.how,
        kind=spec.ref.kind,
        namespace=spec.namespace,
        name=spec.name,
        writes=spec.effect is not None,
        irreversible=spec.irreversible,
        timeout_seconds=spec.timeout_seconds,
        diff=tuple(Change(c["path"], c["before"], c["after"]) for c in step.diff),
        folded=step.folded,
        command=step.command,
        refused=step.refused,
    )


# -- commands


def plan_json(plan: Plan) -> dict[str, Any]:
    """What ``manage.py plan --json`` prints; the shape is a promise."""
    view = plan_view(plan)
    return {
        "hash": view.hash,
        "action": view.action,
        "tier": view.tier,
        "params": view.params,
        "preconditions": [{"sentence": p.sentence, "met": p.met, "evidence": p.evidence} for p in view.preconditions],
        "steps": [_step_json(step) for step in view.steps],
        "verification": {
            "checks": [{"title": c.title, "type": c.type, "params": c.params} for c in view.checks],
            "hold_seconds": view.hold_seconds,
            "timeout_seconds": view.verify_seconds,
        },
        "undo": view.undo,
        "approval": _asked(plan),
        "managed_by": view.managed_by,
        "blast": {name: value for name, value in msgspec.to_builtins(view.blast).items() if value},
        "git_way": view.git_way,
        "git_patch": view.git_patch,
        "confirm": gates.phrase(plan),
        "follow_up": msgspec.to_builtins(view.follow_up),
        "rights": list(view.rights),
        "identity": view.identity,
    }


def _asked(plan: Plan) -> str:
    """The approvals that a run of this plan waits for; empty: none."""
    seats = [seat.words for each in policies.wanted(plan.cluster, plan.tier) for seat in each]
    return " and ".join(dict.fromkeys(seats))


def _step_json(step: PlanStep) -> dict[str, Any]:
    return {
        "verb": step.verb,
        "kind": step.kind,
        "namespace": step.namespace,
        "name": step.name,
        "title": step.title,
        "diff": [{"path": c.path, "before": c.before, "after": c.after} for c in step.diff],
        "command": step.command,
    }


def plan_text(plan: Plan) -> str:
    """A plan for a terminal."""
    view = plan_view(plan)
    return "\n".join(_plan_lines(view))


def _plan_lines(view: PlanView) -> Iterable[str]:
    yield f"{view.title}  {view.short}  tier {view.tier}, {view.tier_word}"
    if view.managed_by:
        yield f"  {view.managed_by}"
    if view.git_way:
        yield f"  {view.git_way}{' (The patch: --json, git_patch.)' if view.git_patch else ''}"
    elif view.git_patch:
        # the difference of a file in Git, which no field of an object shows
        yield from (f"  {visible(line, 400)}" for line in view.git_patch.splitlines())
    for p in view.preconditions:
        yield f"  {'met  ' if p.met else 'UNMET'} {p.sentence}  ({p.evidence})"
    for step in view.steps:
        yield f"  {step.number}. {step.title}  [{step.how}]"
        for change in step.diff:
            yield f"       {change.path}: {_text(change.before)} -> {_text(change.after)}"
        if step.refused:
            yield f"       refused in the dry run: {step.refused}"
    titles = ", ".join(c.title for c in view.checks)
    yield f"  Verified by: {titles}, for {view.hold_seconds} s" if titles else "  Verified by the steps themselves"
    if view.follow_up is not None:
        yield f"  Then: {view.follow_up.sentence}"
    if view.blast.sentence:
        yield f"  Touches: {view.blast.sentence}"
    yield f"  Undo: {view.undo}"


def _text(value: Any) -> str:
    return "(none)" if value is None else str(value)


def run_json(run: Run) -> dict[str, Any]:
    """What ``manage.py run_action --json`` prints; the shape is a promise."""
    run.refresh_from_db()
    return {
        "run": run.pk,
        "number": run.number,
        "state": run.state,
        "sentence": run.sentence,
        "plan": run.plan_id,
        "steps": [
            {"number": s.index + 1, "verb": s.verb, "title": s.title, "state": s.state, "sentence": s.sentence}
            for s in run.steps.all()
        ],
        "verification": [
            {key: receipt[key] for key in ("title", "type", "word", "sentence", "observed", "at")}
            for receipt in run.now
        ],
    }


# -- approvals


def approval_json(run: Run) -> dict[str, Any]:
    """How a run stands with the people it needs; the shape is a promise of ``approve``, ``deny`` and ``approvals``."""
    run.refresh_from_db()
    found = approvals.standing(run, now())
    void = {approval.pk: why for approval, why in found.void}
    given = {approval.pk for approval in found.given}
    return {
        "run": run.pk,
        "number": run.number,
        "plan": run.plan_id,
        "action": run.action,
        "tier": run.plan.tier,
        "state": run.state,
        "sentence": run.sentence or f"Run {run.number} is {run.state.replace('_', ' ')}.",
        "requested_by": run.requested_by.get_username(),
        "wanted": found.words,
        "missing": found.missing,
        "waiting_until": _stamp(run.waiting_until),
        "approvals": [
            {
                "by": each.by.get_username(),
                "granted": each.granted,
                "reason": each.reason,
                "at": _stamp(each.at),
                "expires_at": _stamp(each.expires_at) if each.granted else None,
                "counts": each.pk in given,
                "why_not": void.get(each.pk, ""),
            }
            for each in run.approvals.select_related("by")
        ],
    }


def holds_json(cluster: str) -> dict[str, Any]:
    """What is waited for and what holds runs on a cluster now: ``manage.py approvals --json``."""
    stop, review, moment = gates.stop_of(cluster), reviews.open_in(cluster), now()
    waiting = Run.objects.filter(cluster=cluster, state=RunState.WAITING_FOR_APPROVAL.value)
    windows = policies.frozen_windows(cluster)
    return {
        "cluster": cluster,
        "waiting": [approval_json(run) for run in waiting.select_related("plan", "requested_by")],
        "stopped": {"by": stop.by.get_username(), "reason": stop.reason, "at": _stamp(stop.at)} if stop else None,
        "frozen": [_frozen_json(frozen) for frozen in freezes.current(windows, moment)],
        "freezes_ahead": [_frozen_json(frozen) for frozen in freezes.coming(windows, moment)],
        "review": {
            "run": review.run_id,
            "number": review.run.number,
            "opened_by": review.opened_by.get_username(),
            "opened_at": _stamp(review.opened_at),
            "reason": review.reason,
        }
        if review
        else None,
    }


def _frozen_json(frozen: freezes.Frozen) -> dict[str, Any]:
    return {
        "name": frozen.freeze.name,
        "reason": frozen.freeze.reason,
        "tiers": list(frozen.freeze.tiers),
        "since": _stamp(frozen.since),
        "until": _stamp(frozen.until),
    }


def _stamp(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
