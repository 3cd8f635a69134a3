"""The worker looks for a Redis that is away every few seconds, for ever; tests/faults/test_broker.py takes it away."""

from __future__ import annotations

from typing import Any

from celery.utils.imports import symbol_by_name

from portal.celery import app
from portal.consumer import LONGEST, Consumer


class Line:
    """A connection that notes how it is asked for."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def ensure_connection(self, _errback: Any, max_retries: int | None, **asked: Any) -> Line:
        self.asked = {"max_retries": max_retries, **asked}
        return self


def test_the_worker_looks_for_redis_every_few_seconds_for_ever() -> None:
    assert symbol_by_name(app.conf.worker_consumer) is Consumer
    consumer, line = Consumer.__new__(Consumer), Line()
    consumer.app, consumer.first_connection_attempt = app, False
    consumer.ensure_connected(line)
    assert line.asked["interval_max"] == LONGEST <= 5
    assert line.asked["max_retries"] is None
