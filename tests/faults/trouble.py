"""What is done to a run while it works: each trouble by its experiment (docs/reliability.md). Seeded chance."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deployments.fault import POINTS
from tests.faults.harness import Stage, wait_for

#: the kill points that every step with an effect passes
STEPWISE = ("before_intent", "after_intent", "after_effect", "after_outcome", "step_done")


@dataclass(frozen=True, slots=True)
class Trouble:
    """``before`` the click, ``after`` it (with the run's id), and ``heal`` when the run has ended.

    ``ends``: how a run may end under it; every run may also end as *outcome unknown* only where that is among them.
    """

    name: str
    before: Callable[[Stage, random.Random], str]
    after: Callable[[Stage, random.Random, str], None] = lambda stage, dice, run: None
    heal: Callable[[Stage], None] = lambda stage: None
    ends: frozenset[str] = frozenset({"succeeded"})
    clicks: int = 1
    #: actions that it cannot harm: they succeed
    spares: tuple[str, ...] = ()
    #: it waits for its rule to strike, so the action must be one that is struck
    must_strike: bool = False


def _nothing(_stage: Stage, _dice: random.Random) -> str:
    return ""


def _killed_at(name: str) -> Trouble:
    """The worker dies at a kill point: in one step by chance where every step passes it, else when it is first met."""

    def before(stage: Stage, dice: random.Random) -> str:
        point = f"{name}:{dice.randint(1, stage.steps)}" if name in STEPWISE else name
        stage.point(point)
        return point

    return Trouble(f"E01 kill -9 at {name}", before, heal=_clear)


def _kill_soon(stage: Stage, dice: random.Random, _run: str) -> None:
    time.sleep(dice.uniform(0, 1.2))
    stage.kill_worker()
    stage.start_worker()


def _freeze(stage: Stage, dice: random.Random, _run: str) -> None:
    """Longer than the lease: whoever wakes up then is a superseded owner."""
    time.sleep(dice.uniform(0, 0.4))
    assert stage.worker is not None
    os.killpg(stage.worker.pid, signal.SIGSTOP)
    stage.second_worker()
    time.sleep(5)
    os.killpg(stage.worker.pid, signal.SIGCONT)
    time.sleep(1)
    stage.end_second()


def _two_workers(stage: Stage, _dice: random.Random) -> str:
    stage.second_worker()
    return ""


def _woken(stage: Stage, dice: random.Random, run: str) -> None:
    """Every worker process gets the run in its hands, again and again."""
    for _ in range(3):
        stage.click(do="wake", run=run, times=8)
        time.sleep(dice.uniform(0, 0.3))


def _redis(stage: Stage, dice: random.Random, _run: str) -> None:
    time.sleep(dice.uniform(0, 0.5))
    stage.redis.stop()
    time.sleep(1)
    stage.redis.start()


def _dies_while_sending(stage: Stage, dice: random.Random, run: str) -> None:
    """The worker dies with its write on its way; the write arrives when the next worker may have sent its own."""
    query = """SELECT r.lease_owner AS owner FROM deployments_run r JOIN deployments_step s ON s.run_id = r.id
        WHERE r.id = ? AND s.state = 'intent' AND r.lease_owner != ''"""
    # a worker that was slow, or forestalled, gives the run back for a moment: it dies in a try that it stays in
    wait_for("a write is on its way", lambda: stage.rows(query, run), 60)
    sent = time.monotonic()
    time.sleep(dice.uniform(0.2, 0.6))
    owner = wait_for("a worker holds the run", lambda: stage.rows(query, run), 60)[0]["owner"]
    os.kill(int(owner.rpartition("/")[2]), signal.SIGKILL)
    stage.ended(run)
    time.sleep(max(0.0, sent + _LATE + 1 - time.monotonic()))


def _cancel(stage: Stage, dice: random.Random, run: str) -> None:
    time.sleep(dice.uniform(0, 1.0))
    stage.person.cancel(run)


def _rule(**rule: Any) -> Callable[[Stage, random.Random], str]:
    def before(stage: Stage, _dice: random.Random) -> str:
        stage.fault_on(agent="phaseboard", **rule)
        return ""

    return before


def _clear(stage: Stage) -> None:
    stage.cluster.clear()
    stage.fault.unlink(missing_ok=True)


def _struck(
    name: str, ends: frozenset[str] = frozenset({"succeeded"}), spares: tuple[str, ...] = (), **rule: Any
) -> Trouble:
    return Trouble(name, _rule(**rule), heal=_clear, ends=ends, spares=spares)


#: seconds that a write is on its way: longer than a lease and the sweep after it
_LATE = 12
_EITHER = frozenset({"succeeded", "cancelled"})
_WRITES: dict[str, Any] = {"verb": "patch,create,delete,update", "dry_run": False}
#: a server that says no in the middle: the run says so, with what was made before
_SAID_NO = frozenset({"failed"})
#: what was decided about moved; what is created or goes by its uid alone cannot be touched
_MOVED, _UNTOUCHED = frozenset({"refused"}), ("apply-set", "evict-pod", "run-cronjob-now", "silence-alerts")

TROUBLES: tuple[Trouble, ...] = (
    Trouble("none", _nothing),
    *map(_killed_at, POINTS),
    Trouble("E02 kill -9 at any time", _nothing, after=_kill_soon),
    Trouble("E03 zombie worker", _nothing, after=_freeze),
    Trouble("E06 Redis killed", _nothing, after=_redis),
    Trouble("E10 clicked 20 times", _nothing, clicks=20),
    Trouble("E11 two workers at once", _two_workers, after=_woken, heal=Stage.end_second),
    _struck("E14 answer lost", action="reset", when="after", count=1, **_WRITES),
    Trouble(
        "E14 write arrives late",
        _rule(action=f"delay:{_LATE}", count=1, **_WRITES),
        after=_dies_while_sending,
        heal=_clear,
        must_strike=True,
    ),
    Trouble("E15 cancelled", _nothing, after=_cancel, ends=_EITHER),
    _struck("E20 500 before", action="status:500", count=2, **_WRITES),
    _struck("E20 500 after", action="status:500", when="after", count=1, **_WRITES),
    _struck("E13 moved by a rival", _MOVED, _UNTOUCHED, action="touch", count=2, **_WRITES),
    _struck("E20 409 storm", action="conflict", count=5, **_WRITES),
    _struck("E20 connection reset", action="reset", count=2, **_WRITES),
    _struck("E20 403 in the middle", _SAID_NO, ("silence-alerts",), action="status:403", count=1, **_WRITES),
    _struck("E20 HTML after the effect", action="html", when="after", count=1, **_WRITES),
    _struck("E20 truncated JSON", action="truncate", count=1, **_WRITES),
    _struck("E20 wrong type", action="type:text/plain", count=1, **_WRITES),
    _struck("E20 empty answer", action="empty", count=1, **_WRITES),
    _struck("E22 slow", action="delay:1-3", count=4),
    _struck("E26 429 with Retry-After", action="status:429", count=2, retry_after=1, **_WRITES),
)
