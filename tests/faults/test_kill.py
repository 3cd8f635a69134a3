"""kill -9 of a real Celery worker at named points of a real run: it goes on, and the ledger counts no effect twice.

The whole list of points runs against the cluster in memory (tests/deployments); ``python -m tests.faults.storm`` kills
at random points for as long as you like.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.faults.harness import APP, Stage

pytestmark = [pytest.mark.slow, pytest.mark.lab, pytest.mark.redis, pytest.mark.timeout(400)]

SYNCED = {"patch applications.argoproj.io kube-prometheus-stack": 3}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    made = Stage(tmp_path_factory.mktemp("stage"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("point", ["prepared", "after_intent:3", "after_effect:3", "in_verify"])
def test_a_killed_worker_is_replaced_and_no_effect_is_made_twice(stage: Stage, point: str) -> None:
    stage.broken()
    before = stage.last_seq()
    stage.point(point)
    run = stage.accept(hold_seconds="1")
    row = stage.ended(run)
    assert not stage.fault.exists(), f"the run never reached {point}"
    assert row["state"] == "succeeded", stage.log(run)
    assert stage.effects(before) == SYNCED
    assert "died" in stage.log(run)
    numbers = [r["number"] for r in stage.rows("SELECT number FROM deployments_logline WHERE run_id = ?", run)]
    assert sorted(numbers) == list(range(1, row["line_count"] + 1))


def test_a_whole_worker_killed_in_a_wait_is_followed_by_the_next_one(stage: Stage) -> None:
    stage.broken()
    before = stage.last_seq()
    run = stage.accept(hold_seconds="3")
    while stage.row(run)["current_step"] < 3:
        pass
    stage.kill_worker()
    stage.start_worker()
    assert stage.ended(run)["state"] == "succeeded", stage.log(run)
    assert stage.effects(before) == SYNCED


def test_a_silent_and_restarted_redis_loses_no_run(stage: Stage) -> None:
    stage.broken()
    stage.redis.stop()
    run = stage.accept(hold_seconds="1")
    assert stage.row(run)["state"] == "queued"
    stage.redis.start()
    assert stage.ended(run)["state"] == "succeeded", stage.log(run)


def test_a_grafana_that_never_answers_ends_the_run_as_failed(stage: Stage) -> None:
    stage.broken()
    fault = stage.fault_on(target="grafana", action="status:503", count=-1)
    try:
        run = stage.accept(hold_seconds="1", verify_seconds="6")
        row = stage.ended(run)
    finally:
        stage.cluster.clear(fault)
    assert row["state"] == "failed", stage.log(run)
    assert "Grafana answers" in row["sentence"]
    assert stage.api.get(APP).json()["status"]["sync"]["status"] == "Synced"
