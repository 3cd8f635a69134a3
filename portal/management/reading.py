"""What the commands that read a cluster share: the database is ready, a project is loaded, a cluster is named.

Every failure is one sentence and exit code 3, so that a script never takes "could not run" for an answer.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, OperationalError, ProgrammingError

from integrations.errors import SourceError
from monitoring import collect
from portal.checklists.definitions import DefinitionError, load_if_empty
from portal.checklists.models import Item, Project

#: could not run at all: no cluster, no database, a wrong definition, an unknown key
CANNOT_RUN = 3
#: could run, but nothing could be read
CANNOT_TELL = 2
NO_DATABASE = "The database cannot be used. Run `manage.py migrate` first, or check DATABASE_URL."


def refuse(sentence: str) -> CommandError:
    """The error to raise when the command cannot do its work."""
    return CommandError(sentence, returncode=CANNOT_RUN)


class SentenceCommand(BaseCommand):
    """Ends in one sentence when it cannot run; with ``--json`` standard output holds it as a document."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run. :raises CommandError: it cannot run; also when the database is not there or not migrated."""
        try:
            return super().execute(*args, **options)
        except (OperationalError, ProgrammingError) as error:
            refused = refuse(NO_DATABASE)
            self._tell(refused, options)
            raise refused from error
        except CommandError as refused:
            self._tell(refused, options)
            raise

    def _tell(self, refused: CommandError, options: dict[str, Any]) -> None:
        if options.get("json"):
            self.stdout.write(json.dumps({"error": str(refused)}, indent=2, ensure_ascii=False))


def projects() -> list[Project]:
    """The projects of this cluster; what is in the projects directory is loaded when there is none.

    :raises CommandError: the database is not there or a definition is wrong.
    """
    try:
        load_if_empty(settings.PORTAL_PROJECTS_DIR, settings.PORTAL_CLUSTER)
        found = list(Project.objects.filter(cluster=settings.PORTAL_CLUSTER).order_by("key"))
        known = sorted(set(Project.objects.values_list("cluster", flat=True)))
    except DefinitionError as error:
        raise refuse(str(error)) from error
    except DatabaseError as error:
        raise refuse(NO_DATABASE) from error
    if not found:
        raise refuse(
            f"No project belongs to cluster {settings.PORTAL_CLUSTER}; PORTAL_CLUSTER may be {', '.join(known)}."
        )
    return found


@contextmanager
def cluster() -> Iterator[collect.Readers]:
    """The readers of the configured cluster. :raises CommandError: none is configured or its kubeconfig is wrong."""
    try:
        readers = collect.open_readers(settings)
    except SourceError as error:
        raise refuse(error.sentence) from error
    try:
        yield readers
    finally:
        readers.close()


def find_item(key: str, of: Sequence[Project]) -> Item:
    """An item by ``key`` or ``project/key``. :raises CommandError: there is none; names the nearest."""
    project_key, _, item_key = key.rpartition("/")
    rows = Item.objects.filter(project__in=of, retired=False).select_related("project", "phase")
    if project_key:
        rows = rows.filter(project__key=project_key)
    found = list(rows.filter(key=item_key))
    if len(found) > 1:
        names = ", ".join(f"{item.project.key}/{item.key}" for item in found)
        raise refuse(f"Several projects have an item {item_key}: name one of {names}.")
    if not found:
        raise refuse(f"There is no item {key!r}.{nearest(item_key, rows.values_list('key', flat=True))}")
    return found[0]


def nearest(key: str, known: Iterable[str]) -> str:
    """`` Did you mean …?`` with the keys most like this one, or all of them."""
    names = list(known)
    close = (
        difflib.get_close_matches(key, names, n=3, cutoff=0.5) or [name for name in names if key and key in name][:3]
    )
    if close:
        return f" Did you mean {' or '.join(close)}?"
    return f" There are {', '.join(names)}." if names else ""
