"""One observer leads: by a row, a heartbeat and a fence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from monitoring.models import Leader
from monitoring.observer import leading
from monitoring.observer.leading import Deposed, Lease

pytestmark = pytest.mark.django_db


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def shift(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leading, "time", made)
    return made


def elsewhere(lease: Lease) -> Lease:
    """As if the process ran on another machine: its pid says nothing here."""
    lease.holder = f"elsewhere:1:{lease.holder[-6:]}"
    return lease


def test_the_first_leads_and_the_second_stands_by() -> None:
    assert elsewhere(Lease("c")).acquire()
    assert not Lease("c").acquire()
    assert Lease("other").acquire()


def test_a_silent_leader_is_replaced_and_finds_out_before_it_writes(clock: Clock) -> None:
    first, second = elsewhere(Lease("c")), Lease("c")
    assert first.acquire()
    assert not second.acquire()
    clock.shift(6.9)
    assert not second.acquire()
    clock.shift(0.2)
    assert second.acquire()
    with pytest.raises(Deposed):
        first.guard()
    with pytest.raises(Deposed):
        first.renew()
    second.guard()
    assert Leader.objects.get().fence == 2


def test_a_beating_heart_keeps_the_lead(clock: Clock) -> None:
    first, second = elsewhere(Lease("c")), Lease("c")
    first.acquire()
    for _ in range(10):
        clock.shift(3)
        first.renew()
        assert not second.acquire()


def test_letting_go_hands_over_at_once() -> None:
    first, second = elsewhere(Lease("c")), Lease("c")
    first.acquire()
    first.release()
    assert second.acquire()


def test_a_dead_process_of_this_machine_is_replaced_at_once() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    first, second = Lease("c"), Lease("c")
    first.holder = first.holder.replace(f":{first.holder.split(':')[1]}:", f":{gone.pid}:")
    first.acquire()
    assert second.acquire()
