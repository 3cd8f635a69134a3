"""``manage.py actions [--json]``: the catalogue: every action with its tier, parameters, guards, proof and undo."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from portal.management import arguments
from portal.management.reading import SentenceCommand


class Command(SentenceCommand):
    """List what can be planned."""

    help = "Lists the catalogue of actions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it; needs neither database nor cluster."""
        from deployments.catalogue import registry

        found = registry.all_actions()
        if not options["json"]:
            for action in found:
                self.stdout.write(f"tier {action.tier}  {action.slug:<30} {action.summary}")
            return
        self.stdout.write(arguments.as_json({"actions": [self._plain(action) for action in found]}))

    def _plain(self, action: Any) -> dict[str, Any]:
        from deployments.catalogue import registry

        fields = registry.fields(action)
        return {
            "slug": action.slug,
            "title": action.title,
            "family": action.family,
            "tier": action.tier,
            "summary": action.summary,
            "parameters": [
                {"name": f.name, "type": f.kind, "required": f.required, "default": f.shown, "about": f.about}
                for f in fields
            ],
            "guards": list(action.guards),
            "verified_by": action.verified_by,
            "undo": action.undo,
            "undoable": action.undoable,
            "rights": [{"group": r.group, "resource": r.resource, "verbs": list(r.verbs)} for r in action.rules],
        }
