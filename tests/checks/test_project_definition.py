"""The shipped project: its fixed keys, and that every check of it can be run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.catalogue import registry as actions
from monitoring.checks import registry
from monitoring.diagnosis import REMEDIES

DEFINITION: dict[str, Any] = yaml.safe_load(
    (Path(__file__).resolve().parents[2] / "projects" / "platform-services.yaml").read_text(encoding="utf-8")
)
PHASES: dict[str, dict[str, Any]] = {phase["key"]: phase for phase in DEFINITION["phases"]}
CHECKS = [
    (owner["key"], slug, params)
    for owner in [*(item for phase in DEFINITION["phases"] for item in phase["items"]), *DEFINITION["components"]]
    for check in owner["checks"]
    for slug, params in check.items()
]
OPEN = {"grafana-deployed", "grafana-datasources", "dora-dashboards", "alert-channels", "dashboard-access"}


def test_the_open_points_of_phase_2_and_nine_accomplishments_are_items() -> None:
    keys = {item["key"] for item in PHASES["platform-services"]["items"]}
    assert keys >= OPEN
    assert len(keys - OPEN) >= 9
    assert len(PHASES["application-delivery"]["items"]) == 4


def test_phases_open_one_after_the_other_and_the_claim_is_kept() -> None:
    assert [phase["number"] for phase in DEFINITION["phases"]] == [1, 2, 3]
    assert [phase.get("gate") for phase in DEFINITION["phases"]] == [None, "foundation", "platform-services"]
    assert PHASES["platform-services"]["claimed_percent"] == 90
    assert str(PHASES["platform-services"]["claimed_on"]) == "2025-11-23"


@pytest.mark.parametrize(("owner", "slug", "params"), CHECKS, ids=[f"{key}-{slug}" for key, slug, _ in CHECKS])
def test_every_check_has_good_parameters(owner: str, slug: str, params: dict[str, Any]) -> None:
    canonical, digest = registry.canonical(slug, params)
    assert registry.canonical(slug, canonical) == (canonical, digest)
    assert registry.expected(slug, params)


def test_every_remedy_of_an_item_is_one_that_diagnosis_or_the_report_names() -> None:
    known = REMEDIES | {"import-dora-dashboards"} | {action.slug for action in actions.all_actions()}
    for phase in DEFINITION["phases"]:
        for item in phase["items"]:
            assert set(item.get("remedies", [])) <= known, item["key"]


def test_components_use_the_checks_of_items_so_that_nothing_is_read_twice() -> None:
    items = {item["key"] for phase in DEFINITION["phases"] for item in phase["items"]}
    components = {component["key"] for component in DEFINITION["components"]}
    used = {(slug, registry.canonical(slug, params)[1]) for owner, slug, params in CHECKS if owner in items}
    shared = [
        (slug, registry.canonical(slug, params)[1]) in used for owner, slug, params in CHECKS if owner in components
    ]
    assert all(shared)
