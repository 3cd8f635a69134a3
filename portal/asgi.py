"""The web process: ``/live/`` goes to the raw stream, everything else to Django as WSGI in a few lasting threads.

Django's own async path costs four to five times more per page and holds a thread and a connection per open stream
(measured; see docs/adr/0002-wsgi-inside-asgi.md).
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from types import FrameType
from typing import Any, cast

from a2wsgi import WSGIMiddleware

from portal.wsgi import application as django_wsgi

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

THREADS = 4
_django: Any = WSGIMiddleware(cast("Any", django_wsgi), workers=THREADS)  # its stub knows no Django response


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Route one ASGI connection."""
    from portal import live  # after Django is set up by portal.wsgi

    if scope["type"] == "lifespan":
        await _lifespan(live.hub, receive, send)
    elif scope["type"] == "http" and scope["path"] == "/live/":
        await live.application(scope, receive, send)
    elif scope["type"] == "http":
        await _django(scope, receive, send)
    else:
        await send({"type": "websocket.close"})


async def _lifespan(hub: Any, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            hub.start()
            _end_streams_on_signal(hub)
            await send({"type": "lifespan.startup.complete"})
        else:
            await hub.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return


def _end_streams_on_signal(hub: Any) -> None:
    """A server waits for its connections before it stops, and an open stream never ends by itself: end them at once."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        previous = signal.getsignal(number)

        def handler(received: int, frame: FrameType | None, then: Any = previous) -> None:
            loop.call_soon_threadsafe(hub.close_streams)
            if callable(then):
                then(received, frame)

        signal.signal(number, handler)
