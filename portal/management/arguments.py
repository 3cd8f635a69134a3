"""What the commands ``plan`` and ``run_action`` share: parameters, the person who asks, printing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Permission, User
from django.core.management.base import CommandParser

from deployments.models import Run
from portal.management.reading import refuse

#: a person with a shell on the portal's machine; cannot sign in
COMMAND_LINE = "command-line"
_MAY = ("make_plan", "run_tier0", "run_tier1", "run_tier2", "cancel_run")


def add(parser: CommandParser) -> None:
    """The arguments both commands take."""
    parser.add_argument("action", help="slug of the action, e.g. repair-grafana-in-place")
    parser.add_argument(
        "--param", nargs="+", action="extend", default=[], metavar="k=v", help="parameters; what is left out is found"
    )
    parser.add_argument("--user", default="", help="who asks (default: the user command-line)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def params(given: Iterable[str]) -> dict[str, str]:
    """``k=v`` pairs. :raises CommandError: something else."""
    found: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise refuse(f"--param takes name=value, not {pair!r}.")
        found[name] = value
    return found


def person(name: str) -> User:
    """Who asks. :raises CommandError: no such user."""
    if name:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise refuse(f"There is no user called {name}.")
        return user
    user, made = User.objects.get_or_create(username=COMMAND_LINE, defaults={"email": ""})
    if made:
        user.set_unusable_password()
        user.save()
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="deployments", codename__in=_MAY))
    return user


def run(name: str) -> Run:
    """A run by its number or id. :raises CommandError: there is none."""
    by = {"number": int(name)} if name.isdecimal() and len(name) < 10 else {"pk": name}
    found = Run.objects.select_related("plan").filter(**by).first()
    if found is None:
        raise refuse(f"There is no run {name[:40]}.")
    return found


def as_json(document: Any) -> str:
    """Stable JSON: keys in the order they were given."""
    return json.dumps(document, indent=2, ensure_ascii=False)
