"""What the controllers share, and the loop that runs them.

A controller says which resources it watches and how a changed object maps to keys; its queue calls `reconcile(key)` one
key at a time. An error puts the key back with a growing delay, so a controller that cannot reach the server waits.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.controllers import meta
from lab.controllers.client import ApiError, Client, Object

if TYPE_CHECKING:
    from lab.controllers.cache import Cache
    from lab.controllers.events import Recorder
    from lab.git import Repository

log = logging.getLogger("lab.controllers")

Key = tuple[str, str]
Mapper = Callable[[Object], Iterable[Key]]
_CONFLICT_SECONDS = 0.02
_FIRST_BACKOFF, _MAX_BACKOFF = 0.2, 10.0


@dataclass
class World:
    """Shared by all controllers of one lab."""

    client: Client
    cache: Cache
    recorder: Recorder
    repository: Repository
    speed: float = 1.0
    rng: random.Random = field(default_factory=random.Random)
    own_server: bool = True

    def seconds(self, demo_seconds: float) -> float:
        """A duration of the demo's clock in real seconds."""
        return demo_seconds * self.speed


class Controller:
    """One control loop. Subclasses write `watches` and `reconcile`.

    `agent` is the program as the API server sees it (field manager), `component` the source of its Events.
    """

    agent = "kube-controller-manager"
    component = ""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cache = world.cache
        self.client = world.client.named(self.agent)
        self.queue = WorkQueue(self)

    def watches(self) -> dict[str, Mapper]:
        raise NotImplementedError

    async def reconcile(self, key: Key) -> float | None:
        """Bring the object nearer to what it should be; a number asks to be called again after so many seconds."""
        raise NotImplementedError

    # -- writes that the cache learns of at once -----------------------------------------------------------------

    async def create(self, resource: str, obj: Object) -> Object:
        made = await self.client.create(resource, obj)
        self.cache.observe(resource, made)
        return made

    async def put(self, resource: str, obj: Object, subresource: str = "") -> Object:
        made = await self.client.replace(resource, obj, subresource)
        self.cache.observe(resource, made)
        return made

    async def put_status(self, resource: str, obj: Object, status: Object) -> None:
        """Write the status when it differs."""
        if obj.get("status") == status:
            return
        await self.put(resource, {**obj, "status": status}, "status")

    async def patch(self, resource: str, obj: Object, body: Object, subresource: str = "") -> Object:
        namespace, name = meta.key_of(obj)
        made = await self.client.patch(resource, namespace, name, body, subresource=subresource)
        self.cache.observe(resource, made)
        return made

    async def remove(self, resource: str, obj: Object, grace: int | None = None, propagation: str = "") -> None:
        namespace, name = meta.key_of(obj)
        try:
            await self.client.delete(resource, namespace, name, uid=meta.uid(obj), grace=grace, propagation=propagation)
        except ApiError as error:
            if not error.missing:
                raise
        self.cache.forget(resource, obj)

    def run(self) -> list[asyncio.Task[None]]:
        for resource, mapper in self.watches().items():
            self.cache.listen(resource, self._listener(mapper))
        return [asyncio.create_task(self.queue.work(), name=type(self).__name__)]

    def _listener(self, mapper: Mapper) -> Callable[[Object | None, Object | None], None]:
        def changed(before: Object | None, after: Object | None) -> None:
            keys: set[Key] = set()
            for obj in (before, after):
                if obj is not None:
                    keys.update(mapper(obj))
            for key in keys:
                self.queue.add(key)

        return changed


class WorkQueue:
    """Keys with a due time; a key waits once, with the earliest time asked for."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._heap: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()
        self._order = itertools.count()

    def add(self, key: Key, after: float = 0.0) -> None:
        due = time.monotonic() + after
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        self._wake.set()

    async def _next(self) -> Key:
        while True:
            while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
                heapq.heappop(self._heap)
            wait: float | None = None
            if self._heap:
                wait = self._heap[0][0] - time.monotonic()
                if wait <= 0:
                    key = heapq.heappop(self._heap)[2]
                    del self._due[key]
                    return key
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                pass

    async def work(self) -> None:
        while True:
            key = await self._next()
            try:
                again = await self._controller.reconcile(key)
            except ApiError as error:
                self.add(key, self._delay(key, error))
                continue
            except Exception:
                log.exception("%s: %s", type(self._controller).__name__, key)
                self.add(key, _MAX_BACKOFF)
                continue
            self._failures.pop(key, None)
            if again is not None:
                self.add(key, again)

    def _delay(self, key: Key, error: ApiError) -> float:
        count = self._failures[key] = self._failures.get(key, 0) + 1
        if error.conflict:
            return float(min(_CONFLICT_SECONDS * 2**count, _MAX_BACKOFF))
        if count in (3, 30):
            log.warning("%s: %s: %s", type(self._controller).__name__, key, error)
        return float(min(_FIRST_BACKOFF * 2**count, _MAX_BACKOFF))
