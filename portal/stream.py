"""One open page as the hub sees it: what waits to be sent, and the bytes of the event stream. Knows no Redis."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from common.clock import now
from portal.accounts.roles import Role


@dataclass(eq=False, slots=True)
class Stream:
    """One open page. ``outbox`` holds the newest frame per topic: a slow reader costs one entry each, not a queue."""

    user_id: int
    role: Role
    session_key: str
    topics: frozenset[str]
    outbox: dict[str, bytes] = field(default_factory=dict)
    last_id: str = ""
    _waiter: asyncio.Future[None] | None = None
    _woken: bool = False
    closed: bool = False
    #: a window beyond what a browser may hold open: it is told what is new and asks again in three seconds
    brief: bool = False
    checked_at: float = field(default_factory=time.monotonic)
    #: when something was sent last
    said_at: float = field(default_factory=time.monotonic)
    #: what its page was last told about Redis
    told: bool = True

    def wake(self) -> None:
        """Look at this stream: something is to be sent, or it is to end."""
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def woken(self) -> None:
        """Wait until somebody calls :meth:`wake`; one waiter at a time, so cheaper than an Event."""
        if not self._woken:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._woken = False

    def put(self, topic: str, fragment: bytes, event_id: str) -> None:
        """Replace what waits of this topic."""
        self.outbox.pop(topic, None)
        self.outbox[topic] = fragment
        self.last_id = event_id
        self.wake()

    def close(self) -> None:
        """End it when it is looked at next."""
        self.closed = True
        self.wake()

    def frame(self, redis_answers: bool) -> bytes:
        """What waits, as the stream's bytes; a heartbeat when nothing does or the page is to hear of Redis."""
        self.said_at = time.monotonic()
        tick = b"" if self.outbox and self.told == redis_answers else self.tick(redis_answers)
        if not self.outbox:
            return tick
        fragments, self.outbox = self.outbox, {}
        event_id = f"id: {self.last_id}\n".encode() if self.last_id else b""
        return tick + event_id + b"".join(fragments.values()) + b"\n"

    def tick(self, redis_answers: bool) -> bytes:
        """The heartbeat: the server's time, and whether the page is refreshed by looking instead of by messages."""
        self.told = redis_answers
        words = (now().isoformat(), *(() if redis_answers else ("without-redis",)), *(("brief",) if self.brief else ()))
        return f"event: tick\ndata: {' '.join(words)}\n\n".encode()
