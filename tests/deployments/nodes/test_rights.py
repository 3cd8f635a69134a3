"""deploy/rbac.yaml grants what this family says it needs: its rules to the operator, its reading to the observer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.catalogue import registry
from deployments.catalogue.action import Action
from deployments.catalogue.nodes import family
from integrations.kubernetes.kinds import RESOURCES
from lab.scenarios import access
from monitoring.snapshot import Objects, Raw
from tests.deployments.nodes.scene import CASES, CLAIM, MONITORING, Scene

RBAC = list(yaml.load_all((Path(__file__).parents[3] / "deploy" / "rbac.yaml").read_text(), Loader=yaml.CSafeLoader))
PARAMS: dict[str, dict[str, Any]] = {
    "cordon": {"node": "worker01"},
    "uncordon": {"node": "worker01"},
    "drain": {"node": "worker01"},
    "taint": {"node": "worker01", "key": "a"},
    "untaint": {"node": "worker01", "key": "a"},
    "set-label": {"kind": "Pod", "namespace": MONITORING, "name": "a", "key": "a"},
    "remove-label": {"kind": "Pod", "namespace": MONITORING, "name": "a", "key": "a"},
    "set-default-storage-class": {"name": "nfs-client"},
    "expand-claim": {"namespace": MONITORING, "name": CLAIM, "size": "40Gi"},
    "rebind-volume": {"volume": "old", "namespace": MONITORING, "claim": CLAIM},
    "apply-set": {
        "set": "shop",
        "namespace": MONITORING,
        "manifests": (CASES / "shop.manifests.yaml").read_text(),
    },
    "delete-set": {"set": "shop"},
}


def granted(account: str, group: str, resource: str) -> set[str]:
    """Verbs that some role bound to this ServiceAccount grants."""
    roles = {
        binding["roleRef"]["name"]
        for binding in RBAC
        if binding["kind"].endswith("Binding") and account in [s["name"] for s in binding["subjects"]]
    }
    return {
        verb
        for role in RBAC
        if role["kind"] in ("Role", "ClusterRole") and role["metadata"]["name"] in roles
        for rule in role["rules"]
        if group in rule["apiGroups"] and not rule.get("resourceNames")
        if resource in rule["resources"] or "*" in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("action", family.ACTIONS, ids=lambda action: action.slug)
def test_the_operator_may_do_what_the_action_says(action: Action) -> None:
    for rule in action.rules:
        if rule.resource == "secrets":
            assert "get" not in granted("portal-operator", "", "secrets")
            continue
        assert set(rule.verbs) <= granted("portal-operator", rule.group, rule.resource), rule


@pytest.mark.parametrize("slug", PARAMS)
def test_the_observer_may_read_what_the_plan_needs(slug: str) -> None:
    action = registry.get(slug)
    snapshot = Scene().snapshot()
    for need in action.needs(snapshot, registry.parse(slug, PARAMS[slug])):
        if isinstance(need, Objects | Raw):
            known = RESOURCES[need.resource]
            assert known.plural != "secrets"
            assert {"get", "list"} <= granted("portal-observer", known.group, known.plural), need


def test_every_action_of_the_family_is_looked_at() -> None:
    assert set(PARAMS) == {action.slug for action in family.ACTIONS}


def test_no_right_lets_the_operator_hand_out_rights_or_delete_nodes_and_volumes() -> None:
    for resource in ("roles", "rolebindings", "clusterroles", "clusterrolebindings"):
        assert granted("portal-operator", "rbac.authorization.k8s.io", resource) <= {"get", "list", "watch"}
    for resource in ("nodes", "persistentvolumes"):
        assert "delete" not in granted("portal-operator", "", resource)
    assert not granted("portal-operator", "", "serviceaccounts/token")


@pytest.mark.parametrize(
    ("name", "rules"),
    [("portal-nodes", access.NODES), ("portal-storage", access.STORAGE), ("portal-sets", access.SETS)],
)
def test_the_lab_grants_the_same(name: str, rules: list[Any]) -> None:
    (role,) = [item for item in RBAC if item["kind"].endswith("Role") and item["metadata"]["name"] == name]
    assert rules == role["rules"]
