"""The values an object has where a patch writes, as a merge patch that puts them back; and whether it still has them.

Pure. A list is taken whole, and so is a map that a strategic patch replaces (``$patch: replace``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: the directive of a strategic merge patch
REPLACE = "$patch"


def before(live: Any, written: Any) -> Any:
    """The values that ``live`` has where ``written`` writes: a merge patch that puts them back (null: was not there).

    A list, and a map that was replaced whole, is taken whole.
    """
    if not isinstance(written, Mapping):
        return live
    if written.get(REPLACE) == "replace":
        return {REPLACE: "replace", **(live if isinstance(live, Mapping) else {})}
    there = live if isinstance(live, Mapping) else {}
    return {name: before(there.get(name), inner) for name, inner in written.items()}


def still(live: Any, written: Any) -> bool:
    """Whether ``live`` still has, where a restoring patch would write, exactly what ``written`` noted."""
    if not isinstance(written, Mapping) or REPLACE in written:
        wanted = {k: v for k, v in written.items() if k != REPLACE} if isinstance(written, Mapping) else written
        return bool(live == wanted) or (live in (None, {}, []) and wanted in (None, {}, []))
    there = live if isinstance(live, Mapping) else {}
    return all(still(there.get(name), inner) for name, inner in written.items())
