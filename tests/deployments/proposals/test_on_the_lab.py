"""The whole way: a plan that Argo CD would revert, its change proposed, merged by a person, applied by Argo CD."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.engine.document import load
from lab.git import Repository
from lab.services.github import GitHub
from lab.services.http import Request
from tests.deployments.dashboards.conftest import Desks, desk, told
from tests.deployments.proposals.test_runs import everything_stored
from tests.hub import FILE, NAME, TOKEN, Hub
from tests.lab.world.running import APPLICATION, RunningLab, environment_of
from tests.lab.world.running import GRAFANA as DEPLOYMENT

__all__ = ["desk"]
pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@pytest.fixture
def well(tmp_path: Path) -> Iterator[RunningLab]:
    running = RunningLab("healthy", tmp_path)
    yield running
    running.stop()


@pytest.fixture
def hub(well: RunningLab) -> Iterator[Hub]:
    """A GitHub over the very files that the lab's Argo CD reads."""
    folder = well.kubeconfig.with_name(well.kubeconfig.name + ".git")
    made = Hub(GitHub(Repository({}, folder), TOKEN)).start()
    yield made
    made.stop()


def refreshed(lab: RunningLab, name: str) -> None:
    lab.patch(APPLICATION + name, {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}})


def test_a_change_that_would_be_reverted_goes_through_git_and_stays(
    well: RunningLab, hub: Hub, desk: Desks, settings: Any, tmp_path: Path
) -> None:
    token = tmp_path / "github-token"
    token.write_text(TOKEN)
    at = desk(well)
    settings.PORTAL_GITHUB_URL, settings.PORTAL_GITHUB_TOKEN_FILE = hub.url, str(token)
    live = at.plan("scale-workload", namespace="platform-monitoring", kind="Deployment",
                   name="kube-prometheus-stack-grafana", replicas=2)  # fmt: skip
    change = load(live.document).git_change
    assert change is not None and change.repository == f"github.com/{NAME}"

    hub.fail("POST", "/pulls", after=True)  # and the answer is lost
    run = at.run("propose-in-git", application=change.application, values=change.values)
    assert run.state == "succeeded", told(run)
    assert [method for method, _ in hub.writes()] == ["POST", "PUT", "POST"]
    [pull] = hub.github.pulls
    assert pull.state == "open"
    assert well.get(DEPLOYMENT)["spec"]["replicas"] == 1  # nothing is applied before people merge it

    merged = Request("PUT", f"/repos/{NAME}/pulls/1/merge", "", {"authorization": f"Bearer {TOKEN}"})
    assert hub.github.handle(merged).status == 200
    assert "replicas: 2" in hub.github.repository.files[FILE]
    refreshed(well, "root-app")
    well.until(
        lambda: "replicas: 2" in well.app()["spec"]["source"]["helm"]["values"], "root-app applies what was merged"
    )
    well.until(lambda: well.get(DEPLOYMENT)["spec"]["replicas"] == 2, "Argo CD applies the new values")


def test_the_lab_has_a_github_of_its_own_that_a_new_user_can_try(well: RunningLab, desk: Desks) -> None:
    at = desk(well)
    run = at.run("propose-in-git", application="kube-prometheus-stack", values="grafana.replicas=3")
    assert run.state == "succeeded", told(run)
    given = environment_of(well)
    token = Path(given["PORTAL_GITHUB_TOKEN_FILE"]).read_text().strip()
    assert token not in everything_stored()
    pull = f"{given['PORTAL_GITHUB_URL']}/repos/{NAME}/pulls/1"
    signed = {"Authorization": f"Bearer {token}"}
    assert httpx.get(pull, trust_env=False).status_code == 401
    assert httpx.get(pull, headers=signed, trust_env=False).json()["state"] == "open"
    httpx.put(f"{pull}/merge", headers=signed, trust_env=False).raise_for_status()
    refreshed(well, "root-app")
    well.until(lambda: "replicas: 3" in well.app()["spec"]["source"]["helm"]["values"], "what was merged is applied")
