"""A lab as its own process, and short ways to ask it."""

from __future__ import annotations

import base64
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

T = TypeVar("T")
APPLICATION = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/"
MONITORING = "/namespaces/platform-monitoring"
GRAFANA = f"/apis/apps/v1{MONITORING}/deployments/kube-prometheus-stack-grafana"
_SPEED = "0.05"


class RunningLab:
    """`python -m lab` with one scenario. Everything asked goes over HTTPS as an ordinary client would."""

    def __init__(self, scenario: str, folder: Path, *more: str, cwd: Path | None = None) -> None:
        self.kubeconfig = folder / "kubeconfig"
        environment = {key: value for key, value in os.environ.items() if key != "DJANGO_DEBUG"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lab", "--scenario", scenario, "--kubeconfig", str(self.kubeconfig),
             "--speed", _SPEED, *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=cwd,
        )  # fmt: skip
        assert self.process.stdout
        self.ready_line = self.process.stdout.readline()
        if not self.ready_line.startswith("lab ready: "):
            raise AssertionError(self.process.communicate()[1])
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self.ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.http = httpx.Client(
            base_url=cluster["server"],
            verify=ssl.create_default_context(cadata=self.ca),
            headers={"Authorization": "Bearer tok-admin", "User-Agent": "a-person/1"},
            trust_env=False,
            timeout=60,
        )

    def stop(self) -> None:
        """Stop by SIGTERM."""
        self.http.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)

    # -- asking

    def get(self, path: str, **query: str) -> Any:
        answer = self.http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    def items(self, path: str, **query: str) -> list[Any]:
        return list(self.get(path, **query)["items"])

    def patch(self, path: str, body: Any, how: str = "merge-patch") -> Any:
        answer = self.http.patch(path, json=body, headers={"Content-Type": f"application/{how}+json"})
        answer.raise_for_status()
        return answer.json()

    def app(self, name: str = "kube-prometheus-stack") -> Any:
        return self.get(APPLICATION + name)

    def grafana_pods(self) -> list[Any]:
        return self.items(f"/api/v1{MONITORING}/pods", labelSelector="app.kubernetes.io/name=grafana")

    def ready_addresses(self) -> list[str]:
        slices = self.items(
            f"/apis/discovery.k8s.io/v1{MONITORING}/endpointslices",
            labelSelector="kubernetes.io/service-name=kube-prometheus-stack-grafana",
        )
        return [
            address
            for piece in slices
            for endpoint in piece.get("endpoints") or []
            if endpoint["conditions"]["ready"]
            for address in endpoint["addresses"]
        ]

    def writes(self) -> list[Any]:
        """What has been written since the start, without Events."""
        return [entry for entry in self.get("/lab/ledger")["entries"] if entry["resource"] != "events"]

    def sync(self, *resources: dict[str, str], name: str = "kube-prometheus-stack") -> None:
        """Start a sync as a person with kubectl would, of some resources or of all."""
        wanted: dict[str, Any] = {"syncOptions": ["ServerSideApply=true"]}
        if resources:
            wanted["resources"] = list(resources)
        operation = {"initiatedBy": {"username": "a-person"}, "sync": wanted}
        self.patch(APPLICATION + name, {"operation": operation, "status": {"operationState": None}})

    def until(self, question: Callable[[], T], what: str, seconds: float = 150.0) -> T:
        """The first truthy answer; fails with `what` after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            answer = question()
            if answer:
                return answer
            assert time.monotonic() < end, f"never came true: {what}"
            time.sleep(0.05)

    def kubectl(self, *arguments: str) -> str:
        run = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *arguments], capture_output=True, text=True, timeout=120
        )
        assert run.returncode == 0, run.stderr
        return run.stdout


def environment_of(lab: RunningLab) -> dict[str, str]:
    """What the lab wrote for the portal beside its kubeconfig."""
    return dict(line.split("=", 1) for line in Path(f"{lab.kubeconfig}.env").read_text().splitlines())


def healthy(app: Any) -> bool:
    status = app["status"]
    return bool(status["sync"]["status"] == "Synced" and status["health"]["status"] == "Healthy")


def phase(app: Any) -> str:
    return str((app["status"].get("operationState") or {}).get("phase", ""))
