"""Everything the observer knows of a cluster, and which checks have to be looked at again.

Belongs to the main thread: watches and polls post messages, :meth:`World.take` applies them. Holds the one Snapshot
that checks are evaluated against; it never leaves the process. Touches no database.

What was read stays in the Snapshot when its source falls silent: evidence then ages to *stale*, which is the truth,
while "not read" would replace the last thing known. Only a refusal (not allowed, not installed) takes its place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from common import clock
from integrations.kubernetes.parts import KubeObject
from monitoring.collect import Readers
from monitoring.observer.book import Book, Bound, serving
from monitoring.observer.cache import ObjectCache
from monitoring.observer.polling import Answered, Poller
from monitoring.observer.watching import Changed, Failed, Listed, Watch
from monitoring.observer.workers import Workers
from monitoring.snapshot import Fetch, Listing, Need, Objects, Reply, ServerVersion, Snapshot

Message = Listed | Changed | Failed | Answered

#: asked for the Source rows themselves, whatever the checks need: seconds between polls
HOUSEKEEPING: dict[Need, float] = {
    ServerVersion(): 300.0,
    Fetch("prometheus", "/api/v1/status/buildinfo"): 60.0,
    Fetch("alertmanager", "/api/v2/status"): 30.0,
    Fetch("grafana", "/api/health"): 15.0,
}
#: a watch nobody needs any more is kept this long: a check may need it again in a moment (logs of a restarting pod)
_IDLE_SECONDS = 60.0


class World:
    """The kept Snapshot of one cluster and the set of checks it makes due."""

    def __init__(self, readers: Readers, book: Book, post: Callable[[Message], None]) -> None:
        self._readers, self._book, self._post = readers, book, post
        self.poller = Poller(readers, post)
        self.watches: dict[Objects, Watch] = {}
        self._idle: dict[Objects, float] = {}
        self._caches: dict[Objects, ObjectCache] = {}
        self._listings: dict[Objects, Listing] = {}
        self._replies: dict[Need, Reply] = {}
        self._probes = Workers("probe", 4)
        #: checks to evaluate
        self.due: set[int] = set()

    # -- what is read

    def arrange(self) -> None:
        """Start and stop watches and polls so that they fit what the checks need now."""
        self._book.index()
        wanted = self._book.lists()
        for need in wanted:
            self._idle.pop(need, None)
            if need not in self.watches:
                watch = Watch(self._readers.kubernetes, need, self._post)
                self.watches[need] = watch
                self._caches[need] = ObjectCache()
                watch.start()
        for need in self.watches.keys() - set(wanted):
            self._idle.setdefault(need, time.monotonic())
        self.poller.want({**self._book.polled(), **self._housekeeping()})
        for unasked in self._replies.keys() - self.poller.polls.keys():
            del self._replies[unasked]

    def _housekeeping(self) -> dict[Need, float]:
        polled = self._book.polled()
        return {need: min(interval, polled.get(need, interval)) for need, interval in HOUSEKEEPING.items()}

    def drop_idle(self) -> None:
        """Stop watches that nobody has needed for a while."""
        moment = time.monotonic()
        for need in [need for need, since in self._idle.items() if moment - since > _IDLE_SECONDS]:
            del self._idle[need]
            self.watches.pop(need).stop()
            self._caches.pop(need)
            self._listings.pop(need, None)

    def probe(self, older_than: timedelta) -> None:
        """Ask for a sign of life of every watch that gave none for so long."""
        limit = clock.now() - older_than
        for watch in self.watches.values():
            if watch.confirmed_at is not None and watch.confirmed_at < limit:
                self.probe_now(watch)

    def probe_now(self, watch: Watch) -> None:
        """Ask for a sign of life, unless one is being asked for."""
        if not watch.probing and not watch.refused:
            watch.probing = True
            self._probes.submit(watch.probe)

    def close(self) -> None:
        """Stop everything; waits for nothing."""
        self.poller.close()
        self._probes.close()
        # Each cut closes a socket, which may block for a moment; none has to wait for another.
        for watch in self.watches.values():
            threading.Thread(target=watch.stop, daemon=True).start()

    # -- what arrives

    def take(self, message: Message) -> None:
        """Apply one message; the checks it concerns become due."""
        match message:
            case Changed(watch, events):
                cache = self._caches.get(watch.need)
                if cache is not None:
                    touched: list[KubeObject] = []
                    for event in events:
                        touched += cache.apply(event)
                    self.due |= self._book.concerned(watch.need, touched)
            case Listed(watch, items, version):
                cache = self._caches.get(watch.need)
                if cache is not None:
                    cache.replace(items)
                    self._listings[watch.need] = cache.listing(version, clock.now())
                    self.due |= self._book.covered_by(watch.need)
            case Failed(watch, sentence):
                if watch.need in self._caches:
                    self._caches[watch.need].replace(())
                    self._listings[watch.need] = Listing(error=sentence)
                    self.due |= self._book.covered_by(watch.need)
            case Answered():
                self._take_answer(message)

    def _take_answer(self, answered: Answered) -> None:
        if self.poller.settle(answered) is None:
            return
        need = answered.need
        if answered.reply is not None:
            self._replies[need] = answered.reply
        elif answered.error is not None:
            before = self._replies.get(need)
            if answered.error.transient and before is not None and before.status:
                return  # what is known ages by itself
            self._replies[need] = Reply(status=0, at=clock.now(), error=answered.error.sentence)
        self.due.update(self._book.asking(need))

    # -- what is asked

    def snapshot(self, at: datetime) -> Snapshot:
        """The live Snapshot: valid until the next message is taken."""
        return Snapshot(self._readers.cluster, at, self._listings, self._replies)

    def ready(self, bound: Bound) -> bool:
        """Whether everything a check needs was read at least once, or refused."""
        for need in bound.needs:
            if isinstance(need, Objects):
                if serving(need, self._listings) is None:
                    return False
            elif need not in self._replies:
                return False
        return True

    def excused(self, needs: Iterable[Need], at: datetime) -> Snapshot:
        """The Snapshot with every need that was never answered marked with why, so that a check can say so."""
        listings, replies = dict(self._listings), dict(self._replies)
        for need in needs:
            if isinstance(need, Objects) and serving(need, listings) is None:
                wide = serving(need, self.watches)
                error = self.watches[wide].error if wide is not None else ""
                listings[need] = Listing(error=error or "The API server has not answered yet.")
            elif not isinstance(need, Objects) and need not in replies:
                poll = self.poller.polls.get(need)
                replies[need] = Reply(status=0, at=at, error=poll.error if poll else "")
        return Snapshot(self._readers.cluster, at, listings, replies)

    def watch_of(self, need: Objects) -> Watch | None:
        """The watch that serves a need."""
        wide = serving(need, self.watches)
        return self.watches[wide] if wide is not None else None

    def reply_of(self, need: Need) -> Reply | None:
        """The last answer to a polled need."""
        return self._replies.get(need)

    @property
    def quarantined(self) -> Mapping[str, int]:
        """How many objects of each resource could not be decoded."""
        return self._readers.kubernetes.quarantined
