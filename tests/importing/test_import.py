"""From a report to the board: matched, judged by the cluster, written once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.exceptions import PermissionDenied

from common.models import AuditEvent
from monitoring.models import Check
from monitoring.snapshot import Snapshot, from_case
from portal.checklists.importing import Preview, accept, checks_in, preview
from portal.checklists.models import Decision, Item, ItemCheck, Lesson, Phase, Project, Report
from portal.checklists.selectors import item_page
from tests.checklists.build import ago, check, item, person, read_all, shipped, small

pytestmark = pytest.mark.django_db

REPORTS = Path(__file__).parent / "reports"
CASES = Path(__file__).resolve().parents[1] / "checks" / "cases"
NOW = datetime(2025, 11, 23, 14, 0, tzinfo=UTC)
SHIPPED = (REPORTS / "phase-2-progress-report.md").read_text(encoding="utf-8")


def cluster(*cases: str, **changes: Any) -> Snapshot:
    """A snapshot with the objects of these recorded cases."""
    merged: dict[str, Any] = {"taken_at": NOW, "objects": {}, **changes}
    for name in cases:
        case = yaml.load((CASES / name).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        for key, objects in (case.get("objects") or {}).items():
            merged["objects"].setdefault(key, []).extend(objects)
    return from_case(merged)


BROKEN = cluster(
    "argocd_application/failing_missing_after_failed_sync.yaml",
    "prometheus_config/verified_as_said.yaml",
    "workload_ready/failing_no_deployment.yaml",
)


def verdicts(found: Preview) -> dict[int, str]:
    return {claim.lines[0]: claim.verdict for claim in found.claims}


def test_the_shipped_report_is_matched_to_the_shipped_definition() -> None:
    found = preview(SHIPPED, shipped(), BROKEN, NOW)
    assert found.proposed == ()
    done = {item.key for item in found.items if item.claimed == "done"}
    assert len(done) >= 9
    by_title = {item.key for item in found.items if item.match == "title"}
    assert by_title >= {
        "grafana-deployed", "grafana-datasources", "dora-dashboards", "alert-channels", "dashboard-access",
        "sample-application", "ci-pipeline", "dora-metrics", "promotion-workflow",
    }  # fmt: skip
    assert [(phase.key, phase.match) for phase in found.phases] == [
        ("platform-services", "title"),
        ("application-delivery", "number"),
    ]


def test_claims_are_judged_by_the_cluster() -> None:
    found = preview(SHIPPED, shipped(), BROKEN, NOW)
    judged = verdicts(found)
    assert judged[13] == "confirmed", "Retention: 15 days"
    assert judged[14] == "confirmed", "Scrape interval: 30s"
    assert judged[53] == "confirmed", "stuck in OutOfSync/Missing"
    assert judged[37] == "contradicted", "all components deployed via GitOps"
    assert judged[20] == "not checkable", "nobody read the Alertmanager objects"
    stuck = next(claim for claim in found.claims if claim.lines == (53, 53))
    assert "OutOfSync, Missing" in stuck.evidence
    lines = {claim.lines[0] for claim in found.claims}
    assert lines >= {11, 12, 13, 14, 15, 18, 19, 20, 22, 23, 51, 52, 53, 67, 185, 186, 189}


def test_a_false_claim_is_contradicted() -> None:
    changed = SHIPPED.replace("Retention: 15 days", "Retention: 90 days")
    assert verdicts(preview(changed, shipped(), BROKEN, NOW))[13] == "contradicted"


def test_the_checks_of_a_report_say_what_to_read() -> None:
    slugs = {slug for slug, _ in checks_in(SHIPPED, shipped())}
    assert slugs >= {"workload_ready", "pvc_bound", "prometheus_config", "argocd_application", "node_taints"}


def test_without_a_cluster_claims_are_judged_by_stored_evidence() -> None:
    project = shipped()
    assert set(verdicts(preview(SHIPPED, project, None, NOW)).values()) == {"not checkable"}
    read_all(project, ago(5))
    accept(
        preview("# Phase 2\n- [x] **Something new**: x\n  - Prometheus scrape interval: 30s\n", project, BROKEN, NOW),
        None,
    )
    known = check(project, "something-new", "prometheus_config")
    assert known.params == {"namespace": "platform-monitoring", "scrape_interval": "30s"}
    read_all(project, ago(1))
    assert verdicts(preview(SHIPPED, project, None, ago(0)))[14] == "confirmed"


def test_the_json_has_exactly_the_keys_that_scripts_rely_on() -> None:
    data = preview(SHIPPED, shipped(), BROKEN, NOW).to_json()
    assert set(data) == {
        "project", "phases", "items", "claims", "decisions", "options", "lessons", "resources", "not_understood",
    }  # fmt: skip
    assert data["project"] == "platform-services"
    assert all(set(claim) == {"text", "lines", "verdict", "evidence"} for claim in data["claims"])
    assert all(set(entry) == {"lines", "text"} for entry in data["not_understood"])
    assert len(data["options"]) == 3
    assert len(data["lessons"]) == 5


def test_nothing_is_written_by_looking() -> None:
    project = shipped()
    before = Item.objects.count(), Check.objects.count(), AuditEvent.objects.count()
    preview(SHIPPED, project, BROKEN, NOW)
    assert (Item.objects.count(), Check.objects.count(), AuditEvent.objects.count()) == before
    assert not Report.objects.exists()


def test_accepting_the_shipped_report_changes_no_item_and_keeps_what_was_decided() -> None:
    project = shipped()
    before = list(Item.objects.order_by("pk").values()), ItemCheck.objects.count()
    report = accept(preview(SHIPPED, project, BROKEN, NOW), None)
    assert (list(Item.objects.order_by("pk").values()), ItemCheck.objects.count()) == before
    assert set(Decision.objects.values_list("key", flat=True)) == {
        "storage-strategy", "node-placement", "high-availability",
    }  # fmt: skip
    assert Lesson.objects.count() == 5
    assert str(report.dated_on) == "2025-11-23"
    assert AuditEvent.objects.filter(verb="report.import").count() == 1


def test_what_the_report_says_was_tried_stands_on_the_items_page() -> None:
    project = shipped()
    accept(preview(SHIPPED, project, BROKEN, NOW), None)
    tried = item_page(item(project, "grafana-deployed"), NOW).attempts
    assert [attempt.title for attempt in tried] == [
        "Disabled persistence - partial success",
        "Disabled sidecars in Helm values - ArgoCD sync issues",
        "Multiple redeployment attempts",
    ]
    assert item_page(item(project, "prometheus"), NOW).attempts == ()


def test_the_same_report_twice_changes_nothing() -> None:
    project = shipped()
    first = accept(preview(SHIPPED, project, BROKEN, NOW), None)
    before = [list(model.objects.order_by("pk").values()) for model in (Item, Decision, Lesson, Report, Phase, Check)]
    second = preview(SHIPPED, project, BROKEN, NOW)
    assert second.already_imported
    assert accept(second, None) == first
    after = [list(model.objects.order_by("pk").values()) for model in (Item, Decision, Lesson, Report, Phase, Check)]
    assert after == before
    assert AuditEvent.objects.filter(verb="report.import").count() == 1


@pytest.mark.parametrize("name", sorted(path.name for path in REPORTS.glob("*.md")))
def test_every_report_can_be_imported_twice_and_then_proposes_nothing_new(name: str, tmp_path: Path) -> None:
    project = small(tmp_path)
    text = (REPORTS / name).read_text(encoding="utf-8")
    accept(preview(text, project, BROKEN, NOW), None)
    items, phases = Item.objects.count(), Phase.objects.count()
    changed = preview(text + "\n\nOne more remark.\n", project, BROKEN, NOW)
    assert not changed.already_imported
    assert changed.proposed == ()
    accept(changed, None)
    assert (Item.objects.count(), Phase.objects.count()) == (items, phases)


def test_new_items_get_a_key_a_phase_and_the_checks_of_their_claims() -> None:
    project = shipped()
    text = (
        "# Phase 2: Platform Services\n\n## Accomplishments\n"
        "- **Metrics store**: new\n  - Prometheus retention: 15 days\n  - Prometheus retention: 99 days\n"
        "- **UI 2**: Grafana Deployment removed\n"
    )
    accept(preview(text, project, BROKEN, NOW), None)
    new = item(project, "metrics-store")
    assert (new.phase.key, new.origin, new.provenance["lines"]) == ("platform-services", "report", [4, 4])
    params = [row.check_ref.params for row in new.item_checks.all()]
    assert {"namespace": "platform-monitoring", "retention": "15d"} in params
    assert not item(project, "ui-2").item_checks.exists(), "a complaint is no check"


def test_an_item_is_matched_by_a_key_written_beside_it(tmp_path: Path) -> None:
    project = small(tmp_path)
    found = preview(
        "- [x] All nodes up and running `nodes`\n- [ ] WEB   runs.\n- [ ] web-synced\n", project, BROKEN, NOW
    )
    assert [(entry.key, entry.match) for entry in found.items] == [
        ("nodes", "key"),
        ("web", "title"),
        ("web-synced", "key"),
    ]


def test_the_same_title_twice_is_one_item(tmp_path: Path) -> None:
    project = small(tmp_path)
    accept(preview((REPORTS / "deutsch.md").read_text(encoding="utf-8"), project, BROKEN, NOW), None)
    assert project.items.filter(title="監視基盤の構築").count() == 1
    assert project.items.get(title="監視基盤の構築").key.startswith("item-")
    assert project.phases.get(number=12).title == "Später"


def test_a_report_without_phases_gets_one_of_its_own(tmp_path: Path) -> None:
    project = small(tmp_path)
    accept(preview((REPORTS / "payments-tables.md").read_text(encoding="utf-8"), project, BROKEN, NOW), None)
    phase = project.phases.get(title="Payments platform weekly update")
    assert phase.number == 4
    assert set(phase.items.values_list("title", flat=True)) == {
        "Ledger API", "Settlement worker", "Fraud rules", "Card vault | HSM",
    }  # fmt: skip


def test_an_empty_report_is_a_preview_of_nothing(tmp_path: Path) -> None:
    found = preview("", small(tmp_path), BROKEN, NOW)
    assert (found.items, found.claims, found.not_understood, found.title) == ((), (), (), "Untitled report")


def test_only_who_manages_the_project_may_accept(tmp_path: Path) -> None:
    found = preview("- [ ] New\n", small(tmp_path), BROKEN, NOW)
    with pytest.raises(PermissionDenied):
        accept(found, person("vera"))
    assert not Report.objects.exists()
    report = accept(found, person("adam", "checklists.manage_project"))
    assert report.imported_by is not None
    assert AuditEvent.objects.get(verb="report.import").actor == "adam"


def test_what_looks_like_a_secret_is_not_stored(tmp_path: Path) -> None:
    project = Project.objects.get(pk=small(tmp_path).pk)
    report = accept(preview("# R\n\nadminPassword: s3cr3tvalue\n\n- [ ] New\n", project, BROKEN, NOW), None)
    assert "s3cr3tvalue" not in report.markdown
    assert "s3cr3tvalue" not in str(report.understood)
