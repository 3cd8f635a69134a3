"""Merge patch and JSON patch: the examples of RFC 7386 and what an API server answered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.api.patching import PatchError, PatchTestFailed, json_patch, merge_patch

RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.text("abc", max_size=2), values, max_size=4)


@pytest.mark.parametrize(("doc", "patch", "result"), RFC_7386)
def test_the_examples_of_rfc_7386(doc: Any, patch: Any, result: Any) -> None:
    assert merge_patch(doc, patch) == result


@given(objects, objects)
def test_a_merge_patch_twice_is_the_same_as_once_and_leaves_its_input_alone(doc: Any, patch: Any) -> None:
    before = repr(doc)
    once = merge_patch(doc, patch)
    assert merge_patch(once, patch) == once
    assert repr(doc) == before


def test_json_patch_tests_and_adds() -> None:
    ops = [{"op": "test", "path": "/data/b", "value": "2"}, {"op": "add", "path": "/data/q", "value": "7"}]
    assert json_patch({"data": {"b": "2"}}, ops) == {"data": {"b": "2", "q": "7"}}


@pytest.mark.parametrize(
    "ops",
    [
        [{"op": "test", "path": "/data/b", "value": "no"}],
        [{"op": "remove", "path": "/data/none"}],
        [{"op": "add", "path": "/data/b/deep", "value": 1}],
        [{"op": "replace", "path": "/none/x", "value": 1}],
    ],
)
def test_a_json_patch_that_does_not_fit_the_document_is_422(ops: Any) -> None:
    with pytest.raises(PatchTestFailed) as raised:
        json_patch({"data": {"b": "2"}}, ops)
    assert (raised.value.code, raised.value.reason) == (422, "Invalid")


@pytest.mark.parametrize("ops", [{"data": {}}, [{"op": "frobnicate", "path": "/a"}], [{"path": "/a"}]])
def test_what_is_not_a_json_patch_is_400(ops: Any) -> None:
    with pytest.raises(PatchError) as raised:
        json_patch({"data": {}}, ops)
    assert raised.value.code == 400
