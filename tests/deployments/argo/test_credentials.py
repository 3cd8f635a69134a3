"""Credentials of an Application stay out of plans and are put back from the live object, exactly."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue.argo import credentials
from deployments.catalogue.argo.values import edited, parse
from tests.deployments.argo.world import PASSWORD, child, values_text

POINTER = "/spec/source/helm/values"
TEXT = """\
a: 1
adminPassword: "one"
db:
  password: 'two'  # token: three
  existingSecret: not-a-credential
env:
  - name: API_TOKEN
    value: four
  - name: PLAIN
    value: five
ini: |
  [smtp]
  password = six
empty: {password: "", token: null, secret: true}
url: https://user:seven@host/
"""


def found(text: str) -> list[str]:
    return [text[start:end] for start, end in credentials.spans(text)]


def test_values_are_found_by_key_by_look_and_in_comments() -> None:
    assert found(TEXT) == [
        '"one"',
        "'two'",
        "# token: three",
        "four",
        "|\n  [smtp]\n  password = six\n",
        "https://user:seven@host/",
    ]


def test_every_line_of_one_is_counted() -> None:
    assert credentials.lines_of(TEXT) == {1, 3, 7, 10, 11, 12, 14}


def test_masked_text_shows_none_and_comes_back_whole() -> None:
    masked = credentials.mask(TEXT, TEXT, POINTER)
    assert not any(word in masked for word in ("one", "two", "three", "four", "six", "seven"))
    assert "five" in masked and "not-a-credential" in masked
    live = {"spec": {"source": {"helm": {"values": TEXT}}}}
    assert credentials.restore({"x": [masked]}, live) == {"x": [TEXT]}


def test_the_teams_edited_values_come_back_with_the_live_password() -> None:
    after = edited(values_text(), parse("grafana.enabled=false,grafana.admin.existingSecret=x"))
    masked = credentials.mask(after, values_text(), POINTER)
    assert PASSWORD not in masked and "existingSecret: x" in masked
    assert credentials.restore(masked, child()) == after


def test_a_credential_that_the_live_text_does_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="into a plan"):
        credentials.mask("password: new\n", "password: old\n", POINTER)


@pytest.mark.parametrize("hostile", ["a: ${run.secret}\n", "a: ${live:/spec}\n"])
def test_text_that_looks_like_our_placeholders_is_refused(hostile: str) -> None:
    with pytest.raises(ValueError, match="placeholder"):
        credentials.mask(hostile, hostile, POINTER)
    with pytest.raises(ValueError, match="placeholder"):
        credentials.masked_tree({"a": hostile}, "/spec")


def test_a_restored_text_is_not_looked_into_again() -> None:
    live = {"a": "password: ${live:/b}", "b": "x"}
    assert credentials.restore("${live:/a}", live) == "password: ${live:/b}"


def test_a_part_of_an_object_hides_whole_texts_that_hold_one() -> None:
    source: dict[str, Any] = child()["spec"]["source"]
    masked = credentials.masked_tree(source, "/status/history/3/source")
    assert masked["helm"]["values"] == "${live:/status/history/3/source/helm/values}"
    assert masked["chart"] == source["chart"]
    live = {"status": {"history": [{}, {}, {}, {"source": source}]}}
    assert credentials.restore(masked, live) == source
    parameters = [{"name": "grafana.adminPassword", "value": "x1"}, {"name": "grafana.enabled", "value": "true"}]
    assert credentials.masked_tree(parameters, "/p") == [
        {"name": "grafana.adminPassword", "value": "${live:/p/0/value}"},
        {"name": "grafana.enabled", "value": "true"},
    ]
    assert credentials.holds_any(source) and credentials.holds_any(parameters)
    assert not credentials.holds_any({"a": {"existingSecret": "x"}})
    assert credentials.is_masked(masked) and not credentials.is_masked(source)


def test_keys_with_slashes_are_pointed_at_exactly() -> None:
    tree = {"a/b~c": {"password": "x1"}}
    masked = credentials.masked_tree(tree, "")
    assert masked == {"a/b~c": {"password": "${live:/a~1b~0c/password}"}}
    assert credentials.restore(masked, tree) == tree


@pytest.mark.parametrize(
    "live", [None, {}, {"spec": {"x": 5}}, {"spec": {"x": "a: 1\n"}}, {"spec": {"x": "a: [unclosed"}}]
)
def test_what_is_not_there_any_more_is_never_filled_with_something_else(live: Any) -> None:
    with pytest.raises((LookupError, ValueError)):
        credentials.restore("p: ${live:/spec/x#0}", live)


def test_people_read_words_in_their_place() -> None:
    masked = credentials.mask("password: old\n", "password: old\n", POINTER)
    assert credentials.described(masked) == f"password: <credential in {POINTER}>\n"
    assert credentials.described("${live:/a/b}") == "<text of /a/b>"
