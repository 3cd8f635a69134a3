"""The pages on which people decide: what waits, yes and no, broken glass and its review, the stop switch, freezes."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from common.clock import now
from common.models import AuditEvent
from deployments import policies, stops
from deployments.approvals import approve
from deployments.models import Approval, ClusterPolicy, Plan, Review, Run, WriteStop
from deployments.policy import Policy
from deployments.services import start_run
from deployments.states import RunState
from portal import rows
from portal.accounts.roles import Role
from portal.checklists.models import Project
from tests.pages.conftest import ClientFor
from tests.pages.plans import HOSTILE, make_plan

NAME = "kube-prometheus-stack"
WHY = "I have read the diff"
URGENT = "The exam begins in ten minutes"
EVERY_PAGE = ("/", "/phases/", "/status/", "/actions/", "/runs/", "/approvals/", "/policy/", "/reports/", "/settings/")


def user(role: Role) -> User:
    return User.objects.get(username=role.value)


def policy(**parts: Any) -> None:
    policies.keep(settings.PORTAL_CLUSTER, "project:platform-services", msgspec.convert(parts, Policy), "test")


@pytest.fixture
def plan(board: Project) -> Plan:
    return make_plan(tier=3)


@pytest.fixture
def asked(plan: Plan) -> Run:
    """The admin asks for a tier 3 run."""
    return start_run(user(Role.ADMIN), plan.pk, "click", confirm=NAME)


def text(client: Client, address: str, status: int = 200) -> str:
    response = client.get(address)
    assert response.status_code == status, (address, response.status_code)
    return response.content.decode()


def yes(client: Client, run: Run, **other: str) -> Any:
    return client.post(f"/runs/{run.pk}/approve/", {"plan": run.plan_id, "reason": WHY, **other})


# -- asking


def test_a_destructive_plan_asks_for_its_name_and_a_second_person(client_for: ClientFor, plan: Plan) -> None:
    client = client_for(Role.ADMIN)
    page = text(client, f"/plans/{plan.pk}/")
    assert "A second person must say yes first: 1 approval" in page
    assert "Ask for approval" in page and 'name="confirm"' in page
    refused = client.post(f"/plans/{plan.pk}/run/", {"idempotency_key": "a" * 32, "confirm": "grafana"})
    assert refused.status_code == 422 and f"Type {NAME}" in refused.content.decode()
    sent = client.post(f"/plans/{plan.pk}/run/", {"idempotency_key": "a" * 32, "confirm": NAME})
    run = Run.objects.get()
    assert sent.status_code == 303 and sent["Location"] == f"/runs/{run.pk}/"
    assert run.state == RunState.WAITING_FOR_APPROVAL
    page = text(client, f"/runs/{run.pk}/")
    assert "admin asked for this run, so somebody else must decide" in page
    assert f'formaction="/runs/{run.pk}/deny/"' not in page


def test_fifty_posts_of_one_form_are_one_run(transactional_db: None, client_for: ClientFor, plan: Plan) -> None:
    clients = [client_for(Role.ADMIN) for _ in range(50)]
    ready, answers = threading.Barrier(50), []

    def click(client: Client) -> None:
        try:
            ready.wait(30)
            sent = client.post(f"/plans/{plan.pk}/run/", {"idempotency_key": "a" * 32, "confirm": NAME})
            answers.append((sent.status_code, sent["Location"]))
        finally:
            connection.close()

    threads = [threading.Thread(target=click, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    run = Run.objects.get()
    assert answers == [(303, f"/runs/{run.pk}/")] * 50
    assert AuditEvent.objects.filter(verb="run.ask").count() == 1


# -- what waits


def test_what_waits_is_listed_with_what_an_approver_reads_first(client_for: ClientFor, asked: Run) -> None:
    page = text(client_for(Role.APPROVER), "/approvals/")
    assert "1 run waits for a second person" in page
    for said in (
        "Repair Grafana in place",
        "admin asked",
        f"Application {NAME}",
        "Waiting for 1 approval; none given.",
    ):
        assert said in page
    assert f'formaction="/runs/{asked.pk}/approve/"' in page
    assert 'id="nav-approvals" data-state="waiting_for_approval">1' in page
    assert "1 to approve" in page


def test_ones_own_request_is_shown_without_buttons(client_for: ClientFor, asked: Run) -> None:
    page = text(client_for(Role.ADMIN), "/approvals/")
    assert "You asked for this run, so somebody else must decide" in page
    assert "formaction=" not in page
    page = text(client_for(Role.OPERATOR), "/approvals/")
    assert "needs role approver" in page and "formaction=" not in page


def test_nothing_waits(client_for: ClientFor, board: Project) -> None:
    assert "No run waits for a second person" in text(client_for(Role.APPROVER), "/approvals/")


def test_hostile_words_are_shown_as_words(client_for: ClientFor, asked: Run) -> None:
    client = client_for(Role.APPROVER)
    yes(client, asked, reason=HOSTILE)
    stops.stop_writes(user(Role.ADMIN), HOSTILE)
    for address in ("/approvals/", f"/runs/{asked.pk}/", "/policy/", "/audit/"):
        page = text(client_for(Role.ADMIN), address)
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page


# -- yes and no


def test_yes_from_the_runs_page_queues_it(client_for: ClientFor, asked: Run) -> None:
    client = client_for(Role.APPROVER)
    assert 'name="reason"' in text(client, f"/runs/{asked.pk}/")
    sent = yes(client, asked)
    assert (sent.status_code, sent["Location"]) == (303, f"/runs/{asked.pk}/")
    asked.refresh_from_db()
    assert asked.state == RunState.QUEUED
    page = text(client, f"/runs/{asked.pk}/")
    assert "You approved run 1: it is queued." in page
    assert "approved" in page and WHY in page


def test_yes_and_no_from_the_list_and_from_the_plan(client_for: ClientFor, asked: Run) -> None:
    client = client_for(Role.APPROVER)
    fields = {f"plan-{asked.pk}": asked.plan_id, f"reason-{asked.pk}": "Not before the exam", "reason-other": "x"}
    sent = client.post(f"/runs/{asked.pk}/deny/", fields)
    assert (sent.status_code, sent["Location"]) == (303, "/approvals/")
    asked.refresh_from_db()
    assert asked.sentence == "Denied by approver: Not before the exam"
    page = text(client_for(Role.ADMIN), f"/plans/{asked.plan_id}/")
    assert "Ask for approval" in page
    refused = client_for(Role.ADMIN).post(
        f"/plans/{asked.plan_id}/run/", {"idempotency_key": "b" * 32, "confirm": NAME}
    )
    assert refused.status_code == 409 and "denied this plan to admin" in refused.content.decode()


def test_the_plans_page_of_a_waiting_run_has_the_panel(client_for: ClientFor, asked: Run) -> None:
    page = text(client_for(Role.APPROVER), f"/plans/{asked.plan_id}/")
    assert f'id="approval-{asked.pk}"' in page and f'action="/runs/{asked.pk}/approve/"' in page
    assert f"Open run {asked.number}" in page
    assert f"approval:{asked.pk}" in page


def test_who_asked_gets_403_however_they_post(client_for: ClientFor, asked: Run) -> None:
    for session in (client_for(Role.ADMIN), client_for(Role.ADMIN)):
        for deed in ("approve", "deny"):
            sent = session.post(f"/runs/{asked.pk}/{deed}/", {"plan": asked.plan_id, "reason": WHY})
            assert sent.status_code == 403
            assert "asked for this run" in sent.content.decode()
    assert not Approval.objects.exists()
    assert AuditEvent.objects.filter(verb__endswith=".refused", actor="admin").count() == 4


def test_the_approvers_own_post_replayed_by_who_asked_is_refused(client_for: ClientFor, asked: Run) -> None:
    policy(approvals=[{"tiers": [3], "count": 2}])
    assert yes(client_for(Role.APPROVER), asked).status_code == 303
    assert yes(client_for(Role.ADMIN), asked).status_code == 403
    assert yes(client_for(Role.APPROVER), asked).status_code == 303
    assert Approval.objects.count() == 1


def test_a_yes_without_token_is_refused(asked: Run) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user(Role.APPROVER))
    assert yes(client, asked).status_code == 403
    assert not Approval.objects.exists()


def test_a_yes_to_another_plan_than_was_read_is_refused(client_for: ClientFor, asked: Run) -> None:
    for plan in ("", "f" * 64):
        sent = yes(client_for(Role.APPROVER), asked, plan=plan)
        assert sent.status_code == 409 and "not of the one you read" in sent.content.decode()


def test_without_reason_the_page_comes_back_with_the_sentence(client_for: ClientFor, asked: Run) -> None:
    sent = yes(client_for(Role.APPROVER), asked, reason=" ")
    assert sent.status_code == 409
    assert "Say why, in a few words" in sent.content.decode()


def test_get_changes_nothing(client_for: ClientFor, asked: Run) -> None:
    before = AuditEvent.objects.count()
    for role in Role:
        client = client_for(role)
        for deed in ("approve/", "deny/", "review/", "review/close/", ""):
            client.get(f"/runs/{asked.pk}/{deed}")
        for address in ("/approvals/", "/policy/", "/policy/stop/", "/policy/allow/"):
            client.get(address)
        client.get(f"/plans/{asked.plan_id}/break-glass/")
    asked.refresh_from_db()
    assert asked.state == RunState.WAITING_FOR_APPROVAL
    assert AuditEvent.objects.count() == before
    assert not Approval.objects.exists() and not WriteStop.objects.exists()


@pytest.mark.parametrize("role", list(Role))
def test_each_role_decides_about_a_real_run_only_if_it_may(client_for: ClientFor, asked: Run, role: Role) -> None:
    client = client_for(role)
    expected = {Role.APPROVER: 303}.get(role, 403)
    assert yes(client, asked).status_code == expected
    assert client.post("/policy/stop/", {"reason": "storage"}).status_code == (303 if role is Role.ADMIN else 403)
    assert client.post("/policy/allow/").status_code == (303 if role is Role.ADMIN else 403)
    said = {"reason": URGENT, "password": f"{role.value}-demo", "confirm": NAME}
    smashed = client.post(f"/plans/{asked.plan_id}/break-glass/", said)
    assert smashed.status_code == (303 if role is Role.ADMIN else 403)


# -- broken glass


@pytest.fixture
def broken(asked: Run, client_for: ClientFor) -> Run:
    """The admin breaks the glass for the run they asked for; it has ended."""
    said = {"reason": URGENT, "password": "admin-demo", "confirm": NAME, "idempotency_key": "c" * 32}
    sent = client_for(Role.ADMIN).post(f"/plans/{asked.plan_id}/break-glass/", said)
    assert sent.status_code == 303, sent.content.decode()
    Run.objects.filter(pk=asked.pk).update(state=RunState.SUCCEEDED.value, finished_at=now())
    asked.locks.all().delete()
    asked.refresh_from_db()
    return asked


def test_the_form_names_what_it_takes(client_for: ClientFor, plan: Plan) -> None:
    page = text(client_for(Role.ADMIN), f"/plans/{plan.pk}/break-glass/")
    for field in ('name="reason"', 'name="confirm"', 'name="password"', 'autocomplete="current-password"'):
        assert field in page
    assert "/break-glass/" in text(client_for(Role.ADMIN), f"/plans/{plan.pk}/")
    assert "/break-glass/" not in text(client_for(Role.OPERATOR), f"/plans/{plan.pk}/")


@pytest.mark.parametrize(
    ("other", "said"),
    [({"password": "x"}, "does not match"), ({"confirm": "x"}, f"Type {NAME}"), ({"reason": "x"}, "so urgent")],
)
def test_what_is_wrong_is_said_and_the_password_is_not_sent_back(
    client_for: ClientFor, plan: Plan, other: dict[str, str], said: str
) -> None:
    given = {"reason": URGENT, "password": "admin-demo", "confirm": NAME, **other}
    sent = client_for(Role.ADMIN).post(f"/plans/{plan.pk}/break-glass/", given)
    page = sent.content.decode()
    assert sent.status_code == 409 and said in page
    assert "admin-demo" not in page
    assert not Run.objects.exists()


def test_it_is_red_on_every_page_until_another_person_has_reviewed_it(client_for: ClientFor, broken: Run) -> None:
    for role in Role:
        for address in EVERY_PAGE:
            assert "Broken glass, not reviewed." in text(client_for(role), address), (role, address)
    assert "Broken glass, not reviewed." in text(client_for(Role.ADMIN), "/audit/")
    address = f"/runs/{broken.pk}/review/"
    assert "admin broke the glass, so somebody else must review it" in text(client_for(Role.ADMIN), address)
    page = text(client_for(Role.APPROVER), address)
    for said in ("I have read the diff", "I have read the log", URGENT, "operation.sync"):
        assert said in page
    given = {"read_diff": "yes", "read_log": "yes", "finding": "As described"}
    assert client_for(Role.ADMIN).post(f"{address}close/", given).status_code == 403
    refused = client_for(Role.APPROVER).post(f"{address}close/", {"finding": "As described"})
    assert refused.status_code == 409 and "As described" in refused.content.decode()
    assert client_for(Role.APPROVER).post(f"{address}close/", given).status_code == 303
    assert "Broken glass, not reviewed." not in text(client_for(Role.VIEWER), "/")
    assert "As described" in text(client_for(Role.VIEWER), f"/runs/{broken.pk}/")
    assert "As described" in text(client_for(Role.VIEWER), "/approvals/")
    assert Review.objects.get().closed_by == user(Role.APPROVER)


def test_while_a_review_is_open_the_form_says_so(client_for: ClientFor, broken: Run) -> None:
    other = make_plan(tier=3, digest="a" * 64)
    page = text(client_for(Role.ADMIN), f"/plans/{other.pk}/break-glass/")
    assert "The glass is broken already" in page and 'name="password"' not in page


# -- the stop switch and freezes


def test_the_stop_switch_is_pressed_seen_everywhere_and_released(client_for: ClientFor, board: Project) -> None:
    client = client_for(Role.ADMIN)
    assert "Writes are allowed" in text(client, "/policy/")
    refused = client.post("/policy/stop/", {"reason": ""})
    assert refused.status_code == 409 and "Say why" in refused.content.decode()
    assert client.post("/policy/stop/", {"reason": "Storage is being moved"}).status_code == 303
    for role in Role:
        for address in EVERY_PAGE:
            page = text(client_for(role), address)
            assert "All writes are stopped." in page and "Storage is being moved" in page, (role, address)
    assert "needs role admin" in text(client_for(Role.OPERATOR), "/policy/")
    assert client.post("/policy/allow/").status_code == 303
    assert "All writes are stopped" not in text(client, "/")


def test_a_freeze_is_said_on_the_overview_the_plan_and_the_policy(client_for: ClientFor, plan: Plan) -> None:
    moment = now().replace(tzinfo=None)
    begins, ends = (moment + timedelta(hours=h) for h in (-1, 5))
    window = {"name": "exam", "reason": "Exam week", "tiers": [2, 3]}
    ahead = {"name": "night", "reason": "Nobody watches", "from": (moment + timedelta(hours=9)).isoformat()}
    policy(
        freezes=[
            {**window, "from": begins.isoformat(), "to": ends.isoformat()},
            {**ahead, "to": (moment + timedelta(hours=12)).isoformat()},
        ]
    )
    for address in ("/", f"/plans/{plan.pk}/", "/policy/"):
        page = text(client_for(Role.VIEWER), address)
        whose = "This plan waits" if "plans" in address else "Runs of tiers 2 and 3 wait"
        assert "Frozen: exam." in page and f"{whose} until" in page, address
        assert f"Freeze “night”{'' if 'plans' in address else ' of tiers 1, 2 and 3'} begins" in page
    found = rows.falls_due(["freezes", "approvals", "approval:x"])
    assert set(found) == {"freezes", "approvals", "approval:x"}
    assert all(abs(due.replace(tzinfo=None) - ends) < timedelta(seconds=1) for due in found.values())


def test_the_glass_is_offered_where_a_freeze_holds_the_plan_and_not_beside_it(client_for: ClientFor) -> None:
    moment = now().replace(tzinfo=None)
    begins, ends = ((moment + timedelta(hours=h)).isoformat() for h in (-1, 5))
    policy(freezes=[{"name": "exam", "reason": "Exam week", "tiers": [2, 3], "from": begins, "to": ends}])
    for tier, offered in ((1, False), (2, True)):
        made = make_plan(tier=tier, digest=f"{tier}" * 64)
        page = text(client_for(Role.ADMIN), f"/plans/{made.pk}/")
        assert ("Frozen: exam." in page) is offered and ("Break the glass" in page) is offered
        live = "".join(rows.render(f"freezes:{tier}", Role.ADMIN))
        assert 'id="freezes"' in live and ("Frozen: exam." in live) is offered
    assert "freezes:2" in rows.spread(["holds"]) and rows.allowed("freezes:2", Role.VIEWER)


def test_freeze_windows_are_moments_with_a_zone_and_never_raw(client_for: ClientFor, board: Project) -> None:
    week = {"name": "exam", "reason": "Exam week", "tiers": [2, 3], "from": "2030-01-19", "to": "2030-01-24T18:00"}
    gone = {"name": "move", "reason": "The move", "from": "2020-06-01", "to": "2020-06-02"}
    nights = {"name": "nights", "reason": "Nobody watches", "cron": "0 20 * * *", "lasts": "11h"}
    zone = {"time_zone": "Europe/Zurich"}
    policy(freezes=[week | zone, gone, nights | zone])
    page = text(client_for(Role.VIEWER), "/policy/")
    assert '<time datetime="2030-01-18T23:00:00+00:00">19 Jan 2030, 00:00 Europe/Zurich (18 Jan, 23:00 UTC)' in page
    assert '<time datetime="2030-01-24T17:00:00+00:00">24 Jan 2030, 18:00 Europe/Zurich (17:00 UTC)</time>' in page
    assert "1 Jun 2020, 00:00 UTC</time> to" in page and "over</span>" in page
    assert re.search(r"<code>0 20 \* \* \*</code> Europe/Zurich, for 11h each; (next|on since) <time", page)
    assert not re.search(r">[^<]*\d{4}-\d\d-\d\d", page.split("<main", 1)[1])


def test_the_policys_headline_turns_with_the_stop(client_for: ClientFor, board: Project) -> None:
    assert "policy" in rows.spread(["holds"])
    assert 'data-title="Writes allowed"' in "".join(rows.render("policy", Role.VIEWER))
    client_for(Role.ADMIN).post("/policy/stop/", {"reason": "Storage is being moved"})
    said = "".join(rows.render("policy", Role.VIEWER))
    assert 'data-title="Stopped"' in said and "All writes are stopped" in said


def test_the_glass_is_not_offered_for_a_plan_that_would_be_refused_all_the_same(client_for: ClientFor) -> None:
    made = make_plan(tier=3, met=False, digest="a" * 64)
    page = text(client_for(Role.ADMIN), f"/plans/{made.pk}/")
    assert "A second person must say yes first" in page and "Break the glass" not in page


def test_a_policy_nobody_can_read_is_said(client_for: ClientFor, plan: Plan) -> None:
    ClusterPolicy.objects.update(document={"approvals": "later"}, hash="x")
    for address in ("/", "/policy/", f"/plans/{plan.pk}/"):
        assert "cannot be read by this version" in text(client_for(Role.ADMIN), address)
    sent = client_for(Role.ADMIN).post(f"/plans/{plan.pk}/run/", {"idempotency_key": "a" * 32, "confirm": NAME})
    assert sent.status_code == 409 and not Run.objects.exists()


def test_the_policys_page_says_what_the_shipped_definition_says(client_for: ClientFor, board: Project) -> None:
    page = text(client_for(Role.VIEWER), "/policy/")
    assert "Tier 3, destructive" in page and "1 approval" in page
    assert "60 an hour per target" in page
    assert "project:platform-services" in page
    policy(approvals=[{"tiers": [3], "from": ["security"]}])
    assert "Nobody is in security." in text(client_for(Role.VIEWER), "/policy/")


# -- live


def targets(fragments: list[str]) -> list[str]:
    return [re.findall(r'hx-target="#([^"]+)"', fragment)[0] for fragment in fragments]


def test_each_live_part_is_on_its_page_and_holds_nothing_of_a_person(client_for: ClientFor, asked: Run) -> None:
    approve(user(Role.APPROVER), asked.pk, asked.plan_id, WHY)
    pages = {
        f"approval:{asked.pk}": f"/runs/{asked.pk}/",
        "approvals": "/approvals/",
        "holds": "/",
        "freezes": "/",
        "runs": "/",
    }
    for role in (Role.APPROVER, Role.ADMIN):
        found = rows.render_all(pages, role)
        for topic, address in pages.items():
            page = text(client_for(role), address)
            assert found[topic], topic
            for fragment, target in zip(found[topic], targets(found[topic]), strict=True):
                assert f'id="{target}"' in page, (topic, target)
                assert "csrf" not in fragment and "You asked" not in fragment


def test_the_list_keeps_what_an_approver_is_typing(client_for: ClientFor, asked: Run) -> None:
    _, fragment = rows.render("approvals", Role.APPROVER)
    assert re.search(rf'id="decide-{asked.pk}" hx-morph-skip', fragment)
    assert rows.render("approvals", Role.VIEWER)
    assert "formaction" not in "".join(rows.render("approvals", Role.VIEWER))


def test_a_denied_run_says_when_it_ended_and_that_no_step_was_done(client_for: ClientFor, asked: Run) -> None:
    """It said "took" without a length, "2 of 2" of steps nobody made, and "not read yet" of what nobody will read."""
    approver = client_for(Role.APPROVER)
    approver.post(f"/runs/{asked.pk}/deny/", {"plan": asked.plan_id, "reason": "Not today"})
    page = text(approver, f"/runs/{asked.pk}/")
    assert "never begun" in page and "took" not in page.split("<main", 1)[1]
    assert re.search(r">0 of (\d+)(, \1 skipped)?<", page)
    assert "not read yet" not in page
