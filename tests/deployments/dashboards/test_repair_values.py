"""*Repair Grafana in place* where a value is the cause: which values, by Git first, and live only if that stays."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import Create, Patch, PlanDraft, StepSpec
from deployments.catalogue.argo.calls import INFO
from deployments.catalogue.dashboards import chart as charts
from deployments.catalogue.dashboards.chart import Chart
from deployments.catalogue.seen import Outlook
from monitoring.verdict import Finding
from tests.deployments.dashboards.test_fix_defaults import by_values
from tests.deployments.dashboards.world import (
    APPS,
    CANARY,
    DEPLOYMENTS,
    GRAFANA,
    NAMESPACE,
    STACK,
    case,
    crashing,
    draft,
    look,
    named,
    rendered,
    unhealed,
    unmet,
    values,
    without,
)

SLUG = "repair-grafana-in-place"
OLD, NEW = Chart((7, 0), (1, 30)), Chart((12, 11), (1, 30))


def live() -> dict[str, Any]:
    loaded = case()
    unhealed(loaded)
    rendered(loaded, "Prometheus", "kube-prometheus-stack-prometheus")
    return loaded


def step(drafted: PlanDraft, verb: str) -> StepSpec:
    [found] = [s for s in drafted.steps if s.verb == verb]
    return found


def body(drafted: PlanDraft, verb: str = "values") -> dict[str, Any]:
    effect = step(drafted, verb).effect
    assert isinstance(effect, Patch)
    return effect.body


def finding(name: str, confidence: float = 0.9) -> Finding:
    return Finding(id=name, cause="x", title="x", sentence="x", confidence=confidence)


# -- which recipe and which fixes


@pytest.mark.parametrize(
    ("found", "fixes"),
    [
        (["G8"], ("startup",)),
        (["G3", "G8"], ("no-persistence", "startup")),
        (["G4"], ("no-chown",)),
        (["G2"], ("single-default",)),
        (["G16"], ("existing-secret",)),
        (["A2", "G19", "G1"], ()),
        ([], ()),
    ],
)
def test_findings_ask_for_fixes_of_their_own_cause_and_no_others(found: list[str], fixes: tuple[str, ...]) -> None:
    assert charts.fixes_for(map(finding, found)) == fixes


def test_migrations_that_only_hang_get_time_before_grafana_loses_its_volume() -> None:
    assert charts.fixes_for([finding("G3", 0.6)]) == ("startup",)


@pytest.mark.parametrize(
    ("chart", "found", "recipe"),
    [
        (OLD, ["G8"], "keep"),
        (OLD, ["G14"], "V1"),
        (NEW, ["G14"], "V2"),
        (Chart((12, 11), (1, 28)), ["G13"], "V1"),
        (Chart(None, (1, 30)), ["G13"], "V3"),
        (NEW, ["G10"], "V3"),
    ],
)
def test_the_recipe_is_what_the_version_can(chart: Chart, found: list[str], recipe: str) -> None:
    assert charts.recipe_for(chart, map(finding, found)) == recipe


def test_a_chart_without_a_startup_probe_gets_a_later_liveness_probe() -> None:
    """Chart 55.5.0 of the stack knows no startupProbe: the key would change nothing, and nothing would be repaired."""
    assert charts.FIXES["startup"].wanted(OLD, 330) == {("livenessProbe", "initialDelaySeconds"): 330}
    [(path, probe)] = charts.FIXES["startup"].wanted(NEW, 330).items()
    assert (path, probe["failureThreshold"]) == (("startupProbe",), 33)


def test_watch_method_is_only_said_where_the_init_container_follows_it() -> None:
    key = ("sidecar", "datasources", "watchMethod")
    assert key not in charts.recipe_values(OLD, "V1", {})
    assert charts.recipe_values(NEW, "V1", {})[key] == "LIST"


def test_the_version_is_read_from_labels_and_else_from_what_is_known_of_the_stack() -> None:
    from monitoring.snapshot import from_case

    assert charts.of(from_case(case()), NAMESPACE) == Chart((7, 0), (1, 30))
    loaded = case()
    without(loaded, DEPLOYMENTS, GRAFANA)
    assert charts.of(from_case(loaded), NAMESPACE, "55.5.0").version == (7, 0)
    assert charts.of(from_case(loaded), NAMESPACE, "88.5.3").version is None
    del loaded["version"]
    assert charts.of(from_case(loaded), NAMESPACE).kubernetes is None


def test_a_recipe_that_the_version_cannot_is_unmet() -> None:
    assert any("V2 needs a chart from 10.2" in u for u in unmet(draft(SLUG, live(), recipe="V2", fixes="none")))


def test_auto_follows_the_diagnosis_of_the_same_snapshot() -> None:
    loaded = by_values()
    unhealed(loaded)
    crashing(loaded, "Datasource provisioning error: Only one datasource per organization can be marked as default")
    drafted = draft(SLUG, loaded)
    assert (drafted.params["recipe"], drafted.params["fixes"]) == ("keep", "single-default")
    assert any(p.evidence.startswith("grafana.sidecar") and "G2: " in p.evidence for p in drafted.preconditions)
    # the pod is up for a moment: the plan that was read stays the plan
    loaded["objects"]["pods"].clear()
    assert draft(SLUG, loaded, **drafted.params).steps == drafted.steps
    assert draft(SLUG, loaded).params["fixes"] == "none"


# -- Git first


def test_with_a_parent_that_heals_only_git_can_and_the_patch_is_there() -> None:
    drafted = draft(SLUG, case(), recipe="keep", fixes="startup")
    assert any("root-app reverts a live edit at once" in u for u in unmet(drafted))
    assert "pause auto-sync of root-app first" in " ".join(unmet(drafted))
    assert "+          livenessProbe:" in drafted.git_patch
    assert "+            initialDelaySeconds: 330" in drafted.git_patch
    assert "bootstrap/apps/monitoring.yaml" in drafted.git_way
    assert CANARY not in repr(drafted)


def test_with_a_claim_git_says_how_to_keep_it_before_argo_cd_prunes_it() -> None:
    loaded = case()
    values(loaded, "persistence:\n    enabled: false", "persistence:\n    enabled: true")
    rendered(loaded, "PersistentVolumeClaim", GRAFANA)
    drafted = draft(SLUG, loaded, recipe="keep", fixes="no-persistence")
    assert f"annotate pvc {GRAFANA}" in drafted.git_way
    assert "Prune=false" in drafted.git_way


# -- live


def test_the_values_text_is_changed_with_its_credentials_left_where_they_are() -> None:
    drafted = draft(SLUG, live(), recipe="keep", fixes="startup", startup_seconds=600)
    assert unmet(drafted) == []
    assert [s.verb for s in drafted.steps] == ["values", "refresh", "compare", "sync", "wait", "sync"]
    text = body(drafted)["spec"]["source"]["helm"]["values"]
    assert "initialDelaySeconds: 600" in text
    assert "adminPassword: ${live:/spec/source/helm/values#0}" in text
    assert CANARY not in repr(drafted)
    assert [g.name for g in step(drafted, "values").guards] == ["argocd_idle"]


def test_a_values_object_is_merged_key_by_key() -> None:
    loaded = live()
    named(loaded, APPS, STACK)["spec"]["source"]["helm"] = {"valuesObject": {"grafana": {"adminPassword": CANARY}}}
    drafted = draft(SLUG, loaded, recipe="keep", fixes="no-chown")
    assert body(drafted)["spec"]["source"]["helm"] == {
        "valuesObject": {"grafana": {"initChownData": {"enabled": False}}}
    }
    assert CANARY not in repr(drafted)


@pytest.mark.parametrize("change", ["parameter", "sources"])
def test_what_cannot_be_changed_live_says_why(change: str) -> None:
    loaded = live()
    spec = named(loaded, APPS, STACK)["spec"]
    if change == "parameter":
        spec["source"]["helm"]["parameters"] = [{"name": "grafana.initChownData.enabled", "value": "true"}]
    else:
        spec["sources"] = [spec.pop("source"), {"repoURL": "https://git.example.org/values.git", "ref": "values"}]
    drafted = draft(SLUG, loaded, recipe="keep", fixes="no-chown")
    assert any("A live change of the values stays" in u for u in unmet(drafted))
    assert "values" not in [s.verb for s in drafted.steps]


def test_a_secret_for_the_password_is_created_before_the_values_refer_to_it() -> None:
    loaded = live()
    values(loaded, f'  adminPassword: "{CANARY}"\n', "")
    assert any("admin password is fixed" in u for u in unmet(draft(SLUG, loaded, recipe="keep", fixes="none")))
    drafted = draft(SLUG, loaded, recipe="keep", fixes="existing-secret")
    assert unmet(drafted) == []
    assert [s.verb for s in drafted.steps][:2] == ["create", "values"]
    assert isinstance(drafted.steps[0].effect, Create)
    assert "existingSecret: grafana-admin" in body(drafted)["spec"]["source"]["helm"]["values"]


def test_a_claim_that_the_chart_drops_is_kept_from_pruning_first() -> None:
    loaded = live()
    values(loaded, "persistence:\n    enabled: false", "persistence:\n    enabled: true")
    rendered(loaded, "PersistentVolumeClaim", GRAFANA)
    drafted = draft(SLUG, loaded, recipe="keep", fixes="no-persistence")
    assert [s.verb for s in drafted.steps][:2] == ["keep", "values"]
    notes = body(drafted, "keep")["metadata"]["annotations"]
    assert notes["argocd.argoproj.io/sync-options"] == "Prune=false"
    assert GRAFANA in drafted.blast.claims[0]
    assert drafted.blast.deleted == ()
    # nothing prunes by itself: nothing to keep
    named(loaded, APPS, STACK)["spec"]["syncPolicy"]["automated"]["prune"] = False
    assert "keep" not in [s.verb for s in draft(SLUG, loaded, recipe="keep", fixes="no-persistence").steps]


def test_recreate_first_takes_out_what_the_server_filled_in_for_a_rolling_update() -> None:
    drafted = draft(SLUG, live(), recipe="keep", fixes="recreate")
    assert [s.verb for s in drafted.steps][:2] == ["values", "strategy"]
    assert body(drafted, "strategy")["spec"]["strategy"] == {"type": "Recreate", "rollingUpdate": None}


def test_v3_brings_the_datasources_as_a_file_unless_the_values_have_one() -> None:
    kept = body(draft(SLUG, live(), recipe="V3", fixes="no-chown"))["spec"]["source"]["helm"]["values"]
    assert kept.count("datasources.yaml:") == 1
    assert "uid: alertmanager" not in kept
    loaded = live()
    helm = named(loaded, APPS, STACK)["spec"]["source"]["helm"]
    helm["values"] = "grafana:\n  adminPassword: x\n"
    text = body(draft(SLUG, loaded, recipe="V3", fixes="none"))["spec"]["source"]["helm"]["values"]
    assert "datasources.yaml:" in text
    assert "uid: alertmanager" in text


def test_a_sidecar_and_a_file_of_the_values_would_be_two_defaults_so_the_file_goes() -> None:
    """Found on the lab: V1 over the team's values, which name Prometheus in a file, and Grafana exited over two."""
    text = body(draft(SLUG, live(), recipe="V1", fixes="none"))["spec"]["source"]["helm"]["values"]
    assert "initDatasources: true" in text
    assert "datasources.yaml:" not in text


def test_what_the_chart_does_not_bring_stays_in_the_file_and_stays_the_default() -> None:
    loki = {"name": "Loki", "type": "loki", "isDefault": True}
    file = {"datasources": {"a.yaml": {"datasources": [{"name": "Prometheus", "type": "prometheus"}, loki]}}}
    wanted = charts.recipe_values(OLD, "V1", file)
    assert wanted["datasources", "a.yaml", "datasources"] == [loki]
    assert wanted["sidecar", "datasources", "isDefaultDatasource"] is False
    added = {"additionalDataSources": [{"name": "Mine", "type": "prometheus", "isDefault": True}]}
    assert charts.recipe_values(OLD, "V1", added)["sidecar", "datasources", "isDefaultDatasource"] is False
    assert ("sidecar", "datasources", "isDefaultDatasource") not in charts.recipe_values(OLD, "V1", {})
    # Grafana's chart alone brings none, so nothing of the file is double
    assert ("datasources", "a.yaml", "datasources") not in charts.recipe_values(OLD, "V1", file, stack=False)


def test_values_that_say_it_already_need_no_change() -> None:
    loaded = live()
    named(loaded, APPS, STACK)["status"]["resources"][0]["status"] = "OutOfSync"
    drafted = draft(SLUG, loaded, recipe="keep", fixes="no-persistence")
    assert unmet(drafted) == []
    assert [s.verb for s in drafted.steps] == ["refresh", "compare", "sync", "wait", "sync"]


def test_something_else_that_differs_from_git_blocks_a_change_of_values_too() -> None:
    loaded = live()
    named(loaded, APPS, STACK)["status"]["resources"][-1]["status"] = "OutOfSync"
    assert any("Nothing but Grafana differs" in u for u in unmet(draft(SLUG, loaded, recipe="keep", fixes="startup")))


def test_the_undo_names_the_values_as_they_were() -> None:
    drafted = draft(SLUG, live(), recipe="keep", fixes="startup,no-chown")
    assert "grafana.initChownData.enabled-" in drafted.undo
    assert "grafana.livenessProbe.initialDelaySeconds-" in drafted.undo


@pytest.mark.parametrize(
    "params",
    [{}, {"fixes": "startup"}, {"recipe": "V1"}, {"recipe": "V3", "fixes": "no-chown, startup"}, {"fixes": "none"}],
)
def test_a_second_draft_of_the_filled_parameters_is_the_same(params: dict[str, str]) -> None:
    first = draft(SLUG, live(), **params)
    assert first.params["recipe"] != "auto"
    assert first.params["fixes"]
    second = draft(SLUG, live(), **first.params)
    assert (second.steps, second.params, second.git_patch) == (first.steps, first.params, first.git_patch)


def test_a_fix_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"no fix called reboot; there are existing-secret"):
        registry.parse(SLUG, {"fixes": "reboot"})


# -- conditions


def test_only_grafana_may_differ_and_only_grafanas_may_go() -> None:
    asked = {"namespace": "argocd", "name": STACK, "base": GRAFANA}
    loaded = live()
    assert look(loaded, "grafana_only_differs", **asked).outlook == Outlook.MET
    rendered(loaded, "ConfigMap", f"{GRAFANA}-datasource", status="OutOfSync", requiresPruning=True)
    seen = look(loaded, "grafana_only_differs", **asked)
    assert (seen.outlook, len(seen.lines)) == (Outlook.MET, 1)
    assert "to prune" in seen.lines[0].text
    rendered(loaded, "ConfigMap", "kube-prometheus-stack-etcd", status="OutOfSync", requiresPruning=True)
    assert look(loaded, "grafana_only_differs", **asked).outlook == Outlook.REFUSED
    named(loaded, APPS, STACK)["status"]["sync"]["status"] = "Unknown"
    assert look(loaded, "grafana_only_differs", **asked).outlook == Outlook.NOT_YET
    named(loaded, APPS, STACK)["status"]["conditions"] = [{"type": "ComparisonError", "message": "no such chart"}]
    assert "no such chart" in look(loaded, "grafana_only_differs", **asked).sentence
    without(loaded, APPS, STACK)
    assert look(loaded, "grafana_only_differs", **asked).outlook == Outlook.REFUSED


def test_a_deadline_that_passed_before_the_change_does_not_fail_the_wait() -> None:
    loaded = live()
    asked = {"namespace": NAMESPACE, "name": GRAFANA}
    item = named(loaded, DEPLOYMENTS, GRAFANA)
    item["metadata"]["generation"] = 3
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
    item["status"] = {"observedGeneration": 3, "replicas": 1, "conditions": [late]}
    assert look(loaded, "rolled_out", **asked).outlook == Outlook.FAILED
    assert look(loaded, "grafana_comes_up", **asked).outlook == Outlook.NOT_YET
    item["status"] |= {"conditions": [], "readyReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    assert look(loaded, "grafana_comes_up", **asked).outlook == Outlook.MET
    item["metadata"]["deletionTimestamp"] = "2025-11-24T08:59:00Z"
    assert look(loaded, "grafana_comes_up", **asked).outlook == Outlook.FAILED


def test_a_sync_that_failed_only_over_a_grafana_that_crashed_until_now_is_over() -> None:
    loaded = live()
    asked = {"namespace": "argocd", "name": STACK, "base": GRAFANA, "mark": "R.3"}
    where = {"group": "apps", "kind": "Deployment", "namespace": NAMESPACE, "name": GRAFANA}
    degraded = {**where, "status": "Synced", "hookPhase": "Failed", "message": "exceeded its progress deadline"}
    applied = {"kind": "ConfigMap", "name": f"{GRAFANA}-datasource", "status": "Synced", "hookPhase": "Running"}
    result = {"revision": "55.5.0", "resources": [applied, degraded]}
    ours = {"info": [{"name": INFO, "value": "R.3"}]}
    state = {"phase": "Failed", "message": "one or more …", "operation": ours, "syncResult": result}
    named(loaded, APPS, STACK)["status"]["operationState"] = state

    seen = look(loaded, "grafana_sync_done", **asked)
    assert (seen.outlook, [line.level for line in seen.lines][-1]) == (Outlook.MET, "warn"), seen
    strict = look(loaded, "argocd_operation_done", **asked)
    assert strict.outlook == Outlook.FAILED
    assert strict.lines[0].text == f"Deployment {GRAFANA}: exceeded its progress deadline", "the log names what failed"

    for worse in (
        {"status": "SyncFailed", "hookPhase": "Failed"},
        {"name": "kube-prometheus-stack-operator"},
        {"hookType": "PreSync"},
    ):
        state["syncResult"] = {**result, "resources": [applied, {**degraded, **worse}]}
        assert look(loaded, "grafana_sync_done", **asked).outlook == Outlook.FAILED, worse
    state["syncResult"] = {**result, "resources": [applied]}
    assert look(loaded, "grafana_sync_done", **asked).outlook == Outlook.FAILED, "nobody says what failed"
