"""Wake-ups: Celery messages that say *look at this row*. Losing one costs seconds, the sweep finds the row.

Sent after commit, never retried, and never for longer than half a second: a click must not hang on a silent Redis.
After a failure nothing is tried for two seconds, so that a page that sends several wake-ups does not wait for each.
"""

from __future__ import annotations

import functools
import logging
import time
from datetime import timedelta
from typing import Any

import kombu
from celery import current_app
from django.db import transaction
from kombu import pools
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from deployments.fault import point

MAKE_PLAN = "deployments.make_plan"
ADVANCE = "deployments.advance"
COMPARE = "deployments.compare_plan"
#: when the message about a new run is lost, the sweep finds it after this
UNTOLD = timedelta(seconds=2)

_log = logging.getLogger(__name__)
_PAUSE = 2.0
_quiet_until = 0.0


def wake(task: str, *args: Any) -> None:
    """Send a wake-up once the surrounding transaction commits. Never raises."""
    point("before_commit")
    transaction.on_commit(functools.partial(_committed, task, *args), robust=True)


def _committed(task: str, *args: Any) -> None:
    """A process that dies here leaves a row that no message tells of."""
    point("committed")
    send(task, *args)


def send(task: str, *args: Any) -> bool:
    """Send a wake-up now; False when the broker did not take it."""
    global _quiet_until  # noqa: PLW0603 - one circuit breaker per process
    if time.monotonic() < _quiet_until:
        return False
    try:
        with pools.producers[_connection()].acquire(block=True, timeout=1) as producer:
            current_app.send_task(task, args=args, producer=producer, retry=False)
    except (KombuError, OSError, RedisError) as error:
        _quiet_until = time.monotonic() + _PAUSE
        _log.warning("the broker did not take a wake-up", extra={"task": task, "error": type(error).__name__})
        return False
    return True


@functools.cache
def _connection() -> kombu.Connection:
    """A connection for publishing only, with short timeouts (the worker's own must wait long for messages)."""
    once = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    limits = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
    options = {**current_app.conf.broker_transport_options, **limits, **once}
    return kombu.Connection(current_app.conf.broker_url, transport_options=options, connect_timeout=0.5)
