"""How a run stands with the people it needs, and what holds runs now, as the pages show it. Reads the database.

All but :func:`panel` is the same for everybody who looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from deployments import approvals, gates, policies
from deployments.errors import Refusal
from deployments.models import Approval, Plan, Review, Run
from deployments.states import RunState
from portal.views.filediff import Line
from portal.views.planview import Change, plan_view, target_name

_WAITING = RunState.WAITING_FOR_APPROVAL
#: objects, and lines of each, that are shown beside a request; the plan has all of them
_CHANGES, _LINES = 3, 6


@dataclass(frozen=True, slots=True)
class Voice:
    """One person's yes or no. ``why`` says why a yes does not count."""

    by: str
    granted: bool
    reason: str
    at: datetime
    expires_at: datetime
    counts: bool
    why: str


@dataclass(frozen=True, slots=True)
class Glass:
    """A broken glass and its review."""

    run_id: str
    run_number: int
    title: str
    by: str
    at: datetime
    reason: str
    closed_by: str
    closed_at: datetime | None
    finding: str


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """Everything about a run's approvals but who looks at them. ``shown``: there is something to say."""

    run_id: str
    run_number: int
    state: str
    title: str
    tier: int
    plan_hash: str
    plan_short: str
    requested_by: str
    requested_at: datetime
    shown: bool
    waiting: bool
    #: what is asked for: ``2 approvals by approver or admin``
    words: str
    given: int
    missing: int
    voices: tuple[Voice, ...]
    people: tuple[str, ...]
    waiting_until: datetime | None
    sentence: str
    freeze: str
    glass: Glass | None
    covered_by: Any


@dataclass(frozen=True, slots=True)
class Glimpse:
    """The first changed lines of one object. ``more``: how many there are besides."""

    name: str
    lines: tuple[Line, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Request:
    """A run that waits, with what its approver reads first."""

    approval: ApprovalView
    targets: tuple[str, ...]
    changes: tuple[Glimpse, ...]
    more_changes: int
    added: int
    removed: int
    blast: str
    unmet: int
    moved: str


def of_run(run: Run, at: datetime) -> ApprovalView:
    """How a run stands at a moment."""
    waiting = run.state == _WAITING
    heard = list(run.approvals.select_related("by"))
    glass = glass_of(Review.objects.filter(run=run))
    shown_here = bool(waiting or heard or glass or run.covered_by_id)
    words, given, missing, counting, void = "", 0, 0, set[int](), dict[int, str]()
    people: tuple[str, ...] = ()
    try:
        if shown_here:  # most runs ask nobody: their page need not read the policy
            found = approvals.standing(run, at)
            words, given, missing = found.words, len(found.given), found.missing
            people = tuple(approvals.people_who_may(run)) if waiting else ()
            counting, void = {a.pk for a in found.given}, {a.pk: why for a, why in found.void}
    except Refusal as unreadable:
        words, missing = str(unreadable), 1
    voices = tuple(_voice(each, counting, void) for each in heard)
    return ApprovalView(
        run_id=run.pk,
        run_number=run.number,
        state=run.state,
        title=run.plan.title,
        tier=run.plan.tier,
        plan_hash=run.plan_id,
        plan_short=run.plan_id[:8],
        requested_by=run.requested_by.get_username(),
        requested_at=run.requested_at,
        shown=shown_here,
        waiting=waiting,
        words=words,
        given=given,
        missing=missing,
        voices=voices,
        people=people,
        waiting_until=run.waiting_until,
        sentence=run.sentence if waiting else "",
        freeze=freeze_sentence(run.cluster, run.plan.tier, at) if waiting else "",
        glass=glass,
        covered_by=run.covered_by,
    )


def _voice(given: Approval, counting: set[int], void: dict[int, str]) -> Voice:
    counts = given.pk in counting
    why = "" if counts or not given.granted else void.get(given.pk, "lapsed")
    name = given.by.get_username()
    return Voice(name, given.granted, given.reason, given.at, given.expires_at, counts, why.removeprefix(f"{name} "))


def glass_of(rows: Any) -> Glass | None:
    """The first of some reviews."""
    review = rows.select_related("opened_by", "closed_by", "run", "run__plan").first()
    if review is None:
        return None
    return Glass(
        run_id=review.run_id,
        run_number=review.run.number,
        title=review.run.plan.title,
        by=review.opened_by.get_username(),
        at=review.opened_at,
        reason=review.reason,
        closed_by=review.closed_by.get_username() if review.closed_by else "",
        closed_at=review.closed_at,
        finding=review.finding,
    )


def freeze_sentence(cluster: str, tier: int, at: datetime) -> str:
    """The freeze that would hold a run of this tier now; empty when none does."""
    try:
        frozen = gates.freeze_of(cluster, tier, at)
    except Refusal as unreadable:
        return str(unreadable)
    return gates.freeze_words(frozen) if frozen is not None else ""


def panel(run: Run | None, user: User, may_break: bool, at: datetime) -> dict[str, Any]:
    """What the pages of a plan and of a run show of its approvals to one person, who may decide or is told why not."""
    if run is None:
        return {"approval": None, "may_break": may_break}
    view = of_run(run, at)
    queued = run.state == RunState.QUEUED and bool(freeze_sentence(run.cluster, run.plan.tier, at))
    mine = any(voice.counts and voice.by == user.get_username() for voice in view.voices)
    why_not = approvals.may_decide(user, run) if view.waiting else ""
    return {
        "approval": view,
        "why_not": why_not or ("You have approved it." if mine else ""),
        "may_break": may_break and view.glass is None and (view.waiting or queued),
    }


# -- requests


def waiting(at: datetime) -> list[Request]:
    """Every run that waits for approval, the oldest first."""
    rows = Run.objects.filter(cluster=settings.PORTAL_CLUSTER, state=_WAITING.value).order_by("requested_at")
    return [_request(run, at) for run in rows.select_related("plan", "requested_by", "covered_by")[:50]]


def count() -> int:
    """How many runs wait for approval."""
    return Run.objects.filter(cluster=settings.PORTAL_CLUSTER, state=_WAITING.value).count()


def _request(run: Run, at: datetime) -> Request:
    view = plan_view(run.plan)
    return Request(
        approval=of_run(run, at),
        targets=tuple(dict.fromkeys(target_name(key) for key in gates.targets(run.plan))),
        changes=tuple(map(_glimpse, view.changes[:_CHANGES])),
        more_changes=max(0, len(view.changes) - _CHANGES),
        added=sum(change.added for change in view.changes),
        removed=sum(change.removed for change in view.changes),
        blast=view.blast_sentence,
        unmet=sum(not pre.met for pre in view.preconditions),
        moved=view.moved,
    )


def _glimpse(change: Change) -> Glimpse:
    lines = [line for line in change.lines if line.kind in ("add", "del")]
    return Glimpse(change.name, tuple(lines[:_LINES]), max(0, len(lines) - _LINES))


def asks(plan: Plan) -> str:
    """What a run of this plan needs first, as a sentence; empty when nobody is needed. :raises Refusal: unreadable."""
    wanted = policies.wanted(plan.cluster, plan.tier)
    words = " and ".join(dict.fromkeys(seat.words for seats in wanted for seat in seats))
    if not wanted:
        return ""
    minutes = min(each.approval_minutes for each in policies.of(plan.cluster))
    return f"A second person must say yes first: {words}. It stands for {minutes} minutes and for this plan alone."
