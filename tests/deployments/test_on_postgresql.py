"""The same engine tests on a real PostgreSQL: real row locks. The server is private and dies with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Postgres

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """A PostgreSQL of our own on a port of our own."""
    server = Postgres()
    try:
        server.start()
        yield server.url
    finally:
        server.remove()


_VENDOR = "import django; django.setup(); from django.db import connection as c; c.ensure_connection(); print(c.vendor)"


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "files",
    [
        "engine services",
        "approvals",
        "holds glass deciding_commands clocks",
        "pages/test_approving",
        "approval_machine crowds",
        "common/test_audit",
    ],
)
def test_the_engine_and_approvals_keep_their_promises_on_postgresql(database_url: str, files: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database_url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    python = [sys.executable, "-c", _VENDOR]
    asked = subprocess.run(python, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True)
    assert asked.stdout.strip().endswith("postgresql")
    tests = [f"tests/{name}.py" if "/" in name else f"tests/deployments/test_{name}.py" for name in files.split()]
    command = [sys.executable, "-m", "pytest", *tests, "-q", "-x", "-m", "not sqlite", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=380)
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert " passed" in ran.stdout and "skipped" not in ran.stdout
