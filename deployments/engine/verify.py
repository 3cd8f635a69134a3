"""Evidence ends a run: the plan's checks, read by a collect of our own, all verified without a break for a stated time.

The receipts are stored in the run (before and now); Evidence is the observer's alone. A run that is not verified in
time is *failed*; it is *outcome unknown* when nothing at all could be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from common.clock import now
from common.redaction import redact
from deployments import unfollowed
from deployments.catalogue.action import CheckSpec
from deployments.engine import following
from deployments.engine.cluster import Cluster
from deployments.engine.turn import END, Pause, Turn
from deployments.fault import point
from deployments.models import Run
from deployments.states import RunState
from integrations.errors import SourceError
from monitoring.checks import registry as checks
from monitoring.snapshot import Need, Snapshot
from monitoring.verdict import Word

EVERY = 2.0
#: when nobody looked for longer than this, "without a break" starts again
_GAP = timedelta(seconds=15)
_SAY_EVERY = timedelta(seconds=10)

Receipt = dict[str, Any]


def needs(specs: Iterable[CheckSpec], snapshot: Snapshot) -> Iterable[Need]:
    """What the checks want to be read."""
    for spec in specs:
        yield from checks.get(spec.type).needs(snapshot, checks.parse(spec.type, spec.params))


def read(cluster: Cluster, specs: tuple[CheckSpec, ...], before: list[Receipt]) -> list[Receipt]:
    """One reading of all checks, as receipts. ``before``: the last receipts, for "since when"."""
    if not specs:
        return []
    try:
        snapshot = cluster.collect(lambda seen: needs(specs, seen))
    except SourceError:
        # not even a connection: an empty Snapshot makes every check say that it was not read
        snapshot = Snapshot(cluster.name, now())
    since = {r["title"]: r["since"] for r in before}
    words = {r["title"]: r["word"] for r in before}
    receipts = []
    for spec in specs:
        verdict = checks.run(spec.type, checks.parse(spec.type, spec.params), snapshot, snapshot.taken_at)
        at = snapshot.taken_at.isoformat()
        same = words.get(spec.title) == verdict.word.value
        receipts.append(
            {
                "title": spec.title,
                "type": spec.type,
                "params": spec.params,
                "word": verdict.word.value,
                "sentence": redact(verdict.sentence, 500),
                "expected": redact(verdict.expected, 200),
                "observed": redact(verdict.observed, 200),
                "cause": verdict.cause,
                "at": at,
                "since": since[spec.title] if same else at,
            }
        )
    return receipts


def look(turn: Turn) -> Pause:
    """One reading while verifying."""
    plan = turn.document.verification
    receipts = read(turn.cluster, plan.checks, turn.run.now)
    point("in_verify", turn.index)
    at = datetime.fromisoformat(receipts[0]["at"]) if receipts else turn.run.state_changed_at
    good = all(r["word"] == Word.VERIFIED.value for r in receipts)
    since = (_unbroken(turn.run, at) or at) if good else None
    held = at - since if since is not None else None
    if held is not None and held >= timedelta(seconds=plan.hold_seconds):
        return _succeed(turn, receipts, since)
    with turn.journal.write() as entry:
        _tell(entry.run, receipts, held, lambda text, level: entry.log(text, step=turn.index, level=level))
        entry.run.now, entry.run.holding_since = receipts, since
    if since is None and turn.run.verify_until is not None and at > turn.run.verify_until:
        return _give_up(turn, receipts)
    left = timedelta(seconds=plan.hold_seconds) - held if held is not None else timedelta(seconds=EVERY)
    return max(0.1, min(EVERY, left.total_seconds()))


def _unbroken(run: Run, at: datetime) -> datetime | None:
    """Since when all hold, unless nobody looked for a while."""
    if run.holding_since is None or not run.now:
        return None
    last = datetime.fromisoformat(run.now[0]["at"])
    return run.holding_since if at - last <= _GAP else None


def _succeed(turn: Turn, receipts: list[Receipt], since: datetime | None) -> Pause:
    point("before_end", turn.index)
    hold = turn.document.verification.hold_seconds
    count = f"{len(receipts)} of {len(receipts)}"
    said = f"{count} checks verified for {hold} s." if receipts else "All steps were seen to take effect."
    with turn.journal.write() as entry:
        entry.run.now, entry.run.holding_since = receipts, since
        entry.move(RunState.SUCCEEDED, said)
        following.after_success(entry, turn.document)
        following.mark_undone(entry.run)
        unfollowed.repaired_by(entry.run)
    return END


def _give_up(turn: Turn, receipts: list[Receipt]) -> Pause:
    bad = [r for r in receipts if r["word"] not in (Word.VERIFIED.value, Word.UNKNOWN.value)]
    unknown = [r for r in receipts if r["word"] == Word.UNKNOWN.value]
    seconds = turn.document.verification.timeout_seconds
    first = (bad or unknown)[0]
    # one check that nobody answers is a failure beside others that were read; only total silence is not knowing
    state = RunState.OUTCOME_UNKNOWN if len(unknown) == len(receipts) else RunState.FAILED
    said = f"Not verified within {seconds} s: {first['title']}: {first['sentence']}"
    return turn.end(state, said, then=following.after_failure if state == RunState.FAILED else None)


def _tell(run: Run, receipts: list[Receipt], held: timedelta | None, log: Any) -> None:
    """A line per check that says something new, and how long all have held, every ten seconds."""
    said = {r["title"]: (r["word"], r["observed"]) for r in run.now}
    for r in receipts:
        if said.get(r["title"]) != (r["word"], r["observed"]):
            level = {"verified": "good", "failing": "error", "degraded": "warn"}.get(r["word"], "warn")
            log(f"{r['title']}: {r['word']}: {r['observed'] or r['sentence']}", level)
    if held is None or run.holding_since is None or not run.now:
        return
    before = datetime.fromisoformat(run.now[0]["at"]) - run.holding_since
    if held // _SAY_EVERY > before // _SAY_EVERY:
        log(f"{len(receipts)} of {len(receipts)} verified, {int(held.total_seconds())} s", "good")
