"""What looking at a condition can say, and what a named predicate is. Pure data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from monitoring.snapshot import Need, Snapshot


class Outlook(StrEnum):
    """``failed``: the cluster said no. ``refused``: the plan no longer fits. ``unknown``: nobody can tell any more."""

    MET = "met"
    NOT_YET = "not_yet"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Line(msgspec.Struct, frozen=True):
    """A line for the run's log. Text from the cluster is redacted by the engine, not here."""

    text: str
    level: str = "info"


class Seen(msgspec.Struct, frozen=True):
    """One look: the outlook, one sentence, new log lines, and what to remember until the next look."""

    outlook: Outlook
    sentence: str
    lines: tuple[Line, ...] = ()
    memory: dict[str, Any] = {}


#: (snapshot, arguments, what the last look remembered) → what is seen now
Look = Callable[[Snapshot, Mapping[str, Any], Mapping[str, Any]], Seen]


@dataclass(frozen=True, slots=True)
class Predicate:
    """``needs`` names what to read; ``look`` judges it."""

    needs: Callable[[Snapshot, Mapping[str, Any]], Iterable[Need]]
    look: Look
