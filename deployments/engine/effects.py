"""Makes one effect at most once, whatever dies meanwhile.

Before the write stands its intent in the database; the write carries the resourceVersion of a read at most two seconds
old and a mark (``<run>.<step>``) as an annotation. So: a write that was accepted is found again by its mark; of two
attempts with the same resourceVersion the server accepts one; an object that moved in what the plan decided about is
refused with the difference. Nothing is ever repeated without reading first.
"""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings

from common.clock import now
from deployments import diffing
from deployments.catalogue import conditions
from deployments.catalogue.action import MARK
from deployments.catalogue.seen import Outlook
from deployments.engine import planning
from deployments.engine.cluster import Write
from deployments.engine.document import Target, fill
from deployments.engine.fault import point
from deployments.engine.turn import GO_ON, POLL, Pause, Turn, snapshot_of
from deployments.models import Step
from deployments.states import RunState, StepState
from integrations.errors import Conflict, SourceError
from integrations.kubernetes.kinds import RESOURCES
from monitoring.snapshot import Missing

#: a read older than this decides nothing any more
FRESH_SECONDS = 2.0
_CONFLICTS = 3
#: an operation's state can have hundreds of leaves; undo never needs them
_PRE_IMAGE = 500


def make(turn: Turn, step: Step) -> Pause:
    """Try the effect of the current step. The step is *pending*, or *intent* after a crash or a lost answer."""
    unsure = step.state == StepState.INTENT.value
    for _ in range(_CONFLICTS):
        try:
            live = turn.cluster.get(turn.spec.resource, turn.spec.namespace, turn.spec.name)
        except SourceError as error:
            return later(turn, step, error)
        read_at = time.monotonic()
        settled = _settle(turn, live, unsure=unsure)
        if settled is not None:
            return settled
        assert live is not None
        if unsure:
            step, unsure = _not_made(turn), False
            if turn.run.cancel_requested_at is not None:
                return GO_ON
        waiting = _guarded(turn, step, live)
        if waiting is not None:
            return waiting
        step = _write_intent(turn, live)
        point("after_intent", turn.index)
        if time.monotonic() - read_at > FRESH_SECONDS:
            continue
        try:
            answer = turn.cluster.patch(_write_of(turn, step, live), dry_run=False)
        except Conflict as error:
            if error.causes:
                return turn.end(
                    RunState.FAILED, f"The API server refused the write: {error.sentence}", StepState.FAILED
                )
            continue
        except SourceError as error:
            return _not_answered(turn, step, error)
        point("after_effect", turn.index)
        return _made(turn, live, answer, recovered=False)
    return _busy(turn, step)


def _settle(turn: Turn, live: dict[str, Any] | None, *, unsure: bool) -> Pause | None:
    """Compare the object with what the plan expects. None: the write may be made.

    ``unsure``: an earlier worker wrote an intent and no outcome.
    """
    known = RESOURCES[turn.spec.resource]
    name = f"{known.kind} {turn.spec.name}"
    expected = turn.run.expected.get(turn.key) or {}
    uid = str((live or {}).get("metadata", {}).get("uid", ""))
    if live is None or uid != expected.get("uid"):
        gone = f"{name} is gone" if live is None else f"{name} was created anew (uid {uid}, was {expected.get('uid')})"
        if unsure:
            sentence = f"{gone}; whether the write of this step had been accepted cannot be told."
            return turn.end(RunState.OUTCOME_UNKNOWN, sentence, StepState.UNKNOWN)
        return turn.end(RunState.REFUSED, f"{gone} since the plan was made.", StepState.SKIPPED)
    if marked(live) == turn.mark:
        return _made(turn, live, live, recovered=True)
    fingerprint, leaves = diffing.fingerprint(live, settings.SECRET_KEY)
    if fingerprint != expected.get("fingerprint"):
        moved = diffing.difference(expected.get("leaves") or {}, leaves)
        sentence = f"{name} moved since the plan was made: {diffing.sentence_of(moved)}."
        return turn.end(RunState.REFUSED, sentence, StepState.SKIPPED, difference=moved[:200])
    return None


def _not_made(turn: Turn) -> Step:
    """The object does not carry our mark, so the write of the worker before was not accepted.

    Should it still be on its way, the resourceVersion it carries lets the server accept only one of the two.
    """
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        step.state = StepState.PENDING.value
        entry.save(step)
        entry.log("the write was not accepted before; comparing again", step=turn.index)
    return step


def _guarded(turn: Turn, step: Step, live: dict[str, Any]) -> Pause | None:
    """The guards, on the object just read. None: all are met."""
    snapshot = snapshot_of(turn.cluster, turn.spec, live)
    for guard in turn.spec.guards:
        seen = conditions.look(turn.condition(guard), snapshot, {})
        if seen.outlook == Outlook.MET:
            continue
        if seen.outlook == Outlook.NOT_YET:
            return wait(turn, step, seen.sentence)
        return turn.end(RunState.REFUSED, seen.sentence, StepState.SKIPPED)
    return None


def _write_intent(turn: Turn, live: dict[str, Any]) -> Step:
    """Say in the database what is about to be written, on which object, and what was there before."""
    assert turn.spec.effect is not None
    metadata = live["metadata"]
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        body = fill(turn.spec.effect.body, turn.words(f"{entry.at:%Y-%m-%dT%H:%M:%SZ}"))
        if step.state != StepState.INTENT.value:
            kind = turn.spec.effect.patch_type
            entry.log(f"writing a {kind} patch to {turn.spec.resource} {turn.spec.name}", step=turn.index)
        written = diffing.without(diffing.leaves(body, settings.SECRET_KEY), diffing.SERVER_FIELDS)
        before = diffing.leaves(live, settings.SECRET_KEY)
        step.state, step.intent_at = StepState.INTENT.value, entry.at
        step.intent = {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "mark": turn.mark,
            "time": f"{entry.at:%Y-%m-%dT%H:%M:%SZ}",
            "writes": written,
        }
        step.pre_image = dict(list(diffing.below(before, written).items())[:_PRE_IMAGE])
        step.memory = _baseline(turn, live, entry.at.isoformat())
        entry.save(step)
    return step


def _baseline(turn: Turn, live: dict[str, Any], moment: str) -> dict[str, Any]:
    """What the wait after the effect needs to know of the time before it."""
    if turn.spec.until is None:
        return {}
    try:
        seen = conditions.look(turn.condition(turn.spec.until), snapshot_of(turn.cluster, turn.spec, live), {})
    except Missing:
        return {"effect_at": moment}
    return {**seen.memory, "effect_at": moment}


def _write_of(turn: Turn, step: Step, live: dict[str, Any]) -> Write:
    assert turn.spec.effect is not None and step.intent is not None
    body = fill(turn.spec.effect.body, turn.words(step.intent["time"]))
    body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    return Write(
        turn.spec.resource,
        turn.spec.namespace,
        turn.spec.name,
        turn.spec.effect.patch_type,
        body,
        planning.field_manager(turn.run.action),
    )


def _made(turn: Turn, before: dict[str, Any], after: dict[str, Any], *, recovered: bool) -> Pause:
    """The effect is on the object: say so, and from now on expect what we wrote."""
    target = planning.target_of(after)
    planned = turn.run.expected.get(turn.key) or {}
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        was = step.pre_image or {}
        now_there = diffing.leaves(after, settings.SECRET_KEY)
        mine = diffing.difference(was, {path: now_there[path] for path in was if path in now_there})
        step.state, step.outcome_at = StepState.WAITING.value, entry.at
        step.outcome = {
            "resourceVersion": after["metadata"]["resourceVersion"],
            "generation": after["metadata"].get("generation", 0),
            "recovered": recovered,
        }
        step.irreversible = turn.spec.irreversible or diffing.is_redacted(mine)
        entry.save(step)
        entry.run.expected = {**entry.run.expected, turn.key: _expected(target)}
        if recovered:
            entry.log("found our own mark on the object: the write was accepted, not repeating it", step=turn.index)
            if target.fingerprint != planned.get("fingerprint"):
                entry.log("taking the object as it is now as what this step wrote", step=turn.index)
        else:
            version = after["metadata"]["resourceVersion"]
            old = before["metadata"]["resourceVersion"]
            entry.log(f"accepted: resourceVersion {old} → {version}", step=turn.index, level="good")
    point("after_outcome", turn.index)
    return GO_ON


def _expected(target: Target) -> dict[str, Any]:
    return {"uid": target.uid, "fingerprint": target.fingerprint, "leaves": target.leaves}


def expected_of(targets: dict[str, Target]) -> dict[str, Any]:
    """The plan's targets as a run's first expectation."""
    return {key: _expected(target) for key, target in targets.items()}


def marked(live: dict[str, Any]) -> str:
    """Our mark on an object, whoever's run it is."""
    return str(((live.get("metadata") or {}).get("annotations") or {}).get(MARK, ""))


# -- waiting and giving up


def _not_answered(turn: Turn, step: Step, error: SourceError) -> Pause:
    """The write was refused, or nobody knows: then the next look reads before anything is repeated."""
    if error.maybe_done or error.transient:
        return later(turn, step, error)
    return turn.end(RunState.FAILED, f"The API server refused the write: {error.sentence}", StepState.FAILED)


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


def _busy(turn: Turn, step: Step) -> Pause:
    """Three times somebody else wrote between our read and our write, and each time the plan still fitted."""
    said = f"{turn.spec.name} was changed by others {_CONFLICTS} times while it was to be written."
    return wait(turn, step, said, pause=2.0)
