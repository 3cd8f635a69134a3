"""What is kept to bring an object back: the fields a step wrote, and no trace where there was nothing."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue import restored
from deployments.catalogue.action import MARK, Apply, Patch
from deployments.engine import restoring


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def kept(live: dict[str, Any], **body: Any) -> dict[str, Any]:
    found = restoring.restore_of(Patch("merge", {"metadata": {"annotations": {MARK: "r.1"}}, **body}), live, "key")
    assert found is not None
    plain: dict[str, Any] = found["body"]
    return plain


@pytest.mark.parametrize(
    ("live", "written"),
    [
        ({"syncPolicy": {"retry": {}}}, {"syncPolicy": {"automated": {"selfHeal": True}}}),
        ({}, {"alertmanagerConfigMatcherStrategy": {"type": "None"}}),
        ({"a": {"b": 1}}, {"a": {"b": None, "c": {"d": {"e": 1}}}}),
        ({"a": {}}, {"a": {"b": 1}}),
        ({"list": [1]}, {"list": [2], "other": [3]}),
        ({"replicas": 0, "paused": False}, {"replicas": 2, "paused": True, "image": "a"}),
    ],
)
def test_putting_back_leaves_exactly_what_was_there(live: dict[str, Any], written: dict[str, Any]) -> None:
    """An empty map that stays behind may say something: ``automated: {}`` is auto-sync turned on."""
    whole = {"metadata": {"name": "x"}, "spec": live}
    after = merged(whole, {"spec": written})
    body = kept(whole, spec=written)
    assert merged(after, body) == whole
    assert restored.untouched(after, body, restored.before(after, body))
    assert not restored.untouched(whole, body, restored.before(after, body))


def test_labels_that_others_add_meanwhile_stay() -> None:
    whole: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {}}
    body = restoring.restore_of(Apply({"metadata": {"labels": {"mine": "1"}}, "spec": {}}), whole, "key")
    assert body is not None
    after = merged(whole, {"metadata": {"labels": {"mine": "1", "theirs": "2"}}})
    assert merged(after, body["body"])["metadata"]["labels"] == {"theirs": "2"}


def test_what_others_add_to_a_map_that_goes_whole_is_seen() -> None:
    """Then the undo is refused instead of taking their work away."""
    whole: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {}}
    written = {"strategy": {"type": "None"}}
    body = kept(whole, spec=written)
    after = merged(whole, {"spec": written})
    noted = restored.before(after, body)
    assert restored.untouched(after, body, noted)
    assert not restored.untouched(merged(after, {"spec": {"strategy": {"more": 1}}}), body, noted)
    assert restored.untouched(merged(after, {"spec": {"other": 1}}), body, noted)
