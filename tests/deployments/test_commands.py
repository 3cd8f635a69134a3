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


CONFIG = {"apiVersion": "v1", "kind": "ConfigMap"}


def _labelled(cluster: FakeCluster) -> Run:
    """A run of set-label that succeeded."""
    meta = {"name": "board", "namespace": "platform-monitoring", "uid": "cm-1", "labels": {"a": "1"}}
    cluster.put("configmaps", {**CONFIG, "metadata": meta, "data": {}})
    params = ["kind=ConfigMap", "namespace=platform-monitoring", "name=board", "key=a", "value=2"]
    code, printed = call("run_action", "set-label", "--param", *params, "--yes", "--wait")
    assert code == 0, printed
    return Run.objects.get(pk=printed["run"])


def test_undo_shows_its_plan_and_runs_it_with_yes(cluster: FakeCluster) -> None:
    run = _labelled(cluster)
    code, plan = call("undo", str(run.number))
    assert (code, plan["action"]) == (0, "undo-run")
    assert cluster.objects["configmaps"][("platform-monitoring", "board")]["metadata"]["labels"]["a"] == "2"
    code, printed = call("undo", run.pk, "--yes", "--wait")
    assert (code, printed["state"]) == (0, "succeeded")
    assert cluster.objects["configmaps"][("platform-monitoring", "board")]["metadata"]["labels"]["a"] == "1"
    assert call("undo", run.pk)[0] == 2, "it was undone already"


def test_cancel_ends_a_run_that_nobody_has_begun(cluster: FakeCluster) -> None:
    _, printed = call("run_action", SLUG, *SHORT, "--yes")
    code, cancelled = call("cancel", printed["run"])
    assert (code, cancelled["state"]) == (0, "cancelled")
    assert call("cancel", printed["run"])[0] == 1
    assert cluster.ledger == []


def test_a_run_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(CommandError, match="There is no run 77"):
        call_command("undo", "77")


def test_the_catalogue_is_listed() -> None:
    code, printed = call("actions")
    assert code == 0
    by_slug = {action["slug"]: action for action in printed["actions"]}
    assert by_slug[SLUG]["tier"] == 1
    assert "undo-run" not in by_slug
    assert all(action["guards"] and action["undo"] and action["summary"] for action in printed["actions"]), [
        slug for slug, action in by_slug.items() if not (action["guards"] and action["undo"])
    ]
