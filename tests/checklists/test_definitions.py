"""A project definition is checked whole, with file and line, and loaded as often as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.models import AuditEvent
from monitoring.models import Check, Component
from portal.checklists.definitions import DefinitionError, load, load_all
from portal.checklists.models import Item, ItemCheck, Origin, Project
from tests.checklists.build import CLUSTER, SHIPPED, SMALL, item, shipped, small

pytestmark = pytest.mark.django_db

OPEN_POINTS = {"grafana-deployed", "grafana-datasources", "dora-dashboards", "alert-channels", "dashboard-access"}


def test_the_shipped_definition_holds_what_the_report_claims() -> None:
    project = shipped()
    keys = set(project.items.filter(phase__key="platform-services").values_list("key", flat=True))
    assert keys >= OPEN_POINTS
    assert len(keys - OPEN_POINTS) >= 9
    assert project.items.filter(phase__key="application-delivery").count() == 4
    assert [phase.number for phase in project.phases.all()] == [1, 2, 3]
    assert not project.items.filter(item_checks=None, needs_attestation=False).exists()
    assert Component.objects.filter(cluster=CLUSTER).count() >= 8


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    first = small(tmp_path)
    before = list(Item.objects.order_by("pk").values()), list(Check.objects.order_by("pk").values())
    assert small(tmp_path) == first
    assert (list(Item.objects.order_by("pk").values()), list(Check.objects.order_by("pk").values())) == before
    assert AuditEvent.objects.filter(verb="project.load").count() == 1


def test_a_check_used_by_two_items_and_a_component_is_one_row(tmp_path: Path) -> None:
    project = small(tmp_path)
    assert Check.objects.filter(type="argocd_application").count() == 1
    check = Check.objects.get(type="workload_ready")
    assert check.components.get().key == "web"
    assert item(project, "web").item_checks.count() == 2


def test_an_item_that_is_gone_is_retired_and_comes_back_as_itself(tmp_path: Path) -> None:
    project = small(tmp_path)
    kept = item(project, "docs").pk
    query = Check.objects.get(type="query")
    without = SMALL.replace("key: metrics", "key: other").replace("threshold: 1", "threshold: 2")
    assert without != SMALL
    small(tmp_path, without)
    assert item(project, "metrics").retired
    assert Check.objects.get(pk=query.pk).retired
    small(tmp_path)
    assert not item(project, "metrics").retired
    assert not Check.objects.get(pk=query.pk).retired
    assert item(project, "docs").pk == kept


def test_what_a_report_brought_is_left_alone(tmp_path: Path) -> None:
    project = small(tmp_path)
    check = Check.objects.get(type="query")
    ItemCheck.objects.create(item=item(project, "docs"), check_ref=check, title="From a report", origin=Origin.REPORT)
    phase = project.phases.get(key="apps")
    Item.objects.create(project=project, phase=phase, key="new", title="New", origin=Origin.REPORT)
    small(tmp_path, SMALL.replace("title: Apps", "title: Applications"))
    assert not item(project, "new").retired
    assert item(project, "docs").item_checks.count() == 1


def test_an_attestation_is_a_persons_and_no_check(tmp_path: Path) -> None:
    docs = item(small(tmp_path), "docs")
    assert docs.needs_attestation
    assert docs.attestation == {"statement": "The docs are written.", "valid_days": 30}
    assert not docs.item_checks.exists()


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("title: Base", "titel: Base", 4, "titel"),
        ("number: 1", "number: one", 5, "number"),
        ("checks: [{nodes: {count: 3}}]", "checks: [{nodez: {count: 3}}]", 10, "nodez"),
        ("checks: [{nodes: {count: 3}}]", "checks: [{nodes: {cuont: 3}}]", 10, "cuont"),
        ("gate: base", "gate: bass", 14, "bass"),
        ("blocked_by: [web]", "blocked_by: [webb]", 30, "webb"),
        ("key: web-synced", "key: web", 24, "twice"),
        ("- workload_ready: {namespace: web, selector: app=web}", "- [workload_ready]", 22, "type"),
        ("count: 3", "count: [", 10, "not YAML"),
    ],
)
def test_an_error_names_file_and_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in SMALL
    with pytest.raises(DefinitionError) as caught:
        small(tmp_path, SMALL.replace(old, new, 1))
    name, number, sentence = str(caught.value).split(":", 2)
    assert name == "small.yaml"
    assert abs(int(number) - line) <= 1, str(caught.value)
    assert words in sentence
    assert not Project.objects.exists()


def test_an_item_cannot_be_blocked_by_itself_however_far(tmp_path: Path) -> None:
    text = SMALL.replace("remedies: [repair]", "blocked_by: [page]")
    with pytest.raises(DefinitionError, match="blocked by itself"):
        small(tmp_path, text)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe\x00", b"project: {key: x, title: X}\n", b"- a\n- b\n"])
def test_any_other_file_gets_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises(DefinitionError, match="odd.yaml"):
        load(path, CLUSTER)


def test_a_missing_file_and_an_empty_directory_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot be read"):
        load(tmp_path / "none.yaml", CLUSTER)
    with pytest.raises(DefinitionError, match="no project definition"):
        load_all(tmp_path, CLUSTER)


def test_a_project_belongs_to_one_cluster(tmp_path: Path) -> None:
    small(tmp_path)
    with pytest.raises(DefinitionError, match="belongs to cluster"):
        load(tmp_path / "small.yaml", "another")


def test_the_shipped_file_is_where_settings_look_for_it(settings: object) -> None:
    assert SHIPPED.parent == settings.PORTAL_PROJECTS_DIR  # type: ignore[attr-defined]
