"""Makes one effect at most once, whatever dies meanwhile.

Before the write stands its intent in the database; the write carries the uid or resourceVersion of a read at most two
seconds old, and what it writes carries a mark (``<run>.<step>``) as an annotation. So: a write that was accepted is
found again; of two attempts with the same resourceVersion the server accepts one; an object that moved in what the plan
decided about is refused with the difference. Nothing is ever repeated without reading first.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from deployments import diffing
from deployments.catalogue import conditions, restored
from deployments.catalogue.action import Condition, Delete, Effect, Evict
from deployments.catalogue.seen import Outlook, Seen
from deployments.engine import holding, patience, planning, restoring, settling
from deployments.engine.cluster import Write
from deployments.engine.document import Target, fill
from deployments.engine.filling import field_manager, filled
from deployments.engine.journal import Entry
from deployments.engine.keys import installation_key
from deployments.engine.patience import wait
from deployments.engine.reading import snapshot_of
from deployments.engine.turn import GO_ON, Pause, Turn
from deployments.fault import point
from deployments.models import Step
from deployments.states import RunState, StepState
from integrations.errors import Conflict, SourceError
from monitoring.snapshot import Missing, Snapshot

#: a read older than this decides nothing any more
FRESH_SECONDS = 2.0
_CONFLICTS = 3
#: an operation's state can have hundreds of leaves; undo never needs them
_PRE_IMAGE = 500
#: characters of a generated secret: 192 bits
_SECRET_BYTES = 24

Live = dict[str, Any] | None


def make(turn: Turn, step: Step) -> Pause:
    """Try the effect of the current step. The step is *pending*, or *intent* after a crash or a lost answer."""
    unsure, slow = step.state == StepState.INTENT.value, 0
    for _ in range(_CONFLICTS):
        try:
            live = turn.cluster.get(turn.spec.resource, turn.spec.namespace, turn.spec.name)
        except SourceError as error:
            return patience.later(turn, step, error)
        read_at = time.monotonic()
        decided = _decided(turn, live, unsure=unsure)
        if decided is not None:
            return decided
        if unsure:
            step, unsure = _not_made(turn), False
            if turn.run.cancel_requested_at is not None:
                return GO_ON
        waiting = _guarded(turn, step, live)
        if waiting is not None:
            return waiting
        held = holding.stopped(turn)
        if held is not None:
            return held
        step = _write_intent(turn, live)
        point("after_intent", turn.index)
        if time.monotonic() - read_at > FRESH_SECONDS:
            slow += 1
            continue
        sent = _send(turn, step, live)
        if sent is not None:
            return sent
    return _busy(turn, slow)


def _decided(turn: Turn, live: Live, *, unsure: bool) -> Pause | None:
    """What the reading alone decides: made already, nothing left to do, or no longer what was planned. None: go on."""
    settled = settling.settle(turn, live, unsure=unsure)
    if settled.made:
        return _made(turn, live, live, recovered=True)
    spared = _spared(turn, live)
    if spared is not None or settled.state is None:
        return spared
    if settled.difference:
        return turn.end(settled.state, settled.sentence, settled.step, difference=settled.difference)
    return turn.end(settled.state, settled.sentence, settled.step)


def _send(turn: Turn, step: Step, live: Live) -> Pause | None:
    """Make the effect. None: somebody else wrote between our read and our write."""
    try:
        write = _write_of(turn, step, live)
    except (LookupError, ValueError) as error:
        return turn.end(RunState.REFUSED, f"{error}; nothing was sent.", StepState.SKIPPED)
    try:
        answer = turn.cluster.send(write, dry_run=False)
    except Conflict as error:
        if error.causes and not _may_repeat(error):
            return turn.end(RunState.FAILED, f"The API server refused the write: {error.sentence}", StepState.FAILED)
        return None
    except SourceError as error:
        return patience.not_answered(turn, step, error)
    point("after_effect", turn.index)
    return _made(turn, live, answer, recovered=False)


def _may_repeat(error: Conflict) -> bool:
    """A precondition on the uid comes with a cause too; field managers in each other's way are a refusal."""
    return all(cause.get("reason") != "FieldManagerConflict" for cause in error.causes)


def _not_made(turn: Turn) -> Step:
    """The object does not show our effect, so the write of the worker before was not accepted.

    Should it still be on its way, the uid or resourceVersion it carries lets the server accept only one of the two.
    """
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        step.state = StepState.PENDING.value
        entry.save(step)
        entry.log("the write was not accepted before; comparing again", step=turn.index)
    return step


def _spared(turn: Turn, live: Live) -> Pause | None:
    """Whether there is nothing left to do: then the step waits without a write. None: there is."""
    if turn.spec.unless is None:
        return None
    seen = _judged(turn, turn.spec.unless, snapshot_of(turn.cluster.name, turn.spec, live))
    if seen.outlook == Outlook.UNKNOWN:
        return turn.end(RunState.REFUSED, seen.sentence, StepState.SKIPPED)
    if seen.outlook != Outlook.MET:
        return None
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        step.state, step.outcome_at, step.intent = StepState.WAITING.value, entry.at, None
        step.outcome = {"uid": settling.uid_of(live), "spared": seen.sentence}
        step.memory = {"effect_at": entry.at.isoformat()}
        entry.save(step)
        if live is None:
            entry.run.expected = {**entry.run.expected, turn.key: _expected(planning.target_of(None))}
        entry.log(f"nothing to do: {seen.sentence}", step=turn.index)
    return GO_ON


def _guarded(turn: Turn, step: Step, live: Live) -> Pause | None:
    """The guards, on the object just read. None: all are met."""
    if live is None or not turn.spec.guards:
        return None
    snapshot = snapshot_of(turn.cluster.name, turn.spec, live)
    for guard in turn.spec.guards:
        seen = _judged(turn, guard, snapshot)
        if seen.outlook == Outlook.MET:
            continue
        if seen.outlook == Outlook.NOT_YET:
            return wait(turn, step, seen.sentence)
        return turn.end(RunState.REFUSED, seen.sentence, StepState.SKIPPED)
    return None


def _judged(turn: Turn, guard: Condition, snapshot: Snapshot) -> Seen:
    """What a guard says of the object just read. No plan is stored whose guards need more; of an older plan, what
    nobody reads would never be read: it refuses."""
    try:
        return conditions.look(turn.condition(guard), snapshot, {})
    except Missing as missing:
        said = f"{guard.name} guards “{turn.spec.title}” and cannot be judged: {missing}"
        return Seen(Outlook.UNKNOWN, f"{said} Nothing was sent; make a new plan.")


def _write_intent(turn: Turn, live: Live) -> Step:
    """Say in the database what is about to be done, to which object, and what was there before."""
    effect = _effect(turn)
    metadata = (live or {}).get("metadata", {})
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        stamp = f"{entry.at:%Y-%m-%dT%H:%M:%SZ}"
        if step.state != StepState.INTENT.value:
            entry.log(_announcement(turn, effect), step=turn.index)
        body = fill(getattr(effect, "body", None) or {}, turn.words(stamp))
        written = diffing.without(diffing.leaves(body, installation_key()), diffing.SERVER_FIELDS)
        step.state, step.intent_at = StepState.INTENT.value, entry.at
        step.intent = {
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
            "deleting": bool(metadata.get("deletionTimestamp")),
            "mark": turn.mark,
            "time": stamp,
            "writes": written,
        }
        there = diffing.leaves(live, installation_key())
        kept = there if isinstance(effect, Delete) else diffing.below(there, written)
        step.pre_image = dict(list(kept.items())[:_PRE_IMAGE])
        step.restore = restoring.restore_of(effect, live, installation_key()) if turn.document.undoable else None
        step.memory = _baseline(turn, live, entry.at.isoformat())
        entry.save(step)
    return step


def _announcement(turn: Turn, effect: Effect) -> str:
    what = f"{turn.spec.resource} {turn.spec.name}"
    if isinstance(effect, Delete):
        return f"deleting {what}, {effect.propagation}, by its uid"
    if isinstance(effect, Evict):
        return f"asking for the eviction of {what}"
    kind = getattr(effect, "patch_type", "")
    return f"writing a {kind} patch to {what}" if kind else f"{type(effect).__name__.lower()}: {what}"


def _baseline(turn: Turn, live: Live, moment: str) -> dict[str, Any]:
    """What the wait after the effect needs to know of the time before it."""
    if turn.spec.until is None:
        return {}
    if live is None:
        return {"effect_at": moment}
    try:
        seen = conditions.look(turn.condition(turn.spec.until), snapshot_of(turn.cluster.name, turn.spec, live), {})
    except Missing:
        return {"effect_at": moment}
    return {**seen.memory, "effect_at": moment}


def _effect(turn: Turn) -> Effect:
    assert turn.spec.effect is not None
    return turn.spec.effect


def _write_of(turn: Turn, step: Step, live: Live) -> Write:
    assert step.intent is not None
    words = turn.words(step.intent["time"], secrets.token_urlsafe(_SECRET_BYTES))
    metadata = (live or {}).get("metadata", {})
    return Write(
        turn.spec.resource,
        turn.spec.namespace,
        turn.spec.name,
        filled(_effect(turn), words, live),
        field_manager(turn.run.action, _effect(turn)),
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
    )


def _made(turn: Turn, before: Live, after: Live, *, recovered: bool) -> Pause:
    """The effect is there: say so, and from now on expect what we wrote."""
    gone = isinstance(turn.spec.effect, Delete | Evict)
    target = planning.target_of(None if gone else after, turn.document.noise)
    planned = turn.run.expected.get(turn.key) or {}
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        step.state, step.outcome_at = StepState.WAITING.value, entry.at
        step.outcome = _outcome(step, after, gone=gone, recovered=recovered)
        step.irreversible = turn.spec.irreversible or _lost(turn, step, after)
        if step.restore is not None and after is not None and not gone:
            step.restore = {**step.restore, "uid": settling.uid_of(after), "after": _noted(step.restore, after)}
        entry.save(step)
        entry.run.expected = {**entry.run.expected, turn.key: _expected(target)}
        _say(turn, entry, before, after, gone=gone, recovered=recovered)
        if recovered and not gone and target.fingerprint != planned.get("fingerprint"):
            entry.log("taking the object as it is now as what this step wrote", step=turn.index)
    point("after_outcome", turn.index)
    return GO_ON


def _lost(turn: Turn, step: Step, after: Live) -> bool:
    """Whether what was overwritten cannot be brought back: nothing was kept of it, or only a hash of a secret."""
    if turn.document.undoable:
        return step.restore is None
    was = step.pre_image or {}
    there = diffing.leaves(after, installation_key())
    return diffing.is_redacted(diffing.difference(was, {path: there[path] for path in was if path in there}))


def _outcome(step: Step, after: Live, *, gone: bool, recovered: bool) -> dict[str, Any]:
    if gone:
        return {"uid": (step.intent or {}).get("uid", ""), "recovered": recovered}
    assert after is not None
    metadata = after["metadata"]
    return {
        "uid": metadata.get("uid", ""),
        "resourceVersion": metadata["resourceVersion"],
        "generation": metadata.get("generation", 0),
        "recovered": recovered,
    }


def _noted(restore: dict[str, Any], after: dict[str, Any]) -> Any:
    """What the object has after the write at the places the restoring patch would set: the undo plan compares it."""
    return restored.before(after, restore["body"]) if restore["op"] == "patch" else None


def _say(turn: Turn, entry: Entry, before: Live, after: Live, *, gone: bool, recovered: bool) -> None:
    if recovered and gone:
        entry.log(
            "the object of the plan is gone or going: the request was accepted, not repeating it", step=turn.index
        )
    elif recovered:
        entry.log("found our own mark on the object: the write was accepted, not repeating it", step=turn.index)
    elif gone:
        entry.log(f"accepted: {turn.spec.resource} {turn.spec.name} goes", step=turn.index, level="good")
    else:
        old = (before or {}).get("metadata", {}).get("resourceVersion") or "none"
        new = (after or {}).get("metadata", {}).get("resourceVersion")
        entry.log(f"accepted: resourceVersion {old} → {new}", step=turn.index, level="good")


def _expected(target: Target) -> dict[str, Any]:
    return {"uid": target.uid, "fingerprint": target.fingerprint, "leaves": target.leaves}


def expected_of(targets: dict[str, Target]) -> dict[str, Any]:
    """The plan's targets as a run's first expectation."""
    return {key: _expected(target) for key, target in targets.items()}


def _busy(turn: Turn, slow: int) -> Pause:
    """Each try was forestalled, and each time the plan still fitted: somebody else wrote between our read and our
    write, or (``slow`` times) the reading was too old before it could be used. The server refused or nothing was sent:
    nothing is in doubt."""
    said = []
    if slow < _CONFLICTS:
        said.append(f"{turn.spec.name} was changed by others {_CONFLICTS - slow} times while it was to be written.")
    if slow:
        said.append(
            f"This worker is too slow: {slow} readings were older than {FRESH_SECONDS:.0f} s before their write."
        )
    return wait(turn, patience.not_sent(turn), " ".join(said), pause=2.0)
