"""`manage.py plan` and `manage.py run_action`: stable JSON and honest exit codes, without any worker."""

from __future__ import annotations

import io
import json
import os
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from deployments.engine import cluster as clusters
from deployments.engine import driver
from deployments.models import Run
from tests.deployments.conftest import SLUG
from tests.deployments.fake import FakeCluster

pytestmark = pytest.mark.django_db(transaction=True)
SHORT = ["--param", "hold_seconds=1", "verify_seconds=6"]


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> None:
    """The commands work on the cluster in memory, and do not wait for a worker."""
    monkeypatch.setitem(clusters._opened, os.getpid(), cluster)
    monkeypatch.setattr(driver, "PATIENCE", timedelta(0))


def call(*arguments: str) -> tuple[int, Any]:
    """Exit code and the JSON that was printed."""
    out = io.StringIO()
    try:
        call_command(*arguments, "--json", stdout=out, stderr=io.StringIO())
    except SystemExit as left:
        return int(left.code or 0), json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


def test_plan_prints_the_plan_and_says_that_it_may_run(cluster: FakeCluster) -> None:
    code, plan = call("plan", SLUG)
    assert code == 0
    assert plan["action"] == SLUG and len(plan["hash"]) == 64
    assert [s["verb"] for s in plan["steps"]] == ["refresh", "compare", "sync", "wait", "sync"]
    assert cluster.ledger == []


def test_planning_twice_gives_the_same_hash() -> None:
    assert call("plan", SLUG)[1]["hash"] == call("plan", SLUG)[1]["hash"]


def test_an_unmet_precondition_is_an_exit_code(cluster: FakeCluster) -> None:
    cluster.app()["metadata"]["deletionTimestamp"] = "2025-11-23T14:00:00Z"
    code, plan = call("plan", SLUG)
    assert code == 1
    assert [p["sentence"] for p in plan["preconditions"] if not p["met"]]


def test_a_cluster_that_does_not_answer_is_one_sentence(cluster: FakeCluster) -> None:
    cluster.silent = True
    code, answer = call("plan", SLUG)
    assert code == 2
    assert "does not answer" in answer["error"]


@pytest.mark.parametrize(("action", "param"), [("no-such", "a=b"), (SLUG, "colour=red"), (SLUG, "hold_seconds=soon")])
def test_nonsense_is_refused_before_anything_is_read(action: str, param: str) -> None:
    code, answer = call("plan", action, "--param", param)
    assert code == 2 and answer["error"]


def test_a_parameter_without_a_value_is_explained() -> None:
    with pytest.raises(CommandError, match="name=value"):
        call("plan", SLUG, "--param", "release")


def test_nothing_runs_without_yes(cluster: FakeCluster) -> None:
    with pytest.raises(CommandError, match="--yes"):
        call("run_action", SLUG)
    assert Run.objects.count() == 0


def test_run_action_carries_the_run_itself_and_exits_zero_only_when_verified(cluster: FakeCluster) -> None:
    code, run = call("run_action", SLUG, "--yes", "--wait", *SHORT)
    assert code == 0, run
    assert run["state"] == "succeeded"
    assert {v["word"] for v in run["verification"]} == {"verified"}
    assert len(cluster.ledger) == 3


def test_a_run_that_is_not_verified_exits_one(cluster: FakeCluster) -> None:
    cluster.grafana_answers = False
    code, run = call("run_action", SLUG, "--yes", "--wait", *SHORT)
    assert code == 1 and run["state"] == "failed"


def test_a_refused_run_exits_one_and_changes_nothing(cluster: FakeCluster) -> None:
    cluster.forbidden = {"patch"}
    code, run = call("run_action", SLUG, "--yes", "--wait", *SHORT)
    assert code == 1 and run["state"] == "refused" and "writing identity" in run["sentence"]
    assert cluster.ledger == []


def test_without_wait_nothing_is_claimed_to_be_done(cluster: FakeCluster) -> None:
    code, run = call("run_action", SLUG, "--yes", *SHORT)
    assert code == 1 and run["state"] == "queued"
    assert cluster.ledger == []


def test_the_command_line_user_cannot_sign_in() -> None:
    call("plan", SLUG)
    assert not User.objects.get(username="command-line").has_usable_password()
