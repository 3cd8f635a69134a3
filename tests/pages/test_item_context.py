"""From an item over an action's form to the run and back: who comes from an item is never sent elsewhere."""

from __future__ import annotations

import re

import pytest

from deployments.catalogue import registry
from deployments.models import PlanRequest
from deployments.states import RequestState, RunState
from portal.accounts.roles import Role
from portal.checklists.models import Item, RunItem
from tests.pages import world
from tests.pages.conftest import ClientFor
from tests.pages.plans import make_plan, make_run


@pytest.fixture
def item(board: object) -> Item:
    return world.item("grafana-deployed")


def link(item: Item) -> str:
    return f'<a href="/items/{item.pk}/">{item.title}</a>'


def test_the_form_knows_the_item_it_was_reached_from(client_for: ClientFor, item: Item) -> None:
    page = client_for(Role.OPERATOR).get(f"/actions/rollout-restart/?name=grafana&from=item:{item.pk}").content.decode()
    assert link(item) in page
    assert "Back to the item" in page
    assert f'name="context" value="item:{item.pk}"' in page
    assert 'value="grafana"' in page


@pytest.mark.parametrize("context", ["item:999999", "item:x", "run:1", "item:" + "9" * 40, "<b>"])
def test_an_item_that_is_not_there_is_no_context(client_for: ClientFor, item: Item, context: str) -> None:
    page = client_for(Role.OPERATOR).get("/actions/rollout-restart/", {"from": context}).content.decode()
    assert "Back to the item" not in page
    assert 'name="context" value=""' in page
    assert link(item) not in page


def test_the_plan_asked_for_and_a_refused_try_keep_it(client_for: ClientFor, item: Item) -> None:
    client, context = client_for(Role.OPERATOR), f"item:{item.pk}"
    sent = {"p-name": "x", "p-namespace": "y", "p-kind": "Cow", "context": context}
    refused = client.post("/actions/rollout-restart/plan/", sent)
    assert refused.status_code == 422
    assert link(item) in refused.content.decode()
    sent["p-kind"] = "Deployment"
    answer = client.post("/actions/rollout-restart/plan/", sent)
    wish = PlanRequest.objects.get()
    assert wish.context == context
    page = client.get(answer["Location"]).content.decode()
    assert link(item) in page
    sent["context"] = "item:999999"
    client.post("/actions/rollout-restart/plan/", sent)
    assert PlanRequest.objects.order_by("-requested_at").first().context == ""  # type: ignore[union-attr]


def test_a_plan_that_could_not_be_made_leads_back_to_the_form_as_it_was_sent(client_for: ClientFor, item: Item) -> None:
    client = client_for(Role.OPERATOR)
    sent = {"p-name": "x", "p-namespace": "y", "p-kind": "Deployment", "context": f"item:{item.pk}"}
    address = client.post("/actions/rollout-restart/plan/", sent)["Location"]
    PlanRequest.objects.update(state=RequestState.FAILED.value, sentence="There is no Deployment x.")
    page = client.get(address).content.decode()
    form = re.findall(r'href="(/actions/[^"]+)">Change what was asked for', page)
    assert form
    again = client.get(form[0].replace("&amp;", "&")).content.decode()
    assert 'value="x"' in again
    assert link(item) in again


def test_run_and_item_show_each_other(client_for: ClientFor, item: Item) -> None:
    client, plan = client_for(Role.OPERATOR), make_plan()
    answer = client.post(f"/plans/{plan.pk}/run/", {"context": f"item:{item.pk}"})
    run = RunItem.objects.get(item=item).run
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert link(item) in client.get(answer["Location"]).content.decode()
    assert f'<a href="/runs/{run.pk}/">{plan.title}</a>' in client.get(f"/items/{item.pk}/").content.decode()


def test_what_follows_by_itself_is_the_items_too(client_for: ClientFor, item: Item) -> None:
    """The sweep starts it: nobody ties it to the item, its context does."""
    run = make_run(make_plan(), state=RunState.RUNNING)
    run.context = f"item:{item.pk}"
    run.save()
    client = client_for(Role.OPERATOR)
    assert link(item) in client.get(f"/runs/{run.pk}/").content.decode()
    assert f'<a href="/runs/{run.pk}/">' in client.get(f"/items/{item.pk}/").content.decode()
    assert f"/runs/{run.pk}/" in client.get("/").content.decode()


def test_a_field_says_what_it_means_left_empty_and_nothing_else(client_for: ClientFor) -> None:
    """Only what the catalogue says of a field: most may simply stay empty, and nothing is found for them."""
    client = client_for(Role.OPERATOR)
    for action in registry.all_actions():
        page = client.get(f"/actions/{action.slug}/").content.decode()
        for field in registry.fields(action):
            shown = re.findall(rf'<(?:input|textarea)[^>]* name="p-{field.name}"[^>]*>', page)
            told = re.findall(r'placeholder="([^"]*)"', "".join(shown))
            wanted = field.if_empty.replace("'", "&#x27;").replace("<", "&lt;").replace(">", "&gt;")
            multiline = field.kind in ("long", "choice", "flag")
            assert told == ([wanted] if wanted and not field.required and not multiline else []), (action.slug, field)


def test_what_an_empty_field_means_is_read_from_its_description() -> None:
    known = {field.name: field for field in registry.fields(registry.get("create-notification-channel"))}
    assert known["alertmanager"].if_empty == "the only one"
    assert known["channel"].if_empty == ""
