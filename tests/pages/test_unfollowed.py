"""What was to follow a run by itself and did not is red where people look, with what to do, until it is settled."""

from __future__ import annotations

import re

import pytest

from common.clock import now
from deployments.models import FollowUp
from deployments.states import FollowState, RunState
from portal import rows
from portal.accounts.roles import Role
from portal.checklists.models import Item
from tests.pages import world
from tests.pages.conftest import ClientFor
from tests.pages.plans import make_plan, make_run

SAID = "Auto-sync is resumed by itself. Not started: olivia may not ask for a plan."


@pytest.fixture
def item(board: object) -> Item:
    return world.item("grafana-deployed")


@pytest.fixture
def broken(item: Item) -> FollowUp:
    run = make_run(make_plan(), state=RunState.SUCCEEDED)
    run.context = f"item:{item.pk}"
    run.save()
    return FollowUp.objects.create(
        run=run,
        action="resume-auto-sync",
        params={"application": "kube-prometheus-stack", "namespace": "argocd"},
        due_at=now(),
        state=FollowState.FAILED.value,
        sentence=SAID,
    )


def test_overview_item_and_run_are_red_and_say_what_to_do(client_for: ClientFor, broken: FollowUp, item: Item) -> None:
    client = client_for(Role.OPERATOR)
    overview = client.get("/").content.decode()
    card = overview[overview.index('id="needs-you"') : overview.index('id="running"')]
    assert SAID in card and f'href="/runs/{broken.run_id}/">Repair it' in card and 'data-state="failed"' in card
    on_item = client.get(f"/items/{item.pk}/").content.decode()
    assert SAID in on_item and "Repair it there" in on_item
    on_run = client.get(f"/runs/{broken.run_id}/").content.decode()
    (form,) = re.findall(r'href="([^"]+)">Plan it by hand', on_run)
    address = form.replace("&amp;", "&")
    assert f"from=item%3A{item.pk}" in address
    assert 'value="kube-prometheus-stack"' in client.get(address).content.decode()


def test_a_viewer_sees_it_and_presses_nothing(client_for: ClientFor, broken: FollowUp) -> None:
    client = client_for(Role.VIEWER)
    assert SAID in client.get("/").content.decode()
    page = client.get(f"/runs/{broken.run_id}/").content.decode()
    assert "Settle it" not in page
    answer = client.post(f"/runs/{broken.run_id}/settle/", {"follow": broken.pk, "reason": "by hand"})
    assert answer.status_code == 403
    broken.refresh_from_db()
    assert broken.state == FollowState.FAILED


def test_settled_it_is_gone_everywhere_but_on_its_run(client_for: ClientFor, broken: FollowUp, item: Item) -> None:
    client = client_for(Role.OPERATOR)
    client.get("/")  # a board that is kept must not stay red
    answer = client.post(f"/runs/{broken.run_id}/settle/", {"follow": broken.pk, "reason": "kubectl edit"})
    assert answer["Location"] == f"/runs/{broken.run_id}/"
    for address in ("/", f"/items/{item.pk}/"):
        assert SAID not in client.get(address).content.decode()
    page = client.get(answer["Location"]).content.decode()
    assert "Settle it" not in page and "Done by hand, says operator: kubectl edit" in page
    assert client.post(f"/runs/{broken.run_id}/settle/", {"follow": "x"}).status_code == 404


def test_the_open_pages_hear_of_it(client_for: ClientFor, broken: FollowUp, item: Item) -> None:
    topics = rows.spread([f"run:{broken.run_id}", "runs", f"item:{item.pk}"])
    found = rows.render_all(topics, Role.OPERATOR)
    for topic in ("board", f"run:{broken.run_id}", f"item-page:{item.pk}"):
        assert SAID in "".join(found[topic]), topic
    assert "csrf" not in "".join("".join(parts) for parts in found.values())


def test_one_that_was_started_and_failed_names_its_run(client_for: ClientFor, broken: FollowUp) -> None:
    other = make_run(make_plan(digest="ab" * 32), state=RunState.FAILED)
    FollowUp.objects.update(state=FollowState.STARTED.value, started=other)
    other.sentence = "Not verified within 300 s."
    other.save()
    overview = client_for(Role.OPERATOR).get("/").content.decode()
    assert f"Run {other.number} was to do it and is failed: Not verified within 300 s." in overview
