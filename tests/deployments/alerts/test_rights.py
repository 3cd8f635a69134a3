"""deploy/rbac.yaml grants what this family needs and its steps need nothing else; a request is asked for as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.catalogue import registry
from deployments.catalogue.action import Apply, Call, Create, Delete, Patch
from deployments.catalogue.alerts import family
from deployments.engine import rights
from integrations.kubernetes.kinds import RESOURCES
from lab.scenarios import access
from monitoring.snapshot import Objects, Raw
from tests.deployments.alerts.scene import MONITORING, Scene, with_channel
from tests.deployments.alerts.test_channel import HOOK, without_kind
from tests.deployments.alerts.test_rules import GIVEN as BAD
from tests.deployments.alerts.test_rules import scene as bad_rule
from tests.deployments.alerts.test_selection import MONITOR, monitor
from tests.deployments.alerts.test_selection import scene as choosy
from tests.deployments.alerts.test_sending import scene as counted
from tests.deployments.alerts.test_silences import GIVEN as SILENCE
from tests.deployments.alerts.test_silences import ID, silenced
from tests.deployments.alerts.test_silences import scene as noisy
from tests.deployments.fake import FakeCluster
from tests.deployments.nodes.test_rights import granted

ROLES = list(yaml.load_all((Path(__file__).parents[3] / "deploy" / "rbac.yaml").read_text(), Loader=yaml.CSafeLoader))
NEEDED: dict[Any, set[str]] = {
    Patch: {"get", "patch"},
    Apply: {"get", "patch", "create"},
    Create: {"get", "create"},
    Delete: {"get", "delete"},
}


def rules_of(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(r for r in ROLES if r["metadata"]["name"] == name and "rules" in r)["rules"]
    return found


def chosen() -> Scene:
    made = choosy()
    monitor(made)
    return made


PLANS: dict[str, tuple[Any, dict[str, Any]]] = {
    "create-notification-channel": (Scene, HOOK),
    "send-test-alert": (lambda: counted(with_channel()), {}),
    "silence-alerts": (noisy, SILENCE),
    "expire-silence": (silenced, {"silence": ID}),
    "fix-monitor-selection": (chosen, MONITOR),
    "revert-bad-rule": (lambda: bad_rule("a", "b", bad="b"), {**BAD, "remove": "object"}),
}


def test_every_action_of_the_family_is_looked_at() -> None:
    assert set(PLANS) == {action.slug for action in family.ACTIONS}


@pytest.mark.parametrize("slug", PLANS)
def test_the_rules_say_all_that_the_steps_do(slug: str) -> None:
    made, params = PLANS[slug]
    rules = {(rule.group, rule.resource): set(rule.verbs) for rule in registry.get(slug).rules}
    steps = [*made().draft(slug, **params).steps]
    if slug == "create-notification-channel":
        steps += without_kind().draft(slug, **params).steps
    for step in steps:
        if isinstance(step.effect, Call):
            assert {rights._PROXIED[step.effect.method]} <= rules["", "services/proxy"]
        elif step.effect is not None:
            known = RESOURCES[step.resource]
            assert NEEDED[type(step.effect)] <= rules[known.group, known.plural]


@pytest.mark.parametrize("action", family.ACTIONS, ids=lambda action: action.slug)
def test_the_operator_may_do_what_the_action_says(action: Any) -> None:
    proxied = next(rule for rule in rules_of("portal-alerts") if "services/proxy" in rule["resources"])
    assert proxied["resourceNames"] == ["kube-prometheus-stack-alertmanager:http-web"]
    for rule in action.rules:
        if rule.resource == "services/proxy":
            assert set(rule.verbs) <= set(proxied["verbs"])
        elif rule.resource not in ("namespaces", "secrets"):  # left out on purpose, see the file's words
            assert set(rule.verbs) <= granted("portal-operator", rule.group, rule.resource), rule


@pytest.mark.parametrize("slug", PLANS)
def test_the_observer_may_read_what_the_plan_needs(slug: str) -> None:
    made, params = PLANS[slug]
    action = registry.get(slug)
    for need in action.needs(made().snapshot(), registry.parse(slug, params)):
        if isinstance(need, Objects | Raw):
            known = RESOURCES[need.resource]
            assert known.plural != "secrets"
            assert {"get", "list"} <= granted("portal-observer", known.group, known.plural), need


def test_the_lab_grants_the_same() -> None:
    assert rules_of("portal-alerts") == access.ALERTS
    assert rules_of("portal-alert-secrets") == access.ALERT_SECRETS


def test_the_right_to_send_through_the_proxy_is_asked_for() -> None:
    cluster = FakeCluster()
    steps = silenced().draft("expire-silence", silence=ID).steps
    assert rights.check(cluster, steps) == []
    cluster.through = (MONITORING, "alertmanager:web")
    (row,) = rights.check(cluster, steps)
    assert (row["resource"], row["name"], row["missing"]) == ("services", "alertmanager:web", [])
    cluster.forbidden = {"delete"}
    (row,) = rights.check(cluster, steps)
    assert row["missing"] == ["delete proxy"]
    wanted = yaml.safe_load(row["rule"])
    assert wanted == [
        {
            "apiGroups": [""],
            "resources": ["services/proxy"],
            "verbs": ["delete"],
            "resourceNames": ["alertmanager:web"],
        }
    ]
    assert not rights.allowed([row], cluster).met
