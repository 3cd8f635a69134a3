"""E17, the disk full: SQLite has no page left at a click. (``max_page_count`` makes SQLite say just what it says on a
full disk; no mount is needed, and no other test loses its disk.)"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from common.models import AuditEvent, broken_links
from deployments.models import Lock, Run
from deployments.states import RunState
from tests.deployments.conftest import OPERATOR, person
from tests.faults.memory import World

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'sqlite'", reason="SQLite's own limit"),
]


@pytest.fixture
def world(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("deployments.engine.advance.SHORT_WAITS", 0.0)
    return World(person("olivia", *OPERATOR))


def fill() -> None:
    """No page is left, free ones neither."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS filler (content BLOB)")
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {pages}")
        for size in (20_000, 3_000):
            with pytest.raises(OperationalError, match="full"):
                while True:
                    cursor.execute("INSERT INTO filler VALUES (zeroblob(%s))", [size])


def free() -> None:
    """Somebody made room."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 1000000")
        cursor.execute("DROP TABLE IF EXISTS filler")


@contextmanager
def full() -> Iterator[None]:
    fill()
    try:
        yield
    finally:
        free()


def test_a_click_on_a_full_disk_is_refused_whole_and_counts_once_later(world: World) -> None:
    plan = world.plan()
    audited = AuditEvent.objects.count()
    with full(), pytest.raises(OperationalError, match="full"):
        for number in range(200):  # what fits into half-filled pages is accepted, and then must be there
            world.click(plan, "click" if number == 0 else f"again-{number}")
            Run.objects.all().delete()
            world.clicks.clear()
    assert not Run.objects.exists() and not Lock.objects.exists()
    assert AuditEvent.objects.count() >= audited and broken_links() == []
    world.clicks.clear()
    run = world.click(plan, "later")
    assert world.work(run).state == RunState.SUCCEEDED, run.sentence
    assert world.verdict() == []
