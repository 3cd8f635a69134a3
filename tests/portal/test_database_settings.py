"""What the portal asks of SQLite, asked of a real connection."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from portal.settings import _database


def test_a_commit_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'phaseboard.sqlite3'}")
    options = _database()["OPTIONS"]
    with sqlite3.connect(tmp_path / "phaseboard.sqlite3") as connection:
        for pragma in filter(None, options["init_command"].split(";")):
            connection.execute(pragma)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert options["transaction_mode"] == "IMMEDIATE"
