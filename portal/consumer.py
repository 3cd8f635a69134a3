"""The worker's line to Redis: looked for every few seconds, for however long it is gone.

Celery waits two seconds longer after each try, up to half a minute, and ends the worker after a hundred tries: after a
long outage that would be the longest part of a run.
"""

from __future__ import annotations

import functools
from typing import Any

from celery.worker import consumer

#: seconds between two tries, at most
LONGEST = 3


class Consumer(consumer.Consumer):
    """Celery's, less patient (``worker_consumer``)."""

    def ensure_connected(self, conn: Any) -> Any:
        """A connection, once there is one."""
        conn.ensure_connection = functools.partial(
            conn.ensure_connection, interval_start=1, interval_step=1, interval_max=LONGEST
        )
        return super().ensure_connected(conn)
