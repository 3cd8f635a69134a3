"""What has no watch is asked again and again: queries, fetches, links, logs, reviews.

Each source has threads of its own, so that a silent Prometheus does not hold up Grafana. A failed poll is tried sooner
than the next round, but never more often than the source allows. Answers are posted to the main thread, which owns the
state here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from integrations.errors import SourceError
from monitoring.collect import Readers, ask
from monitoring.observer.workers import Workers
from monitoring.snapshot import Need, Reply

#: seconds until the next try after the first, second, … failure
_RETRY = (3.0, 6.0, 12.0, 30.0)
_THREADS = {"kubernetes": 4, "prometheus": 3}


@dataclass(frozen=True, slots=True)
class Answered:
    """A poll came back: a reply, or why there is none."""

    need: Need
    reply: Reply | None
    error: SourceError | None
    milliseconds: float
    asked_at: float


@dataclass(slots=True)
class Poll:
    """One polled need. Times are monotonic seconds."""

    need: Need
    interval: float
    next_at: float = 0.0
    asking: bool = False
    failures: int = 0
    #: None until the first answer
    good: bool | None = None
    error: str = ""
    good_at: float = 0.0
    milliseconds: float | None = None


class Poller:
    """All polled needs. Belongs to the main thread; only the asking happens elsewhere."""

    def __init__(self, readers: Readers, post: Callable[[Answered], None]) -> None:
        self._readers, self._post = readers, post
        self._workers: dict[str, Workers] = {}
        self.polls: dict[Need, Poll] = {}

    def want(self, needs: Mapping[Need, float]) -> None:
        """Poll exactly these, each every so many seconds."""
        for gone in self.polls.keys() - needs.keys():
            del self.polls[gone]
        for need, interval in needs.items():
            poll = self.polls.get(need)
            if poll is None:
                self.polls[need] = Poll(need, interval)
            else:
                poll.interval = interval

    def hurry(self, need: Need) -> None:
        """Ask this one now."""
        poll = self.polls.get(need)
        if poll is not None:
            poll.next_at = 0.0

    def start_due(self) -> None:
        """Ask all that are due."""
        moment = time.monotonic()
        for poll in self.polls.values():
            if poll.next_at <= moment and not poll.asking:
                poll.asking = True
                self._submit(poll.need, moment)

    def _submit(self, need: Need, moment: float) -> None:
        workers = self._workers.get(need.source)
        if workers is None:
            workers = Workers(f"poll-{need.source}", _THREADS.get(need.source, 2))
            self._workers[need.source] = workers

        def call() -> None:
            began = time.monotonic()
            reply, error = None, None
            try:
                reply = ask(self._readers, need)
            except SourceError as failure:
                error = failure
            self._post(Answered(need, reply, error, (time.monotonic() - began) * 1000, moment))

        workers.submit(call)

    def settle(self, answered: Answered) -> Poll | None:
        """Note an answer and when to ask next; None when nobody wants it any more."""
        poll = self.polls.get(answered.need)
        if poll is None:
            return None
        poll.asking = False
        poll.milliseconds = answered.milliseconds
        moment = time.monotonic()
        answered_well = answered.reply is not None and answered.reply.status < 500
        poll.good = answered_well
        if answered_well:
            poll.failures, poll.error, poll.good_at = 0, "", moment
            poll.next_at = moment + poll.interval
            return poll
        poll.error = answered.error.sentence if answered.error else answered.reply.error if answered.reply else ""
        wait = _RETRY[min(poll.failures, len(_RETRY) - 1)]
        poll.failures += 1
        asked_to = (answered.error.retry_after or 0.0) if answered.error else 0.0
        poll.next_at = moment + max(min(wait, poll.interval), min(asked_to, 120.0))
        return poll

    def close(self) -> None:
        """Stop asking; waits for nothing."""
        for workers in self._workers.values():
            workers.close()
