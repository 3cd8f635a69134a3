"""The named predicates of steps: what a wait waits for and what guards an effect.

Each is a pure function of a Snapshot, its arguments and what it remembered at its last look. The names are stored in
plans, so a name is never given a new meaning. A :class:`monitoring.snapshot.Missing` goes through to the engine, which
waits: what was not read is neither met nor failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deployments.catalogue import families
from deployments.catalogue.action import Condition
from deployments.catalogue.seen import Predicate, Seen
from monitoring.snapshot import Need, Snapshot


def get(condition: Condition) -> Predicate:
    """The predicate of a condition. :raises LookupError: a plan of a newer version names one that is not here."""
    try:
        return families.CONDITIONS[condition.name]
    except KeyError:
        raise LookupError(f"This version knows no condition called {condition.name}.") from None


def needs(condition: Condition, snapshot: Snapshot) -> Iterable[Need]:
    """What to read for a condition; asked again with what was read, as checks are."""
    return get(condition).needs(snapshot, condition.args)


def look(condition: Condition, snapshot: Snapshot, memory: Mapping[str, Any]) -> Seen:
    """Judge a condition. :raises monitoring.snapshot.Missing: what it needs was not read."""
    return get(condition).look(snapshot, condition.args, memory)
