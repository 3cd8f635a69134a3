"""What the commands that decide about runs share: who decides, how it is printed, what a refusal is.

Exit 0: done; 1: refused, with the sentence; 3: the command could not run. The rules are those of the pages: a shell on
the portal's machine makes nobody a second person, and the audit trail says that it was a command and whose shell.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandParser

from portal.management import arguments
from portal.management.reading import SentenceCommand, refuse


def add(parser: CommandParser, *, reason: bool = True) -> None:
    """Who, why, and how to print it."""
    parser.add_argument("--as", dest="person", required=True, metavar="USER", help="whose decision this is")
    if reason:
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why; it stays with the run")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def person(name: str) -> User:
    """Who decides: a person who signs in, not the shell's own user. :raises CommandError: there is none."""
    if name in ("", arguments.COMMAND_LINE):
        raise refuse("Name the person who decides: --as USER. The command line itself is nobody's second person.")
    return arguments.person(name)


def via() -> str:
    """How the audit trail names this way of deciding: a command, and the account it was typed in."""
    try:
        account = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        account = "unknown"
    return f"command of {account}"[:100]


def carry_out(command: BaseCommand, deed: Callable[[], dict[str, Any]], *, json: bool) -> None:
    """Do it and print what came of it; a refusal is one sentence and exit code 1."""
    from deployments.errors import Refusal

    try:
        document = deed()
    except Refusal as refusal:
        if json:
            command.stdout.write(arguments.as_json({"done": False, "sentence": str(refusal)}))
        command.stderr.write(str(refusal))
        sys.exit(1)
    if json:
        command.stdout.write(arguments.as_json({"done": True, **document}))
    else:
        command.stdout.write(str(document["sentence"]))


def run_of(name: str) -> Any:
    """The run that a number, an id, a plan's hash or its first eight digits name. :raises CommandError: not one.

    A plan stands for its run that waits for approval, else for the newest one.
    """
    from deployments.models import Run
    from deployments.states import RunState

    runs = Run.objects.select_related("plan").order_by("-requested_at")
    if name.isdecimal() and len(name) < 8:
        found = runs.filter(number=int(name)).first()
    elif len(name) == 26:
        found = runs.filter(pk=name).first()
    else:
        own = runs.filter(plan__hash__startswith=name) if len(name) >= 8 else runs.none()
        if own.values("plan").distinct().count() > 1:
            raise refuse(f"Several plans begin with {name}; give more digits.")
        found = own.filter(state=RunState.WAITING_FOR_APPROVAL.value).first() or own.first()
    if found is None:
        raise refuse(f"There is no run {name!r}, and none of a plan with such a hash.")
    return found


def plan_of(name: str) -> tuple[str, str]:
    """Hash and context of the plan that a hash, its first eight digits or a run name. :raises CommandError: not one."""
    from deployments.models import Plan, PlanRequest

    if len(name) >= 8 and len(name) != 26 and not (name.isdecimal() and len(name) < 8):
        found = list(Plan.objects.filter(hash__startswith=name).values_list("pk", flat=True)[:2])
        if len(found) > 1:
            raise refuse(f"Several plans begin with {name}; give more digits.")
        if found:
            wish = PlanRequest.objects.filter(plan=found[0]).order_by("-requested_at").first()
            return found[0], wish.context if wish is not None else ""
    run = run_of(name)
    return run.plan_id, run.context


class DecideCommand(SentenceCommand):
    """``approve`` and ``deny``."""

    deed = ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="PLAN_OR_RUN", help="number or id of a run, or hash of its plan")
        add(parser)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Decide, and print how the run stands now."""
        from deployments import approvals, selectors

        who, run = person(options["person"]), run_of(options["name"])
        decide = approvals.approve if self.deed == "approve" else approvals.deny

        def do() -> dict[str, Any]:
            decided = decide(who, run.pk, run.plan_id, options["reason"], via=via())
            return selectors.approval_json(decided)

        carry_out(self, do, json=options["json"])
