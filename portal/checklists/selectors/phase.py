"""The parts of a phase: its card in the strip, its gate, its items grouped worst first, and its page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from portal.checklists.models import Phase
from portal.checklists.selectors.derive import roots
from portal.checklists.selectors.load import State, load
from portal.checklists.selectors.shapes import Block, Gate, GateLine, Group, ItemRow, Part, PhaseCard
from portal.checklists.selectors.wholes import PhasePage
from portal.checklists.words import NOT_MET, PROVEN, RANK, ROLL_UP, ItemWord, worst

#: how a count reads after its number
_AFTER = {ItemWord.WAITING_FOR_APPROVAL: "waiting for approval", ItemWord.EXEMPT: "exempt, not counted"}


def phase_page(phase: Phase, now: datetime) -> PhasePage:
    """One phase whole."""
    state = load(phase.project, now)
    return page_of(state, phase.pk)


def page_of(state: State, phase_id: int) -> PhasePage:
    """One phase out of a loaded project. :raises KeyError: the project has no such phase."""
    by_id = {phase.pk: phase for phase in state.phases}
    phase = by_id[phase_id]
    rows = sorted(state.of_phase(phase_id), key=lambda row: RANK[row.word])
    onward = next((each for each in state.phases if each.gate_id == phase_id), None)
    return PhasePage(
        project=state.ref,
        phase=card(state, phase, current(state)),
        gate=gate(state, phase_id, onward) if onward else None,
        opened_by=gate(state, phase.gate_id, phase) if phase.gate_id in by_id else None,
        groups=groups(state, rows),
        rows=tuple(rows),
        needs_you=sum(row.word is ItemWord.WAITING_FOR_APPROVAL for row in rows),
        revision=state.revision,
    )


def current(state: State) -> int | None:
    """The phase the team is in: the first with something open, else the last."""
    for phase in state.phases:
        if any(row.open for row in state.of_phase(phase.pk)):
            return phase.pk
    return state.phases[-1].pk if state.phases else None


def parts(rows: Iterable[ItemRow], words: Sequence[ItemWord] = ROLL_UP) -> tuple[Part, ...]:
    """Counts by word, worst first, each with the anchor of its group."""
    counts = Counter(row.word for row in rows)
    return tuple(
        Part(counts[word], word, f"{counts[word]} {_AFTER.get(word, word.label.lower())}", word.value.replace("_", "-"))
        for word in words
        if counts[word]
    )


def card(state: State, phase: Phase, current_id: int | None) -> PhaseCard:
    """A phase's numbers: one block per counted item, proven first, then worst first."""
    rows = state.of_phase(phase.pk)
    counted = [row for row in rows if row.counted]
    proven = sum(row.proven for row in counted)
    closed = gate(state, phase.gate_id, phase) if phase.gate_id else None
    ordered = sorted(counted, key=lambda row: (not row.proven, -RANK[row.word] if row.proven else RANK[row.word]))
    read = [row.observed_at for row in rows if row.proven and row.observed_at is not None]
    return PhaseCard(
        id=phase.pk,
        key=phase.key,
        number=phase.number,
        title=phase.title,
        word=_word(counted),
        current=phase.pk == current_id,
        proven=proven,
        total=len(counted),
        percent=round(100 * proven / len(counted)) if counted else 0,
        exempt=len(rows) - len(counted),
        claimed_percent=phase.claimed_percent,
        claimed_on=phase.claimed_on,
        blocks=tuple(Block(row.id, row.key, row.title, row.word) for row in ordered),
        parts=parts(rows),
        sentence=_sentence(rows, closed),
        gate_open=closed is None or closed.open,
        oldest_at=min(read, default=None),
    )


def _word(counted: Sequence[ItemRow]) -> ItemWord:
    return worst((row.word for row in counted), ItemWord.PENDING)


def _sentence(rows: Sequence[ItemRow], closed: Gate | None) -> str:
    """The line under the blocks."""
    if not rows:
        return "No items yet. Import a report or add them to the project definition."
    open_rows = [row for row in rows if row.open]
    if closed is not None and not closed.open and all(row.word is ItemWord.PENDING for row in open_rows):
        return closed.sentence
    if open_rows:
        shown = parts([row for row in rows if row.open or not row.counted])
        return " · ".join(part.text for part in shown)
    since = max((row.since for row in rows if row.since), default=None)
    return f"Verified since {since:%-d %b}" if since else "Every item is proven."


def gate(state: State, behind_id: int | None, phase: Phase) -> Gate:
    """The gate between a phase and the one that follows it: what must hold, line by line."""
    rows = [row for row in state.rows.values() if row.phase_id == behind_id]
    number = next((each.number for each in state.phases if each.pk == behind_id), 0)
    waiting = [row for row in rows if row.open]
    bad = [row for row in rows if row.word in NOT_MET]
    today = state.now.date()
    waivers = [(item.pk, item.exempt_until) for item in state.items if item.phase_id == behind_id and item.exempt_until]
    past = [pk for pk, until in waivers if until < today and not _proven(state, pk)]
    ahead = min((until for _, until in waivers if until >= today), default=None)
    failing = sum(row.word is ItemWord.FAILING for row in bad)
    is_open = not waiting and bool(rows)
    plural = "item" if len(waiting) == 1 else "items"
    return Gate(
        opens=phase.title,
        number=phase.number,
        open=is_open,
        sentence="Gate open" if is_open else f"Gate closed: {len(waiting)} {plural} open in phase {number}",
        lines=(
            GateLine("Every item verified or attested", is_open, f"{len(waiting)} open" if waiting else "all"),
            GateLine("No item failing", not failing, f"{failing} failing" if failing else "none"),
            GateLine(
                "No exemption past its date",
                not past,
                f"{len(past)} past" if past else f"{ahead:%-d %b}" if ahead else "none",
            ),
        ),
    )


def _proven(state: State, item_id: int) -> bool:
    return state.rows[item_id].word in PROVEN


def groups(state: State, rows: Sequence[ItemRow]) -> tuple[Group, ...]:
    """Rows by word, worst first, with a note where one cause stands behind several."""
    behind = roots(state.derived)
    found = []
    for word in ROLL_UP:
        own = tuple(row for row in rows if row.word is word)
        if own:
            found.append(Group(word, own, _note(own, behind)))
    return tuple(found)


def _note(rows: Sequence[ItemRow], behind: set[int]) -> str:
    if len(rows) < 2 or rows[0].word is not ItemWord.FAILING:
        return ""
    leaders = [row for row in rows if row.id in behind]
    if len(leaders) == 1:
        every = "both" if len(rows) == 2 else f"all {len(rows)}"
        return f"one cause behind {every}: {leaders[0].title}"
    return ""
