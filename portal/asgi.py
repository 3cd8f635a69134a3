"""The web process: ``/live/`` goes to the raw stream, everything else to Django as WSGI in a few lasting threads.

Django's own async path costs four to five times more per page and holds a thread and a connection per open stream
(measured; see docs/adr/0002-wsgi-inside-asgi.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
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
            await send({"type": "lifespan.startup.complete"})
        else:
            await hub.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
