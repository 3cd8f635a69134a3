"""From an object's change in the API server to committed evidence, with 200 checks and items (design §5, §9).

    python -m benchmarks.evidence [--items 200] [--changes 100] [--kubeconfig PATH]

Starts the lab's empty API server (or uses the one a kubeconfig names), loads a project with one Service check per item,
starts ``manage.py observe`` and changes Services one by one. The change is timed from just before its request is sent
until another process can read the new evidence in the database.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from integrations.errors import Conflict
from integrations.kubernetes.connection import Connection

ROOT = Path(__file__).parents[1]
NAMESPACE = "bench"
MERGE = "application/merge-patch+json"
_READ = (
    "SELECT e.word, e.observed FROM monitoring_evidence e JOIN monitoring_check c ON c.id = e.check_ref_id"
    " WHERE c.params LIKE ?"
)


def project(items: int) -> str:
    """A definition with one check per item."""
    lines = [
        "project: {key: bench, title: Bench}",
        "phases:",
        "  - key: one",
        "    number: 1",
        "    title: One",
        "    items:",
    ]
    for number in range(items):
        lines += [
            f"      - key: item-{number:03}",
            f"        title: Service {number:03} has its address",
            f"        checks: [load_balancer_address: {{namespace: {NAMESPACE}, name: svc-{number:03}}}]",
        ]
    return "\n".join(lines)


def address(kube: Connection, number: int, value: int) -> None:
    """Give a Service a load-balancer address."""
    path = f"/api/v1/namespaces/{NAMESPACE}/services/svc-{number:03}/status"
    ingress = [{"ip": f"10.1.{value // 250}.{value % 250}"}]
    kube.call("PATCH", path, body={"status": {"loadBalancer": {"ingress": ingress}}}, content_type=MERGE)


def prepare(kube: Connection, items: int) -> None:
    """The namespace and its Services."""
    try:
        kube.call("POST", "/api/v1/namespaces", body={"metadata": {"name": NAMESPACE}})
    except Conflict:
        pass
    for number in range(items):
        spec = {"type": "LoadBalancer", "selector": {"app": "x"}, "ports": [{"port": 80}]}
        body = {"metadata": {"name": f"svc-{number:03}"}, "spec": spec}
        try:
            kube.call("POST", f"/api/v1/namespaces/{NAMESPACE}/services", body=body)
        except Conflict:
            pass
        address(kube, number, 1)


def measure(kube: Connection, database: Path, items: int, changes: int) -> list[float]:
    """Milliseconds of each change."""
    reading = sqlite3.connect(database, isolation_level=None, timeout=20)
    until = time.monotonic() + 60
    while len(reading.execute("SELECT 1 FROM monitoring_evidence").fetchall()) < items:
        if time.monotonic() > until:
            raise SystemExit("the observer did not read all checks within 60 s")
        time.sleep(0.1)
    time.sleep(1)
    found = []
    for turn in range(changes):
        number, value = (turn * 37) % items, 2 + turn
        wanted = f"10.1.{value // 250}.{value % 250}"
        began = time.perf_counter()
        address(kube, number, value)
        while wanted not in str(reading.execute(_READ, [f'%"svc-{number:03}"%']).fetchone()):
            if time.perf_counter() - began > 10:
                raise SystemExit(f"the change of svc-{number:03} was not seen within 10 s")
            time.sleep(0.001)
        found.append((time.perf_counter() - began) * 1000)
        time.sleep(0.05)
    return sorted(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--kubeconfig", default="")
    chosen = parser.parse_args()
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="phaseboard-bench-") as folder:
        state = Path(folder)
        kubeconfig = chosen.kubeconfig or str(state / "kubeconfig")
        (state / "projects").mkdir()
        (state / "projects" / "bench.yaml").write_text(project(chosen.items))
        env = {**os.environ, "PORTAL_STATE_DIR": folder, "PORTAL_KUBECONFIG": kubeconfig}
        env["DJANGO_SETTINGS_MODULE"] = "portal.settings"
        try:
            if not chosen.kubeconfig:
                lab = [
                    sys.executable,
                    "-m",
                    "lab",
                    "--scenario",
                    "empty",
                    "--no-controllers",
                    "--kubeconfig",
                    kubeconfig,
                ]
                running.append(subprocess.Popen(lab, cwd=ROOT, stdout=subprocess.DEVNULL))
                while not Path(kubeconfig).exists():
                    time.sleep(0.1)
                time.sleep(1)
            for command in (["migrate", "-v0"], ["load_project", "--dir", str(state / "projects")]):
                subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=env, check=True)
            kube = Connection(kubeconfig, rate=1000, burst=1000)
            prepare(kube, chosen.items)
            observe = [sys.executable, "manage.py", "observe"]
            running.append(subprocess.Popen(observe, cwd=ROOT, env=env, stdout=subprocess.DEVNULL))
            found = measure(kube, state / "phaseboard.sqlite3", chosen.items, chosen.changes)
        finally:
            for process in reversed(running):
                process.terminate()
                process.wait(10)
    middle, high = found[len(found) // 2], found[int(len(found) * 0.95)]
    print(f"{chosen.items} items, {chosen.changes} changes:", end=" ")
    print(f"p50 {middle:.0f} ms, p95 {high:.0f} ms, max {found[-1]:.0f} ms")
    return 0 if high < 300 else 1


if __name__ == "__main__":
    raise SystemExit(main())
