"""Makes one request to Alertmanager or Grafana at most once.

They know no preconditions, so the effect's condition ``made`` decides. It is looked at before the request, and again
after a lost answer or a crash; a request that may still be on its way is waited for before it is sent a second time.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

import msgspec

from common.clock import by_database
from deployments import diffing
from deployments.catalogue import conditions
from deployments.catalogue.action import SERVICES, Call
from deployments.catalogue.seen import Outlook, Seen
from deployments.engine import holding, patience
from deployments.engine.filling import filled
from deployments.engine.keys import installation_key
from deployments.engine.turn import GO_ON, POLL, Pause, Turn
from deployments.fault import point
from deployments.models import Step
from deployments.states import RunState, StepState
from integrations.errors import SourceError
from monitoring.snapshot import Missing

#: a request whose answer was lost may still arrive within this time
_ON_ITS_WAY = timedelta(seconds=10)


def make(turn: Turn, step: Step) -> Pause:
    """Try the request of the current step. The step is *pending*, or *intent* after a crash or a lost answer."""
    effect = turn.spec.effect
    assert isinstance(effect, Call)
    unsure = step.state == StepState.INTENT.value
    try:
        until = turn.condition(effect.made)
        snapshot = turn.cluster.collect(lambda read: conditions.needs(until, read))
        seen = conditions.look(until, snapshot, {})
    except (Missing, SourceError) as missing:
        return patience.wait(turn, step, f"Waiting for an answer: {missing}", pause=2.0, unreachable=True)
    if seen.outlook == Outlook.MET:
        return _made(turn, seen, recovered=True, ours=unsure)
    if seen.outlook != Outlook.NOT_YET:
        return turn.end(RunState.REFUSED, seen.sentence, StepState.SKIPPED)
    if unsure and _on_its_way(step):
        return POLL
    held = holding.stopped(turn)
    if held is not None:
        return held
    words = _write_intent(turn, effect)
    point("after_intent", turn.index)
    request = filled(effect, words)
    assert isinstance(request, Call)
    try:
        turn.cluster.call(request)
    except SourceError as error:
        return patience.not_answered(turn, Step.objects.get(pk=step.pk), error)
    point("after_effect", turn.index)
    return _made(turn, seen, recovered=False, ours=True)


def _on_its_way(step: Step) -> bool:
    """The request of this intent may still arrive. By the database's clock: whoever asks may be another worker."""
    return Step.objects.filter(pk=step.pk, intent_at__gt=by_database(-_ON_ITS_WAY)).exists()


def _write_intent(turn: Turn, effect: Call) -> dict[str, str]:
    """What is about to be sent, without a generated secret. Returns the words to send it with."""
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        stamp = f"{entry.at:%Y-%m-%dT%H:%M:%SZ}"
        shown = filled(effect, turn.words(stamp))
        assert isinstance(shown, Call)
        writes = diffing.leaves({"body": shown.body}, installation_key())
        step.state, step.intent_at = StepState.INTENT.value, by_database()
        step.intent = {"request": f"{shown.method} {shown.path}", "mark": turn.mark, "time": stamp, "writes": writes}
        step.memory = {"effect_at": entry.at.isoformat()}
        entry.save(step)
        entry.log(f"sending {shown.method} {shown.path} to {SERVICES[shown.service]}", step=turn.index)
    return turn.words(stamp, secrets.token_urlsafe(24))


def _made(turn: Turn, seen: Seen, *, recovered: bool, ours: bool) -> Pause:
    """``ours``: a request of this run was sent. What was there before is not taken back by undoing it."""
    effect = turn.spec.effect
    assert isinstance(effect, Call)
    undo = effect.undo if ours and turn.document.undoable else None
    with turn.journal.write() as entry:
        step = entry.step(turn.index)
        step.state, step.outcome_at = StepState.WAITING.value, entry.at
        step.outcome = {"recovered": recovered}
        step.restore = {"op": "call", "call": msgspec.to_builtins(undo)} if undo is not None else None
        step.irreversible = turn.spec.irreversible or (ours and turn.document.undoable and undo is None)
        entry.save(step)
        said = f"it is so already, not sending it: {seen.sentence}" if recovered else "accepted"
        entry.log(said, step=turn.index, level="info" if recovered else "good")
    point("after_outcome", turn.index)
    return GO_ON
