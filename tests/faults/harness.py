"""Real processes for the fault tests: a cluster, a redis-server, a Celery worker with beat, a database of their own.

The cluster is the lab's API server, or a real one (:mod:`tests.faults.clusters`). Everything is judged from outside:
its ledger says what the API server accepted, the database what we say.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.conftest import RedisServer
from tests.faults.clusters import Cluster, LabCluster
from tests.faults.judge import Told

if TYPE_CHECKING:
    from tests.faults.web import Person

ROOT = Path(__file__).parents[2]
APP = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/kube-prometheus-stack"
GRAFANA = "/apis/apps/v1/namespaces/platform-monitoring/deployments/kube-prometheus-stack-grafana"
MARK = "portal.remediation/run"
FINAL = {"succeeded", "failed", "errored", "outcome_unknown", "cancelled", "refused", "undone"}
MERGE = {"Content-Type": "application/merge-patch+json"}


def wait_for(what: str, probe: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true answer of ``probe``. :raises AssertionError: none within ``seconds``."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = probe()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


class Stage:
    """The whole stage. ``point`` arms a kill point, ``broken`` puts Grafana into the report's state again.

    ``cluster``: where it all happens; without one, a lab of its own with ``scenario`` and ``speed``. ``planted``: a bug
    that the workers' engine has (:mod:`tests.faults.planted`).
    """

    def __init__(
        self,
        directory: Path,
        *,
        lease_seconds: float = 3.0,
        speed: float = 0.2,
        scenario: str = "grafana-broken",
        cluster: Cluster | None = None,
        planted: str = "",
    ) -> None:
        self._celery = [
            sys.executable,
            "-m",
            *(["tests.faults.sick", planted] if planted else ["celery"]),
            "-A",
            "portal",
        ]
        self.directory = directory
        self.redis = RedisServer(str(directory))
        self.fault = directory / "fault"
        self.cluster = cluster or LabCluster(directory, scenario=scenario, speed=speed)
        #: the ledger's end before the run of now, and the number of steps of its plan
        self.since, self.steps = 0, 1
        #: who clicks in the storm, once there is a web process
        self.person: Person
        self.ending = threading.Event()
        self._second: subprocess.Popen[bytes] | None = None
        self._clicker: subprocess.Popen[str] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self.worker: subprocess.Popen[bytes] | None = None
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TEST_", "PORTAL_"))},
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PORTAL_STATE_DIR": str(directory / "state"),
            "PORTAL_STATIC_ROOT": str(directory / "static"),
            **self.cluster.environment(),
            "PORTAL_CLUSTER": "lab",
            "PORTAL_LAB": "1",
            "PORTAL_LEASE_SECONDS": str(lease_seconds),
            "PORTAL_FAULT_POINT": f"@{self.fault}",
            "DJANGO_SECRET_KEY": "faults-" + "0123456789abcdef" * 4,
            "REDIS_URL": self.redis.url,
            "DATABASE_URL": f"sqlite:///{directory / 'portal.sqlite3'}",
        }

    # -- processes

    def start(self) -> None:
        """Cluster, Redis, migrated database, worker."""
        self.redis.start()
        self.cluster.start(self.spawn)
        self.manage("migrate", "--skip-checks", "-v", "0")
        self.start_worker()

    @property
    def api(self) -> httpx.Client:
        """An admin's client of the cluster, past every fault."""
        return self.cluster.api

    def start_worker(self) -> None:
        """A real worker for both queues, with beat."""
        celery = [*self._celery, "worker", "-Q", "runs,system", "-c", "2", "-B"]
        self.worker = self.spawn([*celery, "-s", str(self.directory / "beat"), "-l", "info"], "worker")
        wait_for("the worker is ready", lambda: " ready." in self.output("worker"), 60)

    def second_worker(self) -> subprocess.Popen[bytes]:
        """One more worker, for the time that the first cannot answer."""
        celery = [*self._celery, "worker", "-Q", "runs,system", "-c", "1", "-B"]
        name = [*celery, "-n", "second@%h", "-s", str(self.directory / "beat-2"), "-l", "info"]
        (self.directory / "second.log").write_text("")
        process = self.spawn(name, "second")
        wait_for("the second worker is ready", lambda: " ready." in self.output("second"), 60)
        self._second = process
        return process

    def end_second(self) -> None:
        """The second worker leaves as it should (SIGTERM)."""
        if self._second is not None and self._second.poll() is None:
            os.killpg(self._second.pid, signal.SIGTERM)
            self._second.wait(20)
        self._second = None

    def click(self, **wish: Any) -> dict[str, Any]:
        """What a person does, through a process that lives as long as the stage (tests.faults.clicker)."""
        if self._clicker is None:
            self._clicker = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.clicker"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        assert self._clicker.stdin is not None and self._clicker.stdout is not None
        self._clicker.stdin.write(json.dumps(wish) + "\n")
        self._clicker.stdin.flush()
        answer: dict[str, Any] = json.loads(self._clicker.stdout.readline())
        return answer

    def kill_worker(self) -> None:
        """kill -9 of the worker and all its children."""
        assert self.worker is not None
        os.killpg(self.worker.pid, signal.SIGKILL)
        self.worker.wait()
        (self.directory / "worker.log").write_text("")

    def stop(self) -> None:
        """Everything this stage started."""
        self.ending.set()
        everything: list[subprocess.Popen[Any]] = [*self._processes, *filter(None, [self._clicker])]
        for process in everything:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.redis.stop()

    def spawn(self, command: Sequence[str], name: str) -> subprocess.Popen[bytes]:
        """A process of this stage, ended with it; what it says is :meth:`output` of its name."""
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self._processes.append(process)
        return process

    def output(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def manage(self, *arguments: str, good: tuple[int, ...] = (0,)) -> str:
        """A management command's output."""
        ran = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        assert ran.returncode in good, ran.stdout + ran.stderr
        return ran.stdout

    # -- faults

    def point(self, name: str) -> None:
        """Arm one kill point, for one kill."""
        self.fault.write_text(name)

    def fault_on(self, **rule: Any) -> str:
        """A fault of the cluster, e.g. ``verb="get", resource="…", action="status:500", count=-1``. Returns its id."""
        return self.cluster.fault_on(**rule)

    def broken(self) -> None:
        """Grafana's Deployment gone after a failed sync, as in the report."""
        live = self.api.get(APP).raise_for_status().json()
        if live["status"]["operationState"]["phase"] == "Succeeded":
            patch = {"status": {"operationState": {"phase": "Failed", "message": "made to fail by the test"}}}
            self.api.patch(APP, json=patch, headers=MERGE).raise_for_status()
        self.api.delete(GRAFANA)
        wait_for("Argo CD sees it missing", self._is_missing, 60)

    def _is_missing(self) -> bool:
        self.api.patch(APP, json={"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}}, headers=MERGE)
        time.sleep(0.3)
        live = self.api.get(APP).raise_for_status().json()
        refreshing = "argocd.argoproj.io/refresh" in live["metadata"].get("annotations", {})
        gone = self.api.get(GRAFANA).status_code == 404
        return gone and not refreshing and live["status"]["sync"]["status"] == "OutOfSync" and "operation" not in live

    # -- runs

    def accept(self, action: str = "repair-grafana-in-place", **params: str) -> str:
        """Plan and confirm, without waiting: the worker does the rest. Returns the run's id."""
        pairs = [f"{key}={value}" for key, value in params.items()]
        arguments = ["run_action", action, "--yes", "--json", *(["--param", *pairs] if pairs else [])]
        return str(json.loads(self.manage(*arguments, good=(1,)))["run"])

    def row(self, run: str) -> dict[str, Any]:
        """The run as the database has it."""
        return self.rows("SELECT * FROM deployments_run WHERE id = ?", run)[0]

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        with sqlite3.connect(f"file:{self.directory / 'portal.sqlite3'}?mode=ro", uri=True, timeout=10) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, values)]

    def write(self, statement: str, *values: Any) -> None:
        """Change a row behind everybody's back, where a test cannot wait for as long as a person would."""
        with sqlite3.connect(self.directory / "portal.sqlite3", timeout=30) as database:
            database.execute(statement, values)

    def ended(self, run: str, seconds: float = 90.0) -> dict[str, Any]:
        """The run once it has ended. :raises AssertionError: with its log."""
        try:
            wait_for("the run ends", lambda: self.row(run)["state"] in FINAL, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.row(run)['state']}\n{self.log(run)}") from None
        return self.row(run)

    def log(self, run: str) -> str:
        lines = self.rows("SELECT number, text FROM deployments_logline WHERE run_id = ? ORDER BY number", run)
        return "\n".join(f"{line['number']:>4} {line['text']}" for line in lines)

    def effects(self, since: int = 0) -> Counter[str]:
        """What the API server accepted of the portal, by verb and object, dry runs left out."""
        mine = [e for e in self.ledger(since) if "portal-remediation" in (e.get("field_manager") or "")]
        return Counter(f"{e['verb']} {e['resource']} {e['name']}" for e in mine)

    def ledger(self, since: int = 0) -> list[dict[str, Any]]:
        """Every effect the API server accepted from the portal after ``since``, dry runs left out."""
        return self.cluster.ledger(since)

    def told(self, runs: Sequence[str], clicks: dict[str, list[str]] | None = None) -> Told:
        """What the portal's database says of these runs."""
        marks = ",".join("?" * len(runs))
        rows = self.rows(
            f"SELECT r.*, p.document AS document FROM deployments_run r"
            f" JOIN deployments_plan p ON p.hash = r.plan_id WHERE r.id IN ({marks})",
            *runs,
        )
        return Told(
            runs=rows,
            steps=self.rows(f"SELECT * FROM deployments_step WHERE run_id IN ({marks})", *runs),
            lines=self.rows(f"SELECT run_id, number FROM deployments_logline WHERE run_id IN ({marks})", *runs),
            clicks=clicks or {},
            plans={row["id"]: json.loads(row["document"])["steps"] for row in rows},
        )

    def last_seq(self) -> int:
        """The ledger's end at this moment."""
        return self.cluster.last_seq()
