"""Broken glass: who may, what it lets through, and the review that stays red until another person closes it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from common.models import AuditEvent
from deployments import reviews
from deployments.approvals import approve
from deployments.errors import NotAllowed, Unconfirmed, Unfit
from deployments.models import Plan, Review, Run
from deployments.services import break_glass, cancel_run, start_run
from deployments.states import RunState
from deployments.stops import stop_writes
from tests.deployments.conftest import carry_on, make_plan, person
from tests.deployments.fake import FakeCluster
from tests.deployments.second_person import NAME, Clock, admin, approver, first_look, of_tier, policy
from tests.deployments.test_holds import freeze_for

pytestmark = pytest.mark.django_db(transaction=True)
URGENT = "Grafana is down and the exam begins in ten minutes"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


@pytest.fixture(autouse=True)
def one_cluster(settings: Any) -> None:
    settings.PORTAL_CLUSTER = "demo"


@pytest.fixture
def ada(transactional_db: None) -> User:
    return admin("ada")


@pytest.fixture
def ben(transactional_db: None) -> User:
    return approver("ben")


@pytest.fixture
def big(plan: Plan) -> Plan:
    return of_tier(plan, 3)


def smash(user: User, plan: Plan, key: str = "glass", **other: str) -> Run:
    said = {"confirm": NAME, "reason": URGENT, "password": "x", **other}
    return break_glass(user, plan.pk, key, **said)


def close(user: User, run: Run, **other: Any) -> Review:
    said = {"finding": "Diff and log are as described", "read_diff": True, "read_log": True, **other}
    return reviews.close(user, run.pk, said.pop("finding"), **said)


def test_it_runs_at_once_and_leaves_a_red_review(ada: User, big: Plan, cluster: FakeCluster) -> None:
    run = smash(ada, big)
    assert run.state == RunState.QUEUED
    review = Review.objects.get()
    assert (review.run_id, review.opened_by, review.reason, review.closed_at) == (run.pk, ada, URGENT, None)
    assert carry_on(run, cluster).state == RunState.SUCCEEDED
    row = AuditEvent.objects.get(verb="glass.break")
    assert row.actor == "ada" and row.detail["reason"] == URGENT
    assert any("broke the glass" in line.text and line.level == "error" for line in run.lines.all())


def test_the_password_is_nowhere(ada: User, big: Plan, cluster: FakeCluster) -> None:
    ada.set_password("canary-Pa55word")
    ada.save()
    run = carry_on(smash(ada, big, password="canary-Pa55word"), cluster)
    stored = [*AuditEvent.objects.values(), *Run.objects.values(), *run.lines.values(), *Review.objects.values()]
    assert "canary-Pa55word" not in str(stored)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"password": "y"}, "password does not match"),
        ({"confirm": "grafana"}, "Type kube-prometheus-stack"),
        ({"reason": "now"}, "what is so urgent"),
    ],
)
def test_what_it_takes(ada: User, big: Plan, other: dict[str, str], why: str) -> None:
    with pytest.raises((Unconfirmed, Unfit), match=why):
        smash(ada, big, **other)
    assert not Run.objects.exists() and not Review.objects.exists()


def test_five_wrong_passwords_are_enough(ada: User, big: Plan, clock: Clock) -> None:
    for _ in range(5):
        with pytest.raises(Unconfirmed, match="does not match"):
            smash(ada, big, password="guess")
    with pytest.raises(Unconfirmed, match="Too many tries"):
        smash(ada, big)
    assert AuditEvent.objects.filter(verb="glass.refused").count() == 5
    clock.turn(minutes=6)
    assert smash(ada, big).state == RunState.QUEUED


def test_who_may_not_does_not(big: Plan, ben: User) -> None:
    for user in (ben, person("otto", "run_tier3"), person("gil", "break_glass")):
        with pytest.raises(NotAllowed):
            smash(user, big)
    assert not Run.objects.exists()


def test_where_nobody_is_needed_there_is_no_glass(ada: User, plan: Plan) -> None:
    with pytest.raises(Unfit, match="run it"):
        smash(ada, plan, confirm="")


def test_a_run_that_waits_for_approval_is_taken_over(ada: User, big: Plan) -> None:
    run = start_run(ada, big.pk, "click", confirm=NAME)
    taken = smash(ada, big)
    assert taken.pk == run.pk and taken.state == RunState.QUEUED
    assert first_look(taken).state == RunState.RUNNING
    assert Run.objects.count() == 1


def test_it_goes_through_a_freeze_but_not_past_the_stop_switch(ada: User, big: Plan, clock: Clock) -> None:
    freeze_for(clock, hours=2)
    stop_writes(admin("dan"), "storage is being moved")
    run = first_look(smash(ada, big))
    assert run.state == RunState.QUEUED and "dan stopped all writes" in run.sentence


def test_an_approved_run_that_a_freeze_holds_is_let_through(ada: User, ben: User, big: Plan, clock: Clock) -> None:
    freeze_for(clock, hours=2)
    run = start_run(ada, big.pk, "click", confirm=NAME)
    approve(ben, run.pk, run.plan_id, "fine")
    assert first_look(run).state == RunState.QUEUED
    assert smash(ada, big).pk == run.pk
    assert first_look(run).state == RunState.RUNNING


def test_an_approved_run_that_nothing_holds_needs_no_glass(ada: User, ben: User, big: Plan) -> None:
    run = start_run(ada, big.pk, "click", confirm=NAME)
    approve(ben, run.pk, run.plan_id, "fine")
    assert smash(ada, big).pk == run.pk
    assert not Review.objects.exists()


def test_the_same_form_sent_twice_is_one_run_and_one_review(ada: User, big: Plan) -> None:
    first = smash(ada, big)
    assert smash(ada, big).pk == first.pk
    assert smash(ada, big, "another form").pk == first.pk
    assert Review.objects.count() == 1


def test_a_second_glass_is_refused_while_a_review_is_open(
    ada: User, big: Plan, cluster: FakeCluster, ben: User
) -> None:
    other = of_tier(make_plan(cluster, hold_seconds=2), 3)
    run = carry_on(smash(ada, big), cluster)
    for user in (ada, admin("dan")):
        with pytest.raises(Unfit, match=f"ada broke the glass for run {run.number}"):
            smash(user, other, f"glass {user}")
    start_run(ada, other.pk, "click", confirm=NAME)
    with pytest.raises(Unfit, match="ada broke the glass"):
        smash(ada, other, "the waiting one")
    close(ben, run)
    assert smash(ada, other, "now").state == RunState.QUEUED


def test_the_database_knows_one_open_review_a_cluster(ada: User, big: Plan, cluster: FakeCluster) -> None:
    other = start_run(ada, of_tier(make_plan(cluster, hold_seconds=2), 3).pk, "click", confirm=NAME)
    run = carry_on(smash(ada, big), cluster)
    with pytest.raises(IntegrityError), transaction.atomic():
        reviews.opened(other, ada, "x", run.requested_at)
    with pytest.raises(IntegrityError), transaction.atomic():
        Review.objects.update(closed_by=ada, closed_at=run.requested_at)


def test_the_glass_lets_its_run_begin_for_a_quarter_of_an_hour(ada: User, big: Plan, clock: Clock) -> None:
    run = smash(ada, big)
    clock.turn(minutes=16)
    run = first_look(run)
    assert run.state == RunState.REFUSED
    assert "15 minutes" in run.sentence
    assert {step.state for step in run.steps.all()} == {"skipped"}


def test_who_lost_the_right_after_breaking_it_runs_nothing(ada: User, big: Plan) -> None:
    run = smash(ada, big)
    ada.user_permissions.set(ada.user_permissions.exclude(codename="break_glass"))
    run = first_look(run)
    assert run.state == RunState.REFUSED
    assert "may not do so any more" in run.sentence


# -- the review


@pytest.fixture
def broken(ada: User, big: Plan, cluster: FakeCluster) -> Run:
    """A run through broken glass that has ended."""
    return carry_on(smash(ada, big), cluster)


def test_who_broke_it_never_reviews_it(broken: Run, ada: User) -> None:
    with pytest.raises(NotAllowed, match="ada broke the glass"):
        close(ada, broken)
    assert Review.objects.get().closed_at is None
    assert AuditEvent.objects.get(verb="review.refused").actor == "ada"


def test_who_asked_for_a_run_that_another_let_through_does_not_review_it_either(
    ada: User, big: Plan, cluster: FakeCluster
) -> None:
    run = start_run(ada, big.pk, "click", confirm=NAME)
    dan = admin("dan")
    carry_on(smash(dan, big), cluster)
    for user, why in ((ada, "asked for this run"), (dan, "broke the glass")):
        with pytest.raises(NotAllowed, match=why):
            close(user, run)


def test_who_may_not_approve_does_not_review(broken: Run, operator: User) -> None:
    with pytest.raises(NotAllowed, match="may not review"):
        close(operator, broken)


@pytest.mark.parametrize("other", [{"read_diff": False}, {"read_log": False}, {"finding": " "}])
def test_diff_and_log_are_read_and_something_is_said(broken: Run, ben: User, other: dict[str, Any]) -> None:
    with pytest.raises(Unconfirmed):
        close(ben, broken, **other)
    assert Review.objects.get().closed_at is None


def test_a_second_person_closes_it_once(broken: Run, ben: User) -> None:
    review = close(ben, broken)
    assert review.closed_by == ben and review.finding == "Diff and log are as described"
    assert AuditEvent.objects.get(verb="review.close").detail["finding"] == review.finding
    with pytest.raises(Unfit, match="closed already"):
        close(admin("dan"), broken)
    assert reviews.open_in("demo") is None


def test_a_run_at_work_is_not_reviewed_yet(ada: User, ben: User, big: Plan) -> None:
    run = smash(ada, big)
    with pytest.raises(Unfit, match="when it has ended"):
        close(ben, run)
    cancel_run(ada, run)
    assert close(ben, run).closed_at is not None


def test_a_run_without_glass_has_nothing_to_review(plan: Plan, operator: User, ben: User) -> None:
    with pytest.raises(Unfit, match="Nobody broke the glass"):
        close(ben, start_run(operator, plan.pk, "click"))


def test_a_policy_of_two_people_does_not_stop_the_glass(ada: User, big: Plan) -> None:
    policy(approvals=[{"tiers": [3], "count": 2}])
    assert first_look(smash(ada, big)).state == RunState.RUNNING
