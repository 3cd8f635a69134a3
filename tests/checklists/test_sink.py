"""A moved check moves its items, in the same transaction, and those that wait for them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction

from common import clock
from deployments.models import Plan, Run
from deployments.states import RunState
from monitoring.models import Evidence, Span
from portal.checklists.models import Item, ItemSpan, Phase, Project, RunItem
from portal.checklists.sink import ItemSink
from tests.checklists.build import ago, check, item, person, read, read_all, small

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return small(tmp_path)


def span(row: Item) -> ItemSpan:
    return ItemSpan.objects.get(item=row, closed_at=None)


def run_for(row: Item, state: RunState = RunState.RUNNING) -> Run:
    at = clock.now()
    user = person(f"p{Run.objects.count()}")
    values = {"cluster": "test-cluster", "action": "repair"}
    number = Run.objects.count() + 1
    plan = Plan.objects.create(hash=f"{number:064d}", tier=1, title="Repair", document={}, created_at=at, **values)
    run = Run.objects.create(
        number=number,
        plan=plan,
        state=state,
        state_changed_at=at,
        requested_by=user,
        requested_at=at,
        idempotency_key=plan.hash,
        **values,
    )
    RunItem.objects.create(run=run, item=row)
    return run


def test_a_transition_closes_one_span_and_opens_the_next(project: Project) -> None:
    web = item(project, "web-synced")
    first, second = ago(60), ago(30)
    read(check(project, "web-synced", "argocd_application"), "verified", first)
    assert span(web).word == "verified"
    assert span(web).opened_at == first
    read(check(project, "web-synced", "argocd_application"), "failing", second, cause="out_of_sync")
    assert (span(web).word, span(web).cause, span(web).opened_at) == ("failing", "out_of_sync", second)
    assert ItemSpan.objects.get(item=web, word="verified").closed_at == second


def test_a_new_cause_opens_a_new_span_and_the_same_reading_none(project: Project) -> None:
    target = check(project, "web-synced", "argocd_application")
    read(target, "failing", ago(60), cause="out_of_sync")
    read(target, "failing", ago(50), cause="out_of_sync", sentence="Other words.")
    read(target, "failing", ago(40), cause="missing")
    assert ItemSpan.objects.filter(item=item(project, "web-synced")).count() == 2


def test_the_first_span_waits_until_every_check_was_read(project: Project) -> None:
    web = item(project, "web")
    read(check(project, "web", "workload_ready"), "verified", ago(60))
    assert not ItemSpan.objects.filter(item=web).exists()
    read(check(project, "web", "argocd_application"), "verified", ago(59))
    assert span(web).word == "verified"


def test_an_item_that_waits_for_another_moves_with_it(project: Project) -> None:
    read_all(project, ago(100), "verified", link_answers="failing")
    page = item(project, "page")
    assert span(page).word == "failing"
    read(check(project, "web", "workload_ready"), "failing", ago(50), cause="no_deployment")
    assert (span(page).word, span(page).cause) == ("blocked", "blocked")
    read(check(project, "web", "workload_ready"), "verified", ago(40))
    assert span(page).word == "failing"


def test_what_was_proven_and_breaks_by_itself_regressed(project: Project) -> None:
    web, target = item(project, "web"), check(project, "web", "workload_ready")
    read_all(project, ago(100))
    read(target, "failing", ago(50), cause="no_deployment")
    assert span(web).regressed
    read(target, "failing", ago(40), cause="crash_loop")
    assert span(web).regressed, "a new cause is still the same fall"
    read(target, "verified", ago(30))
    assert not span(web).regressed


def test_what_was_never_proven_did_not_regress(project: Project) -> None:
    read_all(project, ago(100), "failing")
    assert not ItemSpan.objects.filter(regressed=True).exists()


def test_a_fall_while_nobody_could_look_is_still_a_fall(project: Project) -> None:
    web, target = item(project, "web"), check(project, "web", "workload_ready")
    read_all(project, ago(100))
    read(target, "unknown", ago(50))
    read(target, "failing", ago(40), cause="no_deployment")
    assert span(web).regressed


def test_a_fall_during_the_items_own_run_is_not_by_itself(project: Project) -> None:
    web, target = item(project, "web"), check(project, "web", "workload_ready")
    read_all(project, ago(100))
    run_for(web)
    read(target, "failing", ago(40), cause="restarting")
    assert not span(web).regressed


def test_a_fall_during_a_run_that_nobody_tied_to_its_item_is_not_by_itself(project: Project) -> None:
    """The web process died between the run's commit and the next one."""
    web, target = item(project, "web"), check(project, "web", "workload_ready")
    read_all(project, ago(100))
    run = run_for(web)
    RunItem.objects.all().delete()
    Run.objects.filter(pk=run.pk).update(context=f"item:{web.pk}")
    read(target, "failing", ago(40), cause="restarting")
    assert not span(web).regressed


def test_the_topics_are_the_rows_that_changed(project: Project) -> None:
    read_all(project, ago(100))
    target = check(project, "web", "workload_ready")
    Evidence.objects.filter(pk=target.pk).update(word="failing", cause="gone")
    with transaction.atomic():
        topics = set(ItemSink().moved([target], ago(10)))
    apps = Phase.objects.get(key="apps")
    assert {f"item:{item(project, 'web').pk}", f"item:{item(project, 'page').pk}", f"phase:{apps.pk}"} <= topics
    assert f"item:{item(project, 'nodes').pk}" not in topics
    assert set(ItemSink().touched([target])) == {f"item:{item(project, 'web').pk}"}


def test_a_check_that_no_item_uses_moves_nothing(project: Project) -> None:
    target = check(project, "web", "workload_ready")
    target.item_checks.all().delete()
    assert ItemSink().moved([target], ago(1)) == []


def test_nothing_is_written_when_the_transaction_fails(project: Project) -> None:
    target = check(project, "web-synced", "argocd_application")
    with pytest.raises(RuntimeError), transaction.atomic():
        read(target, "verified", ago(10))
        raise RuntimeError
    assert not Span.objects.exists()
    assert not ItemSpan.objects.exists()


def test_a_gate_that_opened_once_stays_open(project: Project) -> None:
    Phase.objects.filter(key="apps").update(claimed_percent=None)
    read_all(project, ago(100), "failing", nodes="failing")
    assert span(item(project, "web")).word == "pending"
    read(check(project, "nodes", "nodes"), "verified", ago(50))
    assert Phase.objects.get(key="apps").opened_at is not None
    assert span(item(project, "web")).word == "failing"
    read(check(project, "nodes", "nodes"), "failing", ago(40), cause="node_not_ready")
    assert span(item(project, "web")).word == "failing"


def test_staleness_is_never_stored(project: Project) -> None:
    old = clock.now() - timedelta(hours=2)
    read_all(project, old)
    read(check(project, "web", "workload_ready"), "failing", clock.now(), cause="no_deployment")
    assert not ItemSpan.objects.filter(word="stale").exists()
    assert span(item(project, "web")).word == "failing"
