"""Writes that do not come through and leave nothing in doubt: others are quicker, or this worker is too slow."""

from __future__ import annotations

from datetime import timedelta

import pytest

from common.clock import now
from deployments.engine.cluster import Write
from deployments.models import Run, Step
from deployments.states import RunState, StepState
from tests.deployments.conftest import carry_on
from tests.deployments.fake import APPS, FakeCluster

pytestmark = pytest.mark.django_db(transaction=True)


def first(run: Run) -> Step:
    return Step.objects.get(run=run, index=0)


def late(run: Run) -> None:
    """The step's time is over."""
    Step.objects.filter(run=run, index=0).update(deadline_at=now() - timedelta(seconds=1))
    Run.objects.filter(pk=run.pk).update(wake_at=None)


def test_a_write_that_others_always_forestall_is_said_so_and_leaves_nothing_in_doubt(
    run: Run, cluster: FakeCluster
) -> None:
    versions: list[int] = []

    def race(write: Write) -> None:
        versions.append(len(versions))
        cluster.edit(APPS, "argocd", write.name, {"status": {"observed": str(versions[-1])}})

    cluster.before_write = race
    run = carry_on(run, cluster, until=lambda r: bool(first(r).sentence))
    assert "was changed by others 3 times" in first(run).sentence
    assert first(run).state == StepState.PENDING.value, "the server refused each one: nothing is on its way"
    late(run)
    run = carry_on(run, cluster)
    assert run.state == RunState.FAILED, run.sentence
    assert "Nothing was changed." in run.sentence
    assert cluster.ledger == []


def test_a_worker_that_is_too_slow_does_not_blame_others(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.engine.effects.FRESH_SECONDS", -1.0)
    run = carry_on(run, cluster, until=lambda r: bool(first(r).sentence))
    assert "others" not in first(run).sentence
    assert "too slow" in first(run).sentence
    assert first(run).state == StepState.PENDING.value, "nothing was sent"
    late(run)
    run = carry_on(run, cluster)
    assert run.state == RunState.FAILED, run.sentence
    assert cluster.ledger == []


def test_a_worker_that_was_slow_for_a_while_makes_its_write(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.engine.effects.FRESH_SECONDS", -1.0)
    run = carry_on(run, cluster, until=lambda r: bool(first(r).sentence))
    monkeypatch.setattr("deployments.engine.effects.FRESH_SECONDS", 2.0)
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
