"""`approve`, `deny`, `stop_writes`, `allow_writes`, `review`, `approvals`: the rules of the pages, JSON, exit codes."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from common.models import AuditEvent
from deployments.models import Approval, Plan, Run, WriteStop
from deployments.services import start_run
from deployments.states import RunState
from tests.deployments.conftest import carry_on
from tests.deployments.fake import FakeCluster
from tests.deployments.second_person import NAME, admin, approver, of_tier
from tests.deployments.test_glass import smash

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def one_cluster(settings: Any) -> None:
    settings.PORTAL_CLUSTER = "demo"


@pytest.fixture
def people(transactional_db: None) -> tuple[User, User]:
    return admin("ada"), approver("ben")


@pytest.fixture
def asked(plan: Plan, people: tuple[User, User]) -> Run:
    return start_run(people[0], of_tier(plan, 3).pk, "click", confirm=NAME)


def call(*arguments: str) -> tuple[int, Any]:
    """Exit code and the JSON that was printed."""
    out = io.StringIO()
    try:
        call_command(*arguments, "--json", stdout=out, stderr=io.StringIO())
    except SystemExit as left:
        return int(left.code or 0), json.loads(out.getvalue())
    return 0, json.loads(out.getvalue())


@pytest.mark.parametrize("name", ["run", "number", "plan", "short"])
def test_approve_takes_a_run_or_a_plan(asked: Run, name: str) -> None:
    names = {"run": asked.pk, "number": str(asked.number), "plan": asked.plan_id, "short": asked.plan_id[:8]}
    code, said = call("approve", names[name], "--as", "ben", "--reason", "read it")
    assert code == 0
    assert said["done"] and said["state"] == "queued" and said["missing"] == 0
    (given,) = said["approvals"]
    assert (given["by"], given["granted"], given["counts"], given["reason"]) == ("ben", True, True, "read it")
    row = AuditEvent.objects.get(verb="approval.grant")
    assert row.actor == "ben" and row.detail["via"].startswith("command of ")


def test_who_asked_does_not_approve_by_command_either(asked: Run) -> None:
    for command in ("approve", "deny"):
        code, said = call(command, asked.pk, "--as", "ada", "--reason", "my own")
        assert code == 1 and not said["done"]
        assert "asked for this run" in said["sentence"]
    assert not Approval.objects.exists()


def test_the_command_line_is_nobodys_second_person(asked: Run) -> None:
    with pytest.raises(CommandError, match="nobody's second person"):
        call("approve", asked.pk, "--as", "command-line", "--reason", "why not")
    with pytest.raises(CommandError, match="no user called eve"):
        call("approve", asked.pk, "--as", "eve", "--reason", "why not")
    with pytest.raises(CommandError, match="no run 'nothing'"):
        call("approve", "nothing", "--as", "ben", "--reason", "why not")


def test_deny_ends_it(asked: Run) -> None:
    code, said = call("deny", asked.pk, "--as", "ben", "--reason", "not now")
    assert code == 0 and said["state"] == "refused" and said["sentence"] == "Denied by ben: not now"
    assert call("deny", asked.pk, "--as", "ben", "--reason", "again")[0] == 1


def test_a_reason_is_needed(asked: Run) -> None:
    assert call("approve", asked.pk, "--as", "ben", "--reason", " ")[0] == 1


def test_stop_and_allow(people: tuple[User, User]) -> None:
    code, said = call("stop_writes", "--as", "ben", "--reason", "storage")
    assert code == 1 and not WriteStop.objects.exists()
    code, said = call("stop_writes", "--as", "ada", "--reason", "storage")
    assert code == 0 and said["by"] == "ada" and WriteStop.objects.get().reason == "storage"
    assert call("approvals")[1]["stopped"]["reason"] == "storage"
    assert call("allow_writes", "--as", "ben")[0] == 1
    assert call("allow_writes", "--as", "ada") == (
        0,
        {"done": True, "cluster": "demo", "was_stopped": True, "sentence": "Writes to demo are allowed again."},
    )
    assert call("allow_writes", "--as", "ada")[1]["was_stopped"] is False


def test_what_waits_is_listed(asked: Run) -> None:
    found = call("approvals")[1]
    assert [run["number"] for run in found["waiting"]] == [asked.number]
    assert found["waiting"][0]["wanted"] == "1 approval" and found["review"] is None
    out = io.StringIO()
    call_command("approvals", stdout=out)
    assert "asked by ada" in out.getvalue()


def test_a_review_is_closed_by_command(people: tuple[User, User], plan: Plan, cluster: FakeCluster) -> None:
    ada, _ = people
    run = carry_on(smash(ada, of_tier(plan, 3)), cluster)
    assert run.state == RunState.SUCCEEDED
    assert call("approvals")[1]["review"]["opened_by"] == "ada"
    args = ("review", str(run.number), "--finding", "as described", "--read-diff")
    assert call(*args, "--as", "ben")[0] == 1
    assert call(*args, "--read-log", "--as", "ada")[0] == 1
    code, said = call(*args, "--read-log", "--as", "ben")
    assert code == 0 and said["finding"] == "as described"
    assert call("approvals")[1]["review"] is None


def test_the_glass_is_broken_by_command_with_the_password(
    plan: Plan, people: tuple[User, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    big = of_tier(plan, 3)
    said = ("break_glass", big.pk[:8], "--as", "ada", "--reason", "Grafana is down, the exam begins", "--confirm", NAME)
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
    code, answer = call(*said, "--password-stdin")
    assert (code, answer["done"]) == (1, False) and "does not match" in answer["sentence"]
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    code, answer = call(*said, "--password-stdin")
    assert code == 0 and answer["state"] == "queued" and "waits for a review" in answer["sentence"]
    row = AuditEvent.objects.get(verb="glass.break")
    assert row.actor == "ada" and row.detail["via"].startswith("command of ")


def test_a_run_that_waits_is_named_for_broken_glass_too(asked: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    reason = "Grafana is down, the exam begins"
    code, answer = call(
        "break_glass", str(asked.number), "--as", "ada", "--reason", reason, "--confirm", NAME, "--password-stdin"
    )
    assert code == 0 and answer["run"] == asked.pk
    asked.refresh_from_db()
    assert asked.state == RunState.QUEUED


def test_without_a_terminal_the_password_comes_from_standard_input(asked: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    with pytest.raises(CommandError, match="--password-stdin"):
        call("break_glass", asked.pk, "--as", "ada", "--reason", "Grafana is down, the exam begins")
