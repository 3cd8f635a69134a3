"""The purpose of the product, by hand in a real browser: red, why, plan, run, log, and green by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.circle.conftest import started
from tests.circle.people import People
from tests.circle.stack import PHASE, Stack

pytestmark = [pytest.mark.browser, pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]

TITLE = "Resolve Grafana deployment"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A portal that nobody used before: with several processes, files of tests come in any order to a shared one."""
    yield from started(tmp_path_factory.mktemp("new-portal"))


def _open_failing_item(page: Page, item: int) -> None:
    """From the overview to the item, as a person would click."""
    expect(page.get_by_role("heading", level=1)).to_contain_text("Phase 2")
    held = page.locator(f"#hold-{item}")
    expect(held).to_have_attribute("data-state", "failing")
    held.get_by_role("link", name=TITLE, exact=True).click()
    expect(page.get_by_role("heading", level=1, name=TITLE)).to_be_visible()


def test_from_a_failing_item_to_a_verified_one_without_a_reload(stack: Stack, people: People) -> None:
    item = stack.item("grafana-deployed")
    board = people.watcher("operator", "/")
    phase = people.watcher("operator", PHASE)
    viewers = people.watcher("viewer", PHASE)
    for watched in (phase, viewers):
        expect(watched.page.locator(f"#item-{item}")).to_have_attribute("data-state", "failing")

    page = people.tab("operator")
    _open_failing_item(page, item)
    expect(page.locator(f"#item-head-{item} .chip").first).to_contain_text("Failing for")
    diagnosis = page.locator(f"#item-diagnosis-{item}")
    expect(diagnosis).to_contain_text("Argo CD gave up")
    expect(diagnosis).to_contain_text("does not try the same revision again")
    page.locator(f"#item-remedies-{item} .option.best").get_by_role("button", name="Review plan").click()

    _read_plan(page)
    plan_url = page.url
    page.get_by_role("button", name="Run this plan").click()
    page.wait_for_url(re.compile(r"/runs/[0-9A-Z]{26}/$"))
    run = page.url.rstrip("/").rsplit("/", 1)[1]
    expect(page.locator("#L1")).to_be_visible()
    _watch_run(page, stack, run)

    expect(phase.page.locator(f"#item-{item}")).to_have_attribute("data-state", "verified")
    expect(phase.page.locator(f'tbody[data-group="verified"] #item-{item}')).to_have_count(1)
    expect(viewers.page.locator(f"#item-{item}")).to_have_attribute("data-state", "verified")
    expect(board.page.locator(f"#hold-{item}")).to_have_count(0)
    for watched in (board, phase, viewers):
        assert watched.never_loaded_again(), watched.loads
    assert people.complaints == []
    _audited(stack, run, plan_url)


def _read_plan(page: Page) -> None:
    """The plan names what it writes, field by field, and what must hold."""
    page.wait_for_url(re.compile(r"/plans/[0-9a-f]{64}/"), timeout=20_000)
    changes = page.get_by_role("region", name="Changes")
    expect(changes).to_contain_text("kube-prometheus-stack")
    expect(changes).to_contain_text("argocd.argoproj.io/refresh")
    expect(changes).to_contain_text("prune")
    conditions = page.get_by_role("region", name="Preconditions")
    expect(conditions).to_contain_text("Grafana is enabled in the values")
    expect(conditions.get_by_text("Not met:")).to_have_count(0)
    expect(page.get_by_role("region", name="Verification")).to_be_visible()
    expect(page.get_by_role("region", name="Undo")).to_be_visible()


def _watch_run(page: Page, stack: Stack, run: str) -> None:
    """Steps go through running to done, the log has every line from the first, evidence turns, the run succeeds."""
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))
    steps = page.locator(f"#run-steps-{run} li.run-step")
    expect(steps.first).to_have_attribute("data-state", "done", timeout=30_000)
    expect(page.locator(f"#run-head-{run}")).not_to_have_attribute("data-state", "succeeded")
    expect(page.locator(f"#run-evidence-{run}")).to_contain_text("Before")
    expect(page.locator(f"#run-head-{run}")).to_have_attribute("data-state", "verifying", timeout=90_000)
    expect(page.locator(f"#run-head-{run}")).to_have_attribute("data-state", "succeeded", timeout=90_000)
    expect(page).to_have_title(re.compile(r"^Succeeded · Run \d+: .+ · Phaseboard$"))
    assert set(steps.evaluate_all("all => all.map(each => each.dataset.state)")) == {"done"}
    words = page.locator(f"#run-evidence-{run} tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('.was-now')].map(cell => cell.innerText.trim()))"
    )
    assert words and all(len(pair) == 2 and pair[0] != pair[1] for pair in words), words
    count = int(stack.run(run)["line_count"])
    expect(page.locator(f"#L{count}")).to_be_attached()
    numbers = page.locator("#log .ll .no").evaluate_all("lines => lines.map(line => Number(line.id.slice(1)))")
    assert numbers == list(range(1, count + 1))
    assert loads == []


def _audited(stack: Stack, run: str, plan_url: str) -> None:
    verbs = [row["verb"] for row in stack.rows("SELECT verb FROM common_auditevent ORDER BY seq")]
    digest = re.search(r"/plans/([0-9a-f]{64})/", plan_url)
    assert digest is not None
    assert stack.run(run)["plan_id"] == digest[1]
    for verb in ("sign", "plan", "run"):
        assert any(verb in each for each in verbs), (verb, verbs)


def test_a_viewer_reads_the_plan_and_is_told_which_role_runs_it(stack: Stack, people: People) -> None:
    plan = stack.rows("SELECT hash FROM deployments_plan")[0]["hash"]
    page = people.tab("viewer", f"/plans/{plan}/")
    expect(page.get_by_role("button", name="Run this plan")).to_be_disabled()
    expect(page.locator("#why-run")).to_have_text("Off: needs role operator.")
    page.goto(f"/items/{stack.item('alert-channels')}/")
    expect(page.get_by_role("button", name="Verify now")).to_be_disabled()
    expect(page.locator("#why-verify")).to_have_text("needs role operator")
