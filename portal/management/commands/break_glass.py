"""``manage.py break_glass PLAN --as USER --reason TEXT --confirm NAME``: run it now, without its second person."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.core.management.base import CommandParser

from portal.management import deciding
from portal.management.reading import SentenceCommand, refuse


class Command(SentenceCommand):
    """The emergency exit of the two-person rule."""

    help = (
        "Runs a plan at once, without its second person and through a freeze, and opens a review that stays red until "
        "another person has read diff and log. Asks for the person's password (or reads it from standard input with "
        "--password-stdin). Exit code 0: it is queued; 1: refused; 3: the command could not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="PLAN_OR_RUN", help="hash of a plan, or number or id of a run that waits")
        parser.add_argument("--confirm", default="", metavar="NAME", help="tier 3: the name of what it is about")
        parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
        deciding.add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Break it, and print the run."""
        from deployments import services

        who, plan, context = deciding.person(options["person"]), *deciding.plan_of(options["name"])
        password = self._password(who.get_username(), stdin=options["password_stdin"])

        def do() -> dict[str, Any]:
            run = services.break_glass(
                who,
                plan,
                "",
                context,
                confirm=options["confirm"],
                reason=options["reason"],
                password=password,
                via=deciding.via(),
            )
            said = f"The glass is broken: run {run.number} goes without a second person and waits for a review."
            return {"run": run.pk, "number": run.number, "state": run.state, "plan": plan, "sentence": said}

        deciding.carry_out(self, do, json=options["json"])

    def _password(self, name: str, *, stdin: bool) -> str:
        if stdin:
            return sys.stdin.readline().rstrip("\n")
        if not sys.stdin.isatty():
            raise refuse("No terminal to ask for the password: use --password-stdin.")
        return getpass.getpass(f"Password of {name}: ")
