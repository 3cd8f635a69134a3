"""``manage.py approve PLAN_OR_RUN --as USER --reason TEXT``: a second person's yes to a run that waits for it."""

from __future__ import annotations

from portal.management.deciding import DecideCommand


class Command(DecideCommand):
    """Say yes."""

    help = (
        "Approves a run of exactly one plan, by the rules of the pages: who asked for it never approves it. Exit code "
        "0: it counts; 1: refused; 3: the command could not run."
    )
    deed = "approve"
