"""``manage.py cancel RUN``: asks a run to end: at once when nobody has begun it, else between steps or inside a wait.

Exit 0: it was asked; 1: refused (it has ended, or no right); 3: the command could not run.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from portal.management import arguments
from portal.management.reading import SentenceCommand


class Command(SentenceCommand):
    """Cancel a run."""

    help = "Asks a run to end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", help="number or id of the run")
        parser.add_argument("--user", default="", help="who asks (default: the user command-line)")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, and say how the run stands."""
        from deployments import selectors
        from deployments.errors import Refusal
        from deployments.services import cancel_run

        try:
            run = cancel_run(arguments.person(options["user"]), arguments.run(options["run"]))
        except Refusal as refusal:
            if options["json"]:
                self.stdout.write(arguments.as_json({"error": str(refusal)}))
            self.stderr.write(str(refusal))
            sys.exit(1)
        said = f"run {run.number}: {run.state.replace('_', ' ')}; asked to cancel"
        self.stdout.write(arguments.as_json(selectors.run_json(run)) if options["json"] else said)
