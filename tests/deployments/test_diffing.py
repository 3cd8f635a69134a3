"""Differences name fields; secrets leave them only as hashes that tell equal from different."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deployments import diffing

KEY = "installation"
SECRET = "canary-7731-abcdef"

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
    max_leaves=15,
)


def application(values: str) -> dict[str, Any]:
    return {"kind": "Application", "metadata": {"name": "a"}, "spec": {"source": {"helm": {"values": values}}}}


def test_secret_data_is_hashed_and_still_compared() -> None:
    before = diffing.leaves({"kind": "Secret", "data": {"admin-user": SECRET}}, KEY)
    after = diffing.leaves({"kind": "Secret", "data": {"admin-user": SECRET + "x"}}, KEY)
    assert SECRET not in repr((before, after))
    assert [c["path"] for c in diffing.difference(before, after)] == ["data.admin-user"]


def test_credential_like_keys_inside_yaml_strings_are_hashed() -> None:
    found = diffing.leaves(application(f"grafana:\n  adminPassword: {SECRET}\n  enabled: true\n"), KEY)
    assert SECRET not in repr(found)
    assert found["spec.source.helm.values:grafana.enabled"] is True
    assert found["spec.source.helm.values:grafana.adminPassword"].startswith("hmac:")


def test_values_that_are_not_yaml_do_not_leak_either() -> None:
    assert SECRET not in repr(diffing.leaves(application(f"{{{{ broken\npassword: {SECRET}\n"), KEY))


def test_an_environment_variable_is_judged_by_its_name() -> None:
    item = {"env": [{"name": "GF_SECURITY_ADMIN_PASSWORD", "value": SECRET}, {"name": "TZ", "value": "UTC"}]}
    found = diffing.leaves(item, KEY)
    assert SECRET not in repr(found)
    assert found["env[1].value"] == "UTC"


def test_a_hash_is_useless_elsewhere() -> None:
    item = {"password": SECRET}
    assert diffing.leaves(item, KEY) != diffing.leaves(item, "another installation")


def test_a_redacted_before_value_makes_a_change_irreversible() -> None:
    before, after = diffing.leaves({"password": "a"}, KEY), diffing.leaves({"password": "b"}, KEY)
    assert diffing.is_redacted(diffing.difference(before, after))
    assert not diffing.is_redacted(diffing.difference({"a": 1}, {"a": 2}))


def test_noise_is_not_in_a_fingerprint_and_the_spec_is() -> None:
    item = {"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"replicas": 1}, "status": {"ready": 1}}
    noisy = {**item, "metadata": {"name": "a", "resourceVersion": "2"}, "status": {"ready": 0}}
    changed = {**item, "spec": {"replicas": 2}}
    assert diffing.fingerprint(item, KEY)[0] == diffing.fingerprint(noisy, KEY)[0]
    assert diffing.fingerprint(item, KEY)[0] != diffing.fingerprint(changed, KEY)[0]


def test_yaml_bombs_are_not_unfolded() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x]\n" + "".join(
        f"{c}: &{c} [*{p},*{p},*{p},*{p}]\n" for p, c in zip("abcdefg", "bcdefgh", strict=True)
    )
    assert len(diffing.leaves(application(bomb), KEY)) < 10


@given(_json, _json)
def test_a_difference_is_empty_exactly_when_the_leaves_are_equal(one: Any, other: Any) -> None:
    before, after = diffing.leaves({"x": one}, KEY), diffing.leaves({"x": other}, KEY)
    there = [{path: value for path, value in found.items() if value is not None} for found in (before, after)]
    assert (diffing.difference(before, after) == []) == (there[0] == there[1])


@given(_json)
def test_every_leaf_is_found_at_or_below_its_own_path(item: Any) -> None:
    found = diffing.leaves({"x": item}, KEY)
    for path in found:
        assert path in diffing.below(found, [path])
        assert path not in diffing.without(found, [path])
