"""What was understood of a report, as frozen data, and the JSON that scripts rely on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from portal.checklists.importing.text import Claimed

Lines = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FoundPhase:
    """A phase the report names. ``match``: ``number``, ``title`` or ``proposed``."""

    key: str
    number: int
    title: str
    lines: Lines
    match: str = "proposed"
    claimed_percent: int | None = None


@dataclass(frozen=True, slots=True)
class FoundItem:
    """A line of a checklist. ``match``: ``key``, ``title`` or ``proposed``; ``unit`` is where it stands."""

    title: str
    detail: str
    claimed: Claimed
    lines: Lines
    unit: int
    phase_number: int | None
    key: str = ""
    phase: str = ""
    match: str = "proposed"


@dataclass(frozen=True, slots=True)
class FoundClaim:
    """A sentence that a check can prove. ``item`` is the key of the item it stands under."""

    text: str
    lines: Lines
    slug: str
    params: dict[str, Any]
    params_hash: str
    #: causes with which the check must fail for the line to be right; empty: it must read verified
    contrary: tuple[str, ...]
    unit: int
    verdict: str = "not checkable"
    evidence: str = ""
    command: str = ""
    item: str = ""


@dataclass(frozen=True, slots=True)
class FoundDecision:
    """A decision with its reason and alternatives."""

    key: str
    title: str
    lines: Lines
    selected: str = ""
    reason: str = ""
    alternatives: tuple[str, ...] = ()
    points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundOption:
    """``Option A: …`` with its steps."""

    letter: str
    title: str
    steps: tuple[str, ...]
    lines: Lines


@dataclass(frozen=True, slots=True)
class FoundLesson:
    """A lesson learned."""

    key: str
    title: str
    text: str
    lines: Lines


@dataclass(frozen=True, slots=True)
class FoundResource:
    """Something the report says was created."""

    kind: str
    name: str
    text: str
    lines: Lines


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """Content nobody understood."""

    lines: Lines
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something the report says was tried; ``item`` is the key of the item whose heading it stands under."""

    text: str
    lines: Lines
    unit: int
    item: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """A report as it would be imported. Nothing of it is written yet."""

    project: str
    project_title: str
    title: str
    dated_on: date | None
    digest: str
    markdown: str
    made_at: datetime
    already_imported: bool
    phases: tuple[FoundPhase, ...] = ()
    items: tuple[FoundItem, ...] = ()
    claims: tuple[FoundClaim, ...] = ()
    decisions: tuple[FoundDecision, ...] = ()
    options: tuple[FoundOption, ...] = ()
    lessons: tuple[FoundLesson, ...] = ()
    resources: tuple[FoundResource, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    not_understood: tuple[NotUnderstood, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def proposed(self) -> tuple[FoundItem, ...]:
        """Items that are not in the project yet."""
        return tuple(item for item in self.items if item.match == "proposed")

    def to_json(self) -> dict[str, Any]:
        """What ``manage.py import_report --json`` prints."""
        return {
            "project": self.project,
            "phases": [
                {"key": p.key, "number": p.number, "title": p.title, "lines": list(p.lines), "match": p.match}
                for p in self.phases
            ],
            "items": [
                {
                    "key": i.key,
                    "title": i.title,
                    "phase": i.phase,
                    "claimed": i.claimed.value,
                    "match": i.match,
                    "lines": list(i.lines),
                }
                for i in self.items
            ],
            "claims": [
                {"text": c.text, "lines": list(c.lines), "verdict": c.verdict, "evidence": c.evidence}
                for c in self.claims
            ],
            "decisions": [
                {
                    "key": d.key,
                    "title": d.title,
                    "selected": d.selected,
                    "reason": d.reason,
                    "alternatives": list(d.alternatives),
                    "points": list(d.points),
                    "lines": list(d.lines),
                }
                for d in self.decisions
            ],
            "options": [
                {"option": o.letter, "title": o.title, "steps": list(o.steps), "lines": list(o.lines)}
                for o in self.options
            ],
            "lessons": [{"key": x.key, "title": x.title, "text": x.text, "lines": list(x.lines)} for x in self.lessons],
            "resources": [
                {"kind": r.kind, "name": r.name, "text": r.text, "lines": list(r.lines)} for r in self.resources
            ],
            "not_understood": [{"lines": list(n.lines), "text": n.text} for n in self.not_understood],
        }
