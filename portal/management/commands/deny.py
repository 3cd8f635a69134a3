"""``manage.py deny PLAN_OR_RUN --as USER --reason TEXT``: a no that ends a run which has not begun."""

from __future__ import annotations

from portal.management.deciding import DecideCommand


class Command(DecideCommand):
    """Say no."""

    help = (
        "Denies a run that waits for approval or is queued; its requester cannot ask for this very plan again. Exit "
        "code 0: denied; 1: refused; 3: the command could not run."
    )
    deed = "deny"
