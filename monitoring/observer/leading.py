"""One observer leads a cluster: a row with a holder, a fence that grows with each takeover, and a heartbeat.

A standby takes over when the heartbeat has not moved for seven seconds by its *own* clock (clocks of two machines may
differ), at once when the leader let go or was a process of this machine that is no more. A leader that was away too
long finds another fence in the row, inside the very transaction that would have written, and stands back.
"""

from __future__ import annotations

import os
import secrets
import socket
import time

from django.db import IntegrityError, transaction

from common import clock
from monitoring.models import Leader

RENEW_SECONDS = 2.0
TAKEOVER_SECONDS = 7.0


class Deposed(Exception):  # noqa: N818 - it is an event, not a fault
    """Another observer leads this cluster now."""


class Lease:
    """This process's claim on a cluster. Database errors are the caller's to handle."""

    def __init__(self, cluster: str, *, takeover_seconds: float = TAKEOVER_SECONDS) -> None:
        self._cluster, self._takeover = cluster, takeover_seconds
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._fence = 0
        self._renewed = 0.0
        self._seen: tuple[object, ...] = ()
        self._seen_at = 0.0

    def acquire(self) -> bool:
        """Try to lead; call it each second."""
        row = Leader.objects.filter(cluster=self._cluster).first()
        if row is None:
            try:
                with transaction.atomic():
                    Leader.objects.create(cluster=self._cluster, holder=self.holder, renewed_at=clock.now())
            except IntegrityError:
                return False  # another was first
            self._fence, self._renewed = 1, time.monotonic()
            return True
        seen = (row.holder, row.fence, row.renewed_at)
        if seen != self._seen:
            self._seen, self._seen_at = seen, time.monotonic()
        silent = time.monotonic() - self._seen_at >= self._takeover
        if not (silent or row.holder in ("", self.holder) or _dead_here(row.holder)):
            return False
        return self._take(row)

    def _take(self, row: Leader) -> bool:
        taken = Leader.objects.filter(
            cluster=self._cluster, holder=row.holder, fence=row.fence, renewed_at=row.renewed_at
        ).update(holder=self.holder, fence=row.fence + 1, renewed_at=clock.now())
        if taken:
            self._fence, self._renewed = row.fence + 1, time.monotonic()
        return bool(taken)

    def renew(self) -> None:
        """Beat, at most every two seconds. :raises Deposed: somebody else leads."""
        if time.monotonic() - self._renewed < RENEW_SECONDS:
            return
        beat = Leader.objects.filter(cluster=self._cluster, holder=self.holder, fence=self._fence)
        if not beat.update(renewed_at=clock.now()):
            raise Deposed
        self._renewed = time.monotonic()

    def guard(self) -> None:
        """Inside a transaction that writes: still the leader? Holds the row until it commits. :raises Deposed: no."""
        held = Leader.objects.select_for_update().filter(cluster=self._cluster, holder=self.holder, fence=self._fence)
        if not held.exists():
            raise Deposed

    def release(self) -> None:
        """Let go, so that a standby takes over at once."""
        Leader.objects.filter(cluster=self._cluster, holder=self.holder, fence=self._fence).update(holder="")


def _dead_here(holder: str) -> bool:
    """Whether the holder was a process of this machine that no longer exists."""
    host, _, rest = holder.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
