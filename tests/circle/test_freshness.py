"""Green is never old: unchanged objects stay verified while their source lives, and turn stale by the clock alone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.circle.people import People, Watcher
from tests.circle.stack import Stack, eventually

pytestmark = [pytest.mark.browser, pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]

FOUNDATION = "/phases/1-foundation/"
#: items of phase 1 that rest on watches alone, so that nothing but the source's signs of life keeps them green
WATCHED = ("cluster-nodes", "default-storage-class", "argocd-running", "load-balancer", "app-of-apps")
#: a watch without traffic is asked for a sign of life every 10 s, which is written down within 4 s
LIMIT = 25
#: how late an open page may be after the limit
LATE = 8
#: what a dead observer last wrote is made this much older, to save the time
EARLIER = 45
_AS_IF_EARLIER = f"""
from datetime import datetime, timedelta
from django.db.models import F
from monitoring.models import Evidence, Source
earlier = timedelta(seconds={EARLIER})
Evidence.objects.update(observed_at=F("observed_at") - earlier)
for source in Source.objects.exclude(confirmed_at=None):
    source.confirmed_at -= earlier
    source.watches = {{key: (datetime.fromisoformat(at) - earlier).isoformat() for key, at in source.watches.items()}}
    source.save()
"""


@pytest.fixture
def short_limit(stack: Stack) -> Iterator[None]:
    """Evidence is good for LIMIT seconds instead of a minute."""
    _limit(stack, LIMIT)
    yield
    _limit(stack, 60)


def _limit(stack: Stack, seconds: int) -> None:
    code = f"from monitoring.models import Check; Check.objects.update(limit_seconds={seconds})"
    stack.manage("shell", "-v", "0", "-c", code)


def _rows(watched: Watcher, stack: Stack) -> list[str]:
    """The words of the watched items on the page, read in one moment."""
    ids = [f"item-{stack.item(key)}" for key in WATCHED]
    words = watched.page.evaluate("ids => ids.map(id => document.getElementById(id).dataset.state)", ids)
    return [str(word) for word in words]


def _all(watched: Watcher, stack: Stack, word: str, seconds: float) -> None:
    eventually(lambda: set(_rows(watched, stack)) == {word}, seconds, f"all are {word}, not {_rows(watched, stack)}")


def _evaluated(stack: Stack) -> dict[int, str]:
    """When each check of the watched items was last judged."""
    marks = ",".join("?" * len(WATCHED))
    query = (
        "SELECT e.check_ref_id AS pk, e.evaluated_at AS at FROM monitoring_evidence e"
        " JOIN checklists_itemcheck c ON c.check_ref_id = e.check_ref_id JOIN checklists_item i ON i.id = c.item_id"
        f" WHERE i.key IN ({marks}) AND e.watched"
    )
    return {int(row["pk"]): str(row["at"]) for row in stack.rows(query, *WATCHED)}


def test_unchanged_objects_stay_verified_past_their_limit(stack: Stack, people: People, short_limit: None) -> None:
    watched = people.watcher("viewer", FOUNDATION)
    _all(watched, stack, "verified", 20)
    before = _evaluated(stack)
    seen: set[str] = set()
    end = time.monotonic() + LIMIT + LATE
    while time.monotonic() < end:
        seen.update(_rows(watched, stack))
        time.sleep(0.5)
    assert seen == {"verified"}
    after = _evaluated(stack)
    assert any(after[pk] == at for pk, at in before.items())  # some were not judged anew: their source's life sufficed
    assert watched.never_loaded_again(), watched.loads


def test_a_silent_api_server_turns_open_pages_stale_and_they_come_back(
    stack: Stack, people: People, short_limit: None
) -> None:
    watched = people.watcher("viewer", FOUNDATION)
    board = people.watcher("viewer", "/")
    _all(watched, stack, "verified", 20)
    for target in ("watch", "api"):
        stack.lab("POST", "/lab/faults", {"action": "silence", "target": target})
    try:
        _all(watched, stack, "stale", LIMIT + 10 + LATE)
        source = board.page.locator("#source-kubernetes")
        expect(source).to_have_attribute("data-state", "unknown")
        expect(source).to_contain_text("last answer")
        connection = people.tab("viewer", "/settings/").locator("#connection-kubernetes")
        expect(connection).to_contain_text("does not answer")
        row = watched.page.locator(f"#item-{stack.item('cluster-nodes')}")
        expect(row).to_contain_text("has not confirmed this since")
        assert watched.page.locator('tr.item[data-state="verified"]').count() == 0
        expect(board.page.locator("#headline")).not_to_contain_text("All")
    finally:
        stack.lab("DELETE", "/lab/faults")
    _all(watched, stack, "verified", 45)
    expect(board.page.locator("#source-kubernetes")).to_have_attribute("data-state", "verified")
    for each in (watched, board):
        assert each.never_loaded_again(), each.loads


def test_a_page_turns_stale_with_no_message_from_anyone(stack: Stack, people: People) -> None:
    watched = people.watcher("viewer", FOUNDATION)
    _all(watched, stack, "verified", 20)
    with stack.nobody_restarts():
        stack.kill("observer")
        stack.manage("shell", "-v", "0", "-c", _AS_IF_EARLIER)
        _all(watched, stack, "verified", 5)
        _all(watched, stack, "stale", 60 - EARLIER + LATE)
    _all(watched, stack, "verified", 45)
    assert watched.never_loaded_again(), watched.loads
