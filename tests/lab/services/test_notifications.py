"""The lab's Alertmanager beside Debian's: the same configuration and alerts, the same messages and counters.

Both really call a receiver on loopback; two others do not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from lab.services import Services
from tests.lab.services.conftest import MONITORING, Store, world
from tests.lab.services.test_alertmanager import SECRET, as_data

DEBIAN = shutil.which("prometheus-alertmanager")
Ask = Callable[[str, str, Any], Awaitable[tuple[int, str]]]
COUNTERS = (
    "notifications_total",
    "notifications_failed_total",
    "notification_requests_total",
    "notification_requests_failed_total",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Hook:
    """A receiver on loopback: keeps what it was told; answers with `status`."""

    status: int = 200
    port: int = 0
    told: list[Any] = field(default_factory=list)

    async def _take(self, request: web.Request) -> web.Response:
        self.told.append(await request.json())
        return web.Response(status=self.status)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Hook]:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(runner.addresses[0][1])
        try:
            yield self
        finally:
            await runner.cleanup()


def config(good: int, bad: int, closed: int) -> dict[str, Any]:
    routes = [
        {"receiver": name, "matchers": [f'to="{name}"'], "group_by": ["alertname", "run"], "continue": True}
        for name in ("hook", "slack", "mail")
    ]
    mail = {"to": "a@b.c", "from": "d@e.f", "smarthost": f"127.0.0.1:{closed}"}
    return {
        "route": {"receiver": "null", "group_wait": "1s", "group_interval": "1s", "routes": routes},
        "receivers": [
            {"name": "null"},
            {"name": "hook", "webhook_configs": [{"url": f"http://127.0.0.1:{good}/h"}]},
            {"name": "slack", "slack_configs": [{"api_url": f"http://127.0.0.1:{bad}/s", "channel": "#c"}]},
            {"name": "mail", "email_configs": [mail]},
        ],
    }


@contextlib.asynccontextmanager
async def debian(text: str, folder: Path) -> AsyncIterator[Ask]:
    path, port = folder / "alertmanager.yml", free_port()
    path.write_text(text)
    program = await asyncio.create_subprocess_exec(
        str(DEBIAN), f"--config.file={path}", f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", trust_env=False) as session:

            async def ask(method: str, path: str, body: Any = None) -> tuple[int, str]:
                async with session.request(method, path, json=body) as answer:
                    return answer.status, await answer.text()

            async with asyncio.timeout(30):
                while True:
                    with contextlib.suppress(aiohttp.ClientError):
                        if (await ask("GET", "/-/ready"))[0] == 200:
                            break
                    await asyncio.sleep(0.05)
            yield ask
    finally:
        program.kill()
        await program.wait()


@contextlib.asynccontextmanager
async def embedded(text: str, _folder: Path) -> AsyncIterator[Ask]:
    store = Store(world("healthy"))
    store.remove("secrets", MONITORING, f"{SECRET}-generated")
    store.change("secrets", MONITORING, SECRET, lambda obj: obj.update(data=as_data(text)))
    services = Services(store, clock=lambda: datetime.now(UTC), engine="embedded")

    async def ask(method: str, path: str, body: Any = None) -> tuple[int, str]:
        path, _, query = path.partition("?")
        content = json.dumps(body).encode() if body is not None else b""
        name = "kube-prometheus-stack-alertmanager"
        status, _headers, answer = await services.handle(MONITORING, name, "http-web", method, path, query, {}, content)
        return status, answer.decode()

    try:
        yield ask
    finally:
        await services.stop()


async def counters(ask: Ask, integration: str) -> tuple[int, ...]:
    text = (await ask("GET", "/metrics", None))[1]
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("alertmanager_notification"))
    return tuple(int(float(lines[f'alertmanager_{name}{{integration="{integration}"}}'])) for name in COUNTERS)


async def until(question: Callable[[], Awaitable[bool]], what: str) -> None:
    async with asyncio.timeout(40):
        while not await question():
            await asyncio.sleep(0.1)


async def observed(running: Any, folder: Path) -> dict[str, Any]:
    """What happens to three alerts, told by the receivers and by the counters."""
    async with Hook().open() as good, Hook(status=400).open() as refusing:
        closed = free_port()
        text = yaml.safe_dump(config(good.port, refusing.port, closed))
        async with running(text, folder) as ask:
            ends = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
            alerts = [
                {"labels": {"alertname": "Test", "to": name, "run": "r.0"}, "annotations": {"summary": "s"}}
                for name in ("hook", "slack", "mail")
            ]
            status, _ = await ask("POST", "/api/v2/alerts", [{**each, "endsAt": ends} for each in alerts])

            async def delivered() -> bool:
                return (await counters(ask, "webhook"))[2] >= 1

            async def refused() -> bool:
                return (await counters(ask, "slack"))[1] >= 1

            async def tried() -> bool:
                return (await counters(ask, "email"))[3] >= 2

            await until(delivered, "a delivery")
            await until(refused, "a refusal is counted as a failure at once")
            await until(tried, "a second try")
            early = await counters(ask, "email")

            async def given_up() -> bool:
                return (await counters(ask, "email"))[1] >= 1

            first = good.told[0]
            shown = json.loads((await ask("GET", "/api/v2/alerts?filter=to%3D%22hook%22", None))[1])
            webhook = await counters(ask, "webhook")
            await until(given_up, "a failure after the patience of ten seconds")
            return {
                "status": status,
                "message": {key: first[key] for key in ("version", "receiver", "status", "groupLabels", "groupKey")},
                "common": [first["commonLabels"], first["commonAnnotations"], first["truncatedAlerts"]],
                "alert": {key: first["alerts"][0][key] for key in ("status", "labels", "annotations", "endsAt")},
                "told": len(good.told),
                "webhook": webhook,
                "a refusal is a failure at once": len(set((await counters(ask, "slack"))[1::2])) == 1,
                "a first failure is not counted while it is tried again": early[:2],
                "receivers": [each["receivers"] for each in shown],
                "states": [each["status"]["state"] for each in shown],
            }


EXPECTED = {
    "status": 200,
    "message": {
        "version": "4",
        "receiver": "hook",
        "status": "firing",
        "groupLabels": {"alertname": "Test", "run": "r.0"},
        "groupKey": '{}/{to="hook"}:{alertname="Test", run="r.0"}',
    },
    "common": [{"alertname": "Test", "to": "hook", "run": "r.0"}, {"summary": "s"}, 0],
    "alert": {
        "status": "firing",
        "labels": {"alertname": "Test", "to": "hook", "run": "r.0"},
        "annotations": {"summary": "s"},
        "endsAt": "0001-01-01T00:00:00Z",
    },
    "told": 1,
    "webhook": (1, 0, 1, 0),
    "a refusal is a failure at once": True,
    "a first failure is not counted while it is tried again": (1, 0),
    "receivers": [[{"name": "hook"}]],
    "states": ["active"],
}


def test_the_embedded_one_calls_its_receivers_and_counts_what_comes_of_it(tmp_path: Path) -> None:
    assert asyncio.run(observed(embedded, tmp_path)) == EXPECTED


@pytest.mark.skipif(DEBIAN is None, reason="Debian's Alertmanager is not on this machine")
def test_debians_says_the_same(tmp_path: Path) -> None:
    assert asyncio.run(observed(debian, tmp_path)) == EXPECTED


def test_the_inbox_keeps_what_it_is_told() -> None:
    async def told() -> Any:
        services = Services(Store(world("empty")), clock=lambda: datetime.now(UTC), engine="embedded")
        url = await services.start_inbox()
        try:
            async with aiohttp.ClientSession(trust_env=False) as session:
                statuses = [(await session.post(f"{url}/hook", json={"n": n})).status for n in (1, 2)]
                statuses.append((await session.post(url, data=b"no json")).status)
                statuses.append((await session.delete(url)).status)
                async with session.get(url) as answer:
                    return statuses, [(each["path"], each["body"]) for each in await answer.json()]
        finally:
            await services.stop()

    assert asyncio.run(told()) == ([204, 204, 400, 405], [("/hook", {"n": 2}), ("/hook", {"n": 1})])
