"""The overview: one sentence, the phases, what holds us back, what needs a person, what runs, what is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from deployments.states import RunState
from portal.checklists.models import Project
from portal.checklists.selectors.derive import roots
from portal.checklists.selectors.load import State, load, revisions
from portal.checklists.selectors.phase import card, current, parts
from portal.checklists.selectors.shapes import Headline, ItemRow, Named, NeedsYou, PhaseCard
from portal.checklists.selectors.status import ComponentFacts, component_facts, components, source_rows
from portal.checklists.selectors.wholes import Board
from portal.checklists.words import CANNOT_TELL, NOT_MET, PROVEN, RANK, ItemWord

DAYS = 30
_CALLED_OUT = (
    ItemWord.FAILING,
    ItemWord.WAITING_FOR_APPROVAL,
    ItemWord.DEGRADED,
    ItemWord.STALE,
    ItemWord.UNKNOWN,
)
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True, slots=True)
class _Kept:
    state: State
    facts: ComponentFacts
    board: Board


#: the last board of a project, by its id
_kept: dict[int, _Kept] = {}
_KEPT_PROJECTS = 16


def board(project: Project, now: datetime) -> Board:
    """The overview of a project, in a fixed number of queries; the same object while nothing in it has changed."""
    state = load(project, now)
    facts = component_facts(project.cluster, DAYS, now)
    kept = _kept.get(project.pk)
    if kept is not None and kept.state is state and kept.facts == facts:
        due = kept.board.falls_due
        if due is None or now < due:
            return kept.board
    found = _board(state, facts, now)
    if len(_kept) >= _KEPT_PROJECTS:
        _kept.clear()
    _kept[project.pk] = _Kept(state, facts, found)
    return found


def _board(state: State, facts: ComponentFacts, now: datetime) -> Board:
    at = current(state)
    cards = tuple(card(state, phase, at) for phase in state.phases)
    held = held_back(state, at)
    shown = components(facts, state.readings, DAYS, now)
    sources = source_rows(state.project.cluster, state.sources, now)
    due = [row.falls_due for rows in (state.rows.values(), shown, sources) for row in rows if row.falls_due]
    return Board(
        project=state.ref,
        headline=headline(state, cards),
        phases=cards,
        held_back=held,
        held_back_note=note(state, held),
        needs_you=needs_you(state),
        running=tuple(run for run in state.runs if run.state != RunState.WAITING_FOR_APPROVAL),
        sources=sources,
        components=shown,
        days=DAYS,
        falls_due=min(due, default=None),
        revision=next(revisions),
    )


def headline(state: State, cards: Sequence[PhaseCard]) -> Headline:
    """``Phase 2 of 3: 2 failing, 1 waiting for approval`` and the numbers under it."""
    here = next((each for each in cards if each.current), None)
    if here is None:
        return Headline("No phases yet", (), "Load a project definition or import a report.")
    lead = f"Phase {here.number} of {len(cards)}"
    rows = [row for row in state.rows.values() if row.phase_id == here.id or row.word in _CALLED_OUT]
    shown = parts(rows, _CALLED_OUT) or parts(rows, (ItemWord.BLOCKED, ItemWord.PENDING))
    if all(each.proven == each.total for each in cards):
        lead, shown = f"All {len(cards)} phases are proven" if len(cards) > 1 else "The phase is proven", ()
    noun = "item" if here.total == 1 else "items"
    said = f"{here.proven} of {here.total} {noun} proven by live evidence."
    if here.claimed_percent is not None:
        whose = f"The report of {here.claimed_on:%-d %B}" if here.claimed_on else "The report"
        said += f" {whose} claimed {here.claimed_percent} %; the cluster says {here.percent} %."
    return Headline(lead + (":" if shown else ""), shown, said, here.oldest_at)


def held_back(state: State, current_id: int | None) -> tuple[ItemRow, ...]:
    """Open items of the current phase, and what is not met or cannot be told anywhere; worst first, roots first."""
    behind = roots(state.derived)
    rows = [
        row
        for row in state.rows.values()
        if row.open
        and row.word is not ItemWord.WAITING_FOR_APPROVAL
        and (row.phase_id == current_id or row.word in NOT_MET or row.word in CANNOT_TELL)
    ]
    return tuple(sorted(rows, key=lambda row: (RANK[row.word], row.id not in behind)))


def note(state: State, held: Sequence[ItemRow]) -> str:
    """``one cause behind all five`` when that is so."""
    bad = [row for row in held if row.word in NOT_MET]
    if len(bad) < 2 or len(roots({row.id: state.derived[row.id] for row in state.rows.values()})) != 1:
        return ""
    return f"one cause behind {'all ' if len(bad) == len(held) else ''}{_number(len(bad))}"


def _number(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def needs_you(state: State) -> tuple[NeedsYou, ...]:
    """What did not follow a run by itself; approvals, oldest first; items where only a person's word is missing."""
    approvals = [
        NeedsYou(
            kind="approval",
            item=run.item,
            title=run.item.title if run.item else run.title,
            sentence=f"{run.requested_by} asks to run {f'“{run.title}”' if run.item else 'it'}.",
            permission="deployments.approve_plan",
            run_id=run.id,
            plan_hash=run.plan_hash,
            asked_by=run.requested_by,
            asked_at=run.requested_at,
        )
        for run in reversed(state.runs)
        if run.state == RunState.WAITING_FOR_APPROVAL
    ]
    return (*state.unfollowed, *approvals, *_attestations(state))


def _attestations(state: State) -> list[NeedsYou]:
    found = []
    for row in state.rows.values():
        checks = state.checks[row.id]
        missing = [c for c in checks if c.type == "attestation" and c.word not in PROVEN]
        if not missing or row.word not in {ItemWord.PENDING, ItemWord.STALE} or row.cause != "not_attested":
            continue
        if all(c.word in PROVEN for c in checks if c.type != "attestation"):
            found.append(_asks(row, missing[0].sentence, missing[0].expected))
    return found


def _asks(row: ItemRow, sentence: str, statement: str) -> NeedsYou:
    return NeedsYou(
        kind="attestation",
        item=Named(row.id, row.key, row.title),
        title=row.title,
        sentence=sentence or statement,
        permission="checklists.attest_item",
        run_id="",
        plan_hash="",
        asked_by="",
        asked_at=row.since,
    )
