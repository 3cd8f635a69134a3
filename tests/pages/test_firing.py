"""The panel of alerts: what fires, since when, who is told; not known when it could not be read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from common.clock import now
from monitoring.models import Check, Evidence, Source
from portal import rows
from portal.accounts.roles import Role
from portal.checklists.models import Project
from tests.pages.conftest import ClientFor
from tests.pages.plans import HOSTILE


@pytest.fixture
def evidence(board: Project) -> Evidence:
    found = Evidence.objects.get(check_ref__type="alerts_firing")
    since = (now() - timedelta(minutes=14)).isoformat(timespec="seconds")
    one = {"id": "a", "name": "ArgoAppUnhealthy", "severity": "critical", "about": "", "state": "active"}
    two = {
        "id": "b",
        "name": HOSTILE,
        "severity": "info",
        "about": "x",
        "says": "",
        "state": "suppressed",
        "told": ["ops"],
    }
    alerts = [one | {"says": "kube-prometheus-stack Missing", "since": since, "told": []}, two | {"since": ""}]
    found.facts = {"alerts": alerts, "firing": 1, "silenced": 1, "heartbeat": True}
    found.evaluated_at = now()  # as the observer writes it
    found.save()
    return found


def panel(client_for: ClientFor) -> str:
    page = client_for(Role.VIEWER).get("/status/").content.decode()
    return page[page.index('id="firing"') : page.index('id="components-title"')]


def test_it_lists_what_fires_since_when_and_who_is_told(client_for: ClientFor, evidence: Evidence) -> None:
    shown = panel(client_for)
    assert "1 firing" in shown and "1 silenced" in shown and "Watchdog arrives" in shown
    assert "ArgoAppUnhealthy" in shown and "kube-prometheus-stack Missing" in shown and "14 min" in shown
    assert "nobody notified" in shown
    assert HOSTILE not in shown and "&lt;script&gt;" in shown


def test_without_a_heartbeat_no_alert_is_no_good_news(client_for: ClientFor, evidence: Evidence) -> None:
    evidence.facts = {"alerts": [], "firing": 0, "silenced": 0, "heartbeat": False}
    evidence.evaluated_at = now()
    evidence.save()
    shown = panel(client_for)
    assert "No alert fires" in shown and "no Watchdog arrives either" in shown


def test_when_it_cannot_be_read_nothing_is_said_to_fire(client_for: ClientFor, evidence: Evidence) -> None:
    long_ago = now() - timedelta(minutes=30)
    Evidence.objects.filter(pk=evidence.pk).update(observed_at=long_ago, evaluated_at=long_ago)
    Source.objects.filter(name="alertmanager").update(confirmed_at=long_ago, reachable=False)
    shown = panel(client_for)
    assert "1 firing" not in shown and 'data-state="firing"' not in shown
    assert "when it was last read" in shown and "ArgoAppUnhealthy" in shown


def test_open_pages_hear_of_it_by_the_component(evidence: Evidence, board: Project) -> None:
    component = Check.objects.get(type="alerts_firing").components.get()
    topics = rows.spread([f"component:{component.pk}"])
    assert "ArgoAppUnhealthy" in "".join(rows.render_all(topics, Role.VIEWER)["firing"])
    assert rows.falls_due(["firing"])["firing"] > now()


def test_a_project_without_the_check_shows_no_panel(client_for: ClientFor, evidence: Evidence) -> None:
    Check.objects.filter(type="alerts_firing").update(retired=True)
    assert 'id="firing" aria-labelledby="firing-title" hidden' in panel(client_for)
