"""`make run` as a new user meets it: starts, says what to do when it cannot, survives its children, stops cleanly."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.circle.stack import ROLES, ROOT, Stack, eventually
from tests.conftest import free_port

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def _serve(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "serve", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_greeting_names_the_address_and_every_demo_sign_in(stack: Stack) -> None:
    assert any(f"Phaseboard runs at {stack.base}/" in line for line in stack.output)
    assert set(stack.passwords) == set(ROLES)
    assert httpx.get(f"{stack.base}/healthz", trust_env=False).status_code == 200


def test_a_second_one_says_that_the_port_is_taken_and_how_to_change_it(stack: Stack, tmp_path: Path) -> None:
    outcome = _serve(stack.env | {"PORTAL_STATE_DIR": str(tmp_path)}, "--port", str(stack.port))

    assert outcome.returncode != 0
    assert re.search(rf"Port {stack.port} .* is taken.*PORTAL_PORT={stack.port + 1} make run", outcome.stderr)
    assert "Traceback" not in outcome.stderr


def test_a_second_one_on_another_port_says_that_the_data_is_in_use(stack: Stack) -> None:
    outcome = _serve(stack.env, "--port", str(free_port()))

    assert outcome.returncode != 0
    assert "PORTAL_STATE_DIR" in outcome.stderr


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PORTAL_KUBECONFIG", "/nonexistent/kubeconfig", "PORTAL_KUBECONFIG names /nonexistent/kubeconfig"),
        ("DATABASE_URL", "postgres://nobody:x@127.0.0.1:1/none", "DATABASE_URL does not answer"),
        ("DATABASE_URL", "mysql://a/b", "DATABASE_URL must name PostgreSQL"),
    ],
)
def test_a_wrong_setting_gives_one_clear_sentence(
    tmp_path: Path, stack: Stack, variable: str, value: str, sentence: str
) -> None:
    env = stack.env | {"PORTAL_STATE_DIR": str(tmp_path), variable: value}

    outcome = _serve(env, "--port", str(free_port()))

    assert outcome.returncode != 0
    assert sentence in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("child", ["worker", "observer", "web", "system"])
def test_a_child_that_dies_is_started_again(stack: Stack, child: str) -> None:
    before = stack.kill(child)

    eventually(lambda: stack.pid(child) != before, 15, f"{child} runs again")
    eventually(lambda: _answers(stack), 15, "the page answers")


def _answers(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.base}/healthz", trust_env=False, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    running = Stack(tmp_path / "state").start()
    eventually((tmp_path / "state" / "logs" / "system.pid").exists, 60, "everything was started")
    pids = [running.pid(name) for name in ("redis", "lab", "web", "observer", "worker", "system")]

    running.stop()

    assert [pid for pid in pids if Path(f"/proc/{pid}").exists() and not _zombie(pid)] == []
    assert any((tmp_path / "state").iterdir())  # what was stored stays


def _zombie(pid: int) -> bool:
    return ") Z" in Path(f"/proc/{pid}/stat").read_text()
