"""Argo CD's decisions as pure functions: when it syncs by itself, what is a difference, how it waits."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from lab.api import patching
from lab.controllers.argocd import autosync, compare, diff, kinds, operation, windows
from lab.git import Repository
from lab.scenarios import build

NOW = datetime(2025, 11, 23, 13, 52, tzinfo=UTC)
LONG_AGO = 1e9
GRAFANA = "kube-prometheus-stack-grafana"


class Lists:
    """A view over plain objects."""

    def __init__(self, objects: list[Any]) -> None:
        from lab.scenarios.builder import key_for

        self.objects: dict[str, list[Any]] = {}
        for obj in objects:
            self.objects.setdefault(key_for(obj), []).append(obj)

    def list(self, resource: str, namespace: str | None = None, selector: Any = None) -> list[Any]:
        return list(self.objects.get(resource, []))

    def get(self, resource: str, namespace: str | None, name: str) -> Any:
        wanted = (namespace or "", name)
        found = (
            o
            for o in self.objects.get(resource, [])
            if (o["metadata"].get("namespace", ""), o["metadata"]["name"]) == wanted
        )
        return next(found, None)


@pytest.fixture(scope="module")
def broken() -> tuple[Any, compare.Comparison]:
    built = build("grafana-broken", NOW)
    view = Lists(built.objects)
    app = view.get("applications.argoproj.io", "argocd", "kube-prometheus-stack")
    return app, compare.compare(app, view, Repository(built.files))


def changed(app: Any, **status: Any) -> Any:
    result = copy.deepcopy(app)
    result["status"] |= status
    return result


def succeeded(app: Any) -> Any:
    state = copy.deepcopy(app["status"]["operationState"])
    return changed(app, operationState={**state, "phase": "Succeeded", "message": "successfully synced"})


def test_after_a_failed_attempt_at_the_same_revision_and_source_it_does_not_try_again(broken: Any) -> None:
    app, found = broken
    decision = autosync.decide(app, found, LONG_AGO)
    assert decision.operation is None
    assert decision.condition and decision.condition["type"] == "SyncError"


def test_another_source_or_no_known_attempt_is_tried_wholly(broken: Any) -> None:
    app, found = broken
    other = copy.deepcopy(app)
    other["spec"]["source"]["helm"]["values"] += "\n# changed\n"
    for candidate in (other, changed(app, operationState=None)):
        decision = autosync.decide(candidate, found, LONG_AGO)
        assert decision.operation and "resources" not in decision.operation["sync"]
        assert decision.operation["initiatedBy"] == {"automated": True}


def test_after_a_success_self_heal_syncs_only_what_differs_and_waits_a_little(broken: Any) -> None:
    app, found = broken
    decision = autosync.decide(succeeded(app), found, LONG_AGO)
    assert decision.operation
    assert [entry["name"] for entry in decision.operation["sync"]["resources"]] == [GRAFANA]
    early = autosync.decide(succeeded(app), found, 1.0)
    assert early.operation is None and early.wait == autosync.SELF_HEAL_SECONDS - 1.0


def test_without_self_heal_a_done_revision_is_left_alone(broken: Any) -> None:
    app, found = broken
    quiet = succeeded(app)
    quiet["spec"]["syncPolicy"]["automated"] = {"prune": True}
    assert autosync.decide(quiet, found, LONG_AGO) == autosync.Decision()


@pytest.mark.parametrize("automated", [None, {"enabled": False, "selfHeal": True}])
def test_without_automation_nothing_starts_by_itself(broken: Any, automated: Any) -> None:
    app, found = broken
    manual = changed(app, operationState=None)
    manual["spec"]["syncPolicy"]["automated"] = automated
    assert autosync.decide(manual, found, LONG_AGO) == autosync.Decision()


def test_a_running_operation_keeps_auto_sync_away(broken: Any) -> None:
    app, found = broken
    busy = {**changed(app, operationState=None), "operation": {"sync": {}}}
    assert autosync.decide(busy, found, LONG_AGO).operation is None


def test_an_empty_target_is_never_synced_over_everything(broken: Any) -> None:
    app, found = broken
    doomed = [compare.Resource(None, r.live, True) for r in found.resources if r.live]
    decision = autosync.decide(changed(app, operationState=None), compare.Comparison("55.5.0", doomed), LONG_AGO)
    assert decision.operation is None
    assert decision.condition and "wipe out all resources" in decision.condition["message"]


# -- differences


def applied(manifest: Any) -> Any:
    gvk = ("apps", "v1", "Deployment")
    made = patching.apply(None, manifest, gvk=gvk, manager=kinds.MANAGER, force=True, now="2025-11-23T12:00:00Z")
    return {**patching.default(gvk, made, "2025-11-23T12:00:00Z"), "metadata": made["metadata"]}


def manifest() -> Any:
    container: Any = {
        "name": "c",
        "image": "i:1",
        "env": [{"name": "A", "value": "1"}],
        "resources": {"limits": {"cpu": "2000m"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n", "labels": {"a": "b"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}},
        },
    }


APP: Any = {"spec": {}}


def test_what_the_server_defaults_is_no_difference() -> None:
    assert not diff.differs(APP, manifest(), applied(manifest()))


def test_quantities_are_compared_by_value() -> None:
    live = applied(manifest())
    live["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "2"
    assert not diff.differs(APP, manifest(), live)


def test_a_changed_field_is_a_difference_and_an_added_annotation_is_not() -> None:
    live = applied(manifest())
    live["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}
    assert not diff.differs(APP, manifest(), live)
    live["spec"]["replicas"] = 2
    assert diff.differs(APP, manifest(), live)


def test_a_container_that_git_dropped_is_a_difference() -> None:
    two = manifest()
    two["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "s:1"})
    assert diff.differs(APP, manifest(), applied(two))


def test_a_container_that_somebody_else_added_is_none() -> None:
    live = applied(manifest())
    live["spec"]["template"]["spec"]["containers"].append({"name": "debug", "image": "s:1"})
    assert not diff.differs(APP, manifest(), live)


def test_ignored_pointers_do_not_count() -> None:
    live = applied(manifest())
    live["spec"]["replicas"] = 3
    app = {"spec": {"ignoreDifferences": [{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]}}
    assert not diff.differs(app, manifest(), live)


def test_a_project_that_does_not_exist_and_a_chart_that_does_not_are_conditions(broken: Any) -> None:
    app, _ = broken
    built = build("healthy", NOW)
    view = Lists(built.objects)
    lost = copy.deepcopy(app)
    lost["spec"]["project"] = "nowhere"
    found = compare.compare(lost, view, Repository(built.files))
    assert found.condition and found.condition["type"] == "InvalidSpecError" and found.sync == "Unknown"
    old = copy.deepcopy(app)
    old["spec"]["source"]["targetRevision"] = "1.0.0"
    found = compare.compare(old, view, Repository(built.files))
    assert found.condition and found.condition["type"] == "ComparisonError"
    assert "failed to generate manifest" in found.condition["message"]


# -- operations


def test_a_sync_of_some_resources_touches_only_those(broken: Any) -> None:
    _, found = broken
    reference = {
        "group": "apps",
        "kind": "Deployment",
        "name": "kube-prometheus-stack-grafana",
        "namespace": "platform-monitoring",
    }
    chosen = [r for r in found.resources if operation.selected({"sync": {"resources": [reference]}}, r)]
    assert [resource.obj["metadata"]["name"] for resource in chosen] == [GRAFANA]
    assert all(operation.selected({"sync": {}}, resource) for resource in found.resources)


def test_retries_wait_longer_each_time_up_to_the_limit() -> None:
    retry = {"limit": 5, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "1m"}}
    assert [operation.retry_delay(retry, n) for n in range(5)] == [5, 10, 20, 40, 60]


def test_namespaces_and_accounts_come_before_workloads() -> None:
    order = sorted(
        [{"kind": kind, "metadata": {"name": "x"}} for kind in ("Deployment", "Secret", "Namespace", "ServiceAccount")],
        key=kinds.apply_order,
    )
    assert [obj["kind"] for obj in order] == ["Namespace", "ServiceAccount", "Secret", "Deployment"]


def test_what_git_no_longer_has_can_say_that_it_is_no_difference(broken: tuple[Any, compare.Comparison]) -> None:
    app, found = broken
    extra = copy.deepcopy(next(r.live for r in found.resources if r.live is not None))
    assert extra is not None
    gone = compare.Resource(None, extra, True)
    rest = [compare.Resource(r.desired, r.live or r.desired, False) for r in found.resources if r.desired]
    assert compare.Comparison("1", [*rest, gone]).sync == "OutOfSync"
    extra["metadata"].setdefault("annotations", {})["argocd.argoproj.io/compare-options"] = "IgnoreExtraneous"
    assert compare.Comparison("1", [*rest, gone]).sync == "Synced"
    assert gone.entry()["status"] == "OutOfSync"
    assert autosync.decide(succeeded(app), compare.Comparison("1", [*rest, gone]), LONG_AGO).operation is None


@pytest.mark.parametrize(
    ("window", "held"),
    [
        ({"kind": "deny", "schedule": "0 13 * * *", "duration": "1h", "applications": ["*"]}, True),
        ({"kind": "deny", "schedule": "0 14 * * *", "duration": "1h", "applications": ["*"]}, False),
        ({"kind": "deny", "schedule": "0 13 * * *", "duration": "30m", "applications": ["*"]}, False),
        (
            {
                "kind": "deny",
                "schedule": "0 8 * * *",
                "duration": "1h",
                "applications": ["*"],
                "timeZone": "America/New_York",
            },
            True,
        ),
        ({"kind": "deny", "schedule": "0 13 * * *", "duration": "1h", "namespaces": ["other"]}, False),
        ({"kind": "allow", "schedule": "0 14 * * *", "duration": "1h", "applications": ["*"]}, True),
        ({"kind": "allow", "schedule": "0 13 * * *", "duration": "1h", "applications": ["*"]}, False),
        (
            {
                "kind": "deny",
                "schedule": "0 13 * * *",
                "duration": "1h",
                "applications": ["*"],
                "namespaces": ["other"],
                "andOperator": True,
            },
            False,
        ),
    ],
)
def test_a_sync_window_holds_what_argocd_would_sync_by_itself(
    broken: tuple[Any, compare.Comparison], window: Any, held: bool
) -> None:
    app, found = broken
    due = succeeded(app)
    assert windows.hold(due, {"spec": {"syncWindows": [window]}}, NOW) is held
    assert windows.hold(due, None, NOW) is False
    decision = autosync.decide(due, found, LONG_AGO, held=held)
    assert (decision.operation is None) is held
    assert decision.condition is None, "Argo CD writes nothing of it down"
