"""A notification channel: the object that is written, who picks it up, the credential that is only referred to."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from deployments.catalogue import registry
from deployments.catalogue.action import MARK, Apply, CannotPlan, Create, Patch
from deployments.catalogue.seen import Outlook, Seen
from monitoring.snapshot import Missing
from tests.deployments.alerts.scene import CONFIGS, MANAGER, MANAGERS, MONITORING, OPS, Scene, null_config, with_channel
from tests.deployments.nodes.scene import unmet

SLUG = "create-notification-channel"
HOOK = {"kind": "webhook", "url": "http://hooks.example.org/alerts"}
SLACK = {"kind": "slack", "channel": "#ops", "secret_name": "slack-hook", "secret_key": "url"}
MAIL = {
    "kind": "email",
    "recipient": "ops@example.org",
    "sender": "am@example.org",
    "smarthost": "mail.example.org:587",
}
VALUE = "hunter2-canary-7731"


def secret(name: str = "slack-hook", **data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"kind": "Secret", "metadata": {"name": name, "namespace": MONITORING}, "data": encoded}


def bodies(drafted: Any) -> list[Any]:
    return [step.effect.body for step in drafted.steps]


def test_a_webhook_for_the_whole_cluster_is_an_apply_and_a_change_of_strategy() -> None:
    drafted = Scene().draft(SLUG, **HOOK)
    assert unmet(drafted) == []
    apply, patch = drafted.steps
    assert isinstance(apply.effect, Apply) and isinstance(patch.effect, Patch)
    assert (apply.resource, apply.namespace, apply.name) == (CONFIGS, MONITORING, "portal-webhook")
    made, strategy = bodies(drafted)
    assert made["metadata"] == {
        "name": "portal-webhook", "namespace": MONITORING, "annotations": {MARK: "${run.mark}"},
    }  # fmt: skip
    assert made["spec"]["receivers"] == [
        {"name": "ops", "webhookConfigs": [{"url": "http://hooks.example.org/alerts", "sendResolved": True}]}
    ]
    route = made["spec"]["route"]
    assert route["matchers"] == [{"name": "severity", "matchType": "=~", "value": "critical|warning"}]
    (test,) = route["routes"]
    assert test["matchers"] == [{"name": "portal_test", "matchType": "=", "value": "true"}]
    assert (test["groupBy"], test["groupWait"]) == (["alertname", "run"], "1s")
    assert (patch.resource, patch.name) == (MANAGERS, MANAGER)
    assert strategy == {
        "metadata": {"annotations": {MARK: "${run.mark}"}},
        "spec": {"alertmanagerConfigMatcherStrategy": {"type": "None"}},
    }
    (check,) = drafted.verification.checks
    assert (check.type, check.params) == ("alert_route", {"namespace": MONITORING, "receiver": OPS})


def test_git_does_not_say_the_strategy_so_the_change_stays_and_git_is_offered_first() -> None:
    drafted = Scene().draft(SLUG, **HOOK)
    assert "Git does not name what changes, so it stays" in drafted.managed_by
    assert 'alertmanager.alertmanagerSpec.alertmanagerConfigMatcherStrategy.type: "None"' in drafted.git_way
    assert "alertmanagerConfigMatcherStrategy:" in drafted.git_patch
    assert (
        "type: None" in drafted.git_patch or "type: 'None'" in drafted.git_patch or 'type: "None"' in drafted.git_patch
    )
    assert [lock.name for lock in drafted.locks] == ["kube-prometheus-stack"]


def test_a_strategy_that_git_says_is_set_back_so_it_is_refused() -> None:
    scene = Scene()
    found = scene.manager(alertmanagerConfigMatcherStrategy={"type": "OnNamespace"})
    for entry in found["metadata"]["managedFields"]:
        if entry["manager"].startswith("argocd"):
            entry["fieldsV1"]["f:spec"]["f:alertmanagerConfigMatcherStrategy"] = {"f:type": {}}
    (reason,) = unmet(scene.draft(SLUG, **HOOK))
    assert reason.startswith("Nobody reverts the change of the matcher strategy: Git names")
    assert unmet(scene.draft(SLUG, **HOOK, scope="namespace")) == []


def test_a_channel_of_one_namespace_leaves_the_strategy_alone() -> None:
    drafted = Scene().draft(SLUG, **HOOK, scope="namespace")
    assert [type(step.effect) for step in drafted.steps] == [Apply]
    assert drafted.verification.checks[0].params["alerts_of"] == MONITORING
    assert (drafted.managed_by, drafted.git_patch) == ("", "")


@pytest.mark.parametrize(
    ("strategy", "image", "namespace", "after"),
    [
        (None, "v0.70.0", "", "None"),
        (None, "v0.84.1", "", "OnNamespaceExceptForAlertmanagerNamespace"),
        (None, "v0.84.1", "dev", "None"),
        ({"type": "OnNamespaceExceptForAlertmanagerNamespace"}, "v0.84.1", "", ""),
        ({"type": "OnNamespaceExceptForAlertmanagerNamespace"}, "v0.84.1", "dev", "None"),
        ({"type": "None"}, "v0.70.0", "dev", ""),
        (None, "sha256", "", "None"),
    ],
)
def test_the_narrowest_strategy_that_the_operator_knows(strategy: Any, image: str, namespace: str, after: str) -> None:
    scene = Scene()
    if strategy:
        scene.manager(alertmanagerConfigMatcherStrategy=strategy)
    (container,) = scene.get("deployments.apps", "kube-prometheus-stack-operator")["spec"]["template"]["spec"][
        "containers"
    ]
    base = "quay.io/prometheus-operator/prometheus-operator"
    container["image"] = f"{base}@sha256:00" if image == "sha256" else f"{base}:{image}"
    drafted = scene.draft(SLUG, **HOOK, namespace=namespace)
    found = [b["spec"]["alertmanagerConfigMatcherStrategy"]["type"] for b in bodies(drafted)[1:]]
    assert found == ([after] if after else [])


def test_another_channel_is_not_loosened_behind_its_owners_back() -> None:
    scene = Scene()
    scene.add(CONFIGS, {"metadata": {"name": "team", "namespace": "dev", "uid": "u", "labels": {}}})
    (reason,) = unmet(scene.draft(SLUG, **HOOK))
    assert reason.startswith("No other channel begins to get alerts of the whole cluster: dev/team would")
    scene.manager(alertmanagerConfigSelector={"matchLabels": {"alerts": "portal"}})
    assert unmet(scene.draft(SLUG, **HOOK)) == []


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        ({}, {}),
        ({"matchLabels": {"a": "b", "c": "d"}}, {"a": "b", "c": "d"}),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["x", "y"]}]}, {"team": "x"}),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, {"team": "true"}),
        ({"matchExpressions": [{"key": "off", "operator": "DoesNotExist"}]}, {}),
        ({"matchExpressions": [{"key": "off", "operator": "NotIn", "values": ["1"]}]}, {}),
    ],
)
def test_labels_are_those_the_selector_wants(selector: Any, labels: dict[str, str]) -> None:
    scene = Scene()
    scene.manager(alertmanagerConfigSelector=selector)
    drafted = scene.draft(SLUG, **HOOK)
    assert unmet(drafted) == []
    assert bodies(drafted)[0]["metadata"].get("labels", {}) == labels


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"alertmanagerConfigSelector": None}, "it is not set, so it selects nothing"),
        ({"alertmanagerConfigSelector": {"matchLabels": {"app.kubernetes.io/instance": "x"}}}, "nobody may set"),
        ({"alertmanagerConfigNamespaceSelector": {"matchLabels": {"team": "x"}}}, "the namespace lacks team=x"),
        ({"paused": True}, "spec.paused: true"),
    ],
)
def test_what_alertmanager_would_not_pick_up_is_refused(spec: Any, words: str) -> None:
    scene = Scene()
    scene.manager(**spec)
    (reason,) = unmet(scene.draft(SLUG, **HOOK))
    assert words in reason


def test_without_a_namespace_selector_only_the_own_namespace_will_do() -> None:
    scene = Scene()
    scene.manager(alertmanagerConfigNamespaceSelector=None)
    assert unmet(scene.draft(SLUG, **HOOK)) == []
    (reason,) = unmet(scene.draft(SLUG, **HOOK, namespace="dev"))
    assert "only the own namespace counts" in reason


def test_without_a_running_operator_nothing_would_happen() -> None:
    scene = Scene()
    scene.get("deployments.apps", "kube-prometheus-stack-operator")["status"]["readyReplicas"] = 0
    (reason,) = unmet(scene.draft(SLUG, **HOOK))
    assert reason.startswith("The Prometheus operator is running: kube-prometheus-stack-operator v0.70, 0 pods")
    scene.all("deployments.apps").clear()
    assert "no Deployment of this cluster runs its image" in unmet(scene.draft(SLUG, **HOOK))[0]


def test_somebody_elses_object_of_the_same_name_is_left_alone() -> None:
    scene = Scene()
    there = scene.add(CONFIGS, {"metadata": {"name": "portal-webhook", "namespace": MONITORING, "uid": "u"}})
    (reason,) = unmet(scene.draft(SLUG, **HOOK))
    assert reason.startswith("AlertmanagerConfig portal-webhook is nobody else's")
    there["metadata"]["annotations"] = {MARK: "01X.0"}
    drafted = scene.draft(SLUG, **HOOK)
    assert unmet(drafted) == []
    assert drafted.blast.changed[0] == "AlertmanagerConfig portal-webhook"


# -- credentials


def test_slack_refers_to_a_secret_and_never_says_what_is_in_it() -> None:
    scene = Scene()
    scene.case["raws"] = {f"secrets {MONITORING}/slack-hook": secret(url=VALUE)}
    drafted = scene.draft(SLUG, **SLACK)
    assert unmet(drafted) == []
    (receiver,) = bodies(drafted)[0]["spec"]["receivers"]
    assert receiver["slackConfigs"] == [
        {"apiURL": {"name": "slack-hook", "key": "url"}, "channel": "#ops", "sendResolved": True}
    ]
    assert VALUE not in repr(drafted)
    assert base64.b64encode(VALUE.encode()).decode() not in repr(drafted)


def test_a_secret_that_is_not_there_is_said_with_the_line_that_makes_it() -> None:
    scene = Scene()
    scene.case["raws"] = {f"secrets {MONITORING}/slack-hook": None}
    (reason,) = unmet(scene.draft(SLUG, **SLACK))
    line = "kubectl -n platform-monitoring create secret generic slack-hook "
    line += "'--from-literal=url=<Slack'\"'\"'s webhook address>'"
    assert reason.endswith(f"it is not there. Run: {line}")


def test_a_secret_without_the_key_is_said() -> None:
    scene = Scene()
    scene.case["raws"] = {f"secrets {MONITORING}/slack-hook": secret(other=VALUE)}
    (reason,) = unmet(scene.draft(SLUG, **SLACK))
    assert "it has the keys other; add url" in reason
    assert VALUE not in reason


def test_a_secret_that_may_not_be_read_is_not_taken_for_granted() -> None:
    (reason,) = unmet(Scene().draft(SLUG, **SLACK))
    assert "it could not be read" in reason
    assert "resourceNames: [slack-hook], verbs: [get]" in reason


def test_mail_with_and_without_a_sign_in() -> None:
    plain = Scene().draft(SLUG, **MAIL)
    assert unmet(plain) == []
    assert bodies(plain)[0]["spec"]["receivers"][0]["emailConfigs"] == [
        {
            "to": "ops@example.org",
            "from": "am@example.org",
            "smarthost": "mail.example.org:587",
            "requireTLS": True,
            "sendResolved": True,
        }
    ]
    scene = Scene()
    scene.case["raws"] = {f"secrets {MONITORING}/smtp": secret("smtp", password=VALUE)}
    signed = scene.draft(SLUG, **MAIL, username="am", secret_name="smtp", secret_key="password", require_tls=False)
    (mail,) = bodies(signed)[0]["spec"]["receivers"][0]["emailConfigs"]
    assert (mail["authUsername"], mail["authPassword"]) == ("am", {"name": "smtp", "key": "password"})
    assert mail["requireTLS"] is False


def test_every_severity_leaves_heartbeats_out() -> None:
    route = bodies(Scene().draft(SLUG, **HOOK, severities="all"))[0]["spec"]["route"]
    assert route["matchers"] == [{"name": "alertname", "matchType": "!~", "value": "Watchdog|InfoInhibitor"}]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"kind": "webhook"}, "a webhook needs url"),
        ({**HOOK, "secret_name": "x", "secret_key": "y"}, "a webhook needs url, or"),
        ({"kind": "webhook", "url": "ftp://x/y"}, "must begin with http"),
        ({"kind": "webhook", "url": "http:///y"}, "name a host"),
        ({"kind": "webhook", "url": "http://x y/"}, "no spaces"),
        ({"kind": "webhook", "url": "http://a:b@x/"}, "user name or password"),
        ({"kind": "webhook", "url": "http://x:99999/"}, "is no address"),
        ({"kind": "webhook", "url": "https://hooks.slack.com/services/T0/B0/XXXXxxxx1234XXXXxxxx1234"}, "credential"),
        ({"kind": "webhook", "url": "https://x.office.com/w/0d8f8c2e-7a3c-4c55-9e2b-1a2b3c4d5e6f@9e2b"}, "credential"),
        ({"kind": "webhook", "url": "https://x.org/hook?token=abcdef"}, "credential"),
        ({"kind": "slack", "channel": "#x"}, "needs secret_name"),
        ({**SLACK, "channel": ""}, "needs a channel"),
        ({**SLACK, "url": "http://x/"}, "url means nothing for slack"),
        ({**MAIL, "recipient": "ops"}, "needs recipient"),
        ({**MAIL, "smarthost": "mail"}, "host:port"),
        ({**MAIL, "smarthost": "mail:99999"}, "host:port"),
        ({**MAIL, "username": "am"}, "belong together"),
        ({**HOOK, "severities": "crit ical!"}, "severities are words"),
        ({"kind": "pager"}, "kind"),
    ],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(params: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        registry.parse(SLUG, params)
    assert "XXXXxxxx1234" not in str(caught.value)
    assert "abcdef" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9099/hook",
        "https://alerts.example.org/teams/platform/alertmanager-webhook?source=prod",
        "http://alert-receiver.platform-monitoring.svc.cluster.local:8080/api/v1/alerts",
        "http://[::1]:8080/",
    ],
)
def test_plain_addresses_are_taken(url: str) -> None:
    assert registry.parse(SLUG, {"kind": "webhook", "url": url}).url == url  # type: ignore[attr-defined]


def test_which_alertmanager_is_asked_when_there_are_several() -> None:
    scene = Scene()
    other = {"metadata": {"name": "other", "namespace": "dev", "uid": "o"}, "spec": {}}
    scene.add(MANAGERS, other)
    with pytest.raises(CannotPlan, match="several Alertmanager objects"):
        scene.draft(SLUG, **HOOK)
    assert scene.draft(SLUG, **HOOK, alertmanager=MANAGER).params["alertmanager"] == MANAGER
    scene.all(MANAGERS).clear()
    with pytest.raises(CannotPlan, match="There is no Alertmanager object"):
        scene.draft(SLUG, **HOOK)


@pytest.mark.parametrize("resource", [MANAGERS, "deployments.apps", "applications.argoproj.io"])
def test_what_was_not_read_starts_nothing(resource: str) -> None:
    scene = Scene()
    scene.unread(resource)
    with pytest.raises(Missing):
        scene.draft(SLUG, **HOOK)


# -- what is waited for


REACHES = {"receiver": OPS, "namespace": MONITORING, "name": "portal-webhook"}


def rejected(scene: Scene, at: str) -> None:
    scene.add(CONFIGS, {"metadata": {"name": "portal-webhook", "namespace": MONITORING, "uid": "u-1"}})
    scene.add(
        "events",
        {
            "metadata": {"name": "e", "namespace": MONITORING},
            "reason": "InvalidConfiguration",
            "message": 'portal-webhook was rejected due to invalid configuration: secrets "x" not found',
            "involvedObject": {"uid": "u-1"},
            "lastTimestamp": at,
        },
    )


def test_a_channel_is_reached_when_alertmanager_runs_its_route() -> None:
    scene = Scene()

    def look(**args: Any) -> Seen:
        return scene.look("alertmanager_reaches", **REACHES, **args)

    assert look(anywhere=True).outlook == Outlook.NOT_YET
    scene.config = with_channel(f'namespace="{MONITORING}"')
    assert look(anywhere=False).outlook == Outlook.MET
    assert look(anywhere=True).outlook == Outlook.NOT_YET
    scene.config = with_channel()
    assert look(anywhere=True).outlook == Outlook.MET
    scene.config = with_channel(kinds=())
    assert look(anywhere=True).outlook == Outlook.NOT_YET
    scene.fetches["alertmanager /api/v2/status"] = {"status": 503}
    assert look(anywhere=True).outlook == Outlook.NOT_YET


def test_a_route_for_tests_only_is_none() -> None:
    scene = Scene()
    scene.config = with_channel('portal_test="true"')
    assert scene.look("alertmanager_reaches", **REACHES, anywhere=True).outlook == Outlook.NOT_YET


def test_the_operators_own_words_end_the_wait() -> None:
    scene = Scene()
    rejected(scene, "2025-11-23T13:58:10Z")
    memory = {"effect_at": "2025-11-23T13:58:09.500000+00:00"}
    seen = scene.look("alertmanager_reaches", memory, **REACHES, anywhere=True)
    assert seen.outlook == Outlook.FAILED
    assert 'secrets "x" not found' in seen.sentence
    later = {"effect_at": "2025-11-23T13:59:00+00:00"}
    assert scene.look("alertmanager_reaches", later, **REACHES, anywhere=True).outlook == Outlook.NOT_YET


# -- without the AlertmanagerConfig kind


def without_kind(config: Any = None, **annotations: str) -> Scene:
    scene = Scene()
    scene.unread(CONFIGS, f"This cluster does not serve {CONFIGS}: its API or CRD is not installed.")
    text = yaml.safe_dump(config or null_config())
    data = {"alertmanager.yaml": base64.b64encode(text.encode()).decode()}
    meta = {"name": f"alertmanager-{MANAGER}", "namespace": MONITORING, "annotations": annotations}
    scene.case["raws"] = {f"secrets {MONITORING}/alertmanager-{MANAGER}": {"metadata": meta, "data": data}}
    return scene


def test_without_the_kind_a_secret_of_our_own_takes_the_configuration_over() -> None:
    scene = without_kind()
    drafted = scene.draft(SLUG, **HOOK)
    assert unmet(drafted) == []
    create, point = drafted.steps
    assert isinstance(create.effect, Create) and isinstance(point.effect, Patch)
    assert point.effect.body["spec"] == {"configSecret": create.name}
    config = yaml.safe_load(base64.b64decode(create.effect.body["data"]["alertmanager.yaml"]))
    assert [each["name"] for each in config["receivers"]] == ["null", "portal-webhook"]
    first, second = config["route"]["routes"]
    assert (first["receiver"], first["continue"], first["routes"][0]["group_wait"]) == ("portal-webhook", True, "1s")
    assert second["receiver"] == "null"
    assert drafted.verification.checks[0].params["receiver"] == "portal-webhook"
    assert create.name.startswith(f"alertmanager-{MANAGER}-portal-")
    assert scene.draft(SLUG, **MAIL).steps[0].name != create.name


def test_a_configuration_that_argo_cd_renders_is_refused_with_the_values_to_write() -> None:
    tracking = f"kube-prometheus-stack:/Secret:{MONITORING}/alertmanager-{MANAGER}"
    scene = without_kind(None, **{"argocd.argoproj.io/tracking-id": tracking})
    with pytest.raises(CannotPlan, match="which Argo CD app kube-prometheus-stack renders") as caught:
        scene.draft(SLUG, **HOOK)
    assert yaml.safe_load(str(caught.value).partition(":\n")[2])["alertmanager"]["config"]["receivers"]


@pytest.mark.parametrize(
    "more",
    [
        {"global": {"smtp_auth_password": VALUE}},
        {"global": {"slack_api_url": VALUE}},
        {"receivers": [{"name": "null"}, {"name": "x", "pagerduty_configs": [{"routing_key": VALUE}]}]},
        {"receivers": [{"name": "null"}, {"name": "x", "webhook_configs": [{"url": f"http://x/{VALUE}aaaa1"}]}]},
    ],
)
def test_a_configuration_with_credentials_is_refused_without_showing_them(more: Any) -> None:
    scene = without_kind({**null_config(), **more})
    with pytest.raises(CannotPlan, match="which holds a credential") as caught:
        scene.draft(SLUG, **HOOK)
    assert VALUE not in str(caught.value)


def test_without_the_kind_no_secret_can_be_referred_to() -> None:
    with pytest.raises(CannotPlan, match="cannot refer to a Secret"):
        without_kind().draft(SLUG, **SLACK)


def test_a_pointer_that_git_writes_is_refused() -> None:
    scene = without_kind()
    found = scene.manager(configSecret=f"alertmanager-{MANAGER}")
    for entry in found["metadata"]["managedFields"]:
        if entry["manager"].startswith("argocd"):
            entry["fieldsV1"]["f:spec"]["f:configSecret"] = {}
    (reason,) = unmet(scene.draft(SLUG, **HOOK))
    assert reason.startswith("Argo CD does not set it back at once: Git names spec.configSecret")
