"""The services of the lab behind one door: which program answers at a Service's port, and with what state.

Used by the API server's service proxy (`handle`) and by own plain listeners. Which program it is follows from the image
of the container that listens there; a Service without a ready pod answers nothing.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from aiohttp import web

from lab.address import Address
from lab.controllers import meta
from lab.controllers.kubelet.behaviour import split_image
from lab.controllers.rights import View
from lab.services.alerting import AlertState, Entry
from lab.services.alertmanager import AlertmanagerApi
from lab.services.cluster import ALERTMANAGERS, PROMETHEUSES, SECRETS, Backend, Cluster, Obj
from lab.services.couriers import Courier, deliver
from lab.services.database import Database
from lab.services.debian import SCRAPE_SECONDS, DebianPair, resolve
from lab.services.debian_config import World
from lab.services.exporters import Context, exposition
from lab.services.exporters.text import written
from lab.services.github import GitHub
from lab.services.grafana import GrafanaApi
from lab.services.http import Answer, Request, text
from lab.services.inbox import Inbox
from lab.services.listener import Listener
from lab.services.notifying import Delivery
from lab.services.prometheus import PrometheusApi, unpacked
from lab.services.routing import ConfigError, load
from lab.services.rules import documents as rule_documents
from lab.services.targets import Target

_SEND_ALERTS_FOR = 240.0  # seconds: how long a sent alert lasts when it is not sent again
PASSED = ("prometheus", "alertmanager")  # containers whose whole answer comes from Debian's programs
_BEAT_SECONDS = 0.5
_NO_CONFIG = "route: {receiver: 'null'}\nreceivers: [{name: 'null'}]\n"

log = logging.getLogger("lab.services")


class Striker(Protocol):
    """Fault injection at an own listener: an answer in place of the service's, and what becomes of its own."""

    async def before(self, service: str, request: web.Request) -> web.StreamResponse | None: ...

    async def after(self, service: str, request: web.Request, answer: web.Response) -> web.StreamResponse: ...


class Services:
    """See the module.

    `clock` gives the time as datetime; `engine` is `auto` (Debian's Prometheus when it is on PATH), `debian` or
    `embedded`. `striker` may delay, refuse or spoil what own listeners answer.
    Own listeners bind and call themselves as `address` says. `courier` delivers what the embedded Alertmanager sends.
    """

    def __init__(
        self,
        cache: View,
        *,
        clock: Callable[[], datetime],
        engine: str = "auto",
        striker: Striker | None = None,
        address: Address | None = None,
        courier: Courier = deliver,
    ) -> None:
        self._cache = cache
        self._now: Callable[[], float] = lambda: clock().timestamp()
        self.cluster = Cluster(cache)
        self.engine = resolve(engine)
        self.grafana_token = f"glsa_{secrets.token_urlsafe(24)}"
        self._striker, self._address = striker, address
        self._grafana = GrafanaApi(self.cluster, self.grafana_token)
        self._databases: dict[str, Database] = {}
        self._alerting: dict[str, AlertState] = {}
        self._courier = courier
        self._beat: asyncio.Task[None] | None = None
        self._on_their_way: set[asyncio.Task[None]] = set()
        self._listeners: list[Listener] = []
        self._inbox: Inbox | None = None
        self._pair: DebianPair | None = None
        self._looked_at: int | None = None
        self._world: World | None = None

    # -- the door

    async def handle(
        self,
        namespace: str,
        service: str,
        port: str,
        method: str,
        path: str,
        query: str,
        headers: dict[str, str],
        body: bytes,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of whatever answers behind the Service. Raises ConnectionError when nothing does."""
        backends = self.cluster.backends(namespace, service, port)
        if not backends:
            raise ConnectionRefusedError(f"no pod listens behind {namespace}/{service}:{port}")
        self._begin_beating()
        lower = {name.lower(): value for name, value in headers.items()}
        return await self._answer(Request(method, path or "/", query, lower, body), backends[0])

    async def _answer(self, request: Request, backend: Backend) -> Answer:
        repository = split_image(backend.container["image"])[0]
        owner = self.cluster.owner(PROMETHEUSES, backend.pod)
        if request.path == "/metrics" and (self._debian() is None or backend.container["name"] not in PASSED):
            return self._metrics(backend)
        if repository.endswith("prometheus/prometheus") and owner is not None:
            if self._debian() is not None:
                return await self._passed("prometheus", request)
            return self._prometheus(request, owner, backend.pod)
        manager = self.cluster.owner(ALERTMANAGERS, backend.pod)
        if repository.endswith("prometheus/alertmanager") and manager is not None:
            if self._debian() is not None:
                return await self._passed("alertmanager", request)
            return self._alertmanager(request, manager, backend.pod)
        if repository.rpartition("grafana/")[2] == "grafana":
            return self._grafana.handle(request, backend)
        return text(f"the lab has no program for {repository}\n", 404)

    async def start_listener(self, namespace: str, service: str, port_name: str, wanted: int = 0) -> str:
        """The URL of an own listener that is the Service: refused while nothing is ready behind it.

        It takes the port `wanted` when that is free. Raises OSError.
        """

        async def answered(http: web.Request) -> web.StreamResponse:
            if self._striker is not None and (instead := await self._striker.before(service, http)) is not None:
                return instead
            try:
                status, headers, body = await self.handle(
                    namespace, service, port_name, http.method, http.raw_path.partition("?")[0], http.query_string,
                    dict(http.headers), await http.read(),
                )  # fmt: skip
            except ConnectionError:
                transport = http.transport
                if transport is not None:
                    transport.abort()
                raise
            answer = web.Response(status=status, headers=headers, body=body)
            return answer if self._striker is None else await self._striker.after(service, http, answer)

        seen: tuple[int | None, bool] = (None, False)

        def open_now() -> bool:
            nonlocal seen
            generation = getattr(self._cache, "generation", None)
            if generation is None or generation != seen[0]:
                seen = (generation, bool(self.cluster.backends(namespace, service, port_name)))
            return seen[1]

        self._debian()
        listener = Listener(open_now, answered, self._address, wanted)
        self._listeners.append(listener)
        return await listener.start()

    async def start_inbox(self, wanted: int = 0) -> str:
        """The URL of a receiver for webhooks; on the port `wanted` when that is free. Raises OSError."""
        self._inbox = Inbox(self._address, wanted)
        return await self._inbox.start()

    async def start_github(self, github: GitHub, wanted: int = 0) -> str:
        """The URL of a GitHub over the lab's Git; on the port `wanted` when that is free. Raises OSError."""

        async def answered(http: web.Request) -> web.StreamResponse:
            path = http.raw_path.partition("?")[0].removeprefix("/api/v3")
            headers = {name.lower(): value for name, value in http.headers.items()}
            request = Request(http.method, path, http.query_string, headers, await http.read())
            status, answered, body = github.handle(request)
            return web.Response(status=status, headers=answered, body=body)

        listener = Listener(lambda: True, answered, self._address, wanted)
        self._listeners.append(listener)
        return f"{await listener.start()}/api/v3"

    async def stop(self) -> None:
        """Close the listeners and end the programs that were started."""
        ending = [*self._on_their_way, *([self._beat] if self._beat is not None else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._inbox is not None:
            await self._inbox.stop()
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        if self._pair is not None:
            await self._pair.stop()

    # -- Debian's programs

    def _debian(self) -> DebianPair | None:
        """The running pair, once it has scraped everything; the first call starts it."""
        if self.engine != "debian":
            return None
        if self._pair is None:
            self._pair = DebianPair(self._look, self._now)
            self._pair.start()
        return self._pair if self._pair.warm else None

    async def _passed(self, program: str, request: Request) -> Answer:
        """A request carried to the pair; who reads the build's version also learns which engine it is."""
        assert self._pair is not None
        result = await self._pair.ask(program, request)
        if request.path.endswith("/status/buildinfo") and result.status == 200:
            content = json.loads(result.body)
            content["data"]["engine"] = "debian"
            return Answer(result.status, result.headers, json.dumps(content).encode())
        return result

    def _look(self) -> World | None:
        """What the pair is configured by: the first Prometheus resource and the Alertmanager it sends to.

        The same object while the cluster is the same: to look closer takes 50 ms.
        """
        generation = getattr(self._cache, "generation", None)
        if generation is None or generation != self._looked_at:
            self._looked_at, self._world = generation, self._look_closer()
        return self._world

    def _look_closer(self) -> World | None:
        owners = self.cluster.list(PROMETHEUSES)
        if not owners:
            return None
        owner = min(owners, key=meta.key_of)
        database = self.database(owner)
        managers = self.cluster.list(ALERTMANAGERS)
        text_ = self._config_text(min(managers, key=meta.key_of)) if managers else _NO_CONFIG
        state = self._state(managers[0]) if managers else AlertState(load(_NO_CONFIG))
        context = Context(self.cluster, state, sum(database.storage.head().values()))

        def expose(target: Target) -> str:
            return written(exposition(target, context), self._now())

        return World(owner, database, text_, rule_documents(owner, self.cluster, f"{SCRAPE_SECONDS}s"), expose)

    # -- Prometheus

    def _prometheus(self, request: Request, owner: Obj, pod: Obj) -> Answer:
        database = self.database(owner)
        return PrometheusApi(database, self.cluster, self._now).handle(request, owner, pod)

    def database(self, owner: Obj) -> Database:
        """The database of a Prometheus resource, scraped now; its firing alerts are sent on."""
        key = "/".join(meta.key_of(owner))
        if key not in self._databases:
            self._databases[key] = Database(self.cluster, self._now)
        database = self._databases[key]
        states = [self._state(manager) for manager in self._managers(owner)]
        notifications = states[0] if states else AlertState(load(_NO_CONFIG))
        for state in states:
            state.tick(self._now())
        database.refresh(owner, notifications, getattr(self._cache, "generation", None))
        for state in states:
            self._send(database, owner, state)
        return database

    def _send(self, database: Database, owner: Obj, state: AlertState) -> None:
        """What Prometheus posts to Alertmanager: firing alerts with its external labels."""
        now = self._now()
        sender = "/".join(meta.key_of(owner))
        external = {"prometheus": sender, **(owner["spec"].get("externalLabels") or {})}
        firing = [alert for alert in database.alerts if alert.state(now) == "firing"]
        sent = [{**external, **alert.labels} for alert in firing]
        base = str(owner["spec"].get("externalUrl") or "")
        for alert, labels in zip(firing, sent, strict=True):
            state.take(
                Entry(labels, alert.annotations, alert.firing_at, now + _SEND_ALERTS_FOR, now, f"{base}/graph"), now
            )
        state.resolve_missing(sender, sent, now)
        state.tick(now)

    def _managers(self, owner: Obj) -> list[Obj]:
        """The Alertmanager resources that a Prometheus sends to and that have a ready pod."""
        found: dict[str, Obj] = {}
        for each in (owner["spec"].get("alerting") or {}).get("alertmanagers") or []:
            for backend in self.cluster.backends(
                str(each.get("namespace")), str(each.get("name")), str(each.get("port") or "")
            ):
                manager = self.cluster.owner(ALERTMANAGERS, backend.pod)
                if manager is not None:
                    found["/".join(meta.key_of(manager))] = manager
        return list(found.values())

    # -- Alertmanager

    def _alertmanager(self, request: Request, manager: Obj, pod: Obj) -> Answer:
        for owner in self.cluster.list(PROMETHEUSES):
            if any(meta.key_of(each) == meta.key_of(manager) for each in self._managers(owner)):
                self.database(owner)
        state = self._state(manager)
        state.tick(self._now())
        return AlertmanagerApi(state, self._now).handle(request, manager, pod)

    def _state(self, manager: Obj) -> AlertState:
        """The state of an Alertmanager resource, with the configuration that its Secret holds now."""
        key = "/".join(meta.key_of(manager))
        known = self._alerting.get(key)
        text_ = self._config_text(manager)
        if known is None:
            known = self._alerting[key] = AlertState(load(_NO_CONFIG))
        if zlib.crc32(text_.encode()) == known.seen:
            return known
        known.seen = zlib.crc32(text_.encode())
        try:
            known.load(load(text_))
        except ConfigError as why:
            # as in life: a broken configuration is not loaded, the last good one stays
            known.reloaded = False
            log.info("Alertmanager keeps its configuration: %s", why)
        return known

    def _config_text(self, manager: Obj) -> str:
        """From the operator's generated Secret, else from the one the resource names."""
        namespace, name = meta.key_of(manager)
        generated = self.cluster.get(SECRETS, namespace, f"alertmanager-{name}-generated")
        packed = ((generated or {}).get("data") or {}).get("alertmanager.yaml.gz")
        if packed:
            return unpacked(packed)
        given = self.cluster.get(SECRETS, namespace, str(manager["spec"].get("configSecret") or f"alertmanager-{name}"))
        raw = ((given or {}).get("data") or {}).get("alertmanager.yaml", "")
        return base64.b64decode(raw).decode(errors="replace") or _NO_CONFIG

    # -- what the embedded Alertmanager sends

    def _begin_beating(self) -> None:
        """From the first question on, notifications go out in time, also while nobody asks."""
        if self._beat is None or self._beat.done():
            self._beat = asyncio.create_task(self._beating(), name="alertmanager")

    async def _beating(self) -> None:
        while True:
            self._on_their_way |= self.send_due()
            self._on_their_way = {task for task in self._on_their_way if not task.done()}
            await asyncio.sleep(_BEAT_SECONDS)

    def send_due(self) -> set[asyncio.Task[None]]:
        """Begin every delivery that is due; the tasks end when the receivers have answered."""
        if self._debian() is not None:
            return set()
        begun: set[asyncio.Task[None]] = set()
        for state in self._alerting.values():
            state.tick(self._now())
            for delivery in state.notifying.due(self._now()):
                delivery.on_its_way = True
                begun.add(asyncio.create_task(self._carry(state, delivery)))
        return begun

    async def _carry(self, state: AlertState, delivery: Delivery) -> None:
        try:
            outcome = await self._courier(delivery, state.config.options)
        except asyncio.CancelledError:
            delivery.on_its_way = False
            raise
        state.notifying.answered(delivery, self._now(), delivered=outcome.delivered, retry=outcome.retry)

    # -- /metrics of anything

    def _metrics(self, backend: Backend) -> Answer:
        owners = self.cluster.list(PROMETHEUSES)
        database = self.database(owners[0]) if owners else None
        managers = self.cluster.list(ALERTMANAGERS)
        manager = self.cluster.owner(ALERTMANAGERS, backend.pod) or (managers[0] if managers else None)
        state = self._state(manager) if manager else AlertState(load(_NO_CONFIG))
        state.tick(self._now())
        node = self.cluster.get("nodes", None, str(backend.pod["spec"].get("nodeName")))
        address = f"{backend.pod['status'].get('podIP')}:{backend.port}"
        target = Target(
            "", {"job": ""}, "http", address, "/metrics", 30.0, 10.0, True,
            pod=backend.pod, container=str(backend.container["name"]), node=node,
        )  # fmt: skip
        series = sum(database.storage.head().values()) if database else 0
        found = exposition(target, Context(self.cluster, state, series))
        return text(written(found, self._now()))
