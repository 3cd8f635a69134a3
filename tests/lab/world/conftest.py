"""Running labs for the tests of the world."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.world.running import RunningLab


def _lab(scenario: str, folder: Path) -> Iterator[RunningLab]:
    lab = RunningLab(scenario, folder)
    yield lab
    lab.stop()


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[RunningLab]:
    """The report's hour."""
    yield from _lab("grafana-broken", tmp_path)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """All is well; one lab for all tests that leave it so."""
    yield from _lab("healthy", tmp_path_factory.mktemp("lasting"))


@pytest.fixture
def well(tmp_path: Path) -> Iterator[RunningLab]:
    """All is well."""
    yield from _lab("healthy", tmp_path)


@pytest.fixture
def two_defaults(tmp_path: Path) -> Iterator[RunningLab]:
    """Two default datasources."""
    yield from _lab("grafana-two-default-datasources", tmp_path)
