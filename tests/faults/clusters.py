"""The two clusters the fault tests run against: the lab's API server, and a real kube-apiserver.

Both answer the same questions: where the portal connects, which fault strikes its requests, and what the server
accepted. The lab keeps a ledger and strikes by itself. A real server is struck by a proxy before it
(:mod:`tests.faults.proxy`), and its audit log is the ledger (:mod:`tests.faults.audit`); the lab's controllers and
kubelets live on it.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx
import yaml

from tests.faults import identities
from tests.faults.audit import AuditLog

#: starts a process: its command, and the name of its log
Spawn = Callable[[Sequence[str], str], Any]
Ledger = list[dict[str, Any]]
AGENT = "phaseboard"


class Cluster(Protocol):
    """What a stage needs of a cluster."""

    #: a client with an admin's rights, past every fault
    api: httpx.Client
    #: whether a fault strikes calls to Alertmanager too, and not the API server alone
    strikes_calls: bool

    def start(self, spawn: Spawn) -> None:
        """Start what is needed; returns when the scenario is there."""

    def environment(self) -> dict[str, str]:
        """What the portal must know to connect."""

    def fault_on(self, **rule: Any) -> str:
        """Strike requests by a rule of the lab's (docs/lab.md). Returns its id."""

    def clear(self, fault: str = "") -> None:
        """Take one fault away, or all of them."""

    def ledger(self, since: int = 0) -> Ledger:
        """Every write the server accepted from the portal after a mark of :meth:`last_seq`; no dry runs."""

    def last_seq(self) -> int:
        """The ledger's end at this moment."""


class LabCluster:
    """The lab's own API server. With ``own_identities`` the portal has the two identities of ``deploy/rbac.yaml``, and
    one admin for both without."""

    strikes_calls = True

    def __init__(self, directory: Path, *, scenario: str, speed: float, own_identities: bool = False) -> None:
        self._directory, self._scenario, self._speed = directory, scenario, speed
        self._own_identities = own_identities
        self.kubeconfig = directory / "kubeconfig"
        self.api: httpx.Client

    def start(self, spawn: Spawn) -> None:
        lab = [sys.executable, "-m", "lab", "--scenario", self._scenario, "--port", "0", "--speed", str(self._speed)]
        spawn([*lab, "--kubeconfig", str(self.kubeconfig)], "lab")
        _said(self._directory / "lab.log", "lab ready", 90)
        self.api, server, authority = admin(self.kubeconfig)
        if self._own_identities:
            shutil.copy(f"{self.kubeconfig}.env", self._directory / "reads.env")
            _identities(self._directory, self.api, server, authority)

    def environment(self) -> dict[str, str]:
        return _paths(self._directory) if self._own_identities else {"PORTAL_KUBECONFIG": str(self.kubeconfig)}

    def fault_on(self, **rule: Any) -> str:
        return str(self.api.post("/lab/faults", json=rule).raise_for_status().json()["id"])

    def clear(self, fault: str = "") -> None:
        self.api.delete(f"/lab/faults/{fault}" if fault else "/lab/faults").raise_for_status()

    def ledger(self, since: int = 0) -> Ledger:
        answer = self.api.get("/lab/ledger", params={"since": since}).raise_for_status().json()
        return [entry for entry in answer["entries"] if entry["user_agent"] == AGENT]

    def last_seq(self) -> int:
        return int(self.api.get("/lab/ledger", params={"since": 2**62}).raise_for_status().json()["last"])


class RealCluster:
    """A real API server, given by an admin's kubeconfig and the file its audit log goes to (docs/reliability.md)."""

    strikes_calls = False

    def __init__(self, directory: Path, *, scenario: str, speed: float, against: Path, audit: Path) -> None:
        self._directory, self._scenario, self._speed = directory, scenario, speed
        self._against, self._audit = against.absolute(), AuditLog(audit)
        self.api: httpx.Client
        self._faults: httpx.Client

    def start(self, spawn: Spawn) -> None:
        self.api, _, _ = admin(self._against)
        world = self._directory / "world"
        lab = [sys.executable, "-m", "lab", "--against", str(self._against), "--scenario", self._scenario]
        spawn([*lab, "--speed", str(self._speed), "--kubeconfig", str(world)], "lab")
        proxied = self._directory / "proxied"
        proxy = [sys.executable, "-m", "tests.faults.proxy", "--upstream", str(self._against)]
        spawn([*proxy, "--kubeconfig", str(proxied)], "proxy")
        _said(self._directory / "proxy.log", "proxy ready", 30)
        _said(self._directory / "lab.log", "lab ready", 180)
        self._faults, server, authority = admin(proxied)
        shutil.copy(f"{world}.env", self._directory / "reads.env")
        _identities(self._directory, self.api, server, authority)

    def environment(self) -> dict[str, str]:
        return _paths(self._directory)

    def fault_on(self, **rule: Any) -> str:
        return str(self._faults.post("/lab/faults", json=rule).raise_for_status().json()["id"])

    def clear(self, fault: str = "") -> None:
        self._faults.delete(f"/lab/faults/{fault}" if fault else "/lab/faults").raise_for_status()

    def ledger(self, since: int = 0) -> Ledger:
        return [entry for entry in self._audit.entries(since) if entry["user_agent"] == AGENT]

    def last_seq(self) -> int:
        return self._audit.last()


def admin(kubeconfig: Path) -> tuple[httpx.Client, str, str]:
    """A client of a kubeconfig's current context, its server, and its authority as in the file (empty: none)."""
    loaded = yaml.safe_load(kubeconfig.read_text())
    context = next(c["context"] for c in loaded["contexts"] if c["name"] == loaded["current-context"])
    cluster = next(c["cluster"] for c in loaded["clusters"] if c["name"] == context["cluster"])
    user = next(u["user"] for u in loaded["users"] if u["name"] == context["user"])
    headers = {"Authorization": f"Bearer {user['token']}"}
    client = httpx.Client(base_url=cluster["server"], headers=headers, verify=False, timeout=20, trust_env=False)
    return client, cluster["server"], cluster.get("certificate-authority-data", "")


def _identities(directory: Path, api: httpx.Client, server: str, authority: str) -> None:
    for file, name in (("reads", identities.READS), ("writes", identities.WRITES)):
        identities.kubeconfig(directory / file, server, authority, identities.token(api, name))


def _paths(directory: Path) -> dict[str, str]:
    return {"PORTAL_KUBECONFIG": str(directory / "reads"), "PORTAL_WRITE_KUBECONFIG": str(directory / "writes")}


def _said(log: Path, words: str, seconds: float) -> None:
    """Wait until a process has said something. :raises AssertionError: with the end of its log."""
    ends = time.monotonic() + seconds
    while words not in log.read_text(errors="replace"):
        assert time.monotonic() < ends, f"not within {seconds} s: {words}\n{log.read_text(errors='replace')[-2000:]}"
        time.sleep(0.1)
