"""What the selectors give for a whole page (board, phase, item, status); its rows are in ``shapes``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from portal.checklists.selectors.shapes import (
    CheckRow,
    ComponentRow,
    Gate,
    Group,
    Headline,
    ItemRow,
    Named,
    NeedsYou,
    PhaseCard,
    RunRow,
    SourceRow,
)
from portal.checklists.words import ItemWord


@dataclass(frozen=True, slots=True)
class ProjectRef:
    """The project a page belongs to."""

    id: int
    key: str
    title: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Board:
    """The overview."""

    project: ProjectRef
    headline: Headline
    phases: tuple[PhaseCard, ...]
    held_back: tuple[ItemRow, ...]
    held_back_note: str
    needs_you: tuple[NeedsYou, ...]
    running: tuple[RunRow, ...]
    sources: tuple[SourceRow, ...]
    components: tuple[ComponentRow, ...]
    days: int
    falls_due: datetime | None
    #: its own within this process; a board that has the same is the same
    revision: int


@dataclass(frozen=True, slots=True)
class PhasePage:
    """A phase with its items, grouped worst first."""

    project: ProjectRef
    phase: PhaseCard
    gate: Gate | None
    #: whether this phase itself waits for an earlier one
    opened_by: Gate | None
    groups: tuple[Group, ...]
    rows: tuple[ItemRow, ...]
    needs_you: int
    #: of the state it was made from
    revision: int


@dataclass(frozen=True, slots=True)
class HistoryBar:
    """A stretch of an item's history."""

    word: ItemWord
    cause: str
    sentence: str
    regressed: bool
    opened_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A finished or running attempt to repair the item, from a run or from the report."""

    at: datetime | None
    title: str
    sentence: str
    run_id: str
    number: int
    state: str


@dataclass(frozen=True, slots=True)
class AttestationRow:
    """A person's word on the item."""

    id: int
    by: str
    statement: str
    at: datetime
    expires_at: datetime
    withdrawn_at: datetime | None
    valid: bool


@dataclass(frozen=True, slots=True)
class ItemPage:
    """One item whole."""

    project: ProjectRef
    phase: PhaseCard
    row: ItemRow
    checks: tuple[CheckRow, ...]
    passing: int
    blocks: tuple[Named, ...]
    blockers: tuple[Named, ...]
    history: tuple[HistoryBar, ...]
    attempts: tuple[Attempt, ...]
    unfollowed: tuple[NeedsYou, ...]
    attestations: tuple[AttestationRow, ...]
    needs_attestation: bool
    attestation_statement: str
    attestation_days: int
    exempt_until: date | None
    exempt_by: str
    exempt_why: str
    provenance: dict[str, Any]
    #: what the diagnosis is asked about, see ``portal.checklists.subjects``
    subject: dict[str, Any]
    previous: Named | None
    next: Named | None


@dataclass(frozen=True, slots=True)
class StatusPage:
    """Components, nodes and sources."""

    cluster: str
    headline: Headline
    components: tuple[ComponentRow, ...]
    sources: tuple[SourceRow, ...]
    oldest_at: datetime | None
    days: int
