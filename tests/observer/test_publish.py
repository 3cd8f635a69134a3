"""Topics reach the stream although Redis restarts or falls silent in between."""

from __future__ import annotations

import signal
import time

import pytest
import redis

from common import publish
from tests.conftest import RedisServer
from tests.observer.site import wait_for

pytestmark = pytest.mark.redis


def topics(server: RedisServer) -> list[str]:
    entries = redis.Redis(port=server.port, socket_timeout=1).xrange(publish.STREAM)
    return [fields[b"topic"].decode() for _, fields in entries]  # type: ignore[union-attr]


@pytest.mark.django_db(transaction=True)
def test_a_topic_published_just_after_a_restart_is_not_lost(redis_server: RedisServer) -> None:
    publish.publish("item:1")
    redis_server.stop()
    redis_server.start()
    publish.publish("item:2")
    assert topics(redis_server) == ["item:2"]


@pytest.mark.django_db(transaction=True)
def test_topics_of_an_outage_are_sent_when_it_is_over(redis_server: RedisServer) -> None:
    redis_server.stop()
    publish.publish("item:1")
    publish.publish("item:2", "item:1")
    redis_server.start()
    publish.flush()
    assert topics(redis_server) == ["item:1", "item:2"]
    publish.flush()
    assert topics(redis_server) == ["item:1", "item:2"]


@pytest.mark.django_db(transaction=True)
def test_a_silent_redis_costs_half_a_second_once_and_loses_nothing(redis_server: RedisServer) -> None:
    publish.publish("item:0")
    redis_server.signal(signal.SIGSTOP)
    began = time.monotonic()
    for number in range(1, 20):
        publish.publish(f"item:{number}")
    assert time.monotonic() - began < 1.5
    redis_server.signal(signal.SIGCONT)

    def all_there() -> bool:
        publish.flush()
        return set(topics(redis_server)) >= {f"item:{number}" for number in range(20)}

    wait_for(all_there, 5)
