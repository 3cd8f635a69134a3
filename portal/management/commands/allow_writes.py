"""``manage.py allow_writes --as USER``: take the stop away; what it held goes on."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from portal.management import deciding
from portal.management.reading import SentenceCommand


class Command(SentenceCommand):
    """Release the stop switch."""

    help = "Allows writes again. Exit code 0: they are allowed; 1: refused; 3: the command could not run."

    def add_arguments(self, parser: CommandParser) -> None:
        deciding.add(parser, reason=False)

    def handle(self, *args: Any, **options: Any) -> None:
        """Release it, and say whether it was on."""
        from deployments import stops

        who, cluster = deciding.person(options["person"]), settings.PORTAL_CLUSTER

        def do() -> dict[str, Any]:
            was_on = stops.allow_writes(who, via=deciding.via())
            said = "are allowed again" if was_on else "were not stopped"
            return {"cluster": cluster, "was_stopped": was_on, "sentence": f"Writes to {cluster} {said}."}

        deciding.carry_out(self, do, json=options["json"])
