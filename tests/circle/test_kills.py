"""`kill -9` of each part of the running portal in the middle of its work: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.circle.people import People
from tests.circle.stack import PHASE, Stack, eventually

pytestmark = [pytest.mark.browser, pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(400)]

ACTION = "repair-grafana-in-place"


def _remove_taint(stack: Stack) -> None:
    stack.kubectl("taint", "node", "worker04", "storage=hdd:NoSchedule-")


def _put_taint_back(stack: Stack) -> None:
    stack.kubectl("taint", "node", "worker04", "storage=hdd:NoSchedule", "--overwrite")


def test_evidence_goes_on_after_the_observer_was_killed(stack: Stack, people: People) -> None:
    watched = people.watcher("viewer", PHASE)
    row = watched.page.locator(f"#item-{stack.item('worker04-taints')}")
    expect(row).to_have_attribute("data-state", "verified", timeout=30_000)
    before = stack.kill("observer")
    _remove_taint(stack)  # while nobody looks
    try:
        expect(row).to_have_attribute("data-state", "failing", timeout=30_000)
        assert stack.pid("observer") != before
    finally:
        _put_taint_back(stack)
    expect(row).to_have_attribute("data-state", "verified")
    assert watched.never_loaded_again(), watched.loads


def test_a_page_gets_what_it_missed_while_the_web_process_was_gone(stack: Stack, people: People) -> None:
    watched = people.watcher("viewer", PHASE)
    row = watched.page.locator(f"#item-{stack.item('worker04-taints')}")
    expect(row).to_have_attribute("data-state", "verified", timeout=30_000)
    stack.kill("web")
    _remove_taint(stack)
    try:
        expect(watched.page.locator("#pill")).to_have_attribute("data-link", "reconnecting")
        eventually(lambda: stack.word("worker04-taints") == "failing", 10, "it is recorded")
        expect(row).to_have_attribute("data-state", "failing", timeout=30_000)
        expect(watched.page.locator("#pill")).to_have_attribute("data-link", "live")
    finally:
        _put_taint_back(stack)
    expect(row).to_have_attribute("data-state", "verified")
    assert watched.never_loaded_again(), watched.loads


def _syncing(stack: Stack, run: str) -> bool:
    """The first sync was sent."""
    return int(stack.run(run)["current_step"]) >= 2


def _waiting(stack: Stack, run: str) -> bool:
    """It waits for the rollout."""
    return int(stack.run(run)["current_step"]) >= 3


def _verifying(stack: Stack, run: str) -> bool:
    return str(stack.run(run)["state"]) == "verifying"


@pytest.mark.parametrize("moment", [_syncing, _waiting, _verifying], ids=["syncing", "waiting", "verifying"])
def test_a_run_whose_worker_is_killed_succeeds_and_has_each_effect_once(
    stack: Stack, moment: Callable[[Stack, str], bool]
) -> None:
    stack.break_grafana()
    after = stack.last_write()
    asked = stack.manage(
        "run_action", ACTION, "--yes", "--json", "--param", "hold_seconds=2", check=False, with_cluster=True
    )
    run = str(json.loads(asked.stdout)["run"])
    eventually(lambda: moment(stack, run) or stack.run(run)["finished_at"], 90, f"the run is {moment.__name__}")
    assert not stack.run(run)["finished_at"], "it ended before it could be killed"
    before = stack.kill_all_of("worker")

    row = stack.ended(run)
    assert row["state"] == "succeeded", stack.run_log(run)
    assert stack.pid("worker") != before
    effects = stack.effects(after)
    assert {f"{each['verb']} {each['resource']} {each['name']}" for each in effects} == {
        "patch applications.argoproj.io kube-prometheus-stack"
    }
    # Each patch carries the run and the step it is of, so that the same effect made twice has the same digest.
    assert len(effects) == 3, stack.run_log(run)
    assert set(Counter(each["sha256"] for each in effects).values()) == {1}
    numbers = [line["number"] for line in stack.rows("SELECT number FROM deployments_logline WHERE run_id = ?", run)]
    assert sorted(numbers) == list(range(1, int(row["line_count"]) + 1))
    eventually(lambda: stack.word("grafana-deployed") == "verified", 30, "the item is verified")
