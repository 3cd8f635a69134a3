"""A run as its page shows it: evidence before and now, steps, log. Rows in, plain values out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from deployments import undo
from deployments.engine.document import Document, load
from deployments.models import LogLine, Run, Step
from deployments.states import ACTIVE, RunState, StepState
from portal import times
from portal.views.planview import target_name

_BUSY = {StepState.INTENT, StepState.WAITING}


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """One check of the verification: what it read before the first step and what it reads now."""

    title: str
    before_word: str
    before: str
    now_word: str
    now: str
    since: datetime | None
    #: seconds it had held when the run ended; None while it counts
    held: float | None


@dataclass(frozen=True, slots=True)
class StepLine:
    """One step. ``share`` of ``share_max`` draws its length beside the longest."""

    index: int
    title: str
    state: str
    current: bool
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    share: float
    share_max: float
    sentence: str


@dataclass(frozen=True, slots=True)
class VerifyLine:
    """The last line under the steps."""

    current: bool
    state: str


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything on the page of a run but who looks at it and the log."""

    id: str
    number: int
    title: str
    state: str
    fact: str
    sentence: str
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    elapsed_seconds: float | None
    plan_hash: str
    plan_short: str
    target: str
    active: bool
    cancel_requested: bool
    undo_of: Any
    undone_by: Any
    #: why it cannot be undone; empty when a plan can be asked for
    undo_why_not: str
    follow_ups: tuple[Any, ...]
    evidence: tuple[EvidenceLine, ...]
    evidence_sentence: str
    holding: int
    before_at: datetime | None
    hold_from: datetime | None
    hold_from_ms: int
    hold_seconds: int
    held_seconds: int
    steps: tuple[StepLine, ...]
    steps_done: int
    steps_skipped: int
    steps_seconds: float | None
    verify: VerifyLine | None
    undo_sentence: str


@dataclass(frozen=True, slots=True)
class LogGroup:
    """The lines of one step."""

    key: str
    title: str
    range: str
    lines: tuple[LogLine, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """A stretch of the log, grouped by step."""

    first: int
    last: int
    groups: tuple[LogGroup, ...]


def run_view(run: Run, steps: Sequence[Step], now: datetime) -> RunView:
    """The page's values."""
    document = load(run.plan.document)
    evidence = tuple(_evidence(run, document))
    verifying = run.state == RunState.VERIFYING
    hold = document.verification.hold_seconds
    since = run.holding_since if verifying or run.state == RunState.SUCCEEDED else None
    end = run.finished_at or now
    held = min(hold, int((end - since).total_seconds())) if since else 0
    lines = tuple(_step(step, steps, run, now) for step in steps)
    ended = [step.finished_at for step in lines if step.finished_at]
    return RunView(
        id=run.pk,
        number=run.number,
        title=run.plan.title,
        state=run.state,
        fact=_fact(run, held, hold, lines),
        sentence=run.sentence,
        requested_by=run.requested_by.get_username(),
        requested_at=run.requested_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        elapsed_seconds=(run.finished_at - run.started_at).total_seconds()
        if run.finished_at and run.started_at
        else None,
        plan_hash=run.plan_id,
        plan_short=run.plan_id[:8],
        target=next((target_name(step.target_key) for step in steps if step.target_key), ""),
        active=RunState(run.state) in ACTIVE,
        cancel_requested=run.cancel_requested_at is not None,
        undo_of=run.undo_of,
        undone_by=run.undos.order_by("-requested_at").first(),
        undo_why_not="it is at work" if RunState(run.state) in ACTIVE else undo.refusal(run),
        follow_ups=tuple(run.follow_ups.select_related("started")),
        evidence=evidence,
        evidence_sentence=_evidence_sentence(run, since, hold, len(evidence)),
        holding=sum(line.now_word == "verified" for line in evidence),
        before_at=_moment(run.before[0]["at"]) if run.before else None,
        hold_from=since,
        hold_from_ms=int(since.timestamp() * 1000) if since and verifying else 0,
        hold_seconds=hold,
        held_seconds=held,
        steps=lines,
        steps_done=sum(step.state == "done" for step in lines),
        steps_skipped=sum(step.state == "skipped" for step in lines),
        steps_seconds=(max(ended) - run.started_at).total_seconds() if ended and run.started_at else None,
        verify=_verify(run, evidence),
        undo_sentence=document.undo,
    )


def _fact(run: Run, held: int, hold: int, lines: Sequence[StepLine]) -> str:
    if run.state == RunState.VERIFYING:
        return f"{held} s of {hold} s"
    if run.state == RunState.RUNNING and lines:
        return f"step {min(run.current_step + 1, len(lines))} of {len(lines)}"
    return ""


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _evidence(run: Run, document: Document) -> Iterable[EvidenceLine]:
    before = {row["title"]: row for row in run.before}
    latest = {row["title"]: row for row in run.now}
    for spec in document.verification.checks:
        old, new = before.get(spec.title, {}), latest.get(spec.title, {})
        since = _moment(new["since"]) if new.get("since") else None
        yield EvidenceLine(
            title=spec.title,
            before_word=old.get("word", ""),
            before=old.get("observed") or old.get("sentence", ""),
            now_word=new.get("word", ""),
            now=new.get("observed") or new.get("sentence", ""),
            since=since,
            held=max(0.0, (run.finished_at - since).total_seconds()) if run.finished_at and since else None,
        )


def _evidence_sentence(run: Run, since: datetime | None, hold: int, count: int) -> str:
    if run.state == RunState.VERIFYING and since is not None:
        at = times.second(datetime.fromtimestamp(since.timestamp() + hold, tz=since.tzinfo))
        return f"it ends verified at {at} if {'it holds' if count == 1 else f'all {count} hold'} until then"
    if run.state == RunState.VERIFYING:
        return f"{'it' if count == 1 else f'all {count}'} must hold for {hold} s"
    if run.state == RunState.SUCCEEDED:
        return f"{'it' if count == 1 else 'all'} held for {hold} s"
    return "read before the first step and after the last" if RunState(run.state) in ACTIVE else ""


def _step(step: Step, every: Sequence[Step], run: Run, now: datetime) -> StepLine:
    lengths = [_length(each, now) or 0.0 for each in every]
    busy = StepState(step.state) in _BUSY or (step.started_at is not None and step.outcome_at is None)
    current = run.state == RunState.RUNNING and busy
    length = _length(step, now)
    state = "intent" if current else step.state
    return StepLine(
        index=step.index + 1,
        title=step.title,
        state=state,
        current=current,
        started_at=step.started_at,
        finished_at=step.outcome_at,
        seconds=length if step.outcome_at else None,
        share=round(length or 0.0, 2),
        share_max=round(max([*lengths, 0.1]), 2) if length is not None else 0,
        sentence=step.sentence,
    )


def _length(step: Step, now: datetime) -> float | None:
    if step.started_at is None:
        return None
    return max(0.0, ((step.outcome_at or now) - step.started_at).total_seconds())


def _verify(run: Run, evidence: Sequence[EvidenceLine]) -> VerifyLine | None:
    if not evidence:
        return None
    if run.state == RunState.VERIFYING:
        return VerifyLine(True, "verifying")
    if run.state == RunState.SUCCEEDED:
        return VerifyLine(False, "done")
    return VerifyLine(False, "pending" if RunState(run.state) in ACTIVE else "skipped")


def log_view(lines: Sequence[LogLine], titles: Sequence[str], last: int, begun: int = -1) -> Log:
    """Lines grouped by step; ``last``: the number of the newest line, ``begun``: the step before the first line."""
    groups = []
    for index, found in groupby(lines, key=lambda line: line.step_index):
        own = tuple(found)
        key = str(index) if index >= 0 else f"after-{begun}"
        begun = max(begun, index)
        groups.append(LogGroup(key, _title(index, titles, begun), _range(own), own))
    return Log(lines[0].number if lines else last + 1, lines[-1].number if lines else last, tuple(groups))


def _range(own: Sequence[LogLine]) -> str:
    first, last = own[0].number, own[-1].number
    return f"line {first}" if first == last else f"lines {first}–{last}"


def _title(index: int, titles: Sequence[str], begun: int) -> str:
    if index < 0:
        return "Begin" if begun < 0 else "End"
    return f"{index + 1} {titles[index]}" if index < len(titles) else "Verify"
