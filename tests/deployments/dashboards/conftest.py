"""Labs for the Grafana family, and the engine on them: real HTTPS, real controllers, no worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from deployments.catalogue import registry
from deployments.engine import planning
from deployments.engine.cluster import RealCluster
from deployments.models import Plan, Run
from deployments.services import start_run
from tests.deployments.conftest import carry_on, person
from tests.lab.world.running import RunningLab, environment_of

RIGHTS = ("make_plan", "run_tier0", "run_tier1", "run_tier2", "run_tier3", "cancel_run")


class Desk:
    """One person with one lab: plans, runs, undoes."""

    def __init__(self, lab: RunningLab, user: User) -> None:
        self.lab, self._user = lab, user
        self.cluster = RealCluster()

    def plan(self, slug: str, **params: Any) -> Plan:
        return planning.make(self.cluster, registry.get(slug), registry.parse(slug, params))

    def run(self, slug: str, *, seconds: float = 120, **params: Any) -> Run:
        """Plan and run to the end; the plan must fit."""
        plan = self.plan(slug, **params)
        unmet = [p for p in plan.preconditions if not p["met"]]
        assert unmet == [], unmet
        return self.carry(plan, seconds)

    def carry(self, plan: Plan, seconds: float = 120) -> Run:
        started = start_run(self._user, plan.pk, f"click-{plan.pk}", "")
        return carry_on(started, self.cluster, seconds=seconds)  # type: ignore[arg-type]  # the real one


def told(run: Run) -> str:
    """The run's log, for the message of a failed test."""
    return "\n".join([f"{run.state}: {run.sentence}", *(line.text for line in run.lines.order_by("pk"))])


Desks = Callable[[RunningLab], Desk]


@pytest.fixture
def desk(transactional_db: None, settings: Any) -> Desks:
    """A desk at a lab: the settings are those that the lab wrote for the portal."""

    def at(lab: RunningLab) -> Desk:
        settings.PORTAL_KUBECONFIG, settings.PORTAL_WRITE_KUBECONFIG = str(lab.kubeconfig), ""
        for name, value in environment_of(lab).items():
            setattr(settings, name, value)
        return Desk(lab, person("grace", *RIGHTS))

    return at


def _lab(scenario: str, factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    running = RunningLab(scenario, factory.mktemp(scenario))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def healthy_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    yield from _lab("healthy", tmp_path_factory)


@pytest.fixture(scope="module")
def broken_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    yield from _lab("grafana-broken", tmp_path_factory)
