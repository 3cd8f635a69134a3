"""The least that a click can be: a form, one ``delay()``, a redirect. `benchmarks.click_to_start` sets the portal
beside it. No row, no lease, no log: nothing of it would survive its worker.

    BARE_REDIS=redis://… uvicorn benchmarks.bare_celery:page
    BARE_REDIS=redis://… celery -A benchmarks.bare_celery worker -c 2
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import redis
from celery import Celery

URL = os.environ.get("BARE_REDIS", "redis://127.0.0.1:6379/5")
app = Celery("bare", broker=URL)
_store = redis.Redis.from_url(URL)
_FORM = b'<!doctype html><form method="post"><input name="key" id="key"><button>Run</button></form>'


@app.task(ignore_result=True)
def started(key: str) -> None:
    """Say when it began, in Unix seconds."""
    _store.set(f"bare:{key}", time.time())


async def page(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """The form, and what it sends."""
    if scope["type"] != "http":
        return
    if scope["method"] == "POST":
        body = (await receive())["body"].decode()
        started.delay(parse_qs(body)["key"][0])
        await send({"type": "http.response.start", "status": 303, "headers": [(b"location", b"/done")]})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": _FORM if scope["path"] == "/" else b"<!doctype html>done"})
