"""*Fix a duplicate default datasource*: every default is shown with its origin, and one stays."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from deployments.catalogue.action import CannotPlan, Patch
from monitoring.snapshot import Missing
from tests.deployments.dashboards.world import (
    APPS,
    CANARY,
    GRAFANA,
    NAMESPACE,
    STACK,
    case,
    draft,
    named,
    rendered,
    sidecar,
    unhealed,
    unmet,
    values,
)

SLUG = "fix-duplicate-default-datasource"
ADDITIONAL = """  additionalDataSources:
    - name: Prometheus-platform
      type: prometheus
      uid: prometheus-platform
      isDefault: true
"""


def config_map(loaded: dict[str, Any], name: str, *entries: dict[str, Any], text: str = "", **meta: Any) -> None:
    content = text or yaml.safe_dump({"apiVersion": 1, "datasources": list(entries)})
    labels = {"grafana_datasource": "1", **meta.pop("labels", {})}
    where = {"name": name, "namespace": NAMESPACE, "labels": labels, **meta}
    loaded["objects"]["configmaps"].append({"metadata": where, "data": {"datasource.yaml": content}})


def default(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "prometheus", "isDefault": True, **more}


def by_values() -> dict[str, Any]:
    """The chart's own default, and one that the team added in its values."""
    loaded = case()
    values(loaded, "    datasources:\n      enabled: false\n", "    datasources:\n      enabled: true\n")
    values(loaded, "  service:\n", f"{ADDITIONAL}  service:\n")
    start = named(loaded, APPS, STACK)["spec"]["source"]["helm"]["values"].index(
        "  datasources:\n    datasources.yaml:"
    )
    text = named(loaded, APPS, STACK)["spec"]["source"]["helm"]["values"]
    named(loaded, APPS, STACK)["spec"]["source"]["helm"]["values"] = text[:start] + text[text.index("  additional") :]
    sidecar(loaded, "datasource")
    own = default("Prometheus", uid="prometheus")
    added = default("Prometheus-platform", uid="prometheus-platform")
    config_map(loaded, f"{GRAFANA}-datasource", own, added)
    rendered(loaded, "ConfigMap", f"{GRAFANA}-datasource")
    rendered(loaded, "Prometheus", "kube-prometheus-stack-prometheus")
    return loaded


def by_extra(text: str = "", **meta: Any) -> dict[str, Any]:
    """The chart's own default, and one in a ConfigMap that somebody applied by hand."""
    loaded = by_values()
    values(loaded, "isDefault: true\n  service", "isDefault: false\n  service")
    loaded["objects"]["configmaps"].clear()
    config_map(loaded, f"{GRAFANA}-datasource", default("Prometheus", uid="prometheus"))
    config_map(loaded, "team-datasource", default("Team"), text=text, **meta)
    return loaded


def patch(drafted: Any, verb: str) -> dict[str, Any]:
    [effect] = [s.effect for s in drafted.steps if s.verb == verb]
    assert isinstance(effect, Patch)
    return effect.body


def test_every_default_is_shown_with_the_value_that_makes_it() -> None:
    evidence = draft(SLUG, by_values()).preconditions[0].evidence
    assert "value sidecar.datasources.isDefaultDatasource" in evidence
    assert "Prometheus-platform in ConfigMap platform-monitoring/kube-prometheus-stack-grafana-datasource" in evidence
    assert "value additionalDataSources" in evidence


def test_what_a_person_wrote_stays_and_the_charts_own_is_unmarked_in_git() -> None:
    drafted = draft(SLUG, by_values())
    assert drafted.params["keep"] == "Prometheus-platform"
    assert "isDefaultDatasource: false" in drafted.git_patch
    assert any("root-app reverts a live edit" in u for u in unmet(drafted))
    assert CANARY not in repr(drafted)


def test_the_other_one_can_be_kept_by_its_name() -> None:
    drafted = draft(SLUG, by_values(), keep="Prometheus")
    assert "isDefault: false" in drafted.git_patch
    assert "isDefaultDatasource" not in drafted.git_patch
    with pytest.raises(CannotPlan, match="Marked are: Prometheus, Prometheus-platform"):
        draft(SLUG, by_values(), keep="Loki")


def test_live_it_changes_the_values_and_waits_over_the_old_deadline() -> None:
    loaded = by_values()
    unhealed(loaded)
    drafted = draft(SLUG, loaded)
    assert unmet(drafted) == []
    assert [s.verb for s in drafted.steps] == ["values", "refresh", "compare", "sync", "wait", "sync"]
    assert drafted.steps[-1].until is not None
    assert [s.until.name for s in drafted.steps[3:] if s.until] == [
        "grafana_sync_done",
        "grafana_comes_up",
        "argocd_operation_done",
    ]


def test_a_config_map_that_nobody_renders_is_changed_where_it_is() -> None:
    drafted = draft(SLUG, by_extra())
    assert unmet(drafted) == []
    assert [s.verb for s in drafted.steps] == ["unmark", "wait"]
    [entry] = yaml.safe_load(patch(drafted, "unmark")["data"]["datasource.yaml"])["datasources"]
    assert (entry["name"], entry["isDefault"]) == ("Team", False)
    assert drafted.params["keep"] == "Prometheus"
    assert drafted.git_patch == ""


def test_a_credential_in_that_config_map_never_enters_the_plan() -> None:
    text = yaml.safe_dump({"datasources": [default("Team", secureJsonData={"password": CANARY})]})
    drafted = draft(SLUG, by_extra(text))
    assert CANARY not in repr(drafted)
    assert "${live:/data/datasource.yaml#0}" in patch(drafted, "unmark")["data"]["datasource.yaml"]


def test_a_config_map_that_argo_cd_sets_back_is_not_changed_live() -> None:
    tracking = f"kube-prometheus-stack:/ConfigMap:{NAMESPACE}/team-datasource"
    drafted = draft(SLUG, by_extra(annotations={"argocd.argoproj.io/tracking-id": tracking}))
    assert any("team-datasource can be changed where it is" in u for u in unmet(drafted))
    assert "unmark" not in [s.verb for s in drafted.steps]


def test_one_default_is_as_it_should_be() -> None:
    loaded = by_extra()
    loaded["objects"]["configmaps"].pop()
    drafted = draft(SLUG, loaded)
    assert drafted.steps == ()
    assert any("More than one datasource is marked" in u for u in unmet(drafted))


def test_what_no_sidecar_collects_is_not_read_by_grafana() -> None:
    loaded = by_extra()
    containers = loaded["objects"]["deployments.apps"][0]["spec"]["template"]["spec"]["containers"]
    containers[:] = [c for c in containers if c["name"] == "grafana"]
    assert draft(SLUG, loaded).preconditions[0].evidence == "none is marked"


def test_the_file_of_the_values_counts_and_is_changed_there() -> None:
    loaded = case()
    sidecar(loaded, "datasource")
    text = yaml.safe_dump({"datasources": [default("Prometheus", uid="prometheus")]})
    meta = {"name": GRAFANA, "namespace": NAMESPACE}
    loaded["objects"]["configmaps"].append({"metadata": meta, "data": {"grafana.ini": "", "datasources.yaml": text}})
    config_map(loaded, "team-datasource", default("Team"))
    drafted = draft(SLUG, loaded, keep="Team")
    assert "value datasources.datasources.yaml.datasources" in drafted.preconditions[0].evidence
    assert "isDefault: false" in drafted.git_patch


def test_config_maps_that_were_not_read_start_nothing() -> None:
    loaded = by_extra()
    del loaded["objects"]["configmaps"]
    loaded["errors"] = {"configmaps": "forbidden"}
    with pytest.raises(Missing, match="forbidden"):
        draft(SLUG, loaded)


@pytest.mark.parametrize("made", [by_values, by_extra])
def test_a_second_draft_of_the_filled_parameters_is_the_same(made: Any) -> None:
    first = draft(SLUG, made())
    assert draft(SLUG, made(), **first.params) == first
