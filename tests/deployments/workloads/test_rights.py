"""deploy/rbac.yaml grants what this family says it needs: its rules to the operator, its reading to the observer."""

from __future__ import annotations

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import Action
from deployments.catalogue.workloads import family
from integrations.kubernetes.kinds import RESOURCES
from monitoring.snapshot import Objects, Raw
from tests.deployments.nodes.test_rights import RBAC, granted
from tests.deployments.workloads.scene import Scene
from tests.deployments.workloads.test_plans import GOOD


@pytest.mark.parametrize("action", family.ACTIONS, ids=lambda action: action.slug)
def test_the_operator_may_do_what_the_action_says(action: Action) -> None:
    for rule in action.rules:
        assert set(rule.verbs) <= granted("portal-operator", rule.group, rule.resource), rule


@pytest.mark.parametrize("slug", GOOD)
def test_the_observer_may_read_what_the_plan_and_its_waits_need(slug: str) -> None:
    action, snapshot = registry.get(slug), Scene().snapshot
    params = registry.parse(slug, {"namespace": "shop", **GOOD[slug]})
    for need in action.needs(snapshot, params):
        if isinstance(need, Objects | Raw):
            known = RESOURCES[need.resource]
            assert known.plural != "secrets"
            assert {"get", "list"} <= granted("portal-observer", known.group, known.plural), need


def test_workloads_are_granted_in_named_namespaces_only() -> None:
    """Whoever may patch a Deployment runs as any ServiceAccount of its namespace."""
    bound = [b for b in RBAC if b["kind"].endswith("Binding") and b["roleRef"]["name"] == "portal-workloads"]
    assert [(b["kind"], b["metadata"]["namespace"]) for b in bound] == [("RoleBinding", "platform-monitoring")]
