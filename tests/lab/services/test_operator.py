"""What the lab's operator selects, renders and leaves out; Debian's amtool is the judge where it is there."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.controllers import operator_config
from lab.controllers.operator_objects import resource_status
from tests.lab.services.conftest import MONITORING, Desk

MANAGER = "kube-prometheus-stack-alertmanager"
PROMETHEUS = "kube-prometheus-stack-prometheus"
ALERTMANAGERS, PROMETHEUSES = "alertmanagers.monitoring.coreos.com", "prometheuses.monitoring.coreos.com"
SPEC: dict[str, Any] = {
    "route": {
        "receiver": "ops",
        "groupBy": ["alertname", "namespace"],
        "groupWait": "30s",
        "matchers": [{"name": "severity", "value": "critical|warning", "matchType": "=~"}],
        "routes": [
            {
                "receiver": "ops",
                "matchers": [{"name": "portal_test", "value": "true", "matchType": "="}],
                "groupBy": ["alertname", "run"],
                "groupWait": "1s",
            }
        ],
    },
    "receivers": [
        {
            "name": "ops",
            "webhookConfigs": [{"url": "http://hook/x", "sendResolved": True}],
            "slackConfigs": [{"apiURL": {"name": "hooks", "key": "slack"}, "channel": "#ops"}],
            "emailConfigs": [
                {
                    "to": "a@example.org",
                    "from": "b@example.org",
                    "smarthost": "mail:587",
                    "authUsername": "b",
                    "authPassword": {"name": "hooks", "key": "smtp"},
                    "requireTLS": False,
                }
            ],
        }
    ],
}


def amconfig(name: str = "portal", namespace: str = MONITORING, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels, "uid": f"uid-{name}"}
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": metadata,
        "spec": SPEC,
    }


def secret(**texts: str) -> dict[str, Any]:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    metadata = {"name": "hooks", "namespace": MONITORING}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


@pytest.fixture
def desk(healthy: Desk) -> Desk:
    healthy.store.put(secret(slack="https://hooks.example.org/T/B\n", smtp="hunter2"))
    return healthy


def manager(desk: Desk, **spec: Any) -> dict[str, Any]:
    if spec:
        desk.store.change(ALERTMANAGERS, MONITORING, MANAGER, lambda obj: obj["spec"].update(spec))
    return desk.store.need(ALERTMANAGERS, MONITORING, MANAGER)


def config_of(desk: Desk, **spec: Any) -> tuple[Any, list[str]]:
    text, problems = operator_config.alertmanager_config(manager(desk, **spec), desk.store)
    return yaml.safe_load(text), [problem.message for problem in problems]


def test_receivers_get_the_name_of_their_object_and_secrets_are_filled_in(desk: Desk, tmp_path: Path) -> None:
    desk.store.put(amconfig())
    config, problems = config_of(desk)
    assert problems == []
    name = f"{MONITORING}/portal/ops"
    receiver = config["receivers"][-1]
    assert receiver == {
        "name": name,
        "webhook_configs": [{"url": "http://hook/x", "send_resolved": True}],
        "slack_configs": [{"api_url": "https://hooks.example.org/T/B", "channel": "#ops"}],
        "email_configs": [
            {
                "to": "a@example.org",
                "from": "b@example.org",
                "smarthost": "mail:587",
                "auth_username": "b",
                "auth_password": "hunter2",
                "require_tls": False,
            }
        ],
    }
    first = config["route"]["routes"][0]
    assert first["matchers"] == ['severity=~"critical|warning"', f'namespace="{MONITORING}"']
    assert first["continue"] is True
    assert first["routes"][0]["group_by"] == ["alertname", "run"]
    assert config["route"]["routes"][1]["receiver"] == "null"
    amtool = shutil.which("amtool")
    if amtool:
        path = tmp_path / "alertmanager.yaml"
        path.write_text(yaml.safe_dump(config))
        done = subprocess.run([amtool, "check-config", str(path)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("strategy", "bound"),
    [
        (None, {MONITORING, "dev"}),
        ({}, {MONITORING, "dev"}),
        ({"type": "OnNamespace"}, {MONITORING, "dev"}),
        ({"type": "OnNamespaceExceptForAlertmanagerNamespace"}, {"dev"}),
        ({"type": "None"}, set()),
    ],
)
def test_the_matcher_strategy_decides_who_is_bound_to_his_namespace(desk: Desk, strategy: Any, bound: set[str]) -> None:
    desk.store.put(amconfig())
    there = amconfig("theirs", "dev")
    there["spec"] = {**SPEC, "receivers": [{"name": "ops", "webhookConfigs": [{"url": "http://hook/y"}]}]}
    desk.store.put(there)
    config, problems = config_of(desk, alertmanagerConfigMatcherStrategy=strategy)
    assert problems == []
    matchers = [matcher for route in config["route"]["routes"] for matcher in route["matchers"]]
    assert {each for each in (MONITORING, "dev") if f'namespace="{each}"' in matchers} == bound


@pytest.mark.parametrize(
    ("spec", "selected"),
    [
        ({"alertmanagerConfigSelector": None}, False),
        ({"alertmanagerConfigSelector": {"matchLabels": {"alerts": "yes"}}}, True),
        ({"alertmanagerConfigSelector": {"matchLabels": {"alerts": "no"}}}, False),
        ({"alertmanagerConfigNamespaceSelector": None}, True),
        ({"alertmanagerConfigNamespaceSelector": {"matchLabels": {"team": "x"}}}, False),
        (
            {
                "alertmanagerConfigNamespaceSelector": {
                    "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]
                }
            },
            True,
        ),
    ],
)
def test_selectors_decide_which_objects_count(desk: Desk, spec: Any, selected: bool) -> None:
    desk.store.put(amconfig(alerts="yes"))
    config, _ = config_of(desk, **spec)
    assert (f"{MONITORING}/portal/ops" in [each["name"] for each in config["receivers"]]) is selected


def test_without_a_namespace_selector_only_the_own_namespace_counts(desk: Desk) -> None:
    desk.store.put(amconfig("far", "dev"))
    config, problems = config_of(desk, alertmanagerConfigNamespaceSelector=None)
    assert (len(config["receivers"]), problems) == (1, [])


def broken(change: Any) -> dict[str, Any]:
    made = amconfig("bad")
    made["spec"] = yaml.safe_load(yaml.safe_dump(SPEC))
    change(made["spec"])
    return made


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda spec: spec["receivers"][0]["slackConfigs"][0]["apiURL"].update(name="none"), '"none" not found'),
        (lambda spec: spec["receivers"][0]["slackConfigs"][0]["apiURL"].update(key="none"), 'key "none"'),
        (lambda spec: spec["receivers"][0]["webhookConfigs"][0].pop("url"), "'url' or 'urlSecret'"),
        (lambda spec: spec["receivers"][0]["webhookConfigs"][0].update(url="hook"), "scheme http or https"),
        (lambda spec: spec["route"].pop("receiver"), "root route must have a receiver"),
        (lambda spec: spec["route"].update(receiver="other"), "'other' not found"),
        (lambda spec: spec["route"]["routes"][0].update(receiver="other"), "'other' not found"),
        (lambda spec: spec["receivers"][0].update(pagerdutyConfigs=[{}]), "does not know pagerdutyConfigs"),
    ],
)
def test_an_object_that_cannot_be_used_is_left_out_and_the_others_stay(desk: Desk, change: Any, why: str) -> None:
    desk.store.put(amconfig())
    desk.store.put(broken(change))
    config, problems = config_of(desk)
    assert [each["name"] for each in config["receivers"]] == ["null", f"{MONITORING}/portal/ops"]
    assert len(problems) == 1
    assert why in problems[0]


def test_a_base_configuration_that_is_none_changes_nothing_and_is_said_in_the_status(desk: Desk) -> None:
    bad = base64.b64encode(b"route: [").decode()
    name = f"alertmanager-{MANAGER}"
    desk.store.change("secrets", MONITORING, name, lambda obj: obj["data"].update({"alertmanager.yaml": bad}))
    with pytest.raises(operator_config.BrokenConfig) as raised:
        config_of(desk)
    status = resource_status(manager(desk), None, str(raised.value))
    (condition,) = [each for each in status["conditions"] if each["type"] == "Reconciled"]
    assert (condition["status"], condition["reason"]) == ("False", "ReconciliationFailed")


# -- Prometheus


def rule(name: str, *groups: dict[str, Any], namespace: str = MONITORING, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels, "uid": f"uid-{name}"}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata,
        "spec": {"groups": list(groups)},
    }


def prometheus(desk: Desk, **spec: Any) -> dict[str, Any]:
    desk.store.change(PROMETHEUSES, MONITORING, PROMETHEUS, lambda obj: obj["spec"].update(spec))
    return desk.store.need(PROMETHEUSES, MONITORING, PROMETHEUS)


def group(name: str, **rule_: Any) -> dict[str, Any]:
    return {"name": name, "rules": [rule_]}


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        ([group("g", alert="A", expr="up ==")], "could not parse expression"),
        ([group("g", alert="A", expr="frobnicate(up)")], "unknown function"),
        ([group("g", alert="A", record="a", expr="up")], "'record' or 'alert'"),
        ([group("g", expr="up")], "'record' or 'alert'"),
        ([group("g", alert="A", expr="")], "'expr' must be set"),
        ([group("g", **{"alert": "A", "expr": "up", "for": "5 minutes"})], "not a valid duration"),
        ([group("g", alert="A", expr="up"), group("g", alert="B", expr="up")], "repeated"),
        ([group("", alert="A", expr="up")], "must not be empty"),
    ],
)
def test_rules_that_prometheus_could_not_load_are_left_out(healthy: Desk, groups: Any, why: str) -> None:
    healthy.store.put(rule("bad", *groups))
    healthy.store.put(rule("good", group("fine", alert="B", expr="up == 0")))
    owner = prometheus(healthy)
    _, problems = operator_config.selected_rules(owner, healthy.store)
    assert [problem.obj["metadata"]["name"] for problem in problems] == ["bad"]
    assert why in problems[0].message
    data = operator_config.rule_files(owner, healthy.store)["data"]
    assert any("-good-" in path for path in data) and not any("-bad-" in path for path in data)


@pytest.mark.parametrize(
    "expression", ['count_values("v", up)', "up @ start()", "mad_over_time(up[5m])", "sum(rate(up[5m])) by (job)"]
)
def test_what_prometheus_knows_and_the_labs_engine_does_not_is_no_bad_rule(healthy: Desk, expression: str) -> None:
    healthy.store.put(rule("odd", group("g", alert="A", expr=expression)))
    assert operator_config.selected_rules(prometheus(healthy), healthy.store)[1] == []


def test_the_charts_own_rules_are_all_good(healthy: Desk) -> None:
    usable, problems = operator_config.selected_rules(prometheus(healthy), healthy.store)
    assert problems == []
    assert len(usable) > 3


def test_rules_follow_label_and_namespace_selectors(healthy: Desk) -> None:
    healthy.store.put(rule("here", group("g", alert="A", expr="up"), release="other"))
    healthy.store.put(rule("there", group("g", alert="A", expr="up"), namespace="dev", release="mine"))
    wanted = {"matchLabels": {"release": "mine"}}

    def names(**spec: Any) -> list[str]:
        found, _ = operator_config.selected_rules(prometheus(healthy, **spec), healthy.store)
        return [each["metadata"]["name"] for each in found]

    assert names(ruleSelector=wanted) == ["there"]
    assert names(ruleSelector=wanted, ruleNamespaceSelector=None) == []
    assert names(ruleSelector=None) == []


def test_a_pod_monitor_makes_targets_of_pods(healthy: Desk) -> None:
    monitor = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": "am", "namespace": MONITORING, "labels": {}, "uid": "u"},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": "alertmanager"}},
            "podMetricsEndpoints": [{"port": "http-web"}],
        },
    }
    healthy.store.put(monitor)
    found = [t for t in healthy.prometheus("targets")["activeTargets"] if t["scrapePool"].startswith("podMonitor/")]
    assert [(t["scrapePool"], t["health"]) for t in found] == [(f"podMonitor/{MONITORING}/am/0", "up")]
    assert found[0]["labels"]["job"] == f"{MONITORING}/am"
    assert healthy.value(f'up{{job="{MONITORING}/am"}}') == 1


def test_a_rule_that_fails_says_so(healthy: Desk) -> None:
    bad = [
        {"record": "bad:record", "expr": "kube_pod_info * on(namespace) kube_pod_info"},
        {"alert": "BadAlert", "expr": "kube_pod_info * on(namespace) kube_pod_info"},
        {"alert": "GoodAlert", "expr": "up == 5"},
    ]
    healthy.store.put(rule("bad", {"name": "g", "rules": bad}))
    owner = prometheus(healthy)
    files = operator_config.rule_files(owner, healthy.store)
    healthy.store.put(files)
    (found,) = [each for each in healthy.prometheus("rules")["groups"] if each["name"] == "g"]
    assert [each["health"] for each in found["rules"]] == ["err", "err", "ok"]
    assert "many-to-many" in found["rules"][0]["lastError"] or "duplicate" in found["rules"][0]["lastError"]
