"""What the live hub sends: the pages' own parts, for a role and never for a person."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from common.clock import now
from monitoring.models import Component, Evidence, Source
from portal import rows
from portal.accounts.roles import Role
from portal.checklists.models import Item, Project
from tests.pages import world
from tests.pages.conftest import ClientFor
from tests.pages.plans import HOSTILE, make_plan, make_run


def topics(board: Project) -> list[str]:
    """Everything that can be announced, with every view of it."""
    run = make_run(make_plan())
    announced = [
        f"item:{world.item('grafana-deployed').pk}",
        f"phase:{board.phases.get(number=2).pk}",
        f"source:{board.cluster}/kubernetes",
        f"component:{Component.objects.first().pk}",  # type: ignore[union-attr]
        f"run:{run.pk}",
    ]
    return announced + sorted(rows.spread(announced) - set(announced))


def targets(fragments: list[str]) -> list[str]:
    return [re.findall(r'hx-target="#([^"]+)"', fragment)[0] for fragment in fragments]


def test_every_topic_of_a_page_gives_fragments_whose_targets_are_on_a_page(
    board: Project, client_for: ClientFor
) -> None:
    wanted = topics(board)
    found = rows.render_all(wanted, Role.OPERATOR)
    item, run = wanted[0].split(":")[1], wanted[4].split(":")[1]
    client = client_for(Role.OPERATOR)
    addresses = (
        "/",
        "/phases/",
        "/phases/2-platform-services/",
        f"/items/{item}/",
        "/status/",
        "/settings/",
        "/runs/",
        f"/runs/{run}/",
    )
    html = "".join(client.get(address).content.decode() for address in addresses)
    for topic, fragments in found.items():
        assert fragments, topic
        for target in targets(fragments):
            assert f'id="{target}"' in html, (topic, target)


def test_a_fragment_is_the_element_it_replaces(board: Project) -> None:
    for fragments in rows.render_all(topics(board), Role.OPERATOR).values():
        for fragment in fragments:
            target = targets([fragment])[0]
            if 'hx-swap="outerMorph"' in fragment:
                assert re.match(rf'<hx-partial [^>]*><\w+ [^>]*id="{re.escape(target)}"', fragment), fragment[:120]


@pytest.mark.parametrize("role", list(Role))
def test_fragments_hold_no_form_token_and_nobodys_name(board: Project, role: Role) -> None:
    text = "".join("".join(found) for found in rows.render_all(topics(board), role).values())
    assert "csrf" not in text
    assert "idempotency_key" not in text
    assert 'data-key="g o"' not in text


def test_a_viewers_fragments_offer_no_write(board: Project) -> None:
    text = "".join("".join(found) for found in rows.render_all(topics(board), Role.VIEWER).values())
    assert "data-write" not in text
    assert "needs role" in text


PAGES = {
    "/": {"headline", "board", "running", "runs", "hold", "phase-tile", "source", "component", "freezes", "holds"},
    "/phases/": {"headline", "phase-bar", "runs", "holds"},
    "/phases/2-platform-services/": {"item", "phase", "runs", "holds"},
    "/items/FIRST/": {"item-page", "runs", "holds"},
    "/status/": {"source", "status", "status-head", "firing", "runs", "holds"},
    "/settings/": {"connection", "sources-head", "runs", "holds"},
}


@pytest.mark.parametrize("address", PAGES)
def test_a_page_asks_only_for_what_it_shows(board: Project, client_for: ClientFor, address: str) -> None:
    # which number the first item has depends on the tests before this one
    first = Item.objects.order_by("pk").values_list("pk", flat=True)[0]
    html = client_for(Role.OPERATOR).get(address.replace("FIRST", str(first))).content.decode()
    asked = re.findall(r"/live/\?topics=([^&]+)&", html)[0].split(",")
    assert {topic.partition(":")[0] for topic in asked} == PAGES[address]
    for topic, fragments in rows.render_all(asked, Role.OPERATOR).items():
        for target in targets(fragments):
            assert f'id="{target}"' in html, (topic, target)


def test_an_announcement_concerns_every_view_of_the_thing() -> None:
    assert rows.spread(["item:7"]) == {"item:7", "item-page:7", "hold:7"}
    assert rows.spread(["phase:3"]) == {"phase:3", "phase-tile:3", "phase-bar:3", "board", "headline"}
    assert rows.spread(["component:2"]) == {"component:2", "status:2", "status-head", "firing"}
    assert rows.spread(["source:a/b"]) == {"source:a/b", "connection:a/b", "sources-head"}
    listed = {"running", "runs-head", "run-row:x", "board", "approval:x", "approvals"}
    assert rows.spread(["runs", "run:x"]) == {"runs", "run:x"} | listed
    freezes = {"freezes", *(f"freezes:{tier}" for tier in range(4))}
    assert rows.spread(["holds"]) == {"holds", "policy"} | freezes
    assert rows.spread(["check:1", "session:2"]) == {"check:1", "session:2"}


def test_one_items_change_draws_one_row_for_a_page_of_rows(board: Project) -> None:
    assert len(rows.render(f"item:{world.item('grafana-deployed').pk}", Role.VIEWER)) == 1


def test_a_role_hears_only_of_topics_it_may_read() -> None:
    assert rows.allowed("item:1", Role.VIEWER)
    assert rows.allowed("plan:01JD", Role.OPERATOR)
    assert not rows.allowed("plan:01JD", Role.VIEWER)
    for topic in ("", "secrets:1", "session:1", "item", "users"):
        assert rows.allowed(topic, Role.ADMIN) is (topic == "item")


def test_nonsense_topics_give_nothing_and_do_not_fail(board: Project) -> None:
    for topic in (
        "item:",
        "item:x",
        "item:99999999999999999999",
        "phase:0",
        "run:x",
        "source:",
        "source:a/b",
        "plan:x",
        "x:y",
        "",
    ):
        assert rows.render(topic, Role.ADMIN) == []
    assert rows.falls_due(["item:x", "run:x", "", "component:9999"]) == {}


def test_the_fragment_says_the_new_word_at_once(board: Project) -> None:
    item = world.turn("grafana-deployed", "verified")
    assert 'data-state="verified"' in rows.render(f"item:{item.pk}", Role.VIEWER)[0]
    world.turn("grafana-deployed", "failing")
    assert 'data-state="failing"' in rows.render(f"item:{item.pk}", Role.VIEWER)[0]


def test_a_verified_row_falls_due_at_its_limit_and_reads_stale_after_it(board: Project) -> None:
    item = world.turn("grafana-deployed", "verified")
    topic = f"item:{item.pk}"
    due = rows.falls_due([topic, f"phase:{item.phase_id}", f"source:{board.cluster}/kubernetes"])
    assert now() < due[topic] <= now() + timedelta(minutes=10)
    assert f"phase:{item.phase_id}" in due
    past = now() - timedelta(hours=1)
    Evidence.objects.update(observed_at=past, evaluated_at=past)
    Source.objects.update(confirmed_at=past, watches={})
    assert 'data-state="stale"' in rows.render(topic, Role.VIEWER)[0]


def test_hostile_text_stays_text_in_fragments(board: Project) -> None:
    Evidence.objects.update(sentence=HOSTILE, observed=HOSTILE)
    for fragments in rows.render_all(topics(board), Role.ADMIN).values():
        assert HOSTILE not in "".join(fragments)


def test_topics_that_changed_together_are_read_once(board: Project, django_assert_max_num_queries: Any) -> None:
    phases = [f"phase:{pk}" for pk in board.phases.values_list("pk", flat=True)]
    with django_assert_max_num_queries(14):
        rows.render_all(phases, Role.VIEWER)


def test_the_log_tail_is_bounded(board: Project) -> None:
    run = make_run(make_plan(), lines=500)
    tail = next(f for f in rows.render(f"run:{run.pk}", Role.VIEWER) if 'hx-target="#log-inbox"' in f)
    assert tail.count('class="ll') == 60
    assert 'data-last="500"' in tail


def test_a_plan_that_moved_says_so_on_every_open_page(board: Project) -> None:
    plan = make_plan()
    plan.moved = "Deployment grafana moved since the plan was made."
    plan.save()
    html = "".join(rows.render(f"plan:{plan.pk}", Role.OPERATOR))
    assert "The cluster moved." in html
    assert "data-moved" in html
    assert 'form="again-form"' in html
    assert rows.render(f"plan:{plan.pk}", Role.VIEWER) == []
