"""The values an object has where a patch writes, as a merge patch that puts them back; and whether it still has them.

Pure. A list is taken whole, and so is a map that a strategic patch replaces (``$patch: replace``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: the directive of a strategic merge patch
REPLACE = "$patch"
_SHARED = ("metadata", "labels", "annotations")


def before(live: Any, written: Any) -> Any:
    """The values that ``live`` has where ``written`` writes: a merge patch that puts them back (null: was not there).

    A list, and a map that was replaced whole, is taken whole. A map that was not there goes as a whole: an empty one
    may say something (``syncPolicy.automated: {}`` is auto-sync turned on).
    """
    if not isinstance(written, Mapping):
        return live
    if written.get(REPLACE) == "replace":
        return {REPLACE: "replace", **(live if isinstance(live, Mapping) else {})}
    there = live if isinstance(live, Mapping) else {}
    return {
        name: None if name not in there and _goes_whole(name, inner) else before(there.get(name), inner)
        for name, inner in written.items()
    }


def _goes_whole(name: str, written: Any) -> bool:
    """Labels and annotations go one by one: others add theirs meanwhile, and an empty map of them says nothing."""
    return isinstance(written, Mapping) and written.get(REPLACE) != "replace" and name not in _SHARED


def untouched(live: Any, body: Any, after: Any) -> bool:
    """Whether ``live`` is ``after`` (what a run left) in everything that the restoring patch ``body`` would set.

    What goes as a whole must be as a whole what the run left: else somebody's addition would go with it.
    """
    if not isinstance(body, Mapping):
        return _same(live, after)
    if REPLACE in body:
        return still(live, after)
    there, then = (value if isinstance(value, Mapping) else {} for value in (live, after))
    return all(untouched(there.get(name), inner, then.get(name)) for name, inner in body.items())


def still(live: Any, written: Any) -> bool:
    """Whether ``live`` still has, where a restoring patch would write, exactly what ``written`` noted."""
    if not isinstance(written, Mapping) or REPLACE in written:
        wanted = {k: v for k, v in written.items() if k != REPLACE} if isinstance(written, Mapping) else written
        return _same(live, wanted)
    there = live if isinstance(live, Mapping) else {}
    return all(still(there.get(name), inner) for name, inner in written.items())


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one in (None, {}, []) and other in (None, {}, []))
