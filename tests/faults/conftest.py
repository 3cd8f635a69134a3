"""The whole portal as processes of a stage, started once for the experiments that need a web process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.harness import Stage
from tests.faults.judge import violations
from tests.faults.web import Form, Person, Web

#: nodes of the lab, taken in turns, so that two runs in a row have each a target of their own
NODES = ("worker01", "worker02", "worker03", "worker04")


@dataclass(slots=True)
class Site:
    """A stage with its web process and two people who are signed in."""

    stage: Stage
    web: Web
    operator: Person
    admin: Person
    _labels: int = 0

    def label(self) -> dict[str, Any]:
        """Parameters of ``set-label`` that no plan had before: the quickest of all actions."""
        self._labels += 1
        node = {"kind": "Node", "name": NODES[self._labels % len(NODES)]}
        return {**node, "key": "experiment", "value": f"n{self._labels}"}

    def plan(self) -> Form:
        """A plan of its own, opened."""
        return self.operator.plan("set-label", self.label())

    def runs_of(self, form: Form) -> list[str]:
        """The runs there are of a plan."""
        rows = self.stage.rows("SELECT id FROM deployments_run WHERE plan_id = ? ORDER BY number", form.plan)
        return [str(row["id"]) for row in rows]

    def verdict(self, since: int, clicks: dict[str, list[str]]) -> list[str]:
        """Every promise broken by the runs of these clicks."""
        runs = sorted({run for each in clicks.values() for run in each})
        return violations(self.stage.ledger(since), self.stage.told(runs, clicks))


@pytest.fixture
def site(portal: Site) -> Iterator[Site]:
    """The portal as the test before found it, also when that one failed."""
    yield portal
    portal.stage.fault.unlink(missing_ok=True)
    if portal.stage.worker is None or portal.stage.worker.poll() is not None:
        portal.stage.start_worker()
    if not portal.web.answers():
        portal.web.start()
    if portal.stage.rows("SELECT * FROM deployments_writestop"):
        portal.stage.manage("allow_writes", "--as", "admin")


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One portal for all of them."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    stage = Stage(tmp_path_factory.mktemp("site"), scenario="healthy")
    try:
        stage.start()
        stage.manage("ensure_users")
        stage.manage("collectstatic", "--noinput", "-v", "0")
        web = Web(stage).start()
        yield Site(stage, web, Person(web, "operator"), Person(web, "admin"))
    finally:
        stage.stop()
