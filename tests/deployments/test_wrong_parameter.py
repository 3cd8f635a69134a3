"""What a person reads who typed a parameter that does not fit."""

from __future__ import annotations

import pytest

from deployments.catalogue import registry
from deployments.catalogue.wrong import WrongParameter

POD = {"namespace": "ns", "name": "web-0"}


@pytest.mark.parametrize(
    ("slug", "raw", "field", "said"),
    [
        ("evict-pod", POD | {"namespace": "Not A Name"}, "namespace", "lower-case letters, digits and hyphens"),
        ("evict-pod", POD | {"name": "web_0"}, "name", "lower-case letters, digits, dots and hyphens"),
        ("evict-pod", {"namespace": "ns"}, "name", "name is needed"),
        ("evict-pod", POD | {"wait_seconds": "soon"}, "wait_seconds", "wait_seconds must be a whole number"),
        ("evict-pod", POD | {"wait_seconds": "-1"}, "wait_seconds", "wait_seconds must be at least "),
        ("evict-pod", POD | {"wait_seconds": "99999999"}, "wait_seconds", "wait_seconds must be at most "),
        ("set-helm-values", {"application": "a", "values": "x" * 9000}, "values", "at most 8000 characters"),
    ],
)
def test_the_parameter_is_named_and_what_is_wrong_is_said_in_words(
    slug: str, raw: dict[str, str], field: str, said: str
) -> None:
    with pytest.raises(WrongParameter) as caught:
        registry.parse(slug, raw)
    assert caught.value.field == field
    assert said in caught.value.sentence
    assert "`" not in str(caught.value) and "regex" not in str(caught.value)
    assert f"Parameters are: {', '.join(each.name for each in registry.fields(registry.get(slug)))}." in str(
        caught.value
    )


def test_parameters_that_do_not_go_together_are_about_no_field() -> None:
    with pytest.raises(WrongParameter) as caught:
        registry.parse("set-resources", {"namespace": "a", "name": "b", "container": "c"})
    assert caught.value.field == "" and "say at least one of cpu_request" in caught.value.sentence


CONTAINER = {"namespace": "ns", "name": "web", "container": "main"}
CHANNEL = {"kind": "email", "recipient": "a@example.org", "sender": "b@example.org", "smarthost": "mail:587"}
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


@pytest.mark.parametrize(
    ("slug", "raw", "field"),
    [
        ("set-helm-values", {"application": "a", "values": "x=1", "git_file": "../x"}, "git_file"),
        ("set-helm-values", {"application": "a", "values": "x"}, "values"),
        ("set-helm-values", {"application": "a", "values": "adminPassword=hunter22"}, "values"),
        ("propose-in-git", {"application": "a", "values": "x=1", "file": "../x"}, "file"),
        ("propose-in-git", {"application": "a", "values": "x=1", "why": "password=hunter2222"}, "why"),
        ("withdraw-proposal", {"repository": "x", "number": "1"}, "repository"),
        ("set-image", CONTAINER | {"image": "app"}, "image"),
        ("set-image", CONTAINER | {"image": "App:1 2"}, "image"),
        ("set-resources", CONTAINER | {"memory_limit": "much"}, "memory_limit"),
        ("set-environment-variable", CONTAINER | {"variable": "A", "secret_name": "s"}, "secret_key"),
        ("set-environment-variable", CONTAINER | {"variable": "A", "secret_key": "k"}, "secret_name"),
        ("set-environment-variable", CONTAINER | {"variable": "A"}, "value"),
        ("set-environment-variable", CONTAINER | {"variable": "A", "value": "1", "operation": "remove"}, "value"),
        ("set-environment-variable", CONTAINER | {"variable": "DB_PASSWORD", "value": "hunter22"}, "value"),
        ("expand-claim", {"namespace": "ns", "name": "c", "size": "big"}, "size"),
        ("taint", {"node": "n", "key": "-"}, "key"),
        ("taint", {"node": "n", "key": "a", "value": "-"}, "value"),
        ("taint", {"node": "n", "key": "a", "protected": "-"}, "protected"),
        ("set-label", {"kind": "Whale", "name": "x", "key": "a"}, "kind"),
        ("set-label", {"kind": "Pod", "name": "x", "key": "a"}, "namespace"),
        ("set-label", {"kind": "Node", "name": "x", "key": "a", "namespace": "ns"}, "namespace"),
        ("set-label", {"kind": "Node", "name": "x", "key": "a", "value": "-"}, "value"),
        ("apply-set", {"set": "x", "namespace": "ns", "manifests": "a: ["}, "manifests"),
        ("apply-set", {"set": "x", "manifests": MAP}, "manifests"),
        ("grafana-standalone", {"image": "grafana"}, "image"),
        ("repair-grafana-in-place", {"fixes": "magic"}, "fixes"),
        ("silence-alerts", {"matchers": "x", "duration": "1h", "comment": "why"}, "matchers"),
        ("silence-alerts", {"matchers": "a=b", "duration": "1w", "comment": "why"}, "duration"),
        ("silence-alerts", {"matchers": "a=b", "duration": "99d", "comment": "why"}, "duration"),
        ("silence-alerts", {"matchers": "a=b", "duration": "1h", "comment": "    "}, "comment"),
        ("create-notification-channel", {"kind": "webhook"}, "url"),
        ("create-notification-channel", {"kind": "webhook", "url": "ftp://x"}, "url"),
        ("create-notification-channel", {"kind": "webhook", "url": "http://x", "channel": "#a"}, "channel"),
        ("create-notification-channel", {"kind": "slack", "channel": "#a"}, "secret_name"),
        ("create-notification-channel", CHANNEL | {"recipient": "nobody"}, "recipient"),
        ("create-notification-channel", CHANNEL | {"smarthost": "mail"}, "smarthost"),
        ("create-notification-channel", CHANNEL | {"username": "u"}, "secret_name"),
        ("create-notification-channel", CHANNEL | {"severities": "a b"}, "severities"),
        ("evict-pod", POD | {"name": "web\u200b"}, "name"),
    ],
)
def test_what_an_action_itself_refuses_names_its_field(slug: str, raw: dict[str, str], field: str) -> None:
    with pytest.raises(WrongParameter) as caught:
        registry.parse(slug, raw)
    assert caught.value.field == field, caught.value.sentence
    assert "hunter2" not in str(caught.value)
