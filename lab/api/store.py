"""The objects of the cluster, in memory, with one global resourceVersion and a history of every change.

Stored objects are never changed in place: a write puts a new dict. So an entry can be shared by lists, snapshots and
watches, and is encoded to JSON once. The store knows no API rules; it must be used from one event loop only.
Raises `Compacted` when a past version is asked for that has been forgotten.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from lab.api.errors import Obj

HISTORY = 5_000  # changes kept per resource, so memory stays bounded; older versions answer 410 like a real watch cache
Key = tuple[str, str]  # namespace ("" for cluster scope), name


class Compacted(Exception):  # noqa: N818 - the word of etcd for this state
    """The wanted resourceVersion is older than the history; `oldest` is the first one still known."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history starts at {oldest}")
        self.oldest = oldest


class Entry:
    """One version of one object and its JSON, encoded at first use."""

    __slots__ = ("_bare", "obj", "version")

    def __init__(self, obj: Obj, version: int) -> None:
        self.obj = obj
        self.version = version
        self._bare: bytes | None = None

    @property
    def key(self) -> Key:
        metadata = self.obj["metadata"]
        return metadata.get("namespace", ""), metadata["name"]

    def bare(self) -> bytes:
        """JSON without kind and apiVersion, as items of built-in lists are sent."""
        if self._bare is None:
            body = {name: value for name, value in self.obj.items() if name not in ("kind", "apiVersion")}
            self._bare = msgspec.json.encode(body)
        return self._bare

    def full(self) -> bytes:
        head = f'{{"kind":"{self.obj["kind"]}","apiVersion":"{self.obj["apiVersion"]}",'.encode()
        return head + self.bare()[1:]


class Change:
    """One write: what was before and after. A deletion's `after` is the last state with the deletion's version."""

    __slots__ = ("_lines", "after", "before", "deleted", "version")

    def __init__(self, before: Entry | None, after: Entry, *, deleted: bool) -> None:
        self.before = before
        self.after = after
        self.deleted = deleted
        self.version = after.version
        self._lines: dict[str, bytes] = {}

    def line(self, kind: str) -> bytes:
        """The watch line of this change as `kind` (ADDED, MODIFIED, DELETED), encoded once for all watchers."""
        line = self._lines.get(kind)
        if line is None:
            line = b'{"type":"%s","object":%s}\n' % (kind.encode(), self.after.full())
            self._lines[kind] = line
        return line


@dataclass(slots=True, eq=False)
class Subscription:
    """Changes of one resource (or of all, `key` None) since it was opened, in order."""

    key: str | None
    changes: deque[tuple[str, Change]] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, key: str, change: Change) -> None:
        self.changes.append((key, change))
        self.wake.set()

    async def wait(self, seconds: float) -> bool:
        """True when something is there; False after `seconds` without."""
        if self.changes:
            return True
        self.wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            return bool(self.changes)
        return True


@dataclass(slots=True)
class _Shelf:
    """All objects of one resource."""

    entries: dict[Key, Entry] = field(default_factory=dict)
    order: list[Key] = field(default_factory=list)
    history: deque[Change] = field(default_factory=deque)
    compacted: int = 0


class Store:
    """See the module. Keys are resource keys ("pods", "deployments.apps")."""

    def __init__(self, version: int = 1) -> None:
        """`version` is the first resourceVersion. Above 1, older ones count as forgotten: a server that starts anew
        with a number above those of its past life makes clients that kept one list again instead of waiting for ever.
        """
        self.version = version
        self._shelves: dict[str, _Shelf] = {}
        self._subscriptions: set[Subscription] = set()
        self._floor = version if version > 1 else 0

    def _shelf(self, key: str) -> _Shelf:
        shelf = self._shelves.get(key)
        if shelf is None:
            shelf = self._shelves[key] = _Shelf(compacted=self._floor)
        return shelf

    # -- reading

    def get(self, key: str, namespace: str, name: str) -> Obj | None:
        entry = self._shelf(key).entries.get((namespace, name))
        return entry.obj if entry else None

    def entry(self, key: str, namespace: str, name: str) -> Entry | None:
        return self._shelf(key).entries.get((namespace, name))

    def entries(self, key: str, namespace: str = "", version: int | None = None) -> list[Entry]:
        """Entries sorted by namespace and name, now or as they were at `version`; "" is every namespace.

        Raises Compacted.
        """
        shelf = self._shelf(key)
        if version is not None and version < shelf.compacted:
            raise Compacted(shelf.compacted)
        if version is None or not shelf.history or shelf.history[-1].version <= version:
            return [shelf.entries[each] for each in self._keys(shelf.order, namespace)]
        past = self._past(shelf, version)
        return [past[each] for each in self._keys(sorted(past), namespace)]

    @staticmethod
    def _keys(order: list[Key], namespace: str) -> list[Key]:
        if not namespace:
            return order
        start = bisect_left(order, (namespace, ""))
        end = bisect_left(order, (namespace + "\0", ""))
        return order[start:end]

    @staticmethod
    def _past(shelf: _Shelf, version: int) -> dict[Key, Entry]:
        past = dict(shelf.entries)
        for change in reversed(shelf.history):
            if change.version <= version:
                break
            if change.before is None:
                past.pop(change.after.key, None)
            else:
                past[change.after.key] = change.before
        return past

    def objects(self, key: str, namespace: str = "") -> list[Obj]:
        return [entry.obj for entry in self.entries(key, namespace)]

    def since(self, key: str, version: int) -> list[Change]:
        """Changes after `version`. Raises Compacted."""
        shelf = self._shelf(key)
        if version < shelf.compacted:
            raise Compacted(shelf.compacted)
        found: list[Change] = []
        for change in reversed(shelf.history):
            if change.version <= version:
                break
            found.append(change)
        found.reverse()
        return found

    # -- writing

    def put(self, key: str, obj: Obj) -> Obj:
        """Store `obj` (its caller gives it away) under a new resourceVersion and tell the subscribers."""
        shelf = self._shelf(key)
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        after = Entry(obj, self.version)
        before = shelf.entries.get(after.key)
        if before is None:
            insort(shelf.order, after.key)
        shelf.entries[after.key] = after
        self._record(key, shelf, Change(before, after, deleted=False))
        return obj

    def remove(self, key: str, namespace: str, name: str) -> Obj:
        """Delete and return the last state, with the deletion's resourceVersion. The object must exist."""
        shelf = self._shelf(key)
        before = shelf.entries.pop((namespace, name))
        del shelf.order[bisect_left(shelf.order, (namespace, name))]
        self.version += 1
        last = {**before.obj, "metadata": {**before.obj["metadata"], "resourceVersion": str(self.version)}}
        self._record(key, shelf, Change(before, Entry(last, self.version), deleted=True))
        return last

    def _record(self, key: str, shelf: _Shelf, change: Change) -> None:
        shelf.history.append(change)
        while len(shelf.history) > HISTORY:
            shelf.compacted = shelf.history.popleft().version
        for subscription in self._subscriptions:
            if subscription.key is None or subscription.key == key:
                subscription.push(key, change)

    def compact(self) -> int:
        """Forget all history: versions older than the current one answer 410 from now on."""
        self._floor = self.version
        for shelf in self._shelves.values():
            shelf.history.clear()
            shelf.compacted = self.version
        return self.version

    # -- watching

    def subscribe(self, key: str | None = None) -> Subscription:
        subscription = Subscription(key)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._shelves))
