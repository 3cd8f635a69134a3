"""One look at the current step: begin it, make its effect, wait for what it waits for, finish it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from common.clock import now
from deployments import gates
from deployments.catalogue import conditions
from deployments.catalogue.action import Call, Condition
from deployments.catalogue.seen import Outlook, Seen
from deployments.engine import begin, calls, effects, following, holding
from deployments.engine.journal import Entry
from deployments.engine.turn import GO_ON, POLL, Pause, Turn
from deployments.fault import point
from deployments.models import Step
from deployments.states import RunState, StepState
from integrations.errors import SourceError
from monitoring.snapshot import Missing

#: in its first seconds a wait is looked at more often: most waits are short
_EAGER = timedelta(seconds=3)
_EAGER_POLL = 0.25


def look(turn: Turn) -> Pause:
    """Do the next thing of the current step."""
    step = Step.objects.get(run_id=turn.run.pk, index=turn.index)
    if step.started_at is None:
        if turn.spec.effect is not None:
            held = _stopped(turn)
            if held:
                return held
        step = _begin(turn)
    if step.state == StepState.WAITING.value:
        return _wait(turn, step)
    if step.state == StepState.PENDING.value:
        held = _stopped(turn)
        if held:
            return held
        point("before_intent", turn.index)
    return calls.make(turn, step) if isinstance(turn.spec.effect, Call) else effects.make(turn, step)


def _stopped(turn: Turn) -> Pause:
    """What holds the run: no effect is made meanwhile, and its step's time does not run. Before the first effect the
    people's rights and approvals are asked once more: the hold may have lasted longer than they."""
    held = gates.hold_of(turn.run, now())
    if held is not None:
        return holding.wait(turn.journal, held, turn.index)
    if not turn.run.steps.filter(intent_at__isnull=False).exists():
        denied = begin.may(turn.run)
        if denied:
            return turn.end(RunState.REFUSED, denied, StepState.FAILED)
    return GO_ON


def _begin(turn: Turn) -> Step:
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        step.started_at = entry.at
        step.deadline_at = entry.at + timedelta(seconds=turn.spec.timeout_seconds)
        if turn.spec.effect is None:
            step.state = StepState.WAITING.value
        entry.save(step)
        entry.run.sentence = ""
        entry.log(f"Step {turn.index + 1} of {len(turn.document.steps)}: {step.title}", step=turn.index, level="step")
    return step


def _wait(turn: Turn, step: Step) -> Pause:
    """Look once at what the step waits for."""
    if turn.spec.until is None:
        return _done(turn, Seen(Outlook.MET, "Done."))
    until = turn.condition(turn.spec.until)
    point("in_wait", turn.index)
    seen, missing = _seen(turn, until, step)
    if seen.outlook == Outlook.MET:
        return _done(turn, seen)
    if seen.outlook == Outlook.NOT_YET and step.deadline_at is not None and now() > step.deadline_at:
        return _timed_out(turn, seen, missing=missing)
    if seen.outlook == Outlook.NOT_YET:
        return _still(turn, step, seen)
    with turn.journal.write() as entry:
        turn.log(entry, seen.lines)
    ends = {
        Outlook.FAILED: (RunState.FAILED, StepState.FAILED),
        Outlook.REFUSED: (RunState.REFUSED, StepState.FAILED),
        Outlook.UNKNOWN: (RunState.OUTCOME_UNKNOWN, StepState.UNKNOWN),
    }
    state, kind = ends[seen.outlook]
    return turn.end(state, seen.sentence, kind, then=_after(state))


def _seen(turn: Turn, until: Condition, step: Step) -> tuple[Seen, bool]:
    """One look; what was not read is neither met nor failed. The flag says that it was not read."""
    try:
        snapshot = turn.cluster.collect(lambda read: conditions.needs(until, read))
        return conditions.look(until, snapshot, step.memory), False
    except (Missing, SourceError) as missing:
        return Seen(Outlook.NOT_YET, f"Waiting for an answer: {missing}", memory=step.memory), True


def _still(turn: Turn, step: Step, seen: Seen) -> Pause:
    """Not yet. Written down only when there is something new to say or to remember."""
    memory = {**step.memory, **seen.memory}
    if seen.lines or seen.sentence != step.sentence or memory != step.memory:
        with turn.journal.write() as entry:
            row = entry.step(turn.index)
            row.memory, row.sentence = memory, seen.sentence
            entry.save(row)
            turn.log(entry, seen.lines)
    began = step.started_at or now()
    return _EAGER_POLL if now() - began < _EAGER else POLL


def _timed_out(turn: Turn, seen: Seen, *, missing: bool) -> Pause:
    said = f"“{turn.spec.title}” took longer than {turn.spec.timeout_seconds} s. {seen.sentence}"
    if missing:
        return turn.end(RunState.OUTCOME_UNKNOWN, said, StepState.UNKNOWN)
    return turn.end(RunState.FAILED, said, StepState.FAILED, then=following.after_failure)


def _after(state: RunState) -> Callable[[Entry], None] | None:
    """A wait that failed had its effect before: where the action says so, it is undone by itself."""
    return following.after_failure if state == RunState.FAILED else None


def _done(turn: Turn, seen: Seen) -> Pause:
    """Finish the step; after the last one the run is verifying."""
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        step.state, step.sentence, step.outcome_at = StepState.DONE.value, seen.sentence, entry.at
        step.outcome = {**(step.outcome or {}), "sentence": seen.sentence}
        # what was seen last is kept: where a pull request is, for the run's page
        step.memory = {**step.memory, **seen.memory}
        entry.save(step)
        turn.log(entry, seen.lines)
        entry.run.current_step = turn.index + 1
        entry.run.crashes = 0
        if entry.run.current_step == len(turn.document.steps):
            verification = turn.document.verification
            entry.run.verify_until = entry.at + timedelta(seconds=verification.timeout_seconds)
            count = len(verification.checks)
            read = "1 check; it must" if count == 1 else f"{count} checks; all must"
            said = f"Reading {read} hold for {verification.hold_seconds} s."
            entry.move(RunState.VERIFYING, said if count else "The steps' own waits are the evidence.")
            entry.log(entry.run.sentence, step=entry.run.current_step, level="step")
    point("step_done", turn.index)
    return GO_ON
