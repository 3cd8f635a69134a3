"""Edits of Helm values: what is written changes, everything else stays as people wrote it."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.catalogue.argo import values
from deployments.catalogue.argo.values import Edit, applied, credential, edited, parse
from tests.deployments.argo.world import values_text


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


# -- reading


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=true", [Edit(("a", "b"), True)]),
        ("a=1,b=2.5", [Edit(("a",), 1), Edit(("b",), 2.5)]),
        ("a=10Gi", [Edit(("a",), "10Gi")]),
        ("a=007", [Edit(("a",), "007")]),
        ('a="true"', [Edit(("a",), "true")]),
        ("a=", [Edit(("a",), "")]),
        ('a=["x,y", {"b": [1, 2]}]\nc=d', [Edit(("a",), ["x,y", {"b": [1, 2]}]), Edit(("c",), "d")]),
        (r"datasources.datasources\.yaml.apiVersion=1", [Edit(("datasources", "datasources.yaml", "apiVersion"), 1)]),
        ("b-, a=x", [Edit(("a",), "x"), Edit(("b",), remove=True)]),
    ],
)
def test_a_list_of_values_is_read_as_helm_would(text: str, expected: list[Edit]) -> None:
    assert list(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "at least one"),
        ("a.b", "neither path=value nor path-"),
        ("a[0]=1", "a list is set whole"),
        ("a=null", "write a- to take the key out"),
        ("a={x", "not JSON"),
        ("a..b=1", "not a path"),
        ("a=1,a.b=2", "speak of the same value"),
        ("a=1,a=2", "speak of the same value"),
        (",".join(f"a{n}=1" for n in range(51)), "too many"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(text)


def test_a_refusal_does_not_repeat_a_credential() -> None:
    with pytest.raises(ValueError) as refused:
        parse("adminPassword: hunter2-canary")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("grafana.adminPassword=x1", "grafana.adminPassword"),
        ('grafana.env={"GF_SMTP_PASSWORD": "x1"}', "grafana.env"),
        ("a.url=https://user:pass@host/", "a.url"),
        ("grafana.admin.existingSecret=grafana-admin,grafana.admin.passwordKey=admin-password", ""),
        ("grafana.adminPassword-", ""),
    ],
)
def test_an_edit_that_would_write_a_credential_is_named(text: str, name: str) -> None:
    assert credential(parse(text)) == name


# -- text


@pytest.mark.parametrize(
    ("edit", "lines"),
    [
        ("grafana.enabled=false", ["-  enabled: true", "+  enabled: false"]),
        ("grafana.persistence.size=10Gi", ['+    size: "10Gi"']),
        ("grafana.service.type=ClusterIP", ["-    type: LoadBalancer", "+    type: ClusterIP"]),
        ('grafana.deploymentStrategy={"type":"Recreate"}', ["+  deploymentStrategy:", "+    type: Recreate"]),
        ("defaultRules.create=false", ["+defaultRules:", "+  create: false"]),
        ("grafana.persistence.enabled-", ["-  persistence:", "-    enabled: false"]),
        ("grafana.nothing.here-", []),
        (r"grafana.datasources.datasources\.yaml.apiVersion=2", ["-      apiVersion: 1", "+      apiVersion: 2"]),
    ],
)
def test_only_the_lines_of_what_changes_are_touched(edit: str, lines: list[str]) -> None:
    text = values_text()
    assert changed_lines(text, edited(text, parse(edit))) == lines


def test_comments_quotes_and_blank_lines_stay() -> None:
    text = "# ours\na: 'one'   # why\n\nb:\n  # inside\n  c: 2 # two\n\n# end\n"
    assert edited(text, parse("b.c=3,b.d=true")) == (
        "# ours\na: 'one'   # why\n\nb:\n  # inside\n  c: 3 # two\n  d: true\n\n# end\n"
    )


@pytest.mark.parametrize(
    ("text", "edit", "after"),
    [
        ("", "a.b=1", "a:\n  b: 1\n"),
        ("# only words\n", "a=x", "# only words\na: x\n"),
        ("a:\n", "a.b=1", "a:\n  b: 1\n"),
        ("a: {b: 1}\n", "a.c=no", 'a: {b: 1, c: "no"}\n'),
        ("a: {}\n", "a.b.c=1", "a: {b: {c: 1}}\n"),
        ("a: |\n  text\n  more\nb: 1\n", "a=x", "a: x\nb: 1\n"),
        ("a:\n  - x\n  - y\nb: 1\n", 'a=["z"]', "a:\n  - z\nb: 1\n"),
        ("a:\n- x\nb: 1\n", "b=2", "a:\n- x\nb: 2\n"),
        ("a: 1", "a=2", "a: 2"),
        ("a:\n  b:\n    c: 1\nd: 2\n", "a.b.c-", "d: 2\n"),
    ],
)
def test_every_way_of_writing_is_edited_in_its_own_way(text: str, edit: str, after: str) -> None:
    assert edited(text, parse(edit)) == after


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("a: 'x'  # why\n", "a=x"),
        ('a: "x"\n', "a=x"),
        ("a:\n  x\n", "a=x"),
        ("a: 1.0\n", "a=1"),
        ("a: {b: 1,   c: 'x'}\n", "a.c=x"),
        ("a:\n- 1\n- two\n", 'a=[1, "two"]'),
        ("a: {b: [1, 2]}\n", 'a={"b": [1, 2]}'),
    ],
)
def test_what_is_so_already_stays_as_it_is_written(text: str, edit: str) -> None:
    assert edited(text, parse(edit)) == text


@pytest.mark.parametrize(
    ("text", "edit", "after"),
    [
        ("a: true\n", "a=1", "a: 1\n"),
        ("a: 0\n", "a=false", "a: false\n"),
        ("a: [1]\n", "a=[true]", "a:\n  - true\n"),
        ("a: '1'\n", "a=1", "a: 1\n"),
        ("a: 1\n", 'a="1"', 'a: "1"\n'),
    ],
)
def test_what_only_looks_alike_is_set(text: str, edit: str, after: str) -> None:
    assert edited(text, parse(edit)) == after


@pytest.mark.parametrize(
    ("text", "edit", "sentence"),
    [
        ("a: [1, 2]\n", "a.b=1", "a is no map"),
        ("a: 5\n", "a.b=1", "a is no map"),
        ("- 1\n", "a=1", "no YAML map"),
        ("a: [unclosed", "a=1", "not YAML"),
        ("a: &x 1\nb: *x\n", "a=2", "not YAML"),
        ("a: 1\na: 2\n", "a=3", "stands twice"),
        ("a: 1\r\n", "a=3", "line ends"),
    ],
)
def test_what_cannot_be_edited_safely_is_refused(text: str, edit: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        edited(text, parse(edit))


@pytest.mark.parametrize(
    "value", ["yes", "off", "1e3", "0x1F", "1_000", "~", "null", "2025-11-23", "a: b", "#x", " x", "é"]
)
def test_a_string_stays_a_string_for_every_yaml_reader(value: str) -> None:
    after = edited("a: 1\n", (Edit(("a",), value),))
    assert yaml.safe_load(after) == {"a": value}
    assert '"' in after


NAMES = st.sampled_from(["a", "b", "c", "d.yaml", "e-f", "yes"])
LEAVES = st.one_of(st.booleans(), st.integers(-9, 9), st.sampled_from(["x", "no", "10Gi", "two words", "", "a: b"]))
TREES = st.recursive(
    st.one_of(LEAVES, st.lists(LEAVES, max_size=3)),
    lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(NAMES, TREES, max_size=4),
    st.lists(NAMES, min_size=1, max_size=3),
    TREES,
    st.booleans(),
    st.booleans(),
)
def test_edited_text_says_what_the_edit_says_and_nothing_else(
    tree: dict[str, Any], path: list[str], value: Any, remove: bool, flow: bool
) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, sort_keys=False) if tree else ""
    edit = Edit(tuple(path), None if remove else value, remove)
    try:
        expected = applied(tree, (edit,))
    except ValueError:
        with pytest.raises(ValueError):
            edited(text, (edit,))
        return
    assert (yaml.safe_load(edited(text, (edit,))) or {}) == expected


def test_other_actions_name_values_as_plain_data() -> None:
    wanted = values.setting({"grafana.persistence.enabled": False, r"a.b\.yaml": [1]})
    assert wanted == (Edit(("grafana", "persistence", "enabled"), False), Edit(("a", "b.yaml"), [1]))
