"""Why an item is not proven is found out beside the observer and read by its page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from common.clock import now
from monitoring.snapshot import Snapshot
from monitoring.verdict import Finding
from portal.accounts.roles import Role
from portal.checklists import diagnosing
from portal.checklists.models import Diagnosis, ItemSpan, Project
from tests.pages import world
from tests.pages.conftest import ClientFor
from tests.pages.plans import HOSTILE

FOUND = Finding("A2", "failed_sync", "Argo CD gave up", "It does not try again.", (HOSTILE,), ruled_out=("Sidecars",))


@pytest.fixture
def diagnostician(board: Project, monkeypatch: pytest.MonkeyPatch) -> diagnosing.Diagnostician:
    """One that reads nothing and always finds the same."""
    monkeypatch.setattr("monitoring.collect.once", lambda *_: Snapshot(board.cluster, now()))
    monkeypatch.setattr("monitoring.diagnosis.diagnose", lambda *_: [FOUND])
    readers: Any = type("Readers", (), {"cluster": board.cluster})()
    return diagnosing.Diagnostician(readers)


def test_each_failing_item_is_diagnosed_once_until_its_word_moves(diagnostician: diagnosing.Diagnostician) -> None:
    item = world.turn("grafana-deployed", "failing")
    failing = ItemSpan.objects.filter(closed_at=None, word__in=("failing", "degraded")).count()
    assert diagnostician.look() == failing > 0
    assert diagnostician.look() == 0
    assert Diagnosis.objects.get(item=item).findings[0]["id"] == "A2"
    world.turn("grafana-deployed", "verified")
    world.turn("grafana-deployed", "failing")
    assert diagnostician.look() >= 1
    assert Diagnosis.objects.get(item=item).span == ItemSpan.objects.get(item=item, closed_at=None)


def test_a_diagnosis_is_made_anew_after_a_minute(diagnostician: diagnosing.Diagnostician) -> None:
    world.turn("grafana-deployed", "failing")
    diagnostician.look()
    Diagnosis.objects.update(at=now() - diagnosing.AGAIN - timedelta(seconds=1))
    assert diagnostician.look() == Diagnosis.objects.count()


def test_the_page_shows_the_cause_while_it_fails_and_not_once_it_is_proven(
    diagnostician: diagnosing.Diagnostician, client_for: ClientFor
) -> None:
    item = world.turn("grafana-deployed", "failing")
    diagnostician.look()
    page = client_for(Role.VIEWER).get(f"/items/{item.pk}/").content.decode()
    assert "Argo CD gave up" in page
    assert "Sidecars" in page
    assert HOSTILE not in page
    world.turn("grafana-deployed", "verified")
    assert "Argo CD gave up" not in client_for(Role.VIEWER).get(f"/items/{item.pk}/").content.decode()
