"""Queries compiled once, whose rows are compared as the database gives them and converted only where they are new.

Making Python values of 400 rows costs ten times what reading them costs, and between two page loads nearly all of them
are the same. Equal raw rows mean equal values, so what was derived from them holds: nothing here goes by time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model, QuerySet

P = ParamSpec("P")
M = TypeVar("M", bound=Model)

#: rows as the driver gives them: hashable, equal when the stored values are
Raw = tuple[tuple[Any, ...], ...]


class Prepared:
    """One ``values_list`` query. Safe to share between threads: it holds SQL, never a connection."""

    def __init__(self, rows: QuerySet[Any, Any]) -> None:
        self._query = rows.query
        self._sql, self._parameters = self._query.get_compiler(DEFAULT_DB_ALIAS).as_sql()

    def raw(self) -> Raw:
        """The rows now, unconverted: one query."""
        with connection.cursor() as cursor:
            cursor.execute(self._sql, self._parameters)
            return tuple(cursor.fetchall())

    def values(self, raw: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """These raw rows as ``values_list`` would give them."""
        compiler = self._query.clone().get_compiler(DEFAULT_DB_ALIAS)
        compiler.setup_query()
        return [tuple(row) for row in compiler.results_iter([tuple(raw)])]


def prepared(build: Callable[P, QuerySet[Any, Any]]) -> Callable[P, Prepared]:
    """Make a function that builds a query give it compiled; the arguments must be hashable."""

    @wraps(build)
    def made(*args: P.args, **kwargs: P.kwargs) -> Prepared:
        return Prepared(build(*args, **kwargs))

    return lru_cache(maxsize=256)(made)  # type: ignore[return-value]


def all_of(rows: QuerySet[Any, Any]) -> QuerySet[Any, Any]:
    """Every column of the model, for :func:`instances`."""
    return rows.values_list(*(field.attname for field in rows.model._meta.concrete_fields))


def instances(model: type[M], rows: Iterable[tuple[Any, ...]]) -> list[M]:
    """Model objects of rows that :func:`all_of` asked for."""
    names = [field.attname for field in model._meta.concrete_fields]
    return [model.from_db(DEFAULT_DB_ALIAS, names, row) for row in rows]
