"""One item: its row, and its page with checks, history, attempts and a person's word."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time
from typing import Any

from django.db.models import Q

from deployments.models import Run
from portal.checklists.models import Item, ItemSpan, Project, Report, RunItem
from portal.checklists.selectors.load import State, load, named
from portal.checklists.selectors.phase import card, current
from portal.checklists.selectors.shapes import ItemRow, Named
from portal.checklists.selectors.wholes import Attempt, AttestationRow, HistoryBar, ItemPage
from portal.checklists.subjects import subject_of
from portal.checklists.words import PROVEN, ItemWord

HISTORY = 50


def item_state(item: Item, now: datetime) -> ItemRow:
    """One item as a row."""
    return item_rows([item.pk], now)[item.pk]


def item_rows(item_ids: Iterable[int], now: datetime) -> dict[int, ItemRow]:
    """These items as rows: what an item reads depends on its neighbours, so each of their projects is loaded once."""
    wanted = set(item_ids)
    projects = Project.objects.filter(items__in=wanted).distinct()
    return {pk: row for project in projects for pk, row in load(project, now).rows.items() if pk in wanted}


def item_page(item: Item, now: datetime) -> ItemPage:
    """One item whole. :raises KeyError: the item is retired."""
    state = load(item.project, now)
    row, checks = state.rows[item.pk], state.checks[item.pk]
    phase = next(each for each in state.phases if each.pk == row.phase_id)
    neighbours = [each.id for each in state.of_phase(phase.pk)]
    at = neighbours.index(item.pk)
    by_key = {each.key: each for each in state.items}
    return ItemPage(
        project=state.ref,
        phase=card(state, phase, current(state)),
        row=row,
        checks=checks,
        passing=sum(check.word in PROVEN for check in checks),
        blocks=tuple(named(each) for each in state.items if item.key in each.blocked_by),
        blockers=tuple(named(by_key[key]) for key in item.blocked_by if key in by_key),
        history=_history(item),
        attempts=_attempts(item),
        attestations=_attestations(item, now),
        needs_attestation=item.needs_attestation,
        attestation_statement=str(item.attestation.get("statement", "")),
        attestation_days=int(item.attestation.get("valid_days", 90)),
        exempt_until=item.exempt_until,
        exempt_by=item.exempt_by,
        exempt_why=item.exempt_why,
        provenance=dict(item.provenance),
        subject=subject_of(item.key, [(check.type, check.params) for check in checks if check.check_id]),
        unfollowed=tuple(each for each in state.unfollowed if each.item is not None and each.item.id == item.pk),
        previous=_neighbour(state, neighbours, at - 1),
        next=_neighbour(state, neighbours, at + 1),
    )


def _neighbour(state: State, ids: list[int], index: int) -> Named | None:
    if not 0 <= index < len(ids):
        return None
    row = state.rows[ids[index]]
    return Named(row.id, row.key, row.title)


def _history(item: Item) -> tuple[HistoryBar, ...]:
    """The latest stretches, oldest first."""
    spans = ItemSpan.objects.filter(item=item).order_by("-opened_at")[:HISTORY]
    bars = [HistoryBar(ItemWord(s.word), s.cause, s.sentence, s.regressed, s.opened_at, s.closed_at) for s in spans]
    return tuple(reversed(bars))


def _attempts(item: Item) -> tuple[Attempt, ...]:
    """Runs for the item and what followed them by itself, newest first; then what the newest report says of before."""
    columns = ("id", "number", "state", "sentence", "requested_at", "plan__title")
    tied = Q(pk__in=RunItem.objects.filter(item=item).values("run")) | Q(context=f"item:{item.pk}")
    rows = Run.objects.filter(tied).order_by("-requested_at").values_list(*columns)[:20]
    return (*(_attempt(row) for row in rows), *_reported(item))


def _attempt(row: tuple[Any, ...]) -> Attempt:
    run_id, number, state, sentence, at, title = row
    return Attempt(at=at, title=title, sentence=sentence, run_id=run_id, number=number, state=state)


def _reported(item: Item) -> list[Attempt]:
    reports = Report.objects.filter(project=item.project_id).order_by("-dated_on", "-imported_at")
    newest = reports.values_list("dated_on", "understood__attempts").first()
    if newest is None:
        return []
    day, tried = newest
    at = datetime.combine(day, time.min, tzinfo=UTC) if day else None
    own = [entry for entry in tried or [] if entry.get("item") == item.key]
    return [Attempt(at, str(entry["text"]), "From the report.", "", 0, "reported") for entry in own]


def _attestations(item: Item, now: datetime) -> tuple[AttestationRow, ...]:
    if not item.needs_attestation:
        return ()
    return tuple(
        AttestationRow(
            id=row.pk,
            by=row.by.get_username(),
            statement=row.statement,
            at=row.at,
            expires_at=row.expires_at,
            withdrawn_at=row.withdrawn_at,
            valid=row.withdrawn_at is None and row.expires_at > now,
        )
        for row in item.attestations.select_related("by")[:20]
    )
