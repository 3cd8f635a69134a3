"""`manage.py run_action ACTION --yes [--wait]`: plan and run an action as one step, for scripts.

Needs a migrated database and a kubeconfig. With ``--wait`` the command carries the run on itself when no worker takes
it within two seconds. Exit 0 only when the run ended verified.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from portal.management import arguments
from portal.management.reading import SentenceCommand, refuse


class Command(SentenceCommand):
    """Make a plan, confirm it, and wait for its evidence."""

    help = (
        "Plans an action and runs it. Exit code 0 only when the run ended verified; 1: refused, not ended or ended "
        "otherwise; 3: the command could not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add(parser)
        parser.add_argument("--yes", action="store_true", help="really run it")
        parser.add_argument("--confirm", default="", metavar="NAME", help="tier 3: the name of what it is about")
        parser.add_argument("--wait", action="store_true", help="wait until it has ended")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the run; exit 0 only when verified."""
        if not options["yes"]:
            raise refuse("This changes the cluster. Read `manage.py plan` first, then add --yes.")
        from deployments import selectors
        from deployments.engine import driver, requests
        from deployments.errors import Refusal
        from deployments.services import request_plan, start_run
        from deployments.states import RunState

        user = arguments.person(options["user"])
        try:
            asked = request_plan(user, options["action"], arguments.params(options["param"]))
            request = requests.finished(asked.pk)
            if request.plan is None:
                self._refused(request.sentence, json=options["json"])
                return
            run = start_run(user, request.plan.pk, asked.pk, confirm=options["confirm"])
        except Refusal as refusal:
            self._refused(str(refusal), json=options["json"])
            return
        if options["wait"]:
            teller = _Teller(self, quiet=options["json"])
            run = driver.drive(run.pk, told=teller)
        if options["json"]:
            self.stdout.write(arguments.as_json(selectors.run_json(run)))
        else:
            self.stdout.write(f"run {run.number} ({run.pk}): {run.state.replace('_', ' ')}: {run.sentence}")
        sys.exit(0 if run.state == RunState.SUCCEEDED.value else 1)

    def _refused(self, sentence: str, *, json: bool) -> None:
        if json:
            empty: dict[str, Any] = {"run": None, "state": "refused", "steps": [], "verification": []}
            self.stdout.write(arguments.as_json({**empty, "sentence": sentence}))
        self.stderr.write(sentence)
        sys.exit(1)


class _Teller:
    """Prints the run's log as it grows."""

    def __init__(self, command: BaseCommand, *, quiet: bool) -> None:
        self._command, self._quiet, self._told = command, quiet, 0

    def __call__(self, run: Any) -> None:
        if self._quiet:
            return
        for line in run.lines.filter(number__gt=self._told).order_by("number"):
            self._command.stdout.write(f"{line.number:>4} {line.at:%H:%M:%S} {line.text}")
            self._told = line.number
