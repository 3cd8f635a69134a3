"""Where an alert goes, by the configuration that Alertmanager shows; hostile patterns are never tried."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml

from monitoring.checks import alert_routes
from monitoring.checks.alert_routes import Matcher, is_simple, matches, parse_matcher


def config(route: dict[str, Any]) -> alert_routes.Config:
    receivers = [{"name": "null"}, {"name": "ops", "webhook_configs": [{"url": "<secret>"}, {}], "slack_configs": []}]
    found = alert_routes.read({"config": {"original": yaml.safe_dump({"route": route, "receivers": receivers})}})
    assert found is not None
    return found


TREE = {
    "receiver": "null",
    "group_by": ["namespace"],
    "group_wait": "10s",
    "routes": [
        {
            "receiver": "ops",
            "matchers": ['severity =~ "critical|warning"'],
            "continue": True,
            "routes": [{"matchers": ['portal_test="true"'], "group_by": ["run"], "group_wait": "1s"}],
        },
        {"receiver": "old", "match": {"team": "x"}, "match_re": {"env": "p.*"}},
        {"matchers": ["alertname != Watchdog", 'missing=""'], "group_interval": "1m"},
    ],
}


def to(**labels: str) -> list[str]:
    return [route.receiver for route in config(TREE).root.taken(labels)]


def test_routes_are_walked_as_alertmanager_does() -> None:
    assert to(alertname="A", severity="warning", missing="here") == ["ops"]
    assert to(alertname="A", severity="warning") == ["ops", "null"]
    assert to(alertname="A", severity="critical!", missing="here") == ["null"]
    assert to(alertname="A", team="x", env="prod") == ["old"]
    assert to(alertname="Watchdog") == ["null"]


def test_a_child_inherits_receiver_grouping_and_times() -> None:
    first, last = config(TREE).root.taken({"alertname": "A", "severity": "warning", "portal_test": "true"})
    assert (first.receiver, first.group_by, first.group_wait, first.group_interval) == ("ops", ("run",), 1.0, 300.0)
    assert (last.receiver, last.group_by, last.group_wait, last.group_interval) == ("null", ("namespace",), 10.0, 60.0)


def test_receivers_say_what_they_send_by() -> None:
    found = config(TREE)
    assert found.receivers == {"null": (), "ops": ("webhook", "webhook")}
    assert found.real == {"ops"}


@pytest.mark.parametrize(
    "body", [None, [], {}, {"config": "x"}, {"config": {"original": "["}}, {"config": {"original": "- a"}}]
)
def test_what_is_no_configuration_is_none(body: Any) -> None:
    assert alert_routes.read(body) is None


@pytest.mark.parametrize(
    ("text", "matcher"),
    [
        ('a="b"', Matcher("a", "=", "b")),
        ("a = b", Matcher("a", "=", "b")),
        ('a!~"b|c"', Matcher("a", "!~", "b|c")),
        ('{a=~"x.*"}', Matcher("a", "=~", "x.*")),
        ('a="q\\"\\\\q"', Matcher("a", "=", 'q"\\q')),
        ("a=", Matcher("a", "=", "")),
        ("a", None),
        ('a="b" c', None),
    ],
)
def test_matchers_are_read_as_they_are_written(text: str, matcher: Matcher | None) -> None:
    found = parse_matcher(text)
    assert found == matcher
    if found is not None:
        assert parse_matcher(str(found)) == found


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a|aa)*x",
        "(a{1,9}){9}",
        ".*.*.*.*x",
        "(",
        "a{1,",
        "(?=a)",
        "(?P<a>b)",
        r"(a)\1",
        "x" * 600,
        "a{99999999999}",
    ],
)
def test_a_pattern_that_might_take_for_ever_is_not_tried(pattern: str) -> None:
    began = time.monotonic()
    result = matches(pattern, "a" * 200)
    assert time.monotonic() - began < 1.0
    assert result is None or is_simple(pattern)


def test_the_worst_pattern_that_is_tried_ends_soon() -> None:
    began = time.monotonic()
    assert matches(".*.*.*x", "a" * 256) is False
    assert time.monotonic() - began < 3.0
    assert matches("a*", "a" * 257) is None


def test_what_cannot_be_told_does_not_count_as_a_match() -> None:
    tree = {"receiver": "null", "routes": [{"receiver": "ops", "matchers": ['a=~"(x+)+"']}]}
    assert [route.receiver for route in config(tree).root.taken({"a": "xxx"})] == ["null"]
    assert Matcher("a", "!~", "(x+)+").fits({"a": "x"}) is None


def test_what_fits_both_sides_of_an_inhibition_is_not_muted_by_its_like() -> None:
    rules = [
        {"source_match": {"severity": "critical"}, "target_match_re": {"severity": "warning|info"}, "equal": ["ns"]},
        {"target_matchers": ["alertname = InfoInhibitor"]},
    ]
    body = {"config": {"original": yaml.safe_dump({"route": {}, "receivers": [], "inhibit_rules": rules})}}
    found = alert_routes.read(body)
    assert found is not None
    first, always = found.inhibitions
    critical = {"severity": "critical", "ns": "a"}
    assert first.mutes(critical, {"severity": "warning", "ns": "a"})
    assert not first.mutes(critical, {"severity": "warning", "ns": "b"})
    assert not first.mutes({"severity": "warning", "ns": "a"}, {"severity": "warning", "ns": "a"})
    assert always.mutes(critical, {"alertname": "InfoInhibitor"})
    assert not always.mutes({"alertname": "InfoInhibitor"}, {"alertname": "InfoInhibitor"})
