"""One running portal for all tests of the circle: each puts the world into the state it needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.chromium import launched
from tests.circle.people import People
from tests.circle.stack import Stack

expect.set_options(timeout=10_000)
_measured: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was measured on the way; goals are held by benchmarks."""
    for line in _measured:
        terminalreporter.write_line(f"measured: {line}")


@pytest.fixture
def measured() -> Callable[[str, float], None]:
    """Note a duration in seconds for the end of the test run."""
    return lambda what, seconds: _measured.append(f"{what}: {seconds * 1000:.0f} ms")


def started(directory: Path) -> Iterator[Stack]:
    """A portal of its own for a fixture, stopped when that ends. Skips where a program is missing."""
    for program in ("redis-server", "kubectl"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    running = Stack(directory)
    try:
        yield running.started()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The portal with the demo cluster in the hour of the report."""
    yield from started(tmp_path_factory.mktemp("portal"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One Chromium for the tests of a module."""
    yield from launched()


@pytest.fixture
def people(chromium: Browser, stack: Stack) -> Iterator[People]:
    """Persons at browsers, each signed in by the form."""
    gathered = People(chromium, stack)
    yield gathered
    gathered.leave()
