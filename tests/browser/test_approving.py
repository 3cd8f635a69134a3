"""Two people at two browsers: one asks, the other decides; neither reloads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import Site, Visitor, live

pytestmark = pytest.mark.browser
#: every request is for a plan of its own
digests = itertools.chain("123456789abcdef", "ghijklmnopqrstuvwxyz")


@pytest.fixture
def asked(site: Site) -> Iterator[dict[str, Any]]:
    """A run that waits; it is gone afterwards."""
    found: dict[str, Any] = site.pull("ask", next(digests))
    yield found
    site.pull("ended", found["run"])


def test_a_request_appears_and_a_yes_reaches_who_asked_without_a_reload(visitor: Visitor, site: Site) -> None:
    approver, admin = visitor.sign_in("approver"), visitor.sign_in("admin")
    approver.goto("/approvals/")
    live(approver)
    expect(approver.locator("#approvals-list")).to_contain_text("Nothing waits for a second person")
    asked = site.pull("ask", next(digests))
    row = approver.locator(f"#request-{asked['run']}")
    expect(row).to_contain_text("admin asked")
    expect(row).to_contain_text("replicas: 2")
    expect(approver.locator("#nav-approvals")).to_contain_text("1")
    admin.goto(f"/runs/{asked['run']}/")
    live(admin)
    expect(admin.locator("form.decide")).to_contain_text("somebody else must decide")
    row.get_by_label("Reason").fill("I have read it")
    row.get_by_role("button", name="Approve").click()
    approver.wait_for_url("**/approvals/")
    expect(approver.locator("main")).to_contain_text(f"You approved run {asked['number']}: it is queued.")
    expect(admin.locator("h1 + .chip")).to_have_text("Queued")
    expect(admin.locator(f"#approval-{asked['run']}")).to_contain_text("I have read it")
    expect(admin.locator("form.decide")).to_be_hidden()
    expect(approver.locator("#nav-approvals")).to_be_empty()
    site.pull("ended", asked["run"])
    assert visitor.complaints == []


def test_what_is_being_typed_survives_what_others_do(visitor: Visitor, site: Site, asked: dict[str, Any]) -> None:
    page = visitor.sign_in("approver")
    page.goto("/approvals/")
    live(page)
    field = page.locator(f"#reason-{asked['run']}")
    field.fill("Half a sent")
    other = site.pull("ask", next(digests))
    expect(page.locator(f"#request-{other['run']}")).to_be_visible()
    expect(field).to_have_value("Half a sent")
    expect(field).to_be_focused()
    site.pull("decide", other["run"], "approver", "deny")
    expect(page.locator(f"#request-{other['run']}")).to_have_count(0)
    expect(field).to_have_value("Half a sent")


def test_the_keyboard_alone_reads_and_denies(visitor: Visitor, asked: dict[str, Any]) -> None:
    page = visitor.sign_in("approver")
    page.keyboard.press("g")
    page.keyboard.press("v")
    page.wait_for_url("**/approvals/")
    page.keyboard.press("j")
    expect(page.locator(f"#request-{asked['run']} h2 a")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/plans/{asked['plan']}/")
    page.locator("#reason").focus()
    page.keyboard.type("Not before the exam")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Deny")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/runs/{asked['run']}/")
    expect(page.locator("h1 + .chip")).to_have_text("Refused")
    expect(page.locator("main")).to_contain_text("Denied by approver: Not before the exam")


def test_enter_in_the_reason_approves_and_the_browser_asks_for_one(visitor: Visitor, asked: dict[str, Any]) -> None:
    page = visitor.sign_in("approver")
    page.goto(f"/runs/{asked['run']}/")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#reason")).to_be_focused()
    assert page.url.endswith(f"/runs/{asked['run']}/")
    page.locator("#reason").fill("I have read it")
    page.keyboard.press("Enter")
    expect(page.locator("h1 + .chip")).to_have_text("Queued")


def test_the_stop_switch_is_seen_on_open_pages_at_once(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in("viewer")
    page.goto("/phases/")
    live(page)
    site.pull("stop", "Storage is being moved")
    expect(page.locator("#holds")).to_contain_text("Storage is being moved")
    site.pull("allow")
    expect(page.locator("#holds")).to_be_hidden()


def test_an_admin_stops_and_allows_by_the_page(visitor: Visitor) -> None:
    page = visitor.sign_in("admin")
    page.goto("/policy/")
    page.get_by_label("Reason, for everybody").fill("Storage is being moved")
    page.get_by_role("button", name="Stop all writes").click()
    expect(page.locator("h1")).to_have_text("All writes are stopped")
    page.get_by_role("button", name="Allow writes").click()
    expect(page.locator("h1")).to_have_text("Writes are allowed")


def test_glass_is_broken_and_reviewed_by_another(visitor: Visitor, site: Site) -> None:
    asked = site.pull("ask", next(digests))
    admin, approver, viewer = (visitor.sign_in(name) for name in ("admin", "approver", "viewer"))
    viewer.goto("/status/")
    live(viewer)
    admin.goto(f"/runs/{asked['run']}/")
    admin.get_by_role("link", name="Break the glass").click()
    admin.get_by_label("What is so urgent").fill("The exam begins in ten minutes")
    admin.get_by_label("Type kube-prometheus-stack").fill("kube-prometheus-stack")
    admin.get_by_label("Your password, once more").fill("admin-demo")
    admin.get_by_role("button", name="Break the glass and run").click()
    admin.wait_for_url(f"**/runs/{asked['run']}/")
    expect(admin.locator("h1 + .chip")).to_have_text("Queued")
    expect(viewer.locator("#holds")).to_contain_text("Broken glass, not reviewed.")
    site.pull("ended", asked["run"])
    approver.goto(f"/runs/{asked['run']}/review/")
    approver.get_by_label("I have read the diff").check()
    approver.get_by_label("I have read the log").check()
    approver.get_by_label("What you found").fill("As described")
    approver.get_by_role("button", name="Close the review").click()
    approver.wait_for_url("**/approvals/")
    expect(viewer.locator("#holds")).to_be_hidden()


@pytest.fixture(scope="module")
def addresses(site: Site) -> Iterator[list[str]]:
    """A page of each kind, with something on it."""
    waits, broken = site.pull("ask", next(digests)), site.pull("ask", next(digests))
    other = site.pull("ask", next(digests))
    site.pull("decide", other["run"], "approver", "deny")
    site.pull("smash", broken["run"])
    site.pull("ended", broken["run"])
    site.pull("stop", "Storage is being moved")
    yield [
        "/approvals/",
        "/policy/",
        f"/runs/{waits['run']}/",
        f"/plans/{waits['plan']}/",
        f"/plans/{other['plan']}/",
        f"/plans/{other['plan']}/break-glass/",
        f"/runs/{broken['run']}/review/",
    ]
    # the portal is everybody's: no banner may be left over other tests' pages
    site.pull("allow")
    site.pull("reviewed", broken["run"])
    site.pull("ended", waits["run"])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["admin", "approver"])
def test_axe_finds_nothing_serious(theme: Any, name: str, visitor: Visitor, addresses: list[str]) -> None:
    page = visitor.sign_in(name, color_scheme=theme)
    found = []
    for address in addresses:
        page.goto(address)
        found += [
            (address, v["id"], v["nodes"][0]["html"][:160], v["nodes"][0]["failureSummary"][:200])
            for v in Axe().run(page).response["violations"]
            if v["impact"] in ("serious", "critical")
        ]
    assert found == []


@pytest.mark.parametrize("width", [320, 360, 768, 1024])
def test_no_page_scrolls_sideways(width: int, visitor: Visitor, addresses: list[str]) -> None:
    for name in ("admin", "approver"):
        page = visitor.sign_in(name, viewport={"width": width, "height": 740})
        for address in addresses:
            page.goto(address)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
    assert [text for text in visitor.complaints if "403" not in text] == []
