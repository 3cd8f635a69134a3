"""Requests for a fresh reading: rows polled each second, a Redis list that shortens the wait. The row is the truth.

A request is done when everything its check needs was asked *after* it and the reading is written, or after eight
seconds: a silent source must not keep a person waiting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import redis
from django.conf import settings

from common import clock, publish
from monitoring.models import CheckRequest
from monitoring.observer.book import Book
from monitoring.observer.polling import Answered
from monitoring.observer.world import World
from monitoring.snapshot import Need, Objects

_log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 8.0


@dataclass(slots=True)
class Pending:
    """What still has to be asked for one check. ``since`` is wall-clock, ``began`` monotonic."""

    since: datetime
    began: float
    polls: set[Need] = field(default_factory=set)
    lists: set[Objects] = field(default_factory=set)


class Requests:
    """The open requests of one cluster. Belongs to the main thread."""

    def __init__(self, book: Book, world: World) -> None:
        self._book, self._world = book, world
        self._pending: dict[int, Pending] = {}

    def load(self) -> bool:
        """Read the open rows and start asking; False when one names a check that is not in the book yet."""
        known = True
        rows = CheckRequest.objects.filter(cluster=self._book.cluster, done_at=None)
        for pk in set(rows.values_list("check_ref", flat=True)) - self._pending.keys():
            bound = self._book.checks.get(pk)
            if bound is None:
                known = False
                continue
            pending = Pending(clock.now(), time.monotonic())
            for need in bound.needs:
                if isinstance(need, Objects):
                    self._ask_list(need, pending)
                else:
                    pending.polls.add(need)
                    self._world.poller.hurry(need)
            self._pending[pk] = pending
        return known

    def _ask_list(self, need: Objects, pending: Pending) -> None:
        watch = self._world.watch_of(need)
        if watch is not None and not watch.refused:
            pending.lists.add(need)
            self._world.probe_now(watch)

    def answered(self, answered: Answered) -> None:
        """A poll came back; it counts for those who asked before it was sent."""
        for pending in self._pending.values():
            if answered.asked_at >= pending.began:
                pending.polls.discard(answered.need)

    def ready(self) -> set[int]:
        """The checks whose fresh reading can be taken now."""
        found = set()
        for pk, pending in self._pending.items():
            for need in list(pending.lists):
                watch = self._world.watch_of(need)
                if watch is None or watch.error or (watch.confirmed_at and watch.confirmed_at >= pending.since):
                    pending.lists.discard(need)
            patience_over = time.monotonic() - pending.began > PATIENCE_SECONDS
            if patience_over or not (pending.polls or pending.lists):
                found.add(pk)
        return found

    def done(self, check_ids: set[int]) -> None:
        """These are written."""
        for pk in check_ids:
            self._pending.pop(pk, None)


class Waker:
    """Waits on the Redis list in a thread of its own and calls back; a dead or silent Redis only makes it slow."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="waker", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=4.0, socket_connect_timeout=0.5, retry=None)
        while not self._stop.is_set():
            try:
                if client.brpop([publish.WAKE_OBSERVER], timeout=2):
                    self._wake()
            except (redis.RedisError, OSError):
                self._stop.wait(2.0)
        client.close()
