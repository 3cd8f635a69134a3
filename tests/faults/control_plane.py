"""``python -m tests.faults.control_plane --binaries DIR --directory DIR``: a real control plane with an audit log.

Starts etcd, kube-apiserver, kube-controller-manager and kube-scheduler from a directory that holds these binaries, on
loopback, empty, and ends them with itself. Says where the kubeconfig and the audit log are, for ``make storm
AGAINST=… AUDIT=…``. Flags: those of Kubernetes 1.20 and later. For tests: the admin's token is no secret, etcd does not
sync its files.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import httpx

from tests.conftest import free_port
from tests.faults import identities

_TOKEN = "tok-admin"
_TOKENS = f'{_TOKEN},admin,admin,"system:masters"\ntok-view,viewer,viewer,"viewers"\n'
#: what the portal writes is kept whole, and everybody else's writes to what it may write to: the version an object had
#: before is known from them. Secrets and questions only as metadata, chatter not at all.
_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "None", "resources": [{"group": "", "resources": ["events"]}, {"group": "events.k8s.io"}]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io"}]},
        {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets", "serviceaccounts/token"]}]},
        {"level": "RequestResponse", "users": [identities.WRITER]},
        # which uid a pod has: an eviction's own event does not say it
        {
            "level": "RequestResponse",
            "verbs": ["create", "delete"],
            "resources": [{"group": "", "resources": ["pods"]}],
        },
        {
            "level": "Metadata",
            "resources": [
                {"group": "", "resources": ["pods", "pods/*", "endpoints"]},
                {"group": "discovery.k8s.io"},
                {"group": "apps", "resources": ["replicasets", "replicasets/*"]},
            ],
        },
        {"level": "RequestResponse"},
    ],
}


class ControlPlane:
    """The four processes. ``kubeconfig`` and ``audit`` are files in ``directory``."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        self._binaries, self._directory = binaries, directory
        self.kubeconfig, self.audit = directory / "kubeconfig", directory / "audit.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._port = free_port()

    def start(self) -> None:
        """Start them; the API server is ready when this returns. :raises AssertionError: not within a minute."""
        self._directory.mkdir(parents=True, exist_ok=True)
        key, policy, tokens = (self._directory / name for name in ("sa.key", "policy.json", "tokens.csv"))
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        policy.write_text(json.dumps(_POLICY))
        tokens.write_text(_TOKENS)
        address = f"https://127.0.0.1:{self._port}"
        identities.kubeconfig(self.kubeconfig, address, "", _TOKEN)
        etcd, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._spawn(
            "etcd",
            f"--data-dir={self._directory / 'etcd'}",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peers}",
            "--unsafe-no-fsync",
        )
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--cert-dir={self._directory / 'certs'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit}",
            # one file, and a line is there before its answer is
            "--audit-log-maxsize=100000",
            "--audit-log-mode=blocking",
        )
        self._wait_until_ready(address)
        common = ("--kubeconfig", str(self.kubeconfig), "--bind-address=127.0.0.1")
        for name in ("kube-controller-manager", "kube-scheduler"):
            own = [f"--secure-port={free_port()}", f"--cert-dir={self._directory / name}", *self._no_second_port(name)]
            if name == "kube-controller-manager":
                own.append(f"--service-account-private-key-file={key}")
            self._spawn(name, *common, *own)
        self._wait_for_leaders(address)

    def stop(self) -> None:
        """End what was started, the API server before its store."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()

    def _spawn(self, name: str, *flags: str) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            command = [str(self._binaries / name), *flags]
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self._directory))

    def _no_second_port(self, name: str) -> list[str]:
        """Until 1.23 these two also listened on a fixed port without TLS, which another control plane may hold."""
        helped = subprocess.run([str(self._binaries / name), "--help"], capture_output=True, text=True, check=False)
        return ["--port=0"] if "--port int" in helped.stdout else []

    def _wait_for_leaders(self, address: str) -> None:
        """Controllers and scheduler work when they hold their leases: who comes earlier would take them for absent."""
        leases = f"{address}/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
        ends = time.monotonic() + 60
        for name in ("kube-controller-manager", "kube-scheduler"):
            headers = {"Authorization": f"Bearer {_TOKEN}"}
            while httpx.get(f"{leases}/{name}", headers=headers, verify=False, timeout=10).status_code != 200:
                dead = next((p.args for p in self._processes if p.poll() is not None), None)
                if dead or time.monotonic() > ends:
                    self.stop()
                    raise AssertionError(f"{name} does not work; see its log in {self._directory}")
                time.sleep(0.3)

    def _wait_until_ready(self, address: str) -> None:
        ends = time.monotonic() + 60
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        while time.monotonic() < ends:
            try:
                if httpx.get(f"{address}/readyz", headers=headers, verify=False, timeout=5).text == "ok":
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.3)
        self.stop()
        raise AssertionError(f"kube-apiserver is not ready; see {self._directory}/kube-apiserver.log")


def main() -> int:
    """Run until a signal. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binaries", type=Path, required=True)
    parser.add_argument("--directory", type=Path, required=True, help="a new directory for keys, logs and the store")
    options = parser.parse_args()
    plane = ControlPlane(options.binaries.absolute(), options.directory.absolute())

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    try:
        plane.start()
        sys.stdout.write(f"ready: AGAINST={plane.kubeconfig} AUDIT={plane.audit}\n")
        sys.stdout.flush()
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        plane.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
