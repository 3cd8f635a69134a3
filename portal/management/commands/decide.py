"""``manage.py decide KEY [OPTION --reason TEXT]``: the options of a decision, or one of them chosen and written down.

Choosing changes no cluster; it prints the action whose plan comes next. Exit 0; 1: refused; 3: the command could not
run.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from portal.management import arguments
from portal.management.reading import SentenceCommand, refuse


class Command(SentenceCommand):
    """Show or take a decision."""

    help = "Shows the options of a decision as the cluster stands, or writes down which one was chosen and why."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", help="what is to decide, e.g. grafana")
        parser.add_argument("option", nargs="?", default="", help="the option to choose, e.g. D")
        parser.add_argument("--reason", default="", help="why")
        parser.add_argument("--user", default="", help="who decides (default: the user command-line)")
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the options, or the record."""
        from django.core.exceptions import PermissionDenied

        from portal.checklists import choices
        from portal.checklists.models import Choice, Project

        project = Project.objects.order_by("pk").first()
        if project is None:
            raise refuse("No project is loaded; run `manage.py load_project` first.")
        if not options["option"]:
            reading = Choice.objects.filter(project=project, key=options["key"]).first()
            found = reading.options if reading is not None else []
            self._show(found, json=options["json"])
            return
        try:
            user = arguments.person(options["user"])
            record, chosen = choices.choose(user, project, options["key"], options["option"], options["reason"])
        except (choices.ChoiceError, PermissionDenied) as refusal:
            self.stderr.write(str(refusal))
            sys.exit(1)
        answer = {"decision": record.key, "selected": record.body["selected"], "action": chosen["action"]}
        answer |= {"params": chosen["params"]}
        said = f"{record.key}: {answer['selected']}. Next: manage.py plan {chosen['action']}"
        self.stdout.write(arguments.as_json(answer) if options["json"] else said)

    def _show(self, found: list[dict[str, Any]], *, json: bool) -> None:
        if json:
            self.stdout.write(arguments.as_json({"options": found}))
            return
        for option in found:
            mark = " (recommended)" if option["recommended"] else ""
            self.stdout.write(f"{option['key']}  {option['title']}{mark}: {option['sentence']}")
            for p in option["preconditions"]:
                self.stdout.write(f"     {'met  ' if p['met'] else 'UNMET'} {p['sentence']}  ({p['evidence']})")
        if not found:
            self.stdout.write("The observer has read no options; there are some while the item is not proven.")
