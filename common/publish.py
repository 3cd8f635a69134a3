"""The event stream: topics appended to one Redis Stream after commit. Redis is never the truth (design §3).

Topics: ``item:<id>``, ``run:<ulid>``, ``source:<cluster>/<name>``, ``plan:<ulid>``, ``phase:<id>``, ``session:<id>``,
``component:<id>``. A message says only *what* changed; the hub reads the row and renders it.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Iterable
from typing import cast

import redis
from django.conf import settings
from django.db import transaction
from redis.backoff import NoBackoff
from redis.retry import Retry

STREAM = "phaseboard:events"
MAX_ENTRIES = 10_000
#: a Redis list used to wake the observer for a CheckRequest; the row is the truth
WAKE_OBSERVER = "phaseboard:wake:observer"


@functools.cache
def client() -> redis.Redis:
    """The process's Redis client: 0.5 s socket timeouts, no retries; a silent Redis costs a moment and not a page."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
    )


def publish(*topics: str) -> None:
    """Announce, once the surrounding transaction commits, that the rows behind these topics changed.

    Never raises for Redis: what cannot be sent now is kept, without its order, and sent with the next topics or by
    :func:`flush`. What a dying process still held is found by the pages' own reads.
    """
    unique = tuple(dict.fromkeys(topics))
    if unique:
        transaction.on_commit(functools.partial(_append, unique), robust=True)


#: topics that Redis has not taken yet; guarded by the lock
_unsent: dict[str, None] = {}
_unsent_lock = threading.Lock()
_MOST_UNSENT = 5_000
#: a silent Redis is left alone until then, so that it costs half a second now and then and not at every commit
_silent_until = 0.0
_SILENT_SECONDS = 2.0


def _append(topics: Iterable[str]) -> None:
    with _unsent_lock:
        _unsent.update(dict.fromkeys(topics))
        for oldest in list(_unsent)[: max(0, len(_unsent) - _MOST_UNSENT)]:
            del _unsent[oldest]
    flush()


def flush() -> None:
    """Send what Redis has not taken yet. Costs nothing when there is nothing."""
    global _silent_until  # noqa: PLW0603 - one circuit breaker per process
    if not _unsent or time.monotonic() < _silent_until:
        return
    with _unsent_lock:
        topics = list(_unsent)
        _unsent.clear()
    # Twice: after a restart of Redis the pooled connection is dead, and a new one works.
    for _ in range(2):
        try:
            _send(topics)
        except redis.TimeoutError:
            _silent_until = time.monotonic() + _SILENT_SECONDS
            break
        except (redis.RedisError, OSError):
            continue
        return
    with _unsent_lock:
        _unsent.update(dict.fromkeys(topics))


def _send(topics: Iterable[str]) -> None:
    pipeline = client().pipeline(transaction=False)
    for topic in topics:
        pipeline.xadd(STREAM, {"topic": topic}, maxlen=MAX_ENTRIES, approximate=True)
    pipeline.execute()


def wake(key: str) -> None:
    """Nudge a sleeping process after commit (it polls its table anyway)."""
    transaction.on_commit(functools.partial(_push, key), robust=True)


def _push(key: str) -> None:
    with contextlib.suppress(redis.RedisError, OSError):
        pipeline = client().pipeline(transaction=False)
        pipeline.lpush(key, "1")
        pipeline.ltrim(key, 0, 9)
        pipeline.execute()


_away_until = 0.0


def position() -> str:
    """The stream's newest id, for a page to ask for what comes after it; empty when Redis does not answer.

    After a failure Redis is left alone for 5 s, so that a silent one costs each process half a second once.
    """
    global _away_until  # noqa: PLW0603 - one circuit breaker per process
    if time.monotonic() < _away_until:
        return ""
    try:
        newest = cast("list[tuple[bytes, dict[bytes, bytes]]]", client().xrevrange(STREAM, count=1))
    except (redis.RedisError, OSError):
        _away_until = time.monotonic() + 5
        return ""
    return newest[0][0].decode() if newest else "0-0"
