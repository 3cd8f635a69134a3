"""The lab's Alertmanager: configuration, routing, silences and the counters that prove a notification."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from lab.services.couriers import Outcome
from lab.services.routing import ConfigError, load, parse_matcher
from tests.lab.services.conftest import MONITORING, Desk

SECRET = "alertmanager-kube-prometheus-stack-alertmanager"


def ask(desk: Desk, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    return desk.ask("alertmanager", method, f"/api/v2/{path}", body)


def names(desk: Desk, path: str = "alerts") -> list[str]:
    return sorted(alert["labels"]["alertname"] for alert in ask(desk, "GET", path)[1])


def configure(desk: Desk, config: Any) -> None:
    """As the operator does when the Secret changes; here without its generated copy."""
    desk.store.remove("secrets", MONITORING, f"{SECRET}-generated")
    data = as_data(yaml.safe_dump(config))
    desk.store.change("secrets", MONITORING, SECRET, lambda secret: secret["data"].update(data))


def as_data(text: str) -> dict[str, str]:
    """A configuration as the Secret holds it."""
    return {"alertmanager.yaml": base64.b64encode(text.encode()).decode()}


OPS: dict[str, Any] = {
    "route": {
        "receiver": "null",
        "group_by": ["alertname"],
        "group_wait": "1s",
        "routes": [{"receiver": "ops", "matchers": ['portal_test = "true"']}],
    },
    "receivers": [{"name": "null"}, {"name": "ops", "webhook_configs": [{"url": "http://hook/secret-path"}]}],
}


def test_the_chart_notifies_nobody(healthy: Desk) -> None:
    status = ask(healthy, "GET", "status")[1]
    config = yaml.safe_load(status["config"]["original"])
    assert config["route"]["receiver"] == "null"
    assert ask(healthy, "GET", "receivers")[1] == [{"name": "null"}]
    assert healthy.ask("alertmanager", "GET", "/-/ready") == (200, "OK")


def test_it_holds_the_alerts_that_prometheus_fires(broken: Desk) -> None:
    assert names(broken) == ["ArgoAppOutOfSync", "ArgoAppUnhealthy", "Watchdog"]
    alert = ask(broken, "GET", "alerts?filter=" + quote('alertname="Watchdog"'))[1][0]
    assert alert["receivers"] == [{"name": "null"}]
    assert alert["status"]["state"] == "active"
    assert alert["labels"]["prometheus"] == "platform-monitoring/kube-prometheus-stack-prometheus"


def test_an_alert_ends_when_its_cause_does(broken: Desk) -> None:
    assert "ArgoAppOutOfSync" in names(broken)

    def heal(app: Any) -> None:
        app["status"]["sync"]["status"] = "Synced"
        app["status"]["health"]["status"] = "Healthy"

    broken.store.change("applications.argoproj.io", "argocd", "kube-prometheus-stack", heal)
    broken.later(2)
    assert names(broken) == ["Watchdog"]


def test_a_silence_mutes_what_matches_until_it_is_deleted(broken: Desk) -> None:
    silence = {
        "matchers": [{"name": "alertname", "value": "ArgoApp.*", "isRegex": True, "isEqual": True}],
        "startsAt": broken.now.isoformat(),
        "endsAt": (broken.now + timedelta(hours=1)).isoformat(),
        "createdBy": "portal",
        "comment": "while repairing",
    }
    names(broken)
    status, made = ask(broken, "POST", "silences", silence)
    assert status == 200
    assert names(broken, "alerts?silenced=false") == ["Watchdog"]
    muted = ask(broken, "GET", "alerts?active=false")[1]
    assert {alert["status"]["state"] for alert in muted} == {"suppressed"}
    assert muted[0]["status"]["silencedBy"] == [made["silenceID"]]
    assert ask(broken, "GET", "silences")[1][0]["status"]["state"] == "active"
    assert ask(broken, "DELETE", f"silence/{made['silenceID']}")[0] == 200
    assert ask(broken, "GET", f"silence/{made['silenceID']}")[1]["status"]["state"] == "expired"
    assert len(names(broken, "alerts?silenced=false")) == 3
    assert ask(broken, "DELETE", f"silence/{made['silenceID']}")[0] == 200
    assert ask(broken, "DELETE", "silence/no-uuid")[0] == 422


def test_a_test_alert_goes_to_its_receiver_and_is_counted(healthy: Desk) -> None:
    configure(healthy, OPS)
    counter = 'alertmanager_notifications_total{integration="webhook"}'
    assert healthy.value(counter) == 0
    labels = {"alertname": "PortalTest", "severity": "warning", "portal_test": "true", "run": "1"}
    ends = (healthy.now + timedelta(minutes=5)).isoformat()
    assert ask(healthy, "POST", "alerts", [{"labels": labels, "endsAt": ends}])[0] == 200
    (alert,) = ask(healthy, "GET", "alerts?active=true&filter=" + quote('portal_test="true"'))[1]
    assert alert["receivers"] == [{"name": "ops"}]
    healthy.later(5)
    assert healthy.send() == 1
    assert [each.channel.kind for each in healthy.delivered] == ["webhook"]
    assert [told.labels["run"] for told in healthy.delivered[0].firing] == ["1"]
    assert counted(healthy) == {"sent": 1, "failed": 0, "requests": 1, "requests_failed": 0}
    assert healthy.value(counter) == 1
    assert healthy.send() == 0


def counted(desk: Desk, integration: str = "webhook") -> dict[str, int]:
    """The counters of an integration, as Alertmanager's own /metrics says."""
    metrics = desk.ask("alertmanager", "GET", "/metrics")[1]
    names = {
        "sent": "notifications_total",
        "failed": "notifications_failed_total",
        "requests": "notification_requests_total",
        "requests_failed": "notification_requests_failed_total",
    }
    found = {}
    for key, name in names.items():
        start = f'alertmanager_{name}{{integration="{integration}"}} '
        (line,) = [line for line in metrics.splitlines() if line.startswith(start)]
        found[key] = int(float(line.removeprefix(start)))
    return found


def post(desk: Desk, run: str, seconds: float = 300, **labels: str) -> None:
    body = {"alertname": "PortalTest", "portal_test": "true", "run": run, **labels}
    ends = (desk.now + timedelta(seconds=seconds)).isoformat()
    assert ask(desk, "POST", "alerts", [{"labels": body, "endsAt": ends}])[0] == 200


def test_a_receiver_that_does_not_answer_is_tried_again_and_counted_as_failed_when_its_time_is_over(
    healthy: Desk,
) -> None:
    configure(healthy, {**OPS, "route": {**OPS["route"], "group_interval": "20s"}})
    healthy.outcome = Outcome(delivered=False, retry=True)
    post(healthy, "1")
    healthy.later(2)
    assert healthy.send() == 1
    # at this moment "one more notification, none failed" would be taken for success
    assert counted(healthy) == {"sent": 1, "failed": 0, "requests": 1, "requests_failed": 1}
    assert healthy.send() == 0
    healthy.later(1)
    assert healthy.send() == 1
    for _ in range(30):
        healthy.later(1)
        healthy.send()
    after = counted(healthy)
    assert (after["sent"], after["failed"]) == (2, 1)
    assert after["requests"] == after["requests_failed"] > 3
    healthy.outcome = Outcome(delivered=True)
    healthy.later(15)
    healthy.send()
    assert counted(healthy)["requests"] - counted(healthy)["requests_failed"] == 1


def test_a_receiver_that_refuses_is_not_tried_again_until_the_next_interval(healthy: Desk) -> None:
    configure(healthy, OPS)
    healthy.outcome = Outcome(delivered=False)
    post(healthy, "1")
    healthy.later(2)
    assert healthy.send() == 1
    assert counted(healthy) == {"sent": 1, "failed": 1, "requests": 1, "requests_failed": 1}
    healthy.later(60)
    assert healthy.send() == 0


def test_who_is_told_of_what_is_resolved(healthy: Desk) -> None:
    both = {
        "name": "ops",
        "webhook_configs": [{"url": "http://hook"}],
        "slack_configs": [{"api_url": "http://slack", "channel": "#ops"}],
    }
    configure(healthy, {**OPS, "receivers": [{"name": "null"}, both]})
    post(healthy, "1", seconds=30)
    healthy.later(2)
    assert healthy.send() == 2
    healthy.later(320)
    assert healthy.send() == 1
    assert [told.labels["run"] for told in healthy.delivered[-1].resolved] == ["1"]
    healthy.later(320)
    assert healthy.send() == 0


def test_a_muted_alert_is_neither_told_nor_told_to_be_resolved(healthy: Desk) -> None:
    configure(healthy, OPS)
    post(healthy, "1", seconds=3000)
    healthy.later(2)
    assert healthy.send() == 1
    silence = {
        "matchers": [{"name": "portal_test", "value": "true", "isRegex": False}],
        "startsAt": healthy.now.isoformat(),
        "endsAt": (healthy.now + timedelta(hours=1)).isoformat(),
        "createdBy": "x",
        "comment": "x",
    }
    assert ask(healthy, "POST", "silences", silence)[0] == 200
    post(healthy, "2", seconds=3000)
    healthy.later(400)
    assert healthy.send() == 0


def test_a_notification_is_repeated_after_its_interval(healthy: Desk) -> None:
    configure(healthy, {**OPS, "route": {**OPS["route"], "repeat_interval": "10m"}})
    post(healthy, "1", seconds=7200)
    tries = []
    for _ in range(20):
        healthy.later(60)
        tries.append(healthy.send())
    assert sum(tries) == 2


def test_another_secret_in_the_configuration_is_another_configuration(healthy: Desk) -> None:
    configure(healthy, OPS)
    ask(healthy, "GET", "status")
    before = healthy.value("alertmanager_config_hash")
    configure_again = {
        **OPS,
        "receivers": [{"name": "null"}, {"name": "ops", "webhook_configs": [{"url": "http://b"}]}],
    }
    data = as_data(yaml.safe_dump(configure_again))
    healthy.store.change("secrets", MONITORING, SECRET, lambda secret: secret["data"].update(data))
    post(healthy, "1")
    healthy.later(2)
    healthy.send()
    assert healthy.delivered[0].channel.settings["url"] == "http://b"
    assert healthy.value("alertmanager_config_hash") != before


def test_the_configuration_shows_no_secret(healthy: Desk) -> None:
    configure(healthy, OPS | {"global": {"smtp_auth_password": "hunter2", "slack_api_url": "https://hooks/x"}})
    text = ask(healthy, "GET", "status")[1]["config"]["original"]
    assert "hunter2" not in text and "hooks" not in text and "secret-path" not in text
    assert text.count("<secret>") == 3


def test_a_broken_configuration_leaves_the_last_good_one(healthy: Desk) -> None:
    configure(healthy, OPS)
    assert {"name": "ops"} in ask(healthy, "GET", "receivers")[1]
    healthy.store.change("secrets", MONITORING, SECRET, lambda secret: secret["data"].update(as_data("route: [")))
    assert {"name": "ops"} in ask(healthy, "GET", "receivers")[1]
    assert healthy.value("alertmanager_config_last_reload_successful") == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        [{"labels": {}}],
        [{"labels": {"a": "b"}, "startsAt": "2025-01-02T00:00:00Z", "endsAt": "2025-01-01T00:00:00Z"}],
    ],
)
def test_a_malformed_alert_is_400(healthy: Desk, body: Any) -> None:
    assert ask(healthy, "POST", "alerts", body)[0] == 400


@pytest.mark.parametrize(
    "change",
    [
        {"matchers": []},
        {"endsAt": "2020-01-01T00:00:00Z"},
        {"matchers": [{"name": "a", "value": ".*", "isRegex": True}]},
        {"startsAt": "x"},
    ],
)
def test_a_malformed_silence_is_400(healthy: Desk, change: Any) -> None:
    good = {
        "matchers": [{"name": "a", "value": "b"}],
        "startsAt": "2025-11-23T13:00:00Z",
        "endsAt": "2026-01-01T00:00:00Z",
    }
    assert ask(healthy, "POST", "silences", good)[0] == 200
    assert ask(healthy, "POST", "silences", good | change)[0] == 400


def test_groups_stand_under_their_receiver(broken: Desk) -> None:
    groups = ask(broken, "GET", "alerts/groups")[1]
    assert {group["receiver"]["name"] for group in groups} == {"null"}
    assert {"namespace": "argocd"} in [group["labels"] for group in groups]
    assert sum(len(group["alerts"]) for group in groups) == 3


def test_routes_follow_alertmanagers_rule() -> None:
    config = load(
        yaml.safe_dump(
            {
                "route": {
                    "receiver": "root",
                    "routes": [
                        {"receiver": "a", "matchers": ['x =~ "1|2"'], "continue": True},
                        {"receiver": "b", "match": {"x": "1"}, "routes": [{"receiver": "c", "match_re": {"y": "z.*"}}]},
                    ],
                },
                "receivers": [{"name": name} for name in ("root", "a", "b", "c")],
            }
        )
    )

    def to(**labels: str) -> list[str]:
        return [route.receiver for route in config.route.matched(labels)]

    assert to(x="3") == ["root"]
    assert to(x="2") == ["a"]
    assert to(x="1") == ["a", "b"]
    assert to(x="1", y="zz") == ["a", "c"]


def test_inhibition_mutes_the_lesser_alert(healthy: Desk) -> None:
    alerts = [{"labels": {"alertname": "X", "namespace": "n", "severity": s}} for s in ("critical", "warning")]
    assert ask(healthy, "POST", "alerts", alerts)[0] == 200
    states = {a["labels"]["severity"]: a["status"]["state"] for a in ask(healthy, "GET", "alerts")[1]}
    assert states["critical"] == "active"
    assert states["warning"] == "suppressed"


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "receivers: []",
        "{route: {receiver: a, routes: [{matchers: ['?']}]}, receivers: [{name: a}]}",
        "{route: {receiver: a}, receivers: [{name: b}]}",
        "{route: {receiver: a, routes: [{receiver: b}]}, receivers: [{name: a}]}",
        "{route: {receiver: a}, receivers: [{name: a, webhook_configs: [{}]}]}",
        "{route: {receiver: a}, receivers: [{name: a, slack_configs: [{channel: x}]}]}",
        "{route: {receiver: a}, receivers: [{name: a, email_configs: [{to: x, smarthost: 'h:25'}]}]}",
    ],
)
def test_a_configuration_that_cannot_be_read_says_so(text: str) -> None:
    with pytest.raises(ConfigError):
        load(text)


@pytest.mark.parametrize(
    ("text", "op", "value"),
    [
        ('a="b"', "=", "b"),
        ("a = b", "=", "b"),
        ('a!~"b|c"', "!~", "b|c"),
        ('{a=~"x.*"}', "=~", "x.*"),
        ('a="q\\"q"', "=", 'q"q'),
    ],
)
def test_matchers_are_read_in_every_spelling(text: str, op: str, value: str) -> None:
    matcher = parse_matcher(text)
    assert (matcher.name, matcher.op, matcher.value) == ("a", op, value)
