"""``manage.py verify``: read the cluster once and say what every item reads."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from portal.checklists.evaluation import read_project
from portal.checklists.selectors.load import State
from portal.checklists.selectors.shapes import CheckRow, ItemRow
from portal.checklists.words import exit_code
from portal.management.reading import SentenceCommand, cluster, nearest, projects, refuse


class Command(SentenceCommand):
    help = (
        "Reads the cluster once and says what every item reads. Exit code 1: an item is failing, blocked or degraded; "
        "else 2: one is unknown or stale; else 0. 3: the command could not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--phase", default="", metavar="KEY", help="only the items of this phase (key or number)")
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")

    def handle(self, *args: Any, **options: Any) -> None:
        found = projects()
        _require_phase(options["phase"], [phase for project in found for phase in project.phases.all()])
        with cluster() as readers:
            states = [read_project(readers, project) for project in found]
        rows = [(state, row) for state in states for row in state.rows.values()]
        rows = [(state, row) for state, row in rows if _in_phase(state, row, options["phase"])]
        if options["json"]:
            self.stdout.write(json.dumps({"items": [_as_json(state, row) for state, row in rows]}, indent=2))
        else:
            self._print(rows)
        raise SystemExit(exit_code(row.word for _, row in rows))

    def _print(self, rows: list[tuple[State, ItemRow]]) -> None:
        width = max((len(row.word.label) for _, row in rows), default=0)
        phase = ""
        for _, row in rows:
            if row.phase_key != phase:
                phase = row.phase_key
                self.stdout.write(f"\n{phase}")
            self.stdout.write(f"  {row.word.label:<{width}}  {row.title}  [{row.key}]")
            if row.sentence:
                self.stdout.write(f"  {'':<{width}}  {row.sentence}")


def _require_phase(wanted: str, phases: list[Any]) -> None:
    keys = [phase.key for phase in phases]
    if wanted and wanted not in keys and wanted not in {str(phase.number) for phase in phases}:
        raise refuse(f"There is no phase {wanted!r}.{nearest(wanted, keys)}")


def _in_phase(state: State, row: ItemRow, wanted: str) -> bool:
    if not wanted or row.phase_key == wanted:
        return True
    return any(phase.pk == row.phase_id and str(phase.number) == wanted for phase in state.phases)


def _as_json(state: State, row: ItemRow) -> dict[str, Any]:
    return {
        "phase": row.phase_key,
        "item": row.key,
        "title": row.title,
        "word": row.word.value,
        "sentence": row.sentence,
        "age_seconds": None if row.observed_at is None else int((state.now - row.observed_at).total_seconds()),
        "checks": [_check(check) for check in state.checks[row.id]],
    }


def _check(check: CheckRow) -> dict[str, Any]:
    return {
        "type": check.type,
        "word": check.word.value,
        "sentence": check.sentence,
        "source": check.source,
        "observed_at": check.observed_at.isoformat() if check.observed_at else None,
        "command": check.command,
    }
