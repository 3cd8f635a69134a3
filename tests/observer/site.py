"""A database, an API server and observer processes of their own, as a person would start them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitoring.checks import registry
from tests.lab.api_server import RunningApi

ROOT = Path(__file__).parents[2]
CLUSTER = "is-platform"


def wait_for(what: Callable[[], Any], seconds: float = 15.0, why: str = "") -> Any:
    """The first true value of ``what()``. Raises AssertionError when it stays false."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = what()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {why or what}")


def manage(env: dict[str, str], *args: str) -> None:
    """Run a manage.py command to its end."""
    subprocess.run([sys.executable, "manage.py", *args], cwd=ROOT, env=env, check=True, capture_output=True)


class Site:
    """One embedded installation: its state directory, its environment, its observers."""

    def __init__(self, folder: Path, api: RunningApi, redis_url: str = "redis://127.0.0.1:1/0") -> None:
        self.folder, self.api = folder, api
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PORTAL_", "DJANGO_"))},
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PORTAL_STATE_DIR": str(folder),
            "PORTAL_KUBECONFIG": str(api.kubeconfig),
            "REDIS_URL": redis_url,
        }
        self.database = folder / "phaseboard.sqlite3"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.log = folder / "observer.log"

    def migrate(self) -> None:
        manage(self.env, "migrate", "-v0", "--skip-checks")

    def observe(self, *args: str) -> subprocess.Popen[bytes]:
        """Start an observer process."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "observe", *args], cwd=ROOT, env=self.env, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()

    # -- the database, as a stranger reads it

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.database, timeout=20, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()

    def rows(self, sql: str, *params: Any) -> list[sqlite3.Row]:
        with self._connect() as connection:
            return connection.execute(sql, params).fetchall()

    def execute(self, sql: str, *params: Any) -> int:
        with self._connect() as connection:
            return connection.execute(sql, params).lastrowid or 0

    def check(self, slug: str, limit_seconds: int = 60, **params: Any) -> int:
        """Add a Check row; its id."""
        plain, digest = registry.canonical(slug, params)
        return self.execute(
            "INSERT INTO monitoring_check (cluster, type, params, params_hash, limit_seconds, retired)"
            " VALUES (?, ?, ?, ?, ?, 0)",
            CLUSTER,
            slug,
            json.dumps(plain),
            digest,
            limit_seconds,
        )

    def evidence(self, check: int) -> dict[str, Any]:
        """The evidence row of a check, empty when there is none."""
        found = self.rows("SELECT * FROM monitoring_evidence WHERE check_ref_id = ?", check)
        if not found:
            return {}
        row = dict(found[0])
        row["receipt"], row["facts"] = json.loads(row["receipt"]), json.loads(row["facts"])
        return row

    def source(self, name: str = "kubernetes") -> dict[str, Any]:
        found = self.rows("SELECT * FROM monitoring_source WHERE name = ?", name)
        if not found:
            return {}
        return {**dict(found[0]), "watches": json.loads(found[0]["watches"])}

    def age(self, name: str = "kubernetes") -> float:
        """Seconds since a source was confirmed."""
        text = self.source(name).get("confirmed_at")
        return (datetime.now(UTC) - moment(text)).total_seconds() if text else float("inf")

    def word_is(self, check: int, word: str) -> Callable[[], bool]:
        return lambda: self.evidence(check).get("word") == word


def moment(text: str) -> datetime:
    """A DateTimeField as SQLite holds it."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
