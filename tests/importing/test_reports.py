"""The shipped report and the reports of other teams: what is understood, and that nothing is lost."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from portal.checklists.importing.document import Document, parse
from portal.checklists.importing.text import Claimed, key_of, state_of
from portal.checklists.importing.understand import Understood, rest, understand

REPORTS = Path(__file__).parent / "reports"
SHIPPED = "phase-2-progress-report.md"


def read(name: str) -> tuple[Document, Understood]:
    document = parse((REPORTS / name).read_text(encoding="utf-8"))
    return document, understand(document)


def titles(found: Understood, claimed: Claimed) -> list[str]:
    return [item.title for item in found.items if item.claimed is claimed]


def test_the_shipped_report_is_understood() -> None:
    _, found = read(SHIPPED)
    assert found.dated_on == date(2025, 11, 23)
    assert [(phase.number, phase.title, phase.claimed_percent) for phase in found.phases] == [
        (2, "Platform Services", 90),
        (3, "", None),
    ]
    assert len(titles(found, Claimed.DONE)) == 9
    assert [(i.title, i.lines) for i in found.items if i.claimed is Claimed.OPEN and i.phase_number == 2] == [
        ("Resolve Grafana deployment", (143, 143)),
        ("Configure Grafana datasources", (144, 144)),
        ("Import DORA metrics dashboards", (145, 145)),
        ("Set up AlertManager notification channels", (146, 146)),
        ("Document dashboard access", (147, 147)),
    ]
    assert len([item for item in found.items if item.phase_number == 3]) == 4
    assert titles(found, Claimed.IN_PROGRESS) == ["Grafana UI"]


def test_the_shipped_reports_decisions_options_and_lessons_are_found() -> None:
    _, found = read(SHIPPED)
    storage, placement, availability = found.decisions
    assert (storage.key, storage.selected) == ("storage-strategy", "nfs-client StorageClass")
    assert storage.reason == "Multi-node RW support, existing infrastructure"
    assert storage.alternatives == ("OpenEBS (available but WaitForFirstConsumer binding mode)",)
    assert len(placement.points) == 4
    assert availability.title == "High Availability"
    assert [option.letter for option in found.options] == ["A", "B", "C"]
    assert found.options[1].steps[0] == "Delete entire monitoring application"
    assert [lesson.title for lesson in found.lessons] == [
        "Helm Sidecar Complexity", "Storage Class Configuration", "Node Affinity", "ArgoCD Sync", "Iterative Approach",
    ]  # fmt: skip
    assert [attempt.lines[0] for attempt in found.attempts] == [46, 47, 48]


def test_the_shipped_reports_resources_are_found() -> None:
    _, found = read(SHIPPED)
    kinds = {resource.kind for resource in found.resources}
    assert kinds == {"Namespace", "ConfigMap", "Secret", "PersistentVolumeClaim", "Service"}
    names = [resource.name for resource in found.resources if resource.name]
    assert "platform-monitoring" in names
    assert "kube-prometheus-stack-grafana" in names


def test_a_report_of_tables_gives_items_by_their_status_column() -> None:
    _, found = read("payments-tables.md")
    assert found.title == "Payments platform weekly update"
    assert found.dated_on == date(2025, 11, 17)
    assert titles(found, Claimed.DONE) == ["Ledger API"]
    assert titles(found, Claimed.IN_PROGRESS) == ["Settlement worker"]
    assert titles(found, Claimed.OPEN) == ["Fraud rules", "Card vault | HSM"]
    assert [(resource.kind, resource.name) for resource in found.resources] == [
        ("Namespace", "payments-prod"),
        ("Service", "ledger-api"),
    ]


def test_a_report_without_headings_gives_its_boxes_and_marks() -> None:
    document, found = read("no-headings.md")
    assert titles(found, Claimed.DONE) == ["Move Kafka to the new nodes", "Drain broker 1", "Airflow upgraded"]
    assert "Schema registry behind the ingress" in titles(found, Claimed.OPEN)
    assert titles(found, Claimed.IN_PROGRESS) == ["dbt docs hosted"]
    left = " ".join(entry.text for entry in rest(document, found))
    assert "Talk to security" in left
    assert "just a remark" in left
    assert "hunter2" not in left


def test_html_scripts_and_links_stay_text() -> None:
    document, found = read("html-and-fences.md")
    assert found.phases[0].number == 4
    assert [item.title for item in found.items] == ["Loki", "Tempo docs tempo-running"]
    left = rest(document, found)
    assert any("alert(" in entry.text for entry in left)
    assert any("unclosed fence" in entry.text for entry in left)


def test_titles_in_any_script_keep_their_key() -> None:
    _, found = read("deutsch.md")
    assert found.dated_on == date(2025, 11, 3)
    assert [phase.number for phase in found.phases] == [1, 12]
    assert [item.title for item in found.items if item.phase_number == 12] == ["Etwas Großes"]
    assert [decision.title for decision in found.decisions] == ["Message bus", "Keep one cluster"]
    assert found.decisions[0].selected == "NATS instead of Kafka"
    assert [lesson.title for lesson in found.lessons] == ["Früher anfangen", "Tests"]


def test_decision_records_and_options_as_headings_are_found() -> None:
    document, found = read("adr-style.md")
    assert [decision.title for decision in found.decisions] == ["ADR-7: Ingress", "ADR-8: DNS"]
    assert (found.decisions[0].selected, found.decisions[0].reason) == ("Envoy Gateway", "one data plane")
    assert found.decisions[0].alternatives == ("nginx",)
    assert [(option.letter, option.title, len(option.steps)) for option in found.options] == [
        ("1", "Dual stack", 2),
        ("2", "Wait", 0),
    ]
    assert titles(found, Claimed.DONE) == ["CNI upgrade", "Node pool blue drained"]
    assert [lesson.title for lesson in found.lessons] == ["Ask earlier."]
    assert [entry.text for entry in rest(document, found)] == ["Nothing to do."]


@pytest.mark.parametrize("name", sorted(path.name for path in REPORTS.glob("*.md")))
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_change_nothing(name: str, newline: str) -> None:
    text = (REPORTS / name).read_text(encoding="utf-8")
    plain, other = parse(text), parse(text.replace("\n", newline))
    assert plain.lines == other.lines
    assert understand(plain).items == understand(other).items


@pytest.mark.parametrize("name", sorted(path.name for path in REPORTS.glob("*.md")))
def test_every_content_line_is_understood_or_listed(name: str) -> None:
    document, found = read(name)
    listed = {line for entry in rest(document, found) for line in range(entry.lines[0], entry.lines[1] + 1)}
    for number, text in enumerate(document.lines, start=1):
        if text.strip() and not document.structural(number):
            assert number in found.lines or number in listed, f"{name}:{number} {text}"


@pytest.mark.parametrize(
    ("text", "claimed"),
    [
        ("✅ all of it", Claimed.DONE),
        ("100%", Claimed.DONE),
        ("40 % of the nodes", Claimed.IN_PROGRESS),
        ("0%", Claimed.OPEN),
        ("Not started", Claimed.OPEN),
        ("in progress, 2 open questions", Claimed.IN_PROGRESS),
        ("Completed", Claimed.DONE),
        ("Kim", None),
    ],
)
def test_a_status_is_read_from_marks_percentages_and_words(text: str, claimed: Claimed | None) -> None:
    assert state_of(text) is claimed


def test_a_key_leaves_out_what_is_said_in_passing() -> None:
    assert key_of("Loki deployed (3/3 pods running)", "item") == "loki-deployed"
    assert key_of("(all of it)", "item") == "all-of-it"
    assert key_of("Loki deployed", "item", ["loki-deployed"]) == "loki-deployed-2"
    assert key_of("監視", "item") == key_of(" 監視 ", "item")
