"""Any order of asking, saying yes and no, losing rights, waiting and beginning: nothing begins that may not.

A rule-based machine drives the services and the engine's first look; a model of a few lines says what must be so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from common.models import AuditEvent, AuditHead, broken_links
from deployments.approvals import approve, deny
from deployments.engine import sweep
from deployments.errors import Refusal
from deployments.models import Approval, Lock, LogLine, Plan, Review, Run, Step
from deployments.services import break_glass, cancel_run, start_run
from deployments.states import RunState
from tests.deployments.conftest import make_plan
from tests.deployments.fake import FakeCluster
from tests.deployments.second_person import NAME, Clock, admin, first_look, of_tier, policy
from tests.tampering import unguarded

NAMES = ("ada", "ben", "cleo", "dan")
people = st.sampled_from(NAMES)
clocks: list[Clock] = []
#: how many runs began by approval and by broken glass, so that the test cannot pass by never getting there
begun: Counter[str] = Counter()


@dataclass
class Said:
    """What the model remembers of one run: who asked, who said yes until when."""

    by: str
    yes: dict[str, datetime] = field(default_factory=dict)
    glass: datetime | None = None


class Approvals(RuleBasedStateMachine):
    """``needed`` yeses of different people, none of whom asked; a yes stands for ten minutes."""

    def __init__(self) -> None:
        super().__init__()
        with unguarded():
            for model in (Review, Approval, Lock, LogLine, Step, Run, AuditEvent, AuditHead):
                model._default_manager.all().delete()
        User.objects.update(is_active=True)
        self.clock = clocks[0]
        self.clock.ahead = timedelta(0)
        self.said: dict[str, Said] = {}
        self.denied: set[str] = set()
        self.active = set(NAMES)
        self.clicks = 0

    @initialize(needed=st.sampled_from([1, 1, 2, 3]))
    def set_up(self, needed: int) -> None:
        self.needed = needed
        policy(approvals=[{"tiers": [3], "count": needed}], approval_minutes=10, waiting_minutes=60)
        self.plan = Plan.objects.get()

    def user(self, name: str) -> User:
        return User.objects.get(username=name)

    def open_run(self) -> Run | None:
        return Run.objects.filter(state__in=["waiting_for_approval", "queued", "running"]).first()

    # -- what people do

    @rule(name=people, typed=st.sampled_from([NAME, NAME, ""]))
    def ask(self, name: str, typed: str) -> None:
        before, self.clicks = self.open_run(), self.clicks + 1
        try:
            run = start_run(self.user(name), self.plan.pk, f"click {self.clicks}", confirm=typed)
        except Refusal:
            assert name not in self.active or (before is None and (name in self.denied or typed != NAME))
            return
        if before is not None:
            assert run.pk == before.pk
        else:
            assert run.state == RunState.WAITING_FOR_APPROVAL and name not in self.denied and typed == NAME
            self.said[run.pk] = Said(name)

    @rule(name=people)
    def say_yes(self, name: str) -> None:
        run = self.open_run()
        if run is None:
            return
        mine = self.said[run.pk]
        stood = mine.yes.get(name, self.clock()) > self.clock()
        try:
            approve(self.user(name), run.pk, self.plan.pk, "a reason")
        except Refusal:
            return
        assert name != mine.by and name in self.active
        if not stood and name in [a.by.username for a in Approval.objects.filter(run=run, lapsed_at=None)]:
            mine.yes[name] = self.clock() + timedelta(minutes=10)

    @rule(name=people, minutes=st.sampled_from([0, 0, 4, 11]), ends=st.booleans())
    def all_say_yes_and_a_worker_comes_later(self, name: str, minutes: int, ends: bool) -> None:
        """The straight way, which random steps take too seldom."""
        self.ask(name, NAME)
        for other in NAMES:
            self.say_yes(other)
        self.clock.turn(minutes=minutes)
        self.look()
        if ends:
            self.the_running_one_ends()

    @rule(name=people)
    def say_no(self, name: str) -> None:
        run = self.open_run()
        if run is None:
            return
        try:
            deny(self.user(name), run.pk, self.plan.pk, "a reason")
        except Refusal:
            return
        assert name != self.said[run.pk].by and name in self.active
        self.denied.add(self.said[run.pk].by)
        assert Run.objects.get(pk=run.pk).state == RunState.REFUSED

    @rule(name=people)
    def smash(self, name: str) -> None:
        self.clicks += 1
        before = self.open_run()
        try:
            run = break_glass(
                self.user(name), self.plan.pk, f"glass {self.clicks}", confirm=NAME, reason="very urgent", password="x"
            )
        except Refusal:
            return
        assert name in self.active
        if before is None:
            self.said[run.pk] = Said(name)
        mine = self.said[run.pk]
        if mine.glass is None and Review.objects.filter(run=run).exists():
            mine.glass = self.clock() + timedelta(minutes=15)

    @rule(name=people, minutes=st.sampled_from([0, 14, 16]))
    def smash_and_a_worker_comes_later(self, name: str, minutes: int) -> None:
        self.smash(name)
        self.clock.turn(minutes=minutes)
        self.look()

    @rule(name=people)
    def cancel(self, name: str) -> None:
        run = self.open_run()
        if run is not None:
            try:
                cancel_run(self.user(name), run)
            except Refusal:
                assert name not in self.active

    # -- what happens

    @rule(name=people)
    def disable_or_enable(self, name: str) -> None:
        self.active ^= {name}
        User.objects.filter(username=name).update(is_active=name in self.active)

    @rule(name=people)
    def lose_and_regain_the_right(self, name: str) -> None:
        right = Permission.objects.get(codename="approve_plan")
        self.user(name).user_permissions.remove(right)
        self.look()
        self.user(name).user_permissions.add(right)

    @rule(minutes=st.sampled_from([1, 6, 11, 16, 61]))
    def time_goes_by(self, minutes: int) -> None:
        self.clock.turn(minutes=minutes)

    @rule()
    def swept(self) -> None:
        sweep.sweep()

    @rule()
    def look(self) -> None:
        """A worker comes by."""
        run = self.open_run()
        if run is None:
            return
        waited = run.state
        run = first_look(run)
        if run.state == RunState.RUNNING and waited == RunState.QUEUED:
            begun["glass" if self.said[run.pk].glass else "yes"] += 1
            self.must_have_been_allowed(run)

    def must_have_been_allowed(self, run: Run) -> None:
        mine, now = self.said[run.pk], self.clock()
        assert mine.by in self.active
        if mine.glass is not None:
            assert now < mine.glass
            return
        good = [name for name, until in mine.yes.items() if until > now and name in self.active and name != mine.by]
        assert len(good) >= self.needed, (mine, good)
        assert mine.by not in self.denied

    @rule()
    def the_running_one_ends(self) -> None:
        for run in Run.objects.filter(state=RunState.RUNNING.value):
            Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED.value, finished_at=self.clock())
            run.locks.all().delete()

    # -- what must always be so

    @invariant()
    def one_run_is_open_and_its_locks_fit_its_state(self) -> None:
        open_runs = list(Run.objects.filter(state__in=["waiting_for_approval", "queued", "running"]))
        assert len(open_runs) <= 1
        holders = set(Lock.objects.values_list("run", flat=True))
        working = {run.pk for run in open_runs if run.state != RunState.WAITING_FOR_APPROVAL}
        assert holders == working

    @invariant()
    def nobody_is_counted_twice_or_decides_about_their_own(self) -> None:
        for approval in Approval.objects.select_related("run"):
            assert approval.by_id != approval.run.requested_by_id
            assert approval.plan_id == approval.run.plan_id
        live = list(Approval.objects.filter(lapsed_at=None).values_list("run", "by"))
        assert len(live) == len(set(live))

    @invariant()
    def one_review_at_most_is_open(self) -> None:
        assert Review.objects.filter(closed_at=None).count() <= 1

    def teardown(self) -> None:
        assert broken_links() == []
        for run in Run.objects.all():
            numbers = list(run.lines.order_by("number").values_list("number", flat=True))
            assert numbers == list(range(1, run.line_count + 1))


@pytest.fixture
def turned(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    clocks[:] = [Clock().install(monkeypatch)]
    of_tier(make_plan(FakeCluster()), 3)
    for name in NAMES:
        admin(name)
    yield
    clocks.clear()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_whatever_people_do_nothing_begins_that_may_not(turned: None) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    begun.clear()
    # no shrinking: a step costs ten milliseconds, and the first failure is short enough to read
    run_state_machine_as_test(
        Approvals,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=checks,
        ),
    )
    assert begun["yes"] and begun["glass"], begun
