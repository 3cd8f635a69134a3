"""A test alert: which labels lead it to the receiver, what hinders it, and what proves that it was delivered."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue import conditions
from deployments.catalogue.action import Call, CannotPlan, Condition
from deployments.catalogue.alerts import delivery
from deployments.catalogue.seen import Outlook, Seen
from monitoring.snapshot import Missing, Query
from tests.deployments.alerts.scene import MANAGERS, MONITORING, OPS, SHOWN, Scene, null_config, with_channel
from tests.deployments.nodes.scene import unmet

SLUG = "send-test-alert"
#: 13:57:30, when Alertmanager took the alert in
TAKEN = 1763906250.5
RUN = "01KAQ.0"


def scene(config: Any = None) -> Scene:
    made = Scene()
    made.config = config or with_channel()
    for namespace in (MONITORING, ""):
        made.count({"webhook": (12, 0, 12, 0), "slack": (0, 0, 0, 0)}, namespace)
    made.queries[delivery.IN_HISTORY.expr] = []
    return made


def labels(drafted: Any) -> dict[str, str]:
    (step,) = drafted.steps
    assert isinstance(step.effect, Call)
    found: dict[str, str] = step.effect.body[0]["labels"]
    return found


def test_one_request_with_labels_of_its_own() -> None:
    drafted = scene().draft(SLUG)
    assert unmet(drafted) == []
    (step,) = drafted.steps
    call = step.effect
    assert isinstance(call, Call)
    assert (call.service, call.method, call.path) == ("alertmanager", "POST", "/api/v2/alerts")
    assert labels(drafted) == {
        "alertname": "PortalTest",
        "severity": "warning",
        "namespace": MONITORING,
        "portal_test": "true",
        "run": "${run.mark}",
    }
    (alert,) = call.body
    assert alert["startsAt"] == "${run.time}"
    # it fires for longer than its proof may take
    assert alert["endsAt"] == f"${{run.time+{step.timeout_seconds + 60}}}"
    assert call.made == Condition("alertmanager_alert_shown", {"run": "${run.mark}"})
    assert step.until == Condition(
        "alertmanager_test_delivered",
        {"run": "${run.mark}", "receiver": OPS, "integrations": ["webhook"], "namespace": MONITORING},
    )
    assert [shown.path for shown in call.shown] == [f"alert.labels.{key}" for key in sorted(labels(drafted))]
    assert (step.ref.kind, step.ref.group) == ("alerts", "alertmanager")


def test_the_wait_is_as_long_as_the_route_makes_it() -> None:
    assert scene().draft(SLUG).steps[0].timeout_seconds == 1 + 120
    config = null_config()
    config["route"] |= {"receiver": OPS, "group_wait": "10s", "group_interval": "1m"}
    config["receivers"].append({"name": OPS, "webhook_configs": [{}]})
    assert scene(config).draft(SLUG).steps[0].timeout_seconds == 10 + 60 + 120
    config["route"]["group_by"] = ["..."]
    assert scene(config).draft(SLUG).steps[0].timeout_seconds == 10 + 120
    config = null_config()
    config["route"] |= {"receiver": OPS, "group_wait": "10s", "group_interval": "1h"}
    config["receivers"].append({"name": OPS, "webhook_configs": [{}]})
    assert scene(config).draft(SLUG).steps[0].timeout_seconds == 1200


@pytest.mark.parametrize(
    ("matchers", "changed"),
    [
        ((), {}),
        (('namespace="dev"',), {"namespace": "dev"}),
        (('team=~"core|data"',), {"team": "core"}),
        (('severity="critical"',), {"severity": "critical"}),
        (('team!="x"',), {}),
    ],
)
def test_labels_follow_the_matchers_on_the_way(matchers: tuple[str, ...], changed: dict[str, str]) -> None:
    drafted = scene(with_channel(*matchers)).draft(SLUG)
    assert unmet(drafted) == []
    plain = {"alertname": "PortalTest", "severity": "warning", "namespace": MONITORING}
    assert {**plain, **changed}.items() <= labels(drafted).items()


@pytest.mark.parametrize("matcher", ['alertname="Watchdog"', 'team=~"(x+)+"', 'team=~"x.*"'])
def test_a_test_never_poses_as_another_alert_nor_guesses(matcher: str) -> None:
    drafted = scene(with_channel(matcher)).draft(SLUG, receiver=OPS)
    (reason,) = unmet(drafted)
    assert reason.startswith(f"The routes lead a test alert to {OPS}: an alert with alertname=PortalTest")
    assert reason.endswith("goes to null")
    assert labels(drafted)["alertname"] == "PortalTest"


def test_whom_to_reach_is_found_or_asked() -> None:
    with pytest.raises(CannotPlan, match="No receiver is reached that sends anything"):
        scene(null_config()).draft(SLUG)
    with pytest.raises(CannotPlan, match="knows no receiver nobody. There are: platform-monitoring/portal-webhook/ops"):
        scene().draft(SLUG, receiver="nobody")
    config = with_channel()
    config["receivers"].append({"name": "b", "slack_configs": [{}]})
    config["route"]["routes"].append({"receiver": "b"})
    with pytest.raises(CannotPlan, match="Several receivers send something"):
        scene(config).draft(SLUG)
    drafted = scene(config).draft(SLUG, receiver="b")
    assert drafted.steps[0].until is not None and drafted.steps[0].until.args["integrations"] == ["slack"]
    assert f"{OPS} gets it as well" in drafted.blast.sentence


def test_a_receiver_without_a_channel_is_refused() -> None:
    drafted = scene().draft(SLUG, receiver="null", severity="info")
    assert unmet(drafted)[0] == "null sends something: it has no channel"


def test_a_silence_that_would_mute_it_is_named() -> None:
    made = scene()
    made.silence("s-1", ("severity", "warning|info", True, True))
    made.silence("s-2", ("alertname", "Other", False, True))
    made.silence("s-3", ("severity", "warning", False, True), status={"state": "expired"})
    (reason,) = unmet(made.draft(SLUG))
    assert reason == "No silence mutes it: s-1 of olivia until 2025-11-23T15:00:00.000Z"


def test_an_alert_that_inhibits_it_is_named() -> None:
    """The chart lets a critical alert mute a warning of the same name and namespace: an earlier test, for example."""
    config = with_channel()
    config["inhibit_rules"] = [
        {
            "source_matchers": ["severity = critical"],
            "target_matchers": ["severity =~ warning|info"],
            "equal": ["namespace", "alertname"],
        }
    ]
    made = scene(config)
    made.alert("PortalTest", severity="critical", namespace="dev")
    made.alert("Other", severity="critical", namespace=MONITORING)
    assert unmet(made.draft(SLUG)) == []
    made.alert("PortalTest", severity="critical", namespace=MONITORING)
    (reason,) = unmet(made.draft(SLUG))
    assert reason.startswith(f"No alert that fires inhibits it: PortalTest (namespace {MONITORING}) does")
    assert unmet(made.draft(SLUG, severity="critical")) == []


def test_without_counters_nothing_could_be_proved() -> None:
    made = scene()
    made.queries[delivery.counters(MONITORING).expr] = []
    assert unmet(made.draft(SLUG)) == []
    assert made.draft(SLUG).steps[0].until.args["namespace"] == ""  # type: ignore[union-attr]
    made.queries[delivery.counters("").expr] = []
    (reason,) = unmet(made.draft(SLUG))
    assert "Prometheus must scrape Alertmanager" in reason
    made.queries.clear()
    with pytest.raises(Missing):
        made.draft(SLUG)


def test_a_prometheus_that_does_not_look_back_proves_nothing() -> None:
    made = scene()
    made.queries[delivery.IN_HISTORY.expr] = {"status": 0, "error": "Prometheus: @ modifier is disabled (HTTP 400)"}
    with pytest.raises(Missing, match="@ modifier is disabled"):
        made.draft(SLUG)


def test_an_alertmanager_without_the_operator_is_tested_too() -> None:
    made = scene()
    made.all(MANAGERS).clear()
    drafted = made.draft(SLUG)
    assert unmet(drafted) == []
    assert "namespace" not in labels(drafted)


@pytest.mark.parametrize("reply", [{"status": 503}, {"body": {"config": {"original": "["}}}])
def test_without_a_readable_configuration_there_is_no_plan(reply: Any) -> None:
    made = scene()
    made.fetches["alertmanager /api/v2/status"] = reply
    with pytest.raises(CannotPlan, match="could not be read"):
        made.draft(SLUG)


# -- the proof


class Proof:
    """A test alert that was sent, and what came of it."""

    def __init__(self, *kinds: str, before: tuple[int, int, int, int] = (12, 0, 12, 0)) -> None:
        self.scene, self.kinds = Scene(), kinds or ("webhook",)
        self.made = self.scene.alert("PortalTest", portal_test="true", run=RUN)
        self.made["receivers"] = [{"name": OPS}, {"name": "null"}]
        self.alerts: list[Any] = [self.made]
        self.before = before
        self.after: dict[str, Any] = dict.fromkeys(self.kinds, before)
        self.memory: dict[str, Any] = {}

    def look(self) -> Seen:
        path = f"/api/v2/alerts?{SHOWN}&filter=run%3D%22{RUN}%22"
        self.scene.fetches[f"alertmanager {path}"] = {"body": self.alerts}
        self.scene.count(self.after)
        self.scene.count(dict.fromkeys(self.kinds, self.before), at=TAKEN)
        args = {"run": RUN, "receiver": OPS, "integrations": list(self.kinds), "namespace": MONITORING}
        condition = Condition("alertmanager_test_delivered", args)
        snapshot = self.scene.snapshot()
        asked = {need.expr for need in conditions.needs(condition, snapshot) if isinstance(need, Query)}
        assert not self.alerts or asked <= set(self.scene.queries)
        seen = conditions.look(condition, snapshot, self.memory)
        self.memory = seen.memory
        return seen


def test_a_request_that_ended_well_is_a_delivery() -> None:
    proof = Proof()
    seen = proof.look()
    assert (seen.outlook, seen.sentence) == (Outlook.NOT_YET, "Waiting for webhook to be sent.")
    assert [line.text for line in seen.lines] == [
        f"led to {OPS} and null",
        "webhook: requests 12 → 12, failed 0 of 0",
    ]
    assert proof.look().lines == ()
    proof.after = {"webhook": (13, 0, 13, 0)}
    seen = proof.look()
    assert seen.outlook == Outlook.MET
    assert seen.sentence == f"Delivered to {OPS}. webhook: requests 12 → 13, failed 0 of 1."


def test_a_notification_that_has_begun_is_none_yet() -> None:
    """One more notification and none failed is what a receiver that is down looks like as well."""
    proof = Proof()
    proof.after = {"webhook": (13, 0, 13, 1)}
    seen = proof.look()
    assert seen.outlook == Outlook.NOT_YET
    assert "1 try failed, it tries again" in seen.sentence
    proof.after = {"webhook": (13, 1, 19, 7)}
    seen = proof.look()
    assert (seen.outlook, seen.sentence) == (
        Outlook.FAILED,
        "Alertmanager gave up sending by webhook. Read its log.",
    )


def test_a_try_that_failed_beside_one_that_did_not_proves_nothing() -> None:
    proof = Proof()
    proof.after = {"webhook": (14, 0, 14, 1)}
    seen = proof.look()
    assert seen.outlook == Outlook.UNKNOWN
    assert "Ask who receives them" in seen.sentence


def test_every_channel_of_the_receiver_must_send() -> None:
    proof = Proof("webhook", "webhook", "slack")
    proof.after = {"webhook": (13, 0, 13, 0), "slack": (13, 0, 13, 0)}
    assert proof.look().sentence == "Waiting for webhook to be sent."
    proof.after = {"webhook": (14, 0, 14, 0), "slack": (13, 0, 13, 0)}
    assert proof.look().outlook == Outlook.MET


def test_counters_that_begin_anew_prove_nothing() -> None:
    proof = Proof()
    proof.after = {"webhook": (1, 0, 1, 0)}
    assert proof.look().outlook == Outlook.UNKNOWN


def test_without_a_reading_from_before_nothing_is_compared() -> None:
    proof = Proof()
    proof.look()
    proof.scene.queries.pop(delivery.counters(MONITORING, TAKEN).expr)
    proof.scene.queries[delivery.counters(MONITORING, TAKEN).expr] = []
    args = {"run": RUN, "receiver": OPS, "integrations": ["webhook"], "namespace": MONITORING}
    seen = conditions.look(Condition("alertmanager_test_delivered", args), proof.scene.snapshot(), {})
    assert seen.outlook == Outlook.UNKNOWN
    assert "no reading of webhook from before the test" in seen.sentence


def test_an_alert_that_is_led_elsewhere_or_muted_has_failed() -> None:
    proof = Proof()
    proof.made["receivers"] = [{"name": "null"}]
    assert proof.look().sentence == f"Alertmanager leads the test alert to null, not to {OPS}."
    proof = Proof()
    proof.made["status"] = {"state": "suppressed", "silencedBy": ["s-1"], "inhibitedBy": []}
    seen = proof.look()
    assert (seen.outlook, seen.sentence) == (
        Outlook.FAILED,
        "The test alert is muted by silence s-1, so nobody is told.",
    )
    proof.made["status"] = {"state": "suppressed", "silencedBy": [], "inhibitedBy": ["f"]}
    assert "another alert that inhibits it" in proof.look().sentence


def test_what_is_not_shown_is_waited_for_and_what_is_not_read_is_missing() -> None:
    proof = Proof()
    proof.alerts = []
    assert proof.look().outlook == Outlook.NOT_YET
    assert proof.scene.look("alertmanager_alert_shown", run=RUN).outlook == Outlook.NOT_YET
    proof.alerts = [proof.made]
    proof.look()
    assert proof.scene.look("alertmanager_alert_shown", run=RUN).outlook == Outlook.MET
    proof.scene.fetches[f"alertmanager /api/v2/alerts?{SHOWN}&filter=run%3D%22{RUN}%22"] = {"status": 500}
    with pytest.raises(Missing):
        proof.scene.look("alertmanager_alert_shown", run=RUN)
