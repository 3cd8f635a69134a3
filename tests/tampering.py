"""Somebody who owns the audit tables and takes their triggers away: for tests of what then still shows it.

Tests that empty the database between them need it too: a flush is the change that the triggers are there to refuse.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper


@contextmanager
def unguarded(database: BaseDatabaseWrapper | None = None) -> Iterator[Any]:
    """A cursor, with no trigger on the audit tables until the block ends."""
    guards = importlib.import_module("common.migrations.0002_append_only")
    connection = database or connections[DEFAULT_DB_ALIAS]
    postgres = connection.vendor == "postgresql"
    plain = _Plain(connection)  # statements one by one: SQLite's schema editor would want to be outside a transaction
    plain.execute("SET session_replication_role = replica") if postgres else guards.remove(None, plain)
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        plain.execute("SET session_replication_role = DEFAULT") if postgres else guards.install(None, plain)


class _Plain:
    """As much of a schema editor as the migration uses."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def execute(self, statement: str, params: Any = None) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
