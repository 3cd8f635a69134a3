"""``manage.py import_report FILE``: what a progress report says, and what the cluster says to it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from common import clock
from monitoring import collect
from portal.checklists.evaluation import needs_of
from portal.checklists.importing import Preview, ReportError, accept, checks_in, decode, preview
from portal.checklists.models import Project
from portal.management.reading import SentenceCommand, cluster, nearest, projects, refuse


class Command(SentenceCommand):
    help = (
        "Reads a Markdown report and shows what would be imported; claims are judged by the cluster. Nothing is "
        "written without --accept; the same report twice changes nothing. Exit code 3: it could not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="a Markdown file in UTF-8; - reads standard input")
        parser.add_argument("--project", default="", metavar="KEY", help="which project; needed when there are several")
        parser.add_argument("--accept", action="store_true", help="write what is proposed")
        parser.add_argument("--json", action="store_true", help="print JSON instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            markdown = decode(_read(options["file"]))
            project = _project(options["project"])
            checks = checks_in(markdown, project)
            with cluster() as readers:
                snapshot = collect.once(readers, needs_of(checks))
            found = preview(markdown, project, snapshot, clock.now())
        except ReportError as error:
            raise refuse(str(error)) from error
        if options["accept"]:
            accept(found, None)
        if options["json"]:
            self.stdout.write(json.dumps(found.to_json(), indent=2))
        else:
            self._print(found, accepted=options["accept"])

    def _print(self, found: Preview, *, accepted: bool) -> None:
        again = " (already imported)" if found.already_imported else ""
        self.stdout.write(f"{found.title}{again} → project {found.project}")
        for item in found.items:
            how = "new" if item.match == "proposed" else f"same {item.match}"
            self.stdout.write(f"  item  {item.claimed.value:<11} {item.title}  [{item.key}, {how}]")
        for claim in found.claims:
            self.stdout.write(
                f"  claim {claim.verdict:<13} line {claim.lines[0]}: {claim.text}\n        {claim.evidence}"
            )
        numbers = {
            "decisions": len(found.decisions),
            "options": len(found.options),
            "lessons": len(found.lessons),
            "resources": len(found.resources),
            "not understood": len(found.not_understood),
        }
        self.stdout.write("  " + ", ".join(f"{number} {name}" for name, number in numbers.items()))
        self.stdout.write("Written." if accepted and not again else "Nothing was written." if not accepted else "")


def _read(name: str) -> bytes:
    """:raises CommandError: the file cannot be read."""
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise refuse(f"{name} cannot be read: {error.strerror}.") from error


def _project(key: str) -> Project:
    found = projects()
    keys = [project.key for project in found]
    if key and key not in keys:
        raise refuse(f"There is no project {key!r}.{nearest(key, keys)}")
    if not key and len(found) > 1:
        raise refuse(f"There are several projects: choose one with --project {' or '.join(keys)}.")
    return next(project for project in found if project.key == (key or keys[0]))
