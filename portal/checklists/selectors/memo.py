"""What was made of the very same objects last time is the same again: one changed check must not cost 200 items."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Memo:
    """Values by key with the objects they were made of, compared by identity. ``kept`` is the next one's ``last``."""

    def __init__(self, last: dict[Hashable, tuple[tuple[Any, ...], Any]] | None = None) -> None:
        self._last = last or {}
        self.kept: dict[Hashable, tuple[tuple[Any, ...], Any]] = {}

    def of(self, key: Hashable, make: Callable[..., T], *made_of: Any) -> T:
        """``make(*made_of)``, or what it gave for the same objects. ``make`` must depend on nothing else."""
        found = self._last.get(key)
        if found is None or len(found[0]) != len(made_of) or not all(map(operator.is_, found[0], made_of)):
            found = (made_of, make(*made_of))
        self.kept[key] = found
        value: T = found[1]
        return value
