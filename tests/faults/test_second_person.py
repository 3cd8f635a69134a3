"""A second person and the stop switch with real processes: a lab over HTTPS, Redis, a Celery worker that is killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.harness import Stage, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.lab, pytest.mark.redis, pytest.mark.timeout(400)]

SYNCED = {"patch applications.argoproj.io kube-prometheus-stack": 3}
PROJECT = """
project: {key: strict, title: Strict}
policy:
  approvals: [{tiers: [1], count: 1, from: [approver]}]
phases:
  - key: one
    number: 1
    title: One
    items: [{key: nodes, title: Nodes, checks: [{nodes: {count: 7}}]}]
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage with the demo people and a policy that wants a second person for everything reversible."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    made = Stage(tmp_path_factory.mktemp("stage"))
    try:
        made.start()
        made.manage("ensure_users")
        project = made.directory / "strict.yaml"
        project.write_text(PROJECT)
        made.manage("load_project", str(project))
        yield made
    finally:
        made.stop()


def decided(stage: Stage, *arguments: str, good: int = 0) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(stage.manage(*arguments, "--json", good=(good,)))
    return answer


def asked(stage: Stage) -> str:
    arguments = ("run_action", "repair-grafana-in-place", "--yes", "--user", "operator", "--param", "hold_seconds=1")
    answer = decided(stage, *arguments, good=1)
    assert answer["state"] == "waiting_for_approval", answer
    return str(answer["run"])


def test_an_approved_run_is_carried_out_once_by_whoever_is_there_then(stage: Stage) -> None:
    stage.broken()
    before, run = stage.last_seq(), asked(stage)
    refused = decided(stage, "approve", run, "--as", "operator", "--reason", "my own", good=1)
    assert "may not approve" in refused["sentence"]
    assert "asked for this run" not in stage.log(run) and not stage.effects(before)
    stage.kill_worker()
    said = decided(stage, "approve", run, "--as", "approver", "--reason", "read it")
    assert said["state"] == "queued"
    assert not stage.effects(before)
    stage.start_worker()
    assert stage.ended(run)["state"] == "succeeded", stage.log(run)
    assert stage.effects(before) == SYNCED
    assert "Approved by approver: read it" in stage.log(run)


def test_the_stop_switch_holds_an_approved_run_and_is_released_without_redis(stage: Stage) -> None:
    stage.broken()
    before, run = stage.last_seq(), asked(stage)
    decided(stage, "stop_writes", "--as", "admin", "--reason", "storage is being moved")
    decided(stage, "approve", run, "--as", "approver", "--reason", "read it")
    wait_for("it says that it waits", lambda: "admin stopped all writes" in stage.row(run)["sentence"], 60)
    assert stage.row(run)["state"] == "queued" and not stage.effects(before)
    stage.redis.stop()
    assert decided(stage, "allow_writes", "--as", "admin")["was_stopped"]
    stage.redis.start()
    assert stage.ended(run, 150)["state"] == "succeeded", stage.log(run)
    assert stage.effects(before) == SYNCED


def test_a_no_leaves_the_cluster_alone(stage: Stage) -> None:
    stage.broken()
    before, run = stage.last_seq(), asked(stage)
    assert decided(stage, "deny", run, "--as", "approver", "--reason", "not now")["state"] == "refused"
    arguments = ("run_action", "repair-grafana-in-place", "--yes", "--user", "operator", "--param", "hold_seconds=1")
    answer = decided(stage, *arguments, good=1)
    assert answer["run"] is None and "denied this plan to operator" in answer["sentence"]
    assert not stage.effects(before)
