"""What happens between a click and the first effect: say that a worker has it, then check everything again.

Rights of the person, the plan's hash and the preconditions are read anew: a plan that no longer fits is *refused* and
nothing is changed.
"""

from __future__ import annotations

from datetime import timedelta

from common.clock import now
from deployments import approvals, gates
from deployments.catalogue.action import CannotPlan
from deployments.engine import effects, holding, planning, verify
from deployments.engine.journal import Journal
from deployments.engine.turn import END, GO_ON, Pause, Turn
from deployments.fault import point
from deployments.models import Review, Run
from deployments.states import RunState, StepState
from integrations.errors import SourceError
from monitoring.snapshot import Missing

#: how long the cluster may be silent before the run is refused
_PATIENCE = timedelta(seconds=60)


def start(journal: Journal) -> Pause:
    """From *queued* to *running*, with a line in the log, before anything slow. A run that is held stays queued; one
    whose approval no longer stands goes back to wait for it."""
    run = journal.read()
    held = gates.hold_of(run, now())
    if held is not None:
        return holding.wait(journal, held)
    denied = _requester(run)
    lacking = denied or approvals.lacking(run, now())
    if lacking:
        return _back(journal, lacking, for_good=bool(denied))
    with journal.write() as entry:
        # two processes' clocks: a difference between them must not be told as a time before the click
        waited = max(0.0, (entry.at - entry.run.state_changed_at).total_seconds() * 1000)
        entry.run.started_at = entry.at
        entry.move(RunState.RUNNING, "")
        entry.log(f"Worker {journal.claim.owner} took the run {waited:.0f} ms after it was queued")
    point("started")
    return GO_ON


def _back(journal: Journal, lacking: str, *, for_good: bool) -> Pause:
    """Nothing was changed and it may not begin: refused, or, where a person can still approve, its targets are freed
    and it waits for approval again."""
    with journal.write() as entry:
        if for_good or Review.objects.filter(run=entry.run).exists():
            entry.run.steps.filter(state=StepState.PENDING.value).update(state=StepState.SKIPPED.value)
            entry.move(RunState.REFUSED, f"{lacking} Nothing was changed.")
            return END
        approvals.asked_again(entry.run, entry.at, lacking)
        entry.move(RunState.WAITING_FOR_APPROVAL, lacking)
        entry.log(f"Back to waiting for approval: {lacking}", level="warn")
        entry.release()
    return END


def may(run: Run) -> str:
    """Why this run may not be carried out any more: the rights of who asked and of who approved, as they are now; empty
    when it may."""
    return _requester(run) or approvals.lacking(run, now())


def _requester(run: Run) -> str:
    user = run.requested_by
    if not user.is_active:
        return f"{user.get_username()} is disabled."
    if not user.has_perm(f"deployments.run_tier{run.plan.tier}"):
        return f"{user.get_username()} may no longer run tier {run.plan.tier} plans."
    return ""


def prepare(turn: Turn) -> Pause:
    """Compare the whole plan with the cluster once more, and read the evidence before the first effect."""
    run = turn.run
    denied = may(run)
    if denied:
        return turn.end(RunState.REFUSED, denied)
    try:
        action, params = planning.parameters(run.plan)
        drafted = planning.draft(turn.cluster, action, params)
    except (CannotPlan, LookupError, ValueError) as error:
        return turn.end(RunState.REFUSED, str(error))
    except (SourceError, Missing) as error:
        return _silent(turn, str(error))
    if drafted.hash != run.plan_id:
        return turn.end(RunState.REFUSED, planning.moved(turn.document, drafted))
    unmet = [p for p in drafted.draft.preconditions if not p.met]
    if unmet:
        return turn.end(RunState.REFUSED, f"No longer met: {unmet[0].sentence} ({unmet[0].evidence}).")
    receipts = verify.read(turn.cluster, turn.document.verification.checks, [])
    with turn.journal.write() as entry:
        entry.run.prepared_at = entry.at
        entry.run.before = receipts
        entry.run.expected = effects.expected_of(turn.document.targets)
        count = len(drafted.draft.preconditions)
        entry.log(f"The plan still fits: {count} of {count} preconditions met, targets as planned", level="good")
        for receipt in receipts:
            entry.log(f"before: {receipt['title']}: {receipt['word']}: {receipt['observed'] or receipt['sentence']}")
    point("prepared")
    return GO_ON


def _silent(turn: Turn, sentence: str) -> Pause:
    """Nothing was read: wait a little, then refuse. Missing data never starts an action."""
    started = turn.run.started_at or now()
    if now() - started > _PATIENCE:
        return turn.end(RunState.REFUSED, f"The cluster could not be read again: {sentence}")
    if turn.run.sentence != sentence:
        with turn.journal.write() as entry:
            entry.run.sentence = sentence
            entry.log(sentence, level="warn")
    return 2.0
