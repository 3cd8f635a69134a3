"""*Create Grafana's admin Secret*: created once, its password nowhere but in it."""

from __future__ import annotations

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import Create
from tests.deployments.dashboards.world import case, draft, named, unmet, values

SLUG = "create-grafana-admin-secret"


def test_it_is_one_create_with_a_placeholder_for_the_password() -> None:
    drafted = draft(SLUG, case())
    assert unmet(drafted) == []
    [step] = drafted.steps
    assert isinstance(step.effect, Create)
    assert step.effect.body["stringData"] == {"admin-user": "admin", "admin-password": "${run.secret}"}
    assert (step.resource, step.namespace, step.name) == ("secrets", "platform-monitoring", "grafana-admin")
    assert not step.irreversible


def test_it_says_who_refers_to_it() -> None:
    assert "do not refer to it yet" in draft(SLUG, case()).blast.sentence
    loaded = case()
    values(loaded, "grafana:\n", "grafana:\n  admin:\n    existingSecret: grafana-admin\n")
    assert "The values of kube-prometheus-stack refer to it" in draft(SLUG, loaded).blast.sentence


def test_a_namespace_that_goes_away_is_named() -> None:
    loaded = case()
    named(loaded, "namespaces", "platform-monitoring")["metadata"]["deletionTimestamp"] = "2025-11-24T08:59:00Z"
    assert any("being deleted" in u for u in unmet(draft(SLUG, loaded)))
    loaded["objects"]["namespaces"] = []
    assert any("not there" in u for u in unmet(draft(SLUG, loaded)))


@pytest.mark.parametrize("params", [{"user": "a b"}, {"name": "Not_A_Name"}])
def test_names_that_would_not_be_accepted_are_refused_at_once(params: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"user|name"):
        registry.parse(SLUG, params)


def test_a_second_draft_of_the_filled_parameters_is_the_same() -> None:
    first = draft(SLUG, case())
    assert draft(SLUG, case(), **first.params) == first
