"""Shared by all tests: what each needs from the machine, and the rule that CI skips nothing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """In CI a skipped test is a failed run: a missing program there means that `.ci/run` forgot it."""
    if os.environ.get("CI") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("CI skips nothing: install what the skipped tests name in .ci/run", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn skips into a failing exit code in CI."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _flush_in_spite_of_the_audit_triggers() -> None:
    """Transactional tests empty every table afterwards; the audit tables refuse that (common.migrations.0002)."""
    from django.db.backends.base.operations import BaseDatabaseOperations

    from tests.tampering import unguarded

    flush = BaseDatabaseOperations.execute_sql_flush

    def unhindered(operations: BaseDatabaseOperations, statements: Any) -> None:
        with unguarded(operations.connection):
            flush(operations, statements)

    BaseDatabaseOperations.execute_sql_flush = unhindered  # type: ignore[method-assign, assignment]


def free_port() -> int:
    """A TCP port nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """A real redis-server of our own that can be stopped, silenced and started again on the same port."""

    def __init__(self, directory: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._directory]
        self._process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        client = redis.Redis(port=self.port, socket_timeout=0.5)
        for _ in range(100):
            try:
                client.ping()
                return
            except redis.RedisError:
                time.sleep(0.05)
        raise AssertionError("redis-server did not answer within 5 s")

    def signal(self, number: int) -> None:
        """Send it a signal (SIGSTOP makes it silent, SIGCONT wakes it)."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Kill it: what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory, settings: object) -> Iterator[RedisServer]:
    """A private, empty Redis; `settings.REDIS_URL` points at it."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    from common import publish

    server = RedisServer(str(tmp_path_factory.mktemp("redis")))
    server.start()
    settings.REDIS_URL = server.url  # type: ignore[attr-defined]
    publish.client.cache_clear()
    yield server
    publish.client.cache_clear()
    server.stop()
