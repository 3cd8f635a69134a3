"""``manage.py stop_writes --as USER --reason TEXT``: no effect is made any more, by queued and running runs either."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from portal.management import deciding
from portal.management.reading import SentenceCommand


class Command(SentenceCommand):
    """Press the stop switch."""

    help = (
        "Stops all writes to the cluster until allow_writes. Needs the database, not Redis. Exit code 0: they are "
        "stopped; 1: refused; 3: the command could not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        deciding.add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Press it, and print whose reason stands."""
        from deployments import gates, stops

        who = deciding.person(options["person"])

        def do() -> dict[str, Any]:
            stop = stops.stop_writes(who, options["reason"], via=deciding.via())
            return {
                "cluster": stop.cluster,
                "by": stop.by.get_username(),
                "reason": stop.reason,
                "at": stop.at.isoformat(timespec="seconds"),
                "sentence": gates.stop_words(stop),
            }

        deciding.carry_out(self, do, json=options["json"])
