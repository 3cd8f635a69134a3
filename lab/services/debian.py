"""Debian's Prometheus and Alertmanager in place of the embedded engine, when they are on the machine.

Both run unprivileged on loopback in a private folder. Prometheus scrapes the lab's exporter: one address per target of
the cluster, with the labels the cluster's own Prometheus would give them; its rules, retention and routing come from
the same objects. Until it has scraped every target once, `warm` is False and the embedded engine answers.

Jobs are scraped and rules evaluated every few seconds, so that a demonstration does not wait for half a minute;
`global` keeps the intervals of the custom resource. Fails soft: a program that does not start leaves
`warm` False and one log line.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import json
import logging
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from lab.services.cluster import Obj
from lab.services.database import Database
from lab.services.debian_history import last_minutes, sample_history
from lab.services.http import Answer, Request
from lab.services.targets import Target

ENGINES = ("auto", "debian", "embedded")
PROGRAMS = ("prometheus", "prometheus-alertmanager")
SCRAPE_SECONDS = 3
_SYNC_SECONDS = 3.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_START_SECONDS = 30.0
_HISTORY_PAUSE = 2.0  # seconds between the days, so that what people look at first comes first
log = logging.getLogger("lab.prometheus")


def resolve(engine: str) -> str:
    """The engine to use: `debian` or `embedded`. Raises ValueError for another word or when `debian` is missing."""
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    installed = all(shutil.which(name) for name in PROGRAMS)
    if engine == "debian" and not installed:
        raise ValueError(f"engine debian needs {' and '.join(PROGRAMS)} on PATH")
    return "debian" if installed and engine != "embedded" else "embedded"


@dataclass(frozen=True)
class World:
    """What the pair reads of the lab, asked anew at each round."""

    owner: Obj
    database: Database
    alertmanager_config: str
    rules: dict[str, Any]
    expose: Callable[[Target], str]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_with_parent() -> None:
    """In the child: the kernel ends it with the lab, even when the lab is killed. Without effect but on Linux."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class DebianPair:
    """One Prometheus and one Alertmanager. `look` gives the world, or None while there is no Prometheus resource."""

    def __init__(self, look: Callable[[], World | None], clock: Callable[[], float]) -> None:
        self._look, self._clock = look, clock
        self.warm = False
        self._folder = Path(tempfile.mkdtemp(prefix="lab-prometheus-"))
        self._targets: dict[str, Target] = {}
        self._expose: Callable[[Target], str] = lambda _target: ""
        self._written: dict[str, str] = {}
        self._processes: list[asyncio.subprocess.Process] = []
        self._ports = {"prometheus": _free_port(), "alertmanager": _free_port()}
        self._exporter_port = 0
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin in the background; returns at once."""
        self._task = asyncio.create_task(self._run(), name="debian prometheus")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for process in self._processes:
            if process.returncode is None:
                process.kill()  # their data is thrown away, so nothing is lost
                await process.wait()
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- asking

    async def ask(self, program: str, request: Request) -> Answer:
        """Pass a request to `prometheus` or `alertmanager`. Raises ConnectionError when it does not answer."""
        if self._session is None:
            raise ConnectionRefusedError(f"{program} is not running")
        url = f"http://127.0.0.1:{self._ports[program]}{request.path}{'?' + request.query if request.query else ''}"
        kept = {name: value for name, value in request.headers.items() if name in ("content-type", "accept")}
        try:
            async with self._session.request(request.method, url, headers=kept, data=request.body) as answer:
                headers = {"Content-Type": answer.headers.get("Content-Type", "text/plain")}
                return Answer(answer.status, headers, await answer.read())
        except aiohttp.ClientError as error:
            raise ConnectionRefusedError(f"{program} does not answer: {error}") from error

    # -- running

    async def _run(self) -> None:
        try:
            world = await self._world()
            await self._open()
            self._write(world)
            await self._history(world)
            await self._launch(world)
            await self._until_scraped()
            await asyncio.sleep(SCRAPE_SECONDS)  # restored alerts fire at the second evaluation
            self.warm = True
            history = asyncio.create_task(self._long_history(world))
            while True:
                await asyncio.sleep(_SYNC_SECONDS)
                current = self._look()
                if current is not None and self._write(current):
                    await self._reload()
                if history.done():
                    history.result()
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            self.warm = False
            log.warning("Debian's Prometheus is not used: %s", error)

    async def _world(self) -> World:
        while True:
            world = self._look()
            if world is not None:
                return world
            await asyncio.sleep(_SYNC_SECONDS)

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30), trust_env=False)
        app = web.Application()
        app.router.add_get("/target/{key}/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._exporter_port = int(self._runner.addresses[0][1])

    async def _metrics(self, http: web.Request) -> web.Response:
        """The exporter. A target that is down answers 503, one that is a program of ours answers itself."""
        target = self._targets.get(http.match_info["key"])
        if target is None or not target.up:
            return web.Response(status=503, text=target.error if target else "unknown target")
        if target.container in self._ports:
            answer = await self.ask(target.container, Request("GET", "/metrics"))
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        return web.Response(text=self._expose(target))

    async def _launch(self, world: World) -> None:
        retention = str(world.owner["spec"].get("retention") or "24h")
        base, port = self._folder, self._ports
        await self._spawn(
            "prometheus-alertmanager", f"--config.file={base / 'alertmanager.yml'}",
            f"--storage.path={base / 'alertmanager'}", f"--web.listen-address=127.0.0.1:{port['alertmanager']}",
            "--cluster.listen-address=", f"--web.external-url=http://127.0.0.1:{port['alertmanager']}",
        )  # fmt: skip
        await self._spawn(
            "prometheus", f"--config.file={base / 'prometheus.yml'}", f"--storage.tsdb.path={base / 'data'}",
            f"--storage.tsdb.retention.time={retention}", f"--web.listen-address=127.0.0.1:{port['prometheus']}",
            f"--web.external-url=http://127.0.0.1:{port['prometheus']}", "--web.enable-lifecycle",
            "--rules.alert.for-grace-period=0s", "--log.level=error",
        )  # fmt: skip
        await self._until_ready("prometheus")
        await self._until_ready("alertmanager")

    async def _spawn(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.log").open("wb") as output:
            self._processes.append(
                await asyncio.create_subprocess_exec(
                    *command, stdout=output, stderr=output, preexec_fn=_end_with_parent
                )
            )

    async def _until_ready(self, program: str) -> None:
        async with asyncio.timeout(_START_SECONDS):
            while True:
                if any(process.returncode is not None for process in self._processes):
                    raise OSError(f"a program ended at its start: {self._last_words()}")
                try:
                    if (await self.ask(program, Request("GET", "/-/ready"))).status == 200:
                        return
                except ConnectionError:
                    pass
                await asyncio.sleep(0.1)

    def _last_words(self) -> str:
        lines = [line for path in sorted(self._folder.glob("*.log")) for line in path.read_text().splitlines()[-1:]]
        return " | ".join(lines)[:500]

    async def _until_scraped(self) -> None:
        """Wait until every target has been scraped, and the rules have been evaluated."""
        async with asyncio.timeout(_START_SECONDS):
            while True:
                targets = (await self._data("targets"))["activeTargets"]
                groups = (await self._data("rules"))["groups"]
                scraped = len(targets) == len(self._targets) and all(each["health"] != "unknown" for each in targets)
                if scraped and not any(group["lastEvaluation"].startswith("0001-") for group in groups):
                    return
                await asyncio.sleep(0.2)

    async def _data(self, path: str) -> Obj:
        answer = await self.ask("prometheus", Request("GET", f"/api/v1/{path}"))
        data: Obj = json.loads(answer.body)["data"]
        return data

    async def _reload(self) -> None:
        for program in self._ports:
            answer = await self.ask(program, Request("POST", "/-/reload"))
            if answer.status != 200:
                log.info("%s keeps its configuration: %s", program, answer.body[:200])

    # -- history

    async def _history(self, world: World) -> None:
        """What the alerts need to go on firing: the minutes before the start."""
        await self._import("recent.om", last_minutes(world.database, self._clock()))

    async def _long_history(self, world: World) -> None:
        """A fortnight of the series people plot, written in slices so that the loop stays free."""
        for number, day in enumerate(sample_history(world.database, self._clock())):
            await asyncio.sleep(_HISTORY_PAUSE)
            await self._import(f"day-{number}.om", day)

    async def _import(self, name: str, content: str) -> None:
        promtool = shutil.which("promtool")
        if promtool is None or not content:
            return
        path = self._folder / name
        await asyncio.to_thread(path.write_text, content)
        nice = ["nice", "-n", "10"] if shutil.which("nice") else []
        command = [*nice, promtool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h", str(path)]
        with (self._folder / "promtool.log").open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command, str(self._folder / "data"), stdout=output, stderr=output
            )
            self._processes.append(process)
            await process.wait()
            self._processes.remove(process)
        path.unlink()

    # -- configuration files

    def _write(self, world: World) -> bool:
        """Write what changed; True when a program must reload (target lists are followed without)."""
        self._expose = world.expose
        self._targets = {_key(target): target for target in world.database.targets}
        pools: dict[str, list[Target]] = {}
        for target in world.database.targets:
            pools.setdefault(target.pool, []).append(target)
        for pool, targets in pools.items():
            self._put(_file_of(pool), json.dumps([self._listed(target) for target in targets], sort_keys=True))
        config = self._config(world, pools)
        changed = [
            self._put("rules.yml", json.dumps(world.rules, sort_keys=True)),
            self._put("prometheus.yml", yaml.safe_dump(config, sort_keys=False)),
            self._put("alertmanager.yml", world.alertmanager_config),
        ]
        return any(changed)

    def _put(self, name: str, content: str) -> bool:
        if self._written.get(name) == content:
            return False
        self._written[name] = content
        path = self._folder / name
        fresh = path.with_suffix(".new")
        fresh.write_text(content, encoding="utf-8")
        fresh.chmod(0o600)
        fresh.replace(path)
        return True

    def _listed(self, target: Target) -> Obj:
        labels = {**target.labels, "__metrics_path__": f"/target/{_key(target)}/metrics"}
        return {"targets": [f"127.0.0.1:{self._exporter_port}"], "labels": labels}

    def _config(self, world: World, pools: dict[str, list[Target]]) -> Obj:
        spec, metadata = world.owner["spec"], world.owner["metadata"]
        return {
            "global": {
                "scrape_interval": str(spec.get("scrapeInterval") or "30s"),
                "evaluation_interval": str(spec.get("evaluationInterval") or "30s"),
                "external_labels": {"prometheus": f"{metadata['namespace']}/{metadata['name']}"},
            },
            "rule_files": [str(self._folder / "rules.yml")],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{self._ports['alertmanager']}"]}]}]
            },
            "scrape_configs": [
                {
                    "job_name": pool,
                    "scrape_interval": f"{SCRAPE_SECONDS}s",
                    "scrape_timeout": f"{SCRAPE_SECONDS}s",
                    "honor_labels": targets[0].honor_labels,
                    "file_sd_configs": [{"files": [str(self._folder / _file_of(pool))], "refresh_interval": "5s"}],
                }
                for pool, targets in sorted(pools.items())
            ],
        }


def _key(target: Target) -> str:
    identity = json.dumps([target.pool, target.url, target.labels], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _file_of(pool: str) -> str:
    return f"pool-{hashlib.sha256(pool.encode()).hexdigest()[:12]}.json"
