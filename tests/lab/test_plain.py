"""Copies share nothing that can be changed."""

from __future__ import annotations

from typing import Any

from lab.plain import copied


def test_a_copy_is_equal_and_shares_neither_dicts_nor_lists() -> None:
    inner: dict[str, Any] = {"b": [1, {"c": None}], "d": "text", "e": True, "f": 1.5}
    original = {"a": inner, "again": inner}
    made = copied(original)
    assert made == original
    made["a"]["b"][1]["c"] = "changed"
    made["a"]["b"].append(2)
    made["a"]["new"] = 1
    assert inner == {"b": [1, {"c": None}], "d": "text", "e": True, "f": 1.5}
    assert made["again"] == inner
