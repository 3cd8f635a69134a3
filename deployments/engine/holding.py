"""How a run waits for what holds it: the stop switch or a freeze. It says so once, and its step's time does not run."""

from __future__ import annotations

from common.clock import now
from deployments import gates
from deployments.engine.journal import Journal
from deployments.engine.turn import Pause, Turn

#: seconds until a run looks again at what only a person ends
_SOON = 2.0
#: and at a freeze, which a new policy may have taken away
_LATER = 15.0


def wait(journal: Journal, held: gates.Hold, step: int = -1) -> Pause:
    """Say what holds the run, and come back: soon when a person can end it at any time, else when it ends."""
    if journal.read().sentence != held.sentence:
        with journal.write() as entry:
            entry.run.sentence = held.sentence
            entry.log(held.sentence, step=step, level="warn")
    ahead = (held.until - now()).total_seconds() if held.until is not None else 0.0
    return min(max(ahead, _SOON), _LATER)


def stopped(turn: Turn) -> Pause | None:
    """Asked right before an intent is written: the reading before it may have taken longer than somebody needs to press
    the switch. None: writes are allowed."""
    stop = gates.stop_of(turn.run.cluster)
    if stop is None:
        return None
    return wait(turn.journal, gates.Hold("stop", f"Waiting: {gates.stop_words(stop)}"), turn.index)
