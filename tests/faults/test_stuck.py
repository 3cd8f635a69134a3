"""What keeps the portal from going on: a SQLite that somebody else writes for long (E17), a Redis that restarts under a
task in flight (E07), an effect that was accepted and never comes about (E21). Real processes; the ledger judges."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import pytest

from tests.faults.conftest import Site
from tests.faults.harness import wait_for
from tests.faults.processes import family

pytestmark = [pytest.mark.slow, pytest.mark.lab, pytest.mark.redis, pytest.mark.timeout(400)]

NAMESPACE = "platform-monitoring"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
MANIFESTS = "\n---\n".join(
    f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: locked-{letter}}}\ndata: {{a: b}}" for letter in "abcd"
)
#: longer than a worker waits for the lock (20 s), and much longer than a page does (3 s)
LOCKED = 24.0


@pytest.fixture(autouse=True)
def _no_fault_stays(site: Site) -> Iterator[None]:
    yield
    site.stage.api.delete("/lab/faults").raise_for_status()


@contextmanager
def another_writer(site: Site) -> Iterator[None]:
    """Somebody holds SQLite's only write lock: a backup tool, a shell with a transaction left open."""
    with sqlite3.connect(site.stage.directory / "portal.sqlite3", timeout=60, isolation_level=None) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")
    database.close()


def test_a_sqlite_that_another_writer_holds_loses_no_click_and_lets_no_effect_through(site: Site) -> None:
    params = {"set": "locked", "namespace": NAMESPACE, "manifests": MANIFESTS, "hold_seconds": "1"}
    running, waiting = site.operator.plan("apply-set", params), site.plan()
    slow = {"verb": "patch,create", "resource": "configmaps", "dry_run": False, "agent": "phaseboard"}
    site.stage.fault_on(**slow, action="delay:1")
    since = site.stage.last_seq()
    (run,) = site.operator.click(running)
    wait_for("the first effect", lambda: site.stage.ledger(since), 60)
    with another_writer(site):
        locked, began = site.stage.last_seq(), time.monotonic()
        refused = site.operator.send(waiting)
        took = time.monotonic() - began
        assert refused.status_code == 503 and took < 10, (refused.status_code, took)
        assert "counts only once" in refused.text
        assert site.operator.get("/runs/").status_code == 200, "reading needs no lock"
        time.sleep(max(0.0, LOCKED - (time.monotonic() - began)))
        late = site.stage.ledger(locked)
    assert len(late) <= 1, f"effects whose intent could not be written: {late}"
    (second,) = site.operator.click(waiting)
    for each in (run, second):
        assert site.stage.ended(each, 120)["state"] == "succeeded", site.stage.log(each)
    assert site.verdict(since, {running.key: [run], waiting.key: [second]}) == []


@pytest.mark.parametrize("how", ["killed", "silent"])
def test_a_redis_that_restarts_under_a_task_in_flight_leaves_a_living_worker(site: Site, how: str) -> None:
    assert (version("celery"), version("kombu")) == ("5.6.3", "5.6.2"), "another pair: read docs/reliability.md, E07"
    first = site.plan()
    site.stage.fault_on(verb="patch", resource="nodes", dry_run=False, action="delay:4", agent="phaseboard", count=1)
    since, worker = site.stage.last_seq(), site.stage.worker
    (run,) = site.operator.click(first)
    wait_for("the task is in flight", lambda: site.stage.row(run)["prepared_at"], 60)
    seen = site.stage.ledger(since)
    if how == "killed":
        site.stage.redis.stop()
        time.sleep(1)
        site.stage.redis.start()
    else:
        site.stage.redis.signal(signal.SIGSTOP)
        time.sleep(7)
        site.stage.redis.signal(signal.SIGCONT)
    back = time.monotonic()
    assert not seen or how == "silent", "the task was over before Redis went away"
    assert site.stage.ended(run, 120)["state"] == "succeeded", site.stage.log(run)
    later = site.plan()
    (second,) = site.operator.click(later)
    assert site.stage.ended(second, 120)["state"] == "succeeded", site.stage.log(second)
    time.sleep(max(0.0, 5 - (time.monotonic() - back)))
    assert worker is not None and worker.poll() is None, site.stage.output("worker")[-3000:]
    assert len(family(worker)) >= 3, "the pool is gone"
    assert site.verdict(since, {first.key: [run], later.key: [second]}) == []


def unpullable(site: Site) -> None:
    """A Deployment of no replicas whose image cannot be pulled."""
    labels = {"app": "never"}
    site.stage.api.delete(f"{DEPLOYMENTS}/never")
    container = {"name": "never", "image": "registry.example/never:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "never", "namespace": NAMESPACE},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }
    site.stage.api.post(DEPLOYMENTS, json=body).raise_for_status()


def test_pods_that_never_start_after_an_accepted_write_are_no_success(site: Site) -> None:
    unpullable(site)
    params = {"namespace": NAMESPACE, "name": "never", "replicas": "2", "hold_seconds": "1", "rollout_seconds": "6"}
    form, since = site.operator.plan("scale-workload", params), site.stage.last_seq()
    (run,) = site.operator.click(form)
    row = site.stage.ended(run, 120)
    (effect,) = site.stage.ledger(since)
    assert effect["code"] == 200 if "code" in effect else effect["verb"] == "patch"
    assert row["state"] == "failed", site.stage.log(run)
    assert "0 of 2" in row["sentence"], row["sentence"]
    assert "Made before it ended" in row["sentence"]
    assert site.verdict(since, {form.key: [run]}) == []
    site.stage.api.delete(f"{DEPLOYMENTS}/never").raise_for_status()


def test_a_pod_that_a_finalizer_keeps_after_an_accepted_deletion_is_no_success(site: Site) -> None:
    found = site.stage.api.get(PODS, params={"labelSelector": "app.kubernetes.io/name=kube-state-metrics"})
    name = found.raise_for_status().json()["items"][0]["metadata"]["name"]
    merge = {"Content-Type": "application/merge-patch+json"}
    held = {"metadata": {"finalizers": ["tests.phaseboard/keep"]}}
    site.stage.api.patch(f"{PODS}/{name}", json=held, headers=merge).raise_for_status()
    form = site.operator.plan("delete-pod", {"namespace": NAMESPACE, "name": name, "wait_seconds": "6"})
    since = site.stage.last_seq()
    try:
        (run,) = site.operator.click(form)
        row = site.stage.ended(run, 120)
    finally:
        free = {"metadata": {"finalizers": None}}
        site.stage.api.patch(f"{PODS}/{name}", json=free, headers=merge).raise_for_status()
    assert len(site.stage.ledger(since)) == 1
    assert row["state"] == "failed", site.stage.log(run)
    assert site.verdict(since, {form.key: [run]}) == []
