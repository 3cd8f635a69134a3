"""Carries a run on in slices: claim it, work until it must wait or has ended, give it back with the time to come back.

Called by the Celery task and by ``run_action --wait``; whoever calls, the lease decides. A slice that dies is found by
the sweep when its lease runs out; a slice that raises is counted, and three crashes in one step end the run as
*errored*.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from deployments.engine import begin, steps, verify
from deployments.engine import document as documents
from deployments.engine.cluster import Cluster, open_cluster
from deployments.engine.journal import Journal
from deployments.engine.lease import Heartbeat, LostLease, claim, me, renew
from deployments.engine.turn import END, Pause, Turn
from deployments.fault import point
from deployments.models import Run, Step
from deployments.states import RunState, StepState

_log = logging.getLogger(__name__)

#: waits shorter than this, all together, are slept through inside a slice; a worker is too dear for longer ones
SHORT_WAITS = 1.0
MOST_CRASHES = 3


@dataclass(frozen=True, slots=True)
class Slice:
    """How a slice ended: not claimed, given back until ``wake_at``, or with the run's end (no ``wake_at``)."""

    claimed: bool
    wake_at: datetime | None = None


def advance(run_id: str, *, opener: Callable[[], Cluster] = open_cluster, owner: str = "") -> Slice:
    """Work on a run for one slice. Never raises for what the cluster does; database errors come out."""
    claimed = claim(run_id, owner or me())
    if claimed is None:
        return Slice(claimed=False)
    point("claimed")
    with Heartbeat(run_id, lambda: renew(claimed)):
        journal = Journal(claimed)
        try:
            if claimed.crashed and _count_crash(journal, "The worker before this one died", pause=0) == END:
                return Slice(claimed=True)
            pause = _work(journal, opener)
        except (OperationalError, InterfaceError):
            _log.warning("a slice lost its database", extra={"run": run_id}, exc_info=True)
            return _without_database(journal)
        except (LostLease, DatabaseError):
            # another worker has it, or nothing can be written: the lease runs out and the sweep finds it
            _log.warning("a slice ended without its lease", extra={"run": run_id}, exc_info=True)
            return Slice(claimed=True)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not take the worker or other runs with it
            _log.exception("a slice crashed", extra={"run": run_id})
            return _after_crash(journal, error)
        if pause == END:
            point("ended")
            return Slice(claimed=True)
        point("before_release")
        return Slice(claimed=True, wake_at=journal.release(pause))


def _work(journal: Journal, opener: Callable[[], Cluster]) -> Pause:
    """Turn after turn, until the run ended or wants to wait for longer than a slice may last."""
    slept = 0.0
    while True:
        pause = _turn(journal, opener)
        if pause == END:
            return END
        if slept + pause >= SHORT_WAITS:
            return pause
        time.sleep(pause)
        slept += pause


def _turn(journal: Journal, opener: Callable[[], Cluster]) -> Pause:
    """The next thing to do for the run as it stands now."""
    run = journal.read()
    if run.cancel_requested_at is not None and not _in_doubt(run):
        return _cancel(journal, run)
    if run.state == RunState.QUEUED.value:
        return begin.start(journal)
    turn = Turn(journal, opener(), run, documents.load(run.plan.document))
    if run.prepared_at is None:
        return begin.prepare(turn)
    if run.state == RunState.VERIFYING.value:
        return verify.look(turn)
    return steps.look(turn)


def _in_doubt(run: Run) -> bool:
    """A write was announced and its outcome is not known yet: that is settled before anything is cancelled."""
    return run.steps.filter(index=run.current_step, state=StepState.INTENT.value).exists()


def _cancel(journal: Journal, run: Run) -> Pause:
    """End as cancelled and say exactly how far it came."""
    who = run.cancel_requested_by.get_username() if run.cancel_requested_by else "somebody"
    done = list(run.steps.filter(state=StepState.DONE.value).order_by("index"))
    current = run.steps.filter(index=run.current_step, state=StepState.WAITING.value, intent_at__isnull=False).first()
    if run.state == RunState.QUEUED.value:
        said = f"Cancelled by {who} before it started."
    elif run.state == RunState.VERIFYING.value:
        said = f"Cancelled by {who} while verifying: all {len(done)} steps were made, nobody waited for the evidence."
    elif current is not None:
        said = f"Cancelled by {who} in step {current.index + 1}: {current.title} was asked for and goes on by itself."
    else:
        count = f"after step {len(done)}: {'; '.join(step.title for step in done)}" if done else "before its first step"
        said = f"Cancelled by {who} {count}."
    with journal.write() as entry:
        run.steps.filter(state=StepState.PENDING.value).update(state=StepState.SKIPPED.value)
        entry.move(RunState.CANCELLED, said)
    return END


def _without_database(journal: Journal) -> Slice:
    """Give the run back by a new connection: a cut one is no crash of a worker, and three must not end the run. While
    there is no database the lease runs out instead, and that is told as a worker that died."""
    try:
        connection.close_if_unusable_or_obsolete()
        return Slice(claimed=True, wake_at=journal.release(1.0))
    except (DatabaseError, InterfaceError):
        return Slice(claimed=True)


def _after_crash(journal: Journal, error: Exception) -> Slice:
    """Count a slice that raised, and come back later than the last time."""
    try:
        pause = _count_crash(journal, f"The engine failed ({type(error).__name__})", pause=2.0)
        if pause == END:
            return Slice(claimed=True)
        return Slice(claimed=True, wake_at=journal.release(pause))
    except (LostLease, DatabaseError, InterfaceError):
        return Slice(claimed=True)


def _count_crash(journal: Journal, what: str, *, pause: float) -> Pause:
    """Three crashes in one step end the run, so that a poisoned one harms no other."""
    with journal.write() as entry:
        run = entry.run
        run.crashes += 1
        step = run.steps.filter(index=run.current_step).first()
        where = f" in step {step.index + 1}" if step is not None else ""
        entry.log(f"{what}{where} (crash {run.crashes} of {MOST_CRASHES})", step=run.current_step, level="error")
        if run.crashes < MOST_CRASHES:
            return pause * run.crashes
        doubt = " Its write may have been made." if step is not None and step.state == StepState.INTENT.value else ""
        if step is not None:
            Step.objects.filter(pk=step.pk).update(state=StepState.UNKNOWN.value)
        entry.move(RunState.ERRORED, f"{what} {MOST_CRASHES} times{where}; given up.{doubt}")
    return END
