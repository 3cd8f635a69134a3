"""One list kept by one watch: a thread that reads bytes and posts what it saw; it touches no database and no cache.

Survives whatever the API server does: refused, reset, silent, 410, 401, a broken line. It lists again after a 410,
after a line that makes no sense, and whenever two watches in a row stayed silent (a half-open connection says nothing
for ever, and a quiet one costs one small list). ``confirmed_at`` is when the server last proved that it is alive to
*this* watch: a byte, a bookmark, or the answer to a list of one, which :meth:`Watch.probe` asks for.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from common import clock
from integrations.errors import Forbidden, Gone, NotFound, Rejected, SourceError, Unreachable
from integrations.kubernetes.parts import KubeObject
from integrations.kubernetes.reader import Reader, Stream, WatchEvent
from monitoring.collect import sentence_of
from monitoring.snapshot import Objects

_log = logging.getLogger(__name__)

#: seconds between tries while the server does not answer, and while it answers that it will not tell
_BACKOFF = (0.3, 1.0, 2.0, 4.0)
_REFUSED_SECONDS = 20.0
#: after so many watches without a byte, list again
_SILENT_WATCHES = 2


@dataclass(frozen=True, slots=True)
class Listed:
    """A whole list arrived."""

    watch: Watch
    items: list[KubeObject]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Events arrived, in order."""

    watch: Watch
    events: list[WatchEvent]


@dataclass(frozen=True, slots=True)
class Failed:
    """The server will not serve this list (not installed, not allowed): for good, until it says otherwise."""

    watch: Watch
    sentence: str


Message = Listed | Changed | Failed


def key_of(need: Objects) -> str:
    """The name of a watch in ``Source.watches`` and in receipts: ``pods``, ``pods/ns``, ``pods/ns?app=x``."""
    namespace = f"/{need.namespace}" if need.namespace else ""
    return f"{need.resource}{namespace}{f'?{need.labels}' if need.labels else ''}"


class Watch:
    """The thread and its state: attributes are written by it and by :meth:`probe`, and read one by one by the main."""

    def __init__(self, reader: Reader, need: Objects, post: Callable[[Message], None]) -> None:
        self._reader, self.need, self._post = reader, need, post
        self.key = key_of(need)
        self.source = need.source
        self.confirmed_at: datetime | None = None
        #: why it is dead; empty while it is alive (a refusal by the server is alive)
        self.error = ""
        self.refused = ""
        self.latency_ms: float | None = None
        self.probing = False
        self._stop = threading.Event()
        self._stream: Stream | None = None
        self._version = ""
        self._silent = 0
        self._server = reader.server
        self._thread = threading.Thread(target=self._run, name=f"watch-{self.key}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread soon; waits for nothing."""
        self._stop.set()
        self.cut()

    def cut(self) -> None:
        """Close the open connection; the thread makes a new one unless it was stopped."""
        stream = self._stream
        if stream is not None:
            stream.stop()

    def probe(self) -> None:
        """Ask for a list of one: is the server still there for this resource? Without an answer the watch is dead."""
        sent_at, began = clock.now(), time.monotonic()
        try:
            self._reader.probe(self.need.resource, self.need.namespace, self.need.labels)
        except (Forbidden, NotFound):
            self.cut()  # the rights or the resource went away: a new list will say so
        except SourceError as error:
            self._dead(error)
            self.cut()
        else:
            self.latency_ms = (time.monotonic() - began) * 1000
            self._alive(sent_at)
        finally:
            self.probing = False

    def _alive(self, at: datetime) -> None:
        if self.confirmed_at is None or at > self.confirmed_at:
            self.confirmed_at = at
        self.error = ""

    def _dead(self, error: SourceError) -> None:
        if not self.error:
            _log.warning("watch %s: %s", self.key, error.sentence)
        self.error = error.sentence

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._once()
                failures = 0
            except Gone:
                self._version = ""
                self._stop.wait(0.3 if failures else 0)
                failures += 1
            except (Forbidden, NotFound) as error:
                self._refuse(error)
            except SourceError as error:
                if isinstance(error, Rejected):
                    self._version = ""  # what arrived made no sense: begin with a list
                self._dead(error)
                seconds = _BACKOFF[min(failures, len(_BACKOFF) - 1)] * random.uniform(0.7, 1.1)  # noqa: S311
                self._stop.wait(max(seconds, min(error.retry_after or 0.0, 30.0)))
                failures += 1

    def _refuse(self, error: SourceError) -> None:
        self._version, self.error = "", ""
        self.confirmed_at = clock.now()
        sentence = sentence_of(self.need, error)
        if sentence != self.refused:
            self.refused = sentence
            self._post(Failed(self, sentence))
        self._stop.wait(_REFUSED_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311

    def _once(self) -> None:
        """List if there is no version to go on from, then watch until it ends. :raises SourceError: neither."""
        if self._server != self._reader.server:
            self._version = ""  # its versions mean something else
        if not self._version:
            self._list()
        if self._stop.is_set():
            return
        opened = time.monotonic()
        stream = self._open()
        if stream is None:
            return
        self._stream = stream
        self._alive(clock.now())
        try:
            self._follow(stream)
        except Unreachable as error:
            if error.status:
                raise
            # Broken or silent after it was open. Going on from the last version misses nothing.
            _log.debug("watch %s: %s", self.key, error.sentence)
        finally:
            self._stream = None
        self._silent = 0 if stream.spoke else self._silent + 1
        if self._silent >= _SILENT_WATCHES:
            self._silent, self._version = 0, ""
        if time.monotonic() - opened < 1.0:
            self._stop.wait(0.3)

    def _open(self) -> Stream | None:
        """Open the watch. None when only watches hang while lists are answered: a list again is then the next best."""
        need = self.need
        try:
            return self._reader.watch(need.resource, self._version, need.namespace, need.labels)
        except Unreachable as error:
            if error.status:
                self._version = ""  # perhaps it does not know the version: a server restored from a backup counts anew
                raise
            self._reader.probe(need.resource, need.namespace, need.labels)
            _log.warning("watch %s cannot be opened, lists are answered: %s", self.key, error.sentence)
            self._version = ""
            return None

    def _follow(self, stream: Stream) -> None:
        for events in stream.batches():
            self._alive(clock.now())
            if not events:
                continue
            self._version = events[-1].resource_version or self._version
            found = [event for event in events if event.object is not None]
            if found:
                self._post(Changed(self, found))
            if any(event.object is None and event.type != "BOOKMARK" for event in events):
                # It cannot be decoded any more: only a list can say what is there now.
                self._version = ""
                self._stop.wait(1.0)
                stream.stop()

    def _list(self) -> None:
        sent_at, began = clock.now(), time.monotonic()
        self._server = self._reader.server
        items, version = self._reader.list(self.need.resource, self.need.namespace, self.need.labels)
        self.latency_ms = (time.monotonic() - began) * 1000
        self.refused = ""
        self._alive(sent_at)
        self._version = version
        self._post(Listed(self, items, version))
