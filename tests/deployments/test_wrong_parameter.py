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
        registry.parse("set-helm-values", {"application": "a", "values": "x=1", "git_file": "../x"})
    assert caught.value.field == "" and "git_file is not the path" in caught.value.sentence
