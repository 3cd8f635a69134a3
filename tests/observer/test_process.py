"""The observer as a process against a real API over HTTPS: it sees, it ages, it hands over, it comes back."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from common import clock
from integrations.errors import SourceError
from integrations.kubernetes.connection import Connection
from tests.conftest import RedisServer, free_port
from tests.observer.site import ROOT, Site, moment, wait_for

pytestmark = pytest.mark.lab


def service(admin: httpx.Client, name: str, address: str = "") -> None:
    """Create a LoadBalancer Service, or give it an address."""
    body = {
        "metadata": {"name": name},
        "spec": {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 80}]},
    }
    path = "/api/v1/namespaces/default/services"
    if admin.get(f"{path}/{name}").status_code == 404:
        admin.post(path, json=body).raise_for_status()
    ingress = [{"ip": address}] if address else []
    merge = {"Content-Type": "application/merge-patch+json"}
    status = {"status": {"loadBalancer": {"ingress": ingress}}}
    admin.patch(f"{path}/{name}/status", json=status, headers=merge).raise_for_status()


def watched(site: Site, name: str, limit: int = 60) -> int:
    return site.check("load_balancer_address", limit, namespace="default", name=name)


def stop(process: subprocess.Popen[bytes]) -> float:
    """Seconds a SIGTERM takes."""
    began = time.monotonic()
    process.terminate()
    process.wait(10)
    return time.monotonic() - began


def test_a_change_in_the_cluster_becomes_evidence_with_a_receipt_and_a_span(site: Site, admin: httpx.Client) -> None:
    service(admin, "web", "10.0.0.1")
    check = watched(site, "web")
    site.observe()
    wait_for(site.word_is(check, "verified"))
    service(admin, "web")
    began = time.monotonic()
    wait_for(site.word_is(check, "failing"), 5)
    assert time.monotonic() - began < 2.0
    evidence = site.evidence(check)
    assert evidence["watched"] == 1
    assert evidence["receipt"]["watches"] == {"kubernetes": ["services/default"]}
    assert evidence["receipt"]["checker"].startswith("load_balancer_address@")
    [ref] = [ref for ref in evidence["receipt"]["refs"] if ref["kind"] == "Service"]
    live = admin.get("/api/v1/namespaces/default/services/web").json()["metadata"]
    assert (ref["uid"], ref["resourceVersion"]) == (live["uid"], live["resourceVersion"])
    spans = site.rows("SELECT * FROM monitoring_span WHERE check_ref_id = ? ORDER BY opened_at", check)
    assert [(span["word"], span["closed_at"] is None) for span in spans] == [("verified", False), ("failing", True)]
    assert spans[0]["closed_at"] == spans[1]["opened_at"]


def test_it_stops_within_three_seconds_of_a_sigterm(site: Site, admin: httpx.Client) -> None:
    check = watched(site, "any")
    process = site.observe()
    wait_for(site.word_is(check, "failing"))
    assert stop(process) < 3.0
    assert process.returncode == 0


def test_a_check_added_while_it_runs_is_read(site: Site, admin: httpx.Client) -> None:
    site.observe()
    wait_for(lambda: site.rows("SELECT * FROM monitoring_leader"))
    service(admin, "late", "10.0.0.2")
    check = watched(site, "late")
    wait_for(site.word_is(check, "verified"))


@pytest.mark.slow
def test_an_unchanged_object_stays_verified_past_its_limit_and_a_silent_server_makes_it_stale_until_it_is_back(
    site: Site, admin: httpx.Client
) -> None:
    service(admin, "still", "10.0.0.3")
    check = watched(site, "still", limit=8)
    site.observe("--probe-seconds", "1")
    wait_for(site.word_is(check, "verified"))
    wait_for(lambda: "services/default" in site.source().get("watches", {}), 8)
    evaluated = site.evidence(check)["evaluated_at"]

    def proof() -> timedelta:
        return clock.now() - moment(site.source()["watches"]["services/default"].replace("T", " ")[:26])

    until = time.monotonic() + 12
    while time.monotonic() < until:
        assert proof() < timedelta(seconds=8)
        time.sleep(0.2)
    assert site.evidence(check)["evaluated_at"] == evaluated  # nothing was evaluated again: only the source was touched

    for target in ("watch", "api"):
        admin.post("/lab/faults", json={"action": "silence", "target": target}).raise_for_status()
    wait_for(lambda: site.source()["reachable"] == 0, 15, "the source is known to be silent")
    wait_for(lambda: proof() > timedelta(seconds=8), 15, "its last proof is past the limit")
    assert "does not answer" in site.source()["last_error"]
    assert site.evidence(check)["word"] == "verified"  # what was last known, now read as stale

    admin.delete("/lab/faults").raise_for_status()
    wait_for(lambda: site.source()["reachable"] == 1 and proof() < timedelta(seconds=8), 30, "it came back by itself")
    service(admin, "still")
    wait_for(site.word_is(check, "failing"), 5)
    spans = site.rows("SELECT reachable FROM monitoring_sourcespan ORDER BY opened_at")
    assert [span["reachable"] for span in spans][-2:] == [0, 1]


@pytest.mark.slow
def test_a_standby_takes_over_within_ten_seconds_of_a_kill(site: Site, admin: httpx.Client) -> None:
    service(admin, "led", "10.0.0.4")
    check = watched(site, "led")
    leader = site.observe()
    wait_for(site.word_is(check, "verified"))
    site.observe()
    wait_for(lambda: b"standing by" in site.log.read_bytes())
    leader.kill()
    began = time.monotonic()
    service(admin, "led")
    wait_for(site.word_is(check, "failing"), 12)
    assert time.monotonic() - began < 10
    assert site.rows("SELECT fence FROM monitoring_leader")[0]["fence"] == 2


@pytest.mark.slow
def test_a_leader_that_was_frozen_writes_nothing_after_another_took_over(site: Site, admin: httpx.Client) -> None:
    service(admin, "frozen", "10.0.0.5")
    check = watched(site, "frozen")
    first = site.observe()
    wait_for(site.word_is(check, "verified"))
    site.observe()
    wait_for(lambda: b"standing by" in site.log.read_bytes())
    first.send_signal(signal.SIGSTOP)
    wait_for(lambda: site.rows("SELECT fence FROM monitoring_leader")[0]["fence"] == 2, 12)
    service(admin, "frozen")
    wait_for(site.word_is(check, "failing"), 8)
    first.send_signal(signal.SIGCONT)
    wait_for(lambda: b"took over" in site.log.read_bytes(), 10)
    assert len(site.rows("SELECT * FROM monitoring_span WHERE check_ref_id = ?", check)) == 2


@pytest.mark.slow
def test_a_locked_database_delays_a_reading_and_loses_none(site: Site, admin: httpx.Client) -> None:
    service(admin, "locked", "10.0.0.6")
    check = watched(site, "locked")
    process = site.observe()
    wait_for(site.word_is(check, "verified"))
    hold = sqlite3.connect(site.database, isolation_level=None)
    hold.execute("BEGIN IMMEDIATE")
    service(admin, "locked")
    time.sleep(3)
    hold.execute("ROLLBACK")
    hold.close()
    wait_for(site.word_is(check, "failing"), 10)
    assert process.poll() is None


@pytest.mark.slow
@pytest.mark.redis
def test_redis_stopped_silent_and_back_never_keeps_a_change_from_the_database(
    make_site: Callable[..., Site], admin: httpx.Client, redis_server: RedisServer
) -> None:
    site = make_site(redis_server.url)
    service(admin, "redis", "10.0.0.7")
    check = watched(site, "redis")
    process = site.observe()
    wait_for(site.word_is(check, "verified"))
    redis_server.signal(signal.SIGSTOP)
    service(admin, "redis")
    wait_for(site.word_is(check, "failing"), 5)
    redis_server.signal(signal.SIGCONT)
    redis_server.stop()
    service(admin, "redis", "10.0.0.7")
    wait_for(site.word_is(check, "verified"), 5)
    redis_server.start()
    service(admin, "redis")
    wait_for(site.word_is(check, "failing"), 5)
    assert process.poll() is None


def test_a_request_for_a_fresh_reading_is_answered_and_closed(site: Site, admin: httpx.Client) -> None:
    service(admin, "asked", "10.0.0.8")
    check = watched(site, "asked")
    site.observe()
    wait_for(site.word_is(check, "verified"))
    site.execute(
        "INSERT INTO monitoring_checkrequest (cluster, check_ref_id, requested_at) VALUES ('is-platform', ?, ?)",
        check,
        clock.now().strftime("%Y-%m-%d %H:%M:%S.%f"),
    )
    wait_for(lambda: site.rows("SELECT * FROM monitoring_checkrequest WHERE done_at IS NOT NULL"), 5)


@pytest.mark.slow
def test_a_server_that_died_and_came_back_with_another_certificate_is_read_again(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    port = free_port()

    def start() -> subprocess.Popen[bytes]:
        kubeconfig.unlink(missing_ok=True)
        options = ["--scenario", "empty", "--no-controllers", "--port", str(port), "--kubeconfig", str(kubeconfig)]
        process = subprocess.Popen([sys.executable, "-m", "lab", *options], cwd=ROOT, stdout=subprocess.DEVNULL)
        wait_for(kubeconfig.exists, 30)
        return process

    def give(address: str) -> None:
        kube = Connection(str(kubeconfig))
        wait_for(lambda: _answers(kube), 20)
        spec = {"type": "LoadBalancer", "selector": {"app": "x"}, "ports": [{"port": 80}]}
        path = "/api/v1/namespaces/default/services"
        kube.call("POST", path, body={"metadata": {"name": "back"}, "spec": spec})
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
        kube.call("PATCH", f"{path}/back/status", body=status, content_type="application/merge-patch+json")

    site = make_site()
    site.env["PORTAL_KUBECONFIG"] = str(kubeconfig)
    server = start()
    try:
        give("10.0.1.1")
        check = watched(site, "back")
        site.observe("--probe-seconds", "2")
        wait_for(site.word_is(check, "verified"))
        server.kill()
        server.wait()
        wait_for(lambda: site.source()["reachable"] == 0, 15)
        server = start()
        give("10.0.1.2")
        wait_for(lambda: "10.0.1.2" in str(site.evidence(check)), 30)
        wait_for(lambda: site.source()["reachable"] == 1, 10)
    finally:
        server.kill()
        server.wait()


def _answers(kube: Connection) -> bool:
    try:
        kube.call("GET", "/version")
    except SourceError:
        return False
    return True


def test_rights_taken_away_make_a_check_unknown_with_the_reason(site: Site, admin: httpx.Client) -> None:
    service(admin, "denied", "10.0.0.9")
    check = watched(site, "denied")
    admin.post("/lab/faults", json={"action": "status:403", "verb": "list", "resource": "services"}).raise_for_status()
    site.observe()
    wait_for(site.word_is(check, "unknown"), 15)
    assert "403" in site.evidence(check)["sentence"]
