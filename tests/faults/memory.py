"""Small experiments against a cluster in memory, each judged by its ledger: quick enough for every planted bug.

The same promises are judged through real processes by ``tests.faults.storm``; here a crash is an exception that nothing
catches, and a second worker is a second call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any
from unittest import mock

from django.contrib.auth.models import User
from django.test import override_settings

from common.clock import now
from deployments.catalogue import registry
from deployments.catalogue.action import MARK, Delete, Evict
from deployments.engine import lease, planning, sweep
from deployments.engine.advance import advance
from deployments.engine.cluster import Write
from deployments.engine.journal import Journal
from deployments.engine.lease import LostLease
from deployments.errors import Refusal
from deployments.models import LogLine, Run, Step, WriteStop
from deployments.services import cancel_run, start_run
from deployments.states import FINAL, RunState
from integrations.errors import Unreachable
from tests.deployments.fake import APPS, FakeCluster
from tests.faults.judge import Told, violations

APP = ("argocd", "kube-prometheus-stack")
_VERBS = {"Delete": "delete", "Evict": "create", "Create": "create"}


class Killed(BaseException):
    """What no handler of the engine may catch."""


@contextmanager
def dies_at(armed: str) -> Iterator[None]:
    """This process dies where ``PORTAL_FAULT_POINT`` would say so, once; the block ends there."""

    def die() -> None:
        del os.environ["PORTAL_FAULT_POINT"]
        raise Killed

    with (
        override_settings(PORTAL_LAB=True),
        mock.patch.dict(os.environ, {"PORTAL_FAULT_POINT": armed}),
        mock.patch("deployments.fault.die", die),
        suppress(Killed),
    ):
        yield
        raise AssertionError(f"{armed} was never reached")


class Ledgered(FakeCluster):
    """The cluster in memory, with the lab's ledger of what it accepted, other people's writes too."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[dict[str, Any]] = []
        self._before = ""

    def send(self, write: Write, *, dry_run: bool) -> dict[str, Any]:
        if not dry_run:
            self.before_write(write)
        stored = self.objects.get(write.resource, {}).get((write.namespace, write.name))
        before = stored["metadata"]["resourceVersion"] if stored else ""
        uid = stored["metadata"].get("uid", "") if stored else ""
        hook, self.before_write = self.before_write, lambda _write: None
        after_hook, self.after_write = self.after_write, lambda _write: None
        try:
            answer = super().send(write, dry_run=dry_run)
        finally:
            self.before_write, self.after_write = hook, after_hook
        if not dry_run:
            kind = type(write.effect).__name__
            gone = isinstance(write.effect, Delete | Evict)
            self.note(
                verb=_VERBS.get(kind, "patch"),
                resource=write.resource,
                ns=write.namespace,
                name=write.name,
                uid=uid or answer.get("metadata", {}).get("uid", ""),
                before=before,
                mark="" if gone else str(write.body["metadata"]["annotations"].get(MARK, "")),
                subresource="eviction" if isinstance(write.effect, Evict) else "",
            )
            self.after_write(write)
        return answer

    def note(self, **entry: Any) -> None:
        """An accepted effect."""
        self.entries.append({"seq": len(self.entries) + 1, "mark": "", "subresource": "", **entry})


def told(clicks: dict[str, list[str]] | None = None) -> Told:
    """What the database says."""
    runs = list(Run.objects.values())
    plans = {run.pk: run.plan.document["steps"] for run in Run.objects.select_related("plan")}
    return Told(runs, list(Step.objects.values()), list(LogLine.objects.values()), clicks or {}, plans)


class World:
    """One experiment: a cluster, a person, runs. ``found`` are the broken promises that only the experiment sees."""

    #: which web process takes the clicks, of all that there were
    process = 0

    def __init__(self, operator: User) -> None:
        self.cluster = Ledgered()
        self.operator = operator
        self.clicks: dict[str, list[str]] = {}
        self.found: list[str] = []
        World.process = 0

    def plan(self, **params: Any) -> Any:
        """The repair with short times."""
        short = {"hold_seconds": 1, "verify_seconds": 2, "rollout_seconds": 5, **params}
        slug = "repair-grafana-in-place"
        made = planning.make(self.cluster, registry.get(slug), registry.parse(slug, short))
        if not params:
            made.document["verification"]["hold_seconds"] = 0
            made.save()
        return made

    def click(self, plan: Any, key: str = "click") -> Run:
        """One accepted click."""
        run = start_run(self.operator, plan.pk, key)
        self.clicks.setdefault(key, []).append(run.pk)
        return run

    def work(self, run: Run, slices: int = 60) -> Run:
        """Slices until the run ends; each is a worker of its own. Waits are over at once."""
        for _ in range(slices):
            Run.objects.filter(pk=run.pk).update(wake_at=None)
            advance(run.pk, opener=lambda: self.cluster, owner="w")
            run.refresh_from_db()
            if RunState(run.state) in FINAL:
                break
        return run

    def expire(self, run: Run) -> None:
        """The lease of a dead worker runs out."""
        Run.objects.filter(pk=run.pk).update(lease_until=now() - timedelta(seconds=1))

    def verdict(self) -> list[str]:
        """Every broken promise."""
        return [*self.found, *violations(self.cluster.entries, told(self.clicks))]


def undisturbed(world: World) -> None:
    """Nothing happens."""
    world.work(world.click(world.plan()))


def killed_at(name: str, step: int) -> Callable[[World], None]:
    """E01: the worker dies at a kill point."""

    def experiment(world: World) -> None:
        run = world.click(world.plan())
        with dies_at(f"{name}:{step + 1}"):
            world.work(run)
        world.expire(run)
        world.work(run)

    return experiment


def rival(world: World) -> None:
    """E20: somebody else writes between our reading and our write."""
    seen: list[str] = []

    def touch(write: Write) -> None:
        if len(seen) < 2:
            seen.append(write.name)
            world.cluster.edit(APPS, *APP, {"status": {"observed": str(len(seen))}})

    world.cluster.before_write = touch
    world.work(world.click(world.plan()))


def moved(world: World) -> None:
    """E13: the target changes between two steps in what the plan decided about; nothing may follow."""

    def move(_write: Write) -> None:
        world.cluster.app()["spec"]["destination"]["namespace"] = "elsewhere"

    world.cluster.after_write = move
    world.work(world.click(world.plan()))
    _no_more_than(world, 1, "over a target that moved")


def recreated(world: World) -> None:
    """E13: the target is created anew under its name between two steps."""

    def anew(_write: Write) -> None:
        world.cluster.app()["metadata"]["uid"] = "app-2"

    world.cluster.after_write = anew
    world.work(world.click(world.plan()))
    _no_more_than(world, 1, "on another object of the same name")


def _no_more_than(world: World, count: int, what: str) -> None:
    if len(world.cluster.entries) > count:
        world.found.append(f"P2: {len(world.cluster.entries) - count} effects {what}")


def lost_answer(world: World) -> None:
    """E14: the effect is made and its answer lost."""

    def lose(_write: Write) -> None:
        world.cluster.after_write = lambda write: None
        raise Unreachable("the connection was reset", maybe_done=True)

    world.cluster.after_write = lose
    world.work(world.click(world.plan()))


def two_claims(world: World) -> None:
    """E11: two workers claim the same run."""
    run = world.click(world.plan())
    won = [owner for owner in ("a", "b") if lease.claim(run.pk, owner) is not None]
    if len(won) != 1:
        world.found.append(f"P2: {len(won)} workers hold run {run.number}")
    world.expire(run)
    world.work(run)


def zombie(world: World) -> None:
    """E03: a worker wakes up after another one took its run."""
    run = world.click(world.plan())
    stale = lease.claim(run.pk, "zombie")
    assert stale is not None
    world.expire(run)
    lease.claim(run.pk, "next")
    try:
        with Journal(stale).write() as entry:
            entry.log("written by a worker that lost its lease")
    except LostLease:
        pass
    else:
        world.found.append("P3: a superseded worker wrote")
    world.expire(run)
    world.work(run)


def two_on_one_target(world: World) -> None:
    """E12: two plans for one target, both clicked."""
    first, second = world.plan(), world.plan(hold_seconds=2)
    world.click(first, "one")
    try:
        world.click(second, "two")
    except Refusal:
        pass
    else:
        world.found.append("P2: two active runs on one target")
    for run in Run.objects.all():
        world.work(run)


def clicked_again(world: World) -> None:
    """E10: the same form is sent again after its run has ended (a browser that goes back and forward)."""
    plan = world.plan()
    world.work(world.click(plan))
    try:
        world.work(world.click(plan))
    except Refusal:
        pass


def never_ready(world: World) -> None:
    """E21: the effects are accepted and the goal is never reached."""
    world.cluster.grafana_answers = False
    run = world.click(world.plan(verify_seconds=60))
    for _ in range(60):
        run = world.work(run, slices=1)
        if run.now or RunState(run.state) in FINAL:
            break
    if run.state == RunState.SUCCEEDED:
        world.found.append("P5: succeeded, and Grafana never answered")
    cancel_run(world.operator, run) if RunState(run.state) not in FINAL else None
    world.work(run)


def lost_messages(world: World) -> None:
    """E06: no message arrives; only the sweep knows."""
    world.click(world.plan())
    _swept(world)


def cancelled(world: World) -> None:
    """E15: cancelled after its first effect."""
    run = world.click(world.plan())

    def cancel(_write: Write) -> None:
        Run.objects.filter(pk=run.pk).update(cancel_requested_at=now(), cancel_requested_by=world.operator)

    world.cluster.after_write = cancel
    world.work(run)
    _no_more_than(world, 1, "after the cancel")


def cancelled_at_the_end(world: World) -> None:
    """E16: the cancel is taken when the last evidence was read already."""
    run = world.click(world.plan())

    def late(name: str, _step: int | None = None) -> None:
        if name == "before_end":
            cancel_run(world.operator, run)

    with mock.patch("deployments.engine.verify.point", late):
        world.work(run)
    if run.cancel_requested_at is None:
        world.found.append("E16: nothing was cancelled at the end")


def cancelled_unheard(world: World) -> None:
    """E16: cancelled while no worker is there; one comes later."""
    run = world.click(world.plan())
    cancel_run(world.operator, run)
    world.work(run)
    _no_more_than(world, 0, "of a run that was cancelled before it started")


def web_died(world: World) -> None:
    """E04, E05: the web process dies after its commit and before any message; the form is sent again, to a new process,
    when the sweep has carried the run to its end."""
    plan = world.plan()
    with dies_at("committed"):
        world.click(plan)
    run = Run.objects.get()
    world.clicks["click"] = [run.pk]
    _swept(world)
    World.process += 1
    try:
        world.click(plan)
    except Refusal:
        pass


def _swept(world: World) -> None:
    """The sweep alone tells of due work, long enough for any run."""
    later = now() - timedelta(seconds=30)
    Run.objects.filter(wake_at__isnull=False).update(wake_at=later)
    for _ in range(60):
        for found in sweep.sweep():
            advance(found, opener=lambda: world.cluster, owner="w")
        Run.objects.filter(wake_at__isnull=False).update(wake_at=later)


def stopped(world: World) -> None:
    """E36: all writes are stopped while the run waits."""
    run = world.click(world.plan())
    stop = WriteStop.objects.create(cluster=run.cluster, by=world.operator, reason="test", at=now())
    world.work(run, slices=5)
    _no_more_than(world, 0, "while all writes were stopped")
    stop.delete()
    world.work(run)


def stopped_while_reading(world: World) -> None:
    """E36: all writes are stopped while the last reading before the first effect is on its way."""
    run = world.click(world.plan())
    read = world.cluster.get
    stops: list[WriteStop] = []

    def pressed(resource: str, namespace: str, name: str) -> Any:
        live = read(resource, namespace, name)
        # the readings that decide whether the plan still fits are over: this one comes right before an effect
        if not stops and Run.objects.filter(pk=run.pk, prepared_at__isnull=False).exists():
            stops.append(WriteStop.objects.create(cluster=run.cluster, by=world.operator, reason="test", at=now()))
        return live

    with mock.patch.object(world.cluster, "get", pressed):
        world.work(run, slices=5)
    _no_more_than(world, 0, "after all writes were stopped")
    stops[0].delete()
    world.work(run)


def poisoned(world: World) -> None:
    """E38: the run crashes every worker."""
    run = world.click(world.plan())
    with (
        mock.patch("deployments.engine.steps.look", side_effect=RuntimeError("poison")),
        mock.patch("deployments.engine.verify.look", side_effect=RuntimeError("poison")),
    ):
        world.work(run, slices=12)


#: every experiment by its name
EXPERIMENTS: dict[str, Callable[[World], None]] = {
    "undisturbed": undisturbed,
    "killed before intent": killed_at("before_intent", 2),
    "killed after intent": killed_at("after_intent", 2),
    "killed after effect": killed_at("after_effect", 2),
    "killed after outcome": killed_at("after_outcome", 2),
    "killed after step": killed_at("step_done", 2),
    "rival": rival,
    "moved": moved,
    "recreated": recreated,
    "lost answer": lost_answer,
    "two claims": two_claims,
    "zombie": zombie,
    "two on one target": two_on_one_target,
    "clicked again": clicked_again,
    "never ready": never_ready,
    "lost messages": lost_messages,
    "cancelled": cancelled,
    "cancelled at the end": cancelled_at_the_end,
    "cancelled unheard": cancelled_unheard,
    "web died": web_died,
    "stopped": stopped,
    "stopped while reading": stopped_while_reading,
    "poisoned": poisoned,
}
