"""The live stream: a raw ASGI application beside Django (design §7).

One reader of the Redis Stream per web process; a changed row is rendered once per (topic, role) in a small thread pool
and sent to every open page that asked for its topic. No thread and no database connection is held per stream. A stream
resolves its session when it opens and again when somebody announces ``session:<user id>``; it never sends a row its
role may not read.

Redis is never the truth: while it does not answer, the hub renders what pages watch every two seconds and sends what
changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import redis.asyncio
from django.conf import settings
from django.db import close_old_connections
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from common.publish import STREAM
from portal import rows
from portal.accounts.roles import Role
from portal.stream import Stream
from portal.visitors import Visitor, resolve, session_key_of

log = logging.getLogger(__name__)

MAX_STREAMS = 1500
MAX_TOPICS = 400
#: a browser opens six connections to a host over HTTP/1.1, and every window of it shares them: streams leave it two, or
#: the seventh window, and every click in the six, would wait for ever
LASTING_PER_SESSION = 4
#: milliseconds until a window beyond these asks again
AGAIN_MS = 3000
LIFETIME = 900.0
HEARTBEAT = 15.0
REAUTHORISE = 60.0
#: how often everything watched is rendered while Redis is away
POLL_WITHOUT_REDIS = 2.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Hub:
    """The process's one reader and its open streams."""

    def __init__(self) -> None:
        self.streams: set[Stream] = set()
        self.redis_answers = True
        self.leaving = False
        self._cursor = "$"
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="live")
        self._sent: dict[tuple[str, Role], bytes] = {}
        self._due: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._dirty: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._topic_sets: dict[frozenset[str], frozenset[str]] = {}

    def start(self) -> None:
        """Begin reading, rendering and watching the clock; called by the ASGI lifespan."""
        for loop in (self._read_forever, self._render_forever, self._watch_clock):
            self._tasks.append(asyncio.create_task(self._guarded(loop), name=loop.__name__))

    def close_streams(self) -> None:
        """End every stream now; their pages connect again, to whoever answers then."""
        self.leaving = True
        for stream in self.streams:
            stream.wake()

    async def stop(self) -> None:
        """End every stream and the hub's own tasks."""
        self.close_streams()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _guarded(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Run one of the hub's loops for ever: a bad row may cost a second, never the stream of everybody."""
        while True:
            try:
                await loop()
            except Exception:  # the last stop before every open page goes silent
                log.exception("live loop failed, starting it again")
                await asyncio.sleep(1)

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a database call in one of the hub's two lasting threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _with_connections, function, *args)

    # -- reading -----------------------------------------------------------------------------------------------

    async def _read_forever(self) -> None:
        client = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=2.5, retry=Retry(NoBackoff(), 0)
        )
        try:
            while True:
                try:
                    await self._read_once(client)
                except (RedisError, OSError, TimeoutError):
                    self._redis_away()
                    await asyncio.sleep(POLL_WITHOUT_REDIS)
        finally:
            await client.aclose()

    async def _read_once(self, client: redis.asyncio.Redis) -> None:
        if self._cursor == "$" or not self.redis_answers:
            newest = await client.xrevrange(STREAM, count=1)
            self._cursor = _text(newest[0][0]) if newest else "0-0"
            if not self.redis_answers:
                self._redis_turned(answers=True)
                log.info("Redis answers again, sending snapshots")
                self.mark(self.watched(), self._cursor)
        got = await client.xread({STREAM: self._cursor}, block=2000, count=1000)
        for _, entries in got or []:
            for entry_id, entry in entries:
                self._cursor = _text(entry_id)
                self._announced(_text(entry.get(b"topic", b"")))

    def _redis_away(self) -> None:
        if self.redis_answers:
            log.warning("Redis does not answer: live pages are refreshed every %s s instead", POLL_WITHOUT_REDIS)
            self._redis_turned(answers=False)
        self.mark(self.watched(), "")

    def _redis_turned(self, *, answers: bool) -> None:
        self.redis_answers = answers
        for stream in self.streams:
            stream.wake()

    def _announced(self, topic: str) -> None:
        if topic.startswith("session:"):
            for stream in self.streams:
                if f"session:{stream.user_id}" == topic:
                    stream.checked_at = 0.0
            self._wake.set()
        else:
            self.mark([topic], self._cursor)

    async def missed(self, since: str) -> frozenset[str] | None:
        """The topics announced after an id; None when nobody can tell (then the page gets everything)."""
        if self.redis_answers and self._cursor != "$" and _order(since) >= _order(self._cursor):
            return frozenset()  # what comes after it has not been read yet, and will be rendered for this stream too
        client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5)
        try:
            first = await client.xrange(STREAM, count=1)
            if not first or _order(_text(first[0][0])) > _order(since):
                return None
            entries = await client.xrange(STREAM, min=f"({since}", count=2000)
            return None if len(entries) == 2000 else frozenset(_text(e.get(b"topic", b"")) for _, e in entries)
        except (RedisError, OSError, TimeoutError):
            return None
        finally:
            await client.aclose()

    # -- rendering ---------------------------------------------------------------------------------------------

    def watched(self) -> frozenset[str]:
        """Every topic some open page asked for."""
        return frozenset().union(*{stream.topics for stream in self.streams})

    def lasting(self, session_key: str) -> int:
        """How many windows of a session hold a stream open."""
        return sum(stream.session_key == session_key and not stream.brief for stream in self.streams)

    def shared(self, topics: frozenset[str]) -> frozenset[str]:
        """The one copy of equal sets: a thousand pages of a kind ask for the same 200 topics."""
        return self._topic_sets.setdefault(topics, topics)

    def mark(self, topics: Iterable[str], event_id: str) -> None:
        """These topics' rows may have changed."""
        self._dirty |= dict.fromkeys(rows.spread(topics), event_id)
        self._wake.set()

    async def _render_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._reauthorise()
            dirty, self._dirty = self._dirty, {}
            by_role: dict[Role, set[str]] = {}
            for role, asked in {(stream.role, stream.topics) for stream in self.streams}:
                by_role.setdefault(role, set()).update(topic for topic in dirty if topic in asked)
            for role, topics in by_role.items():
                if topics:
                    await self._render(role, topics, dirty)

    async def _render(self, role: Role, topics: Collection[str], ids: dict[str, str]) -> None:
        for topic, fragment in (await self.in_thread(_fragments, topics, role)).items():
            if self._sent.get((topic, role)) == fragment:
                continue
            self._sent[topic, role] = fragment
            for stream in self.streams:
                if stream.role == role and topic in stream.topics:
                    stream.put(topic, fragment, ids.get(topic) or stream.last_id)

    async def send_now(self, stream: Stream, topics: Collection[str]) -> None:
        """Render these topics for one stream that has just opened."""
        event_id = "" if self._cursor == "$" else self._cursor  # read before the rows are
        for topic, fragment in (await self.in_thread(_fragments, topics, stream.role)).items():
            stream.put(topic, fragment, event_id)

    # -- the clock ---------------------------------------------------------------------------------------------

    async def _watch_clock(self) -> None:
        """Rows turn stale by the clock alone: what falls due is rendered anew, with no message from anyone."""
        while True:
            for _ in range(5):
                await asyncio.sleep(1)
                moment = time.time()
                self.mark([topic for topic, due in self._due.items() if due <= moment], "")
                self._beat()
            self._topic_sets = {stream.topics: stream.topics for stream in self.streams}
            watched = self.watched()
            self._sent = {key: text for key, text in self._sent.items() if key[0] in watched}
            due = await self.in_thread(rows.falls_due, watched) if watched else {}
            self._due = {topic: at.timestamp() for topic, at in due.items()}

    def _beat(self) -> None:
        """Wake the streams that were quiet for a while: each sends its heartbeat, or finds that its time is over."""
        quiet_since = time.monotonic() - HEARTBEAT
        for stream in self.streams:
            if stream.said_at <= quiet_since:
                stream.wake()

    async def _reauthorise(self) -> None:
        moment = time.monotonic()
        limit = REAUTHORISE if self.redis_answers else 5.0
        known: dict[tuple[str, frozenset[str]], Visitor | None] = {}
        for stream in [s for s in self.streams if moment - s.checked_at > limit]:
            key = (stream.session_key, stream.topics)
            if key not in known:
                known[key] = await self.in_thread(resolve, *key)
            visitor = known[key]
            stream.checked_at = moment
            if visitor is None or visitor.role != stream.role or visitor.topics != stream.topics:
                stream.close()


def _fragments(topics: Collection[str], role: Role) -> dict[str, bytes]:
    """The topics' fragments as lines of the event stream: encoded once, however many pages get them."""
    return {
        topic: b"".join(b"data: " + line.encode() + b"\n" for line in "".join(fragments).splitlines())
        for topic, fragments in rows.render_all(topics, role).items()
        if fragments
    }


def _with_connections(function: Callable[..., Any], *args: Any) -> Any:
    close_old_connections()
    try:
        return function(*args)
    finally:
        close_old_connections()


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _order(entry_id: str) -> tuple[int, int]:
    """A Redis Stream id as a number pair; nonsense sorts before everything, which means a snapshot."""
    with contextlib.suppress(ValueError):
        milliseconds, _, sequence = entry_id.partition("-")
        return int(milliseconds), int(sequence or 0)
    return (-1, -1)


# -- ASGI --------------------------------------------------------------------------------------------------------

hub = Hub()


async def _refuse(send: Send, status: int, sentence: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """``GET /live/?topics=a,b&since=<id>`` → ``text/event-stream``; 401 signed out, 403 nothing allowed, 503 full."""
    stream = await _admitted(scope, send)
    if stream is None:
        return
    stream.brief = hub.lasting(stream.session_key) >= LASTING_PER_SESSION
    hub.streams.add(stream)  # before looking back, so that nothing falls between
    try:
        await _open(stream, stream.last_id, send)
        await _pump(stream, receive, send)
    finally:
        hub.streams.discard(stream)


async def _admitted(scope: Scope, send: Send) -> Stream | None:
    """The stream that was asked for, or a refusal sent. What the request held is let go of when this returns."""
    if scope["method"] != "GET":
        await _refuse(send, 405, "Only GET.")
        return None
    query = parse_qs(scope["query_string"].decode("latin-1"))
    asked = frozenset(filter(None, ",".join(query.get("topics", [])).split(",")))
    if not asked or len(asked) > MAX_TOPICS:
        await _refuse(send, 400, f"Ask for 1 to {MAX_TOPICS} topics.")
        return None
    if len(hub.streams) >= MAX_STREAMS:
        await _refuse(send, 503, "Too many open pages on this process; the page itself still works.")
        return None
    session_key = session_key_of(scope)
    visitor = await hub.in_thread(resolve, session_key, asked) if session_key else None
    if visitor is None:
        await _refuse(send, 401, "Signed out.")
        return None
    if not visitor.topics:
        await _refuse(send, 403, "Your role may not read this.")
        return None
    since = next((_text(v) for k, v in scope["headers"] if k == b"last-event-id"), query.get("since", [""])[0])
    return Stream(visitor.user_id, visitor.role, session_key, hub.shared(visitor.topics), last_id=since)


async def _open(stream: Stream, since: str, send: Send) -> None:
    headers = [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
        (b"content-encoding", b"identity"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    again = f"retry: {AGAIN_MS if stream.brief else 1000}\n".encode()
    await send({"type": "http.response.body", "body": again + stream.tick(hub.redis_answers), "more_body": True})
    missed = await hub.missed(since) if since else None
    topics = stream.topics if missed is None else stream.topics & rows.spread(missed)
    if topics:
        await hub.send_now(stream, topics)


async def _pump(stream: Stream, receive: Receive, send: Send) -> None:
    """Send what gathers in the outbox until the client leaves, the session ends or 15 minutes are over; a brief stream
    ends with what there is."""
    if stream.brief:
        await send({"type": "http.response.body", "body": stream.frame(hub.redis_answers) if stream.outbox else b""})
        return
    watcher = asyncio.create_task(_client_left(stream, receive))
    end = time.monotonic() + LIFETIME
    try:
        while time.monotonic() < end:
            await stream.woken()
            if watcher.done():
                return
            if hub.leaving:
                break
            if stream.closed:
                await send({"type": "http.response.body", "body": b"event: bye\ndata: session\n\n"})
                return
            await send({"type": "http.response.body", "body": stream.frame(hub.redis_answers), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except OSError:
        return  # the client left while we were writing
    finally:
        watcher.cancel()


async def _client_left(stream: Stream, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.wake()
