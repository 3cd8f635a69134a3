"""Cancel with the workers down, with Redis down, and against the finish (E16): nothing starts later, and what it came
to is told truthfully."""

from __future__ import annotations

import os
import random
import threading
import time
from typing import Any

import pytest
from django.db import connection

from deployments.engine import planning
from deployments.engine.advance import advance
from deployments.errors import Unfit
from deployments.models import Run
from deployments.services import cancel_run
from deployments.states import FINAL, RunState
from tests.deployments.conftest import OPERATOR, person
from tests.deployments.one_effect import CONFIG, ONE, OneParams, board, install
from tests.faults.conftest import Site
from tests.faults.harness import wait_for
from tests.faults.memory import World

REAL = [pytest.mark.slow, pytest.mark.lab, pytest.mark.redis, pytest.mark.timeout(400)]
#: rounds of the race; STORM_RACES=1000 for the large one
RACES = int(os.environ.get("STORM_RACES", "60"))


def real(test: Any) -> Any:
    """With real processes."""
    for mark in REAL:
        test = mark(test)
    return test


def later(site: Site) -> dict[str, list[str]]:
    """Another run goes through: who takes runs has seen all there are. Its click."""
    form = site.plan()
    (run,) = site.operator.click(form)
    assert site.stage.ended(run)["state"] == "succeeded", site.stage.log(run)
    return {form.key: [run]}


@real
@pytest.mark.parametrize("down", ["worker", "redis"])
def test_a_run_cancelled_before_anybody_took_it_never_starts(site: Site, down: str) -> None:
    form, since = site.plan(), site.stage.last_seq()
    site.stage.kill_worker() if down == "worker" else site.stage.redis.stop()
    (run,) = site.operator.click(form)
    assert site.operator.cancel(run).status_code == 302
    assert site.stage.row(run)["state"] == "cancelled"
    site.stage.start_worker() if down == "worker" else site.stage.redis.start()
    other = later(site)
    row = site.stage.row(run)
    assert (row["state"], row["started_at"], row["sentence"]) == (
        "cancelled",
        None,
        "Cancelled by operator before it started.",
    )
    assert [each for each in site.stage.ledger(since) if each["mark"].startswith(run)] == []
    assert site.verdict(since, {form.key: [run], **other}) == []


@real
@pytest.mark.parametrize("point", ["after_intent:1", "after_effect:1"])
def test_a_run_cancelled_while_nobody_is_there_to_hear_it_ends_so(site: Site, point: str) -> None:
    """Its worker died over a write, and with it all others: whoever comes next settles the write and starts nothing."""
    form, since = site.plan(), site.stage.last_seq()
    site.stage.point(point)
    (run,) = site.operator.click(form)
    wait_for("its worker dies", lambda: not site.stage.fault.exists(), 60)
    site.stage.kill_worker()
    assert site.operator.cancel(run).status_code == 302
    assert site.stage.row(run)["state"] == "running"
    site.stage.start_worker()
    row = site.stage.ended(run)
    made = [each for each in site.stage.ledger(since) if each["mark"].startswith(run)]
    assert (row["state"], len(made)) == ("cancelled", 1 if point == "after_effect:1" else 0), row["sentence"]
    assert site.verdict(since, {form.key: [run]}) == []


# -- the race, in this process


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cancel_against_the_finish_has_one_of_two_endings(monkeypatch: pytest.MonkeyPatch) -> None:
    olivia, dice = person("olivia", *OPERATOR), random.Random(7)
    endings: set[tuple[str, str]] = set()
    longest = 0.0
    for number in range(RACES):
        Run.objects.all().delete()
        world = World(olivia)
        install(monkeypatch, world.cluster)
        world.cluster.put(CONFIG, board(a="1", b="2"))
        run = world.click(planning.make(world.cluster, ONE, OneParams(effect="patch")), f"race {number}")
        began = time.monotonic()
        said = race(run, world, 0.0 if number == 0 else dice.uniform(0.2, 1.1) * longest, with_cancel=number > 0)
        longest = max(longest, time.monotonic() - began) if number < 3 else longest
        run.refresh_from_db()
        assert world.verdict() == [], f"round {number}: {run.sentence}"
        assert said != "accepted" or run.state == "cancelled" or "came too late" in run.sentence, run.sentence
        assert said != "late" or (run.state == "succeeded" and run.cancel_requested_at is None)
        endings.add((said, run.state))
    assert {("accepted", "cancelled"), ("late", "succeeded")} <= endings, "the race was none"


def race(run: Run, world: World, delay: float, *, with_cancel: bool) -> str:
    """A worker carries the run on while, after so many seconds, a person cancels it. What the person was told."""
    said = ["not asked"]

    def cancel() -> None:
        try:
            time.sleep(delay)
            cancel_run(world.operator, Run.objects.get(pk=run.pk))
            said[0] = "accepted"
        except Unfit:
            said[0] = "late"
        finally:
            connection.close()

    who = threading.Thread(target=cancel)
    if with_cancel:
        who.start()
    for _ in range(200):
        advance(run.pk, opener=lambda: world.cluster, owner="w")
        if RunState(Run.objects.values_list("state", flat=True).get(pk=run.pk)) in FINAL:
            break
    if with_cancel:
        who.join(60)
    return said[0]
