"""One healthy lab for the whole family, and the engine on it: real HTTPS, real controllers, no worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deployments.dashboards.conftest import desk
from tests.lab.world.running import RunningLab

__all__ = ["desk", "lab"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    running = RunningLab("healthy", tmp_path_factory.mktemp("workloads"))
    yield running
    running.stop()
