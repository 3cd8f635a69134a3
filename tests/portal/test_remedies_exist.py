"""Findings name remedies and parameters as text; the catalogue must have them and take them."""

from __future__ import annotations

import pytest

from deployments.catalogue import registry
from monitoring.diagnosis import REMEDIES, diagnose
from monitoring.verdict import Finding
from tests.diagnosis.recorded import CASES


def test_every_remedy_a_finding_may_name_is_in_the_catalogue() -> None:
    assert {action.slug for action in registry.all_actions()} >= REMEDIES


def _known() -> list[tuple[str, dict[str, str]]]:
    found: dict[tuple[str, tuple[str, ...]], tuple[str, dict[str, str]]] = {}
    for one in CASES:
        for finding in diagnose(one.snapshot, one.subject, one.case["taken_at"]):
            for slug, params in finding.parameters.items():
                found[slug, tuple(sorted(params))] = slug, params
    return list(found.values())


KNOWN = _known()


@pytest.mark.parametrize(("slug", "params"), KNOWN, ids=[f"{slug}-{','.join(params)}" for slug, params in KNOWN])
def test_the_parameters_of_findings_are_those_of_their_actions(slug: str, params: dict[str, str]) -> None:
    fields = {field.name: field for field in registry.fields(registry.get(slug))}
    assert set(params) <= set(fields)
    if all(name in params for name, field in fields.items() if field.required):
        registry.parse(slug, params)


def test_a_finding_says_of_every_remedy_what_it_knows() -> None:
    """A remedy that needs a name is given it wherever the finding is about one thing."""
    for one in CASES:
        for finding in diagnose(one.snapshot, one.subject, one.case["taken_at"]):
            _parameters(finding)


#: actions of which a person has to say more than a cluster can tell
ASKED = {"create-notification-channel", "set-helm-values", "expand-claim", "revert-bad-rule"}


def _parameters(finding: Finding) -> None:
    for slug in finding.remedies:
        needed = {field.name for field in registry.fields(registry.get(slug)) if field.required}
        if slug not in ASKED:
            assert needed <= set(finding.parameters.get(slug, {})), (finding.id, slug)
