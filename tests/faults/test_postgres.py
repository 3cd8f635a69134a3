"""PostgreSQL cut off, its connections ended again and again, and every process replaced, all in the middle of runs
(E17, E18, E19). Real processes; the lab's ledger is the judge."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.faults.conftest import Site
from tests.faults.harness import wait_for
from tests.faults.postgres import PostgresStage
from tests.faults.processes import end, family
from tests.faults.web import Form, Person, Web, run_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.lab,
    pytest.mark.redis,
    pytest.mark.postgres,
    pytest.mark.timeout(600),
]

#: how often every process is replaced
ROUNDS = int(os.environ.get("ROLLING_ROUNDS", "2"))
_log = logging.getLogger(__name__)
_PARTS = "\n---\n".join(
    f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: %(n)s-{letter}}}\ndata: {{run: '%(n)s'}}" for letter in "abcd"
)
#: the lease of these stages, and what a run may be without an owner beyond it
LEASE, GRACE = 3.0, 10.0
#: a page that says that the database is away comes in less, on a machine busy with other tests too; 3 s are promised
QUICK = 10.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The portal on PostgreSQL."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    stage = PostgresStage(tmp_path_factory.mktemp("postgres"), scenario="healthy", lease_seconds=LEASE)
    try:
        stage.start()
        stage.manage("ensure_users")
        stage.manage("collectstatic", "--noinput", "-v", "0")
        web = Web(stage).start()
        yield Site(stage, web, Person(web, "operator"), Person(web, "admin"))
    finally:
        stage.stop()


@pytest.fixture
def stage(site: Site) -> Iterator[PostgresStage]:
    """The stage, with effects of a second each; no fault is left behind."""
    assert isinstance(site.stage, PostgresStage)
    slow = {"verb": "patch,create", "resource": "configmaps", "dry_run": False, "agent": "phaseboard"}
    site.stage.fault_on(**slow, action="delay:1")
    yield site.stage
    site.stage.api.delete("/lab/faults").raise_for_status()


def slow_apply(site: Site, name: str) -> Form:
    """A plan of four effects on objects of its own: something to be in the middle of."""
    params = {"set": name, "namespace": "platform-monitoring", "manifests": _PARTS % {"n": name}, "hold_seconds": "1"}
    return site.operator.plan("apply-set", params)


def insist(person: Person, form: Form) -> tuple[str, int]:
    """The run that a form led to, sent again for as long as the portal was away, and how often it was."""
    ends, refused = time.monotonic() + 60, 0
    while True:
        answer = person.insist(form)
        if answer.status_code != 503:
            return run_of(answer), refused
        refused += 1
        assert time.monotonic() < ends, answer.text
        time.sleep(0.3)


def test_a_database_that_is_cut_off_loses_no_click_and_stops_before_the_next_effect(
    site: Site, stage: PostgresStage
) -> None:
    running, waiting = slow_apply(site, "cut-one"), site.plan()
    since = stage.last_seq()
    (run,) = site.operator.click(running)
    wait_for("the first effect", lambda: stage.ledger(since), 60)
    stage.postgres.stop(immediate=True)
    cut = stage.last_seq()
    began = time.monotonic()
    refused = site.operator.send(waiting)
    took = time.monotonic() - began
    assert refused.status_code == 503 and took < QUICK, (refused.status_code, took)
    _log.info("the error page took %.2f s", took)
    assert "counts only once" in refused.text and refused.headers["Retry-After"]
    assert site.web.answers(), "a database that is away must not restart the web process"
    assert httpx.get(f"{site.web.base}/readyz", trust_env=False).status_code == 503
    time.sleep(max(0.0, LEASE + 3 - took))
    late = stage.ledger(cut)
    assert len(late) <= 1, f"effects without an intent that could be written: {late}"
    stage.postgres.start()
    second, _ = insist(site.operator, waiting)
    assert stage.ended(run, 120)["state"] == "succeeded", stage.log(run)
    assert stage.ended(second, 120)["state"] == "succeeded", stage.log(second)
    assert len([e for e in stage.ledger(since) if e["resource"] == "configmaps"]) == 4
    assert site.verdict(since, {running.key: [run], waiting.key: [second]}) == []


def test_connections_that_are_ended_every_two_seconds_break_no_promise(site: Site, stage: PostgresStage) -> None:
    forms = [slow_apply(site, f"ended-{number}") for number in range(8)]
    since, refused = stage.last_seq(), 0
    with stage.terminating(2.0) as cut, ThreadPoolExecutor(4) as people:
        runs = []
        for run, times in people.map(lambda form: insist(site.operator, form), forms):
            runs.append(run)
            refused += times
        for run in runs:
            assert stage.ended(run, 150)["state"] == "succeeded", stage.log(run)
    assert len(set(runs)) == len(forms)
    assert len(cut) >= 2 and sum(cut) >= 5, f"there was hardly anything to end: {cut}"
    assert site.verdict(since, {form.key: [run] for form, run in zip(forms, runs, strict=True)}) == []
    _log.info("%s clicks of %s were told to come again; connections ended: %s", refused, len(forms), cut)


def in_the_middle(site: Site, process: subprocess.Popen[bytes], number: int, clicks: dict[str, list[str]]) -> list[str]:
    """Runs, of which this worker is in the middle of at least one.

    Who gets a message is Redis's choice, and it can choose the other worker again and again. A worker holds no more
    messages than it has processes (two), so of five at once each worker gets one.
    """
    names = [f"rolling-{number}-{each}" for each in range(5)]
    forms = [slow_apply(site, name) for name in names]
    since = site.stage.last_seq()
    with ThreadPoolExecutor(len(forms)) as people:
        runs = [run for run, _ in people.map(functools.partial(insist, site.operator), forms)]
    clicks.update({form.key: [run] for form, run in zip(forms, runs, strict=True)})

    def owned() -> bool:
        begun = {str(effect["name"]).rpartition("-")[0] for effect in site.stage.ledger(since)}
        owners = [
            str(site.stage.row(run)["lease_owner"]) for name, run in zip(names, runs, strict=True) if name in begun
        ]
        return bool({int(pid) for _, _, pid in (owner.partition("/") for owner in owners) if pid} & family(process))

    wait_for("the worker that is to be replaced has a run with an effect", owned, 90)
    return runs


def test_a_rolling_restart_of_every_process_leaves_no_run_without_an_owner(site: Site, stage: PostgresStage) -> None:
    since = stage.last_seq()
    clicks: dict[str, list[str]] = {}
    with stage.watching_owners(GRACE) as left:
        for number in range(ROUNDS):
            old_worker, old_system, old_web = stage.worker, stage.system, site.web.process
            assert old_worker is not None and old_system is not None and old_web is not None
            stage.worker = stage.celery("worker", "-Q", "runs", "-c", "2")
            stage.system = stage.celery("system", "-Q", "system", "-c", "1", "-B")
            runs = in_the_middle(site, old_worker, number, clicks)
            took = {"worker": end(old_worker), "system": end(old_system), "web": end(old_web)}
            _log.info("seconds to end: %s", took)
            site.web.start()
            for run in runs:
                assert stage.ended(run, 150)["state"] == "succeeded", stage.log(run)
    assert left == []
    assert site.verdict(since, clicks) == []
