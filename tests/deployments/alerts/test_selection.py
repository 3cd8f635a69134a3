"""What Prometheus does not pick up: which labels its own selector wants, and when labels are not what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue.action import MARK, CannotPlan, Condition, Patch
from deployments.catalogue.alerts.selection import Fit, fit, namespace_fit, shown
from deployments.catalogue.seen import Outlook, Seen
from monitoring.snapshot import Missing
from tests.deployments.alerts.scene import MONITORING, MONITORS, POD_MONITORS, PROMETHEUSES, RULES, Scene
from tests.deployments.nodes.scene import unmet

SLUG = "fix-monitor-selection"
RELEASE = {"matchLabels": {"release": "kube-prometheus-stack"}}
MONITOR = {"kind": "ServiceMonitor", "namespace": MONITORING, "name": "portal"}
RULE = {"kind": "PrometheusRule", "namespace": "dev", "name": "portal-rules"}


def monitor(scene: Scene, **labels: str) -> Any:
    """A ServiceMonitor of the alertmanager's Service that somebody brought without the chart's label."""
    spec = {"selector": {"matchLabels": {"self-monitor": "true"}}, "endpoints": [{"port": "http-web"}]}
    metadata = {"name": "portal", "namespace": MONITORING, "uid": "u-1", "labels": labels}
    return scene.add(MONITORS, {"kind": "ServiceMonitor", "metadata": metadata, "spec": spec})


def rule(scene: Scene, **labels: str) -> Any:
    groups = [{"name": name, "rules": [{"alert": f"A{name}", "expr": "up == 0"}]} for name in ("b", "a")]
    metadata = {"name": "portal-rules", "namespace": "dev", "uid": "u-2", "labels": labels}
    return scene.add(RULES, {"kind": "PrometheusRule", "metadata": metadata, "spec": {"groups": groups}})


def scene(**spec: Any) -> Scene:
    made = Scene()
    made.prometheus(
        **{"serviceMonitorSelector": RELEASE, "ruleSelector": RELEASE, "podMonitorSelector": RELEASE, **spec}
    )
    return made


def bodies(drafted: Any) -> list[Any]:
    return [step.effect.body for step in drafted.steps if isinstance(step.effect, Patch)]


# -- selectors


@pytest.mark.parametrize(
    ("selector", "have", "result"),
    [
        ({}, {}, Fit()),
        (RELEASE, {"release": "kube-prometheus-stack"}, Fit()),
        (RELEASE, {"release": "other"}, Fit({"release": "kube-prometheus-stack"})),
        ({"matchLabels": {"b": "2", "a": "1"}}, {"a": "1"}, Fit({"b": "2"})),
        ({"matchExpressions": [{"key": "t", "operator": "In", "values": ["x", "y"]}]}, {"t": "y"}, Fit()),
        ({"matchExpressions": [{"key": "t", "operator": "In", "values": ["x", "y"]}]}, {"t": "z"}, Fit({"t": "x"})),
        ({"matchExpressions": [{"key": "t", "operator": "Exists"}]}, {}, Fit({"t": "true"})),
        ({"matchExpressions": [{"key": "t", "operator": "NotIn", "values": ["x"]}]}, {"t": "y"}, Fit()),
        (
            {"matchLabels": {"t": "x"}, "matchExpressions": [{"key": "t", "operator": "In", "values": ["x"]}]},
            {},
            Fit({"t": "x"}),
        ),
    ],
)
def test_labels_that_a_selector_wants(selector: Any, have: dict[str, str], result: Fit) -> None:
    assert fit(selector, have) == result
    assert result.met is (not result.missing)
    assert fit(selector, {**have, **result.missing}).met


@pytest.mark.parametrize(
    ("selector", "have", "words"),
    [
        (None, {}, "selects nothing"),
        ({"matchExpressions": [{"key": "t", "operator": "NotIn", "values": ["x"]}]}, {"t": "x"}, "refuses t=x"),
        ({"matchExpressions": [{"key": "t", "operator": "DoesNotExist"}]}, {"t": "x"}, "whatever has the label t"),
        ({"matchExpressions": [{"key": "t", "operator": "Gt", "values": ["1"]}]}, {}, "Gt is not known"),
        (
            {"matchLabels": {"t": "x"}, "matchExpressions": [{"key": "t", "operator": "In", "values": ["y"]}]},
            {},
            "two things at once",
        ),
    ],
)
def test_what_no_label_can_mend(selector: Any, have: dict[str, str], words: str) -> None:
    found = fit(selector, have)
    assert words in found.problem
    assert not found.met


def test_namespaces_and_words() -> None:
    assert namespace_fit(None, True, {}).met
    assert "only the own namespace" in namespace_fit(None, False, {}).problem
    assert namespace_fit({}, False, {}).met
    assert namespace_fit({"matchLabels": {"team": "x"}}, True, {}) == Fit({"team": "x"})
    expression = {"key": "team", "operator": "In", "values": ["a", "b"]}
    assert shown({"matchLabels": {"r": "x"}, "matchExpressions": [expression]}) == "r=x and team In (a, b)"
    assert (shown({}), shown(None)) == ("everything", "nothing (it is not set)")


# -- plans


def test_a_monitor_gets_the_label_that_the_selector_names() -> None:
    made = scene()
    monitor(made, app="portal")
    drafted = made.draft(SLUG, **MONITOR)
    assert unmet(drafted) == []
    (step,) = drafted.steps
    assert bodies(drafted) == [
        {"metadata": {"annotations": {MARK: "${run.mark}"}, "labels": {"release": "kube-prometheus-stack"}}}
    ]
    assert (step.resource, step.namespace, step.name) == (MONITORS, MONITORING, "portal")
    assert step.until == Condition("prometheus_target_up", {"pool": f"serviceMonitor/{MONITORING}/portal/"})
    assert "add metadata.labels release: kube-prometheus-stack to the manifest" in drafted.git_way


def test_a_rule_is_loaded_with_all_its_groups() -> None:
    made = scene()
    rule(made)
    drafted = made.draft(SLUG, **RULE)
    assert unmet(drafted) == []
    assert drafted.steps[0].until == Condition(
        "prometheus_rule_loaded", {"namespace": "dev", "name": "portal-rules", "uid": "u-2", "groups": ["a", "b"]}
    )
    assert "it may fire Aa and Ab" in drafted.blast.sentence


def test_a_namespace_that_is_not_looked_into_is_labelled_first() -> None:
    made = scene(ruleNamespaceSelector={"matchLabels": {"monitoring": "on"}})
    rule(made)
    drafted = made.draft(SLUG, **RULE)
    assert unmet(drafted) == []
    space, own = drafted.steps
    assert (space.resource, space.namespace, space.name) == ("namespaces", "", "dev")
    assert bodies(drafted)[0]["metadata"]["labels"] == {"monitoring": "on"}
    assert space.until is not None and space.until.name == "label_is"
    assert own.until is not None and own.until.name == "prometheus_rule_loaded"
    assert "NetworkPolicies" in drafted.blast.sentence
    made.get(RULES, "portal-rules")["metadata"]["labels"] = {"release": "kube-prometheus-stack"}
    steps = made.draft(SLUG, **RULE).steps
    assert [step.verb for step in steps] == ["label", "wait"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"ruleSelector": None}, "it is not set, so it selects nothing"),
        ({"ruleNamespaceSelector": None}, "only the own namespace counts"),
        ({"paused": True}, "spec.paused: true"),
        (
            {"ruleNamespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}}},
            "asks for kubernetes.io/metadata.name, which nobody may set",
        ),
        (
            {"ruleSelector": {"matchExpressions": [{"key": "off", "operator": "DoesNotExist"}]}},
            "whatever has the label off",
        ),
    ],
)
def test_what_labels_cannot_mend_is_refused(spec: Any, words: str) -> None:
    made = scene(**spec)
    rule(made, off="1")
    reasons = unmet(made.draft(SLUG, **RULE))
    assert len(reasons) == 1
    assert words in reasons[0]


def test_what_is_selected_already_has_another_fault() -> None:
    made = scene()
    monitor(made, release="kube-prometheus-stack")
    with pytest.raises(CannotPlan, match="labels are not what is wrong. 2 Services in platform-monitoring fit: "):
        made.draft(SLUG, **MONITOR)
    made.get(MONITORS, "portal")["spec"]["selector"] = {"matchLabels": {"no": "such"}}
    with pytest.raises(CannotPlan, match="no Service in platform-monitoring has no=such"):
        made.draft(SLUG, **MONITOR)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"selector": {"matchLabels": {"no": "such"}}}, "no Service in platform-monitoring has no=such"),
        ({"endpoints": [{"port": "metrics"}]}, "none has a port called metrics"),
        ({"namespaceSelector": {"matchNames": ["dev"]}}, "no Service in dev has self-monitor=true"),
    ],
)
def test_a_monitor_that_would_find_nothing_is_refused(change: Any, words: str) -> None:
    made = scene()
    monitor(made)["spec"] |= change
    (reason,) = unmet(made.draft(SLUG, **MONITOR))
    assert reason.startswith("There is something to scrape")
    assert words in reason


def test_a_pod_monitor_looks_for_pods() -> None:
    made = scene()
    spec = {"selector": {"matchLabels": {"app": "x"}}, "podMetricsEndpoints": [{"port": "metrics"}]}
    metadata = {"name": "pods", "namespace": "dev", "uid": "u-3", "labels": {}}
    made.add(POD_MONITORS, {"kind": "PodMonitor", "metadata": metadata, "spec": spec})
    container = {"name": "c", "ports": [{"name": "metrics", "containerPort": 1}]}
    labels = {"name": "x-1", "namespace": "dev", "labels": {"app": "x"}, "uid": "p"}
    made.add("pods", {"metadata": labels, "spec": {"containers": [container]}})
    drafted = made.draft(SLUG, kind="PodMonitor", namespace="dev", name="pods")
    assert unmet(drafted) == []
    assert drafted.steps[0].until == Condition("prometheus_target_up", {"pool": "podMonitor/dev/pods/"})


def test_a_label_that_another_prometheus_selects_by_is_not_taken_from_it() -> None:
    made = scene()
    monitor(made, release="other")
    other = {
        "metadata": {"name": "other", "namespace": "dev", "uid": "o"},
        "spec": {"serviceMonitorSelector": {"matchLabels": {"release": "other"}}},
    }
    made.add(PROMETHEUSES, other)
    with pytest.raises(CannotPlan, match="several Prometheus objects"):
        made.draft(SLUG, **MONITOR)
    (reason,) = unmet(made.draft(SLUG, **MONITOR, prometheus="kube-prometheus-stack-prometheus"))
    assert reason == "No other Prometheus loses it: other selects it by the label that would change"


def test_a_label_that_git_writes_is_set_back_so_it_is_refused() -> None:
    made = scene()
    found = monitor(made, release="other")
    tracking = f"kube-prometheus-stack:monitoring.coreos.com/ServiceMonitor:{MONITORING}/portal"
    found["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": tracking}
    found["metadata"]["managedFields"] = [
        {"manager": "argocd-controller", "fieldsV1": {"f:metadata": {"f:labels": {"f:release": {}}}}}
    ]
    drafted = made.draft(SLUG, **MONITOR)
    (reason,) = unmet(drafted)
    assert reason.startswith("Argo CD does not set it back at once: Git names metadata.labels.release")
    assert "will be reverted" in drafted.managed_by
    del found["metadata"]["managedFields"]
    assert unmet(made.draft(SLUG, **MONITOR)) == []


def test_what_is_not_there_or_not_read() -> None:
    made = scene()
    made.case["raws"] = {f"{MONITORS} {MONITORING}/portal": None}
    with pytest.raises(CannotPlan, match="There is no ServiceMonitor portal"):
        made.draft(SLUG, **MONITOR)
    made = scene()
    rule(made)
    made.unread("namespaces")
    with pytest.raises(Missing):
        made.draft(SLUG, **RULE)


# -- what is waited for


def target(pool: str, health: str, error: str = "") -> dict[str, Any]:
    return {"scrapePool": pool, "health": health, "lastError": error, "labels": {"instance": "10.0.0.1:1"}}


def test_every_target_of_the_monitor_must_be_up() -> None:
    made = Scene()
    pool = f"serviceMonitor/{MONITORING}/portal/"

    def look(memory: Any = None) -> Seen:
        return made.look("prometheus_target_up", memory, pool=pool)

    made.targets = [target(f"serviceMonitor/{MONITORING}/portal-2/0", "up")]
    assert "no target of it yet" in look().sentence
    made.targets.append(target(f"{pool}0", "unknown"))
    seen = look()
    assert (seen.outlook, seen.lines[0].text) == (Outlook.NOT_YET, "1 target: 0 up, 0 down")
    made.targets.append(target(f"{pool}1", "down", "connection refused"))
    assert look(seen.memory).sentence == "10.0.0.1:1 is down: connection refused"
    made.targets = [target(f"{pool}0", "up"), target(f"{pool}1", "up")]
    assert look().sentence == "Prometheus scrapes 2 targets of it, all up."
    made.fetches["prometheus /api/v1/targets?state=active"] = {"status": 503}
    with pytest.raises(Missing, match="HTTP 503"):
        look()


def loaded(name: str, *healths: str, file: str = "dev-portal-rules-u-2.yaml") -> dict[str, Any]:
    rules = [
        {"name": f"R{n}", "health": h, **({"lastError": "many-to-many"} if h == "err" else {})}
        for n, h in enumerate(healths)
    ]
    return {"name": name, "file": f"/etc/prometheus/rules/x/{file}", "rules": rules}


def test_all_groups_must_be_loaded_and_none_may_fail() -> None:
    made = Scene()
    args = {"namespace": "dev", "name": "portal-rules", "uid": "u-2", "groups": ["a", "b"]}

    def look(memory: Any = None) -> Seen:
        return made.look("prometheus_rule_loaded", memory, **args)

    made.groups = [loaded("a", "ok"), loaded("b", "ok", file="dev-portal-rules-other.yaml")]
    assert look().sentence == "Prometheus has not loaded b yet."
    made.groups.append(loaded("b", "unknown"))
    assert look().sentence == "Prometheus has not tried every rule yet."
    made.groups[-1] = loaded("b", "ok", "ok")
    assert look().sentence == "Prometheus has loaded 2 groups with 3 rules."
    made.groups[-1] = loaded("b", "ok", "err")
    seen = look()
    assert (seen.outlook, seen.sentence) == (Outlook.FAILED, "Group b is loaded, and its rule R1 fails: many-to-many")


def test_an_object_that_the_operator_leaves_out_has_failed() -> None:
    made = Scene()
    event = {
        "metadata": {"name": "e", "namespace": "dev"},
        "reason": "InvalidConfiguration",
        "message": "PrometheusRule portal-rules was rejected due to invalid configuration: could not parse",
        "involvedObject": {"uid": "u-2"},
        "lastTimestamp": "2025-11-23T13:58:10Z",
    }
    made.add("events", event)
    args = {"namespace": "dev", "name": "portal-rules", "uid": "u-2", "groups": ["a"]}
    memory = {"effect_at": "2025-11-23T13:58:10.700000+00:00"}
    seen = made.look("prometheus_rule_loaded", memory, **args)
    assert (seen.outlook, "could not parse" in seen.sentence) == (Outlook.FAILED, True)
    assert made.look("prometheus_rule_loaded", memory, **{**args, "uid": "u-9"}).outlook == Outlook.NOT_YET
