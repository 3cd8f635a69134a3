"""What the tests of approvals share: people, policies, a clock that can be turned, a worker's first look."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db.models.expressions import CombinedExpression

from common import clock
from deployments import policies
from deployments.engine import begin, lease
from deployments.engine.journal import Journal
from deployments.models import Plan, Run
from deployments.policy import Policy
from deployments.states import RunState
from tests.deployments.conftest import OPERATOR, person

ADMIN = (*OPERATOR, "run_tier3", "approve_plan", "stop_writes", "break_glass")
APPROVER = ("make_plan", "approve_plan")


NAME = "kube-prometheus-stack"


class Clock:
    """Stands in for :func:`common.clock.now` everywhere: the real time and what it was turned by."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)
        self._real = clock.now

    def __call__(self) -> datetime:
        return self._real() + self.ahead

    def turn(self, **ahead: float) -> None:
        """Turn it on."""
        self.ahead += timedelta(**ahead)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        """Replace the name in every module that imported it."""
        for name, module in list(sys.modules.items()):
            if name.startswith(("deployments", "common")) and getattr(module, "now", None) is self._real:
                monkeypatch.setattr(module, "now", self)
            if name.startswith("deployments") and getattr(module, "by_database", None) is clock.by_database:
                monkeypatch.setattr(module, "by_database", self._by_database)
        return self

    def _by_database(self, ahead: timedelta = timedelta(0)) -> CombinedExpression:
        return clock.by_database(self.ahead + ahead)


def policy(**parts: Any) -> None:
    """Give the cluster of this portal a policy; without parts it has none."""
    for cluster in (settings.PORTAL_CLUSTER, "demo"):
        policies.keep(cluster, "test", msgspec.convert(parts, Policy) if parts else None, "test")


def of_tier(plan: Plan, tier: int) -> Plan:
    """The plan as one of another tier (the tier is not in its hash)."""
    plan.tier = tier
    plan.save(update_fields=["tier"])
    return plan


def joined(user: User, *groups: str) -> User:
    """The person as a member of these groups."""
    user.groups.set([Group.objects.get_or_create(name=name)[0] for name in groups])
    return user


def admin(name: str = "ada") -> User:
    return person(name, *ADMIN)


def approver(name: str = "ben", *groups: str) -> User:
    return joined(person(name, *APPROVER), *groups)


def first_look(run: Run) -> Run:
    """What a worker does first with a queued run: begin it, hold it, or give it back. Opens no cluster."""
    run.refresh_from_db()
    claimed = lease.claim(run.pk, "worker") if run.state == RunState.QUEUED else None
    if claimed is not None:
        journal = Journal(claimed)
        pause = begin.start(journal)
        if pause >= 0:
            journal.release(pause)
    run.refresh_from_db()
    return run
