"""deploy/rbac.yaml grants what this family does, by name where it can, and the actions' rules say all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.catalogue import registry
from deployments.catalogue.action import Create, Delete, Patch, PlanDraft
from deployments.catalogue.argo import family, inventory
from deployments.catalogue.argo.waited_hook import HOOK_FINALIZER
from integrations.kubernetes.kinds import RESOURCES
from lab.scenarios import access
from monitoring.snapshot import Objects, Raw
from tests.deployments.argo import test_hooks, test_recreate, test_rollback, test_terminate
from tests.deployments.argo.world import RUNNING, STACK, above, alone, decoded, planned, seen, stack
from tests.deployments.nodes.test_rights import granted

ROLES = list(yaml.load_all((Path(__file__).parents[3] / "deploy" / "rbac.yaml").read_text(), Loader=yaml.CSafeLoader))
NEEDED = {Patch: {"get", "patch"}, Create: {"get", "create"}, Delete: {"get", "delete"}}
QUIET = above({"spec": {"syncPolicy": {"automated": None}}})
PAUSED = stack({"spec": {"syncPolicy": {"automated": None}}})
HELD = test_hooks.job(**test_hooks.DELETING, finalizers=[HOOK_FINALIZER])
PLANS: dict[str, list[Callable[[], PlanDraft]]] = {
    "refresh-application": [lambda: planned("refresh-application", seen(stack(), above()))],
    "sync-application": [lambda: planned("sync-application", seen(stack(), above()))],
    "sync-selected-resources": [
        lambda: planned("sync-selected-resources", seen(stack(), above()), resources=f"Service/{STACK}-grafana")
    ],
    "terminate-operation": [lambda: planned("terminate-operation", seen(stack(RUNNING), above()))],
    "clear-stale-operation": [lambda: planned("clear-stale-operation", seen(stack(test_terminate.STALE), above()))],
    "clear-stuck-hook": [
        lambda: planned("clear-stuck-hook", test_hooks.scene(test_hooks.job())),
        lambda: planned("clear-stuck-hook", test_hooks.scene(HELD)),
    ],
    "pause-auto-sync": [lambda: planned("pause-auto-sync", seen(stack(), QUIET))],
    "resume-auto-sync": [lambda: planned("resume-auto-sync", seen(PAUSED, QUIET), automated='{"prune": true}')],
    "roll-back-application": [
        lambda: planned("roll-back-application", seen(stack(test_rollback.MANUAL), above()), id=3)
    ],
    "set-helm-values": [lambda: planned("set-helm-values", seen(stack(), QUIET), values="grafana.enabled=false")],
    "stop-cascading-deletion": [
        lambda: planned("stop-cascading-deletion", test_recreate.scene(stack(test_recreate.GOING), above()))
    ],
    "recreate-application": [
        lambda: planned("recreate-application", test_recreate.scene(stack(), above())),
        lambda: planned("recreate-application", test_recreate.scene(alone(test_recreate.PLAIN))),
    ],
}


def rules_of(role: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(r["rules"] for r in ROLES if r["metadata"]["name"] == role and "rules" in r)
    return found


def may(group: str, resource: str, name: str) -> set[str]:
    return {
        verb
        for role in ("portal-argo-operate", "portal-argo-hooks")
        for rule in rules_of(role)
        if group in rule["apiGroups"] and resource in rule["resources"] and name in rule.get("resourceNames", [name])
        for verb in rule["verbs"]
    }


def test_every_action_of_the_family_is_looked_at() -> None:
    assert set(PLANS) == {action.slug for action in family.ACTIONS}


@pytest.mark.parametrize("slug", PLANS)
def test_the_rules_of_an_action_say_all_that_its_steps_do_and_the_operator_may_do_it(slug: str) -> None:
    rules = {(rule.group, rule.resource): set(rule.verbs) for rule in registry.get(slug).rules}
    for made in PLANS[slug]:
        writes = [step for step in made().steps if step.effect is not None]
        assert writes
        for step in writes:
            known = RESOURCES[step.resource]
            verbs = NEEDED[type(step.effect)]  # type: ignore[index]
            assert verbs <= rules[(known.group, known.plural)], step.title
            if not isinstance(step.effect, Create):
                assert verbs <= may(known.group, known.plural, step.name), step.title


def test_creating_applications_is_left_to_whoever_installs_the_portal() -> None:
    """It cannot be bound to a name, and whoever may create one may deploy anything."""
    assert "create" not in granted("portal-operator", "argoproj.io", "applications")
    assert "patch" not in granted("portal-operator", "argoproj.io", "applications"), "by name only"
    assert may("argoproj.io", "applications", "infrastructure") == set()


def test_the_observer_may_list_every_kind_that_an_inventory_can_need() -> None:
    rows = [
        {"group": r.group, "kind": r.kind, "name": "x", "namespace": "n"}
        for r in RESOURCES.values()
        if r.kind != "Event"
    ]
    app = stack()
    app["status"]["resources"] = rows
    needed = list(inventory.needs(decoded(app)))
    assert len(needed) == len(rows) - 1, "all but Secrets"
    for need in [*needed, Objects("applications.argoproj.io"), Objects("appprojects.argoproj.io"), Objects("pods")]:
        assert isinstance(need, Objects)
        known = RESOURCES[need.resource]
        assert {"get", "list"} <= granted("portal-observer", known.group, known.plural), need
    assert not granted("portal-observer", "", "secrets")


@pytest.mark.parametrize("slug", PLANS)
def test_a_plan_reads_no_secret(slug: str) -> None:
    action = registry.get(slug)
    given = {"application": STACK, "values": "a=1", "id": 3}
    names = {field.name for field in registry.fields(action)}
    params = registry.parse(slug, {key: value for key, value in given.items() if key in names})
    for need in action.needs(seen(stack(), above()), params):
        assert not isinstance(need, Objects | Raw) or need.resource != "secrets"


def test_the_lab_grants_the_same() -> None:
    assert rules_of("portal-argo-operate") == access.ARGO
    assert rules_of("portal-argo-hooks") == access.HOOKS
