"""The only way the engine writes a run: short transactions that name the fence, carry the log and announce themselves.

What is in one ``with journal.write()`` block happens whole or not at all: state, steps, lines, locks, audit row. Log
text is redacted and bounded here. :raises LostLease: the run is somebody else's now.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import transaction

from common.clock import by_database, now
from common.models import audit
from common.publish import publish
from common.redaction import redact
from deployments.engine.lease import Claim, LostLease, length
from deployments.models import LogLine, Run, Step
from deployments.states import FINAL, TRANSITIONS, RunState

#: a log line is cut here
LINE = 500
_SENTENCE = 1000


class Entry:
    """One transaction on one run. ``run`` is the locked row, saved when the block ends."""

    def __init__(self, run: Run, at: datetime) -> None:
        self.run, self.at = run, at
        self.lines: list[LogLine] = []
        self.released = False
        self.moved = False

    def log(self, text: str, *, step: int = -1, level: str = "info") -> None:
        """Append a line, numbered from 1 without gaps."""
        self.run.line_count += 1
        self.lines.append(
            LogLine(
                run=self.run,
                number=self.run.line_count,
                at=self.at,
                step_index=step,
                level=level[:8],
                text=redact(text.replace("\n", " ⏎ "), LINE),
            )
        )

    def step(self, index: int) -> Step:
        """A step of this run; the caller saves it."""
        return Step.objects.get(run_id=self.run.pk, index=index)

    def save(self, step: Step) -> None:
        """Save a step under this fence."""
        step.fence = self.run.fence
        step.save()

    def move(self, state: RunState, sentence: str) -> None:
        """Change the run's state. A final state frees the locks and is audited. :raises ValueError: not allowed."""
        run = self.run
        if state not in TRANSITIONS[RunState(run.state)]:
            raise ValueError(f"run {run.number}: {run.state} cannot become {state.value}")
        self.moved = True
        if state in FINAL and state != RunState.CANCELLED:
            sentence = f"{sentence}{_too_late(run)}"
        run.state, run.state_changed_at, run.sentence = state.value, self.at, redact(sentence, _SENTENCE)
        if state not in FINAL:
            return
        run.finished_at, run.wake_at = self.at, None
        run.locks.all().delete()
        self.release()
        levels = {RunState.SUCCEEDED: "good", RunState.CANCELLED: "warn", RunState.REFUSED: "warn"}
        self.log(f"{state.value.replace('_', ' ')}: {sentence}", level=levels.get(state, "error"))
        audit(
            actor="phaseboard",
            verb=f"run.{state.value}",
            object=f"run:{run.pk}",
            number=run.number,
            plan=run.plan_id,
            sentence=run.sentence,
        )

    def release(self, wake_at: datetime | None = None) -> None:
        """Give the run back, to be woken at a time."""
        self.released = True
        self.run.lease_owner, self.run.lease_until, self.run.wake_at = "", None, wake_at


def _too_late(run: Run) -> str:
    """A cancel that was taken while the last words of a run were on their way: it is said that it changed nothing."""
    if run.cancel_requested_at is None:
        return ""
    who = run.cancel_requested_by.get_username() if run.cancel_requested_by else "somebody"
    return f" The cancel of {who} came too late."


class Journal:
    """Writes one claimed run."""

    def __init__(self, claimed: Claim) -> None:
        self.claim = claimed

    @contextmanager
    def write(self) -> Iterator[Entry]:
        """One transaction; the lease is renewed by it. :raises LostLease: before anything is written."""
        with transaction.atomic():
            held = Run.objects.select_for_update().filter(pk=self.claim.run_id, fence=self.claim.fence)
            run = held.select_related("plan").annotate(database_time=by_database()).first()
            if run is None or RunState(run.state) in FINAL:
                raise LostLease(self.claim.run_id)
            entry = Entry(run, now())
            yield entry
            if not entry.released:
                run.lease_until = run.database_time + length()
            run.save()
            LogLine.objects.bulk_create(entry.lines)
            # lists of runs and the item it repairs change with its state, not with every line of its log
            publish(f"run:{run.pk}", *(("runs", *filter(None, [run.context])) if entry.moved else ()))

    def read(self) -> Run:
        """The run as it is, with its plan and people. :raises LostLease: it is not ours any more."""
        run = (
            Run.objects.select_related("plan", "requested_by", "cancel_requested_by")
            .filter(pk=self.claim.run_id, fence=self.claim.fence)
            .first()
        )
        if run is None or RunState(run.state) in FINAL:
            raise LostLease(self.claim.run_id)
        return run

    def release(self, seconds: float) -> datetime:
        """Give the run back until ``seconds`` from now, announcing nothing: nobody sees a wait being polled.

        Returns when that is by this process's clock; the row has it by the database's.
        """
        pause = timedelta(seconds=seconds)
        mine = Run.objects.filter(pk=self.claim.run_id, fence=self.claim.fence, lease_owner=self.claim.owner)
        mine.update(lease_owner="", lease_until=None, wake_at=by_database(pause))
        return now() + pause
