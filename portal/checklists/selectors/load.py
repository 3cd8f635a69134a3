"""Loads a project whole, in a fixed number of queries, and derives every item's row from it.

The readings may be given from outside (the commands evaluate the cluster themselves); else they are the stored evidence
as it stands now. Nothing here writes.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

from deployments.states import ACTIVE, RunState
from monitoring.checks import registry
from monitoring.models import Source
from monitoring.selectors import Reading
from portal.checklists.models import Phase, Project
from portal.checklists.selectors import fetch
from portal.checklists.selectors.derive import Derived, ItemFacts, PhaseFacts, Signed, attestation_row, derive
from portal.checklists.selectors.fetch import ItemRecord
from portal.checklists.selectors.memo import Memo
from portal.checklists.selectors.shapes import CheckRow, ItemRow, Named, NeedsYou, RunRef, RunRow
from portal.checklists.selectors.wholes import ProjectRef
from portal.checklists.words import PROVEN, ItemWord

#: numbers for what was derived together, for caches of what is drawn from it
revisions = itertools.count(1)
_EVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True, eq=False)
class State:
    """A project as it stands from ``now`` to ``until``, if no fact changes. ``rows`` and ``derived`` are by item id, in
    the order of the definition. ``revision`` is its own within this process."""

    project: Project
    now: datetime
    phases: list[Phase]
    items: list[ItemRecord]
    readings: Mapping[int, Reading]
    sources: list[Source]
    checks: dict[int, tuple[CheckRow, ...]]
    derived: dict[int, Derived] = field(default_factory=dict)
    rows: dict[int, ItemRow] = field(default_factory=dict)
    runs: list[RunRow] = field(default_factory=list)
    unfollowed: list[NeedsYou] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)
    until: datetime = _EVER
    revision: int = field(default_factory=lambda: next(revisions))

    @property
    def ref(self) -> ProjectRef:
        return ProjectRef(self.project.pk, self.project.key, self.project.title, self.project.cluster)

    def of_phase(self, phase_id: int) -> list[ItemRow]:
        return [row for row in self.rows.values() if row.phase_id == phase_id]


def load(project: Project, now: datetime, live: Mapping[int, Reading] | None = None, *, as_read: bool = False) -> State:
    """The project at ``now``.

    ``live`` readings, by check id, replace the stored evidence; ``as_read`` takes the stored evidence as it was read,
    however old. Both leave out what is only asked or under way (requests, runs): a command says what the cluster says,
    and a span holds what was read.

    A state already derived from the same facts is given again while nothing in it has fallen due: treat it as frozen.
    """
    facts = fetch.facts(project)
    shown = live is None and not as_read
    kept = _kept.get(project.pk) if shown else None
    if kept is not None and kept.facts == facts and kept.state.now <= now < kept.state.until:
        return kept.state
    state = _derive(project, now, facts, live, as_read=as_read)
    if shown:
        if len(_kept) >= _KEPT_PROJECTS:
            _kept.clear()
            _made.clear()
        _kept[project.pk] = _Kept(facts, state)
    return state


@dataclass(frozen=True, slots=True)
class _Kept:
    facts: fetch.Facts
    state: State


_KEPT_PROJECTS = 16
_kept: dict[int, _Kept] = {}
#: what was made last time, by project and whether stored evidence was taken as it was read
_made: dict[tuple[int, bool], dict[Hashable, tuple[tuple[Any, ...], Any]]] = {}


def _derive(
    project: Project, now: datetime, facts: fetch.Facts, live: Mapping[int, Reading] | None, *, as_read: bool
) -> State:
    items = fetch.items(project, facts)
    found = fetch.readings(project.cluster, now, facts)
    shown = live is None and not as_read
    memo = Memo(_made.get((project.pk, as_read)) if live is None else None)
    readings: Mapping[int, Reading] = found.by_check if live is None else live
    if as_read:
        readings = {pk: memo.of(("read", pk), _as_last_read, reading) for pk, reading in readings.items()}
    asked = found.asked if shown else {}
    checks = {item.pk: _check_rows(item, found.bound.get(item.pk, ()), readings, now, memo) for item in items}
    state = State(project, now, fetch.phases(project, facts), items, readings, found.sources, checks, asked=set(asked))
    kept = fetch.runs(project, facts) if shown else []
    runs = [run for run in kept if RunState(run["state"]) in ACTIVE]
    by_id = {item.pk: item for item in items}
    state.runs = [_run_row(run, by_id.get(run["item"])) for run in runs]
    state.unfollowed = [_unfollowed(row, by_id) for row in fetch.follows(kept)]
    tied = {run["item"]: run for run in reversed(runs)}
    own = [_facts(item, checks[item.pk], tied.get(item.pk), state.asked, now, memo) for item in items]
    state.derived = derive(own, [_phase_facts(phase) for phase in state.phases], memo)
    phase_keys = {phase.pk: phase.key for phase in state.phases}
    for item in items:
        derived, run, phase_key = state.derived[item.pk], tied.get(item.pk), sys.intern(phase_keys[item.phase_id])
        checking = any(check.check_id in asked for check in checks[item.pk])
        blocker = by_id[derived.blocked_by] if derived.blocked_by else None
        closer = by_id[derived.closes_with] if derived.closes_with else None
        made_of = (item, derived, checks[item.pk], blocker, closer, run, phase_key, checking)
        state.rows[item.pk] = memo.of(("row", item.pk), _row, *made_of)
    if live is None:
        _made[project.pk, as_read] = memo.kept
    due = [row.falls_due for row in state.rows.values() if row.falls_due is not None]
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time.min, tzinfo=UTC)  # waivers end by the day
    state.until = min([*due, *asked.values(), tomorrow])
    return state


def _as_last_read(reading: Reading) -> Reading:
    """Staleness is the clock's."""
    if not reading.last_word:
        return reading
    return replace(reading, word=reading.last_word, sentence=reading.last_sentence)


def _check_rows(
    item: ItemRecord,
    bound: Sequence[tuple[int, int, int, str]],
    readings: Mapping[int, Reading],
    now: datetime,
    memo: Memo,
) -> tuple[CheckRow, ...]:
    rows = [
        memo.of(("check", binding), check_row, readings[check_id], sys.intern(title))
        for _, binding, check_id, title in bound
        if check_id in readings
    ]
    if item.needs_attestation:
        signed = None
        if item.signed_at is not None and item.signed_until is not None:
            signed = Signed(item.signed_by or "", item.signed_at, item.signed_until, item.signed_text or "")
        wanted = item.attestation
        rows.append(attestation_row(wanted.get("statement", ""), int(wanted.get("valid_days", 90)), signed, now))
    return memo.of(("checks", item.pk), _tuple, *rows)


def _tuple(*rows: CheckRow) -> tuple[CheckRow, ...]:
    return rows


def check_row(reading: Reading, title: str) -> CheckRow:
    """A reading as a row under an item."""
    word = ItemWord(reading.word)
    unread = not reading.read
    return CheckRow(
        check_id=reading.check_id,
        type=reading.type,
        title=title,
        word=word,
        last_word=ItemWord(reading.last_word or reading.word),
        sentence=reading.sentence,
        cause=reading.cause,
        expected=reading.expected or (registry.expected(reading.type, reading.params) if unread else ""),
        observed=reading.observed,
        source=reading.source or (registry.source_of(reading.type, reading.params) if unread else ""),
        observed_at=reading.observed_at,
        limit_seconds=reading.limit_seconds,
        command=reading.command or (registry.command(reading.type, reading.params) if unread else ""),
        watched=reading.watched,
        falls_due=None if word is ItemWord.STALE else reading.stale_at,
        facts=reading.facts,
        params=reading.params,
    )


def _run_row(run: Mapping[str, Any], item: ItemRecord | None) -> RunRow:
    return RunRow(
        id=run["id"],
        number=run["number"],
        title=run["plan__title"],
        state=run["state"],
        sentence=run["sentence"],
        step=min(run["current_step"] + 1, max(run["total"], 1)),
        steps=run["total"],
        steps_done=run["done"],
        requested_by=run["requested_by__username"],
        requested_at=run["requested_at"],
        started_at=run["started_at"],
        plan_hash=run["plan_id"],
        item=named(item) if item is not None else None,
    )


def _unfollowed(row: Mapping[str, Any], by_id: Mapping[int, ItemRecord]) -> NeedsYou:
    item = by_id.get(row["item"])
    did = ""
    if row["started__number"] is not None:
        word = row["started__state"].replace("_", " ")
        did = f" Run {row['started__number']} was to do it and is {word}: {row['started__sentence']}"
    return NeedsYou(
        kind="follow_up",
        item=named(item) if item is not None else None,
        title=f"After run {row['run__number']}: {row['run__plan__title']}",
        sentence=row["sentence"] + did,
        permission="deployments.view_run",
        run_id=row["run_id"],
        plan_hash="",
        asked_by="",
        asked_at=row["due_at"],
    )


def named(item: ItemRecord) -> Named:
    return Named(item.pk, item.key, item.title)


def _phase_facts(phase: Phase) -> PhaseFacts:
    started = phase.gate_id is None or phase.opened_at is not None or phase.claimed_percent is not None
    return PhaseFacts(phase.pk, phase.number, phase.gate_id, started)


def _facts(
    item: ItemRecord,
    checks: tuple[CheckRow, ...],
    run: Mapping[str, Any] | None,
    asked: set[int],
    now: datetime,
    memo: Memo,
) -> ItemFacts:
    exempt = item.exempt_until is not None and item.exempt_until >= now.date()
    waiting = ""
    if run is not None and run["state"] == RunState.WAITING_FOR_APPROVAL:
        waiting = (
            f"Plan {run['plan_id'][:8]} of {run['requested_by__username']} waits for approval: {run['plan__title']}."
        )
    checking = any(check.check_id in asked for check in checks)
    return memo.of(("facts", item.pk), _item_facts, item, checks, exempt, sys.intern(waiting), checking)


def _item_facts(
    item: ItemRecord, checks: tuple[CheckRow, ...], exempt: bool, waiting: str, checking: bool
) -> ItemFacts:
    return ItemFacts(
        id=item.pk,
        key=item.key,
        title=item.title,
        phase_id=item.phase_id,
        position=item.position,
        checks=checks,
        blocked_by=tuple(item.blocked_by),
        exempt=exempt,
        exempt_sentence=f"Waived until {item.exempt_until:%-d %B %Y} by {item.exempt_by}: {item.exempt_why}"
        if exempt
        else "",
        remedies=bool(item.remedies),
        waiting_sentence=waiting,
        checking=checking,
    )


def _row(
    item: ItemRecord,
    derived: Derived,
    checks: tuple[CheckRow, ...],
    blocker: ItemRecord | None,
    closer: ItemRecord | None,
    run: Mapping[str, Any] | None,
    phase_key: str,
    checking: bool,
) -> ItemRow:
    oldest = min((c for c in checks if c.check_id and c.observed_at is not None), key=_observed, default=None)
    return ItemRow(
        id=item.pk,
        key=item.key,
        title=item.title,
        description=item.description,
        phase_id=item.phase_id,
        phase_key=phase_key,
        word=derived.word,
        evidence_word=derived.evidence_word,
        last_word=derived.last_word,
        sentence=derived.sentence,
        cause=derived.cause,
        since=_since(item, derived, checks),
        regressed=bool(item.span_regressed) and derived.evidence_word is ItemWord(item.span_word or derived.word),
        checking=checking,
        observed_at=oldest.observed_at if oldest else None,
        limit_seconds=oldest.limit_seconds if oldest else 0,
        owner=item.owner or "",
        due_on=item.due_on,
        blocked_by=named(blocker) if blocker else None,
        closes_with=named(closer) if closer else None,
        run=RunRef(run["id"], run["number"], run["state"], run["plan__title"]) if run else None,
        remedies=tuple(item.remedies),
        counted=derived.word is not ItemWord.EXEMPT,
        # an item being read again still rests on what was read last
        proven=derived.evidence_word in PROVEN and derived.word is not ItemWord.EXEMPT,
        falls_due=min((c.falls_due for c in checks if c.falls_due), default=None),
    )


def _observed(check: CheckRow) -> datetime:
    assert check.observed_at is not None
    return check.observed_at


def _since(item: ItemRecord, derived: Derived, checks: tuple[CheckRow, ...]) -> datetime | None:
    """Since when the word holds: its span's opening; for *stale*, when the first reading passed its limit."""
    if derived.word is ItemWord.STALE:
        gone = [
            c.observed_at + timedelta(seconds=c.limit_seconds)
            for c in checks
            if c.word is derived.word and c.observed_at
        ]
        return min(gone, default=None)
    if item.span_word is None or ItemWord(item.span_word) not in {derived.word, derived.evidence_word}:
        return None
    return item.span_at
