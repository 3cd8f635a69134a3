"""Copies of plain JSON values, which is all that API objects are: several times quicker than `copy.deepcopy`."""

from __future__ import annotations

from typing import Any, TypeVar, cast

T = TypeVar("T")


def copied(value: T) -> T:
    """A copy that shares no dict and no list with `value`; everything else is shared, so it must be immutable."""
    return cast("T", _copied(value))


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value
