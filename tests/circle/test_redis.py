"""Redis gone, Redis silent: pages are served and say so, and a click made meanwhile is carried out."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from playwright.sync_api import Page, expect

from tests.circle.people import People
from tests.circle.stack import PHASE, Stack, eventually

pytestmark = [pytest.mark.browser, pytest.mark.lab, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(400)]

#: seconds a page may take to be served while Redis is away (each client waits half a second for it)
SERVED = 2.0


@contextmanager
def stopped(stack: Stack) -> Iterator[None]:
    """Connections to Redis are refused."""
    with stack.nobody_restarts():
        stack.kill("redis")
        yield


@contextmanager
def silent(stack: Stack) -> Iterator[None]:
    """Redis accepts connections and answers nothing."""
    stack.kill("redis", signal.SIGSTOP)
    try:
        yield
    finally:
        stack.kill("redis", signal.SIGCONT)


AWAY = pytest.mark.parametrize("away", [stopped, silent])
Away = Callable[[Stack], AbstractContextManager[None]]


def _seconds(page: Page, path: str) -> float:
    began = time.monotonic()
    page.goto(path, wait_until="domcontentloaded")
    return time.monotonic() - began


@AWAY
def test_pages_are_served_stay_live_and_say_that_redis_is_away(
    stack: Stack, people: People, away: Away, measured: Callable[[str, float], None]
) -> None:
    watched = people.watcher("viewer", PHASE)
    row = watched.page.locator(f"#item-{stack.item('worker04-taints')}")
    expect(row).to_have_attribute("data-state", "verified", timeout=30_000)
    other = people.tab("viewer")
    with away(stack):
        for path in ("/", PHASE, "/runs/", "/status/"):
            took = _seconds(other, path)
            measured(f"{path} with Redis {away.__name__}", took)
            assert took < SERVED
        expect(other.locator("#redis-away")).to_be_visible()
        expect(watched.page.locator("#redis-away")).to_be_visible()
        stack.kubectl("taint", "node", "worker04", "storage=hdd:NoSchedule-")
        try:
            expect(row).to_have_attribute("data-state", "failing", timeout=15_000)
        finally:
            stack.kubectl("taint", "node", "worker04", "storage=hdd:NoSchedule", "--overwrite")
        expect(row).to_have_attribute("data-state", "verified", timeout=15_000)
    expect(watched.page.locator("#redis-away")).to_be_hidden(timeout=20_000)
    assert watched.never_loaded_again(), watched.loads


def test_a_plan_asked_for_and_a_run_started_without_redis_are_carried_out(stack: Stack, people: People) -> None:
    stack.break_grafana()
    page = people.tab("operator", f"/items/{stack.item('grafana-deployed')}/")
    with stopped(stack):
        page.locator(".option.best").get_by_role("button", name="Review plan").click()
        page.wait_for_url(re.compile(r"/plans/requests/"))
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    # The message was never sent: the sweep finds the row once there is a broker again.
    page.wait_for_url(re.compile(r"/plans/[0-9a-f]{64}/"), timeout=60_000)
    with silent(stack):
        page.get_by_role("button", name="Run this plan").click()
        page.wait_for_url(re.compile(r"/runs/[0-9A-Z]{26}/$"))
        run = page.url.rstrip("/").rsplit("/", 1)[1]
        expect(page.locator("#L1")).to_be_visible()
    head = page.locator(f"#run-head-{run}")
    expect(head).to_have_attribute("data-state", "verifying", timeout=120_000)
    eventually(lambda: stack.word("grafana-deployed") == "verified", 30, "the item is verified")
    page.get_by_role("button", name="Cancel run").click()  # the half minute of holding is watched elsewhere
    expect(head).to_have_attribute("data-state", "cancelled", timeout=30_000)
