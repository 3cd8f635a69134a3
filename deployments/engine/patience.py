"""What a step does when its effect cannot be made now: says why, waits within its time, and then says what is known."""

from __future__ import annotations

from common.clock import now
from deployments.catalogue.action import SERVICES, Call
from deployments.engine.turn import POLL, Pause, Turn
from deployments.models import Step
from deployments.states import RunState, StepState
from integrations.errors import SourceError


def not_answered(turn: Turn, step: Step, error: SourceError) -> Pause:
    """The write was refused, or nobody knows: then the next look reads before anything is repeated."""
    if error.maybe_done:
        return later(turn, step, error)
    if not error.transient:
        said = f"{_who(turn)} refused the write: {error.sentence}"
        return turn.end(RunState.FAILED, said, StepState.FAILED)
    # a certain "not now" (a budget, too many requests, no connection)
    return later(turn, not_sent(turn), error)


def not_sent(turn: Turn) -> Step:
    """The effect of the current step was certainly not made: its intent stands for nothing that could still happen."""
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        step.state = StepState.PENDING.value
        entry.save(step)
    return step


def _who(turn: Turn) -> str:
    effect = turn.spec.effect
    return SERVICES[effect.service] if isinstance(effect, Call) else "The API server"


def later(turn: Turn, step: Step, error: SourceError) -> Pause:
    """Wait for an answer until the step's time is over; then tell apart what is known from what is not."""
    if not (error.transient or error.maybe_done):
        state = RunState.OUTCOME_UNKNOWN if step.state == StepState.INTENT.value else RunState.FAILED
        kind = StepState.UNKNOWN if step.state == StepState.INTENT.value else StepState.FAILED
        return turn.end(state, error.sentence, kind)
    return wait(turn, step, error.sentence, pause=min(error.retry_after or 2.0, 10.0), unreachable=True)


def wait(turn: Turn, step: Step, sentence: str, *, pause: float = POLL, unreachable: bool = False) -> Pause:
    """Say why the effect waits; end the run when the step's time is over."""
    if step.deadline_at is not None and now() > step.deadline_at:
        if step.state == StepState.INTENT.value:
            said = (
                f"No answer in {turn.spec.timeout_seconds} s after the write was sent, so nobody can tell: {sentence}"
            )
            return turn.end(RunState.OUTCOME_UNKNOWN, said, StepState.UNKNOWN)
        said = f"Not possible within {turn.spec.timeout_seconds} s: {sentence}"
        return turn.end(RunState.FAILED, said, StepState.FAILED)
    if step.sentence != sentence:
        with turn.journal.write() as entry:
            row = entry.step(turn.index)
            row.sentence = sentence
            entry.save(row)
            entry.log(sentence, step=turn.index, level="warn" if unreachable else "info")
    return pause
