"""The objects of one list, kept current by its watch; a change costs the same however many objects there are.

Belongs to the observer's main thread alone: no locks. Knows nothing of checks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from integrations.kubernetes.parts import KubeObject
from integrations.kubernetes.reader import WatchEvent
from monitoring.snapshot import Listing


class Kept(Collection[KubeObject]):
    """All objects, over the namespaces, without copying them."""

    def __init__(self, namespaces: dict[str, dict[str, KubeObject]]) -> None:
        self._namespaces = namespaces

    def __iter__(self) -> Iterator[KubeObject]:
        for objects in self._namespaces.values():
            yield from objects.values()

    def __len__(self) -> int:
        return sum(len(objects) for objects in self._namespaces.values())

    def __contains__(self, item: object) -> bool:
        return any(item in objects.values() for objects in self._namespaces.values())


class ObjectCache:
    """Objects by namespace and name."""

    def __init__(self) -> None:
        self._namespaces: dict[str, dict[str, KubeObject]] = {}
        self._kept = Kept(self._namespaces)

    def replace(self, items: Iterable[KubeObject]) -> None:
        """What a new list says is all there is."""
        self._namespaces.clear()
        for item in items:
            self._put(item)

    def _put(self, item: KubeObject) -> KubeObject | None:
        objects = self._namespaces.setdefault(item.metadata.namespace, {})
        before = objects.get(item.metadata.name)
        objects[item.metadata.name] = item
        return before

    def apply(self, event: WatchEvent) -> tuple[KubeObject, ...]:
        """One event; the versions of the object (before, after) a check may look at."""
        item: KubeObject | None = event.object
        if item is None:
            return ()
        if event.type == "DELETED":
            objects = self._namespaces.get(item.metadata.namespace, {})
            gone = objects.pop(item.metadata.name, None)
            return (gone or item,)
        before = self._put(item)
        return (item,) if before is None else (before, item)

    def listing(self, resource_version: str, confirmed_at: datetime) -> Listing:
        """A live view for Snapshots: it shows later changes too."""
        return Listing(self._kept, resource_version, confirmed_at, namespaces=self._namespaces)
