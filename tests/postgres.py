"""A real PostgreSQL of a test's own: it can be cut off, and started again on the same port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.conftest import free_port

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _nobody() -> str | None:
    """PostgreSQL refuses to run as root: another user for it then."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class Postgres:
    """The server. Skips the test where PostgreSQL is not installed.

    Its data is not below pytest's directory: another pytest of the same user shuts that to everybody else when it
    starts, and PostgreSQL is somebody else where the tests run as root.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        if not _BINARIES:
            pytest.skip("PostgreSQL is not installed")
        self._binaries, self._user, self.port = _BINARIES[-1], _nobody(), free_port()
        self._home = Path(tempfile.mkdtemp(prefix="phaseboard-pg-"))
        self._data, self._fsync = self._home / "data", fsync
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgres://phaseboard@127.0.0.1:{self.port}/postgres"
        self._data.mkdir(mode=0o700)
        if self._user is not None:
            self._home.chmod(0o711)
            os.chown(self._data, pwd.getpwnam(self._user).pw_uid, -1)
        initialise = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", "phaseboard", "-A", "trust"]
        subprocess.run([*initialise, "--no-sync"], user=self._user, cwd="/", check=True, capture_output=True)

    def start(self) -> None:
        """Start it and wait until it answers, after the recovery of a crash too."""
        options = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
        options += ["-c", f"unix_socket_directories={self._data}", "-c", f"fsync={'on' if self._fsync else 'off'}"]
        with (self._home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binaries / "postgres"), "-D", str(self._data), *options],
                user=self._user,
                cwd="/",
                stdout=log,
                stderr=log,
            )
        for _ in range(300):
            asked = [str(self._binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
            if subprocess.run(asked, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError("PostgreSQL did not answer within 30 s")

    def stop(self, *, immediate: bool = False) -> None:
        """Stop it. ``immediate``: as ``pg_ctl stop -m immediate``, without a checkpoint; every connection is cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
            self._process.wait(timeout=30)
            self._process = None

    def remove(self) -> None:
        """Stop it, and take its data away."""
        self.stop(immediate=True)
        shutil.rmtree(self._home, ignore_errors=True)
