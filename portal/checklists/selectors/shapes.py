"""What the pages show, row by row, as frozen data: the contract between the selectors and the templates.

Words are :class:`~portal.checklists.words.ItemWord` values; times are aware UTC, ages are left to who shows them. A
template formats, it never derives. ``falls_due`` is when a value turns stale (or expires) by the clock alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from portal.checklists.words import ItemWord


@dataclass(frozen=True, slots=True)
class Named:
    """A link to another item."""

    id: int
    key: str
    title: str


@dataclass(frozen=True, slots=True)
class Part:
    """A count that is a link: ``2 failing`` → ``#failing`` of the phase page."""

    count: int
    word: ItemWord
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a phase's strip: one item."""

    item_id: int
    key: str
    title: str
    word: ItemWord


@dataclass(frozen=True, slots=True)
class RunRef:
    """An unfinished run that was started for an item."""

    id: str
    number: int
    state: str
    title: str


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check of an item, read now. ``check_id`` 0: an attestation, which no observer reads."""

    check_id: int
    type: str
    title: str
    word: ItemWord
    #: the word before it went stale
    last_word: ItemWord
    sentence: str
    cause: str
    expected: str
    observed: str
    source: str
    observed_at: datetime | None
    limit_seconds: int
    command: str
    watched: bool
    falls_due: datetime | None
    facts: Mapping[str, Any]
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An item as a row of a list, or the head of its page. Rows are equal when they say the same, however fresh."""

    id: int
    key: str
    title: str
    description: str
    phase_id: int
    phase_key: str
    word: ItemWord
    #: what the evidence alone says, before blocked, waiting and checking
    evidence_word: ItemWord
    #: the word kept when ``word`` is stale
    last_word: ItemWord
    sentence: str
    cause: str
    since: datetime | None
    regressed: bool
    #: a fresh reading was asked for and has not come yet
    checking: bool
    #: when the oldest reading behind the word was last known to hold, None when there is no evidence
    observed_at: datetime | None = field(compare=False)
    limit_seconds: int
    owner: str
    due_on: date | None
    #: the item that stops this one
    blocked_by: Named | None
    #: the failing item whose repair closes this one as well
    closes_with: Named | None
    run: RunRef | None
    remedies: tuple[str, ...]
    counted: bool
    proven: bool
    falls_due: datetime | None = field(compare=False)

    @property
    def open(self) -> bool:
        return self.counted and not self.proven


@dataclass(frozen=True, slots=True)
class Group:
    """Items of one word, in a phase's list."""

    word: ItemWord
    rows: tuple[ItemRow, ...]
    #: "one cause behind both", or what else hides here; may be empty
    note: str


@dataclass(frozen=True, slots=True)
class GateLine:
    """One condition of a gate."""

    sentence: str
    met: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Gate:
    """What must hold before the next phase opens."""

    opens: str
    number: int
    open: bool
    sentence: str
    lines: tuple[GateLine, ...]


@dataclass(frozen=True, slots=True)
class PhaseCard:
    """A phase in the strip, and the summary of its page."""

    id: int
    key: str
    number: int
    title: str
    word: ItemWord
    current: bool
    proven: int
    total: int
    percent: int
    exempt: int
    claimed_percent: int | None
    claimed_on: date | None
    #: proven first, then worst first; exempt items are not counted and have no block
    blocks: tuple[Block, ...]
    parts: tuple[Part, ...]
    sentence: str
    gate_open: bool
    #: of the readings that prove something
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Headline:
    """The sentence that answers the page: ``lead`` plus linked counts, and the line under it."""

    lead: str
    parts: tuple[Part, ...]
    sentence: str
    oldest_at: datetime | None = None

    @property
    def state(self) -> str:
        """The shortest true answer, with which the page's title begins: ``2 failing, 1 degraded``."""
        return ", ".join(part.text for part in self.parts) or self.lead


@dataclass(frozen=True, slots=True)
class NeedsYou:
    """Something only a person can move. Shown to those who hold ``permission``."""

    kind: str
    item: Named | None
    title: str
    sentence: str
    permission: str
    run_id: str
    plan_hash: str
    asked_by: str
    asked_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunRow:
    """An unfinished run."""

    id: str
    number: int
    title: str
    state: str
    sentence: str
    step: int
    steps: int
    steps_done: int
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    plan_hash: str
    item: Named | None


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A system that is read: whether it answers and how old its last confirmation is."""

    id: int
    cluster: str
    name: str
    title: str
    mode: str
    word: ItemWord
    sentence: str
    limit_seconds: int
    confirmed_at: datetime | None
    latency_ms: float | None
    last_error: str
    error_at: datetime | None
    address: str
    identity: str
    version: str
    falls_due: datetime | None

    @property
    def topic(self) -> str:
        return f"source:{self.cluster}/{self.name}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One day of a component. ``word`` is ``verified``, ``failing``, ``degraded``, ``unknown`` or empty for no data."""

    day: date
    word: str
    text: str


@dataclass(frozen=True, slots=True)
class ComponentRow:
    """A part of the platform."""

    id: int
    key: str
    title: str
    group: str
    detail: str
    word: ItemWord
    last_word: ItemWord
    sentence: str
    ready: str
    version: str
    runs_on: str
    storage: str
    retention: str
    bars: tuple[Bar, ...]
    #: share of the time with data in which it was verified, None without data
    percent: float | None
    since: datetime | None
    observed_at: datetime | None = field(compare=False)
    falls_due: datetime | None = field(compare=False)
