"""The same engine tests on a real PostgreSQL: real row locks. The server is private and dies with it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port

_ROOT = Path(__file__).parents[2]
_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _nobody() -> str | None:
    """PostgreSQL refuses to run as root: another user for it then."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of our own on a port of our own."""
    if not _BINARIES:
        pytest.skip("PostgreSQL is not installed")
    binaries, user, port = _BINARIES[-1], _nobody(), free_port()
    data = tmp_path_factory.mktemp("pg") / "data"
    data.mkdir(mode=0o700)
    if user is not None:
        os.chown(data, pwd.getpwnam(user).pw_uid, -1)
        for directory in data.parents[:3]:
            # pytest makes these for its own user alone; PostgreSQL must pass through to its data
            directory.chmod(0o711)
    initialise = [str(binaries / "initdb"), "-D", str(data), "-U", "phaseboard", "-A", "trust", "--no-sync"]
    subprocess.run(initialise, user=user, cwd="/", check=True, capture_output=True)
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}"]
    log = (data.parent / "server.log").open("wb")
    server = subprocess.Popen(
        [str(binaries / "postgres"), "-D", str(data), *options, "-c", "fsync=off"],
        user=user,
        cwd="/",
        stdout=log,
        stderr=log,
    )
    try:
        _wait_for(binaries, port)
        yield f"postgres://phaseboard@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(timeout=10)
        log.close()


def _wait_for(binaries: Path, port: int) -> None:
    for _ in range(100):
        asked = [str(binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
        if subprocess.run(asked, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("PostgreSQL did not answer within 10 s")


_VENDOR = "import django; django.setup(); from django.db import connection as c; c.ensure_connection(); print(c.vendor)"


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "files",
    [
        "engine services",
        "approvals",
        "holds glass deciding_commands",
        "pages/test_approving",
        "approval_machine crowds",
    ],
)
def test_the_engine_and_approvals_keep_their_promises_on_postgresql(database_url: str, files: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database_url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    python = [sys.executable, "-c", _VENDOR]
    asked = subprocess.run(python, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True)
    assert asked.stdout.strip().endswith("postgresql")
    tests = [f"tests/{name}.py" if "/" in name else f"tests/deployments/test_{name}.py" for name in files.split()]
    command = [sys.executable, "-m", "pytest", *tests, "-q", "-x", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=380)
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert " passed" in ran.stdout and "skipped" not in ran.stdout
