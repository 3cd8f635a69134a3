"""The Grafana family through the engine on a lab: what is planned is what happens, and what is made can be undone."""

from __future__ import annotations

import pytest

from deployments.catalogue.dashboards import api
from deployments.catalogue.dashboards.boards import BOARDS
from deployments.models import Run
from deployments.undo import parameters, refusal
from monitoring.checks.grafana import DATASOURCES
from tests.deployments.dashboards.conftest import Desk, Desks, told
from tests.lab.world.running import MONITORING, RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


def succeeded(run: Run) -> Run:
    assert run.state == "succeeded", told(run)
    return run


def board_titles(desk: Desk) -> list[str]:
    from monitoring.snapshot import Fetch

    need = Fetch("grafana", "/api/search?tag=dora")
    body = desk.cluster.collect(lambda _: [need]).reply(need).body
    return sorted(entry["title"] for entry in body)


def test_prometheus_answers_without_grafana_and_nothing_is_written(desk: Desks, broken_lab: RunningLab) -> None:
    at = desk(broken_lab)
    run = succeeded(at.run("use-prometheus-ui"))
    assert "port-forward" in told(run)
    # the lab's own controllers may be at work meanwhile
    assert [w for w in broken_lab.writes() if w["user"] == "admin" and not w["dry_run"]] == []


def test_boards_go_in_by_the_api_are_found_by_tag_and_come_out_again(desk: Desks, healthy_lab: RunningLab) -> None:
    at = desk(healthy_lab)
    assert at.plan("import-dora-dashboards").params["way"] == "api"
    succeeded(at.run("import-dora-dashboards", hold_seconds=1))
    assert board_titles(at) == ["Argo CD syncs and state", "DORA overview"]
    again = at.plan("import-dora-dashboards")
    assert [p["sentence"] for p in again.preconditions if not p["met"]] == ["A dashboard of ours is missing or older"]
    succeeded(at.run("import-dora-dashboards", mode="remove"))
    assert board_titles(at) == []
    run = succeeded(at.run("import-dora-dashboards", hold_seconds=1))
    undone = succeeded(at.run("undo-run", **parameters(run)))
    assert board_titles(at) == []
    assert [s.verb for s in undone.steps.order_by("index")] == ["take back", "take back"]


def test_a_standalone_grafana_takes_the_address_and_goes_again(desk: Desks, broken_lab: RunningLab) -> None:
    at = desk(broken_lab)
    assert broken_lab.ready_addresses() == []
    run = succeeded(at.run("grafana-standalone", hold_seconds=1))
    assert len(broken_lab.ready_addresses()) == 1
    where = f"/api/v1{MONITORING}"
    assert broken_lab.get(f"{where}/secrets/grafana-admin")["data"]["admin-password"]
    assert "admin-password" not in told(run)

    # its own ConfigMap is what it reads dashboards from
    boards = succeeded(at.run("import-dora-dashboards", hold_seconds=1))
    assert boards.plan.params["way"] == "configmap"
    assert board_titles(at) == ["Argo CD syncs and state", "DORA overview"]

    # the set may be applied again, its own Deployment is no second Grafana
    again = at.plan("grafana-standalone", image="docker.io/grafana/grafana:10.2.3", admin="keep")
    assert [p for p in again.preconditions if not p["met"]] == []

    assert refusal(run) == ""
    succeeded(at.run("undo-run", **parameters(run)))
    broken_lab.until(lambda: broken_lab.ready_addresses() == [], "the standalone Grafana is gone")
    names = [c["metadata"]["name"] for c in broken_lab.items(f"{where}/configmaps")]
    assert "grafana-standalone-provisioning" not in names
    # the Secret stays
    assert broken_lab.get(f"{where}/secrets/grafana-admin")["metadata"]["name"] == "grafana-admin"


def test_a_secret_that_is_there_is_not_touched(desk: Desks, broken_lab: RunningLab) -> None:
    at = desk(broken_lab)
    where = f"/api/v1{MONITORING}/secrets/ours"
    run = succeeded(at.run("create-grafana-admin-secret", name="ours"))
    before = broken_lab.get(where)["data"]
    plan = at.plan("create-grafana-admin-secret", name="ours")
    assert "Secret ours is not there yet" in [p["sentence"] for p in plan.preconditions if not p["met"]]
    assert broken_lab.get(where)["data"] == before
    succeeded(at.run("undo-run", **parameters(run)))
    assert broken_lab.http.get(where).status_code == 404


def test_the_teams_grafana_lacks_alertmanager_until_it_is_configured(desk: Desks, broken_lab: RunningLab) -> None:
    """Their values name one datasource; by the API Grafana has both, until the pod ends."""
    at = desk(broken_lab)
    succeeded(at.run("repair-grafana-in-place", hold_seconds=1))
    run = succeeded(at.run("configure-datasources", hold_seconds=1))
    assert [s.verb for s in run.steps.all()] == ["add"]
    assert "alertmanager" in run.plan.document["git_patch"]
    assert "ChangeMe-platform-2025" not in str(run.plan.document)
    again = at.plan("configure-datasources")
    assert [p["sentence"] for p in again.preconditions if not p["met"]] == [
        "A datasource is missing or leads elsewhere"
    ]
    succeeded(at.run("undo-run", **parameters(run)))
    known = at.cluster.collect(lambda _: [DATASOURCES]).reply(DATASOURCES).body
    assert [d["type"] for d in known] == ["prometheus"], "its own datasource is gone, the file's stays"


def test_the_options_are_read_in_one_collection_as_a_page_would(desk: Desks, broken_lab: RunningLab) -> None:
    """Within the rounds that a collection has; after the repair above Grafana is up, so nothing is recommended."""
    from deployments.catalogue.dashboards import options

    found = {o.key: o for o in options.options(desk(broken_lab).cluster.collect(options.needs))}
    unread = [
        p.evidence for o in found.values() for p in o.preconditions if p.sentence == "What the plan needs was read"
    ]
    assert unread == []
    assert found["C"].met and not found["D"].met
    assert "No other Grafana runs in this namespace" in [p.sentence for p in found["A"].preconditions if not p.met]
    assert not any(o.recommended for o in found.values())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_of_grafana_is_looked_up_and_nothing_is_sent_twice(
    desk: Desks, healthy_lab: RunningLab, when: str
) -> None:
    at = desk(healthy_lab)
    fault = {"action": "reset", "when": when, "target": "grafana", "path": "/api/dashboards/db", "count": 1}
    healthy_lab.http.post("/lab/faults", json=fault).raise_for_status()
    try:
        run = succeeded(at.run("import-dora-dashboards", hold_seconds=1))
        left = healthy_lab.get("/lab/faults")["faults"]
    finally:
        healthy_lab.http.delete("/lab/faults").raise_for_status()
    assert left == [], "the fault was used up"
    assert versions(at) == [1, 1], told(run)
    succeeded(at.run("import-dora-dashboards", mode="remove"))


def versions(desk: Desk) -> list[int]:
    """How often each board was saved."""
    needs = [api.dashboard(board.uid) for board in BOARDS]
    read = desk.cluster.collect(lambda _: needs)
    return [read.reply(need).body["dashboard"]["version"] for need in needs]
