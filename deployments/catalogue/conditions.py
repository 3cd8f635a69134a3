"""The named predicates of steps: what a wait waits for and what guards an effect.

Each is a pure function of a Snapshot, its arguments and what it remembered at its last look. The names are stored in
plans, so a name is never given a new meaning. A :class:`monitoring.snapshot.Missing` goes through to the engine, which
waits: what was not read is neither met nor failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.catalogue import argocd, rollout
from deployments.catalogue.action import Condition
from deployments.catalogue.seen import Seen
from monitoring.snapshot import Need, Snapshot

Look = Callable[[Snapshot, Mapping[str, Any], Mapping[str, Any]], Seen]


@dataclass(frozen=True, slots=True)
class Predicate:
    """``needs`` names what to read; ``look`` judges it."""

    needs: Callable[[Snapshot, Mapping[str, Any]], Iterable[Need]]
    look: Look


_KNOWN: dict[str, Predicate] = {
    "argocd_idle": Predicate(argocd.application_needs, argocd.idle),
    "argocd_running": Predicate(argocd.application_needs, argocd.running),
    "argocd_refreshed": Predicate(argocd.application_needs, argocd.refreshed),
    "argocd_only_differs": Predicate(argocd.application_needs, argocd.only_differs),
    "argocd_operation_done": Predicate(argocd.application_needs, argocd.operation_done),
    "rolled_out": Predicate(rollout.needs, rollout.rolled_out),
    "not_paused": Predicate(rollout.needs, rollout.not_paused),
}


def get(condition: Condition) -> Predicate:
    """The predicate of a condition. :raises LookupError: a plan of a newer version names one that is not here."""
    try:
        return _KNOWN[condition.name]
    except KeyError:
        raise LookupError(f"This version knows no condition called {condition.name}.") from None


def needs(condition: Condition, snapshot: Snapshot) -> Iterable[Need]:
    """What to read for a condition; asked again with what was read, as checks are."""
    return get(condition).needs(snapshot, condition.args)


def look(condition: Condition, snapshot: Snapshot, memory: Mapping[str, Any]) -> Seen:
    """Judge a condition. :raises monitoring.snapshot.Missing: what it needs was not read."""
    return get(condition).look(snapshot, condition.args, memory)
