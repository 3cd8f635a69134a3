"""The family through the engine on a lab: an alert reaches a receiver that is really called; all of it comes back."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.models import Plan, Run
from deployments.undo import parameters
from tests.deployments.alerts.conftest import Hook
from tests.deployments.alerts.scene import MANAGER, MONITORING, PROMETHEUS
from tests.deployments.dashboards.conftest import Desk, Desks, told
from tests.lab.world.running import APPLICATION, RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
OPERATOR = "/apis/monitoring.coreos.com"
CONFIGS = f"{OPERATOR}/v1alpha1/namespaces/{MONITORING}/alertmanagerconfigs"
ALERTMANAGER = f"{OPERATOR}/v1/namespaces/{MONITORING}/alertmanagers/{MANAGER}"
PROXY = f"/api/v1/namespaces/{MONITORING}/services/kube-prometheus-stack-alertmanager:http-web/proxy/api/v2"


@pytest.fixture(autouse=True)
def tidy(lab: RunningLab) -> Iterator[None]:
    """No test finds another one's channel."""
    yield
    for item in lab.items(CONFIGS):
        lab.http.delete(f"{CONFIGS}/{item['metadata']['name']}")
    lab.patch(ALERTMANAGER, {"spec": {"alertmanagerConfigMatcherStrategy": None}})
    lab.until(lambda: receivers(lab) == ["null"], "no channel is left")


def succeeded(run: Run) -> Run:
    assert run.state == "succeeded", told(run)
    return run


def undo(at: Desk, run: Run) -> Run:
    return succeeded(at.run("undo-run", **parameters(run)))


def unmet(plan: Plan) -> list[str]:
    return [f"{p['sentence']}: {p['evidence']}" for p in plan.preconditions if not p["met"]]


def config(lab: RunningLab) -> Any:
    return yaml.safe_load(lab.get(f"{PROXY}/status")["config"]["original"])


def receivers(lab: RunningLab) -> list[str]:
    return [each["name"] for each in config(lab)["receivers"]]


def gone(lab: RunningLab, path: str) -> bool:
    return lab.http.get(path).status_code == 404


def test_a_channel_is_created_proved_and_taken_back(desk: Desks, lab: RunningLab, hook: Hook) -> None:
    at = desk(lab)
    assert receivers(lab) == ["null"]
    made = succeeded(at.run("create-notification-channel", kind="webhook", url=hook.url))
    name = f"{MONITORING}/portal-webhook/ops"
    assert receivers(lab) == ["null", name]
    assert lab.get(ALERTMANAGER)["spec"]["alertmanagerConfigMatcherStrategy"] == {"type": "None"}
    (first, _watchdog) = config(lab)["route"]["routes"]
    assert (first["receiver"], first["matchers"]) == (name, ['severity=~"critical|warning"'])
    assert "alert_route" in str(made.plan.document)

    sent = succeeded(at.run("send-test-alert"))
    (alert,) = hook.of(f"{sent.pk}.1")
    assert "asked for by grace" in alert["annotations"]["summary"]
    assert f"Delivered to {name}. webhook: requests" in told(sent)

    again = succeeded(at.run("send-test-alert", receiver=name, namespace="dev"))
    assert [a["labels"]["namespace"] for a in hook.of(f"{again.pk}.1")] == ["dev"]
    assert len(hook.of(f"{sent.pk}.1")) == 1

    # Git does not say the strategy: Argo CD, selfHeal on, has left it alone all the while
    assert lab.get(ALERTMANAGER)["spec"]["alertmanagerConfigMatcherStrategy"] == {"type": "None"}
    assert lab.app()["status"]["sync"]["status"] == "Synced"
    undo(at, made)
    assert gone(lab, f"{CONFIGS}/portal-webhook")
    lab.until(lambda: receivers(lab) == ["null"], "the channel is out of Alertmanager's configuration")
    assert not lab.get(ALERTMANAGER)["spec"].get("alertmanagerConfigMatcherStrategy")


def test_a_receiver_that_refuses_is_no_delivery(desk: Desks, lab: RunningLab, hook: Hook) -> None:
    at = desk(lab)
    made = succeeded(at.run("create-notification-channel", kind="webhook", url=hook.url, name="refusing"))
    hook.status = 400
    run = at.run("send-test-alert")
    assert len(hook.of(f"{run.pk}.1")) == 1
    assert run.state == "failed", told(run)
    assert run.sentence.startswith("Alertmanager gave up sending by webhook. Read its log.")
    assert "Made before it ended: Send a test alert" in run.sentence
    undo(at, made)


def test_a_channel_waits_for_its_secret_and_the_secret_shows_nowhere(desk: Desks, lab: RunningLab, hook: Hook) -> None:
    at = desk(lab)
    params: dict[str, Any] = {"kind": "slack", "channel": "#ops", "secret_name": "slack-hook", "secret_key": "url"}
    plan = at.plan("create-notification-channel", **params)
    (reason,) = unmet(plan)
    assert "kubectl -n platform-monitoring create secret generic slack-hook" in reason
    address = f"{hook.url}/T0/B0/canary7731"
    body = {"metadata": {"name": "slack-hook"}, "stringData": {"url": address}}
    lab.http.post(f"/api/v1/namespaces/{MONITORING}/secrets", json=body).raise_for_status()
    made = succeeded(at.run("create-notification-channel", **params))
    sent = succeeded(at.run("send-test-alert"))
    assert {message["channel"] for message in hook.told} == {"#ops"}
    everything = [told(made), told(sent), made.plan.document, made.before, lab.get(f"{PROXY}/status")]
    everything += [str(step.pre_image) + str(step.intent) + str(step.outcome) for step in made.steps.all()]
    assert "canary7731" not in str(everything)
    assert base64.b64encode(address.encode()).decode() not in str(everything)
    undo(at, made)


def test_a_channel_of_one_namespace_is_bound_to_it(desk: Desks, lab: RunningLab, hook: Hook) -> None:
    at = desk(lab)
    made = succeeded(at.run("create-notification-channel", kind="webhook", url=hook.url, scope="namespace"))
    route = config(lab)["route"]["routes"][0]
    assert f'namespace="{MONITORING}"' in route["matchers"]
    assert "alertmanagerConfigMatcherStrategy" not in lab.get(ALERTMANAGER)["spec"]
    succeeded(at.run("send-test-alert"))
    other = at.plan("send-test-alert", namespace="dev")
    assert "namespace=platform-monitoring" in str(other.preconditions)
    undo(at, made)


def test_what_the_operator_leaves_out_fails_in_its_own_words(desk: Desks, lab: RunningLab) -> None:
    """The key is there and what it holds is no address: nobody can know that before the operator tried."""
    at = desk(lab)
    body = {"metadata": {"name": "no-address"}, "stringData": {"url": "not an address"}}
    lab.http.post(f"/api/v1/namespaces/{MONITORING}/secrets", json=body).raise_for_status()
    run = at.run(
        "create-notification-channel", kind="webhook", secret_name="no-address", secret_key="url", name="no-address"
    )
    assert run.state == "failed", told(run)
    assert "The operator leaves the channel out" in run.sentence
    assert "scheme http or https" in run.sentence
    undo(at, run)


def test_a_silence_is_made_once_and_expired(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    labels = {"alertname": "SomethingElse", "namespace": "dev", "severity": "warning"}
    lab.http.post(f"{PROXY}/alerts", json=[{"labels": labels}]).raise_for_status()
    given = {"matchers": "alertname=SomethingElse", "comment": "while it is repaired", "duration": "1h"}
    plan = at.plan("silence-alerts", **given)
    assert "1 alert: SomethingElse (namespace dev)" in str(plan.preconditions)
    run = succeeded(at.carry(plan))
    (silence,) = lab.get(f"{PROXY}/silences")
    assert silence["comment"] == f"while it is repaired [phaseboard {run.pk}.1]"
    assert silence["createdBy"] == "grace"
    (alert,) = lab.get(f"{PROXY}/alerts", filter='alertname="SomethingElse"')
    assert alert["status"]["silencedBy"] == [silence["id"]]
    assert silence["id"] in told(run)
    (reason,) = unmet(at.plan("silence-alerts", **given))
    assert silence["id"] in reason

    ended = succeeded(at.run("expire-silence", silence=silence["id"]))
    assert ended.plan.document["blast"]["alerts"] == ["SomethingElse (namespace dev)"]
    (silence,) = lab.get(f"{PROXY}/silences")
    assert silence["status"]["state"] == "expired"
    assert not ended.plan.document["undo"].startswith("Not needed")


def test_a_request_whose_answer_is_lost_is_not_sent_twice(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    given = {"matchers": "alertname=LostAnswer", "comment": "its answer is lost", "duration": "10m"}
    plan = at.plan("silence-alerts", **given)
    fault = {"action": "reset", "when": "after", "verb": "create", "resource": "services/proxy", "count": 1}
    lab.http.post("/lab/faults", json=fault).raise_for_status()
    run = succeeded(at.carry(plan))
    lab.http.delete("/lab/faults").raise_for_status()
    made = [s for s in lab.get(f"{PROXY}/silences") if "its answer is lost" in s["comment"]]
    assert len(made) == 1
    assert "it is so already, not sending it" in told(run)
    # it is the run's own all the same, and its undo ends it and no other
    undone = undo(at, run)
    assert undone.plan.document["blast"]["deleted"] == ['Alertmanager\'s silence alertname="LostAnswer"']
    assert lab.get(f"{PROXY}/silence/{made[0]['id']}")["status"]["state"] == "expired"


def test_with_the_rights_of_deploy_rbac_and_no_more(desk: Desks, lab: RunningLab, hook: Hook, settings: Any) -> None:
    """The two ServiceAccounts, each with a token of its own: nothing of the family needs the admin."""
    at = desk(lab)
    settings.PORTAL_KUBECONFIG = str(as_account(lab, "portal-observer"))
    settings.PORTAL_WRITE_KUBECONFIG = str(as_account(lab, "portal-operator"))
    at = Desk(lab, at._user)
    made = succeeded(at.run("create-notification-channel", kind="webhook", url=hook.url, name="restricted"))
    assert "portal-operator" in str(made.plan.preconditions)
    succeeded(at.run("send-test-alert"))
    run = succeeded(
        at.run("silence-alerts", matchers="alertname=Restricted", comment="with few rights", duration="10m")
    )
    (silence,) = [s for s in lab.get(f"{PROXY}/silences") if f"{run.pk}.1" in s["comment"]]
    succeeded(at.run("expire-silence", silence=silence["id"]))
    (missing,) = unmet(at.plan("create-notification-channel", kind="slack", channel="#x", secret_name="other",
                               secret_key="url", name="restricted"))  # fmt: skip
    assert "resourceNames: [other], verbs: [get]" in missing
    undo(at, made)


def as_account(lab: RunningLab, name: str) -> Path:
    """A kubeconfig of a ServiceAccount of the portal's."""
    spec = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = lab.http.post(f"/api/v1/namespaces/phaseboard/serviceaccounts/{name}/token", json=spec)
    answer.raise_for_status()
    config = yaml.safe_load(lab.kubeconfig.read_text())
    config["users"] = [{"name": name, "user": {"token": answer.json()["status"]["token"]}}]
    config["contexts"] = [{"name": name, "context": {"cluster": config["clusters"][0]["name"], "user": name}}]
    config["current-context"] = name
    path = lab.kubeconfig.with_name(name)
    path.write_text(yaml.safe_dump(config))
    return path


# -- what Prometheus picks up


RULES = f"{OPERATOR}/v1/namespaces/stage/prometheusrules"


def rule(lab: RunningLab, name: str, groups: dict[str, str], **labels: str) -> Any:
    """A PrometheusRule with one alert per group."""
    spec = {"groups": [{"name": g, "rules": [{"alert": f"Alert-{g}", "expr": expr}]} for g, expr in groups.items()]}
    body = {"metadata": {"name": name, "labels": labels}, "spec": spec}
    answer = lab.http.post(RULES, json={"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", **body})
    answer.raise_for_status()
    return answer.json()


def loaded(lab: RunningLab, name: str) -> dict[str, str]:
    """The health of each loaded group of a rule object."""
    path = f"/api/v1/namespaces/{MONITORING}/services/{PROMETHEUS}:http-web/proxy/api/v1/rules"
    groups = lab.get(path)["data"]["groups"]
    return {g["name"]: g["rules"][0]["health"] for g in groups if f"/stage-{name}-" in g["file"]}


@pytest.fixture(scope="module")
def choosy(lab: RunningLab) -> RunningLab:
    """The same lab with a Prometheus that selects by the chart's label, and nobody to set that back."""
    for app in ("root-app", "kube-prometheus-stack"):
        lab.patch(APPLICATION + app, {"spec": {"syncPolicy": {"automated": None}}})
    release = {"matchLabels": {"release": "kube-prometheus-stack"}}
    path = f"{OPERATOR}/v1/namespaces/{MONITORING}/prometheuses/{PROMETHEUS}"
    lab.patch(path, {"spec": {"ruleSelector": release, "serviceMonitorSelector": release}})
    return lab


def test_a_rule_is_picked_up_and_let_go_again(desk: Desks, choosy: RunningLab) -> None:
    at = desk(choosy)
    rule(choosy, "left-out", {"one": "up == 5", "two": "up == 6"})
    assert loaded(choosy, "left-out") == {}
    run = succeeded(at.run("fix-monitor-selection", kind="PrometheusRule", namespace="stage", name="left-out"))
    assert loaded(choosy, "left-out") == {"one": "ok", "two": "ok"}
    assert choosy.get(f"{RULES}/left-out")["metadata"]["labels"] == {"release": "kube-prometheus-stack"}
    undo(at, run)
    choosy.until(lambda: loaded(choosy, "left-out") == {}, "the rules are left out again")


def test_a_monitor_is_picked_up_when_there_is_something_to_scrape(desk: Desks, choosy: RunningLab) -> None:
    at = desk(choosy)
    monitors = f"{OPERATOR}/v1/namespaces/{MONITORING}/servicemonitors"
    spec = {"selector": {"matchLabels": {"self-monitor": "true"}}, "endpoints": [{"port": "http-web"}]}
    body = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {"name": "extra"},
        "spec": spec,
    }
    choosy.http.post(monitors, json=body).raise_for_status()
    given: dict[str, Any] = {"kind": "ServiceMonitor", "namespace": MONITORING, "name": "extra"}
    run = succeeded(at.run("fix-monitor-selection", **given))
    assert "all up" in told(run)
    undo(at, run)
    choosy.patch(f"{monitors}/extra", {"spec": {"selector": {"matchLabels": {"no": "such"}}}})
    (reason,) = unmet(at.plan("fix-monitor-selection", **given))
    assert "no Service in platform-monitoring has no=such" in reason


RELEASE = {"release": "kube-prometheus-stack"}


def test_a_group_that_fails_is_taken_out_and_comes_back(desk: Desks, choosy: RunningLab) -> None:
    at = desk(choosy)
    failing = "kube_pod_info * on(namespace) kube_pod_info"
    rule(choosy, "failing", {"good": "up == 5", "bad": failing}, **RELEASE)
    choosy.until(lambda: loaded(choosy, "failing") == {"good": "ok", "bad": "err"}, "the rule fails")
    run = succeeded(at.run("revert-bad-rule", namespace="stage", name="failing"))
    assert loaded(choosy, "failing") == {"good": "ok"}
    undo(at, run)
    choosy.until(lambda: loaded(choosy, "failing") == {"good": "ok", "bad": "err"}, "the group is back")
    run = succeeded(at.run("revert-bad-rule", namespace="stage", name="failing", remove="object"))
    assert gone(choosy, f"{RULES}/failing")
    undo(at, run)
    assert choosy.get(f"{RULES}/failing")["spec"]["groups"][1]["rules"][0]["expr"] == failing


def test_a_group_that_does_not_load_keeps_the_object_out_until_it_is_taken_out(desk: Desks, choosy: RunningLab) -> None:
    at = desk(choosy)
    rule(choosy, "broken", {"good": "up == 5", "bad": "up =="}, **RELEASE)

    def rejected() -> bool:
        return any(
            event["reason"] == "InvalidConfiguration" and event["involvedObject"]["name"] == "broken"
            for event in choosy.items("/api/v1/namespaces/stage/events")
        )

    choosy.until(rejected, "the operator says what is wrong")
    assert loaded(choosy, "broken") == {}
    plan = at.plan("revert-bad-rule", namespace="stage", name="broken")
    assert 'group "bad"' in str(plan.preconditions)
    succeeded(at.carry(plan))
    assert loaded(choosy, "broken") == {"good": "ok"}
