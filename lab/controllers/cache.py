"""Informers: what the controllers and the lab's services read instead of asking the API server.

Each resource is listed once and then kept by watch; a 410 lists again, a broken watch resumes from the last version. A
controller's own writes are put in at once (`observe`), so that the next pass does not act on what it has just changed.
A resource that is not served (a CRD that is missing) reads as empty and is looked for again every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from lab.controllers import meta
from lab.controllers.client import ApiError, Client, Object

log = logging.getLogger("lab.cache")

Objects = list[Object]
Listener = Callable[[Object | None, Object | None], None]
_RETRY_SECONDS = 0.5
_UNSERVED_SECONDS = 3.0


class Cache:
    """Objects by resource key ("pods", "deployments.apps"). What it hands out must not be changed by the reader."""

    def __init__(self, client: Client, keys: Iterable[str]) -> None:
        self.client = client
        self.keys = tuple(dict.fromkeys(keys))
        self.changed = asyncio.Event()
        self.generation = 0
        self._objects: dict[str, dict[tuple[str, str], Object]] = {key: {} for key in self.keys}
        self._owned: dict[str, dict[str, set[tuple[str, str]]]] = {key: defaultdict(set) for key in self.keys}
        self._listeners: dict[str, list[Listener]] = defaultdict(list)
        self._tasks: list[asyncio.Task[None]] = []
        self._synced: dict[str, asyncio.Event] = {key: asyncio.Event() for key in self.keys}

    async def start(self) -> None:
        """Begin to follow every resource; returns when each has been listed once."""
        self._tasks = [asyncio.create_task(self._follow(key), name=f"informer {key}") for key in self.keys]
        await asyncio.gather(*(event.wait() for event in self._synced.values()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- reading -------------------------------------------------------------------------------------------------

    def list(self, resource: str, namespace: str | None = None, selector: dict[str, Any] | None = None) -> Objects:
        """Objects of a resource; `selector` is a label map or a LabelSelector."""
        return [
            obj
            for obj in self._objects[resource].values()
            if (namespace is None or obj["metadata"].get("namespace", "") == namespace)
            and (selector is None or meta.matches(obj["metadata"].get("labels"), selector))
        ]

    def get(self, resource: str, namespace: str | None, name: str) -> Object | None:
        return self._objects[resource].get((namespace or "", name))

    def owned(self, resource: str, uid: str) -> Objects:
        """Objects whose controlling owner has this uid."""
        store = self._objects[resource]
        return [store[key] for key in self._owned[resource].get(uid, ()) if key in store]

    def listen(self, resource: str, listener: Listener) -> None:
        """Call `listener(before, after)` at every change; called once for each object already known."""
        self._listeners[resource].append(listener)
        for obj in list(self._objects[resource].values()):
            listener(None, obj)

    # -- writing (own writes and the watch) ----------------------------------------------------------------------

    def observe(self, resource: str, obj: Object) -> None:
        """Take in an object that the server answered to a write, unless something newer is known."""
        if resource not in self._objects:
            return
        name = meta.key_of(obj)
        known = self._objects[resource].get(name)
        if known and _older(obj, known):
            return
        self._put(resource, name, known, obj)

    def forget(self, resource: str, obj: Object) -> None:
        """Mark an object as being deleted until the watch says that it is gone."""
        name = meta.key_of(obj)
        known = self._objects.get(resource, {}).get(name)
        if known and meta.uid(known) == meta.uid(obj) and not meta.deleting(known):
            marked = {**known, "metadata": {**known["metadata"], "deletionTimestamp": meta.now()}}
            self._put(resource, name, known, marked)

    def _put(self, resource: str, name: tuple[str, str], before: Object | None, after: Object) -> None:
        self._objects[resource][name] = after
        self._index(resource, name, before, after)
        self._tell(resource, before, after)

    def _drop(self, resource: str, name: tuple[str, str]) -> None:
        before = self._objects[resource].pop(name, None)
        if before:
            self._index(resource, name, before, None)
            self._tell(resource, before, None)

    def _index(self, resource: str, name: tuple[str, str], before: Object | None, after: Object | None) -> None:
        old, new = meta.controller_uid(before), meta.controller_uid(after)
        if old and old != new:
            self._owned[resource][old].discard(name)
        if new:
            self._owned[resource][new].add(name)

    def _tell(self, resource: str, before: Object | None, after: Object | None) -> None:
        self.generation += 1
        self.changed.set()
        for listener in self._listeners[resource]:
            listener(before, after)

    # -- following -----------------------------------------------------------------------------------------------

    async def _follow(self, key: str) -> None:
        version = ""
        while True:
            try:
                if not version:
                    if not self.client.serves(key):
                        self._synced[key].set()
                        await asyncio.sleep(_UNSERVED_SECONDS)
                        await self.client.discover()
                        continue
                    version = await self._relist(key)
                    self._synced[key].set()
                async for kind, obj in self.client.watch(key, version):
                    version = str(obj["metadata"]["resourceVersion"])
                    if kind != "BOOKMARK":
                        self._take(key, kind, obj)
            except ApiError as error:
                log.debug("informer %s: %s", key, error)
                if error.gone or error.missing:
                    version = ""
                await asyncio.sleep(_RETRY_SECONDS)

    async def _relist(self, key: str) -> str:
        items, version = await self.client.list(key)
        seen = set()
        for obj in items:
            name = meta.key_of(obj)
            seen.add(name)
            known = self._objects[key].get(name)
            if known is None or known["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                self._put(key, name, known, obj)
        for name in set(self._objects[key]) - seen:
            self._drop(key, name)
        return version

    def _take(self, key: str, kind: str, obj: Object) -> None:
        name = meta.key_of(obj)
        known = self._objects[key].get(name)
        if kind == "DELETED":
            if known and meta.uid(known) == meta.uid(obj):
                self._drop(key, name)
            return
        if known and meta.uid(known) == meta.uid(obj) and _older(obj, known):
            return
        self._put(key, name, known, obj)


def _older(obj: Object, known: Object) -> bool:
    """Whether `obj` is not newer than `known`; versions are compared as numbers, as etcd's are."""
    if meta.uid(obj) != meta.uid(known):
        return False
    try:
        return int(obj["metadata"]["resourceVersion"]) <= int(known["metadata"]["resourceVersion"])
    except ValueError:
        return False
