"""The scenarios that are Argo CD's own trouble: each is healed by the action its diagnosis names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deployments.argo.test_on_the_lab import JOB, succeeded, uids, unmet
from tests.deployments.argo.world import GRAFANA, STACK
from tests.deployments.dashboards.conftest import Desks
from tests.lab.world.running import RunningLab, healthy, phase

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


def test_a_sync_that_waits_for_a_hook_that_vanished_goes_on(desk: Desks, tmp_path: Path) -> None:
    lab = RunningLab("argo-hook-stuck", tmp_path)
    try:
        at = desk(lab)
        plan = at.plan("clear-stuck-hook", application=STACK, hold_seconds=1)
        assert unmet(plan) == []
        assert [s["spec"]["verb"] for s in plan.document["steps"]] == ["terminate", "sync"]
        succeeded(at.carry(plan, seconds=200))
        assert healthy(lab.app()) and phase(lab.app()) == "Succeeded"
    finally:
        lab.stop()


def test_a_hook_that_cannot_pull_its_image_is_taken_away_and_not_made_again(desk: Desks, tmp_path: Path) -> None:
    lab = RunningLab("argo-hook-image", tmp_path)
    try:
        at = desk(lab)
        plan = at.plan("clear-stuck-hook", application=STACK, then_sync="no")
        assert any("ImagePullBackOff" in p["evidence"] or "ErrImagePull" in p["evidence"] for p in plan.preconditions)
        assert unmet(plan) == []
        run = succeeded(at.carry(plan))
        lab.until(lambda: lab.http.get(JOB).status_code == 404, "the hook is gone")
        assert "operation" not in lab.app()
        assert run.plan.document["blast"]["deleted"] == [f"Job {STACK}-admission-create"]
        again = at.plan("clear-stuck-hook", application=STACK, hook=f"Job/{STACK}-admission-create")
        assert any("no operation is running" in u for u in unmet(again))
    finally:
        lab.stop()


def test_half_a_deletion_is_stopped_and_everything_comes_back(desk: Desks, tmp_path: Path) -> None:
    lab = RunningLab("app-half-deleted", tmp_path)
    try:
        at = desk(lab)
        kept, old = uids(lab), lab.app()["metadata"]["uid"]
        assert any("is not being deleted" in u for u in unmet(at.plan("recreate-application", application=STACK)))
        plan = at.plan("stop-cascading-deletion", application=STACK, hold_seconds=1)
        assert unmet(plan) == []
        succeeded(at.carry(plan, seconds=200))
        assert lab.app()["metadata"]["uid"] != old and healthy(lab.app())
        assert {name: uid for name, uid in uids(lab).items() if name in kept} == kept
        role = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{GRAFANA}-clusterrole"
        assert lab.http.get(role).status_code == 200, "what was gone already is made again"
        lab.until(lab.ready_addresses, "Grafana answers")
    finally:
        lab.stop()
