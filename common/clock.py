"""The one place that reads the clock. Everything pure takes time as an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def by_database(ahead: timedelta = timedelta(0)) -> CombinedExpression:
    """The database's own time, so much later, as an expression to store or to compare with.

    What processes decide by each other's times (a lease, when a run is due) goes by this one clock: theirs may differ.
    It is the time at which the statement began (PostgreSQL), or the host's of the process (SQLite has no other).
    """
    # the sum also when nothing is added: SQLite then writes it as Django writes a datetime, and both compare as texts
    return Now() + ahead
