"""kill -9 after every boundary of a run, for every kind of effect: whatever becomes durable, here or in the cluster.

A boundary is a commit of the worker, or an effect that the cluster accepted; they are counted while a run goes
undisturbed, so that a new one is killed at without anybody naming it. Between two of them lies a kill point, so that a
real process can be killed there too (``tests.faults.trouble``).
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from deployments import fault
from deployments.catalogue.action import Call
from deployments.engine import planning
from deployments.engine.cluster import Write
from deployments.models import Plan, Run
from deployments.states import RunState
from tests.deployments.conftest import OPERATOR, person
from tests.deployments.one_effect import CONFIG, EFFECTS, ONE, OneParams, board, install
from tests.faults.memory import Killed, World

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[2]
#: the six kinds of effect, and a whole repair with steps that only wait and checks that are held
KINDS = ("create", "apply", "patch", "delete", "evict", "call", "repair")
Passed = Callable[[str], None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No slice sleeps: the cluster in memory moves one step per look, and a call is never on its way."""
    monkeypatch.setattr("deployments.engine.advance.SHORT_WAITS", 0.0)
    monkeypatch.setattr("deployments.engine.calls._ON_ITS_WAY", timedelta(0))


@pytest.fixture
def world(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[], World]:
    """A new world with the same person, as often as one is wanted."""
    olivia = person("olivia", *OPERATOR)

    def made() -> World:
        Run.objects.all().delete()  # the next world's ledger knows nothing of them
        found = World(olivia)
        install(monkeypatch, found.cluster)
        return found

    return made


def prepared(world: World, kind: str) -> Plan:
    """A plan with this kind of effect, and what it needs to be there."""
    if kind == "repair":
        return world.plan()  # type: ignore[no-any-return]
    if kind in ("patch", "delete", "evict"):
        world.cluster.put(CONFIG, board(a="1", b="2"))
    return planning.make(world.cluster, ONE, OneParams(effect=kind))


@contextmanager
def watched(world: World, passed: Passed, on_point: Passed = lambda name: None) -> Iterator[None]:
    """``passed`` is called right after each boundary of what a worker does, ``on_point`` at each kill point."""
    commit, call = BaseDatabaseWrapper.commit, world.cluster.call

    def committed(database: BaseDatabaseWrapper) -> None:
        commit(database)
        try:
            passed("commit")
        except Killed:
            database.run_on_commit = []  # the dead send no messages
            raise

    def called(effect: Call) -> None:
        call(effect)
        passed("call")

    def sent(_write: Write) -> None:
        passed("effect")

    with (
        mock.patch.object(BaseDatabaseWrapper, "commit", committed),
        mock.patch.object(world.cluster, "after_write", sent),
        mock.patch.object(world.cluster, "call", called),
        mock.patch.multiple("deployments.fault", die=mock.DEFAULT),
    ):
        names = ("advance", "begin", "calls", "effects", "steps", "verify")
        patches = [mock.patch(f"deployments.engine.{n}.point", lambda name, step=None: on_point(name)) for n in names]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


def undisturbed(world: World, kind: str) -> list[str]:
    """What a run passes, in order: its boundaries and, as ``@name``, its kill points."""
    run, seen = world.click(prepared(world, kind)), []  # type: Run, list[str]
    with watched(world, seen.append, lambda name: seen.append(f"@{name}")):
        world.work(run)
    assert run.state == RunState.SUCCEEDED, run.sentence
    return seen


def killed_after(world: World, kind: str, boundary: int) -> Run:
    """The run of a worker that died right after so many boundaries, once the next one has ended it."""
    run, left = world.click(prepared(world, kind)), [boundary]

    def passed(_what: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    with watched(world, passed):
        try:
            world.work(run)
        except Killed:
            connection.close()  # a dead worker's transaction is rolled back
    assert left[0] <= 0, "it ended before"
    world.expire(run)
    return world.work(run)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_after_any_boundary_breaks_no_promise(kind: str, world: Callable[[], World]) -> None:
    count = sum(not name.startswith("@") for name in undisturbed(world(), kind))
    assert count >= 7, "claim, start, preparation, begin, intent, effect, outcome"
    for boundary in range(1, count + 1):
        here = world()
        run = killed_after(here, kind, boundary)
        assert here.verdict() == [], f"killed after boundary {boundary} of {count}"
        assert run.state == RunState.SUCCEEDED, f"killed after boundary {boundary}: {run.sentence}"
        assert len(here.cluster.calls) == (kind == "call")


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_a_kill_point_between_any_two_boundaries(kind: str, world: Callable[[], World]) -> None:
    seen = undisturbed(world(), kind)
    bare = [
        f"{one} ({index}) and {other}"
        for index, (one, other) in enumerate(itertools.pairwise(seen))
        if not one.startswith("@") and not other.startswith("@")
    ]
    assert bare == [], f"no kill point between {bare} of {seen}"
    every = {"before_intent", "after_intent", "after_effect", "after_outcome", "step_done", "in_verify", "before_end"}
    assert {f"@{name}" for name in every} <= set(seen)


def test_every_kind_of_effect_is_tried() -> None:
    assert {type(EFFECTS[kind]).__name__ for kind in KINDS if kind != "repair"} == {
        kind.__name__ for kind in _members("Effect")
    }


def test_the_lists_of_kill_points_are_those_in_the_source() -> None:
    found = set(_points(ROOT / "deployments")) | set(_points(ROOT / "portal"))
    assert found == {*fault.POINTS, *fault.CLICK_POINTS}


def _members(name: str) -> tuple[Any, ...]:
    from deployments.catalogue import action

    return getattr(action, name).__args__  # type: ignore[no-any-return]


def _points(directory: Path) -> Iterator[str]:
    """The names in ``point("…")`` of every module below."""
    for module in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "point":
                (name, *_) = node.args
                assert isinstance(name, ast.Constant), f"{module.name}: a point without a name"
                yield str(name.value)
