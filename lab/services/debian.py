"""Debian's Prometheus and Alertmanager in place of the embedded engine, when they are on the machine.

Both run unprivileged on loopback in a private folder. Prometheus scrapes the lab's exporter: one path per target of
the cluster, with the labels the cluster's own Prometheus would give them; its rules, retention and routing come from
the same objects. Until its view of every target agrees with the cluster's, `warm` is False and the embedded engine
answers: a Prometheus that has just started knows less than the one it stands for.

Jobs are scraped and rules evaluated every few seconds, so that a demonstration does not wait for half a minute;
`global` keeps the intervals of the custom resource. Fails soft: when a program does not start, or ends, `warm` is False
again, what was started is ended, and one log line says why.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import socket
from collections.abc import Callable, Iterable
from datetime import datetime

import aiohttp
from aiohttp import web

from lab.services.cluster import Obj
from lab.services.debian_config import ALERTMANAGER, PROMETHEUS, TARGET_PATH, Files, Plan, World
from lab.services.debian_history import last_minutes, sample_history
from lab.services.http import Answer, Request
from lab.services.programs import Programs
from lab.services.scratch import Scratch, clear_abandoned
from lab.services.targets import Target

ENGINES = ("auto", "debian", "embedded")
PROGRAMS = ("prometheus", "prometheus-alertmanager")
SCRAPE_SECONDS = 5
_PREFIX = "lab-prometheus-"
_SYNC_SECONDS = 3.0  # how soon a change of the cluster reaches the programs
_SETTLING_SECONDS = 0.5
_START_SECONDS = 60.0
_HISTORY_PAUSE = 2.0  # seconds between the days, so that what people look at first comes first
_WORK, _REST = 0.005, 0.005  # seconds of writing history between rests: the loop has others to serve
log = logging.getLogger("lab.prometheus")


def resolve(engine: str) -> str:
    """The engine to use: `debian` or `embedded`. Raises ValueError for another word or when `debian` is missing."""
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    installed = all(shutil.which(name) for name in PROGRAMS)
    if engine == "debian" and not installed:
        raise ValueError(f"engine debian needs {' and '.join(PROGRAMS)} on PATH")
    return "debian" if installed and engine != "embedded" else "embedded"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class DebianPair:
    """One Prometheus and one Alertmanager. `look` gives the world, or None while there is no Prometheus resource.

    `look` must give the same object while nothing has changed.
    """

    def __init__(self, look: Callable[[], World | None], clock: Callable[[], float]) -> None:
        self._look, self._clock = look, clock
        self.warm = False
        clear_abandoned(_PREFIX)
        self._scratch = Scratch(_PREFIX)
        self._files = Files(self._scratch.path)
        self._programs = Programs(self._scratch.path)
        self._world: World | None = None
        self._targets: dict[str, Target] = {}
        self._agreed_at: float | None = None
        self._ports = {"prometheus": _free_port(), "alertmanager": _free_port()}
        self._plan = Plan(SCRAPE_SECONDS, "", f"127.0.0.1:{self._ports['alertmanager']}")
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._history: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin in the background; returns at once."""
        self._task = asyncio.create_task(self._run(), name="debian prometheus")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._end()

    async def _end(self) -> None:
        self.warm = False
        if self._history is not None:
            self._history.cancel()
            await asyncio.gather(self._history, return_exceptions=True)
        await self._programs.kill()  # their data is thrown away, so nothing is lost
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._scratch.remove()

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
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionRefusedError(f"{program} does not answer: {error!r}") from error

    # -- running

    async def _run(self) -> None:
        try:
            await self._begin()
            while True:
                await asyncio.sleep(_SYNC_SECONDS if self.warm else _SETTLING_SECONDS)
                self._programs.check()
                await self._follow()
                if not self.warm and await self._settled():
                    self.warm = True
                    self._history = asyncio.create_task(self._long_history(), name="prometheus history")
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            log.warning("Debian's Prometheus is not used: %r", error)
            await self._end()

    async def _begin(self) -> None:
        while self._world is None:
            self._world = self._look()
            if self._world is None:
                await asyncio.sleep(_SYNC_SECONDS)
        await self._open()
        self._take(self._world)
        # what the alerts need to go on firing: the minutes before the start
        await self._import("recent.om", last_minutes(self._world.database, self._clock()))
        await self._launch(self._world)

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30), trust_env=False)
        app = web.Application()
        app.router.add_get(TARGET_PATH, self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = int(self._runner.addresses[0][1])
        self._plan = Plan(SCRAPE_SECONDS, f"127.0.0.1:{port}", self._plan.alertmanager)

    async def _launch(self, world: World) -> None:
        retention = str(world.owner["spec"].get("retention") or "24h")
        base, port = self._scratch.path, self._ports
        await self._programs.start(
            "prometheus-alertmanager", f"--config.file={base / ALERTMANAGER}",
            f"--storage.path={base / 'alertmanager'}", f"--web.listen-address=127.0.0.1:{port['alertmanager']}",
            "--cluster.listen-address=", f"--web.external-url=http://127.0.0.1:{port['alertmanager']}",
        )  # fmt: skip
        await self._programs.start(
            "prometheus", f"--config.file={base / PROMETHEUS}", f"--storage.tsdb.path={base / 'data'}",
            f"--storage.tsdb.retention.time={retention}", f"--web.listen-address=127.0.0.1:{port['prometheus']}",
            f"--web.external-url=http://127.0.0.1:{port['prometheus']}", "--web.enable-lifecycle",
            "--rules.alert.for-grace-period=0s", "--log.level=error",
        )  # fmt: skip
        async with asyncio.timeout(_START_SECONDS):
            await self._until_ready("prometheus")
            await self._until_ready("alertmanager")

    async def _until_ready(self, program: str) -> None:
        while True:
            self._programs.check()
            try:
                if (await self.ask(program, Request("GET", "/-/ready"))).status == 200:
                    return
            except ConnectionError:
                pass
            await asyncio.sleep(0.1)

    # -- following the cluster

    async def _follow(self) -> None:
        """Tell the programs what has changed."""
        world = self._look()
        if world is None or world is self._world:
            return
        self._world = world
        if self._take(world):
            for program in self._ports:
                answer = await self.ask(program, Request("POST", "/-/reload"))
                if answer.status != 200:
                    log.info("%s keeps its configuration: %s", program, answer.body[:200])

    def _take(self, world: World) -> bool:
        self._targets = world.targets
        return self._files.write(world, self._plan)

    async def _metrics(self, http: web.Request) -> web.Response:
        """The exporter. A target that is down answers 503, one that is a program of ours answers itself."""
        target = self._targets.get(http.match_info["key"])
        if target is None or not target.up:
            return web.Response(status=503, text=target.error if target else "unknown target")
        if target.container in self._ports:
            answer = await self.ask(target.container, Request("GET", "/metrics"))
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        assert self._world is not None
        return web.Response(text=self._world.expose(target))

    async def _settled(self) -> bool:
        """Whether Prometheus sees every target as the cluster does, and has evaluated its rules twice since.

        Twice, because an alert that is restored fires at the second evaluation.
        """
        active = (await self._data("targets"))["activeTargets"]
        seen = {each["discoveredLabels"]["__metrics_path__"]: each["health"] for each in active}
        wanted = {TARGET_PATH.format(key=key): "up" if each.up else "down" for key, each in self._targets.items()}
        if seen != wanted:
            self._agreed_at = None
            return False
        if self._agreed_at is None:
            self._agreed_at = self._clock()
        evaluated = [
            datetime.fromisoformat(group["lastEvaluation"]).timestamp()
            for group in (await self._data("rules"))["groups"]
        ]
        return all(moment >= self._agreed_at + SCRAPE_SECONDS for moment in evaluated)

    async def _data(self, path: str) -> dict[str, list[Obj]]:
        answer = await self.ask("prometheus", Request("GET", f"/api/v1/{path}"))
        data: dict[str, list[Obj]] = json.loads(answer.body)["data"]
        return data

    # -- history

    async def _long_history(self) -> None:
        """A fortnight of the series people plot, written in pieces so that the loop stays free."""
        assert self._world is not None
        try:
            for number, day in enumerate(sample_history(self._world.database, self._clock())):
                await asyncio.sleep(_HISTORY_PAUSE)
                await self._import(f"day-{number}.om", day)
        except OSError as error:
            log.warning("Prometheus is left without its past: %s", error)

    async def _import(self, name: str, pieces: Iterable[str]) -> None:
        promtool = shutil.which("promtool")
        if promtool is None:
            return
        path = self._scratch.path / name
        loop = asyncio.get_running_loop()
        with path.open("w", encoding="utf-8") as file:
            rest_at = loop.time() + _WORK
            for piece in pieces:
                file.write(piece)
                if loop.time() >= rest_at:
                    await asyncio.sleep(_REST)
                    rest_at = loop.time() + _WORK
        nice = ["nice", "-n", "10"] if shutil.which("nice") else []
        command = [*nice, promtool, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=24h"]
        await self._programs.run("promtool.log", *command, str(path), str(self._scratch.path / "data"))
        path.unlink()
