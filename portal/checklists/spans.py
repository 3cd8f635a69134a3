"""Keeps ItemSpans in step with what items read: closes and opens them, flags what regressed, opens gates.

Called inside the transaction of whatever moved an item. What only the clock or an open request changes (*stale*,
*checking*, *waiting for approval*) is derived at read time and never stored here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from deployments.models import Run
from deployments.states import ACTIVE
from portal.checklists.models import ItemSpan, Phase, Project, RunItem
from portal.checklists.selectors.derive import Derived
from portal.checklists.selectors.load import State, load
from portal.checklists.words import PROVEN, ItemWord

_BROKEN = frozenset({ItemWord.FAILING, ItemWord.DEGRADED})


def refresh(project: Project, item_ids: Collection[int], at: datetime) -> list[str]:
    """Bring the spans of these items, and of those that depend on them, up to date. Returns the topics that changed."""
    state = load(project, at, as_read=True)
    wanted = _with_dependents(state, item_ids)
    opened = _open_gates(state)
    wanted |= {row.id for row in state.rows.values() if row.phase_id in opened}
    open_spans = {span.item_id: span for span in ItemSpan.objects.filter(item__in=wanted, closed_at=None)}
    moved = [pk for pk in wanted if _has_moved(state, pk, open_spans.get(pk))]
    regressed = _regressed(state, moved, open_spans)
    ItemSpan.objects.filter(pk__in=[open_spans[pk].pk for pk in moved if pk in open_spans]).update(closed_at=at)
    ItemSpan.objects.bulk_create(_span(pk, state.derived[pk], pk in regressed, at) for pk in moved)
    return topics(state, wanted, opened)


def _with_dependents(state: State, item_ids: Iterable[int]) -> set[int]:
    """These items, all that are blocked by them however far, and those that share their cause."""
    keys = {row.key: row.id for row in state.rows.values()}
    found = {pk for pk in item_ids if pk in state.rows}
    todo = list(found)
    while todo:
        key = state.rows[todo.pop()].key
        for item in state.items:
            if key in item.blocked_by and item.pk not in found and item.key in keys:
                found.add(item.pk)
                todo.append(item.pk)
    return found


def _open_gates(state: State) -> set[int]:
    """Phases whose gate has just opened for the first time; from now on they have begun."""
    opened = set()
    for phase in state.phases:
        if phase.gate_id is None or phase.opened_at is not None:
            continue
        behind = [row for row in state.of_phase(phase.gate_id) if row.counted]
        if behind and all(row.proven for row in behind):
            Phase.objects.filter(pk=phase.pk, opened_at=None).update(opened_at=state.now)
            opened.add(phase.pk)
    return opened


def _has_moved(state: State, item_id: int, span: ItemSpan | None) -> bool:
    derived = state.derived[item_id]
    if span is None:
        # the first span waits until every check was read once, else each start would write a short "unknown"
        return all(check.observed_at is not None or not check.check_id for check in state.checks[item_id])
    return (span.word, span.cause) != (derived.word.value, derived.cause[:80])


def _regressed(state: State, moved: Collection[int], open_spans: dict[int, ItemSpan]) -> set[int]:
    """Which of the moved items were proven and stopped being so by themselves: no run of theirs was under way."""
    broken = [pk for pk in moved if state.derived[pk].evidence_word in _BROKEN and pk in open_spans]
    repaired = _repaired(broken)
    return {pk for pk in broken if _was_proven(open_spans[pk]) and (pk not in repaired or open_spans[pk].regressed)}


def _repaired(items: Collection[int]) -> set[int]:
    """Those with a run at work: tied to it, or started from its page by a web process that died before it tied them."""
    active = [run_state.value for run_state in ACTIVE]
    contexts = {f"item:{pk}": pk for pk in items}
    started = Run.objects.filter(context__in=contexts, state__in=active).values_list("context", flat=True)
    tied = RunItem.objects.filter(item__in=items, run__state__in=active).values_list("item", flat=True)
    return {contexts[context] for context in started} | set(tied)


def _was_proven(span: ItemSpan) -> bool:
    if span.regressed or ItemWord(span.word) in PROVEN:
        return True
    if ItemWord(span.word) is not ItemWord.UNKNOWN:
        return False
    # nobody could look in between: what it was before still counts
    earlier = ItemSpan.objects.filter(item=span.item_id).exclude(word=ItemWord.UNKNOWN).order_by("-opened_at").first()
    return earlier is not None and (earlier.regressed or ItemWord(earlier.word) in PROVEN)


def _span(item_id: int, derived: Derived, regressed: bool, at: datetime) -> ItemSpan:
    return ItemSpan(
        item_id=item_id,
        word=derived.word.value,
        cause=derived.cause[:80],
        sentence=derived.sentence,
        regressed=regressed,
        opened_at=at,
    )


def topics(state: State, item_ids: Iterable[int], phase_ids: Iterable[int] = ()) -> list[str]:
    """The rows that show these items: their own and their phases', and the phases behind whose gate they stand."""
    items = [pk for pk in item_ids if pk in state.rows]
    phases = {state.rows[pk].phase_id for pk in items} | set(phase_ids)
    phases |= {phase.pk for phase in state.phases if phase.gate_id in phases}
    return [*(f"item:{pk}" for pk in sorted(items)), *(f"phase:{pk}" for pk in sorted(phases))]
