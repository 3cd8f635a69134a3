"""The long-running process that keeps a cluster's Snapshot by watch, judges checks and writes what they read.

One main thread owns all state and the only database connection; threads that read the cluster post messages to it. It
survives a locked or absent database (what is due stays due), a dead or silent Redis, and whatever the cluster does (see
``watching``); it stands back when another observer took over the lead. It knows no items: those are the sink's.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, connection

from common import clock, publish
from integrations.errors import SourceError
from monitoring import services
from monitoring.collect import Readers
from monitoring.models import Check
from monitoring.observer.book import Book, Bound
from monitoring.observer.evaluating import evaluate
from monitoring.observer.leading import Deposed, Lease
from monitoring.observer.polling import Answered
from monitoring.observer.requests import Requests, Waker
from monitoring.observer.sources import Sources
from monitoring.observer.workers import Workers
from monitoring.observer.world import Message, World
from monitoring.services import Outcome, Sink
from monitoring.snapshot import Fetch, Need, Reply, ServerVersion

_log = logging.getLogger(__name__)

#: checks written in one transaction: short ones let the web processes write in between
_BATCH = 50


@dataclass(frozen=True)
class Tempo:
    """How often things are done, in seconds."""

    #: look for new checks
    load: float = 2.0
    requests: float = 1.0
    sources: float = 0.5
    #: a watch that said nothing for so long is asked for a sign of life
    probe: float = 10.0
    #: events that arrive within this time are judged together
    coalesce: float = 0.01
    #: say "unknown" of a check that never had a reading after waiting so long for its first
    patience: float = 8.0
    takeover: float = 7.0


class Observer:
    """Observes one cluster while it leads; :meth:`run` returns when ``stop`` is set."""

    def __init__(self, readers: Readers, sink: Sink, tempo: Tempo | None = None) -> None:
        self._readers, self._sink = readers, sink
        self._tempo = tempo or Tempo()
        self.lease = Lease(readers.cluster, takeover_seconds=self._tempo.takeover)

    def run(self, stop: threading.Event) -> None:
        """Lead and observe, or stand by, until ``stop``. Raises nothing."""
        standing_by = False
        while not stop.is_set():
            try:
                if not self.lease.acquire():
                    if not standing_by:
                        _log.info("standing by: another observer leads %s", self._readers.cluster)
                    standing_by = True
                    stop.wait(1.0)
                    continue
                standing_by = False
                _log.info("observing %s at %s", self._readers.cluster, self._readers.kubernetes.address)
                Watchkeeping(self._readers, self._sink, self._tempo, self.lease).run(stop)
                self.lease.release()
            except Deposed:
                _log.warning("another observer took over %s", self._readers.cluster)
            except (DatabaseError, InterfaceError) as error:
                _log.warning("the database does not answer: %s", error)
                _drop_connection()
                stop.wait(1.0)
            except Exception:  # noqa: BLE001 - a surprise in one object must not end observing: begin anew with fresh lists
                _log.exception("the observer stumbled and begins anew")
                _drop_connection()
                stop.wait(1.0)
        _drop_connection()


class Watchkeeping:
    """One term of leadership."""

    def __init__(self, readers: Readers, sink: Sink, tempo: Tempo, lease: Lease) -> None:
        self._readers, self._sink, self._tempo, self._lease = readers, sink, tempo, lease
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._book = Book(readers.cluster)
        self._world = World(readers, self._book, self._inbox.put)
        self._requests = Requests(self._book, self._world)
        self._sources = Sources(readers, sink)
        self._background = Workers("identity", 1)
        self._next: dict[str, float] = {}
        self._rearrange = False
        self._asked = threading.Event()
        self._away_until = 0.0
        self._troubles = 0

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``. :raises Deposed: another observer leads."""
        waker = Waker(self._wake)
        self._background.submit(self._read_identity)
        try:
            while not stop.is_set():
                self._receive()
                self._work()
        finally:
            waker.stop()
            self._background.close()
            self._world.close()

    def _wake(self) -> None:
        self._asked.set()
        self._inbox.put(None)

    def _read_identity(self) -> None:
        with contextlib.suppress(SourceError):
            self._sources.identity = self._readers.kubernetes.identity()

    # -- messages

    def _receive(self) -> None:
        """Wait for messages, but not beyond the next thing to do; take all that come together."""
        with contextlib.suppress(queue.Empty):
            self._take(self._inbox.get(timeout=0.1))
            until = time.monotonic() + self._tempo.coalesce
            while (left := until - time.monotonic()) > 0:
                self._take(self._inbox.get(timeout=left))

    def _take(self, message: Message | None) -> None:
        if message is None:
            return
        self._world.take(message)
        if isinstance(message, Answered):
            self._requests.answered(message)
            if message.reply is not None and message.reply.status < 500 and message.reply.at:
                self._sources.polled(message.need.source, message.reply.at)
                _note_version(self._sources.versions, message.need, message.reply)

    # -- work

    def _work(self) -> None:
        """Everything that is due. The database may fail at any point; what was not written stays due."""
        if time.monotonic() < self._away_until:
            return
        try:
            self._lease.renew()
            self._each("load", self._tempo.load, self._load)
            if self._asked.is_set():
                self._asked.clear()
                self._next.pop("requests", None)
            self._each("requests", self._tempo.requests, self._load_requests)
            self._due_by_clock()
            self._judge()
            self._each("sources", self._tempo.sources, self._write_sources)
        except (DatabaseError, InterfaceError) as error:
            self._database_away(error)
        else:
            self._troubles = 0
        self._world.poller.start_due()
        self._each("probe", 1.0, lambda: self._world.probe(timedelta(seconds=self._tempo.probe)))
        self._each("idle", 10.0, self._world.drop_idle)
        self._each("flush", 1.0, publish.flush)
        if self._rearrange:
            self._rearrange = False
            self._world.arrange()

    def _each(self, name: str, seconds: float, do: Callable[[], None]) -> None:
        moment = time.monotonic()
        if moment >= self._next.get(name, 0.0):
            self._next[name] = moment + seconds
            do()

    def _database_away(self, error: Exception) -> None:
        if not self._troubles:
            _log.warning("the database does not answer, what is due waits: %s", error)
        self._troubles += 1
        self._away_until = time.monotonic() + min(0.2 * 2 ** min(self._troubles, 4), 3.0)
        self._sources.forget()
        _drop_connection()

    def _load(self) -> None:
        before = set(self._book.checks)
        fresh = self._book.load()
        if fresh or before - self._book.checks.keys():
            self._world.due |= fresh
            self._world.due &= self._book.checks.keys()
            self._world.arrange()

    def _load_requests(self) -> None:
        if not self._requests.load():
            self._load()
            self._requests.load()

    def _due_by_clock(self) -> None:
        moment = time.monotonic()
        for pk, bound in self._book.checks.items():
            if bound.poll_seconds and moment >= bound.next_at:
                bound.next_at = moment + bound.poll_seconds
                self._world.due.add(pk)

    def _judge(self) -> None:
        """Evaluate what is due and can be judged, write it, finish the requests it answers."""
        asked = self._requests.ready()
        moment = time.monotonic()
        outcomes: list[Outcome] = []
        waiting: list[int] = []
        for pk in (self._world.due | asked) & self._book.checks.keys():
            bound = self._book.checks[pk]
            patience_over = moment - bound.loaded_at > self._tempo.patience
            outcome = self._outcome(bound, patience_over or pk in asked)
            if outcome is not None:
                outcomes.append(outcome)
            elif patience_over:
                waiting.append(pk)
        at = clock.now()
        for start in range(0, len(outcomes), _BATCH):
            batch = outcomes[start : start + _BATCH]
            services.record_all(batch, at, self._sink, self._lease.guard)
            for outcome in batch:
                self._book.checks[outcome.check.pk].on_record = True
                self._world.due.discard(outcome.check.pk)
        if asked:
            services.finish_requests(asked, at, self._sink)
            self._requests.done(asked)
        # The arrival of what they wait for makes them due again.
        self._world.due.difference_update(waiting)

    def _outcome(self, bound: Bound, may_say_unknown: bool) -> Outcome | None:
        """The reading of one check, None when it has to wait for what it needs."""
        now = clock.now()
        snapshot = self._world.snapshot(now)
        if self._world.ready(bound):
            if self._book.ask(bound, snapshot):
                self._rearrange = True
                if not self._world.ready(bound):
                    return None
        elif may_say_unknown and not bound.on_record:
            snapshot = self._world.excused(bound.needs, now)
        else:
            return None
        return evaluate(bound, snapshot, self._world, self._readers.address(bound.needs[0].source), now)

    def _write_sources(self) -> None:
        self._sources.write(
            self._world.watches.values(), self._world.poller.polls.values(), self._of_source, self._world.quarantined
        )

    def _of_source(self, name: str) -> list[Check]:
        return self._book.of_source(name)


def _note_version(versions: dict[str, str], need: Need, reply: Reply) -> None:
    """Pick a source's version out of the answers that hold it."""
    body = reply.body if isinstance(reply.body, dict) else {}
    found: object = None
    match need:
        case ServerVersion():
            found = body.get("gitVersion")
        case Fetch("prometheus", "/api/v1/status/buildinfo"):
            found = _build(body.get("data") or {})
        case Fetch("alertmanager", "/api/v2/status"):
            found = (body.get("versionInfo") or {}).get("version")
        case Fetch("grafana", "/api/health"):
            found = body.get("version")
    if isinstance(found, str) and found:
        versions[need.source] = found


def _build(data: dict[str, object]) -> object:
    """Prometheus's version. The lab's also says which engine answers, and so must the page (design §10)."""
    engine = data.get("engine")
    return f"{data.get('version')}, the lab's {engine} engine" if engine else data.get("version")


def _drop_connection() -> None:
    """Give the database connection back; the next query opens a new one."""
    with contextlib.suppress(DatabaseError, InterfaceError):
        connection.close()
