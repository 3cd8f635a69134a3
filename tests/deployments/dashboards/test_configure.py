"""*Configure datasources*: the team's open item (no Alertmanager datasource), by a file or by the API."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from deployments.catalogue.action import Apply, Call, CannotPlan
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import Missing
from tests.deployments.dashboards.world import (
    CANARY,
    NAMESPACE,
    SERVICES,
    STACK,
    case,
    draft,
    look,
    named,
    sidecar,
    unmet,
    values,
    without,
)

SLUG = "configure-datasources"
LIST = "grafana /api/datasources"


def listed(loaded: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = loaded["fetches"][LIST]["body"]
    return found


def test_the_missing_alertmanager_is_added_by_the_api_when_no_sidecar_runs() -> None:
    drafted = draft(SLUG, case())
    assert unmet(drafted) == []
    [step] = drafted.steps
    assert isinstance(step.effect, Call)
    assert (step.effect.method, step.effect.path) == ("POST", "/api/datasources")
    assert step.effect.body["url"] == "http://kube-prometheus-stack-alertmanager.platform-monitoring:9093/"
    assert step.effect.body["isDefault"] is False
    assert (drafted.params["namespace"], drafted.params["way"]) == (NAMESPACE, "api")
    assert "gone when the pod is" in drafted.blast.sentence
    assert drafted.blast.unchanged == ("Datasource Prometheus",)


def test_git_comes_first_with_a_patch_that_adds_the_entry_and_shows_no_password() -> None:
    drafted = draft(SLUG, case())
    assert "bootstrap/apps/monitoring.yaml" in drafted.git_way
    assert "+" in drafted.git_patch and "alertmanager" in drafted.git_patch
    assert "url: http://kube-prometheus-stack-prometheus.platform-monitoring:9090" in drafted.git_patch
    assert CANARY not in repr(drafted)


def test_a_running_sidecar_makes_it_a_file() -> None:
    loaded = case()
    sidecar(loaded, "datasource")
    drafted = draft(SLUG, loaded)
    assert unmet(drafted) == []
    [step] = drafted.steps
    assert isinstance(step.effect, Apply)
    body = step.effect.body
    assert body["metadata"]["labels"]["grafana_datasource"] == "1"
    [entry] = yaml.safe_load(body["data"]["portal-datasources.yaml"])["datasources"]
    assert (entry["uid"], entry["editable"]) == ("alertmanager", False)
    assert step.until is not None and step.until.name == "grafana_datasource_is"
    assert drafted.params["way"] == "file"


def test_what_the_file_has_already_stays_in_it() -> None:
    loaded = case()
    sidecar(loaded, "datasource")
    text = yaml.safe_dump({"apiVersion": 1, "datasources": [{"name": "Loki", "uid": "loki", "type": "loki"}]})
    meta = {"name": "portal-datasources", "namespace": NAMESPACE}
    loaded["objects"]["configmaps"] = [{"metadata": meta, "data": {"portal-datasources.yaml": text}}]
    [step] = draft(SLUG, loaded).steps
    assert isinstance(step.effect, Apply)
    entries = yaml.safe_load(step.effect.body["data"]["portal-datasources.yaml"])["datasources"]
    assert [entry["uid"] for entry in entries] == ["loki", "alertmanager"]


@pytest.mark.parametrize(
    "env", [{"METHOD": "LIST"}, {"NAMESPACE": "elsewhere"}, {"REQ_URL": ""}], ids=["once", "elsewhere", "no reload"]
)
def test_a_sidecar_that_would_not_make_grafana_read_it_does_not_count(env: dict[str, str]) -> None:
    loaded = case()
    sidecar(loaded, "datasource", **env)
    drafted = draft(SLUG, loaded)
    assert isinstance(drafted.steps[0].effect, Call)
    assert any("A sidecar collects datasources" in u for u in unmet(draft(SLUG, loaded, way="file")))


def test_nothing_to_do_is_an_unmet_precondition_with_what_is_there() -> None:
    loaded = case()
    listed(loaded).append(
        {
            "uid": "am",
            "name": "AM",
            "type": "alertmanager",
            "url": "http://kube-prometheus-stack-alertmanager.platform-monitoring.svc:9093",
        }
    )
    drafted = draft(SLUG, loaded)
    assert drafted.steps == ()
    assert unmet(drafted) == [
        "A datasource is missing or leads elsewhere: Prometheus, Alertmanager lead where they should"
    ]


def test_a_provisioned_one_that_leads_elsewhere_cannot_be_put_right_here() -> None:
    loaded = case()
    without(loaded, SERVICES, "kube-prometheus-stack-alertmanager")
    listed(loaded)[0]["url"] = "http://old-prometheus.monitoring:9090"
    drafted = draft(SLUG, loaded)
    assert any("only its file can say so" in u for u in unmet(drafted))
    assert drafted.git_patch  # but Git can
    assert "-" in drafted.git_patch


def test_one_that_a_person_made_is_changed_with_its_version_and_nothing_of_it_lost() -> None:
    loaded = case()
    without(loaded, SERVICES, "kube-prometheus-stack-alertmanager")
    mine = listed(loaded)[0]
    mine |= {"readOnly": False, "url": "http://old:9090", "version": 7, "jsonData": {"custom": "kept"}}
    [step] = draft(SLUG, loaded).steps
    assert isinstance(step.effect, Call)
    assert (step.effect.method, step.effect.path) == ("PUT", "/api/datasources/uid/prometheus")
    assert step.effect.body["url"] == "http://kube-prometheus-stack-prometheus.platform-monitoring:9090/"
    assert (step.effect.body["version"], step.effect.body["jsonData"]["custom"]) == (7, "kept")
    assert step.irreversible


def test_a_datasource_that_holds_a_credential_is_left_to_people() -> None:
    loaded = case()
    without(loaded, SERVICES, "kube-prometheus-stack-alertmanager")
    listed(loaded)[0] |= {"readOnly": False, "url": "http://old:9090", "jsonData": {"password": CANARY}}
    drafted = draft(SLUG, loaded)
    assert CANARY not in repr(drafted)
    assert any("holds a credential" in u for u in unmet(drafted))


def test_a_default_of_another_kind_keeps_the_flag() -> None:
    loaded = case()
    listed(loaded)[0] |= {"name": "Loki", "uid": "loki", "type": "loki", "url": "http://loki:3100"}
    drafted = draft(SLUG, loaded)
    assert [s.effect.body["isDefault"] for s in drafted.steps if isinstance(s.effect, Call)] == [False, False]
    assert drafted.verification.checks[0].params == {"default": False}


def test_without_any_datasource_prometheus_becomes_the_default() -> None:
    loaded = case()
    listed(loaded).clear()
    bodies = [s.effect.body for s in draft(SLUG, loaded).steps if isinstance(s.effect, Call)]
    assert [(b["name"], b["isDefault"]) for b in bodies] == [("Prometheus", True), ("Alertmanager", False)]


@pytest.mark.parametrize("status", [0, 401, 500])
def test_a_grafana_that_does_not_say_what_it_has_starts_nothing(status: int) -> None:
    loaded = case()
    loaded["fetches"][LIST] = {"status": status, "error": "no"}
    with pytest.raises(Missing, match="Grafana"):
        draft(SLUG, loaded)


def test_without_a_prometheus_there_is_no_plan() -> None:
    loaded = case()
    loaded["objects"][SERVICES] = [named(loaded, SERVICES, "kube-prometheus-stack-grafana")]
    with pytest.raises(CannotPlan, match="Prometheus"):
        draft(SLUG, loaded)


def test_a_second_draft_of_the_filled_parameters_is_the_same() -> None:
    first = draft(SLUG, case())
    assert draft(SLUG, case(), **first.params) == first


def test_with_the_charts_own_sidecar_git_adds_to_the_charts_list() -> None:
    loaded = case()
    values(loaded, "    datasources:\n      enabled: false", "    datasources:\n      enabled: true")
    assert "additionalDataSources" in draft(SLUG, loaded).git_patch


def test_without_an_application_there_is_no_git_way_and_a_plan_all_the_same() -> None:
    loaded = case()
    without(loaded, "applications.argoproj.io", STACK)
    drafted = draft(SLUG, loaded)
    assert (drafted.git_way, drafted.git_patch, drafted.managed_by) == ("", "", "")
    assert len(drafted.steps) == 1


# -- conditions


def test_a_datasource_is_there_when_its_fields_are_so() -> None:
    want = {"name": "Prometheus", "type": "prometheus", "isDefault": True, "jsonData": {}}
    assert look(case(), "grafana_datasource_is", uid="prometheus", fields=want).outlook == Outlook.MET
    other = look(case(), "grafana_datasource_is", uid="prometheus", fields=want | {"jsonData": {"httpMethod": "POST"}})
    assert other.outlook == Outlook.NOT_YET
    assert "jsonData.httpMethod" in other.sentence
    assert look(case(), "grafana_datasource_is", uid="none", fields=want).outlook == Outlook.NOT_YET


def test_a_datasource_is_gone_when_its_uid_is() -> None:
    assert look(case(), "grafana_datasource_gone", uid="prometheus").outlook == Outlook.NOT_YET
    assert look(case(), "grafana_datasource_gone", uid="none").outlook == Outlook.MET
