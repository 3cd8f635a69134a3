"""Each page as a person meets it: clean console, no scroll sideways, axe's rules, keys, and without JavaScript."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Response, expect

from tests.browser.conftest import Site, Visitor

pytestmark = pytest.mark.browser
PAGES = ["/", "/phases/", "/phases/2-platform-services/", "/items/{item}/", "/status/", "/actions/", "/plans/{plan}/",
         "/runs/", "/runs/{run}/", "/reports/", "/reports/import/", "/audit/", "/settings/", "/gallery/",
         "/search?q=grafana", "/nothing/"]  # fmt: skip


def addresses(site: Site) -> list[str]:
    item = site.pull("item", "grafana-deployed")
    return [page.format(item=item, **site.seeded) for page in PAGES]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(theme: Any, visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in("admin", color_scheme=theme)
    found = []
    for address in [*addresses(site), "/accounts/sign-in/"]:
        if "sign-in" in address:
            page.context.clear_cookies()
        page.goto(address)
        violations = Axe().run(page).response["violations"]
        found += [
            (address, v["id"], v["nodes"][0]["html"][:160], v["nodes"][0]["failureSummary"][:200])
            for v in violations
            if v["impact"] in ("serious", "critical")
        ]
    assert found == []


def test_no_page_breaks_the_policy_or_complains(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in("admin")
    for address in addresses(site):
        page.goto(address)
        page.wait_for_timeout(60)
    assert [text for text in visitor.complaints if "404" not in text] == []


@pytest.mark.parametrize("width", [320, 360, 768, 1024])
def test_no_page_scrolls_sideways(width: int, visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in("admin", viewport={"width": width, "height": 740})
    for address in addresses(site):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address


def test_a_long_button_wraps_on_a_phone(visitor: Visitor, site: Site) -> None:
    item = site.pull("turn", "alert-channels", "failing")
    page = visitor.sign_in("operator", viewport={"width": 320, "height": 740})
    page.goto(f"/items/{item}/")
    expect(page.locator("a.btn.primary")).to_contain_text("fill in and plan")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    site.pull("turn", "alert-channels", "verified")


def test_a_phone_reaches_menu_plan_and_cancel(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in("operator", viewport={"width": 360, "height": 740}, has_touch=True)
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Status").click()
    expect(page).to_have_url(f"{site.base}/status/")
    page.goto(f"/runs/{site.seeded['run']}/")
    cancel = page.get_by_role("button", name="Cancel run")
    expect(cancel).to_be_visible()
    box = cancel.bounding_box()
    assert box is not None
    assert box["height"] >= 44
    page.goto(f"/plans/{site.seeded['plan']}/")
    expect(page.locator(".sticky button, .sticky a").last).to_be_in_viewport()


def test_the_first_load_is_small(visitor: Visitor) -> None:
    page = visitor.sign_in().context.new_page()
    answers: list[Response] = []
    page.on("response", lambda answer: answers.insert(0, answer))
    page.goto("/")
    expect(page.locator("#pill")).to_have_text("Live")
    sizes = {a.url: len(gzip.compress(a.body(), 6)) for a in answers if "/live/" not in a.url}
    assert len(answers) <= 8, list(sizes)
    assert sum(sizes.values()) <= 80_000, sizes


def test_keys_lead_to_search_pages_rows_and_help(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in()
    expect(page.locator("#pill")).to_have_text("Live")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("v?g o")
    expect(page.locator("#q")).to_have_value("v?g o")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("p")
    expect(page).to_have_url(f"{site.base}/phases/")
    page.goto("/phases/2-platform-services/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('[data-row]') !== null")
    page.keyboard.press("Enter")
    page.wait_for_url("**/items/*/")
    page.keyboard.press("?")
    expect(page.locator("#keys-help")).to_contain_text("Verify now")
    page.keyboard.press("Escape")
    expect(page.locator("#keys-help")).to_be_hidden()


def test_v_asks_for_a_reading_and_says_checking(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in()
    page.goto(f"/items/{site.pull('item', 'grafana-datasources')}/")
    expect(page.locator("#pill")).to_have_text("Live")
    page.keyboard.press("v")
    expect(page.get_by_text("Checking", exact=True)).to_be_visible()


def test_single_keys_can_be_turned_off(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in("viewer")
    page.locator("details.user summary").click()
    page.get_by_role("button", name="Off").click()
    page.keyboard.press("/")
    expect(page.locator("#q")).not_to_be_focused()


def test_the_chosen_theme_wins_over_the_systems(visitor: Visitor) -> None:
    page = visitor.sign_in("viewer", color_scheme="light")
    assert background(page) == "rgb(255, 255, 255)"
    page.locator("details.user summary").click()
    page.get_by_role("button", name="Dark").click()
    assert background(page) == "rgb(15, 20, 25)"


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_motion_stops_for_who_asks(visitor: Visitor) -> None:
    page = visitor.sign_in("viewer", reduced_motion="reduce")
    page.goto("/gallery/")
    assert page.evaluate("getComputedStyle(document.querySelector('.spin')).animationName") == "none"


def test_everything_works_without_javascript(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in("operator", java_script_enabled=False)
    expect(page.locator("#pill")).to_have_text("Not live")
    item = site.pull("turn", "grafana-deployed", "failing")
    page.goto(f"/items/{item}/")
    page.get_by_role("button", name="Verify now").click()
    expect(page).to_have_url(f"{site.base}/items/{item}/")
    page.get_by_role("button", name="review plan").first.click()
    page.wait_for_url("**/plans/requests/*/")
    expect(page.locator("noscript")).to_be_attached()
    page.goto("/phases/2-platform-services/?show=open")
    expect(page.locator("table.items")).to_be_visible()


def test_the_filter_narrows_the_list_as_one_types(visitor: Visitor) -> None:
    page = visitor.sign_in()
    page.goto("/phases/2-platform-services/")
    before = page.locator("[data-row]:visible").count()
    page.fill("#filter", "grafana deploy")
    expect(page.locator("[data-row]:visible").first).to_contain_text("Grafana deploy")
    shown = page.locator("[data-row]:visible").all_inner_texts()
    assert 0 < len(shown) < before
    assert all("grafana deploy" in text.lower() for text in shown)


def test_copy_puts_the_command_on_the_clipboard(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"/items/{site.pull('item', 'grafana-deployed')}/")
    page.locator("[data-copy]").first.click()
    expect(page.locator("#announcer")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("kubectl ")


def test_printing_leaves_the_frame_away(visitor: Visitor) -> None:
    page = visitor.sign_in("viewer")
    page.emulate_media(media="print")
    expect(page.locator("header.top")).to_be_hidden()
    expect(page.locator("h1")).to_be_visible()
