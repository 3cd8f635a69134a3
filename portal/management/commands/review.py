"""``manage.py review RUN --as USER --finding TEXT --read-diff --read-log``: close the review of a broken glass."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from portal.management import deciding
from portal.management.reading import SentenceCommand


class Command(SentenceCommand):
    """A second person's review of a run without approval."""

    help = (
        "Closes the review of a run for which somebody broke the glass: another person has read its diff and its log. "
        "Exit code 0: closed; 1: refused; 3: the command could not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="RUN", help="number or id of the run")
        parser.add_argument("--finding", required=True, metavar="TEXT", help="what you found; it stays with the run")
        parser.add_argument("--read-diff", action="store_true", help="you have read the diff of its plan")
        parser.add_argument("--read-log", action="store_true", help="you have read its log")
        deciding.add(parser, reason=False)

    def handle(self, *args: Any, **options: Any) -> None:
        """Close it."""
        from deployments import reviews

        who, run = deciding.person(options["person"]), deciding.run_of(options["name"])
        read = {"read_diff": options["read_diff"], "read_log": options["read_log"]}

        def do() -> dict[str, Any]:
            review = reviews.close(who, run.pk, options["finding"], **read, via=deciding.via())
            said = f"The review of run {run.number} is closed."
            return {"run": run.pk, "number": run.number, "finding": review.finding, "sentence": said}

        deciding.carry_out(self, do, json=options["json"])
