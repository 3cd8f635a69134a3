"""Lists of named things side by side, so that one more at the front is one difference and not one of each. Pure.

A strategic merge puts a new variable before those that are there; compared place by place each of them then seems to
be another one. For people the entries are therefore compared by their names, at the places they have now.
"""

from __future__ import annotations

from typing import Any

_NAME = "name"


def aligned(before: Any, after: Any) -> Any:
    """``after`` with the entries of its lists at the places of the same entries in ``before``: None where one is gone,
    what is new at the end. A list whose entries have no names of their own, or changed their order, stays as it is."""
    if isinstance(before, dict) and isinstance(after, dict):
        return {key: aligned(before.get(key), value) for key, value in after.items()}
    if not (isinstance(before, list) and isinstance(after, list)):
        return after
    old, new = _named(before), _named(after)
    if old is None or new is None or [name for name in old if name in new] != [name for name in new if name in old]:
        return after
    kept = [aligned(entry, new[name]) if name in new else None for name, entry in old.items()]
    return [*kept, *(entry for name, entry in new.items() if name not in old)]


def _named(entries: list[Any]) -> dict[str, Any] | None:
    """The entries by name, in their order; None when one has none, or two have the same."""
    found = {entry[_NAME]: entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get(_NAME), str)}
    return found if len(found) == len(entries) else None
