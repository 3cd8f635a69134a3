"""What is shown of a list: who is new, who is gone and who changed, by name; never the shift of all that follow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments import diffing, folding
from deployments.aligning import aligned

KEY = "installation"


def rows(before: list[Any], after: list[Any]) -> list[dict[str, Any]]:
    one, other = {"env": before}, {"env": after}
    found = diffing.difference(diffing.leaves(one, KEY), diffing.leaves(aligned(one, other), KEY))
    return folding.fold(found)[0]


def var(name: str, value: str = "1") -> dict[str, str]:
    return {"name": name, "value": value}


A, B, C = var("A"), var("B"), var("C")


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ([A, B], [C, A, B], [{"path": "env[2]", "before": None, "after": "{name: C, value: 1}"}]),
        ([A, B, C], [A, C], [{"path": "env[1]", "before": "{name: B, value: 1}", "after": None}]),
        ([A, B], [C, A, var("B", "2")], [
            {"path": "env[1].value", "before": "1", "after": "2"},
            {"path": "env[2]", "before": None, "after": "{name: C, value: 1}"},
        ]),
        ([A, B], [A, B], []),
        ([], [A], [
            {"path": "env", "before": "[]", "after": None},
            {"path": "env[0]", "before": None, "after": "{name: A, value: 1}"},
        ]),
    ],
)  # fmt: skip
def test_entries_are_compared_by_name(before: list[Any], after: list[Any], shown: list[dict[str, Any]]) -> None:
    assert rows(before, after) == shown


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([A, B], [B, A]),
        ([A, A], [A]),
        ([{"port": 1}], [{"port": 2}, {"port": 1}]),
        (["a"], ["b", "a"]),
    ],
)
def test_another_order_and_what_has_no_names_is_compared_by_place(before: list[Any], after: list[Any]) -> None:
    assert aligned(before, after) == after


def test_entries_inside_entries_are_compared_the_same_way() -> None:
    before = {"containers": [{"name": "web", "env": [A]}, {"name": "side"}]}
    after = {"containers": [{"name": "new"}, {"name": "web", "env": [B, A]}, {"name": "side"}]}
    assert aligned(before, after) == {
        "containers": [{"name": "web", "env": [A, B]}, {"name": "side"}, {"name": "new"}],
    }


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from("abc"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(st.fixed_dictionaries({"name": st.sampled_from("abc"), "value": inner}), max_size=4)
        | st.dictionaries(st.sampled_from(["name", "x"]), inner, max_size=2)
    ),
    max_leaves=12,
)


@given(_json, _json)
def test_nothing_that_differs_is_hidden(one: Any, other: Any) -> None:
    before, after = diffing.leaves({"x": one}, KEY), diffing.leaves({"x": other}, KEY)
    beside = diffing.leaves(aligned({"x": one}, {"x": other}), KEY)
    assert bool(diffing.difference(before, beside)) == bool(diffing.difference(before, after))
