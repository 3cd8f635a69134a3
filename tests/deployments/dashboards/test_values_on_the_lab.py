"""Values as the cause, on a lab: live while nobody reverts it, and through the patch for Git when somebody does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployments.dashboards.conftest import Desks, told
from tests.lab.world.running import APPLICATION, GRAFANA, MONITORING, RunningLab, healthy

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
SLUG = "repair-grafana-in-place"


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningLab]:
    running = RunningLab(request.param, tmp_path)
    yield running
    running.stop()


def restarts(lab: RunningLab) -> int:
    return sum(s["restartCount"] for pod in lab.grafana_pods() for s in pod["status"].get("containerStatuses") or [])


def crashing(lab: RunningLab) -> bool:
    """It restarted and serves nobody, and Argo CD does nothing about it."""
    return restarts(lab) > 0 and not lab.ready_addresses() and "operation" not in lab.app()


def unheal(lab: RunningLab) -> None:
    """What a person does before a live change: nobody above the stack's Application sets its spec back."""
    lab.patch(f"{APPLICATION}root-app", {"spec": {"syncPolicy": {"automated": {"selfHeal": False}}}})


@pytest.mark.parametrize("lab", ["grafana-slow-start"], indirect=True)
def test_a_slow_first_start_gets_the_time_it_needs(desk: Desks, lab: RunningLab) -> None:
    """G8: chart 55.5.0 has no startupProbe value, so the liveness probe waits longer."""
    lab.until(lambda: crashing(lab), "the liveness probe ended a start")
    at = desk(lab)
    blocked = at.plan(SLUG)
    assert [p["sentence"] for p in blocked.preconditions if not p["met"]] == [
        "A live change of the values stays until Git has it"
    ]
    assert "initialDelaySeconds: 330" in blocked.document["git_patch"]

    unheal(lab)
    plan = at.plan(SLUG, hold_seconds=1)
    assert (plan.params["recipe"], plan.params["fixes"]) == ("keep", "startup")
    run = at.carry(plan)
    assert run.state == "succeeded", told(run)
    assert "ChangeMe-platform-2025" not in f"{plan.document} {told(run)}"
    helm = lab.app()["spec"]["source"]["helm"]
    assert "initialDelaySeconds: 330" in helm["values"]
    assert 'adminPassword: "ChangeMe-platform-2025"' in helm["values"], "the password is as it was"
    assert "valuesObject" not in helm


@pytest.mark.parametrize("lab", ["grafana-two-default-datasources"], indirect=True)
def test_two_defaults_become_one_through_the_patch_for_git(desk: Desks, lab: RunningLab, tmp_path: Path) -> None:
    """The plan cannot run, because root-app heals; its patch applies to the file in Git, and Argo CD does the rest."""
    lab.until(lambda: crashing(lab), "Grafana ended over two defaults")
    at = desk(lab)
    plan = at.plan("fix-duplicate-default-datasource")
    assert [p["sentence"] for p in plan.preconditions if not p["met"]] == [
        "A live change of the values stays until Git has it"
    ]
    evidence = plan.preconditions[0]["evidence"]
    assert "Prometheus-platform" in evidence and "additionalDataSources" in evidence

    [folder] = {path.parents[2] for path in tmp_path.rglob("bootstrap/apps/monitoring.yaml")}
    patch = tmp_path / "change.patch"
    patch.write_text(plan.document["git_patch"])
    done = subprocess.run(["git", "apply", str(patch)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refresh = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}}
    lab.patch(f"{APPLICATION}root-app", refresh)
    lab.until(lambda: len(lab.ready_addresses()) == 1, "Grafana is up")
    lab.until(lambda: healthy(lab.app()), "the Application is Synced and Healthy")
    assert at.plan("fix-duplicate-default-datasource").preconditions[0]["met"] is False


@pytest.mark.parametrize("slug", [SLUG, "fix-duplicate-default-datasource"])
@pytest.mark.parametrize("lab", ["grafana-two-default-datasources"], indirect=True)
def test_two_defaults_become_one_live_while_nobody_reverts_it(desk: Desks, lab: RunningLab, slug: str) -> None:
    unheal(lab)
    lab.until(lambda: crashing(lab), "Grafana ended over two defaults")
    at = desk(lab)
    plan = at.plan(slug, hold_seconds=1)
    assert plan.params.get("fixes", "single-default") == "single-default"
    run = at.carry(plan)
    assert run.state == "succeeded", told(run)
    assert len(lab.ready_addresses()) == 1


@pytest.mark.parametrize("lab", ["grafana-slow-start"], indirect=True)
def test_a_claim_that_is_no_longer_rendered_outlives_the_prune(desk: Desks, lab: RunningLab) -> None:
    unheal(lab)
    lab.until(lambda: "operation" not in lab.app(), "Argo CD does nothing")
    at = desk(lab)
    plan = at.plan(SLUG, recipe="keep", fixes="no-persistence", hold_seconds=1)
    assert plan.document["blast"]["claims"], plan.document["blast"]
    run = at.carry(plan)
    assert run.state == "succeeded", told(run)
    claim = lab.get(f"/api/v1{MONITORING}/persistentvolumeclaims/kube-prometheus-stack-grafana")
    assert claim["status"]["phase"] == "Bound"
    [pod] = lab.grafana_pods()
    assert not any("persistentVolumeClaim" in volume for volume in pod["spec"]["volumes"])
    assert healthy(lab.app()), "a claim that is kept is no difference"


@pytest.mark.parametrize("lab", ["healthy"], indirect=True)
def test_the_strategy_and_the_way_to_the_datasources_change_in_place(desk: Desks, lab: RunningLab) -> None:
    unheal(lab)
    at = desk(lab)
    run = at.run(SLUG, recipe="keep", fixes="recreate", hold_seconds=1)
    assert run.state == "succeeded", told(run)
    assert lab.get(GRAFANA)["spec"]["strategy"] == {"type": "Recreate"}

    run = at.run(SLUG, recipe="V1", fixes="none", hold_seconds=1)
    assert run.state == "succeeded", told(run)
    [pod] = lab.grafana_pods()
    assert [c["name"] for c in pod["spec"]["initContainers"]] == ["grafana-init-sc-datasources"]
    known = at.plan("configure-datasources").preconditions[0]["evidence"]
    assert "Prometheus (prometheus, the default, from a file)" in known
