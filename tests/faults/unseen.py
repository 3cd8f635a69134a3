"""Troubles of the processes that no run is in: the web process that took its click, the observer that watches.

They die at any time and are started again as the product's supervisor does; a browser that got no answer sends the same
form again. No run may notice.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from deployments.fault import CLICK_POINTS
from tests.faults.harness import Stage
from tests.faults.trouble import Trouble


def _web_dies_at(point: str) -> Trouble:
    def before(stage: Stage, _dice: random.Random) -> str:
        stage.point(point)
        return ""

    def heal(stage: Stage) -> None:
        stage.fault.unlink(missing_ok=True)

    return Trouble(f"E05 web killed at {point}", before, heal=heal)


def _web_dies_soon(stage: Stage, dice: random.Random) -> str:
    """While it takes the click, or just before, or just after."""
    seconds = dice.uniform(0, 0.15)
    threading.Timer(seconds, stage.person.web.kill).start()
    return f"after {seconds:.3f} s"


def _again_and_again(kill: Callable[[Stage], None]) -> Callable[[Stage, random.Random, str], None]:
    def after(stage: Stage, dice: random.Random, _run: str) -> None:
        for _ in range(2):
            time.sleep(dice.uniform(0, 1.0))
            kill(stage)

    return after


def _web(stage: Stage) -> None:
    stage.person.web.kill()


def _observer(stage: Stage) -> None:
    stage.person.web.kill_observer()


UNSEEN: tuple[Trouble, ...] = (
    *map(_web_dies_at, CLICK_POINTS),
    Trouble("E05 web killed at any time", _web_dies_soon, after=_again_and_again(_web), clicks=5),
    Trouble("E02 observer killed at any time", lambda stage, dice: "", after=_again_and_again(_observer)),
)
