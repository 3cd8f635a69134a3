"""Ties a moved check to the items it proves: the observer calls this inside the transaction that writes the readings.

``monitoring`` knows no items; this is the one place where its transitions become theirs. Errors are the transaction's:
nothing is half written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from monitoring.models import Check
from portal.checklists.models import ItemCheck, Project
from portal.checklists.spans import refresh


class ItemSink:
    """Implements ``monitoring.services.Sink``."""

    def moved(self, checks: Collection[Check], at: datetime) -> list[str]:
        """Write the ItemSpans of the items these checks prove, and of those that wait for them. Returns the topics."""
        by_project: dict[int, set[int]] = defaultdict(set)
        for item_id, project_id in _bound(checks):
            by_project[project_id].add(item_id)
        projects = Project.objects.in_bulk(list(by_project))
        return [topic for pk, items in by_project.items() for topic in refresh(projects[pk], items, at)]

    def touched(self, checks: Collection[Check]) -> list[str]:
        """The topics of the items that show these checks."""
        return [f"item:{item_id}" for item_id, _ in _bound(checks)]


def _bound(checks: Collection[Check]) -> list[tuple[int, int]]:
    rows = ItemCheck.objects.filter(check_ref__in=[check.pk for check in checks], item__retired=False)
    return sorted(set(rows.values_list("item_id", "item__project_id")))
