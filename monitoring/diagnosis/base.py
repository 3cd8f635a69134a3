"""What a signature is, and the small helpers signatures share.

A signature recognises one failure. It is a pure function of a :class:`~monitoring.diagnosis.scene.Scene`: it must not
read anything itself, know items, or find something where nothing is wrong. What it needs beyond what every scene has,
it declares; what was not read is simply not there, so a gap never makes a cause.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from integrations.kubernetes.objects import Event
from monitoring.checks.text import clean, moment, since
from monitoring.diagnosis.remedies import Remedy, unique
from monitoring.diagnosis.scene import Scene, event_time
from monitoring.snapshot import Need
from monitoring.verdict import Finding

#: messages longer than this are cut before any pattern sees them
LONGEST = 4000


class Layer(IntEnum):
    """Where in the chain from the machine to Git a failure lies. The first layer that fails is the cause."""

    NODE = 0
    CONTAINER = 1
    INIT = 2
    SIDECAR = 3
    VOLUME = 4
    SCHEDULING = 5
    ADMISSION = 6
    ROLLOUT = 7
    #: nobody knows: asked only when no layer above knows
    UNKNOWN = 8
    NETWORK = 9
    CONTENT = 10
    SOURCE = 11
    SYNC = 12
    ABSENT = 13
    #: what is only worth a word when nothing else is known
    LAST = 14


def _nothing(_: Scene) -> Iterable[Need]:
    return ()


@dataclass(frozen=True, slots=True)
class Signature:
    """One failure that can be recognised.

    ``summary`` and ``reference`` (a public page or issue) are for people. ``follows``: it may be only what an earlier
    layer's failure did; when there is one it is told as a consequence, not as a finding of its own. ``general``: it
    recognises what any program may say, and is silent about a container of which a special signature spoke.
    """

    id: str
    layer: Layer
    summary: str
    reference: str
    find: Callable[[Scene], Finding | None]
    needs: Callable[[Scene], Iterable[Need]] = _nothing
    follows: bool = False
    general: bool = False


def finding(
    number: str,
    cause: str,
    title: str,
    sentence: str,
    evidence: Iterable[str],
    confidence: float,
    *,
    remedies: Iterable[Remedy] = (),
    at: datetime | None = None,
    reference: str = "",
) -> Finding:
    """A Finding; its remedies keep their order, its reference is the signature's unless it has its own."""
    offered = unique(remedies)
    return Finding(
        id=number,
        cause=cause,
        title=title,
        sentence=tidy(sentence),
        evidence=tuple(line for line in evidence if line)[:12],
        confidence=confidence,
        remedies=tuple(each.slug for each in offered),
        reference=reference,
        at=iso(at),
        parameters={each.slug: each.parameters for each in offered if each.parameters},
    )


def tidy(sentence: str) -> str:
    """Cluster text may end in dots or hold some; a sentence of ours has one, at its end."""
    return re.sub(r"\.{2,}", "…", sentence.strip()).replace("…. ", "… ")


def pattern(words: str) -> re.Pattern[str]:
    """A pattern for texts of :data:`LONGEST` characters: repetitions in it must be bounded."""
    return re.compile(words, re.IGNORECASE)


def says(words: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Whether a text a cluster supplied, of any length, holds a pattern."""
    return words.search(text[:LONGEST])


def iso(at: datetime | None) -> str:
    """For ``Finding.at``."""
    return at.astimezone(UTC).isoformat() if at else ""


def shown(scene: Scene, at: datetime | None) -> str:
    """`` at 13:41``, with its space, or nothing."""
    return f" at {moment(at, scene.now)}" if at else ""


def from_then(scene: Scene, at: datetime | None) -> str:
    """`` since 13:41``, with its space, or nothing."""
    return since(at, scene.now)


def older(scene: Scene, at: datetime | None, seconds: float) -> bool:
    """Whether a time is known and at least so long ago."""
    return at is not None and (scene.now - at).total_seconds() >= seconds


def log_line(container: str, line: str) -> str:
    """One line of a log as evidence; of a line in JSON what it says, without the braces around it."""
    return f"{clean(container, 60)} log: {clean(_said(line), 300)}"


def _said(line: str) -> str:
    if not line.startswith("{") or not line.rstrip().endswith("}"):
        return line
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return line
    words = [str(entry[key]) for key in ("msg", "message", "error", "err") if entry.get(key)]
    return ": ".join(dict.fromkeys(words)) or line


def event_line(scene: Scene, event: Event) -> str:
    """One event as evidence: ``13:41 Event Killing ×4: …``."""
    at = event_time(event)
    times = f" ×{event.count}" if event.count and event.count > 1 else ""
    when = f"{moment(at, scene.now)} " if at else ""
    return f"{when}Event {clean(event.reason, 60)}{times}: {clean(event.message, 300)}"
