"""A worker that dies over a plan is followed after one lease; one that takes longer than a lease keeps its request."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from common.clock import now
from deployments.engine import lease, planning, requests, sweep
from deployments.models import Plan, PlanRequest
from deployments.services import request_plan
from deployments.states import RequestState
from tests.deployments.conftest import SLUG
from tests.deployments.fake import FakeCluster

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """What no handler of the engine may catch."""


def passed(wish: PlanRequest, time: timedelta) -> None:
    """So much time goes by for a claimed request."""
    claimed = PlanRequest.objects.get(pk=wish.pk).claimed_at
    assert claimed is not None
    PlanRequest.objects.filter(pk=wish.pk).update(claimed_at=claimed - time)


def test_a_plan_whose_worker_died_is_made_by_the_next_one_after_a_lease(
    operator: User, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = request_plan(operator, SLUG, {})
    with monkeypatch.context() as patched:

        def dies(*_: Any) -> Plan:
            raise Killed

        patched.setattr(planning, "make", dies)
        with pytest.raises(Killed):
            requests.make(wish.pk, opener=lambda: cluster)
    assert requests.make(wish.pk, opener=lambda: cluster) is None and wish.pk not in sweep.sweep()
    passed(wish, lease.length())
    assert wish.pk in sweep.sweep()
    made = requests.make(wish.pk, opener=lambda: cluster)
    assert made is not None and made.state == RequestState.PLANNED and made.attempts == 2


def test_a_slow_plan_is_nobody_elses(operator: User, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_LEASE_SECONDS", "0.3")
    wish, real, began = request_plan(operator, SLUG, {}), planning.make, threading.Event()
    seen: list[PlanRequest | None] = []

    def slow(*given: Any) -> Plan:
        began.set()
        first = PlanRequest.objects.get(pk=wish.pk).claimed_at
        for _ in range(4):
            renewed(wish, PlanRequest.objects.get(pk=wish.pk).claimed_at)
            seen.append(requests.make(wish.pk, opener=lambda: cluster))
        assert first is not None and now() - first > lease.length()
        return real(*given)

    monkeypatch.setattr(planning, "make", slow)
    made = requests.make(wish.pk, opener=lambda: cluster)
    assert seen == [None] * 4
    assert made is not None and made.state == RequestState.PLANNED and made.attempts == 1


def renewed(wish: PlanRequest, before: Any) -> None:
    """Wait for the heartbeat's next beat."""
    ends = now() + timedelta(seconds=30)
    while PlanRequest.objects.get(pk=wish.pk).claimed_at == before:
        assert now() < ends, "no heartbeat"
        connection.close()


def test_who_was_superseded_writes_nothing(
    operator: User, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was frozen for longer than its lease, and wakes up when another worker has made the plan."""
    wish, real = request_plan(operator, SLUG, {}), planning.make
    inner: list[PlanRequest | None] = []

    def frozen(*given: Any) -> Plan:
        if not inner:
            passed(wish, lease.length())
            inner.append(None)
            inner.append(requests.make(wish.pk, opener=lambda: cluster))
            raise RuntimeError("it finds something else")
        return real(*given)

    monkeypatch.setattr(planning, "make", frozen)
    requests.make(wish.pk, opener=lambda: cluster)
    row = PlanRequest.objects.get(pk=wish.pk)
    assert (row.state, row.attempts, row.sentence) == (RequestState.PLANNED, 2, "")
