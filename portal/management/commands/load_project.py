"""``manage.py load_project``: write the project definitions into the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from portal.checklists.definitions import DefinitionError, load, load_all
from portal.management.reading import NO_DATABASE, refuse


class Command(BaseCommand):
    help = "Loads project definitions (YAML). The same file twice changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="one definition; else all of the directory")
        parser.add_argument("--dir", type=Path, default=settings.PORTAL_PROJECTS_DIR, help="default: %(default)s")

    def handle(self, *args: Any, **options: Any) -> None:
        cluster: str = settings.PORTAL_CLUSTER
        try:
            found = [load(options["file"], cluster)] if options["file"] else load_all(options["dir"], cluster)
        except DefinitionError as error:
            raise refuse(str(error)) from error
        except DatabaseError as error:
            raise refuse(NO_DATABASE) from error
        for project in found:
            items = project.items.filter(retired=False).count()
            self.stdout.write(f"{project.key}: {project.phases.count()} phases, {items} items on cluster {cluster}")
