"""The click on *Run this plan*: the run's page takes the place of the plan's, without a load; whatever is answered."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Site, Visitor, live

pytestmark = pytest.mark.browser
#: of two letters: plans of other files have hashes of one
digests = (f"{letter}0" for letter in "123456789abcdef")
RUN = re.compile(r"/runs/[0-9A-Z]{26}/$")


@pytest.fixture
def planned(site: Site) -> dict[str, Any]:
    """A plan of its own that can be run."""
    found: dict[str, Any] = site.pull("plan", next(digests))
    return found


def loads(page: Page) -> list[str]:
    """Documents loaded from now on: a page that is put in another's place is none."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url) if request.is_navigation_request() else None)
    return found


def opened(visitor: Visitor, planned: dict[str, Any], name: str = "operator") -> Page:
    page = visitor.sign_in(name)
    page.goto(f"/plans/{planned['plan']}/")
    live(page)
    return page


def run_button(page: Page) -> Any:
    return page.get_by_role("button", name="Run this plan")


def test_the_runs_page_comes_without_a_load_and_lives(visitor: Visitor, site: Site, planned: dict[str, Any]) -> None:
    page = opened(visitor, planned)
    page.evaluate("scrollTo(0, 500)")
    loaded = loads(page)
    run_button(page).click()
    page.wait_for_url(RUN)
    expect(page).to_have_title(re.compile("^Queued .*Run"))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    live(page)
    expect(page.locator("#pill")).to_have_text(re.compile("^Live"))
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.evaluate("scrollY") == 0
    expect(page.locator('nav a[aria-current="page"]')).to_contain_text("Runs")
    run = page.url.rstrip("/").rsplit("/", 1)[1]
    last = site.pull("log", run, 40)
    expect(page.locator(f"#L{last}")).to_be_in_viewport()
    page.locator("#log-box").evaluate("box => { box.scrollTop = 0; }")
    expect(page.get_by_role("button", name="Follow", exact=True)).to_have_attribute("aria-pressed", "false")
    assert loaded == []
    page.go_back()
    page.wait_for_url(f"**/plans/{planned['plan']}/")
    expect(page.get_by_role("region", name="Changes")).to_be_visible()
    live(page)
    page.go_forward()
    page.wait_for_url(RUN)
    expect(page.locator(f"#L{last}")).to_be_attached()
    site.pull("ended", run)
    assert visitor.complaints == []


def test_two_clicks_at_once_are_one_run(visitor: Visitor, site: Site, planned: dict[str, Any]) -> None:
    page = opened(visitor, planned)
    run_button(page).dblclick()
    page.wait_for_url(RUN)
    assert site.pull("runs_of", planned["plan"]) == 1
    site.pull("ended", page.url.rstrip("/").rsplit("/", 1)[1])
    assert visitor.complaints == []


def test_a_refusal_is_read_on_the_plans_own_page(visitor: Visitor, site: Site, planned: dict[str, Any]) -> None:
    page = opened(visitor, planned)
    site.pull("unmet", planned["plan"])
    loaded = loads(page)
    run_button(page).click()
    expect(page.locator("#refusal")).to_contain_text("Not done.")
    assert page.url.endswith(f"/plans/{planned['plan']}/")
    expect(page.locator("#toast")).to_be_empty()
    live(page)
    assert loaded == []
    assert site.pull("runs_of", planned["plan"]) == 0


def test_no_answer_is_said_and_the_same_button_counts_once(
    visitor: Visitor, site: Site, planned: dict[str, Any]
) -> None:
    page = opened(visitor, planned)

    def taken_and_lost(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/plans/*/run/", taken_and_lost, times=1)
    run_button(page).click()
    expect(page.locator("#toast")).to_contain_text("Press again: it counts only once.")
    assert site.pull("runs_of", planned["plan"]) == 1
    run_button(page).click()
    page.wait_for_url(RUN)
    assert site.pull("runs_of", planned["plan"]) == 1
    site.pull("ended", page.url.rstrip("/").rsplit("/", 1)[1])


@pytest.mark.parametrize(("deed", "sentence"), [("sign_out", "Signed out."), ("demote", "This needs role operator.")])
def test_who_may_no_longer_is_told_so(
    visitor: Visitor, site: Site, planned: dict[str, Any], deed: str, sentence: str
) -> None:
    page = opened(visitor, planned)
    button = run_button(page)
    page.route("**/live/**", lambda route: route.abort())
    site.pull(deed, "operator")
    try:
        button.evaluate("node => { node.disabled = false; node.click(); }")
        expect(page.locator("#toast")).to_have_text(sentence)
        assert site.pull("runs_of", planned["plan"]) == 0
    finally:
        site.pull("promote", "operator")
