"""The whole portal as a new user starts it: `manage.py serve` with the lab, in a state directory of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("viewer", "operator", "approver", "admin")
PHASE = "/phases/2-platform-services/"
APPLICATION = "applications.argoproj.io/kube-prometheus-stack"
GRAFANA = "deployment/kube-prometheus-stack-grafana"


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
        own = {"PORTAL_STATE_DIR": str(state), "PORTAL_STATIC_ROOT": str(state / "static"), "PORTAL_LEASE_SECONDS": "5"}
        self.env = keep | own | env
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

    def started(self) -> Stack:
        """Start it and wait until the board has been read once."""
        self.start()
        eventually(lambda: self.word("grafana-deployed") not in ("", "unknown", "pending"), 60, "the board is read")
        eventually(lambda: "ready." in self.log("worker"), 30, "the worker takes messages")
        return self

    @contextmanager
    def nobody_restarts(self) -> Iterator[None]:
        """The supervisor looks away: what dies stays dead until the end of this."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ctrl-C, as a person would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
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

    # -- the database, read as a stranger would

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of the embedded database."""
        path = self.state / "phaseboard.sqlite3"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, values)]

    def item(self, key: str) -> int:
        """An item's number, as addresses and rows have it."""
        return int(self.rows("SELECT id FROM checklists_item WHERE key = ?", key)[0]["id"])

    def word(self, key: str) -> str:
        """The word of the item's open stretch; empty before the first."""
        query = (
            "SELECT s.word FROM checklists_itemspan s JOIN checklists_item i ON i.id = s.item_id"
            " WHERE i.key = ? AND s.closed_at IS NULL"
        )
        return next((str(row["word"]) for row in self.rows(query, key)), "")

    def run(self, pk: str) -> dict[str, Any]:
        """A run's row."""
        return self.rows("SELECT * FROM deployments_run WHERE id = ?", pk)[0]

    def run_log(self, pk: str) -> str:
        """What a run told, for messages of failed tests."""
        lines = self.rows("SELECT number, text FROM deployments_logline WHERE run_id = ? ORDER BY number", pk)
        return "\n".join(f"{line['number']:>4} {line['text']}" for line in lines)

    def ended(self, pk: str, seconds: float = 120) -> dict[str, Any]:
        """A run once it has ended. :raises AssertionError: with its log."""
        try:
            return dict(eventually(lambda: self.run(pk) if self.run(pk)["finished_at"] else None, seconds, "it ends"))
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.run(pk)['state']}\n{self.run_log(pk)}") from None

    # -- processes

    @property
    def redis_url(self) -> str:
        """The embedded Redis, as the supervisor told its children."""
        environ = Path(f"/proc/{self.pid('web')}/environ").read_bytes().split(b"\0")
        return next(line.decode().partition("=")[2] for line in environ if line.startswith(b"REDIS_URL="))

    def pid(self, child: str) -> int:
        """Process id of one of the supervisor's children now."""
        return int((self.state / "logs" / f"{child}.pid").read_text())

    def kill(self, child: str, number: int = signal.SIGKILL) -> int:
        """Send a child a signal; returns the pid it had."""
        pid = self.pid(child)
        os.kill(pid, number)
        return pid

    def kill_all_of(self, child: str) -> int:
        """`kill -9` a child with everything it started; returns the pid it had."""
        pid = self.pid(child)
        os.killpg(pid, signal.SIGKILL)
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

    def break_grafana(self) -> None:
        """The hour of the report once more: the last sync failed, and Grafana's Deployment is gone since."""
        live = json.loads(self.kubectl("get", "-n", "argocd", APPLICATION, "-o", "json"))
        if live["status"]["operationState"]["phase"] == "Failed" and self.word("grafana-deployed") == "failing":
            return
        if live["status"]["operationState"]["phase"] == "Succeeded":
            failed = {"status": {"operationState": {"phase": "Failed", "message": "made to fail by the test"}}}
            self._patch_application(failed)
        self.kubectl("delete", "-n", "platform-monitoring", GRAFANA, "--ignore-not-found")
        eventually(self._seen_missing, 60, "Argo CD sees Grafana missing")
        eventually(lambda: self.word("grafana-deployed") == "failing", 30, "the item is failing")

    def _seen_missing(self) -> bool:
        self._patch_application({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}})
        time.sleep(0.5)
        live = json.loads(self.kubectl("get", "-n", "argocd", APPLICATION, "-o", "json"))
        refreshing = "argocd.argoproj.io/refresh" in live["metadata"].get("annotations", {})
        return not refreshing and live["status"]["sync"]["status"] == "OutOfSync" and "operation" not in live

    def _patch_application(self, patch: dict[str, Any]) -> None:
        self.kubectl("patch", "-n", "argocd", APPLICATION, "--type", "merge", "-p", json.dumps(patch))

    # -- the ledger

    def last_write(self) -> int:
        """The end of the lab's ledger now."""
        return max((int(entry["seq"]) for entry in self.lab("GET", "/lab/ledger")["entries"]), default=0)

    def effects(self, after: int) -> list[dict[str, Any]]:
        """What the API server accepted of the portal since, dry runs left out."""
        entries = self.lab("GET", f"/lab/ledger?after={after}")["entries"]
        return [
            entry
            for entry in entries
            if not entry["dry_run"] and entry["field_manager"].startswith("portal-remediation")
        ]


def eventually(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until something is true and return it. :raises AssertionError: with ``what`` it was."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"within {seconds} s: {what}"
        time.sleep(0.1)
