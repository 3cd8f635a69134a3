"""Many at once: fifty clicks are one run, two approvers queue once, a limit's last place goes to one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from common.models import AuditEvent, broken_links
from deployments.approvals import approve, deny
from deployments.errors import Refusal, TargetBusy
from deployments.models import Approval, Lock, Plan, Review, Run
from deployments.services import break_glass, cancel_run, start_run
from deployments.states import RunState
from tests.deployments.conftest import make_plan, person
from tests.deployments.fake import FakeCluster
from tests.deployments.second_person import NAME, admin, approver, of_tier, policy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def together(*deeds: Callable[[], Any]) -> list[Any]:
    """Do all at the same moment, each in a thread with a connection of its own; what they gave or raised."""
    ready, found = threading.Barrier(len(deeds)), [None] * len(deeds)

    def do(index: int) -> None:
        try:
            ready.wait(30)
            found[index] = deeds[index]()
        except Exception as error:  # noqa: BLE001 - the test judges it
            found[index] = error  # type: ignore[call-overload]
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=(index,)) for index in range(len(deeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def broke(found: list[Any]) -> list[Any]:
    """What is neither an answer nor a refusal."""
    return [each for each in found if isinstance(each, Exception) and not isinstance(each, Refusal)]


@pytest.mark.parametrize("tier", [1, 3])
@pytest.mark.parametrize("same_form", [True, False])
def test_fifty_clicks_are_one_run(plan: Plan, tier: int, same_form: bool) -> None:
    ada = admin()
    of_tier(plan, tier)
    clicks = [f"form {0 if same_form else n}" for n in range(50)]
    found = together(*(lambda key=key: start_run(ada, plan.pk, key, confirm=NAME) for key in clicks))
    assert broke(found) == []
    assert {run.pk for run in found} == {Run.objects.get().pk}
    assert AuditEvent.objects.count() == 1 and broken_links() == []
    assert Lock.objects.count() == (len(plan.document["locks"]) if tier == 1 else 0)


def test_fifty_people_and_plans_for_one_target_start_one_run(cluster: FakeCluster, plan: Plan) -> None:
    plans = [plan, *(make_plan(cluster, hold_seconds=n) for n in range(2, 6))]
    users = [person(f"user-{n}", "run_tier1") for n in range(50)]
    found = together(*(lambda n=n: start_run(users[n], plans[n % len(plans)].pk, f"click {n}") for n in range(50)))
    assert broke(found) == []
    run = Run.objects.get()
    shown = Counter(each.run.pk if isinstance(each, TargetBusy) else each.pk for each in found)
    assert shown == {run.pk: 50}


def test_twenty_runs_of_twenty_targets_all_start(plan: Plan) -> None:
    ada, plans = admin(), []
    for n in range(20):
        document = {**plan.document, "locks": [f"demo//ConfigMap/x/{n}"]}
        values = {"cluster": "demo", "action": plan.action, "tier": 1, "title": "t", "created_at": plan.created_at}
        plans.append(Plan.objects.create(hash=f"{n:064x}", document=document, **values))
    found = together(*(lambda each=each: start_run(ada, each.pk, each.pk) for each in plans))
    assert broke(found) == [] and not [each for each in found if isinstance(each, Refusal)]
    assert sorted(run.number for run in found) == list(range(1, 21))
    assert broken_links() == []


def test_the_last_place_of_a_limit_goes_to_one(plan: Plan) -> None:
    policy(limits=[{"per_hour_per_person": 1}])
    ada, plans = admin(), []
    for n in range(10):
        document = {**plan.document, "locks": [f"demo//ConfigMap/x/{n}"]}
        values = {"cluster": "demo", "action": plan.action, "tier": 1, "title": "t", "created_at": plan.created_at}
        plans.append(Plan.objects.create(hash=f"{n:064x}", document=document, **values))
    found = together(*(lambda each=each: start_run(ada, each.pk, each.pk) for each in plans))
    assert broke(found) == []
    assert Run.objects.count() == 1
    assert sum(isinstance(each, Refusal) for each in found) == 9


@pytest.fixture
def asked(plan: Plan) -> Run:
    policy(approvals=[{"tiers": [3], "count": 2}])
    return start_run(admin("ada"), of_tier(plan, 3).pk, "click", confirm=NAME)


def test_ten_approvers_at_once_queue_it_once(asked: Run) -> None:
    people = [approver(f"ben-{n}") for n in range(10)]
    found = together(*(lambda who=who: approve(who, asked.pk, asked.plan_id, "read") for who in people))
    assert broke(found) == []
    asked.refresh_from_db()
    assert asked.state == RunState.QUEUED
    assert Approval.objects.count() == 2
    assert [line.text for line in asked.lines.all()].count("Queued: waiting for a worker") == 1
    assert broken_links() == []


def test_one_approver_with_twenty_tabs_is_one_approval(asked: Run) -> None:
    ben = approver()
    found = together(*[lambda: approve(ben, asked.pk, asked.plan_id, "read")] * 20)
    assert broke(found) == []
    assert Approval.objects.count() == 1
    asked.refresh_from_db()
    assert asked.state == RunState.WAITING_FOR_APPROVAL


@pytest.mark.parametrize("turn", range(5))
def test_a_yes_a_no_and_a_cancel_at_once_end_in_one_of_them(asked: Run, turn: int) -> None:
    policy(approvals=[{"tiers": [3], "count": 1}])
    ben, cleo, ada = approver("ben"), approver("cleo"), User.objects.get(username="ada")
    deeds = [
        lambda: approve(ben, asked.pk, asked.plan_id, "read"),
        lambda: deny(cleo, asked.pk, asked.plan_id, "not now"),
        lambda: cancel_run(ada, asked),
    ]
    found = together(*deeds[turn % 3 :], *deeds[: turn % 3])
    assert broke(found) == []
    asked.refresh_from_db()
    assert asked.state in (RunState.REFUSED, RunState.CANCELLED)
    assert not Lock.objects.exists()
    ends = AuditEvent.objects.filter(verb__in=["run.refused", "run.cancelled"])
    assert ends.count() == 1 and ends.get().verb == f"run.{asked.state}"
    assert broken_links() == []


def test_two_break_the_glass_at_once_and_one_review_is_open(cluster: FakeCluster, plan: Plan) -> None:
    document = {**plan.document, "locks": ["demo//ConfigMap/x/1"]}
    values = {"cluster": "demo", "action": plan.action, "tier": 3, "title": "t", "created_at": plan.created_at}
    other = Plan.objects.create(hash="f" * 64, document=document, **values)
    said = {"confirm": NAME, "reason": "the exam begins", "password": "x"}
    people = [(admin("ada"), of_tier(plan, 3)), (admin("dan"), other)]
    found = together(*(lambda who=who, what=what: break_glass(who, what.pk, "glass", **said) for who, what in people))
    assert broke(found) == []
    assert sum(isinstance(each, Refusal) for each in found) == 1
    assert Review.objects.count() == Run.objects.count() == 1
