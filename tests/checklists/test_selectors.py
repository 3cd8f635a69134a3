"""What the pages are given: words at read time, counts, gates, strips, and how many queries that costs."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from common import clock
from deployments.states import RunState
from monitoring.models import CheckRequest, Component, Source, Span
from portal.checklists import selectors
from portal.checklists.models import Item, Phase, Project
from portal.checklists.selectors.status import status_page
from portal.checklists.words import ItemWord
from tests.checklists.build import CLUSTER, ago, alive, check, item, person, read, read_all, shipped, small
from tests.checklists.test_sink import run_for

pytestmark = pytest.mark.django_db
W = ItemWord
BROKEN = {"workload_ready": "failing", "argocd_application": "failing", "link_answers": "failing"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return small(tmp_path)


def words(project: Project, now: datetime | None = None) -> dict[str, ItemWord]:
    return {row.key: row.word for row in selectors.load(project, now or clock.now()).rows.values()}


def test_before_anything_is_read_nothing_is_green(project: Project) -> None:
    assert words(project) == {
        "nodes": W.UNKNOWN, "web": W.UNKNOWN, "web-synced": W.UNKNOWN, "page": W.UNKNOWN,
        "docs": W.PENDING, "metrics": W.PENDING,
    }  # fmt: skip


def test_words_follow_the_evidence(project: Project) -> None:
    read_all(
        project, ago(5), "verified", workload_ready="failing", argocd_application="failing", link_answers="failing"
    )
    read_words = words(project)
    assert read_words["nodes"] is W.VERIFIED
    assert read_words["web"] is W.FAILING
    assert read_words["page"] is W.BLOCKED
    assert read_words["metrics"] is W.VERIFIED


def test_evidence_past_its_limit_is_stale_and_keeps_its_last_word(project: Project) -> None:
    read_all(project, ago(10))
    later = clock.now() + timedelta(seconds=3600)
    rows = selectors.item_rows([item(project, "web").pk], later)
    row = rows[item(project, "web").pk]
    assert (row.word, row.last_word, row.proven) == (W.STALE, W.VERIFIED, False)
    assert row.since is not None
    assert row.since < later


def test_a_row_says_when_the_clock_alone_will_change_it(project: Project) -> None:
    read_all(project, ago(10))
    row = selectors.item_state(item(project, "nodes"), clock.now())
    assert row.falls_due is not None
    assert words(project, row.falls_due - timedelta(seconds=1))["nodes"] is W.VERIFIED
    assert words(project, row.falls_due + timedelta(seconds=1))["nodes"] is W.STALE


def test_the_headline_counts_and_links(project: Project) -> None:
    read_all(
        project, ago(5), "verified", workload_ready="failing", argocd_application="failing", link_answers="failing"
    )
    board = selectors.board(project, clock.now())
    assert board.headline.lead == "Phase 2 of 3:"
    assert [(part.text, part.anchor) for part in board.headline.parts] == [("2 failing", "failing")]
    assert "0 of 4 items proven" in board.headline.sentence
    assert "The report of 23 November claimed 90 %; the cluster says 0 %." in board.headline.sentence
    apps = board.phases[1]
    assert (apps.proven, apps.total, apps.percent, apps.claimed_percent) == (0, 4, 0, 90)
    assert apps.current
    assert [block.word for block in apps.blocks] == [W.FAILING, W.FAILING, W.BLOCKED, W.PENDING]
    assert apps.sentence == "2 failing · 1 blocked · 1 pending"
    assert [row.key for row in board.held_back] == ["web", "web-synced", "page", "docs"]
    assert board.held_back[1].closes_with is not None
    assert board.held_back[1].closes_with.key == "web"
    assert board.held_back_note == "one cause behind three"


def test_proven_blocks_come_first_and_exempt_items_are_not_counted(project: Project) -> None:
    read_all(project, ago(5), "verified", workload_ready="failing")
    Item.objects.filter(key="docs").update(exempt_until=clock.now().date(), exempt_by="ann", exempt_why="later")
    card = selectors.board(project, clock.now()).phases[1]
    assert [block.word for block in card.blocks] == [W.VERIFIED, W.VERIFIED, W.FAILING]
    assert (card.total, card.exempt, card.proven) == (3, 1, 2)
    assert "1 exempt, not counted" in card.sentence
    assert words(project, clock.now() + timedelta(days=2))["docs"] is W.PENDING


def test_everything_proven_says_so(project: Project) -> None:
    read_all(project, ago(5))
    Item.objects.filter(key="docs").update(needs_attestation=False, retired=True)
    board = selectors.board(project, clock.now())
    assert board.headline.lead == "All 3 phases are proven"
    assert board.headline.parts == ()
    assert board.held_back == ()


def test_a_project_without_phases_has_an_overview() -> None:
    empty = Project.objects.create(key="empty", title="Empty", cluster=CLUSTER)
    board = selectors.board(empty, clock.now())
    assert board.headline.lead == "No phases yet"
    assert len(board.sources) == 5
    assert all(source.word is W.UNKNOWN for source in board.sources)


def test_the_gate_says_what_must_hold(project: Project) -> None:
    read_all(project, ago(5), "verified", workload_ready="failing")
    page = selectors.phase_page(Phase.objects.get(key="apps"), clock.now())
    assert page.gate is not None
    assert (page.gate.open, page.gate.number, page.gate.opens) == (False, 3, "Later")
    assert [(line.met, line.detail) for line in page.gate.lines] == [
        (False, "2 open"),
        (False, "1 failing"),
        (True, "none"),
    ]
    assert page.opened_by is not None
    assert page.opened_by.open
    assert [group.word for group in page.groups] == [W.FAILING, W.PENDING, W.VERIFIED]


def test_an_exemption_past_its_date_keeps_the_gate_closed(project: Project) -> None:
    read_all(project, ago(5), "verified", workload_ready="failing")
    Item.objects.filter(key="web").update(exempt_until=date(2025, 1, 1), exempt_by="ann", exempt_why="later")
    gate = selectors.phase_page(Phase.objects.get(key="apps"), clock.now()).gate
    assert gate is not None
    assert gate.lines[2].met is False
    assert gate.lines[2].detail == "1 past"


def test_a_run_of_the_item_is_in_its_row_and_under_running(project: Project) -> None:
    read_all(project, ago(5), "verified", workload_ready="failing")
    run = run_for(item(project, "web"))
    board = selectors.board(project, clock.now())
    assert [(row.number, row.item.key if row.item else "") for row in board.running] == [(run.number, "web")]
    row = next(row for row in board.held_back if row.key == "web")
    assert row.run is not None
    assert (row.word, row.run.number) == (W.FAILING, run.number)


def test_a_run_that_waits_for_approval_needs_a_person(project: Project) -> None:
    read_all(project, ago(5), "verified", workload_ready="failing")
    run = run_for(item(project, "web"), RunState.WAITING_FOR_APPROVAL)
    board = selectors.board(project, clock.now())
    assert board.running == ()
    assert [(need.kind, need.run_id, need.permission) for need in board.needs_you][:1] == [
        ("approval", run.pk, "deployments.approve_plan")
    ]
    assert words(project)["web"] is W.WAITING_FOR_APPROVAL
    assert "1 waiting for approval" in [part.text for part in board.headline.parts]


def test_a_missing_word_of_a_person_is_asked_for(project: Project) -> None:
    read_all(project, ago(5))
    needs = selectors.board(project, clock.now()).needs_you
    assert [(need.kind, need.item.key if need.item else "", need.permission) for need in needs] == [
        ("attestation", "docs", "checklists.attest_item")
    ]


def test_an_open_request_reads_checking_only_for_a_while(project: Project) -> None:
    target = check(project, "nodes", "nodes")
    CheckRequest.objects.create(cluster=CLUSTER, check_ref=target, requested_by=person("ann"), requested_at=clock.now())
    assert words(project)["nodes"] is W.CHECKING
    assert words(project, clock.now() + timedelta(minutes=2))["nodes"] is W.UNKNOWN


def test_an_item_page_carries_checks_neighbours_and_history(project: Project) -> None:
    read_all(project, ago(20))
    read(check(project, "web", "workload_ready"), "failing", ago(10), cause="no_deployment", sentence="No Deployment.")
    page = selectors.item_page(item(project, "web"), clock.now())
    assert (page.row.word, page.row.regressed, page.row.sentence) == (W.FAILING, True, "No Deployment.")
    assert page.row.since is not None
    assert [bar.word for bar in page.history] == [W.VERIFIED, W.FAILING]
    assert [named.key for named in page.blocks] == ["page"]
    assert (page.previous, page.next.key if page.next else "") == (None, "web-synced")
    assert page.passing == 1
    assert page.checks[0].command == "kubectl get x"
    assert page.subject["kind"] == "workload"
    assert page.subject["application"] == {"namespace": "argocd", "name": "web"}


def test_every_shape_is_frozen(project: Project) -> None:
    board = selectors.board(project, clock.now())
    with pytest.raises(FrozenInstanceError):
        board.days = 1  # type: ignore[misc]


def test_a_components_strip_counts_only_what_was_seen(project: Project) -> None:
    now = datetime(2025, 11, 23, 12, 0, tzinfo=UTC)
    target = check(project, "web", "workload_ready")
    read(target, "verified", now - timedelta(days=2), ready=2, desired=2, nodes=["worker01"], kind="Deployment")
    for at in (now - timedelta(hours=6), now):
        read(target, "failing", at, cause="gone", ready=0, desired=2, nodes=[], kind="Deployment")
    component = status_page(CLUSTER, now, days=5).components[0]
    assert (component.word, component.ready, component.runs_on) == (W.FAILING, "0/2", "no pod")
    assert [bar.word for bar in component.bars] == ["", "", "verified", "verified", "failing"]
    assert component.percent == pytest.approx(100 * 42 / 48, abs=0.01)
    assert component.since == now - timedelta(hours=6)
    assert "no data" in component.bars[0].text


def test_time_in_which_the_source_was_silent_is_neither_good_nor_bad(project: Project) -> None:
    now = datetime(2025, 11, 23, 12, 0, tzinfo=UTC)
    read(check(project, "web", "workload_ready"), "verified", now - timedelta(hours=10))
    alive(now)
    source = Source.objects.get(cluster=CLUSTER, name="kubernetes")
    source.spans.create(reachable=False, error="refused", opened_at=now - timedelta(hours=5))
    component = status_page(CLUSTER, now, days=1).components[0]
    assert component.percent == 100.0
    assert component.bars[0].word == "verified"
    Span.objects.update(opened_at=now - timedelta(hours=4))
    component = status_page(CLUSTER, now, days=1).components[0]
    assert (component.percent, component.bars[0].word) == (None, "unknown")


def test_the_overview_takes_eight_queries_however_much_there_is() -> None:
    """The page adds session, user, group and project; together they stay within the twelve of the design."""
    project = shipped()
    read_all(project, ago(5), "verified", workload_ready="failing")
    run_for(item(project, "grafana-deployed"))
    with CaptureQueriesContext(connection) as few:
        selectors.board(project, clock.now())
    phase = project.phases.get(key="platform-services")
    for number in range(60):
        extra = Item.objects.create(
            project=project, phase=phase, key=f"extra-{number}", title=f"Extra {number}", needs_attestation=True
        )
        target = check(project, "prometheus", "pvc_bound")
        extra.item_checks.create(check_ref=target, title="PVC")
        Component.objects.create(cluster=CLUSTER, key=f"c-{number}", title="C").checks.add(target)
    with CaptureQueriesContext(connection) as many:
        board = selectors.board(project, clock.now())
    assert len(board.components) >= 60
    assert len(many) == len(few) <= 8, [query["sql"][:120] for query in few]


@pytest.mark.parametrize("page", ["phase", "item", "status"])
def test_other_pages_stay_within_twelve_queries(page: str) -> None:
    project = shipped()
    read_all(project, ago(5))
    target, phase = (
        item(project, "grafana-deployed"),
        Phase.objects.select_related("project").get(key="platform-services"),
    )
    with CaptureQueriesContext(connection) as queries:
        if page == "phase":
            selectors.phase_page(phase, clock.now())
        elif page == "item":
            selectors.item_page(Item.objects.select_related("project").get(pk=target.pk), clock.now())
        else:
            selectors.status_page(CLUSTER, clock.now())
    assert len(queries) <= 12, [query["sql"][:120] for query in queries]
