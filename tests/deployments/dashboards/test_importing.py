"""*Import DORA dashboards*: as a ConfigMap where something collects them, else by the API; and removed again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.catalogue.action import Apply, Call
from deployments.catalogue.dashboards.boards import BOARDS
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import Missing
from tests.deployments.dashboards.world import DEPLOYMENTS, GRAFANA, case, draft, look, named, sidecar, unmet

SLUG = "import-dora-dashboards"
FIRST = BOARDS[0]


def there(loaded: dict[str, Any], index: int = 0, *, current: bool = True, **meta: Any) -> None:
    """Put one of the boards into Grafana, at version 4."""
    board = BOARDS[index]
    content = {**board.content, "version": 4} if current else {"title": board.title, "version": 4, "panels": [1, 2]}
    body = {"dashboard": content, "meta": {"provisioned": False, "version": 4, **meta}}
    loaded["fetches"][f"grafana /api/dashboards/uid/{board.uid}"] = {"body": body}


def call(step: Any) -> Call:
    assert isinstance(step.effect, Call)
    return step.effect


def test_without_a_sidecar_the_api_gets_a_folder_and_both_boards() -> None:
    drafted = draft(SLUG, case())
    assert unmet(drafted) == []
    assert [(call(s).method, call(s).path) for s in drafted.steps] == [
        ("POST", "/api/folders"),
        ("POST", "/api/dashboards/db"),
        ("POST", "/api/dashboards/db"),
    ]
    body = call(drafted.steps[1]).body
    assert (body["dashboard"]["uid"], body["dashboard"]["id"], body["dashboard"]["version"]) == (
        "dora-overview",
        None,
        0,
    )
    assert (body["folderUid"], body["overwrite"]) == ("dora", False)
    assert drafted.params["way"] == "api"
    assert "gone when the pod is" in drafted.blast.sentence


def test_a_folder_that_is_there_is_used() -> None:
    loaded = case()
    loaded["fetches"]["grafana /api/folders/dora"] = {"body": {"uid": "dora", "title": "DORA"}}
    assert [s.verb for s in draft(SLUG, loaded).steps] == ["import", "import"]


def test_an_older_one_is_updated_at_the_version_that_was_read() -> None:
    loaded = case()
    there(loaded, current=False)
    there(loaded, 1)
    drafted = draft(SLUG, loaded)
    steps = [s for s in drafted.steps if s.resource == "dashboards.grafana"]
    assert [s.verb for s in steps] == ["update"]
    body = call(steps[0]).body
    assert (body["dashboard"]["version"], body["overwrite"]) == (4, False)
    assert [(s.before, s.after) for s in call(steps[0]).shown] == [(None, FIRST.revision), (2, FIRST.panels)]
    assert drafted.blast.unchanged == (f"Dashboard {BOARDS[1].title}",)


def test_when_both_are_as_they_should_be_nothing_is_left_to_do() -> None:
    loaded = case()
    there(loaded)
    there(loaded, 1)
    drafted = draft(SLUG, loaded)
    assert drafted.steps == ()
    assert any("missing or older" in u for u in unmet(drafted))


def test_a_dashboards_sidecar_makes_it_a_config_map() -> None:
    loaded = case()
    sidecar(loaded, "dashboard")
    drafted = draft(SLUG, loaded)
    assert unmet(drafted) == []
    first, second = drafted.steps
    assert isinstance(first.effect, Apply)
    assert first.effect.body["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert set(first.effect.body["data"]) == {"dora-overview.json", "argocd-delivery.json"}
    assert json.loads(first.effect.body["data"]["dora-overview.json"])["uid"] == "dora-overview"
    assert (second.effect, second.until.name if second.until else "") == (None, "grafana_dashboard_is")


def test_the_standalone_grafana_reads_its_own_config_map() -> None:
    loaded = case()
    named(loaded, DEPLOYMENTS, GRAFANA)["metadata"]["name"] = "grafana-standalone"
    assert draft(SLUG, loaded).steps[0].name == "grafana-standalone-dashboards"


def test_a_file_does_not_take_over_what_was_made_through_the_api() -> None:
    loaded = case()
    sidecar(loaded, "dashboard")
    there(loaded, current=False)
    assert any("made through the API is in the way" in u for u in unmet(draft(SLUG, loaded)))


def test_the_api_does_not_write_what_a_file_provisions() -> None:
    loaded = case()
    there(loaded, current=False, provisioned=True)
    assert any("No file provisions" in u for u in unmet(draft(SLUG, loaded)))


def test_asking_for_a_config_map_that_nobody_collects_is_unmet() -> None:
    drafted = draft(SLUG, case(), way="configmap")
    assert drafted.steps == ()
    assert any("nothing collects ConfigMaps" in u for u in unmet(drafted))


def test_without_a_prometheus_datasource_the_boards_would_be_empty() -> None:
    loaded = case()
    loaded["fetches"]["grafana /api/datasources"]["body"] = []
    assert any("Grafana has a Prometheus to ask" in u for u in unmet(draft(SLUG, loaded)))


def test_removing_deletes_by_uid_what_is_there_and_nothing_else() -> None:
    loaded = case()
    there(loaded)
    drafted = draft(SLUG, loaded, mode="remove")
    [step] = drafted.steps
    assert (call(step).method, call(step).path) == ("DELETE", "/api/dashboards/uid/dora-overview")
    assert call(step).made.name == "grafana_dashboard_gone"
    assert drafted.blast.deleted == (f"Dashboard {FIRST.title}",)
    assert drafted.verification.checks == ()
    assert any("is in Grafana" in u for u in unmet(draft(SLUG, case(), mode="remove")))


@pytest.mark.parametrize("params", [{}, {"mode": "remove"}, {"way": "configmap"}])
def test_a_second_draft_of_the_filled_parameters_is_the_same(params: dict[str, str]) -> None:
    loaded = case()
    there(loaded, current=False)
    sidecar(loaded, "dashboard", METHOD="WATCH" if params.get("way") else "LIST")
    first = draft(SLUG, loaded, **params)
    assert draft(SLUG, loaded, **first.params) == first


@pytest.mark.parametrize("status", [0, 401, 500])
def test_a_grafana_that_does_not_say_what_it_has_starts_nothing(status: int) -> None:
    loaded = case()
    loaded["fetches"][f"grafana /api/dashboards/uid/{FIRST.uid}"] = {"status": status, "error": "no"}
    with pytest.raises(Missing):
        draft(SLUG, loaded)


# -- conditions


def test_a_dashboard_is_there_only_with_the_content_that_was_planned() -> None:
    loaded = case()
    asked = {"uid": FIRST.uid, "revision": FIRST.revision}
    assert look(loaded, "grafana_dashboard_is", **asked).outlook == Outlook.NOT_YET
    there(loaded, current=False)
    assert "other content" in look(loaded, "grafana_dashboard_is", **asked).sentence
    there(loaded)
    assert look(loaded, "grafana_dashboard_is", **asked).outlook == Outlook.MET


def test_a_dashboard_is_gone_when_grafana_says_404() -> None:
    loaded = case()
    assert look(loaded, "grafana_dashboard_gone", uid=FIRST.uid).outlook == Outlook.MET
    there(loaded)
    assert look(loaded, "grafana_dashboard_gone", uid=FIRST.uid).outlook == Outlook.NOT_YET


def test_a_folder_is_there_when_grafana_answers_with_it() -> None:
    loaded = case()
    assert look(loaded, "grafana_folder_is", uid="dora").outlook == Outlook.NOT_YET
    loaded["fetches"]["grafana /api/folders/dora"] = {"body": {"uid": "dora"}}
    assert look(loaded, "grafana_folder_is", uid="dora").outlook == Outlook.MET
    loaded["fetches"]["grafana /api/folders/dora"] = {"status": 500}
    with pytest.raises(Missing):
        look(loaded, "grafana_folder_is", uid="dora")
