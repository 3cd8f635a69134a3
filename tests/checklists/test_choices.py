"""A decision: its options are read while the item is open, and choosing writes down why, and how each option stood."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied

from common.clock import now
from common.models import AuditEvent
from monitoring.snapshot import from_case
from portal.checklists import choices
from portal.checklists.models import Choice, Decision, Project
from tests.deployments.conftest import person
from tests.deployments.fake import case

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    made: Project = Project.objects.create(key="p", title="P", cluster="demo")
    return made


@pytest.fixture
def reading(project: Project) -> Choice:
    snapshot = from_case(case("grafana_missing_last_sync_failed"))
    choices._store(project, choices.SUBJECTS["grafana"], snapshot, now())
    return Choice.objects.get()


@pytest.fixture
def operator() -> User:
    return person("olivia", "make_plan")


def test_the_reports_four_options_are_read_with_their_preconditions(reading: Choice) -> None:
    assert sorted(option["key"] for option in reading.options) == ["A", "B", "C", "D"]
    assert all(option["preconditions"] for option in reading.options)
    assert all({"sentence", "met", "evidence"} == set(p) for o in reading.options for p in o["preconditions"])


def test_choosing_writes_down_why_and_how_every_option_stood(project: Project, reading: Choice, operator: User) -> None:
    record, chosen = choices.choose(operator, project, "grafana", "D", "It touches nothing else.")
    assert chosen["action"] == "repair-grafana-in-place"
    assert record.body["selected"] == "Option D: Repair in place"
    assert record.body["reason"] == "It touches nothing else."
    assert record.body["options"] == reading.options
    assert len(record.body["alternatives"]) == 3
    assert AuditEvent.objects.get().verb == "decision.choose"
    assert choices.choose(operator, project, "grafana", "C", "Meanwhile.")[0].key == "grafana-2"


@pytest.mark.parametrize(("option", "reason"), [("Z", "why"), ("D", "  ")])
def test_a_choice_that_makes_no_sense_writes_nothing(
    project: Project, reading: Choice, operator: User, option: str, reason: str
) -> None:
    with pytest.raises(choices.ChoiceError):
        choices.choose(operator, project, "grafana", option, reason)
    assert Decision.objects.count() == 0


def test_a_viewer_does_not_choose(project: Project, reading: Choice) -> None:
    with pytest.raises(PermissionDenied):
        choices.choose(person("victor"), project, "grafana", "D", "why")


def test_what_was_not_read_cannot_be_chosen(project: Project, operator: User) -> None:
    with pytest.raises(choices.ChoiceError, match="not been read"):
        choices.choose(operator, project, "grafana", "D", "why")


def test_no_secret_of_the_values_is_kept(reading: Choice) -> None:
    kept: Any = reading.options
    assert "canary-Pa55word" not in str(kept)
