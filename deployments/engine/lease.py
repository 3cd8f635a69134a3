"""Who may work on a run: a lease with a fencing number, in the database alone.

A claim is one conditional UPDATE. Every later write names the fence, so a worker that lost its lease can write nothing,
however late it wakes up. Times are the database's, for workers' clocks may differ. Against the cluster a late worker is
stopped by the resourceVersion its write carries.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import F, Q

from common.clock import by_database
from deployments.models import Run
from deployments.states import LIVE

_log = logging.getLogger(__name__)


def length() -> timedelta:
    """How long a silent worker keeps its runs (``PORTAL_LEASE_SECONDS``, 15)."""
    return timedelta(seconds=float(os.environ.get("PORTAL_LEASE_SECONDS", "15")))


class LostLease(Exception):  # noqa: N818 - a fact, not an error
    """Another worker holds the run now, or it ended: this one must stop at once and write nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A won claim. ``crashed``: the worker before this one died holding the run."""

    run_id: str
    fence: int
    owner: str
    crashed: bool


def me() -> str:
    """A name for this process that tells it apart from others."""
    return f"{socket.gethostname()}/{os.getpid()}"


def claim(run_id: str, owner: str) -> Claim | None:
    """Take a live run that nobody holds, or None. Exactly one of any number of callers wins."""
    with transaction.atomic():
        run = (
            Run.objects.select_for_update()
            .filter(Q(lease_until=None) | Q(lease_until__lt=by_database()), pk=run_id, state__in=LIVE)
            .first()
        )
        if run is None:
            return None
        taken = Run.objects.filter(pk=run_id, fence=run.fence, state__in=LIVE).update(
            fence=F("fence") + 1, lease_owner=owner, lease_until=by_database(length()), wake_at=None
        )
        return Claim(run_id, run.fence + 1, owner, crashed=run.lease_until is not None) if taken else None


def renew(claimed: Claim) -> bool:
    """Hold the run for another :func:`length`. False: it is not ours any more."""
    mine = Run.objects.filter(pk=claimed.run_id, fence=claimed.fence, lease_owner=claimed.owner)
    return bool(mine.update(lease_until=by_database(length())))


class Heartbeat:
    """Renews a lease from a thread while somebody works, until ``renew`` says that it is lost. Nothing is sent in its
    first third: slices are short."""

    def __init__(self, what: str, renew: Callable[[], bool]) -> None:
        self._renew = renew
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease {what}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=2)

    def _beat(self) -> None:
        pause = length().total_seconds() / 3
        try:
            while not self._stop.wait(pause):
                try:
                    if not self._renew():
                        return
                except (DatabaseError, InterfaceError) as error:
                    _log.warning("a lease could not be renewed", extra={"error": type(error).__name__})
                    # a connection that was cut stays broken in a thread: the next beat needs a new one
                    connection.close()
        finally:
            # a thread's connection is its own and nobody else closes it
            connection.close()
