"""What the commands say, as processes, where they cannot do their work: one sentence, exit code 3, JSON for scripts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

REPORT = "report.md"
READING = (
    ("verify", "--json"),
    ("diagnose", "grafana-deployed", "--json"),
    ("plan", "repair-grafana-in-place", "--json"),
    ("run_action", "repair-grafana-in-place", "--yes", "--json"),
    ("import_report", REPORT, "--json"),
)


def run(state: Path, *arguments: str, **settings_given: str) -> subprocess.CompletedProcess[str]:
    """A command of the product with a database of its own, which nobody has migrated."""
    (state / REPORT).write_text("# Report\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PORTAL_", "DATABASE_"))}
    env |= {"PORTAL_STATE_DIR": str(state), "DJANGO_SETTINGS_MODULE": "portal.settings", **settings_given}
    manage = str(settings.BASE_DIR / "manage.py")
    return subprocess.run([sys.executable, manage, *arguments], cwd=state, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", READING, ids=lambda given: given[0])
def test_a_database_nobody_migrated_is_one_sentence_and_a_document(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 3
    assert "manage.py migrate" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["ensure_users", "load_project"])
def test_setting_up_before_migrating_is_one_sentence(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, command)
    assert done.returncode == 3
    assert "manage.py migrate" in done.stderr and "Traceback" not in done.stderr


def test_a_wrong_parameter_and_a_missing_yes_are_not_taken_for_an_answer(tmp_path: Path) -> None:
    for arguments in (("plan", "x", "--param", "novalue", "--json"), ("run_action", "x", "--json")):
        done = run(tmp_path, *arguments)
        assert done.returncode == 3
        assert json.loads(done.stdout)["error"]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("DATABASE_URL", "nonsense", "DATABASE_URL"),
        ("DATABASE_URL", "mysql://root@host/x", "must name PostgreSQL"),
        ("REDIS_URL", "nonsense", "REDIS_URL is not a Redis URL"),
        ("PORTAL_PRODUCTION", "maybe", "PORTAL_PRODUCTION is 'maybe'"),
    ],
)
def test_a_setting_that_makes_no_sense_stops_every_command_with_one_sentence(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    done = run(tmp_path, "verify", "--json", **{name: value})
    assert done.returncode == 3
    assert sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert json.loads(done.stdout)["error"] == done.stderr.strip()
