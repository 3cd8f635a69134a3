"""What people ask for: rights, one run per click, one run per target, an audit row for each."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from common.models import AuditEvent
from deployments.errors import NotAllowed, TargetBusy, Unfit
from deployments.models import Lock, Plan, PlanRequest, Run
from deployments.services import allow_writes, cancel_run, request_plan, start_run, stop_writes
from deployments.states import RunState
from tests.deployments.conftest import SLUG, make_plan, person
from tests.deployments.fake import FakeCluster

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_same_form_sent_twice_is_one_plan_request(operator: User) -> None:
    first = request_plan(operator, SLUG, {}, "item:1", "form")
    assert request_plan(operator, SLUG, {}, "item:1", "form").pk == first.pk
    assert AuditEvent.objects.filter(verb="plan.request").count() == 1


def test_two_people_with_the_same_form_key_do_not_share_a_request(operator: User) -> None:
    other = person("otto", "make_plan")
    assert request_plan(operator, SLUG, {}, "", "form").pk != request_plan(other, SLUG, {}, "", "form").pk


def test_a_viewer_may_not_plan_and_nothing_is_written(viewer: User) -> None:
    with pytest.raises(NotAllowed, match="victor may not ask for a plan"):
        request_plan(viewer, SLUG, {}, "", "form")
    assert PlanRequest.objects.count() == 0 and AuditEvent.objects.count() == 0


@pytest.mark.parametrize(("action", "params"), [("no-such", {}), (SLUG, {"hold_seconds": "soon"}), (SLUG, {"x": "1"})])
def test_a_request_that_makes_no_sense_is_refused_at_once(operator: User, action: str, params: dict[str, str]) -> None:
    with pytest.raises(Unfit):
        request_plan(operator, action, params, "", "form")
    assert PlanRequest.objects.count() == 0


def test_the_same_click_twice_is_one_run(operator: User, plan: Plan) -> None:
    first = start_run(operator, plan.pk, "click")
    assert start_run(operator, plan.pk, "click").pk == first.pk
    assert Run.objects.count() == 1
    assert AuditEvent.objects.filter(verb="run.start").count() == 1


def test_a_second_click_on_the_same_plan_shows_the_first_run(operator: User, plan: Plan) -> None:
    first = start_run(operator, plan.pk, "click 1")
    assert start_run(operator, plan.pk, "click 2").pk == first.pk


def test_another_plan_on_the_same_target_shows_who_holds_it(operator: User, plan: Plan, cluster: FakeCluster) -> None:
    first = start_run(operator, plan.pk, "click 1")
    other = make_plan(cluster, hold_seconds=7)
    assert other.pk != plan.pk
    with pytest.raises(TargetBusy) as busy:
        start_run(operator, other.pk, "click 2")
    assert busy.value.run.pk == first.pk
    assert Run.objects.count() == 1


def test_a_used_form_does_not_start_another_plan(operator: User, plan: Plan, cluster: FakeCluster) -> None:
    start_run(operator, plan.pk, "click")
    with pytest.raises(Unfit, match="already used"):
        start_run(operator, make_plan(cluster, hold_seconds=7).pk, "click")


def test_an_accepted_run_has_its_steps_locks_first_line_and_audit_row(operator: User, plan: Plan) -> None:
    run = start_run(operator, plan.pk, "click", "item:3")
    assert run.steps.count() == 5
    assert set(Lock.objects.values_list("target_key", flat=True)) == set(plan.document["locks"])
    assert run.lines.get().number == 1
    assert AuditEvent.objects.get(verb="run.start").object == f"run:{run.pk}"


def test_a_viewer_may_not_run(viewer: User, plan: Plan) -> None:
    with pytest.raises(NotAllowed):
        start_run(viewer, plan.pk, "click")
    assert Run.objects.count() == 0 and Lock.objects.count() == 0


def test_a_disabled_person_may_not_run(operator: User, plan: Plan) -> None:
    operator.is_active = False
    with pytest.raises(NotAllowed):
        start_run(operator, plan.pk, "click")


def test_an_unmet_precondition_cannot_be_run(operator: User, cluster: FakeCluster) -> None:
    cluster.forbidden = {"patch"}
    with pytest.raises(Unfit, match="writing identity"):
        start_run(operator, make_plan(cluster).pk, "click")


def test_an_unknown_plan_is_refused(operator: User) -> None:
    with pytest.raises(Unfit, match="no such plan"):
        start_run(operator, "0" * 64, "click")


def test_a_run_nobody_began_is_cancelled_at_once_and_frees_its_targets(operator: User, plan: Plan) -> None:
    run = cancel_run(operator, start_run(operator, plan.pk, "click"))
    assert run.state == RunState.CANCELLED
    assert "before it started" in run.sentence
    assert Lock.objects.count() == 0
    assert start_run(operator, plan.pk, "another click").pk != run.pk


def test_cancel_after_the_end_says_too_late(operator: User, plan: Plan) -> None:
    run = cancel_run(operator, start_run(operator, plan.pk, "click"))
    with pytest.raises(Unfit, match="Too late"):
        cancel_run(operator, run)


def test_a_viewer_may_not_cancel(operator: User, viewer: User, plan: Plan) -> None:
    run = start_run(operator, plan.pk, "click")
    with pytest.raises(NotAllowed):
        cancel_run(viewer, run)


def test_only_who_may_stops_all_writes(operator: User) -> None:
    with pytest.raises(NotAllowed):
        stop_writes(operator, "no")
    admin = person("ada", "stop_writes")
    stop_writes(admin, "exam week")
    allow_writes(admin)
    assert list(AuditEvent.objects.values_list("verb", flat=True)) == ["writes.stop", "writes.allow"]
