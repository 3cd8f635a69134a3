"""``manage.py approvals``: who is waited for, and what holds runs on this cluster now. Changes nothing."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from portal.management import arguments
from portal.management.reading import SentenceCommand, refuse


class Command(SentenceCommand):
    """What waits for a person."""

    help = (
        "Lists runs that wait for approval, an open review of broken glass, the stop switch and freezes. Exit code 0; "
        "3: the command could not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        from deployments import selectors
        from deployments.errors import Refusal

        try:
            found = selectors.holds_json(settings.PORTAL_CLUSTER)
        except Refusal as unreadable:
            raise refuse(str(unreadable)) from None
        if options["json"]:
            self.stdout.write(arguments.as_json(found))
            return
        stop, review = found["stopped"], found["review"]
        lines = [f"All writes are stopped by {stop['by']}: {stop['reason']}"] if stop else []
        lines += [f"Frozen until {each['until']}: {each['name']}: {each['reason']}" for each in found["frozen"]]
        if review:
            lines.append(f"RED run {review['number']}: {review['opened_by']} broke the glass: {review['reason']}")
        for run in found["waiting"]:
            lines.append(
                f"run {run['number']}  plan {run['plan'][:8]}  tier {run['tier']}  {run['action']}  "
                f"asked by {run['requested_by']}: {run['sentence']}"
            )
        self.stdout.write("\n".join(lines) or "Nothing waits for a person.")
