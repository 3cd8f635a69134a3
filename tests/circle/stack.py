"""The whole portal as a new user starts it: `manage.py serve` with the lab, in a state directory of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("viewer", "operator", "approver", "admin")


class Stack:
    """One running portal. ``passwords`` are the printed demo sign-ins."""

    def __init__(self, state: Path, scenario: str = "grafana-broken", **env: str) -> None:
        self.state = state
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.kubeconfig = state / "lab" / "kubeconfig"
        self.passwords: dict[str, str] = {}
        self._scenario = scenario
        keep = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PORTAL_", "DJANGO_", "REDIS_", "DATABASE_"))
        }
        self.env = keep | {"PORTAL_STATE_DIR": str(state), "PORTAL_STATIC_ROOT": str(state / "static")} | env
        self._process: subprocess.Popen[str] | None = None
        self.output: list[str] = []

    def start(self) -> Stack:
        """Start it and read the greeting. :raises AssertionError: it did not come up."""
        self.manage("collectstatic", "--noinput", "--verbosity", "0", "--settings", "portal.settings")
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(self.port), "--scenario", self._scenario],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line)
            found = re.match(r"\s+(\w+)\s+(\S+)$", line)
            if found and found[1] in ROLES:
                self.passwords[found[1]] = found[2]
            if line.startswith("Logs:"):
                return self
        raise AssertionError("serve ended:\n" + "".join(self.output))

    def stop(self) -> None:
        """Ctrl-C, as a person would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise

    def manage(
        self, *arguments: str, check: bool = True, with_cluster: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a management command against this portal's database (and cluster, if asked)."""
        env = self.env | ({"PORTAL_KUBECONFIG": str(self.kubeconfig), "PORTAL_LAB": "1"} if with_cluster else {})
        outcome = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, capture_output=True, text=True
        )
        assert not check or outcome.returncode == 0, outcome.stderr[-2000:] + outcome.stdout[-2000:]
        return outcome

    def verify(self, *arguments: str) -> dict[str, Any]:
        """`manage.py verify --json`: items by key."""
        outcome = self.manage("verify", "--json", *arguments, check=False, with_cluster=True)
        return {item["item"]: item for item in json.loads(outcome.stdout)["items"]}

    def pid(self, child: str) -> int:
        """Process id of one of the supervisor's children now."""
        return int((self.state / "logs" / f"{child}.pid").read_text())

    def kill(self, child: str, number: int = signal.SIGKILL) -> int:
        """Send a child a signal; returns the pid it had."""
        pid = self.pid(child)
        os.kill(pid, number)
        return pid

    def log(self, child: str) -> str:
        """What a child wrote so far."""
        return (self.state / "logs" / f"{child}.log").read_text(errors="replace")

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """The real kubectl against the lab."""
        outcome = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments], input=stdin, capture_output=True, text=True
        )
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    def lab(self, method: str, path: str, body: Any = None) -> Any:
        """Call one of the lab's own endpoints (faults, ledger)."""
        server = re.search(r"server: ?\"?(https://[^\s\"]+)", self.kubeconfig.read_text().replace('"server"', "server"))
        assert server is not None
        answer = httpx.request(
            method,
            f"{server[1]}{path}",
            json=body,
            headers={"Authorization": "Bearer tok-admin"},
            verify=False,
            trust_env=False,
            timeout=10,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None


def eventually(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until something is true and return it. :raises AssertionError: with ``what`` it was."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"within {seconds} s: {what}"
        time.sleep(0.1)
