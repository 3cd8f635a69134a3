"""A page's title begins with its state, so that a tab says it; the live parts carry the same words."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client

from common.clock import now
from deployments.models import Plan, PlanRequest, Run
from deployments.states import RunState
from portal import rows
from portal.accounts.roles import Role
from portal.checklists.models import Choice, Project
from tests.pages import world
from tests.pages.conftest import ClientFor
from tests.pages.plans import make_plan, make_run


def title(client: Client, address: str) -> str:
    found = re.search(r"<title>(.*?)</title>", client.get(address).content.decode())
    assert found is not None, address
    return html.unescape(found[1])


@pytest.fixture
def run(board: Project) -> Run:
    return make_run(make_plan())


def test_every_page_begins_with_its_state(run: Run, client_for: ClientFor) -> None:
    item = world.turn("grafana-deployed", "failing")
    plan = run.plan_id
    expected = {
        "/": r"\d+ failing.* · Overview",
        "/phases/": r"\d+ failing.* · Phases",
        "/phases/2-platform-services/": "Failing · Phase 2: Platform Services",
        f"/items/{item.pk}/": f"Failing · {item.title}",
        "/status/": r"\d+ failing.* · Status",
        "/search?q=grafana": r"\d+ matches · grafana · Search",
        "/search?q=zzzz": r"0 matches · zzzz · Search",
        "/search": "Nothing asked · Search",
        "/actions/": r"(\d+) of \1 · Actions",
        "/actions/?q=grafana": r"\d+ of \d+ · Actions",
        "/actions/rollout-restart/": "No plan yet · .+",
        f"/plans/{plan}/": "Ready · Plan 7f3c91d2: Repair Grafana in place",
        f"/plans/{plan}/break-glass/": "Not broken · Break the glass: Repair Grafana in place",
        "/approvals/": "None waiting · Approvals",
        "/policy/": "Writes allowed · Policy",
        "/runs/": "1 at work · Runs",
        f"/runs/{run.pk}/": f"Verifying · Run {run.number}: Repair Grafana in place",
        "/decisions/": r"(None|\d+) to decide · Decisions",
        "/reports/": "None imported · Reports",
        "/reports/import/": "Not imported yet · Import a report",
        "/audit/": r"\d+ rows? · Audit",
        "/audit/?check=1": "Chain verified · Audit",
        "/settings/": r"\d of 5 sources answer · Settings",
        "/gallery/": "Samples · Parts and states",
        "/nothing/": "Not found",
    }
    client = client_for(Role.ADMIN)
    said = {address: title(client, address) for address in expected}
    assert {a: t for a, t in said.items() if not re.fullmatch(rf"{expected[a]} · Phaseboard", t)} == {}
    assert title(client_for(Role.VIEWER), "/actions/rollout-restart/").startswith("Needs role operator · ")
    assert title(Client(), "/accounts/sign-in/") == "Signed out · Sign in · Phaseboard"


@pytest.mark.parametrize(
    ("changed", "word"), [({}, "Ready"), ({"moved": "Its image is another one."}, "Moved"), ({"met": False}, "Unmet")]
)
def test_a_plans_title_says_whether_it_can_run(
    board: Project, client_for: ClientFor, changed: dict[str, Any], word: str
) -> None:
    plan = make_plan(met=changed.get("met", True))
    Plan.objects.filter(pk=plan.pk).update(moved=changed.get("moved", ""), compared_at=now())
    assert title(client_for(Role.OPERATOR), f"/plans/{plan.pk}/").startswith(f"{word} · Plan 7f3c91d2: ")
    assert f'data-title="{word}"' in "".join(rows.render(f"plan:{plan.pk}", Role.OPERATOR))


def test_the_live_parts_carry_the_state_of_the_title(run: Run, client_for: ClientFor) -> None:
    """What the browser puts in place of the title's first part, on each page that is live."""
    item = world.turn("grafana-deployed", "failing")
    wish = PlanRequest.objects.create(
        action="rollout-restart", params={}, state="queued", cluster="is-platform", requested_by=run.requested_by,
        idempotency_key="t" * 32, requested_at=now(),
    )  # fmt: skip
    phase = item.phase
    pages = {
        "headline": "/",
        f"phase:{phase.pk}": f"/phases/{phase.number}-{phase.key}/",
        f"item-page:{item.pk}": f"/items/{item.pk}/",
        "status-head": "/status/",
        f"plan:{run.plan_id}": f"/plans/{run.plan_id}/",
        f"plan:{wish.pk}": f"/plans/requests/{wish.pk}/",
        f"run:{run.pk}": f"/runs/{run.pk}/",
        "approvals": "/approvals/",
        "runs-head": "/runs/",
        "policy": "/policy/",
        "sources-head": "/settings/",
    }
    client = client_for(Role.ADMIN)
    for topic, address in pages.items():
        page = client.get(address).content.decode()
        first = re.search(r'data-title="([^"]*)"', page)
        assert first is not None, address
        assert title(client, address).startswith(f"{html.unescape(first[1])} · "), address
        assert f'data-title="{first[1]}"' in "".join(rows.render(topic, Role.ADMIN)), topic
        asked = re.search(r"/live/\?topics=([^&]*)", page)
        assert asked is not None and topic in html.unescape(asked[1]).split(","), topic


def test_a_waiting_run_turns_the_headline_of_the_approvals(run: Run, client_for: ClientFor) -> None:
    Run.objects.update(state=RunState.WAITING_FOR_APPROVAL)
    assert title(client_for(Role.APPROVER), "/approvals/") == "1 waiting · Approvals · Phaseboard"
    said = "".join(rows.render("approvals", Role.APPROVER))
    assert 'data-title="1 waiting"' in said and "1 run waits for a second person" in said


def test_options_that_are_no_longer_read_are_not_shown_as_how_the_cluster_stands(
    board: Project, client_for: ClientFor
) -> None:
    """Options of an hour in which Grafana was missing said so still when it was back."""
    option = {
        "key": "D",
        "title": "Repair in place",
        "tier": 1,
        "sentence": "As it was.",
        "risk": "Low",
        "undo": "None",
    }
    read = {"action": "repair-grafana-in-place", "recommended": True, "met": True, "preconditions": []}
    Choice.objects.create(project=board, key="grafana", options=[option | read], at=now())
    client = client_for(Role.OPERATOR)
    world.turn("grafana-deployed", "failing")
    assert title(client, "/decisions/grafana/").startswith("To decide · ")
    assert title(client, "/decisions/").startswith("1 to decide · ")
    world.turn("grafana-deployed", "verified")
    assert title(client, "/decisions/grafana/").startswith("Nothing to decide · ")
    assert "Repair in place" not in client.get("/decisions/grafana/").content.decode()
    assert title(client, "/decisions/").startswith("None to decide · ")
    assert "Nothing to decide now" in "".join(rows.render("decision:grafana", Role.OPERATOR))


def test_the_list_of_runs_turns_by_itself(run: Run, client_for: ClientFor) -> None:
    """It asked for the parts of a run's own page, of which it has none: a run at work stayed so until a reload."""
    page = client_for(Role.VIEWER).get("/runs/").content.decode()
    topic = f"run-row:{run.pk}"
    assert topic in html.unescape(page).split("/live/?topics=")[1].split("&")[0].split(",")
    assert {topic, "runs-head"} <= rows.spread([f"run:{run.pk}"])
    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED, finished_at=now())
    (said,) = rows.render(topic, Role.VIEWER)
    assert f'hx-target="#run-row-{run.pk}"' in said and "Succeeded" in said and f'id="run-row-{run.pk}"' in page
    (head,) = rows.render("runs-head", Role.VIEWER)
    assert "No run at work" in head and 'data-title="None at work"' in head
