"""What stands between a plan and its run, read from the database: unmet preconditions and locks of other runs."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from deployments.catalogue.action import Precondition
from deployments.models import Lock, Plan


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
