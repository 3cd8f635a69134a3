"""YAML from a cluster is read as Kubernetes and Helm read it, to values that JSON knows, in bounded time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.canonical import digest
from deployments import diffing
from monitoring import plain_yaml

LIMIT = 512 * 1024
HOSTILE = {
    "deep": "[" * 200_000,
    "deep maps": "{a: " * 100_000,
    "deep keys": "? " * 200_000,
    "deep lists": "- " * 200_000,
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "an alias of itself": "&a [*a]",
    "tag": "a: !!python/object/apply:os.system ['true']",
    "bytes": "a: !!binary aGk=",
    "long tag": "!" * 500_000,
    "comment": "#" * 500_000,
    "quotes": '"' * 500_000,
    "long binary number": "a: 0b" + "1" * 400_000,
    "infinity": "a: .inf",
    "no number": "a: .nan",
    "half a character": 'a: "\\ud800"',
    "two documents": "a: 1\n---\nb: 2\n",
    "too long": "a: b\n" * 200_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_not_read_and_takes_no_time(name: str) -> None:
    """The composer of libyaml crashed the process over the deep ones; ruamel took 24 s over the long tag."""
    started = time.perf_counter()
    assert plain_yaml.load(HOSTILE[name], LIMIT) is None
    assert time.perf_counter() - started < 5


def test_half_a_megabyte_of_values_is_read_in_seconds() -> None:
    text = "\n".join(f"key{i}: value" for i in range(30_000))
    started = time.perf_counter()
    found = plain_yaml.load(text, LIMIT)
    assert found is not None and len(found) == 30_000
    assert time.perf_counter() - started < 8


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10:30", "10:30"),
        ("2001-01-01", "2001-01-01"),
        ("0644", 420),
        ("-5", -5),
        ("1e5", 100_000.0),
        ("99999999999999999999999999", 1e26),
        ("18446744073709551615", 18446744073709551615),
        ("yes", True),
        ("~", None),
        ("!!str 5", "5"),
        ("1.2.3", "1.2.3"),
        ("'10'", "10"),
    ],
)
def test_scalars_are_what_helm_takes_them_for(text: str, value: Any) -> None:
    assert plain_yaml.load(f"a: {text}", LIMIT) == {"a": value}


def test_keys_are_text() -> None:
    assert plain_yaml.load("1: a\ntrue: b\nnull: c\n1.5: d\n", LIMIT) == {
        "1": "a",
        "true": "b",
        "null": "c",
        "1.5": "d",
    }


@given(
    st.text(st.characters(codec="utf-8"), max_size=60)
    | st.text("{}[]&*!|>'\"%@`-:, \n0123456789.e#?<ab\\", max_size=60)
)
def test_whatever_is_read_can_be_stored_and_hashed(text: str) -> None:
    """A date, a number beyond 64 bits or a key that is no text made the hash of a plan fail once."""
    found = plain_yaml.load(text, LIMIT)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    digest(found)
    fingerprint, _ = diffing.fingerprint({"spec": {"values": f"a:\n{text}", "more": text}}, "key")
    assert fingerprint
