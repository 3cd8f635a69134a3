"""What holds runs back: the stop switch, freeze windows, rate limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from common.clock import now as clock_now
from common.models import AuditEvent
from deployments import approvals
from deployments.engine.cluster import Write
from deployments.errors import NotAllowed, TooOften, Unfit
from deployments.models import Lock, Plan, Run, WriteStop
from deployments.services import cancel_run, start_run
from deployments.states import RunState
from deployments.stops import allow_writes, stop_writes
from tests.deployments.conftest import carry_on, make_plan, person
from tests.deployments.fake import FakeCluster
from tests.deployments.second_person import NAME, Clock, admin, approver, first_look, of_tier, policy

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


@pytest.fixture(autouse=True)
def one_cluster(settings: Any) -> None:
    """The stop switch is of the portal's cluster; the plans here are of the one in memory."""
    settings.PORTAL_CLUSTER = "demo"


def local(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")


def freeze_for(clock: Clock, **length: float) -> datetime:
    """A freeze from a minute ago on; returns its end."""
    begins, ends = clock() - timedelta(minutes=1), (clock() + timedelta(**length)).replace(microsecond=0)
    policy(freezes=[{"name": "exam", "reason": "Exam week", "from": local(begins), "to": local(ends)}])
    return ends


# -- the stop switch


def test_a_queued_run_is_held_and_goes_on_when_writes_are_allowed(run: Run, cluster: FakeCluster) -> None:
    ada = admin()
    stop_writes(ada, "storage is being moved")
    run = first_look(run)
    assert run.state == RunState.QUEUED and run.lease_until is None and run.wake_at is not None
    assert run.sentence == "Waiting: ada stopped all writes to demo: storage is being moved"
    assert Lock.objects.exists()
    assert first_look(run).line_count == run.line_count, "said once"
    allow_writes(ada)
    assert carry_on(run, cluster).state == RunState.SUCCEEDED


def test_a_run_between_two_effects_is_held_as_well(run: Run, cluster: FakeCluster) -> None:
    ada = admin()

    def press(write: Write) -> None:
        stop_writes(ada, "enough")

    cluster.after_write = press
    run = carry_on(run, cluster, until=lambda r: r.sentence.startswith("Waiting: ada stopped"))
    assert len(cluster.ledger) == 1 and run.state == RunState.RUNNING
    cluster.after_write = lambda write: None
    allow_writes(ada)
    assert carry_on(run, cluster).state == RunState.SUCCEEDED


def test_no_effect_follows_a_press_while_the_target_is_read(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, read = admin(), cluster.get

    def slow(resource: str, namespace: str, name: str) -> Any:
        """The switch is pressed between the question whether it is on and the answer about the target."""
        if not WriteStop.objects.exists() and Run.objects.get(pk=run.pk).prepared_at is not None:
            stop_writes(ada, "enough")
        return read(resource, namespace, name)

    monkeypatch.setattr(cluster, "get", slow)
    run = carry_on(run, cluster, until=lambda r: r.sentence.startswith("Waiting: ada stopped"))
    assert cluster.ledger == []
    assert not run.steps.filter(intent_at__isnull=False).exists()


def test_a_write_that_a_crash_left_open_is_not_made_while_writes_are_stopped(run: Run, cluster: FakeCluster) -> None:
    class Died(BaseException):
        pass

    def die(write: Write) -> None:
        raise Died

    cluster.before_write = die
    with pytest.raises(Died):
        carry_on(run, cluster)
    assert run.steps.filter(state="intent").exists() and cluster.ledger == []
    cluster.before_write = lambda write: None
    ada = admin()
    stop_writes(ada, "enough")
    Run.objects.filter(pk=run.pk).update(lease_until=clock_now() - timedelta(seconds=1))
    run = carry_on(run, cluster, until=lambda r: r.sentence.startswith("Waiting: ada stopped"))
    assert cluster.ledger == []
    allow_writes(ada)
    assert carry_on(run, cluster).state == RunState.SUCCEEDED
    assert len(cluster.ledger) == 3


def test_a_held_run_can_be_cancelled(run: Run, operator: User) -> None:
    stop_writes(admin(), "storage")
    first_look(run)
    assert cancel_run(operator, run).state == RunState.CANCELLED


def test_only_who_may_stops_writes_and_with_a_reason(operator: User) -> None:
    for press in (lambda: stop_writes(operator, "because"), lambda: allow_writes(operator)):
        with pytest.raises(NotAllowed):
            press()
    with pytest.raises(Unfit, match="Say why"):
        stop_writes(admin(), " ")
    assert not WriteStop.objects.exists() and not AuditEvent.objects.exists()


def test_pressing_it_twice_keeps_the_first_reason_and_one_audit_row() -> None:
    ada = admin()
    stop_writes(ada, "first")
    assert stop_writes(admin("dan"), "second").reason == "first"
    assert allow_writes(ada) and not allow_writes(ada)
    assert list(AuditEvent.objects.values_list("verb", flat=True)) == ["writes.stop", "writes.allow"]


# -- freezes


def test_a_queued_run_waits_for_the_end_of_a_freeze_and_says_until_when(run: Run, clock: Clock) -> None:
    ends = freeze_for(clock, hours=2)
    run = first_look(run)
    assert run.state == RunState.QUEUED
    assert run.sentence == f"Waiting: freeze “exam” until {ends.day} {ends:%b %H:%M} UTC: Exam week"
    assert any("freeze “exam”" in line.text and line.level == "warn" for line in run.lines.all())
    clock.turn(hours=1)
    assert first_look(run).state == RunState.QUEUED
    clock.turn(hours=1, minutes=1)
    assert first_look(run).state == RunState.RUNNING


def test_a_freeze_that_is_taken_away_holds_no_longer(run: Run, clock: Clock) -> None:
    freeze_for(clock, hours=2)
    held = first_look(run)
    assert held.wake_at is not None and held.wake_at - clock() < timedelta(seconds=16)
    policy()
    assert first_look(run).state == RunState.RUNNING


def test_a_freeze_of_other_tiers_holds_nothing(run: Run, clock: Clock) -> None:
    now = clock()
    window = {"from": local(now - timedelta(minutes=1)), "to": local(now + timedelta(hours=1))}
    policy(freezes=[{"name": "n", "reason": "r", "tiers": [2, 3], **window}])
    assert first_look(run).state == RunState.RUNNING


def test_a_run_that_has_changed_something_goes_on_in_a_freeze(run: Run, cluster: FakeCluster, clock: Clock) -> None:
    def begin_freeze(write: Write) -> None:
        freeze_for(clock, hours=2)

    cluster.after_write = begin_freeze
    assert carry_on(run, cluster).state == RunState.SUCCEEDED
    assert len(cluster.ledger) == 3


def test_a_run_that_began_and_changed_nothing_is_held(run: Run, cluster: FakeCluster, clock: Clock) -> None:
    assert first_look(run).state == RunState.RUNNING
    freeze_for(clock, hours=2)
    run = carry_on(run, cluster, until=lambda r: "freeze" in r.sentence)
    assert run.state == RunState.RUNNING and cluster.ledger == []
    policy()
    assert carry_on(run, cluster).state == RunState.SUCCEEDED


def test_an_approval_that_expires_in_a_freeze_must_be_given_again(plan: Plan, clock: Clock) -> None:
    ada, ben = admin(), approver()
    run = start_run(ada, of_tier(plan, 3).pk, "click", confirm=NAME)
    approvals.approve(ben, run.pk, run.plan_id, "fine")
    freeze_for(clock, hours=2)
    assert first_look(run).state == RunState.QUEUED
    clock.turn(hours=2, minutes=1)
    run = first_look(run)
    assert run.state == RunState.WAITING_FOR_APPROVAL
    assert "ben expired" in run.sentence and not Lock.objects.exists()


# -- rate limits


def ended(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED.value, started_at=run.requested_at)
    run.locks.all().delete()


def test_an_action_runs_so_often_on_a_target_within_an_hour(plan: Plan, operator: User, clock: Clock) -> None:
    policy(limits=[{"per_hour_per_target": 2}])
    for click in ("one", "two"):
        ended(start_run(operator, plan.pk, click))
        clock.turn(minutes=10)
    with pytest.raises(TooOften, match=r"ran 2 times on Application/argocd/kube-prometheus-stack within an hour"):
        start_run(person("otto", "run_tier1"), plan.pk, "three")
    clock.turn(minutes=39)
    with pytest.raises(TooOften):
        start_run(operator, plan.pk, "four")
    clock.turn(minutes=2)
    assert start_run(operator, plan.pk, "five").state == RunState.QUEUED


def test_an_action_runs_so_often_for_a_person(plan: Plan, operator: User) -> None:
    policy(limits=[{"per_hour_per_person": 1, "actions": [plan.action]}])
    ended(start_run(operator, plan.pk, "one"))
    with pytest.raises(TooOften, match="ran once by olivia"):
        start_run(operator, plan.pk, "two")
    assert start_run(person("otto", "run_tier1"), plan.pk, "his").state == RunState.QUEUED


def test_the_same_click_again_is_no_second_run_to_be_limited(plan: Plan, operator: User) -> None:
    policy(limits=[{"per_hour_per_person": 1}])
    run = start_run(operator, plan.pk, "one")
    assert start_run(operator, plan.pk, "one").pk == run.pk


def test_what_never_began_does_not_count(plan: Plan, operator: User) -> None:
    policy(limits=[{"per_hour_per_person": 1}])
    cancel_run(operator, start_run(operator, plan.pk, "one"))
    assert start_run(operator, plan.pk, "two").state == RunState.QUEUED


def test_a_limit_of_another_action_or_tier_does_not_count(plan: Plan, operator: User, cluster: FakeCluster) -> None:
    policy(
        limits=[{"per_hour_per_person": 1, "actions": ["restart-workload"]}, {"per_hour_per_person": 1, "tiers": [3]}]
    )
    ended(start_run(operator, plan.pk, "one"))
    assert start_run(operator, make_plan(cluster, hold_seconds=2).pk, "two").state == RunState.QUEUED
