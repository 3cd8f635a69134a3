"""E37 in small: a worker's clock is five minutes off, and nobody else believes it. Also run on PostgreSQL."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection

from common import clock
from deployments import messages
from deployments.engine import advance, calls, lease, requests, sweep
from deployments.engine.driver import _free
from deployments.engine.journal import Journal
from deployments.models import PlanRequest, Run
from deployments.services import request_plan
from deployments.states import RunState
from tests.deployments.conftest import SLUG, carry_on
from tests.deployments.fake import FakeCluster

pytestmark = pytest.mark.django_db(transaction=True)

OFF = [timedelta(minutes=5), -timedelta(minutes=5)]


@contextmanager
def off_by(skew: timedelta) -> Iterator[None]:
    """What runs in here is a process whose clock is so much off. The database's clock is what it was."""
    right = clock.now
    names = [
        module
        for name, module in sys.modules.items()
        if name.startswith(("deployments", "common")) and getattr(module, "now", None) is right
    ]
    assert clock in names and len(names) > 5
    try:
        for module in names:
            module.now = lambda: right() + skew  # type: ignore[attr-defined]
        yield
    finally:
        for module in names:
            module.now = right  # type: ignore[attr-defined]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The wake-ups that were sent."""
    ids: list[str] = []

    def send(task: str, name: str) -> bool:
        ids.append(name)
        return True

    monkeypatch.setattr(messages, "send", send)
    return ids


def times(run: Run) -> Run:
    """The run with the database's time beside it."""
    found: Run = Run.objects.annotate(database_time=clock.by_database()).get(pk=run.pk)
    return found


@pytest.mark.parametrize("skew", OFF)
def test_a_held_run_is_not_taken_by_a_worker_whose_clock_is_off(run: Run, skew: timedelta) -> None:
    assert lease.claim(run.pk, "right") is not None
    with off_by(skew):
        assert lease.claim(run.pk, "off") is None


@pytest.mark.parametrize("skew", OFF)
def test_a_worker_whose_clock_is_off_holds_its_run_for_a_lease_and_not_longer(run: Run, skew: timedelta) -> None:
    with off_by(skew):
        held = lease.claim(run.pk, "off")
        assert held is not None
        assert lease.renew(held)
        with Journal(held).write() as entry:
            entry.log("still here")
    assert lease.claim(run.pk, "right") is None
    seen = times(run)
    assert seen.lease_until is not None
    left = seen.lease_until - seen.database_time  # type: ignore[attr-defined]
    assert timedelta(0) < left <= lease.length()
    Run.objects.filter(pk=run.pk).update(lease_until=clock.by_database(-timedelta(milliseconds=10)))
    taken = lease.claim(run.pk, "right")
    assert taken is not None and taken.crashed


def test_a_heartbeat_whose_connection_was_cut_beats_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_LEASE_SECONDS", "0.6")
    renew = lease.renew
    beats: list[str] = []

    def cut_once(claimed: lease.Claim) -> bool:
        if not beats:
            connection.ensure_connection()
            assert connection.connection is not None
            connection.connection.close()
        beats.append("tried")
        held = renew(claimed)
        beats.append("held")
        return held

    monkeypatch.setattr(lease, "renew", cut_once)
    held = lease.claim(run.pk, "cut")
    assert held is not None
    with lease.Heartbeat("cut", lambda: lease.renew(held)):
        ends = time.monotonic() + 30
        while "held" not in beats and time.monotonic() < ends:
            time.sleep(0.05)
    assert beats[:2] == ["tried", "tried"] and "held" in beats


@pytest.mark.parametrize("skew", OFF)
def test_a_wait_ends_in_time_whoever_wrote_it_and_whoever_looks(run: Run, sent: list[str], skew: timedelta) -> None:
    with off_by(skew):
        held = lease.claim(run.pk, "off")
        assert held is not None
        Journal(held).release(60)
        assert sweep.sweep() == [] == sent
    assert sweep.sweep() == []
    seen = times(run)
    assert not _free(seen, seen.database_time, timedelta(0))  # type: ignore[attr-defined]
    Run.objects.filter(pk=run.pk).update(wake_at=clock.by_database(-timedelta(milliseconds=10)))
    with off_by(skew):
        assert sweep.due() == [run.pk] == sent
    assert sweep.due() == [], "an offered run is not offered again at once"


@pytest.mark.parametrize("skew", OFF)
def test_the_sweep_takes_no_run_away_and_leaves_no_dead_one(run: Run, sent: list[str], skew: timedelta) -> None:
    assert lease.claim(run.pk, "right") is not None
    with off_by(skew):
        assert sweep.sweep() == []
    Run.objects.filter(pk=run.pk).update(lease_until=clock.by_database(-timedelta(milliseconds=10)))
    with off_by(skew):
        assert sweep.sweep() == [run.pk]


@pytest.mark.parametrize("skew", OFF)
def test_a_plan_is_made_by_one_worker_alone(operator: User, sent: list[str], skew: timedelta) -> None:
    request = request_plan(operator, SLUG, {})
    with off_by(skew):
        assert requests._claim(request.pk) is not None
    assert requests._claim(request.pk) is None
    assert sweep.sweep() == []
    PlanRequest.objects.filter(pk=request.pk).update(claimed_at=clock.by_database(-timedelta(seconds=91)))
    with off_by(skew):
        again = requests._claim(request.pk)
    assert again is not None and again.attempts == 2


@pytest.mark.parametrize("skew", OFF)
def test_a_run_carried_on_in_turn_by_clocks_that_differ_makes_each_effect_once(
    run: Run, cluster: FakeCluster, skew: timedelta
) -> None:
    for turn in range(3):
        with off_by(skew if turn % 2 else timedelta(0)):
            advance.advance(run.pk, opener=lambda: cluster)
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert len(cluster.ledger) == 3
    assert [line.text for line in run.lines.all() if "took the run" in line.text and "run -" not in line.text]


@pytest.mark.parametrize("skew", OFF)
def test_a_request_that_may_be_on_its_way_is_waited_for_by_every_clock(run: Run, skew: timedelta) -> None:
    step = run.steps.get(index=0)
    for age, waits in ((timedelta(seconds=1), True), (timedelta(seconds=11), False)):
        run.steps.filter(pk=step.pk).update(intent_at=clock.by_database(-age))
        with off_by(skew):
            assert calls._on_its_way(step) is waits
