"""Labs for the Grafana family, and the engine on them: real HTTPS, real controllers, no worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from deployments import approvals, gates
from deployments.catalogue import registry
from deployments.engine import planning
from deployments.engine.cluster import RealCluster
from deployments.errors import NotAllowed
from deployments.models import Plan, Run
from deployments.services import start_run
from deployments.states import RunState
from tests.deployments import whole
from tests.deployments.conftest import carry_on, person
from tests.lab.world.running import RunningLab, environment_of

RIGHTS = ("make_plan", "run_tier0", "run_tier1", "run_tier2", "run_tier3", "cancel_run")


class Desk:
    """One person with one lab: plans, runs, undoes."""

    def __init__(self, lab: RunningLab, user: User) -> None:
        self.lab, self._user, self._clicks = lab, user, 0
        self.cluster = RealCluster()

    def plan(self, slug: str, **params: Any) -> Plan:
        """The plan, which has what every plan must have."""
        return whole.hold(planning.make(self.cluster, registry.get(slug), registry.parse(slug, params)))

    def run(self, slug: str, *, seconds: float = 120, **params: Any) -> Run:
        """Plan and run to the end; the plan must fit."""
        plan = self.plan(slug, **params)
        unmet = [p for p in plan.preconditions if not p["met"]]
        assert unmet == [], unmet
        return self.carry(plan, seconds)

    def carry(self, plan: Plan, seconds: float = 120) -> Run:
        return carry_on(self.start(plan), self.cluster, seconds=seconds)  # type: ignore[arg-type]  # the real one

    def start(self, plan: Plan) -> Run:
        """The click, with what tier 3 wants typed; where the policy asks a second person, one who read it."""
        self._clicks += 1
        key = f"click-{plan.pk}-{self._clicks}"  # what is undone has the same plan again
        started = start_run(self._user, plan.pk, key, "", confirm=gates.phrase(plan))
        if started.state != RunState.WAITING_FOR_APPROVAL:
            return started
        with pytest.raises(NotAllowed):
            approvals.approve(self._user, started.pk, plan.pk, "my own")
        second = User.objects.filter(username="henry").first() or person("henry", "make_plan", "approve_plan")
        return approvals.approve(second, started.pk, plan.pk, "read what it deletes")


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
