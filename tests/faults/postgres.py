"""A stage whose database is a real PostgreSQL, with the processes as they are run in earnest: worker, system, web."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.faults.harness import Stage, wait_for
from tests.postgres import Postgres

#: our own connections go by this name, and are none of the portal's
_JUDGE = "judge"
_PORTAL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    f" WHERE backend_type = 'client backend' AND application_name <> '{_JUDGE}'"
)
_LIVE = "state IN ('queued', 'running', 'verifying')"


class PostgresStage(Stage):
    """As :class:`Stage`. ``worker`` takes runs, ``system`` sweeps; each can be replaced by a new one while it works."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(directory, **options)
        self.postgres = Postgres()
        self.environment["DATABASE_URL"] = self.postgres.url
        self.system: subprocess.Popen[bytes] | None = None
        self._started = 0

    def start(self) -> None:
        """PostgreSQL first."""
        self.postgres.start()
        super().start()

    def start_worker(self) -> None:
        """A worker for runs and the system process."""
        self.worker = self.celery("worker", "-Q", "runs", "-c", "2")
        self.system = self.celery("system", "-Q", "system", "-c", "1", "-B")

    def celery(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        """A new process of this kind, once it is ready; the one before it goes on until it is told to end."""
        self._started += 1
        name = f"{kind}-{self._started}"
        schedule = ["-s", str(self.directory / f"beat-{name}")] if "-B" in options else []
        command = [sys.executable, "-m", "celery", "-A", "portal", "worker", "-n", f"{name}@%h", "-l", "info"]
        process = self.spawn([*command, *options, *schedule], name)
        wait_for(f"{name} is ready", lambda: " ready." in self.output(name), 90)
        return process

    def stop(self) -> None:
        """Everything, and the database last."""
        super().stop()
        self.postgres.remove()

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """As SQLite would give them: JSON as text, times as text, and ``?`` for values."""
        with self._connection() as database:
            found = database.execute(query.replace("?", "%s").encode(), values).fetchall()
        return [{name: _plain(value) for name, value in row.items()} for row in found]

    def terminate(self) -> int:
        """Cut every connection of the portal. Returns how many there were."""
        with self._connection() as database:
            return len(database.execute(_PORTAL.encode()).fetchall())

    def _connection(self) -> psycopg.Connection[dict[str, Any]]:
        url, name = self.postgres.url, _JUDGE
        return psycopg.connect(url, row_factory=dict_row, autocommit=True, connect_timeout=5, application_name=name)

    @contextmanager
    def terminating(self, every: float) -> Iterator[list[int]]:
        """Do that again and again while the block runs; the list grows by the number of connections each time."""
        ends, cut = threading.Event(), []

        def loop() -> None:
            while not ends.wait(every):
                cut.append(self.terminate())

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield cut
        finally:
            ends.set()
            thread.join()

    @contextmanager
    def watching_owners(self, grace: float) -> Iterator[list[str]]:
        """While the block runs: the live runs whose lease or wait was over for longer than ``grace`` seconds."""
        ends = threading.Event()
        left: list[str] = []
        old = f"{_LIVE} AND coalesce(lease_until, wake_at) < now() - interval '{grace} seconds'"

        def loop() -> None:
            while not ends.wait(0.5):
                found = self.rows(
                    f"SELECT id, state, lease_owner, lease_until, wake_at, now() FROM deployments_run WHERE {old}"
                )
                left.extend(str(row) for row in found)

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield left
        finally:
            ends.set()
            thread.join()


def _plain(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, datetime) else value
