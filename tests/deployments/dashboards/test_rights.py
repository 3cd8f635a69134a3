"""deploy/rbac.yaml grants what the Grafana family does, by name where it can, and the actions' rules say all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.catalogue import registry
from deployments.catalogue.action import Apply, Call, Create, Patch, StepSpec
from deployments.catalogue.dashboards import family
from integrations.kubernetes.kinds import RESOURCES
from lab.scenarios import access
from monitoring.snapshot import Objects, Raw, from_case
from tests.deployments.dashboards.test_fix_defaults import by_extra
from tests.deployments.dashboards.test_standalone import broken
from tests.deployments.dashboards.world import GRAFANA, case, draft, rendered, sidecar, unhealed, values, without
from tests.deployments.nodes.test_rights import granted

ROLES = list(yaml.load_all((Path(__file__).parents[3] / "deploy" / "rbac.yaml").read_text(), Loader=yaml.CSafeLoader))
MINE: list[dict[str, Any]] = next(r for r in ROLES if r["metadata"]["name"] == "portal-grafana" and "rules" in r)[
    "rules"
]
NEEDED = {Patch: {"get", "patch"}, Apply: {"get", "patch", "create"}, Create: {"get", "create"}}


def repair_with_everything() -> dict[str, Any]:
    loaded = case()
    unhealed(loaded)
    values(loaded, "persistence:\n    enabled: false", "persistence:\n    enabled: true")
    values(loaded, '  adminPassword: "canary-Pa55word-7731"\n', "")
    rendered(loaded, "PersistentVolumeClaim", GRAFANA)
    rendered(loaded, "Prometheus", "kube-prometheus-stack-prometheus")
    return loaded


def collected() -> dict[str, Any]:
    loaded = case()
    sidecar(loaded, "datasource")
    sidecar(loaded, "dashboard")
    return loaded


def without_service() -> dict[str, Any]:
    loaded = broken()
    without(loaded, "services", GRAFANA)
    return loaded


EVERYTHING = "existing-secret,no-persistence,recreate"
PLANS: tuple[tuple[str, Any, dict[str, str]], ...] = (
    ("repair-grafana-in-place", repair_with_everything, {"recipe": "keep", "fixes": EVERYTHING}),
    ("grafana-standalone", without_service, {}),
    ("configure-datasources", collected, {}),
    ("import-dora-dashboards", collected, {}),
    ("create-grafana-admin-secret", case, {}),
    ("fix-duplicate-default-datasource", by_extra, {}),
)


def writes(steps: tuple[StepSpec, ...]) -> Iterator[tuple[str, str, str, set[str]]]:
    for step in steps:
        if step.effect is not None and not isinstance(step.effect, Call):
            known = RESOURCES[step.resource]
            yield known.group, known.plural, step.name, NEEDED[type(step.effect)]


@pytest.mark.parametrize(("slug", "made", "params"), PLANS, ids=[slug for slug, _, _ in PLANS])
def test_the_rules_of_an_action_say_all_that_its_steps_do(slug: str, made: Any, params: dict[str, str]) -> None:
    rules = {(rule.group, rule.resource): set(rule.verbs) for rule in registry.get(slug).rules}
    drafted = draft(slug, made(), **params)
    assert drafted.steps
    for group, resource, _, verbs in writes(drafted.steps):
        assert verbs <= rules.get((group, resource), set()), (group, resource)


@pytest.mark.parametrize(("slug", "made", "params"), PLANS, ids=[slug for slug, _, _ in PLANS])
def test_the_operator_may_do_it_by_name_where_a_name_can_be_given(slug: str, made: Any, params: dict[str, str]) -> None:
    for group, resource, name, verbs in writes(draft(slug, made(), **params).steps):
        if group == "argoproj.io":
            continue  # granted with the Argo CD family
        may = {
            verb
            for rule in MINE
            if group in rule["apiGroups"]
            and resource in rule["resources"]
            and name in rule.get("resourceNames", [name])
            for verb in rule["verbs"]
        }
        assert verbs <= may, (resource, name)


@pytest.mark.parametrize("action", family.ACTIONS, ids=lambda action: action.slug)
def test_the_observer_may_read_what_the_plan_needs_and_no_secret(action: Any) -> None:
    for need in action.needs(from_case(case()), registry.parse(action.slug, {})):
        if isinstance(need, Objects | Raw):
            known = RESOURCES[need.resource]
            assert known.plural != "secrets"
            assert {"get", "list"} <= granted("portal-observer", known.group, known.plural), need


def test_secrets_are_read_and_deleted_by_one_name() -> None:
    named = [rule for rule in MINE if "secrets" in rule["resources"] and set(rule["verbs"]) & {"get", "delete"}]
    assert [rule["resourceNames"] for rule in named] == [["grafana-admin"]]
    assert not any("patch" in rule["verbs"] for rule in MINE if "secrets" in rule["resources"])


def test_the_lab_grants_the_same() -> None:
    assert access.GRAFANA == MINE
