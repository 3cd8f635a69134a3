"""What the engine's tests share: people with rights, a plan, a way to carry a run to its end without a worker."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User

from common.clock import now
from deployments.catalogue import registry
from deployments.engine import planning
from deployments.engine.advance import advance
from deployments.models import Plan, Run
from deployments.services import start_run
from deployments.states import FINAL, RunState
from tests.deployments.fake import FakeCluster

SLUG = "repair-grafana-in-place"
OPERATOR = ("make_plan", "run_tier0", "run_tier1", "run_tier2", "cancel_run")


def person(name: str, *rights: str) -> User:
    """A user with these rights of the app ``deployments``."""
    user = User.objects.create_user(name, password="x")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="deployments", codename__in=rights))
    return User.objects.get(pk=user.pk)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often: the cluster in memory moves one step per look."""
    monkeypatch.setattr("deployments.engine.steps._EAGER_POLL", 0.01)


@pytest.fixture
def operator(transactional_db: None) -> User:
    return person("olivia", *OPERATOR)


@pytest.fixture
def viewer(transactional_db: None) -> User:
    return person("victor")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def plan(cluster: FakeCluster, transactional_db: None) -> Plan:
    """The repair, with short times; evidence that is seen once is enough (two tests hold it for real)."""
    made = make_plan(cluster)
    made.document["verification"]["hold_seconds"] = 0
    made.save()
    return made


def make_plan(cluster: FakeCluster, **params: object) -> Plan:
    short = {"hold_seconds": 1, "verify_seconds": 6, **params}
    return planning.make(cluster, registry.get(SLUG), registry.parse(SLUG, short))


@pytest.fixture
def run(plan: Plan, operator: User) -> Run:
    """An accepted run that no worker has begun."""
    return start_run(operator, plan.pk, "click-1", "item:1")


def carry_on(run: Run, cluster: FakeCluster, *, until: Callable[[Run], bool] | None = None, seconds: float = 30) -> Run:
    """Slice after slice, as a worker does, until the run ended or ``until`` says so."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        ended = advance(run.pk, opener=lambda: cluster)
        run.refresh_from_db()
        if RunState(run.state) in FINAL or (until is not None and until(run)):
            return run
        if ended.wake_at is not None:
            time.sleep(max(0.0, (ended.wake_at - now()).total_seconds()))
        elif not ended.claimed:
            time.sleep(0.05)
    raise AssertionError(f"run is still {run.state} after {seconds} s: {[line.text for line in run.lines.all()]}")
