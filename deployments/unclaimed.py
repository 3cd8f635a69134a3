"""Writes to a run that no worker holds: a line of its log, its end. In the caller's transaction, on a locked row.

The engine writes runs it has claimed by :mod:`deployments.engine.journal` alone; here a person or the sweep speaks.
"""

from __future__ import annotations

from datetime import datetime

from common.clock import now
from common.models import audit
from common.publish import publish
from common.redaction import redact
from deployments.models import Lock, LogLine, Run
from deployments.states import FINAL, TRANSITIONS, RunState, StepState

_LINE, _SENTENCE = 500, 1000


def locked(run_id: str) -> Run:
    """The run's row, locked until the transaction ends, with its plan and requester. :raises Run.DoesNotExist:"""
    return Run.objects.select_for_update(of=("self",)).select_related("plan", "requested_by").get(pk=run_id)


def say(run: Run, text: str, *, level: str = "info", at: datetime | None = None) -> None:
    """Append a line to the log, numbered from 1 without gaps. The caller saves ``line_count``."""
    run.line_count += 1
    index = run.current_step if run.started_at else -1
    LogLine.objects.create(
        run=run, number=run.line_count, at=at or now(), step_index=index, level=level, text=redact(text, _LINE)
    )


def move(run: Run, state: RunState, sentence: str) -> None:
    """Change the state of a run and save it. A final state frees its targets, skips its steps and is audited.

    :raises ValueError: that state cannot follow.
    """
    if state not in TRANSITIONS[RunState(run.state)]:
        raise ValueError(f"run {run.number}: {run.state} cannot become {state.value}")
    moment = now()
    run.state, run.state_changed_at, run.sentence = state.value, moment, redact(sentence, _SENTENCE)
    if state in FINAL:
        run.finished_at, run.wake_at, run.waiting_until = moment, None, None
        run.locks.all().delete()
        run.steps.filter(state=StepState.PENDING.value).update(state=StepState.SKIPPED.value)
        say(run, f"{state.value.replace('_', ' ')}: {sentence}", level="warn", at=moment)
        audit(
            actor="phaseboard",
            verb=f"run.{state.value}",
            object=f"run:{run.pk}",
            number=run.number,
            plan=run.plan_id,
            sentence=run.sentence,
        )
    run.save()
    announce(run)


def take_locks(run: Run, at: datetime) -> None:
    """Take every target of the plan, all or none. :raises IntegrityError: another run holds one."""
    Lock.objects.bulk_create(
        Lock(target_key=key, run=run, fence=run.fence, at=at) for key in run.plan.document["locks"]
    )


def announce(run: Run) -> None:
    """Tell open pages that this run changed, and the lists it stands in."""
    publish(f"run:{run.pk}", "runs", "approvals", *filter(None, [run.context]))
