"""``manage.py undo RUN [--yes] [--wait]``: the plan that puts back what a run wrote; with ``--yes`` it is run.

RUN is a run's number or id. Needs a migrated database and a kubeconfig. Exit 0: the plan fits, or with ``--wait`` the
undo succeeded; 1: it does not fit or ended otherwise; 2: nothing of the run can be undone; 3: the command could not
run.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from portal.management import arguments
from portal.management.reading import SentenceCommand


class Command(SentenceCommand):
    """Plan, and with --yes make, the undoing of a run."""

    help = "Shows the plan that puts back what a run wrote; --yes runs it, --wait waits for its end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", help="number or id of the run")
        parser.add_argument("--user", default="", help="who asks (default: the user command-line)")
        parser.add_argument("--yes", action="store_true", help="really run it")
        parser.add_argument("--wait", action="store_true", help="wait until it has ended")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the plan, or the run of it."""
        from deployments import selectors
        from deployments.engine import driver, requests
        from deployments.errors import Refusal
        from deployments.services import start_run
        from deployments.states import RunState
        from deployments.undo import request_undo

        user = arguments.person(options["user"])
        try:
            request = requests.finished(request_undo(user, arguments.run(options["run"])).pk)
            if request.plan is None:
                self._fail(request.sentence, options["json"])
                return
            if not options["yes"]:
                document = selectors.plan_json(request.plan)
                self.stdout.write(arguments.as_json(document) if options["json"] else selectors.plan_text(request.plan))
                sys.exit(0 if all(p["met"] for p in document["preconditions"]) else 1)
            run = start_run(user, request.plan.pk, request.pk)
        except Refusal as refusal:
            self._fail(str(refusal), options["json"])
            return
        if options["wait"]:
            run = driver.drive(run.pk)
        said = f"run {run.number} ({run.pk}): {run.state.replace('_', ' ')}: {run.sentence}"
        self.stdout.write(arguments.as_json(selectors.run_json(run)) if options["json"] else said)
        sys.exit(0 if run.state == RunState.SUCCEEDED.value else 1)

    def _fail(self, sentence: str, json: bool) -> None:
        if json:
            self.stdout.write(arguments.as_json({"error": sentence}))
        self.stderr.write(sentence)
        sys.exit(2)
