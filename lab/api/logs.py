"""Container logs, pushed by the lab's kubelet and served by pods/log."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime

from lab.api.errors import Obj

_KEPT = 5_000
LogKey = tuple[str, str, str, bool]  # namespace, pod, container, previous


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its RFC 3339 time."""

    time: str
    text: str

    def render(self, *, timestamps: bool) -> bytes:
        return (f"{self.time} {self.text}\n" if timestamps else f"{self.text}\n").encode()


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The query of pods/log that selects lines."""

    tail: int | None = None
    since_seconds: int | None = None
    since_time: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


def _when(line: Line) -> datetime | None:
    try:
        return datetime.fromisoformat(line.time)
    except ValueError:
        return None


@dataclass(slots=True)
class Logs:
    """All logs; bounded per container."""

    _lines: dict[LogKey, deque[Line]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, key: LogKey, lines: list[Obj], *, append: bool) -> None:
        kept = self._lines.setdefault(key, deque(maxlen=_KEPT))
        if not append:
            kept.clear()
        kept.extend(Line(str(each.get("time", "")), str(each.get("text", ""))) for each in lines)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def forget_pod(self, namespace: str, pod: str) -> None:
        for key in [each for each in self._lines if each[:2] == (namespace, pod)]:
            del self._lines[key]
        self._wake()

    def has(self, key: LogKey) -> bool:
        return key in self._lines

    def select(self, key: LogKey, options: LogOptions, now: datetime) -> bytes:
        lines = list(self._lines.get(key, ()))
        since = options.since_time
        if options.since_seconds is not None:
            since = datetime.fromtimestamp(now.timestamp() - options.since_seconds, now.tzinfo)
        if since is not None:
            lines = [line for line in lines if (moment := _when(line)) is None or moment >= since]
        if options.tail is not None:
            lines = lines[len(lines) - options.tail :] if options.tail < len(lines) else lines
        data = b"".join(line.render(timestamps=options.timestamps) for line in lines)
        return data if options.limit_bytes is None else data[: options.limit_bytes]

    async def follow(self, key: LogKey, alive: Callable[[], bool], *, timestamps: bool) -> AsyncIterator[bytes]:
        """New lines as they come, while `alive()`; a pod's end wakes it through `forget_pod`."""
        seen = list(self._lines.get(key, ()))
        while alive():
            await self._changed.wait()
            lines = list(self._lines.get(key, ()))
            fresh = lines[_overlap(seen, lines) :]
            seen = lines
            if fresh:
                yield b"".join(line.render(timestamps=timestamps) for line in fresh)


def _overlap(seen: list[Line], lines: list[Line]) -> int:
    """How many of `lines` were already in `seen`: the deque may have dropped old ones at its left."""
    if not seen:
        return 0
    last = seen[-1]
    for index in range(len(lines) - 1, -1, -1):
        if lines[index] is last:
            return index + 1
    return 0
