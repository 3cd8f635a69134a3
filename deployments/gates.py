"""What stands between a plan and its effects, from the database: unmet preconditions, locks, stop switch, freezes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from deployments import freezes, policies
from deployments.catalogue.action import Precondition
from deployments.errors import Unfit
from deployments.freezes import Frozen
from deployments.models import Lock, Plan, Review, Run, WriteStop


def holder_of(keys: Iterable[str]) -> Lock | None:
    """The oldest lock another run holds on one of these targets, or None."""
    return Lock.objects.filter(target_key__in=list(keys)).select_related("run").order_by("at").first()


def preconditions(plan: Plan) -> list[Precondition]:
    """The latest reading of the preconditions, and whether the targets are free at this moment."""
    lock = holder_of(plan.document["locks"])
    count = len(plan.document["locks"])
    evidence = f"run {lock.run.number} holds {lock.target_key}" if lock else f"{count} targets are free"
    free = Precondition("No other run works on these targets", lock is None, evidence)
    return [*msgspec.convert(plan.preconditions, list[Precondition]), free]


def unmet(plan: Plan) -> list[Precondition]:
    """What was not met at the latest reading of the cluster (locks are not asked here)."""
    return [p for p in msgspec.convert(plan.preconditions, list[Precondition]) if not p.met]


def require_fit(plan: Plan) -> None:
    """:raises Unfit: the targets moved, or a precondition was not met, at the latest reading."""
    if plan.moved:
        raise Unfit(f"The plan no longer fits the cluster: {plan.moved} Make a new plan.")
    open_ones = unmet(plan)
    if open_ones:
        first = open_ones[0]
        raise Unfit(f"{len(open_ones)} of the preconditions are not met: {first.sentence} ({first.evidence}).")


def phrase(plan: Plan) -> str:
    """What a person types before a tier 3 plan runs: the plan's own word, else the name of its first target."""
    said = plan.document.get("confirm") or next(
        (str(step["spec"]["name"]) for step in plan.document["steps"] if step["spec"].get("effect")), ""
    )
    return str(said) if plan.tier >= 3 else ""


# -- what holds a run that is queued


@dataclass(frozen=True, slots=True)
class Hold:
    """Why no effect may be made now. ``until`` is empty when only a person can end it."""

    kind: str
    sentence: str
    until: datetime | None = None


def stop_of(cluster: str) -> WriteStop | None:
    """The stop switch of a cluster while it is on."""
    return WriteStop.objects.filter(cluster=cluster).select_related("by").first()


def hold_of(run: Run, at: datetime) -> Hold | None:
    """What holds a run now: the stop switch always; a freeze only what has changed nothing yet, and neither who broke
    the glass nor what an earlier run announced (it puts right what that one left)."""
    stop = stop_of(run.cluster)
    if stop is not None:
        return Hold("stop", f"Waiting: {stop_words(stop)}")
    if run.covered_by_id is not None or run.steps.filter(intent_at__isnull=False).exists():
        return None
    if Review.objects.filter(run=run).exists():
        return None
    try:
        frozen = freeze_of(run.cluster, run.plan.tier, at)
    except Unfit as unreadable:
        return Hold("policy", f"Waiting: {unreadable}")
    return Hold("freeze", f"Waiting: {freeze_words(frozen)}", frozen.until) if frozen is not None else None


def stop_words(stop: WriteStop) -> str:
    """The stop switch as a sentence."""
    return f"{stop.by.get_username()} stopped all writes to {stop.cluster}: {stop.reason}"


def freeze_of(cluster: str, tier: int, at: datetime) -> Frozen | None:
    """The freeze that holds plans of this tier, until the last of those that follow it. :raises Unfit: unreadable."""
    windows = policies.frozen_windows(cluster)
    frozen = freezes.holding(windows, tier, at)
    if frozen is None:
        return None
    return Frozen(frozen.freeze, frozen.since, freezes.open_until(windows, tier, at))


def freeze_words(frozen: Frozen) -> str:
    """A freeze as a sentence, with its end in its own zone and in UTC."""
    return (
        f"freeze “{frozen.freeze.name}” until {moment(frozen.until, frozen.freeze.time_zone)}: {frozen.freeze.reason}"
    )


def moment(at: datetime, zone: str = "UTC") -> str:
    """``6 Jan 08:00 Europe/Zurich (07:00 UTC)``."""
    local = at.astimezone(ZoneInfo(zone))
    said = f"{local.day} {local:%b %H:%M} {zone}"
    return said if zone == "UTC" else f"{said} ({at.astimezone(UTC):%H:%M} UTC)"


def targets(plan: Plan) -> list[str]:
    """The keys of the objects that the plan writes."""
    steps: list[dict[str, Any]] = plan.document["steps"]
    return sorted({str(step["target"]) for step in steps if step["spec"].get("effect")})
