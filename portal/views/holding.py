"""What holds runs at this moment, as every page says it: the stop switch, an open review, freezes. One query.

The engine asks the same rows by itself (:mod:`deployments.gates`); here they are only shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import CharField, F, IntegerField, TextField, Value
from django.db.models.functions import Cast

from deployments import freezes, policies
from deployments.errors import Refusal
from deployments.freezes import Freeze, Frozen
from deployments.models import ClusterPolicy, Review, WriteStop


@dataclass(frozen=True, slots=True)
class Said:
    """Who holds runs, since when, why; of an open review also its run."""

    by: str
    at: datetime
    reason: str
    run_id: str = ""
    run_number: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """``windows`` is None when a stored policy cannot be read; ``error`` says which."""

    stop: Said | None
    glass: Said | None
    windows: tuple[Freeze, ...] | None
    error: str = ""

    def shown(self, at: datetime, tier: int | None = None) -> dict[str, Any]:
        """The context of ``parts/holds.html`` (as ``holds``) and of ``parts/freezes.html``; ``tier``: only the freezes
        that concern a plan of it."""
        frame: dict[str, Any] = {"holds": {"stop": self.stop, "glass": self.glass}}
        if self.windows is None:
            return frame | {"policy_error": self.error}
        windows = [each for each in self.windows if tier is None or tier in each.tiers]
        return frame | {
            "one_tier": tier is not None,
            "frozen": [_frozen(each) for each in freezes.current(windows, at)],
            "coming": [_frozen(each) for each in freezes.coming(windows, at)],
        }


def read() -> Holding:
    """The rows as they are now."""
    cluster = settings.PORTAL_CLUSTER
    stop = WriteStop.objects.filter(cluster=cluster)
    review = Review.objects.filter(cluster=cluster, closed_at=None).order_by()
    policy = ClusterPolicy.objects.filter(cluster=cluster).order_by()
    none, zero = Value("", CharField()), Value(0, IntegerField())
    rows = stop.values_list(
        Value("stop", CharField()), "by__username", "at", "reason", none, zero, Value("", TextField())
    ).union(
        review.values_list(
            Value("glass", CharField()),
            "opened_by__username",
            "opened_at",
            "reason",
            "run_id",
            "run__number",
            Cast(F("run__plan__title"), TextField()),
        ),
        policy.values_list(
            Value("policy", CharField()), "source", "loaded_at", "hash", none, zero, Cast("document", TextField())
        ),
        all=True,
    )
    return _of(list(rows))


def _of(rows: Sequence[Any]) -> Holding:
    said = {row[0]: Said(*row[1:]) for row in rows if row[0] != "policy"}
    try:
        stored = sorted(row for row in rows if row[0] == "policy")
        found = [policies.parsed(source, hashed, text) for _, source, _, hashed, _, _, text in stored]
    except Refusal as unreadable:
        return Holding(said.get("stop"), said.get("glass"), None, str(unreadable))
    windows = tuple(freeze for each in found for freeze in each.freezes)
    return Holding(said.get("stop"), said.get("glass"), windows)


def changes_at(at: datetime) -> datetime | None:
    """When a freeze begins or ends next."""
    windows = read().windows
    return freezes.changes_at(windows, at) if windows else None


def _frozen(frozen: Frozen) -> dict[str, Any]:
    freeze = frozen.freeze
    return {
        "name": freeze.name,
        "reason": freeze.reason,
        "tiers": _tiers(freeze.tiers),
        "since": frozen.since,
        "until": frozen.until,
        "zone": freeze.time_zone,
    }


def _tiers(tiers: Iterable[int]) -> str:
    """``tier 3``, ``tiers 2 and 3``."""
    names = [str(tier) for tier in sorted(set(tiers))]
    return f"tier{'s' if len(names) > 1 else ''} {', '.join(names[:-1])}{' and ' if names[1:] else ''}{names[-1]}"
