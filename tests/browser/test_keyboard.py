"""What a person without a mouse meets, and what a tab says while its page is live."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, Visitor

pytestmark = pytest.mark.browser
STOPS = '#log a.no:not([tabindex="-1"])'


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id"))


def test_a_log_is_one_tab_stop_and_arrows_lead_from_line_to_line(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in()
    page.goto(f"/runs/{site.seeded['run']}/")
    expect(page.locator("#pill")).to_have_text("Live")
    last = int(page.locator("#log-box").get_attribute("data-last") or 0)
    expect(page.locator(STOPS)).to_have_count(1)
    steps = page.locator("#log summary").count()
    page.locator("#log-box").focus()
    for _ in range(steps + 1):
        page.keyboard.press("Tab")
    assert focused(page) == f"L{last}"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    assert focused(page) == f"L{last - 1}"
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"#L{last - 1}$"))
    assert focused(page) == f"L{last - 1}"
    site.pull("log", site.seeded["run"], 3)
    expect(page.locator(f"#L{last + 3}")).to_be_attached()
    expect(page.locator(STOPS)).to_have_count(1)
    expect(page.locator(f"#L{last + 3}")).not_to_have_attribute("tabindex", "-1")
    assert focused(page) == f"L{last - 1}"


def test_a_line_has_an_address_by_click_and_by_link(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in()
    page.goto(f"/runs/{site.seeded['run']}/#L5")
    expect(page.locator("#L5")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Follow", exact=True)).to_have_attribute("aria-pressed", "false")
    page.locator("#L7").click()
    expect(page).to_have_url(re.compile("#L7$"))


def test_arrows_work_where_single_keys_are_off(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in("viewer")
    page.locator("details.user summary").click()
    page.get_by_role("button", name="Off").click()
    page.goto(f"/runs/{site.seeded['run']}/")
    page.locator(STOPS).focus()
    page.keyboard.press("ArrowUp")
    line = focused(page)
    page.keyboard.press("k")
    assert line and focused(page) == line


def test_the_title_turns_with_the_state(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in()
    item = site.pull("turn", "grafana-address", "verified")
    page.goto(f"/items/{item}/")
    expect(page.locator("#pill")).to_have_text("Live")
    expect(page).to_have_title(re.compile("^Verified · .+ · Phaseboard$"))
    name = page.title().split(" · ", 1)[1]
    site.pull("turn", "grafana-address", "failing")
    expect(page).to_have_title(f"Failing · {name}")
    site.pull("turn", "grafana-address", "verified")
    expect(page).to_have_title(f"Verified · {name}")


def test_a_skip_link_comes_first_and_leads_to_the_page(visitor: Visitor) -> None:
    page = visitor.sign_in()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
