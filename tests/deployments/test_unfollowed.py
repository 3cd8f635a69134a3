"""What was to follow a run by itself and did not: red until it is done, undone, or said to be done by hand."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from common.models import AuditEvent
from deployments import unfollowed
from deployments.catalogue import registry
from deployments.engine import following, planning
from deployments.errors import NotAllowed, Unfit
from deployments.models import FollowUp, Run
from deployments.services import start_run
from deployments.states import FollowState, RunState
from deployments.undo import request_undo
from tests.deployments.conftest import carry_on
from tests.deployments.fake import FakeCluster
from tests.deployments.one_effect import CONFIG, ONE, OneParams, board
from tests.deployments.test_effects import accepted, known  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def broken(cluster: FakeCluster, operator: User) -> FollowUp:
    """A run whose follow-up was due when its requester had no rights for a moment."""
    cluster.put(CONFIG, board(b="x"))
    carry_on(accepted(cluster, operator, "patch", follow=1), cluster)
    rights = list(operator.user_permissions.all())
    operator.user_permissions.clear()
    following.carry_on()
    operator.user_permissions.set(rights)
    row = FollowUp.objects.get()
    assert row.state == FollowState.FAILED
    return row


def standing() -> list[int]:
    return list(FollowUp.objects.filter(unfollowed.broken()).values_list("pk", flat=True))


def again(cluster: FakeCluster, user: User, key: str, effect: str = "patch") -> Run:
    fresh = User.objects.get(pk=user.pk)
    plan = planning.make(cluster, registry.get(ONE.slug), OneParams(effect=effect))
    return start_run(fresh, plan.pk, key)


def test_it_stands_until_a_later_run_did_the_same(broken: FollowUp, cluster: FakeCluster, operator: User) -> None:
    assert standing() == [broken.pk]
    cluster.put(CONFIG, board(b="y"))
    run = carry_on(again(cluster, operator, "by hand"), cluster)
    assert run.state == RunState.SUCCEEDED
    assert standing() == []
    broken.refresh_from_db()
    assert broken.state == FollowState.SETTLED
    assert f"Done by run {run.number}." in broken.sentence
    assert AuditEvent.objects.get(verb="follow.settled").object == f"run:{broken.run_id}"


def test_a_run_on_other_objects_repairs_nothing(broken: FollowUp, cluster: FakeCluster, operator: User) -> None:
    assert carry_on(again(cluster, operator, "call", "call"), cluster).state == RunState.SUCCEEDED
    assert standing() == [broken.pk]


def test_an_undo_of_its_run_repairs_it(broken: FollowUp, cluster: FakeCluster, operator: User) -> None:
    from deployments.engine import requests

    fresh = User.objects.get(pk=operator.pk)
    wish = request_undo(fresh, broken.run, "undo")
    requests.make(wish.pk, opener=lambda: cluster)
    wish.refresh_from_db()
    assert wish.plan_id is not None, wish.sentence
    assert carry_on(start_run(fresh, wish.plan_id, "undo-run"), cluster).state == RunState.SUCCEEDED
    assert standing() == []


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.ERRORED, RunState.OUTCOME_UNKNOWN, RunState.REFUSED])
def test_one_whose_own_run_did_not_succeed_stands_too(
    broken: FollowUp, cluster: FakeCluster, operator: User, state: RunState
) -> None:
    started = again(cluster, operator, "followed", "call")
    FollowUp.objects.update(state=FollowState.STARTED.value, started=started)
    assert standing() == []
    Run.objects.filter(pk=started.pk).update(state=state.value)
    assert standing() == [broken.pk]


def test_a_person_settles_it_with_a_reason(broken: FollowUp, operator: User, viewer: User) -> None:
    with pytest.raises(NotAllowed):
        unfollowed.settle(viewer, broken.pk, "kubectl edit by me")
    fresh = User.objects.get(pk=operator.pk)
    with pytest.raises(Unfit, match="Say what was done"):
        unfollowed.settle(fresh, broken.pk, " ")
    unfollowed.settle(fresh, broken.pk, "kubectl edit by me, token=hunter2secret")
    broken.refresh_from_db()
    assert broken.state == FollowState.SETTLED and "kubectl edit by me" in broken.sentence
    assert AuditEvent.objects.get(verb="follow.settled").actor == fresh.get_username()
    with pytest.raises(Unfit, match="nothing to settle"):
        unfollowed.settle(fresh, broken.pk, "again")
