"""`manage.py plan ACTION`: what an action would change, from a server-side dry run. Writes nothing to the cluster.

Needs a migrated database and a kubeconfig. Exit 0: it may run; 1: a precondition is not met; 2: no plan could be made;
3: the command could not run.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from portal.management import arguments
from portal.management.reading import SentenceCommand


class Command(SentenceCommand):
    """Make a plan and print it."""

    help = (
        "Shows exactly what an action would change, from a server-side dry run. Exit code 0: it may run; 1: a "
        "precondition is not met; 2: no plan could be made; 3: the command could not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        arguments.add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the plan; the exit code says whether it may run."""
        from deployments import selectors
        from deployments.engine import requests
        from deployments.errors import Refusal
        from deployments.services import request_plan

        given = arguments.params(options["param"])
        try:
            asked = request_plan(arguments.person(options["user"]), options["action"], given)
        except Refusal as refusal:
            self._fail(str(refusal), json=options["json"])
            return
        request = requests.finished(asked.pk)
        if request.plan is None:
            self._fail(request.sentence, json=options["json"])
            return
        document = selectors.plan_json(request.plan)
        self.stdout.write(arguments.as_json(document) if options["json"] else selectors.plan_text(request.plan))
        if not all(p["met"] for p in document["preconditions"]):
            sys.exit(1)

    def _fail(self, sentence: str, *, json: bool) -> None:
        if json:
            self.stdout.write(arguments.as_json({"error": sentence}))
        self.stderr.write(sentence)
        sys.exit(2)
