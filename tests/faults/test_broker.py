"""A Redis that forgets, refuses or is gone (E08): a click is accepted within 2 s, what was accepted runs once, and the
stop switch works meanwhile. Two of everything that tells of due work (E09): nothing happens twice."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from tests.faults.conftest import Site
from tests.faults.harness import Stage, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.lab, pytest.mark.redis, pytest.mark.timeout(600)]

#: seconds that a click may take whatever Redis does (docs/reliability.md, E08)
ANSWERED = 2.0


def _admin(stage: Stage) -> redis.Redis:
    return redis.Redis.from_url(stage.redis.url, socket_timeout=5)


def forgotten(stage: Stage) -> Iterator[None]:
    """FLUSHALL again and again: queues, bindings and the event stream are gone."""
    with _admin(stage) as client:
        client.flushall()
        yield
        client.flushall()


def full(stage: Stage) -> Iterator[None]:
    """No memory, and nothing may be evicted: every write is refused with OOM."""
    with _admin(stage) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


def read_only(stage: Stage) -> Iterator[None]:
    """A failover made it the replica of a master that is not there."""
    with _admin(stage) as client:
        client.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            client.replicaof("NO", "ONE")


def locked(stage: Stage) -> Iterator[None]:
    """Another password than ours."""
    with _admin(stage) as client:
        client.config_set("requirepass", "another")
        for kind in ("normal", "pubsub"):
            client.client_kill_filter(_type=kind, skipme=True)
        try:
            yield
        finally:
            client.config_set("requirepass", "")


def gone(stage: Stage) -> Iterator[None]:
    """Killed; it comes back empty."""
    stage.redis.stop()
    try:
        yield
    finally:
        stage.redis.start()


def silent(stage: Stage) -> Iterator[None]:
    """It takes connections and answers nothing."""
    stage.redis.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        stage.redis.signal(signal.SIGCONT)


#: each trouble, and the word by which the worker shows that it met it
TROUBLES = [
    pytest.param(forgotten, "", id="forgotten"),
    pytest.param(full, "OutOfMemory|OOM", id="full"),
    pytest.param(read_only, "ReadOnly|read only", id="read_only"),
    pytest.param(locked, "Authentication|NOAUTH", id="locked"),
    pytest.param(gone, "refused|Connection closed", id="gone"),
    pytest.param(silent, "Timeout", id="silent"),
]


@pytest.mark.parametrize(("trouble", "word"), TROUBLES)
def test_clicks_and_the_stop_switch_need_no_redis(
    site: Site, trouble: Callable[[Stage], Iterator[None]], word: str
) -> None:
    before, after = site.plan(), site.plan()
    press = site.admin.form("/policy/", "/policy/stop/")
    press.fields["reason"] = f"Redis is {trouble.__name__}"
    since, said = site.stage.last_seq(), len(site.stage.output("worker"))
    with contextmanager(trouble)(site.stage):
        runs, first = timed(lambda: site.operator.click(before))
        stopped, second = timed(lambda: site.admin.send(press).status_code)
        held, third = timed(lambda: site.operator.click(after))
        wait_for(f"the worker says {word}", lambda: re.search(word, site.stage.output("worker")[said:]), 60)
    assert stopped == 303
    assert site.stage.worker is not None and site.stage.worker.poll() is None, "the worker ended"
    assert [runs, held] == [site.runs_of(before), site.runs_of(after)]
    wait_for("a worker waits", lambda: "stopped all writes" in site.stage.row(held[0])["sentence"], 120)
    assert [each for each in site.stage.ledger(since) if each["mark"].startswith(held[0])] == []
    site.admin.insist(site.admin.form("/policy/", "/policy/allow/"))
    for run in (*runs, *held):
        assert site.stage.ended(run)["state"] == "succeeded", site.stage.log(run)
    assert site.verdict(since, {before.key: runs, after.key: held}) == []
    assert max(first, second, third) < ANSWERED, f"{first:.1f}, {second:.1f} and {third:.1f} s"


def timed(deed: Callable[[], Any]) -> tuple[Any, float]:
    """What it gave, and the seconds it took."""
    began = time.monotonic()
    return deed(), time.monotonic() - began
