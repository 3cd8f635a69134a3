"""Labs for the Argo CD family, one per test, and the engine on them: real HTTPS, real controllers, no worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployments.dashboards.conftest import desk
from tests.lab.world.running import RunningLab

__all__ = ["desk"]


def _lab(scenario: str, folder: Path) -> Iterator[RunningLab]:
    running = RunningLab(scenario, folder)
    yield running
    running.stop()


@pytest.fixture
def well(tmp_path: Path) -> Iterator[RunningLab]:
    """All is well."""
    yield from _lab("healthy", tmp_path)


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[RunningLab]:
    """The report's hour: the last sync failed and Grafana's Deployment is gone."""
    yield from _lab("grafana-broken", tmp_path)
