"""Plans are pure: the same snapshot and parameters give the same draft, and missing data never starts an action."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deployments.catalogue import docs, registry
from deployments.catalogue.action import CannotPlan, Patch, PlanDraft
from deployments.catalogue.argo import calls
from deployments.catalogue.seen import Outlook
from integrations.kubernetes.custom import Application, SyncWindow
from integrations.kubernetes.parts import Meta
from monitoring.checks import sync_windows
from monitoring.snapshot import Missing, from_case
from tests.deployments.fake import APPS, case

SLUG = "repair-grafana-in-place"


def recorded() -> dict[str, Any]:
    return case("grafana_missing_last_sync_failed")


def app_of(loaded: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(a for a in loaded["objects"][APPS] if a["metadata"]["name"] == "kube-prometheus-stack")
    return found


def draft(loaded: dict[str, Any], **params: Any) -> PlanDraft:
    return registry.get(SLUG).plan(from_case(loaded), registry.parse(SLUG, params))


def unmet(drafted: PlanDraft) -> list[str]:
    return [f"{p.sentence}: {p.evidence}" for p in drafted.preconditions if not p.met]


def test_everything_is_found_in_the_cluster() -> None:
    drafted = draft(recorded())
    assert drafted.params["application"] == "kube-prometheus-stack"
    assert drafted.params["application_namespace"] == "argocd"
    assert drafted.params["namespace"] == "platform-monitoring"
    assert drafted.params["release"] == "kube-prometheus-stack"
    assert unmet(drafted) == []


def test_the_steps_are_refresh_compare_sync_wait_sync() -> None:
    assert [s.verb for s in draft(recorded()).steps] == ["refresh", "compare", "sync", "wait", "sync"]


def test_the_first_sync_names_only_grafanas_own_objects_and_never_prunes() -> None:
    first = draft(recorded()).steps[2]
    assert isinstance(first.effect, Patch)
    sync = first.effect.body["operation"]["sync"]
    assert len(sync["resources"]) == 8
    assert all("grafana" in r["name"] for r in sync["resources"])
    assert sync["prune"] is False
    assert sync["syncOptions"] == ["CreateNamespace=true", "ServerSideApply=true"]
    assert first.effect.body["status"] == {"operationState": None}


def test_the_last_sync_names_no_resources_so_that_it_enters_history() -> None:
    last = draft(recorded()).steps[-1]
    assert isinstance(last.effect, Patch)
    assert "resources" not in last.effect.body["operation"]["sync"]


def test_no_secret_of_the_values_is_in_the_draft() -> None:
    assert "canary-Pa55word-7731" not in repr(draft(recorded()))


def test_a_second_draft_of_filled_parameters_is_the_same() -> None:
    first = draft(recorded())
    assert draft(recorded(), **first.params) == first


def test_the_order_of_resources_in_the_status_does_not_matter() -> None:
    shuffled = recorded()
    app_of(shuffled)["status"]["resources"].reverse()
    assert draft(shuffled).steps == draft(recorded()).steps


def test_it_counts_what_it_touches() -> None:
    blast = draft(recorded()).blast
    assert blast.created == ("Deployment kube-prometheus-stack-grafana",)
    assert blast.changed == ()
    assert len(blast.unchanged) == 7
    assert "3 other objects" in blast.sentence


def test_it_says_who_manages_the_target() -> None:
    drafted = draft(recorded())
    assert "kube-prometheus-stack, selfHeal on" in drafted.managed_by
    assert "root-app has selfHeal on" in drafted.managed_by


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"metadata": {"deletionTimestamp": "2025-11-23T13:59:00Z"}}, "is not being deleted"),
        ({"operation": {"sync": {}}}, "No operation is running"),
        ({"helm": "grafana:\n  enabled: false\n  adminPassword: x\n"}, "Grafana is enabled"),
        ({"helm": "grafana:\n  enabled: true\n"}, "admin password is fixed"),
        ({"helm": "grafana: [unclosed"}, "Grafana is enabled"),
        ({"resource": {"kind": "Prometheus", "status": "OutOfSync"}}, "nothing else does"),
        ({"resource": {"kind": "Alertmanager", "requiresPruning": True}}, "nothing else does"),
        ({"resource": {"kind": "Deployment", "status": "Synced"}}, "Something of Grafana differs"),
    ],
)
def test_a_precondition_that_is_not_met_is_named(change: dict[str, Any], sentence: str) -> None:
    loaded = recorded()
    app = app_of(loaded)
    app["metadata"].update(change.get("metadata", {}))
    if "operation" in change:
        app["operation"] = change["operation"]
        app["status"]["operationState"] = {"phase": "Running", "startedAt": "2025-11-23T13:55:00Z"}
    if "helm" in change:
        app["spec"]["source"]["helm"]["values"] = change["helm"]
    for resource in app["status"]["resources"]:
        if resource["kind"] == change.get("resource", {}).get("kind"):
            resource.update(change["resource"])
    assert [u for u in unmet(draft(loaded)) if sentence in u], unmet(draft(loaded))


def test_an_operation_that_does_not_move_for_a_quarter_of_an_hour_is_terminated_first() -> None:
    loaded = recorded()
    app = app_of(loaded)
    app["operation"] = {"sync": {}}
    app["status"]["operationState"] = {"phase": "Running", "startedAt": "2025-11-23T13:40:00Z"}
    drafted = draft(loaded)
    assert drafted.steps[0].verb == "terminate"
    assert unmet(drafted) == []


def test_a_release_name_that_no_longer_renders_the_running_names_blocks() -> None:
    loaded = recorded()
    for resource in app_of(loaded)["status"]["resources"]:
        resource["status"] = "OutOfSync"
    assert any("renders the names" in u for u in unmet(draft(loaded)))


def test_a_closed_sync_window_blocks_and_is_never_passed_by() -> None:
    loaded = recorded()
    window = {"kind": "deny", "schedule": "0 13 * * *", "duration": "2h", "applications": ["kube-*"]}
    loaded["objects"]["appprojects.argoproj.io"][0]["spec"] = {"syncWindows": [window]}
    assert any("No sync window is closed" in u for u in unmet(draft(loaded)))


def test_without_an_application_there_is_no_plan_but_a_sentence() -> None:
    loaded = recorded()
    loaded["objects"][APPS] = []
    with pytest.raises(CannotPlan, match="No Argo CD Application renders Grafana"):
        draft(loaded)


def test_what_was_not_read_never_starts_an_action() -> None:
    loaded = recorded()
    del loaded["objects"][APPS]
    loaded["errors"] = {APPS: "The API server does not answer."}
    with pytest.raises(Missing, match="does not answer"):
        draft(loaded)


def test_a_parameter_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"Parameters are: application, application_namespace"):
        registry.parse(SLUG, {"aplication": "x"})


def test_numbers_may_come_as_text() -> None:
    assert registry.parse(SLUG, {"hold_seconds": "5"}).hold_seconds == 5  # type: ignore[attr-defined]


def test_the_documentation_is_made_from_the_catalogue() -> None:
    written = (Path(__file__).parents[2] / "docs" / "actions.md").read_text(encoding="utf-8")
    assert written == docs.page(), "run: python -m deployments.catalogue.docs > docs/actions.md"


def test_every_action_says_what_guards_it_what_proves_it_and_what_undoes_it() -> None:
    silent = [a.slug for a in registry.all_actions() if not (a.guards and a.verified_by and a.undo and a.summary)]
    assert silent == []
    nameless = [f"{a.slug}.{f.name}" for a in registry.all_actions() for f in registry.fields(a) if not f.about]
    assert nameless == []


def test_every_action_can_be_shown_as_a_form() -> None:
    for action in registry.all_actions():
        for one in registry.fields(action):
            assert one.kind in ("text", "long", "list", "number", "flag", "choice")


# -- conditions


def look(loaded: dict[str, Any], name: str, **args: Any) -> Any:
    from deployments.catalogue import conditions
    from deployments.catalogue.action import Condition

    where = {"namespace": "argocd", "name": "kube-prometheus-stack", **args}
    return conditions.look(Condition(name, where), from_case(loaded), {})


def test_an_operation_that_is_not_ours_is_outcome_unknown_never_done() -> None:
    loaded = recorded()
    app_of(loaded)["status"]["operationState"] |= {"phase": "Succeeded"}
    assert look(loaded, "argocd_operation_done", mark="RUN.3").outlook == Outlook.UNKNOWN


def test_our_operation_is_recognised_by_its_mark() -> None:
    loaded = recorded()
    state = app_of(loaded)["status"]["operationState"]
    state["operation"] = {"info": [{"name": calls.INFO, "value": "RUN.3"}]}
    state["phase"] = "Succeeded"
    assert look(loaded, "argocd_operation_done", mark="RUN.3").outlook == Outlook.MET
    state["phase"] = "Failed"
    assert look(loaded, "argocd_operation_done", mark="RUN.3").outlook == Outlook.FAILED


def test_other_objects_that_differ_refuse_the_sync() -> None:
    loaded = recorded()
    app_of(loaded)["status"]["resources"][-1]["status"] = "OutOfSync"
    seen = look(loaded, "argocd_only_differs", base="kube-prometheus-stack-grafana")
    assert seen.outlook == Outlook.REFUSED
    assert "kube-prometheus-stack-operator" in seen.sentence


# -- sync windows


@pytest.mark.parametrize(
    ("schedule", "duration", "at", "active"),
    [
        ("0 22 * * *", "1h", "2025-11-23T22:30:00", True),
        ("0 22 * * *", "1h", "2025-11-23T23:00:00", False),
        ("0 22 * * *", "8h", "2025-11-24T05:59:00", True),
        ("*/15 * * * *", "5m", "2025-11-23T10:03:00", True),
        ("*/15 * * * *", "5m", "2025-11-23T10:08:00", False),
        ("0 0 * * SUN", "24h", "2025-11-23T12:00:00", True),
        ("0 0 * * 7", "24h", "2025-11-23T12:00:00", True),
        ("0 0 * * MON-FRI", "24h", "2025-11-23T12:00:00", False),
        ("0 0 1 * *", "24h", "2025-12-01T05:00:00", True),
        ("nonsense", "1h", "2025-11-23T12:00:00", None),
        ("0 0 * * *", "soon", "2025-11-23T12:00:00", None),
    ],
)
def test_a_sync_window_is_open_when_its_schedule_says_so(
    schedule: str, duration: str, at: str, active: bool | None
) -> None:
    window = SyncWindow(kind="deny", schedule=schedule, duration=duration, applications=["*"])
    assert sync_windows.is_active(window, datetime.fromisoformat(at).replace(tzinfo=UTC)) is active


@pytest.mark.parametrize(
    ("windows", "held"),
    [
        ([], ""),
        ([{"kind": "deny", "schedule": "0 9 * * *", "duration": "2h", "applications": ["*"]}], "deny"),
        (
            [{"kind": "deny", "schedule": "0 9 * * *", "duration": "2h", "applications": ["*"], "manualSync": True}],
            "deny",
        ),
        ([{"kind": "deny", "schedule": "0 11 * * *", "duration": "2h", "applications": ["*"]}], ""),
        ([{"kind": "deny", "schedule": "at nine", "duration": "2h", "applications": ["*"]}], ""),
        ([{"kind": "deny", "schedule": "* * * * *", "duration": "9" * 400 + "h", "applications": ["*"]}], ""),
        ([{"kind": "allow", "schedule": "0 11 * * *", "duration": "2h", "applications": ["*"]}], "allow"),
        ([{"kind": "allow", "schedule": "at nine", "duration": "2h", "applications": ["*"]}], ""),
        ([{"kind": "allow", "schedule": "0 11 * * *", "duration": "2h", "applications": ["other"]}], ""),
        (
            [
                {
                    "kind": "deny",
                    "schedule": "0 9 * * *",
                    "duration": "2h",
                    "applications": ["*"],
                    "namespaces": ["other"],
                    "andOperator": True,
                }
            ],
            "",
        ),
    ],
)
def test_a_window_holds_automatic_syncs_only_where_it_is_known_to(windows: list[dict[str, Any]], held: str) -> None:
    app = Application(metadata=Meta(name="monitoring", namespace="argocd"))
    found = [msgspec.convert(window, SyncWindow) for window in windows]
    said = sync_windows.holds(found, app, datetime(2026, 3, 2, 10, tzinfo=UTC))
    assert (held in said) if held else said == ""


def test_grafana_in_another_namespace_than_said_is_an_unmet_precondition() -> None:
    assert any("not elsewhere" in u for u in unmet(draft(recorded(), namespace="elsewhere")))


def test_what_is_needed_names_the_namespace_once_the_application_is_known() -> None:
    from monitoring.snapshot import Objects, Snapshot

    action, params = registry.get(SLUG), registry.parse(SLUG, {})
    blind = Snapshot("demo", datetime(2025, 11, 23, 14, tzinfo=UTC))
    first = set(action.needs(blind, params))
    assert (
        Objects("deployments.apps", "platform-monitoring") in set(action.needs(from_case(recorded()), params)) - first
    )
