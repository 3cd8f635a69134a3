"""The ``policy:`` of a project definition: strict, with file and line, and a row of the engine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.models import AuditEvent
from deployments import policies
from deployments.models import ClusterPolicy
from deployments.policy import Policy, Seats
from portal.checklists.definitions import DefinitionError, load
from tests.checklists.build import CLUSTER, SMALL, shipped, small

pytestmark = pytest.mark.django_db

PART = """policy:
  approvals:
    - tiers: [3]
      count: 2
      from: [approver, admin]
    - {tiers: [2], production_only: true}
  approval_minutes: 20
  waiting_minutes: 600
  freezes:
    - name: year-end
      reason: Holidays
      from: 2025-12-20
      to: 2026-01-06 08:00:00
      time_zone: Europe/Zurich
    - name: nights
      reason: Nobody watches
      cron: 0 20 * * mon-fri
      lasts: 11h
      tiers: [3]
  limits:
    - actions: [repair-grafana-in-place]
      per_hour_per_target: 3
"""
WITH = SMALL + PART
FIRST = SMALL.count("\n") + 1


def test_it_becomes_the_policy_of_its_cluster(tmp_path: Path) -> None:
    small(tmp_path, WITH)
    (found,) = policies.of(CLUSTER)
    assert found.approval_minutes == 20
    assert policies.wanted(CLUSTER, 3) == ((Seats(2, ("approver", "admin")),),)
    assert [f.name for f in policies.frozen_windows(CLUSTER)] == ["year-end", "nights"]
    row = ClusterPolicy.objects.get()
    assert (row.cluster, row.source, row.loaded_by) == (CLUSTER, "project:small", "system")
    assert AuditEvent.objects.get(verb="policy.load").detail["source"] == "project:small"
    assert policies.of("another") == (Policy(),)


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    small(tmp_path, WITH)
    small(tmp_path, WITH)
    assert AuditEvent.objects.filter(verb="policy.load").count() == 1


def test_a_changed_and_a_removed_policy_are_audited(tmp_path: Path) -> None:
    small(tmp_path, WITH)
    small(tmp_path, WITH.replace("count: 2", "count: 3"))
    assert policies.wanted(CLUSTER, 3)[0][0].count == 3
    small(tmp_path, SMALL)
    assert not ClusterPolicy.objects.exists()
    assert policies.wanted(CLUSTER, 3) == ((Seats(1),),)
    assert AuditEvent.objects.filter(verb="policy.load").count() == 3


def test_a_policy_that_was_taken_away_by_hand_comes_back_with_the_next_load(tmp_path: Path) -> None:
    small(tmp_path, WITH)
    ClusterPolicy.objects.all().delete()
    small(tmp_path, WITH)
    assert ClusterPolicy.objects.count() == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("  approvals:", "  aprovals:", 0, "aprovals"),
        ("tiers: [3]\n      count", "tiers: [4]\n      count", 2, "<= 3"),
        ("count: 2", "count: 0", 3, ">= 1"),
        ("from: [approver, admin]", "form: [approver]", 2, "form"),
        ("approval_minutes: 20", "approval_minutes: soon", 6, "approval_minutes"),
        ("from: 2025-12-20", "from: 2027-12-20", 9, "ends after it begins"),
        ("from: 2025-12-20", "from: 2025-12-20T10:00:00+01:00", 9, "local times"),
        ("Europe/Zurich", "Europe/Zuerich", 9, "time zone"),
        ("cron: 0 20 * * mon-fri", "cron: 0 20 * *", 14, "five fields"),
        ("lasts: 11h", "lasts: 11 hours", 14, "a length"),
        ("repair-grafana-in-place", "repair-grafana", 20, "no action repair-grafana"),
        ("per_hour_per_target: 3", "per_hour_per_target: 0", 21, ">= 1"),
        ("      per_hour_per_target: 3\n", "", 20, "per_hour_per_target"),
    ],
)
def test_an_error_names_file_and_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in WITH
    path = tmp_path / "small.yaml"
    path.write_text(WITH.replace(old, new, 1))
    with pytest.raises(DefinitionError) as caught:
        load(path, CLUSTER)
    name, number, sentence = str(caught.value).split(":", 2)
    assert name == "small.yaml"
    assert abs(int(number) - (FIRST + line)) <= 1, str(caught.value)
    assert words in sentence
    assert not ClusterPolicy.objects.exists()


def test_the_shipped_definition_asks_for_a_second_person_where_the_design_does(settings: object) -> None:
    shipped()
    assert policies.wanted(CLUSTER, 3) and not policies.wanted(CLUSTER, 2)
    settings.PORTAL_PRODUCTION = True  # type: ignore[attr-defined]
    assert policies.wanted(CLUSTER, 2) and not policies.wanted(CLUSTER, 1)
