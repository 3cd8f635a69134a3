"""A Snapshot collected once: rounds, the widest lists, errors that stay visible."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from integrations.alertmanager.reader import AlertmanagerReader
from integrations.grafana.reader import GrafanaReader
from integrations.kubernetes import reader
from integrations.prometheus.reader import PrometheusReader
from monitoring.collect import ROUNDS, Readers, covers, once, widest
from monitoring.snapshot import Access, Fetch, Link, Logs, Missing, Need, Objects, Query, ServerVersion, Snapshot
from tests.lab.api_server import RunningApi
from tests.observer.site import ROOT

pytestmark = pytest.mark.lab


@pytest.fixture
def readers(api: RunningApi) -> Readers:
    kube = reader.connect(str(api.kubeconfig))
    return Readers("c", kube, PrometheusReader(kube), AlertmanagerReader(kube), GrafanaReader(kube))


def test_needs_are_asked_again_with_what_was_read(readers: Readers, admin: httpx.Client) -> None:
    asked: list[int] = []

    def needs(snapshot: Snapshot) -> Iterable[Need]:
        asked.append(len(snapshot.listings))
        yield Objects("namespaces")
        if snapshot.has(Objects("namespaces")):
            yield from (Objects("pods", one.metadata.name) for one in snapshot.objects("namespaces"))

    snapshot = once(readers, needs)
    assert Objects("pods", "default") in snapshot.listings
    assert asked == [0, 1, len(snapshot.listings)]


def test_needs_without_end_are_cut_after_a_few_rounds(readers: Readers) -> None:
    rounds: list[Need] = []

    def needs(_: Snapshot) -> Iterable[Need]:
        rounds.append(Link("default", f"nothing-{len(rounds)}", "80"))
        return list(rounds)

    snapshot = once(readers, needs)
    assert len(snapshot.replies) == ROUNDS


def test_a_source_that_does_not_answer_is_in_the_snapshot_as_missing(readers: Readers, admin: httpx.Client) -> None:
    fault = {"action": "status:500", "resource": "nodes", "verb": "list"}
    admin.post("/lab/faults", json=fault).raise_for_status()
    needs: list[Need] = [Objects("nodes"), Query("up"), Fetch("grafana", "/api/search"), Logs("default", "no", "c")]
    snapshot = once(readers, lambda _: needs)
    with pytest.raises(Missing, match="Listing nodes failed"):
        snapshot.objects("nodes")
    with pytest.raises(Missing, match=r"app\.kubernetes\.io/name=prometheus"):
        snapshot.reply(Query("up"))
    with pytest.raises(Missing, match="PORTAL_GRAFANA_URL"):
        snapshot.reply(Fetch("grafana", "/api/search"))
    with pytest.raises(Missing, match="not found"):
        snapshot.reply(Logs("default", "no", "c"))


def test_reviews_and_the_version_are_replies(readers: Readers) -> None:
    may = Access("nobody", "delete", "pods", namespace="default")
    snapshot = once(readers, lambda _: [may, ServerVersion()])
    assert snapshot.reply(may).body["allowed"] is False
    assert snapshot.reply(ServerVersion()).body["gitVersion"].startswith("v1.")


def test_a_list_that_a_wider_one_holds_is_not_read() -> None:
    needs: list[Any] = [
        Objects("pods", "a"),
        Objects("pods"),
        Objects("pods", "a", "x=1"),
        Query("up"),
        Objects("nodes"),
    ]
    assert widest([*needs, *needs]) == [Objects("pods"), Query("up"), Objects("nodes")]
    assert covers(Objects("pods", "a"), Objects("pods", "a", "x=1"))
    assert not covers(Objects("pods", "a"), Objects("pods", "b"))
    assert not covers(Objects("pods", labels="x=1"), Objects("pods", "a"))


def test_the_web_process_does_not_pay_for_vendor_clients() -> None:
    """What pages and services import of us must not import the clients of other systems."""
    code = (
        "import os, sys, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup();"
        "import monitoring.services, monitoring.selectors, monitoring.collect, monitoring.observer.observer;"
        "print([name for name in ('kubernetes', 'httpx', 'requests', 'prometheus_api_client') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
