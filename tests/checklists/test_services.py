"""What people do to items: allowed or refused by permission, with an audit row each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied

from common import clock
from common.models import AuditEvent
from monitoring.models import CheckRequest
from portal.checklists import selectors, services
from portal.checklists.models import Attestation, Item, ItemSpan, Project, RunItem
from portal.checklists.words import ItemWord
from tests.checklists.build import ago, item, person, read_all, small
from tests.checklists.test_sink import run_for

pytestmark = pytest.mark.django_db
W = ItemWord


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return small(tmp_path)


def word(project: Project, key: str, days: int = 0) -> ItemWord:
    return selectors.item_state(item(project, key), clock.now() + timedelta(days=days)).word


def audits(verb: str) -> list[str]:
    return list(AuditEvent.objects.filter(verb=verb).values_list("object", flat=True))


def test_an_attested_item_is_attested_until_it_expires(project: Project) -> None:
    operator = person("olga", "checklists.attest_item")
    services.attest_item(operator, item(project, "docs"))
    assert word(project, "docs") is W.ATTESTED
    assert word(project, "docs", days=29) is W.ATTESTED
    assert word(project, "docs", days=31) is W.STALE
    assert ItemSpan.objects.get(item__key="docs", closed_at=None).word == "attested"
    assert audits("item.attest") == ["item:small/docs"]


def test_a_withdrawn_attestation_counts_no_more(project: Project) -> None:
    operator = person("olga", "checklists.attest_item")
    row = services.attest_item(operator, item(project, "docs"), "Seen it.")
    services.withdraw(operator, row)
    services.withdraw(operator, row)
    assert word(project, "docs") is W.PENDING
    assert audits("item.withdraw") == ["item:small/docs"]


def test_somebody_elses_attestation_is_withdrawn_by_who_manages_the_project(project: Project) -> None:
    row = services.attest_item(person("olga", "checklists.attest_item"), item(project, "docs"))
    with pytest.raises(PermissionDenied):
        services.withdraw(person("otto", "checklists.attest_item"), row)
    services.withdraw(person("adam", "checklists.attest_item", "checklists.manage_project"), row)
    assert Attestation.objects.get().withdrawn_at is not None


def test_nobody_attests_what_checks_prove(project: Project) -> None:
    operator = person("olga", "checklists.attest_item")
    with pytest.raises(services.ItemError, match="proven by its checks"):
        services.attest_item(operator, item(project, "web"))


def test_an_item_without_checks_can_be_attested_with_a_sentence(project: Project) -> None:
    operator = person("olga", "checklists.attest_item")
    bare = Item.objects.create(project=project, phase=project.phases.get(key="apps"), key="bare", title="Bare")
    with pytest.raises(services.ItemError, match="one sentence"):
        services.attest_item(operator, bare, "  ")
    services.attest_item(operator, bare, "I saw it.")
    assert word(project, "bare") is W.ATTESTED


def test_an_exempt_item_is_exempt_until_its_day_is_over(project: Project) -> None:
    admin = person("adam", "checklists.manage_project")
    read_all(project, ago(5), "failing")
    services.exempt_item(admin, item(project, "web"), clock.now().date() + timedelta(days=7), "no budget")
    assert word(project, "web") is W.EXEMPT
    assert word(project, "web", days=7) is W.EXEMPT
    assert word(project, "web", days=8) is not W.EXEMPT
    services.end_exemption(admin, item(project, "web"))
    services.end_exemption(admin, item(project, "web"))
    assert word(project, "web") is W.FAILING
    assert len(audits("item.end_exemption")) == 1


@pytest.mark.parametrize(("days", "why"), [(-1, "late"), (400, "long"), (3, "  ")])
def test_a_waiver_needs_a_reason_and_an_end(project: Project, days: int, why: str) -> None:
    admin = person("adam", "checklists.manage_project")
    with pytest.raises(services.ItemError):
        services.exempt_item(admin, item(project, "web"), clock.now().date() + timedelta(days=days), why)


def test_a_fresh_reading_is_asked_for_once(project: Project) -> None:
    operator = person("olga", "checklists.request_check")
    assert services.request_item_check(operator, item(project, "web")) == 2
    assert services.request_item_check(operator, item(project, "web")) == 0
    assert services.request_phase_check(operator, project.phases.get(key="apps")) == 1
    assert CheckRequest.objects.count() == 3
    assert audits("check.request") == ["item:small/web", "item:small/web", "phase:small/apps"]
    assert selectors.item_state(item(project, "web"), clock.now()).checking


def test_a_run_is_tied_to_its_item_once(project: Project) -> None:
    operator = person("olga")
    run = run_for(item(project, "web"))
    RunItem.objects.all().delete()
    services.link_run(operator, run, item(project, "web"))
    services.link_run(operator, run, item(project, "web"))
    assert RunItem.objects.count() == 1
    assert audits("item.link_run") == ["item:small/web"]


def test_the_item_of_a_context_is_found_or_nothing(project: Project) -> None:
    web = item(project, "web")
    assert services.item_of_context(f"item:{web.pk}") == web
    for context in ("", "item:", "item:x", "run:1", "item:999999"):
        assert services.item_of_context(context) is None


CALLS: dict[str, Callable[[User, Project], Any]] = {
    "attest": lambda user, project: services.attest_item(user, item(project, "docs")),
    "exempt": lambda user, project: services.exempt_item(user, item(project, "web"), clock.now().date(), "x"),
    "end": lambda user, project: services.end_exemption(user, item(project, "web")),
    "check": lambda user, project: services.request_item_check(user, item(project, "web")),
    "check phase": lambda user, project: services.request_phase_check(user, project.phases.get(key="apps")),
}


@pytest.mark.parametrize("call", CALLS)
def test_without_the_permission_nothing_happens(project: Project, call: str) -> None:
    before = AuditEvent.objects.count()
    with pytest.raises(PermissionDenied, match="Your role may not"):
        CALLS[call](person("vera", "checklists.view_board"), project)
    assert AuditEvent.objects.count() == before
    assert not Attestation.objects.exists()
    assert not CheckRequest.objects.exists()
