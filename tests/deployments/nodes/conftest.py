"""A lab for the nodes family, and the engine on it (the desk is the Grafana family's)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deployments.dashboards.conftest import desk  # noqa: F401 - a fixture
from tests.lab.world.running import RunningLab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """The team's healthy cluster."""
    running = RunningLab("healthy", tmp_path_factory.mktemp("healthy"))
    yield running
    running.stop()
