"""Starts and stops the parts of one lab: API server (own or real), scenario, caches, controllers, services.

The order at the start is what makes it quick: the scenario is built settled, seeded in one go, and only then watched,
so that the controllers find nothing to do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import logging
import os
import random
import secrets
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from lab.address import Address, url
from lab.controllers.assembly import FOLLOWED, controllers
from lab.controllers.cache import Cache
from lab.controllers.client import ApiError, Client
from lab.controllers.events import Recorder
from lab.controllers.kubelet.logs import Logs
from lab.controllers.world import World
from lab.files import write_private
from lab.git import Repository
from lab.scenarios import Built, build

log = logging.getLogger("lab")
_KCM_LEASE = "kube-controller-manager"
_LEASE_SECONDS, _CONVERGE_SECONDS = 6.0, 90.0
ADMIN, VIEWER = "tok-admin", "tok-view"
_STUCK = ("CrashLoopBackOff", "CreateContainerConfigError", "ImagePullBackOff", "ErrImagePull")


class StartError(Exception):
    """The lab cannot start; the text is one sentence for a person."""


@dataclass
class Lab:
    """One running lab."""

    scenario: str = "grafana-broken"
    kubeconfig: Path = Path(".phaseboard/lab/kubeconfig")
    port: int = 0
    address: Address = field(default_factory=Address)
    speed: float = 1.0
    seed: int = 1
    against: Path | None = None
    external_controllers: str = "auto"
    git: Path | None = None
    controllers: bool = True
    load: bool = True
    url: str = ""
    _server: Any = None
    _client: Client | None = None
    _cache: Cache | None = None
    _services: Any = None
    _git: Repository | None = None
    _kubelet_server: Any = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Everything listens and the scenario is loaded when this returns. Raises StartError."""
        built = build(self.scenario, datetime.now(UTC), self.seed)
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        if self.against:
            await self._attach(self.against)
        else:
            await self._serve(built)
        assert self._client is not None
        try:
            await self._client.start()
            external = bool(self.against) and await self._external()
            if self.against and self.load:
                await self._load_real(built)
            await self._follow(built, external)
        except ApiError as error:
            raise StartError(f"The API server at {self.url} does not work with the lab: {error}") from error

    # -- the API server ------------------------------------------------------------------------------------------

    async def _serve(self, built: Built) -> None:
        from lab.api.admin import seed
        from lab.api.server import ApiServer
        from lab.api.store import Store
        from lab.api.tls import create_tls

        store = Store(_first_version()) if self.scenario != "empty" else None
        self._server = ApiServer(store, create_tls(self.address.certificate_hosts), seed=self.seed)
        try:
            port = await self._server.start(self.address.bind, self.port)
        except OSError as error:
            raise StartError(_unusable(error, self.address.bind, self.port)) from error
        if self.load:
            seed(self._server.core, built.objects)
        self.url = url("https", self.address.name, port)
        self._server.write_kubeconfig(self.kubeconfig, self.url)
        self._client = Client(self._server.base_url, ADMIN, self._server.ca_pem.decode(), own_names=True)

    async def _attach(self, path: Path) -> None:
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
            server, token, ca = _current(config)
        except (OSError, yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
            raise StartError(f"{path} is no kubeconfig with a token: {type(error).__name__} {error}.") from error
        self.url = server
        self._client = Client(server, token, ca)
        write_private(self.kubeconfig, _with_viewer(config, token))

    async def _external(self) -> bool:
        """Whether the server has a controller manager of its own (it takes a lease, soon after the server's start)."""
        if self.external_controllers != "auto":
            return self.external_controllers == "yes"
        assert self._client is not None
        loop = asyncio.get_running_loop()
        end = loop.time() + _LEASE_SECONDS
        while True:
            try:
                await self._client.get("leases.coordination.k8s.io", "kube-system", _KCM_LEASE)
            except ApiError as error:
                if not error.missing:
                    raise
                if loop.time() > end:
                    return False
                await asyncio.sleep(0.3)
            else:
                return True

    async def _load_real(self, built: Built) -> None:
        from lab.controllers.kubelet.server import KubeletServer
        from lab.scenarios.loader import Loader

        assert self._client is not None
        self._kubelet_server = KubeletServer()
        port = await self._kubelet_server.start()
        for obj in built.objects:
            if obj["kind"] == "Node":
                _reach_logs(obj, port)
        loader = Loader(self._client, built.intents)
        count = await loader.load(built.objects)
        log.warning("loaded %d objects into %s; left out: %d", count, self.url, len(loader.left_out))
        for line in loader.left_out:
            log.warning("left out: %s", line)

    # -- what lives on it ----------------------------------------------------------------------------------------

    async def _follow(self, built: Built, external: bool) -> None:
        assert self._client is not None
        from lab.services import RESOURCES

        self._cache = Cache(self._client, (*FOLLOWED, *RESOURCES))
        await self._cache.start()
        logs = Logs(self._client, push=self._server is not None)
        if self._kubelet_server is not None:
            self._kubelet_server.logs = logs
        if self._server is not None:
            crashed = {key: lines for key, lines in built.logs.items() if lines[1]}
            calm = {key: lines for key, lines in built.logs.items() if not lines[1]}
            await _load_logs(logs, crashed)
            self._spawn(_load_logs(logs, calm))
        if self.controllers:
            world = World(
                client=self._client,
                cache=self._cache,
                recorder=Recorder(self._client),
                repository=self._repository(built),
                speed=self.speed,
                rng=random.Random(self.seed),
                own_server=self._server is not None,
            )
            for controller in controllers(world, logs, own_workloads=not external):
                self._tasks += controller.run()
        await self._open_services()
        if self.against and self.controllers and self.load:
            await self._converge()

    def _repository(self, built: Built) -> Repository:
        """Git as a folder: the given one as it is, or one beside the kubeconfig, written anew."""
        own = self.git is None
        self._git = Repository(built.files, self._beside(".git") if own else self.git, anew=own)
        return self._git

    def _beside(self, ending: str) -> Path:
        return self.kubeconfig.with_name(self.kubeconfig.name + ending)

    async def _open_services(self) -> None:
        from lab.api.service_faults import ServiceFaults
        from lab.services import Services

        assert self._cache is not None
        striker = ServiceFaults(self._server.core.faults) if self._server is not None else None
        engine = "auto" if self.speed >= 1.0 else "embedded"  # a hurried lab (tests) starts no further programs
        self._services = Services(
            self._cache, clock=lambda: datetime.now(UTC), engine=engine, striker=striker, address=self.address
        )
        if self._server is not None:
            self._server.services = self._services
        wanted = {"PORTAL_GRAFANA_URL": ("kube-prometheus-stack-grafana", "http-web")}
        if self.against:
            wanted["PORTAL_PROMETHEUS_URL"] = ("kube-prometheus-stack-prometheus", "http-web")
            wanted["PORTAL_ALERTMANAGER_URL"] = ("kube-prometheus-stack-alertmanager", "http-web")
        lines = []
        known = _ports_in(self._beside(".env"))
        for name, (service, port) in wanted.items():
            where = await self._services.start_listener("platform-monitoring", service, port, known.get(name, 0))
            lines.append(f"{name}={where}")
        inbox = "PORTAL_LAB_INBOX_URL"
        lines.append(f"{inbox}={await self._services.start_inbox(known.get(inbox, 0))}")
        lines += await self._github(known.get("PORTAL_GITHUB_URL", 0))
        token = self._beside(".grafana-token")
        write_private(token, self._services.grafana_token + "\n")
        lines.append(f"PORTAL_GRAFANA_TOKEN_FILE={token.absolute()}")
        lines.append(f"PORTAL_LAB_PROMETHEUS_ENGINE={self._services.engine}")
        write_private(self._beside(".env"), "\n".join(lines) + "\n")

    async def _github(self, port: int) -> list[str]:
        """A GitHub over the lab's Git, for who reaches it on this machine: its token travels without TLS."""
        from lab.services.github import GitHub

        if self._git is None or self.address.name not in ("127.0.0.1", "::1", "localhost"):
            return []
        token, file = f"github_pat_lab{secrets.token_hex(20)}", self._beside(".github-token")
        write_private(file, token + "\n")
        where = await self._services.start_github(GitHub(self._git, token), port)
        return [
            f"PORTAL_GITHUB_URL={where}",
            "PORTAL_GITHUB_HOST=github.com",
            f"PORTAL_GITHUB_TOKEN_FILE={file.absolute()}",
        ]

    async def _converge(self) -> None:
        """Wait until the real server's controllers and ours have brought the workloads up."""
        assert self._cache is not None
        loop = asyncio.get_running_loop()
        end = loop.time() + _CONVERGE_SECONDS
        while loop.time() < end:
            missing = [
                obj["metadata"]["name"]
                for kind in ("deployments.apps", "statefulsets.apps")
                for obj in self._cache.list(kind)
                if not _settled(obj, self._cache)
            ]
            if self._cache.list("statefulsets.apps") and not missing:
                return
            await asyncio.sleep(0.5)
        log.warning("still not ready after %d s: %s", _CONVERGE_SECONDS, ", ".join(missing))

    def _spawn(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        self._tasks.append(asyncio.create_task(run()))

    async def stop(self) -> None:
        """Stop everything within two seconds."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for part in (self._services, self._cache, self._kubelet_server, self._server):
            if part is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(part.stop(), 0.5)
        if self._client is not None:
            await self._client.close()


def _unusable(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken. Choose another with --port."
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"The lab cannot listen at {host} port {port}: {reason}. Choose another address with --host."


def _ports_in(environment: Path) -> dict[str, int]:
    """The ports that an earlier lab wrote here: a portal that runs on has read them and does not look again."""
    try:
        lines = environment.read_text(encoding="utf-8").splitlines()
        return {name: urlsplit(value).port or 0 for name, _, value in (line.partition("=") for line in lines)}
    except (OSError, ValueError):
        return {}


def _first_version() -> int:
    """Milliseconds of the clock: above every version of a lab that ran here before, which wrote more slowly than that.

    So a client that followed the earlier one is told 410 and lists again, instead of waiting for versions to come.
    """
    return time.time_ns() // 1_000_000


async def _load_logs(logs: Logs, known: dict[tuple[str, str, str], Any]) -> None:
    for key, (current, previous) in known.items():
        await logs.load(key, current, previous)


def _settled(workload: dict[str, Any], cache: Cache) -> bool:
    """Whether a workload is ready, or as far as it will come: a pod of it crashes or cannot start."""
    if int((workload.get("status") or {}).get("readyReplicas") or 0) >= int(workload["spec"].get("replicas", 1)):
        return True
    pods = cache.list("pods", workload["metadata"]["namespace"], workload["spec"]["selector"])
    entries = [entry for pod in pods for entry in (pod.get("status") or {}).get("containerStatuses") or []]
    return any((entry["state"].get("waiting") or {}).get("reason") in _STUCK for entry in entries)


def _reach_logs(node: dict[str, Any], port: int) -> None:
    """Let the real API server find the lab's kubelet endpoint: it dials the node's Hostname address first."""
    for entry in node["status"]["addresses"]:
        if entry["type"] == "Hostname":
            entry["address"] = "127.0.0.1"
    node["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": port}}


def _current(config: dict[str, Any]) -> tuple[str, str, str | None]:
    """Server, token and CA (None: do not verify) of the current context."""
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
    user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
    data = cluster.get("certificate-authority-data")
    ca = base64.b64decode(data).decode() if data else None
    return cluster["server"], user["token"], None if cluster.get("insecure-skip-tls-verify") else ca


def _with_viewer(config: dict[str, Any], token: str) -> str:
    """The kubeconfig with contexts `admin` (current) and `viewer`, and the server's CA pinned when it had none."""
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
    return str(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "admin",
                "clusters": [{"name": "lab", "cluster": cluster}],
                "contexts": [
                    {"name": name, "context": {"cluster": "lab", "user": name}} for name in ("admin", "viewer")
                ],
                "users": [
                    {"name": "admin", "user": {"token": token}},
                    {"name": "viewer", "user": {"token": VIEWER}},
                ],
            }
        )
    )
