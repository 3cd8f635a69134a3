"""The page hears of changes: each trap of htmx 4 that a later version could bring back has its test here."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Request, expect

from tests.browser.conftest import Site, Visitor, live

pytestmark = pytest.mark.browser
PHASE = "/phases/2-platform-services/"


def test_the_stream_connects_on_each_first_load_and_only_once(visitor: Visitor) -> None:
    page = visitor.sign_in()
    live(page)
    for _ in range(10):
        streams: list[str] = []

        def seen(request: Request, into: list[str] = streams) -> None:
            if "/live/" in request.url:
                into.append(request.url)

        page.on("request", seen)
        page.goto(PHASE)
        live(page)
        page.wait_for_timeout(150)
        page.remove_listener("request", seen)
        assert len(streams) == 1
    assert visitor.complaints == []


def test_a_change_is_painted_everywhere_without_a_reload_and_within_a_second(visitor: Visitor, site: Site) -> None:
    pk = site.pull("turn", "grafana-deployed", "failing")
    addresses = {"/": f"#hold-{pk}", PHASE: f"#item-{pk}", f"/items/{pk}/": f"#item-head-{pk}"}
    pages = []
    for address in addresses:
        page = visitor.sign_in()
        page.goto(address)
        live(page)
        pages.append(page)
    expect(pages[0].locator(f"#hold-{pk}")).to_be_visible()
    began = time.monotonic()
    site.pull("turn", "grafana-deployed", "verified")
    expect(pages[1].locator(f"#item-{pk}")).to_have_attribute("data-state", "verified")
    expect(pages[2].locator(f"#item-head-{pk} .chip").first).to_have_text("Verified")
    expect(pages[0].locator(f"#hold-{pk}")).to_have_count(0)
    assert time.monotonic() - began < 3
    site.pull("turn", "grafana-deployed", "failing")
    expect(pages[0].locator(f"#hold-{pk} .chip")).to_have_text("Failing")


def test_a_row_moves_to_its_group_but_not_under_the_pointer(visitor: Visitor, site: Site) -> None:
    pk = site.pull("turn", "grafana-deployed", "failing")
    page = visitor.sign_in()
    page.goto(PHASE)
    live(page)
    row = page.locator(f"#item-{pk}")
    row.hover()
    site.pull("turn", "grafana-deployed", "verified")
    expect(row).to_have_attribute("data-state", "verified")
    expect(page.locator(f'tbody[data-group="failing"] #item-{pk}')).to_have_count(1)
    page.mouse.move(5, 5)
    expect(page.locator(f'tbody[data-group="verified"] #item-{pk}')).to_have_count(1)
    rows = page.locator('tbody[data-group="verified"] [data-row]').count()
    expect(page.locator('tbody[data-group="verified"] [data-count]')).to_have_text(str(rows))
    site.pull("turn", "grafana-deployed", "failing")


def test_changes_are_announced_once_and_in_words(visitor: Visitor, site: Site) -> None:
    pk = site.pull("turn", "grafana-deployed", "failing")
    page = visitor.sign_in()
    page.goto(f"/items/{pk}/")
    live(page)
    site.pull("turn", "grafana-deployed", "verified")
    expect(page.locator("#announcer")).to_have_text("Resolve Grafana deployment is verified")
    site.pull("turn", "grafana-deployed", "failing")


def test_the_csrf_token_is_inherited_by_every_htmx_request(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in()
    page.goto(PHASE)
    status = page.evaluate(
        """async (url) => {
          const b = document.createElement('button');
          b.setAttribute('hx-post', url); b.setAttribute('hx-swap', 'none');
          document.querySelector('#main').append(b); htmx.process(b);
          const done = new Promise((ok) => b.addEventListener(
            'htmx:after:request', (e) => ok(e.detail.ctx.response.raw.status)));
          b.click(); return await done; }""",
        f"/items/{site.pull('item', 'grafana-deployed')}/verify/",
    )
    assert status == 204


@pytest.mark.parametrize("address", ["/items/999999/", "/audit/"])
def test_an_error_answer_is_not_swapped_into_the_page(address: str, visitor: Visitor) -> None:
    page = visitor.sign_in()
    page.goto(PHASE)
    title = page.title()
    page.evaluate("(url) => htmx.ajax('GET', url, {target: '#main', swap: 'innerHTML'})", address)
    page.wait_for_timeout(400)
    assert page.title() == title
    expect(page.locator("h1")).to_have_text("Phase 2: Platform Services")


def test_what_a_person_opened_stays_open_through_a_morph(visitor: Visitor) -> None:
    page = visitor.sign_in()
    page.goto("/gallery/")
    held = page.evaluate(
        """async () => {
          const main = document.querySelector('#main');
          const box = document.createElement('div'); box.id = 'box';
          const html = (n) =>
            `<details id="d"><summary>s</summary>${n}</details><dialog id="g">${n}</dialog><input id="t">`;
          box.append(document.createRange().createContextualFragment(html(1))); main.append(box);
          d.open = true; g.showModal(); t.value = 'typed';
          const text = `<div id="box">${html(2)}</div>`;
          await htmx.swap({target: box, text, swap: 'outerMorph', sourceElement: box});
          return [d.open, g.open, t.value, d.textContent]; }"""
    )
    assert held == [True, True, "typed", "s2"]


def test_named_events_are_events_and_never_swapped(visitor: Visitor) -> None:
    page = visitor.sign_in()
    page.goto(PHASE)
    live(page)
    assert page.locator("#live").inner_html() == ""


def test_a_session_that_ends_says_so_and_turns_writing_off(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in("approver")
    page.goto(f"/items/{site.pull('item', 'grafana-deployed')}/")
    live(page)
    site.pull("sign_out", "approver")
    expect(page.locator("#pill")).to_have_text("Signed out", timeout=8000)
    expect(page.locator("#offline")).to_be_visible()
    expect(page.locator("button[data-write]").first).to_be_disabled()


def test_a_silent_stream_turns_stale_after_40_s_with_buttons_off_and_comes_back(visitor: Visitor, site: Site) -> None:
    pk = site.pull("turn", "grafana-deployed", "failing")
    page = visitor.sign_in()
    page.clock.install()
    page.goto(f"/items/{pk}/")
    live(page)
    page.clock.fast_forward(39_000)
    assert page.locator("#pill").get_attribute("data-link") == "live"
    page.clock.fast_forward(3_000)
    expect(page.locator("#pill")).to_have_text(re.compile(r"Stale since \d\d:\d\d:\d\d"))
    expect(page.locator("#offline")).to_contain_text("Buttons that change the cluster are off")
    expect(page.locator("button[data-write]").first).to_be_disabled()
    site.pull("turn", "grafana-deployed", "verified")
    expect(page.locator("#pill")).to_have_text("Live")
    expect(page.locator("#offline")).to_be_hidden()
    expect(page.locator("button[data-write]").first).to_be_enabled()
    site.pull("turn", "grafana-deployed", "failing")


def test_ages_count_up_by_themselves(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in()
    page.clock.install()
    page.goto(f"/items/{site.pull('item', 'grafana-deployed')}/")
    age = page.locator('[data-age="ago"][data-observed-at]').first
    before = age.inner_text()
    page.clock.fast_forward(61_000)
    page.clock.run_for(1100)
    assert age.inner_text() != before


def test_a_killed_web_process_shows_reconnecting_and_heals_without_a_reload(visitor: Visitor, site: Site) -> None:
    pk = site.pull("turn", "grafana-deployed", "failing")
    page = visitor.sign_in()
    page.goto(PHASE)
    live(page)
    site.kill()
    expect(page.locator("#pill")).to_have_text(re.compile(r"Reconnecting \(\d+\)"))
    site.pull("turn", "grafana-deployed", "verified")
    site.start()
    expect(page.locator("#pill")).to_have_text("Live", timeout=15_000)
    expect(page.locator(f"#item-{pk}")).to_have_attribute("data-state", "verified")
    site.pull("turn", "grafana-deployed", "failing")


def test_log_lines_arrive_followed_until_the_reader_scrolls_up(visitor: Visitor, site: Site) -> None:
    run = site.seeded["run"]
    page = visitor.sign_in()
    page.goto(f"/runs/{run}/")
    live(page)
    last = site.pull("log", run, 30)
    expect(page.locator(f"#L{last}")).to_be_in_viewport()
    assert page.locator(".ll").count() == last
    page.locator("#log-box").evaluate("box => box.scrollTop = 0")
    expect(page.locator("[data-follow]")).to_have_attribute("aria-pressed", "false")
    last = site.pull("log", run, 5)
    expect(page.locator(f"#L{last}")).to_have_count(1)
    assert page.locator("#log-box").evaluate("box => box.scrollTop") == 0
    page.keyboard.press("l")
    expect(page.locator(f"#L{last}")).to_be_in_viewport()


def test_the_log_is_followed_also_where_its_box_has_shrunk(visitor: Visitor, site: Site) -> None:
    """The box is as high as the steps beside it: a run that ends changes both, and nobody scrolled."""
    run = site.seeded["run"]
    page = visitor.sign_in()
    page.goto(f"/runs/{run}/")
    live(page)
    last = site.pull("log", run, 40)
    expect(page.locator(f"#L{last}")).to_be_in_viewport()
    page.locator("#log-box").evaluate("box => { box.style.minHeight = box.style.maxHeight = '120px'; }")
    last = site.pull("log", run, 1)
    expect(page.locator(f"#L{last}")).to_be_in_viewport()
    expect(page.locator("[data-follow]")).to_have_attribute("aria-pressed", "true")


def test_more_lines_than_one_message_carries_are_fetched_without_a_gap(visitor: Visitor, site: Site) -> None:
    run = site.seeded["run"]
    page = visitor.sign_in()
    page.goto(f"/runs/{run}/")
    live(page)
    last = site.pull("log", run, 300)
    expect(page.locator(f"#L{last}")).to_have_count(1)
    numbers = page.locator(".ll .no").evaluate_all("lines => lines.map(line => Number(line.id.slice(1)))")
    assert numbers == list(range(1, last + 1))


def test_with_more_windows_than_connections_every_one_loads_and_hears_of_changes(visitor: Visitor, site: Site) -> None:
    """Chromium opens six connections to a host over HTTP/1.1; eight windows are visible at once here."""
    first = visitor.sign_in()
    pages = [first, *(first.context.new_page() for _ in range(7))]
    for page in pages:
        page.goto(PHASE, timeout=10_000)
    for page in pages:
        live(page)
    pk = site.pull("turn", "grafana-deployed", "verified")
    for page in pages:
        expect(page.locator(f"#item-{pk}")).to_have_attribute("data-state", "verified", timeout=10_000)
        live(page)
    last = pages[-1]
    expect(last.locator("#pill")).to_have_text("Live, every 3 s")
    last.get_by_role("link", name="Status", exact=True).click()
    last.wait_for_url("**/status/", timeout=10_000)
    assert visitor.complaints == []


def test_a_permalink_opens_its_line_and_does_not_follow(visitor: Visitor, site: Site) -> None:
    page = visitor.sign_in()
    page.goto(f"/runs/{site.seeded['run']}/#L7")
    expect(page.locator("#L7")).to_be_in_viewport()
    expect(page.locator("[data-follow]")).to_have_attribute("aria-pressed", "false")
