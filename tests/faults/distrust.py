"""Troubles about who may: a requester who approves for himself, a yes that expired, rights taken away in the middle.

Each states its own promise where it happens, as an AssertionError: nothing is written before a second person's yes
counts. What follows is judged like every run.
"""

from __future__ import annotations

import random
import time

from tests.faults.harness import Stage, wait_for
from tests.faults.identities import Rights
from tests.faults.trouble import Trouble

WAITING = "waiting_for_approval"
#: where the worker dies before its rights go; what comes next is without them
_WHEN = ("prepared", "after_intent:1", "after_effect:1")


def _strict(stage: Stage, _dice: random.Random) -> str:
    stage.click(do="policy", approvals=1)
    return ""


def _lenient(stage: Stage) -> None:
    stage.click(do="policy", approvals=0)


def _untouched(stage: Stage, when: str) -> None:
    written = stage.ledger(stage.since)
    assert not written, f"P2: {len(written)} effects {when}: {written[0]['verb']} {written[0]['name']}"


def _own_approval(stage: Stage, dice: random.Random, run: str) -> None:
    """The requester and a bystander try, many times at once and while the worker is woken; then a second person."""
    state = stage.row(run)["state"]
    assert state == WAITING, f"P9: a run that wants a second person is {state}"
    for who in dice.sample(("storm", "bystander"), 2):
        said = stage.click(do="approve", run=run, who=who, times=5)["said"]
        assert all(said), f"P9: {who} approved run {run}"
    stage.click(do="wake", run=run, times=4)
    time.sleep(dice.uniform(0.2, 0.8))
    assert stage.row(run)["state"] == WAITING, f"P9: run {run} went on without a second person"
    _untouched(stage, "before anybody approved")
    assert not any(stage.click(do="approve", run=run, who="second", times=3)["said"]), "a second person may approve"


def _no_worker(stage: Stage, dice: random.Random) -> str:
    stage.kill_worker()
    return _strict(stage, dice)


def _expired(stage: Stage, _dice: random.Random, run: str) -> None:
    """Approved while no worker lived, and the yes expired before one came: the run asks again."""
    stage.click(do="approve", run=run, who="second")
    state = stage.row(run)["state"]
    assert state == "queued", f"an approved run is {state}"
    stage.click(do="expire", run=run)
    stage.start_worker()
    wait_for("the run asks again", lambda: stage.row(run)["state"] == WAITING, 60)
    assert "expired" in stage.log(run), stage.log(run)
    _untouched(stage, "on an approval that had expired")
    assert not any(stage.click(do="approve", run=run, who="second")["said"]), "the second yes does not count"


class _Revoked:
    """The worker dies at a point; before the next one comes, its identity has no right to write (or none at all)."""

    def __init__(self) -> None:
        self._rights: Rights | None = None

    def before(self, stage: Stage, dice: random.Random) -> str:
        point = dice.choice(_WHEN)
        stage.point(point)
        return point

    def after(self, stage: Stage, dice: random.Random, _run: str) -> None:
        wait_for("the worker dies", lambda: not stage.fault.exists(), 60)
        self._rights = Rights(stage.api)
        self._rights.revoke(reading=dice.random() < 0.5)

    def heal(self, stage: Stage) -> None:
        if self._rights is not None:
            self._rights.restore()
        stage.fault.unlink(missing_ok=True)


_revoked = _Revoked()

DISTRUST: tuple[Trouble, ...] = (
    Trouble("P9 self-approval tried", _strict, after=_own_approval, heal=_lenient),
    Trouble("P9 approval expired", _no_worker, after=_expired, heal=_lenient),
    Trouble(
        "E35 rights revoked in the middle",
        _revoked.before,
        after=_revoked.after,
        heal=_revoked.heal,
        # refused by the server; or made before, and seen; or made or not before, and not to be read any more
        ends=frozenset({"failed", "succeeded", "outcome_unknown"}),
    ),
)
