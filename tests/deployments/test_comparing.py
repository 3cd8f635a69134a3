"""A plan that somebody looks at is compared with the cluster: it fits, it moved, or nobody could read."""

from __future__ import annotations

import pytest

from deployments.engine import comparing
from deployments.models import Plan
from tests.deployments.fake import APPS, FakeCluster

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_plan_that_fits_is_read_anew(plan: Plan, cluster: FakeCluster) -> None:
    before = plan.compared_at
    after = comparing.compare(plan.pk, opener=lambda: cluster)
    assert after is not None and after.compared_at is not None and before is not None
    assert after.compared_at > before
    assert (after.moved, after.unread) == ("", "")


def test_a_target_that_moved_is_named(plan: Plan, cluster: FakeCluster) -> None:
    cluster.edit(APPS, "argocd", "kube-prometheus-stack", {"spec": {"project": "other"}})
    after = comparing.compare(plan.pk, opener=lambda: cluster)
    assert after is not None
    assert "kube-prometheus-stack moved" in after.moved
    assert Plan.objects.count() == 1


def test_a_silent_cluster_changes_no_answer(plan: Plan, cluster: FakeCluster) -> None:
    cluster.silent = True
    after = comparing.compare(plan.pk, opener=lambda: cluster)
    assert after is not None
    assert after.compared_at == plan.compared_at
    assert "does not answer" in after.unread


def test_an_unknown_plan_is_nothing(transactional_db: None, cluster: FakeCluster) -> None:
    assert comparing.compare("0" * 64, opener=lambda: cluster) is None
