"""One running portal per module of the circle's tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.circle.stack import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The portal with the demo cluster in the hour of the report, with short waits where a setting allows it."""
    for program in ("redis-server", "kubectl"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    running = Stack(tmp_path_factory.mktemp("portal"))
    try:
        yield running.start()
    finally:
        running.stop()
