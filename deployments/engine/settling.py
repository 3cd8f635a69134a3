"""Compares an object with what the plan expects, just before its effect: go on, it was made already, or end the run.

After a crash this decides from the live object alone, never from memory: our mark on what a patch wrote, absence or a
deletion time on what was to go.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from deployments import diffing
from deployments.catalogue.action import MARK, Apply, Create, Delete, Evict
from deployments.engine.keys import installation_key
from deployments.engine.turn import Turn
from deployments.states import RunState, StepState
from integrations.kubernetes.kinds import RESOURCES

#: the fingerprint of what is not there
ABSENT = "absent"


class Settled(NamedTuple):
    """``made``: the effect is there already. Else the run ends so (or, with no state, the effect may be made)."""

    made: bool = False
    state: RunState | None = None
    step: StepState = StepState.SKIPPED
    sentence: str = ""
    difference: list[dict[str, Any]] | None = None


#: nothing stands against the effect
FREE = Settled()
MADE = Settled(made=True)


def settle(turn: Turn, live: dict[str, Any] | None, *, unsure: bool) -> Settled:
    """``unsure``: an earlier worker wrote an intent and no outcome."""
    if isinstance(turn.spec.effect, Delete | Evict):
        return _going(turn, live, unsure=unsure)
    if live is not None and marked(live) == turn.mark:
        return MADE
    expected = turn.run.expected.get(turn.key) or {}
    wanted_absent = expected.get("fingerprint") == ABSENT
    if live is None:
        if wanted_absent and isinstance(turn.spec.effect, Apply | Create):
            return FREE
        return _gone(f"{_name(turn)} is gone", unsure=unsure)
    if wanted_absent:
        return _refused(f"{_name(turn)} was created by somebody since the plan was made.")
    if uid_of(live) != expected.get("uid"):
        return _gone(_anew(turn, live, expected), unsure=unsure)
    return _unmoved(turn, live, expected)


def _going(turn: Turn, live: dict[str, Any] | None, *, unsure: bool) -> Settled:
    """Of a deletion or an eviction: the object of the plan is what may go, and nothing else of that name."""
    expected = turn.run.expected.get(turn.key) or {}
    if live is None or uid_of(live) != expected.get("uid"):
        if unsure:
            return MADE
        gone = f"{_name(turn)} is gone" if live is None else _anew(turn, live, expected)
        return _refused(f"{gone} since the plan was made.")
    if unsure and _deleting(live) and not (turn.current_step().intent or {}).get("deleting"):
        return MADE
    return _unmoved(turn, live, expected)


def _unmoved(turn: Turn, live: dict[str, Any], expected: dict[str, Any]) -> Settled:
    fingerprint, leaves = diffing.fingerprint(live, installation_key(), turn.document.noise)
    if fingerprint == expected.get("fingerprint"):
        return FREE
    moved = diffing.difference(expected.get("leaves") or {}, leaves)
    said = f"{_name(turn)} moved since the plan was made: {diffing.sentence_of(moved)}."
    return Settled(state=RunState.REFUSED, sentence=said, difference=moved[:200])


def _gone(gone: str, *, unsure: bool) -> Settled:
    if not unsure:
        return _refused(f"{gone} since the plan was made.")
    sentence = f"{gone}; whether the write of this step had been accepted cannot be told."
    return Settled(state=RunState.OUTCOME_UNKNOWN, step=StepState.UNKNOWN, sentence=sentence)


def _refused(sentence: str) -> Settled:
    return Settled(state=RunState.REFUSED, sentence=sentence)


def _name(turn: Turn) -> str:
    return f"{RESOURCES[turn.spec.resource].kind} {turn.spec.name}"


def _anew(turn: Turn, live: dict[str, Any], expected: dict[str, Any]) -> str:
    return f"{_name(turn)} was created anew (uid {uid_of(live)}, was {expected.get('uid') or 'not there'})"


def uid_of(live: dict[str, Any] | None) -> str:
    """The uid of an object; empty for what is not there."""
    return str((live or {}).get("metadata", {}).get("uid", ""))


def _deleting(live: dict[str, Any]) -> bool:
    return bool(live["metadata"].get("deletionTimestamp"))


def marked(live: dict[str, Any]) -> str:
    """Our mark on an object, whoever's run it is."""
    return str(((live.get("metadata") or {}).get("annotations") or {}).get(MARK, ""))
