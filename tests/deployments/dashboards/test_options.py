"""The report's options A, B, C and D: what holds for each now, and which one is recommended."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue import registry
from deployments.catalogue.dashboards import options as decision
from deployments.catalogue.dashboards.options import Option
from monitoring.snapshot import Snapshot, from_case
from tests.deployments.dashboards.test_fix_defaults import by_values
from tests.deployments.dashboards.test_standalone import broken
from tests.deployments.dashboards.world import APPS, CANARY, STACK, case, crashing, named, rendered, values, without


def reported() -> dict[str, Any]:
    """The report's hour, with what plan B reads of the Application."""
    loaded = broken()
    rendered(loaded, "Prometheus", "kube-prometheus-stack-prometheus", group="monitoring.coreos.com")
    resources = named(loaded, APPS, STACK)["status"]["resources"]
    resources[0] |= {"status": "OutOfSync", "health": {"status": "Missing"}}
    loaded["raws"] = {f"{APPS} argocd/{STACK}": named(loaded, APPS, STACK)}
    return loaded


def by_key(loaded: dict[str, Any]) -> dict[str, Option]:
    return {option.key: option for option in decision.options(from_case(loaded))}


def test_each_option_is_the_plan_of_an_action_with_its_evidence() -> None:
    found = by_key(reported())
    assert list(found) == ["D", "A", "B", "C"]
    assert {key: option.action for key, option in found.items()} == {
        "D": "repair-grafana-in-place",
        "A": "grafana-standalone",
        "B": "recreate-application",
        "C": "use-prometheus-ui",
    }
    for option in found.values():
        assert isinstance(registry.parse(option.action, option.params), registry.get(option.action).params)
        assert option.preconditions and option.risk and option.undo and option.sentence
        assert all(p.evidence for p in option.preconditions)
    assert (found["B"].tier, found["C"].tier) == (3, 0)
    assert CANARY not in repr(found)


def test_in_the_reports_hour_the_repair_is_recommended_and_the_others_are_possible() -> None:
    found = by_key(reported())
    assert found["D"].met and found["A"].met and found["C"].met
    assert [key for key, option in found.items() if option.recommended] == ["D"]


def test_a_repair_that_only_git_can_make_is_still_the_one() -> None:
    """Two defaults: root-app would revert the values, so the plan does not fit here; its patch does in Git."""
    loaded = by_values()
    crashing(loaded, "Datasource provisioning error: Only one datasource per organization can be marked as default")
    found = by_key(loaded)
    assert not found["D"].met and found["D"].through_git
    assert [key for key, option in found.items() if option.recommended] == ["D"]


def test_while_something_else_differs_from_git_a_grafana_of_its_own_is_left() -> None:
    loaded = reported()
    named(loaded, APPS, STACK)["status"]["resources"][-1]["status"] = "OutOfSync"
    found = by_key(loaded)
    assert not found["D"].met and not found["D"].through_git
    assert [key for key, option in found.items() if option.recommended] == ["A"]


def test_with_grafana_up_nothing_is_recommended() -> None:
    loaded = reported()
    loaded["objects"]["endpointslices.discovery.k8s.io"].append(
        {
            "metadata": {
                "name": "grafana-x",
                "namespace": "platform-monitoring",
                "labels": {"kubernetes.io/service-name": "kube-prometheus-stack-grafana"},
            },
            "endpoints": [{"addresses": ["10.244.1.9"], "conditions": {"ready": True}}],
        }
    )
    assert not any(option.recommended for option in by_key(loaded).values())


def test_when_the_chart_has_grafana_disabled_the_standalone_one_is_left() -> None:
    loaded = reported()
    values(loaded, "grafana:\n  enabled: true", "grafana:\n  enabled: false")
    found = by_key(loaded)
    assert any("Grafana is enabled" in p.sentence and not p.met for p in found["D"].preconditions)
    assert found["A"].recommended


def test_without_an_application_repair_and_recreate_say_so() -> None:
    loaded = reported()
    without(loaded, APPS, STACK)
    found = by_key(loaded)
    assert (
        found["D"].preconditions[0].evidence
        == "No Argo CD Application renders Grafana; name one by --param application."
    )
    assert (found["B"].met, found["B"].params) == (False, {})
    assert found["A"].recommended


def test_what_was_not_read_is_an_unmet_precondition_and_never_a_yes() -> None:
    loaded = case()
    for resource in (APPS, "services"):
        del loaded["objects"][resource]
        loaded.setdefault("errors", {})[resource] = "The API server does not answer."
    found = by_key(loaded)
    assert not any(option.met or option.recommended for option in found.values())
    assert all("does not answer" in option.preconditions[0].evidence for key, option in found.items() if key != "B")


def test_the_same_snapshot_gives_the_same_decision() -> None:
    assert decision.options(from_case(reported())) == decision.options(from_case(reported()))


@pytest.mark.parametrize("loaded", [reported(), {"taken_at": case()["taken_at"]}], ids=["report", "nothing read"])
def test_its_needs_are_those_of_the_four_plans(loaded: dict[str, Any]) -> None:
    snapshot: Snapshot = from_case(loaded)
    wanted = set(decision.needs(snapshot))
    for option in decision.options(snapshot):
        action = registry.get(option.action)
        if option.key != "B" or option.params:
            assert set(action.needs(snapshot, registry.parse(option.action, option.params))) <= wanted
