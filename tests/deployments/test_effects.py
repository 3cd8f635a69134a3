"""Each kind of effect against a cluster in memory: made once, found again, refused when the target moved, undone."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User

from deployments.catalogue import families, registry
from deployments.catalogue.action import (
    Call,
    Condition,
    PlanDraft,
)
from deployments.catalogue.seen import Outlook, Predicate, Seen
from deployments.engine import following, planning, requests, sweep
from deployments.engine.advance import advance
from deployments.engine.cluster import Write
from deployments.models import FollowUp as FollowRow
from deployments.models import Plan, Run
from deployments.services import request_plan, start_run
from deployments.states import FollowState, RunState
from deployments.undo import refusal, request_undo
from integrations.errors import Unreachable
from monitoring.snapshot import Need, Objects, Raw
from tests.deployments.conftest import carry_on
from tests.deployments.fake import NAMESPACE, FakeCluster
from tests.deployments.one_effect import CONFIG, ONE, OneParams, board, install

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> None:
    install(monkeypatch, cluster)


def planned(cluster: FakeCluster, effect: str, **params: Any) -> Plan:
    return planning.make(cluster, ONE, OneParams(effect=effect, **params))


def accepted(cluster: FakeCluster, user: User, effect: str, **params: Any) -> Run:
    return start_run(user, planned(cluster, effect, **params).pk, "click")


def undone(run: Run, user: User, cluster: FakeCluster) -> Run:
    """The run of its undo plan."""
    request = requests.make(request_undo(user, run).pk, opener=lambda: cluster)
    assert request is not None and request.plan is not None, request and request.sentence
    return carry_on(start_run(user, request.plan.pk, "undo"), cluster)


def test_what_is_created_fills_in_person_and_time_and_is_undone_by_uid(cluster: FakeCluster, operator: User) -> None:
    run = carry_on(accepted(cluster, operator, "create"), cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    made = cluster.objects[CONFIG][(NAMESPACE, "board")]
    assert made["data"]["by"] == "olivia"
    assert made["data"]["until"].endswith("Z")
    back = undone(run, operator, cluster)
    assert back.state == RunState.SUCCEEDED, back.sentence
    assert (NAMESPACE, "board") not in cluster.objects[CONFIG]
    run.refresh_from_db()
    assert (run.state, back.undo_of_id) == (RunState.UNDONE, run.pk)


def test_what_was_created_anew_by_somebody_is_not_undone(cluster: FakeCluster, operator: User) -> None:
    run = carry_on(accepted(cluster, operator, "create"), cluster)
    cluster.put(CONFIG, board(a="theirs"))
    request = requests.make(request_undo(operator, run).pk, opener=lambda: cluster)
    assert request is not None and request.plan is not None
    assert [p["met"] for p in request.plan.preconditions if "as the run left it" in p["sentence"]] == [False]


def test_nothing_is_created_over_what_is_there(cluster: FakeCluster) -> None:
    cluster.put(CONFIG, board())
    unmet = [p["sentence"] for p in planned(cluster, "create").preconditions if not p["met"]]
    assert unmet[0] == "ConfigMap board is not there yet"


def test_what_somebody_created_meanwhile_is_refused(cluster: FakeCluster, operator: User) -> None:
    def overtaken(_write: Write) -> None:
        cluster.put(CONFIG, board(a="theirs"))

    cluster.before_write = overtaken
    run = carry_on(accepted(cluster, operator, "create"), cluster)
    assert run.state == RunState.REFUSED
    assert "created by somebody" in run.sentence
    assert cluster.objects[CONFIG][(NAMESPACE, "board")]["data"] == {"a": "theirs"}


def test_a_generated_secret_is_stored_nowhere(cluster: FakeCluster, operator: User) -> None:
    run = carry_on(accepted(cluster, operator, "secret", resource="secrets"), cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    value = cluster.objects["secrets"][(NAMESPACE, "board")]["stringData"]["admin-password"]
    assert len(value) == 32
    rows = [*Plan.objects.values(), *Run.objects.values(), *run.steps.values(), *run.lines.values()]
    assert value not in str(rows)


def test_an_apply_is_written_under_its_sets_manager_and_undone(cluster: FakeCluster, operator: User) -> None:
    cluster.put(CONFIG, board(a="1"))
    run = carry_on(accepted(cluster, operator, "apply"), cluster)
    assert cluster.ledger[0].field_manager == "portal-remediation/boards"
    assert cluster.objects[CONFIG][(NAMESPACE, "board")]["data"] == {"a": "2"}
    assert undone(run, operator, cluster).state == RunState.SUCCEEDED
    assert cluster.objects[CONFIG][(NAMESPACE, "board")]["data"] == {"a": "1"}


def test_a_patch_is_undone_field_by_field(cluster: FakeCluster, operator: User) -> None:
    cluster.put(CONFIG, board(b="was", c="stays"))
    run = carry_on(accepted(cluster, operator, "patch"), cluster)
    assert cluster.objects[CONFIG][(NAMESPACE, "board")]["data"] == {"a": "2", "c": "stays"}
    cluster.edit(CONFIG, NAMESPACE, "board", {"data": {"c": "theirs"}})
    assert undone(run, operator, cluster).state == RunState.SUCCEEDED
    assert cluster.objects[CONFIG][(NAMESPACE, "board")]["data"] == {"b": "was", "c": "theirs"}


def test_a_field_that_somebody_changed_since_is_a_conflict_of_the_undo(cluster: FakeCluster, operator: User) -> None:
    cluster.put(CONFIG, board(b="was"))
    run = carry_on(accepted(cluster, operator, "patch"), cluster)
    cluster.edit(CONFIG, NAMESPACE, "board", {"data": {"a": "3"}})
    request = requests.make(request_undo(operator, run).pk, opener=lambda: cluster)
    assert request is not None and request.plan is not None
    assert any("changed by somebody" in p["evidence"] for p in request.plan.preconditions if not p["met"])


def test_a_deletion_means_the_uid_and_is_undone_by_creating(cluster: FakeCluster, operator: User) -> None:
    cluster.put(CONFIG, board(a="1"))
    run = carry_on(accepted(cluster, operator, "delete"), cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert cluster.ledger[0].uid == "cm-1"
    assert undone(run, operator, cluster).state == RunState.SUCCEEDED
    assert cluster.objects[CONFIG][(NAMESPACE, "board")]["data"] == {"a": "1"}


def test_another_object_of_the_same_name_is_not_deleted(cluster: FakeCluster, operator: User) -> None:
    cluster.put(CONFIG, board(a="1"))
    run = accepted(cluster, operator, "delete")
    anew = board(a="1")
    anew["metadata"]["uid"] = "cm-2"
    cluster.put(CONFIG, anew)
    run = carry_on(run, cluster)
    assert run.state == RunState.REFUSED
    assert cluster.ledger == []


def test_a_budget_that_says_not_now_is_waited_for(cluster: FakeCluster, operator: User) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "board", "namespace": NAMESPACE, "uid": "p-1"}}
    cluster.put("pods", pod)
    run = accepted(cluster, operator, "evict", resource="pods")
    cluster.budget_says_no = True
    run = carry_on(run, cluster, until=lambda r: r.lines.filter(text__contains="disruption budget").exists())
    assert run.state == RunState.RUNNING
    assert run.steps.get().state == "pending"
    cluster.budget_says_no = False
    assert carry_on(run, cluster).state == RunState.SUCCEEDED
    assert len(cluster.ledger) == 1


@pytest.mark.parametrize("effect", ["create", "apply", "patch", "delete", "evict"])
def test_a_lost_answer_is_looked_up_and_never_repeated(effect: str, cluster: FakeCluster, operator: User) -> None:
    resource = "pods" if effect == "evict" else CONFIG
    if effect != "create":
        there = board(a="1")
        cluster.put(resource, {**there, "kind": "Pod" if effect == "evict" else "ConfigMap"})
    run = accepted(cluster, operator, effect, resource=resource)

    def lost(_write: Write) -> None:
        cluster.after_write = lambda write: None
        raise Unreachable("connection reset", maybe_done=True)

    cluster.after_write = lost
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert len(cluster.ledger) == 1
    assert (run.steps.get().outcome or {})["recovered"] is True


def test_a_call_is_sent_once_and_found_again(cluster: FakeCluster, operator: User) -> None:
    run = accepted(cluster, operator, "call")

    def lost(_effect: Call) -> None:
        raise Unreachable("connection reset", maybe_done=True)

    cluster.on_call = lost
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert [c.body for c in cluster.calls] == [{"comment": f"{run.pk}.1"}]


# -- what guards may look at


def _raw_says_one(snapshot: Any, _args: Any, _memory: Any) -> Seen:
    """A field of the whole object, which no struct of ours holds."""
    live = snapshot.raw(CONFIG, NAMESPACE, "board")
    met = live is None or live["data"]["a"] == "1"
    return Seen(Outlook.MET if met else Outlook.REFUSED, "it says one" if met else "it says something else")


def _name_raw_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = lambda _s, _a: (Raw(CONFIG, NAMESPACE, "board"),)  # noqa: E731
    monkeypatch.setitem(families.CONDITIONS, "test_raw_says_one", Predicate(needs, _raw_says_one))


@pytest.mark.parametrize(("says", "state"), [("1", RunState.SUCCEEDED), ("3", RunState.REFUSED)])
def test_a_guard_may_read_the_whole_object(
    says: str, state: RunState, cluster: FakeCluster, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _name_raw_guard(monkeypatch)
    cluster.put(CONFIG, board(a=says))
    run = carry_on(accepted(cluster, operator, "patch", guard="test_raw_says_one"), cluster)
    assert run.state == state, run.sentence
    assert len(cluster.ledger) == (state == RunState.SUCCEEDED)


def test_what_is_to_go_may_be_known_by_the_whole_object(
    cluster: FakeCluster, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _name_raw_guard(monkeypatch)
    cluster.put(CONFIG, board(a="1"))
    run = carry_on(accepted(cluster, operator, "patch", unless="test_raw_says_one"), cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert cluster.ledger == []


@pytest.mark.parametrize(
    "need", [Objects("pods", NAMESPACE), Objects(CONFIG), Raw(CONFIG, NAMESPACE, "other"), Raw("secrets", "a", "board")]
)
def test_an_action_whose_guard_needs_more_than_its_object_makes_no_plan(
    need: Need, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = lambda _s, _a, _m: Seen(Outlook.MET, "met")  # noqa: E731
    monkeypatch.setitem(families.CONDITIONS, "test_far", Predicate(lambda _s, _a: (need,), met))
    cluster.put(CONFIG, board(a="1"))
    for where in ("guard", "unless"):
        with pytest.raises(LookupError, match="guarded by test_far, which needs more than the object it writes"):
            planned(cluster, "patch", **{where: "test_far"})


@pytest.mark.parametrize("where", ["guard", "unless"])
def test_a_stored_plan_whose_guard_needs_more_is_refused_and_not_errored(
    where: str, cluster: FakeCluster, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an older version, which had no such check."""
    look = lambda s, _a, _m: Seen(Outlook.MET, s.get("pods", NAMESPACE, "board"))  # noqa: E731
    monkeypatch.setitem(families.CONDITIONS, "test_far", Predicate(lambda _s, _a: (), look))
    cluster.put(CONFIG, board(a="1"))
    run = carry_on(accepted(cluster, operator, "patch", **{where: "test_far"}), cluster)
    assert run.state == RunState.REFUSED, run.sentence
    assert "test_far guards “patch the board” and cannot be judged" in run.sentence
    assert cluster.ledger == []


def test_a_follow_up_is_started_by_the_sweep(cluster: FakeCluster, operator: User) -> None:
    cluster.put(CONFIG, board(b="x"))
    run = carry_on(accepted(cluster, operator, "patch", follow=1), cluster)
    row = FollowRow.objects.get()
    assert (row.run_id, row.state) == (run.pk, FollowState.WAITING)
    sweep.sweep()
    row.refresh_from_db()
    assert row.request_id is not None
    requests.make(row.request_id, opener=lambda: cluster)
    sweep.sweep()
    row.refresh_from_db()
    assert row.state == FollowState.STARTED
    assert row.started is not None and row.started.requested_by == operator


def test_what_fails_is_undone_by_itself_where_the_action_says_so(
    cluster: FakeCluster, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_snapshot: Any, _args: Any, _memory: Any) -> Seen:
        return Seen(Outlook.FAILED, "it never came up")

    def draft(snapshot: Any, params: OneParams) -> PlanDraft:
        drafted = ONE.draft(snapshot, params)
        step = msgspec.structs.replace(drafted.steps[0], until=Condition("test_never", {}))
        return msgspec.structs.replace(drafted, steps=(step,))

    monkeypatch.setitem(families.CONDITIONS, "test_never", Predicate(lambda _s, _a: (), never))
    risky = dataclasses.replace(ONE, draft=draft, undo_on_failure=True)
    monkeypatch.setitem(registry._ACTIONS, ONE.slug, risky)
    cluster.put(CONFIG, board(b="was"))
    plan = planning.make(cluster, risky, OneParams(effect="patch"))
    assert "By itself" in plan.document["undo"]
    run = carry_on(start_run(operator, plan.pk, "click"), cluster)
    assert run.state == RunState.FAILED
    assert cluster.objects[CONFIG][(NAMESPACE, "board")]["data"] == {"a": "2"}
    sweep.sweep()
    row = FollowRow.objects.select_related("request").get()
    assert row.request_id is not None
    requests.make(row.request_id, opener=lambda: cluster)
    sweep.sweep()
    row.refresh_from_db()
    assert row.started is not None, row.sentence
    assert carry_on(row.started, cluster).state == RunState.SUCCEEDED
    run.refresh_from_db()
    assert run.state == RunState.UNDONE
    assert cluster.objects[CONFIG][(NAMESPACE, "board")]["data"] == {"b": "was"}


def test_a_follow_up_without_a_right_says_so(cluster: FakeCluster, operator: User) -> None:
    cluster.put(CONFIG, board(b="x"))
    carry_on(accepted(cluster, operator, "patch", follow=1), cluster)
    operator.user_permissions.clear()
    following.carry_on()
    row = FollowRow.objects.get()
    assert row.state == FollowState.FAILED
    assert "may not" in row.sentence


def test_nobody_can_give_the_parameters_of_an_undo(operator: User) -> None:
    from deployments.errors import Unfit

    with pytest.raises(Unfit, match="cannot be asked for"):
        request_plan(operator, "undo-run", {"run": "X", "number": 1, "title": "x", "tier": 0, "parts": []})


def test_a_running_run_is_not_undone(cluster: FakeCluster, operator: User) -> None:
    run = accepted(cluster, operator, "create")
    assert "has not ended" in refusal(run)
    advance(run.pk, opener=lambda: cluster)
