"""A second person's yes: who may say it, what it is of, how long it stands, and what a no means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from common.clock import now
from common.models import AuditEvent, broken_links
from deployments import approvals
from deployments.approvals import approve, deny
from deployments.engine import sweep
from deployments.errors import NotAllowed, TargetBusy, Unconfirmed, Unfit
from deployments.models import Approval, Lock, Plan, PlanRequest, Run
from deployments.services import cancel_run, request_plan, start_run
from deployments.states import RequestState, RunState
from tests.deployments.conftest import SLUG, carry_on, make_plan, person
from tests.deployments.fake import FakeCluster
from tests.deployments.second_person import Clock, admin, approver, first_look, joined, of_tier, policy

pytestmark = pytest.mark.django_db(transaction=True)
NAME = "kube-prometheus-stack"
WHY = "I have read the diff"


@pytest.fixture
def ada(transactional_db: None) -> User:
    """Asks."""
    return admin("ada")


@pytest.fixture
def ben(transactional_db: None) -> User:
    """Approves."""
    return approver("ben", "approver")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


@pytest.fixture
def asked(plan: Plan, ada: User) -> Run:
    """A tier 3 run that waits for a second person."""
    return start_run(ada, of_tier(plan, 3).pk, "click", confirm=NAME)


def verbs() -> list[str]:
    return list(AuditEvent.objects.values_list("verb", flat=True))


# -- who needs it


@pytest.mark.parametrize(("tier", "production", "waits"), [(1, True, False), (2, False, False), (2, True, True)])
def test_tiers_that_wait(plan: Plan, ada: User, tier: int, production: bool, waits: bool, settings: object) -> None:
    settings.PORTAL_PRODUCTION = production  # type: ignore[attr-defined]
    run = start_run(ada, of_tier(plan, tier).pk, "click")
    assert (run.state == RunState.WAITING_FOR_APPROVAL) is waits


def test_a_destructive_plan_waits_and_holds_no_target(asked: Run) -> None:
    assert asked.state == RunState.WAITING_FOR_APPROVAL
    assert "1 approval" in asked.sentence and "none given" in asked.sentence
    assert asked.wake_at is None and asked.waiting_until is not None
    assert not Lock.objects.exists()
    assert verbs() == ["run.ask"]


def test_a_waiting_run_is_not_begun_by_any_worker(asked: Run, cluster: FakeCluster) -> None:
    assert first_look(asked).state == RunState.WAITING_FOR_APPROVAL
    sweep.sweep()
    assert cluster.ledger == []


def test_another_plan_on_the_same_target_may_run_meanwhile(asked: Run, operator: User, cluster: FakeCluster) -> None:
    other = start_run(operator, make_plan(cluster, hold_seconds=2).pk, "urgent")
    assert other.state == RunState.QUEUED


def test_the_target_must_be_typed_before_a_destructive_plan_runs(plan: Plan, ada: User) -> None:
    of_tier(plan, 3)
    for typed in ("", "kube-prometheus", "KUBE-PROMETHEUS-STACK", f"x{NAME}"):
        with pytest.raises(Unconfirmed, match=NAME):
            start_run(ada, plan.pk, f"click {typed}", confirm=typed)
    assert not Run.objects.exists()
    plan.document["confirm"] = "payments"
    plan.save()
    with pytest.raises(Unconfirmed, match="payments"):
        start_run(ada, plan.pk, "click", confirm=NAME)
    assert start_run(ada, plan.pk, "click", confirm="payments").state == RunState.WAITING_FOR_APPROVAL


# -- yes


def test_the_last_yes_queues_the_run_by_itself_and_it_runs(asked: Run, ben: User, cluster: FakeCluster) -> None:
    run = approve(ben, asked.pk, asked.plan_id, WHY)
    assert run.state == RunState.QUEUED
    assert set(Lock.objects.values_list("target_key", flat=True)) == set(run.plan.document["locks"])
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert verbs() == ["run.ask", "approval.grant", "run.succeeded"]
    assert AuditEvent.objects.get(verb="approval.grant").detail["reason"] == WHY
    assert any(line.text == f"Approved by ben: {WHY}" for line in run.lines.all())
    numbers = list(run.lines.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, run.line_count + 1))
    assert broken_links() == []


def tries(asked: Run) -> dict[str, Callable[[User], object]]:
    """Ways by which a person could say yes."""
    return {
        "page": lambda user: approve(user, asked.pk, asked.plan_id, WHY),
        "command": lambda user: approve(user, asked.pk, asked.plan_id, WHY, via="command"),
        "second session": lambda user: approve(User.objects.get(pk=user.pk), asked.pk, asked.plan_id, WHY),
        "no": lambda user: deny(user, asked.pk, asked.plan_id, WHY),
    }


@pytest.mark.parametrize("way", ["page", "command", "second session", "no"])
def test_who_asked_never_decides(asked: Run, ada: User, way: str) -> None:
    with pytest.raises(NotAllowed, match="asked for this run"):
        tries(asked)[way](ada)
    assert not Approval.objects.exists()
    asked.refresh_from_db()
    assert asked.state == RunState.WAITING_FOR_APPROVAL
    refused = AuditEvent.objects.get(verb__in=["approval.refused", "denial.refused"])
    assert refused.actor == "ada" and refused.object == f"run:{asked.pk}"


def test_not_even_a_superuser_approves_what_they_asked_for(plan: Plan) -> None:
    root = User.objects.create_superuser("root")
    run = start_run(root, of_tier(plan, 3).pk, "click", confirm=NAME)
    with pytest.raises(NotAllowed):
        approve(root, run.pk, run.plan_id, WHY)


def planned_by(user: User, plan: Plan) -> None:
    wish = request_plan(user, SLUG, {}, "", "")
    PlanRequest.objects.filter(pk=wish.pk).update(plan=plan, state=RequestState.PLANNED.value)


def test_who_made_the_plan_last_does_not_approve_it(plan: Plan, ada: User, ben: User) -> None:
    planned_by(ben, plan)
    run = start_run(ada, of_tier(plan, 3).pk, "click", confirm=NAME)
    with pytest.raises(NotAllowed, match="ben made this plan"):
        approve(ben, run.pk, run.plan_id, WHY)


def test_who_makes_the_same_plan_afterwards_to_look_at_it_may_approve(asked: Run, ben: User, plan: Plan) -> None:
    planned_by(ben, plan)
    assert approve(ben, asked.pk, asked.plan_id, WHY).state == RunState.QUEUED


def test_who_may_not_approve_does_not(asked: Run, operator: User, viewer: User) -> None:
    for user in (operator, viewer):
        with pytest.raises(NotAllowed, match="may not approve"):
            approve(user, asked.pk, asked.plan_id, WHY)
        with pytest.raises(NotAllowed, match="may not approve"):
            deny(user, asked.pk, asked.plan_id, WHY)
    assert not Approval.objects.exists()


def test_rights_are_those_of_the_moment_not_of_the_session(asked: Run, ben: User) -> None:
    assert ben.has_perm("deployments.approve_plan")
    User.objects.get(pk=ben.pk).user_permissions.clear()
    with pytest.raises(NotAllowed):
        approve(ben, asked.pk, asked.plan_id, WHY)
    User.objects.filter(pk=ben.pk).update(is_active=False)
    with pytest.raises(NotAllowed, match="disabled"):
        approve(ben, asked.pk, asked.plan_id, WHY)


@pytest.mark.parametrize("reason", ["", "   ", "ok"])
def test_a_yes_and_a_no_carry_a_reason(asked: Run, ben: User, reason: str) -> None:
    for decide in (approve, deny):
        with pytest.raises(Unfit, match="Say why"):
            decide(ben, asked.pk, asked.plan_id, reason)


def test_what_a_person_types_is_kept_without_credentials_and_deceit(asked: Run, ben: User) -> None:
    approve(ben, asked.pk, asked.plan_id, "password=canary-Pa55word \u202edeceit\n second line")
    stored = [*Approval.objects.values(), *AuditEvent.objects.values(), *asked.lines.values(), *Run.objects.values()]
    assert "canary-Pa55word" not in str(stored)
    assert "\u202e" not in Approval.objects.get().reason and "\n" not in Approval.objects.get().reason


def test_one_run_that_breaks_the_sweep_keeps_it_from_no_other(
    asked: Run, ben: User, cluster: FakeCluster, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = start_run(admin("dan"), of_tier(make_plan(cluster, hold_seconds=2), 3).pk, "other", confirm=NAME)
    real = approvals._look_at

    def breaks(run: Run, moment: datetime) -> None:
        if run.pk == asked.pk:
            raise RuntimeError("poison")
        real(run, moment)

    monkeypatch.setattr(approvals, "_look_at", breaks)
    clock.turn(hours=25)
    sweep.sweep()
    other.refresh_from_db()
    asked.refresh_from_db()
    assert other.state == RunState.REFUSED and asked.state == RunState.WAITING_FOR_APPROVAL


def test_a_yes_is_of_the_plan_that_was_read(asked: Run, ben: User, cluster: FakeCluster) -> None:
    other = make_plan(cluster, hold_seconds=2)
    for decide in (approve, deny):
        with pytest.raises(Unfit, match="not of the one you read"):
            decide(ben, asked.pk, other.pk, WHY)
    with pytest.raises(Unfit, match="no such run"):
        approve(ben, "0" * 26, asked.plan_id, WHY)


def test_the_same_yes_twice_is_one(asked: Run, ben: User) -> None:
    policy(approvals=[{"tiers": [3], "count": 2}])
    approve(ben, asked.pk, asked.plan_id, WHY)
    run = approve(ben, asked.pk, asked.plan_id, "and once more")
    assert run.state == RunState.WAITING_FOR_APPROVAL
    assert Approval.objects.count() == 1 and verbs().count("approval.grant") == 1


def test_the_database_counts_a_person_once_too(asked: Run, ben: User) -> None:
    policy(approvals=[{"tiers": [3], "count": 2}])
    approve(ben, asked.pk, asked.plan_id, WHY)
    standing = Approval.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.create(
            run=asked, plan_id=asked.plan_id, by=ben, granted=True, reason="x", at=now(), expires_at=standing.expires_at
        )


def test_a_plan_that_no_longer_fits_is_not_approved(asked: Run, ben: User) -> None:
    Plan.objects.update(moved="spec.replicas was 1, is 2.")
    with pytest.raises(Unfit, match="no longer fits"):
        approve(ben, asked.pk, asked.plan_id, WHY)


def test_two_of_three(asked: Run, ben: User) -> None:
    policy(approvals=[{"tiers": [3], "count": 2, "from": ["approver", "admin"]}])
    run = approve(ben, asked.pk, asked.plan_id, WHY)
    assert run.state == RunState.WAITING_FOR_APPROVAL
    run.refresh_from_db()
    assert run.sentence == "Waiting for 2 approvals by approver or admin; 1 given."
    with pytest.raises(NotAllowed, match="none of the groups"):
        approve(person("cleo", "approve_plan"), asked.pk, asked.plan_id, WHY)
    assert approve(joined(admin("dan"), "admin"), asked.pk, asked.plan_id, WHY).state == RunState.QUEUED


def test_a_yes_that_fills_no_empty_seat_is_refused(asked: Run, ben: User) -> None:
    policy(approvals=[{"tiers": [3], "from": ["approver"]}, {"tiers": [3], "from": ["security"]}])
    approve(ben, asked.pk, asked.plan_id, WHY)
    with pytest.raises(Unfit, match="fills no seat"):
        approve(approver("cleo", "approver"), asked.pk, asked.plan_id, WHY)
    both = approver("sam", "security")
    assert approve(both, asked.pk, asked.plan_id, WHY).state == RunState.QUEUED


def test_every_policy_of_a_cluster_must_be_met(asked: Run, ben: User) -> None:
    from deployments import policies
    from deployments.policy import ApprovalRule, Policy

    policies.keep("demo", "one", Policy(approvals=(ApprovalRule(tiers=(3,), groups=("approver",)),)), "test")
    policies.keep("demo", "two", Policy(approvals=(ApprovalRule(tiers=(3,), count=2),)), "test")
    assert approve(ben, asked.pk, asked.plan_id, WHY).state == RunState.WAITING_FOR_APPROVAL
    assert approve(approver("cleo"), asked.pk, asked.plan_id, WHY).state == RunState.QUEUED


def test_a_yes_is_for_one_run_alone(asked: Run, ada: User, ben: User) -> None:
    approve(ben, asked.pk, asked.plan_id, WHY)
    cancel_run(ada, asked)
    again = start_run(ada, asked.plan_id, "again", confirm=NAME)
    assert again.pk != asked.pk and again.state == RunState.WAITING_FOR_APPROVAL
    with pytest.raises(Unfit, match="Too late"):
        approve(approver("cleo"), asked.pk, asked.plan_id, WHY)


def test_edited_parameters_are_another_plan_that_nobody_has_approved(
    asked: Run, ada: User, ben: User, cluster: FakeCluster
) -> None:
    approve(ben, asked.pk, asked.plan_id, WHY)
    cancel_run(ada, asked)
    edited = of_tier(make_plan(cluster, hold_seconds=5), 3)
    run = start_run(ada, edited.pk, "edited", confirm=NAME)
    assert run.state == RunState.WAITING_FOR_APPROVAL
    assert approvals.standing(run, now()).missing == 1


def test_asking_twice_shows_the_run_that_waits(asked: Run, ada: User) -> None:
    assert start_run(ada, asked.plan_id, "another click", confirm=NAME).pk == asked.pk
    assert start_run(admin("dan"), asked.plan_id, "another click", confirm=NAME).pk == asked.pk
    assert Run.objects.count() == 1


# -- time


def test_a_yes_expires_while_others_are_missing(asked: Run, ben: User, clock: Clock) -> None:
    policy(approvals=[{"tiers": [3], "count": 2}], approval_minutes=30)
    approve(ben, asked.pk, asked.plan_id, WHY)
    clock.turn(minutes=29)
    sweep.sweep()
    assert Approval.objects.get().lapsed_at is None
    clock.turn(minutes=2)
    sweep.sweep()
    asked.refresh_from_db()
    assert Approval.objects.get().lapsed_at is not None
    assert asked.sentence == "Waiting for 2 approvals; none given."
    assert "approval.expired" in verbs()
    assert any("The approval of ben expired" in line.text for line in asked.lines.all())
    dan = admin("dan")
    assert approve(dan, asked.pk, asked.plan_id, WHY).state == RunState.WAITING_FOR_APPROVAL
    assert approve(ben, asked.pk, asked.plan_id, "still right").state == RunState.QUEUED


def test_what_was_approved_and_expired_before_it_began_waits_again(
    asked: Run, ben: User, clock: Clock, cluster: FakeCluster
) -> None:
    approve(ben, asked.pk, asked.plan_id, WHY)
    clock.turn(minutes=31)
    run = first_look(asked)
    assert run.state == RunState.WAITING_FOR_APPROVAL
    assert "ben expired" in run.sentence
    assert not Lock.objects.exists() and run.lease_until is None and run.waiting_until is not None
    assert "approval.void" in verbs()
    assert cluster.ledger == []
    assert approve(ben, run.pk, run.plan_id, "again").state == RunState.QUEUED
    assert first_look(run).state == RunState.RUNNING


def test_nobody_answers_and_the_run_ends(asked: Run, ada: User, clock: Clock) -> None:
    clock.turn(hours=23, minutes=59)
    sweep.sweep()
    asked.refresh_from_db()
    assert asked.state == RunState.WAITING_FOR_APPROVAL
    clock.turn(minutes=2)
    sweep.sweep()
    asked.refresh_from_db()
    assert asked.state == RunState.REFUSED
    assert "Nobody approved it within" in asked.sentence
    assert {step.state for step in asked.steps.all()} == {"skipped"}
    assert start_run(ada, asked.plan_id, "again", confirm=NAME).state == RunState.WAITING_FOR_APPROVAL


def test_the_policys_own_times_hold(plan: Plan, ada: User, ben: User, clock: Clock) -> None:
    policy(approvals=[{"tiers": [3]}], approval_minutes=5, waiting_minutes=60)
    run = start_run(ada, of_tier(plan, 3).pk, "click", confirm=NAME)
    assert run.waiting_until is not None and run.waiting_until - run.requested_at == timedelta(minutes=60)
    approve(ben, run.pk, run.plan_id, WHY)
    given = Approval.objects.get()
    assert given.expires_at - given.at == timedelta(minutes=5)


# -- again when it begins


def test_an_approver_who_was_disabled_no_longer_counts(asked: Run, ben: User) -> None:
    approve(ben, asked.pk, asked.plan_id, WHY)
    User.objects.filter(pk=ben.pk).update(is_active=False)
    run = first_look(asked)
    assert run.state == RunState.WAITING_FOR_APPROVAL
    assert "ben is disabled" in run.sentence


def test_an_approver_who_lost_the_right_no_longer_counts(asked: Run, ben: User) -> None:
    approve(ben, asked.pk, asked.plan_id, WHY)
    ben.user_permissions.clear()
    run = first_look(asked)
    assert run.state == RunState.WAITING_FOR_APPROVAL
    assert "ben may no longer approve" in run.sentence


def test_an_approver_who_left_the_group_no_longer_counts(asked: Run, ben: User) -> None:
    policy(approvals=[{"tiers": [3], "from": ["approver"]}])
    approve(ben, asked.pk, asked.plan_id, WHY)
    ben.groups.clear()
    assert first_look(asked).state == RunState.WAITING_FOR_APPROVAL


def test_a_requester_who_lost_the_right_ends_the_run(asked: Run, ada: User, ben: User) -> None:
    approve(ben, asked.pk, asked.plan_id, WHY)
    ada.user_permissions.clear()
    run = first_look(asked)
    assert run.state == RunState.REFUSED
    assert "ada may no longer run tier 3 plans" in run.sentence
    assert not Lock.objects.exists()


def test_a_right_lost_between_begin_and_the_first_effect_stops_it(asked: Run, ben: User, cluster: FakeCluster) -> None:
    run = approve(ben, asked.pk, asked.plan_id, WHY)
    run = first_look(run)
    assert run.state == RunState.RUNNING
    ben.user_permissions.clear()
    run = carry_on(run, cluster)
    assert run.state == RunState.REFUSED
    assert "ben may no longer approve" in run.sentence
    assert cluster.ledger == []


def test_a_policy_that_grew_stricter_holds_for_what_was_approved_before(asked: Run, ben: User) -> None:
    approve(ben, asked.pk, asked.plan_id, WHY)
    policy(approvals=[{"tiers": [3], "count": 2}])
    run = first_look(asked)
    assert run.state == RunState.WAITING_FOR_APPROVAL
    assert approve(admin("dan"), run.pk, run.plan_id, WHY).state == RunState.QUEUED


def test_a_target_that_moved_after_the_yes_is_refused(asked: Run, ben: User, cluster: FakeCluster) -> None:
    run = approve(ben, asked.pk, asked.plan_id, WHY)
    cluster.edit("applications.argoproj.io", "argocd", NAME, {"spec": {"project": "other"}})
    run = carry_on(run, cluster)
    assert run.state == RunState.REFUSED
    assert cluster.ledger == []


# -- the targets are taken with the last yes


def test_an_approved_run_waits_for_its_target_and_goes_on_by_itself(
    plan: Plan, ada: User, ben: User, operator: User, cluster: FakeCluster
) -> None:
    run = start_run(ada, of_tier(plan, 3).pk, "click", confirm=NAME)
    other = start_run(operator, make_plan(cluster, hold_seconds=2).pk, "urgent")
    approve(ben, run.pk, run.plan_id, WHY)
    run.refresh_from_db()
    assert run.state == RunState.WAITING_FOR_APPROVAL
    assert run.sentence.startswith(f"Approved; waiting until run {other.number} ends, which works on {NAME}")
    assert set(Lock.objects.values_list("run", flat=True)) == {other.pk}
    cancel_run(operator, other)
    sweep.sweep()
    run.refresh_from_db()
    assert run.state == RunState.QUEUED
    assert set(Lock.objects.values_list("run", flat=True)) == {run.pk}


def test_a_target_at_work_cannot_be_asked_for(plan: Plan, ada: User, operator: User, cluster: FakeCluster) -> None:
    other = start_run(operator, make_plan(cluster, hold_seconds=2).pk, "first")
    with pytest.raises(TargetBusy) as busy:
        start_run(ada, of_tier(plan, 3).pk, "click", confirm=NAME)
    assert busy.value.run.pk == other.pk


# -- no


def test_a_no_ends_the_run_and_is_terminal_for_who_asked(asked: Run, ada: User, ben: User) -> None:
    run = deny(ben, asked.pk, asked.plan_id, "Not before the exam")
    assert run.state == RunState.REFUSED
    assert run.sentence == "Denied by ben: Not before the exam"
    assert verbs() == ["run.ask", "approval.deny", "run.refused"]
    with pytest.raises(Unfit, match="ben denied this plan to ada .*: Not before the exam"):
        start_run(ada, asked.plan_id, "again", confirm=NAME)
    with pytest.raises(Unfit, match="Too late"):
        approve(admin("dan"), asked.pk, asked.plan_id, WHY)


def test_a_no_is_for_its_plan_and_requester_alone(asked: Run, ada: User, ben: User, cluster: FakeCluster) -> None:
    deny(ben, asked.pk, asked.plan_id, "Not this way")
    other = of_tier(make_plan(cluster, hold_seconds=2), 3)
    assert start_run(ada, other.pk, "another plan", confirm=NAME).state == RunState.WAITING_FOR_APPROVAL
    assert start_run(admin("dan"), asked.plan_id, "mine", confirm=NAME).state == RunState.WAITING_FOR_APPROVAL


def test_one_no_outweighs_every_yes(asked: Run, ben: User) -> None:
    policy(approvals=[{"tiers": [3], "count": 2}])
    approve(ben, asked.pk, asked.plan_id, WHY)
    assert deny(admin("dan"), asked.pk, asked.plan_id, "Wrong cluster").state == RunState.REFUSED


def test_who_said_yes_may_take_it_back_until_it_begins(asked: Run, ben: User) -> None:
    run = approve(ben, asked.pk, asked.plan_id, WHY)
    assert deny(ben, run.pk, run.plan_id, "I misread it").state == RunState.REFUSED
    assert not Lock.objects.exists()


def test_a_no_after_it_began_is_too_late(asked: Run, ben: User) -> None:
    run = first_look(approve(ben, asked.pk, asked.plan_id, WHY))
    with pytest.raises(Unfit, match="Too late: run 1 is running"):
        deny(ben, run.pk, run.plan_id, "stop")


def test_a_waiting_run_can_be_cancelled(asked: Run, ada: User, ben: User) -> None:
    assert cancel_run(ada, asked).state == RunState.CANCELLED
    with pytest.raises(Unfit, match="Too late"):
        approve(ben, asked.pk, asked.plan_id, WHY)


def test_a_stored_policy_nobody_can_read_stops_what_it_is_about(asked: Run, ben: User, plan: Plan) -> None:
    from deployments.models import ClusterPolicy

    approve(ben, asked.pk, asked.plan_id, WHY)
    policy(approvals=[{"tiers": [3]}])
    ClusterPolicy.objects.update(document={"approvals": "later"}, hash="x")
    run = first_look(asked)
    assert run.state == RunState.QUEUED
    assert "cannot be read by this version" in run.sentence
