"""A receiver for webhooks on this machine, for whoever tries a notification channel: it keeps what it is told.

`POST` of JSON to any path is taken (204); `GET` of any path lists the last messages, newest first. Nothing is stored.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from lab.address import Address
from lab.services.listener import Listener

_KEPT = 50
_LARGEST = 256 * 1024


class Inbox:
    """See the module."""

    def __init__(self, address: Address | None, port: int = 0) -> None:
        self.messages: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._listener = Listener(lambda: True, self._answer, address, port)

    async def start(self) -> str:
        """Its URL. Raises OSError."""
        return await self._listener.start()

    async def stop(self) -> None:
        await self._listener.stop()

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        if http.method in ("GET", "HEAD"):
            return web.json_response(list(self.messages))
        if http.method != "POST":
            return web.Response(status=405)
        if (http.content_length or 0) > _LARGEST:
            return web.Response(status=413)
        try:
            body = await http.json()
        except ValueError:
            return web.Response(status=400, text="this is no JSON\n")
        self.messages.appendleft({"at": datetime.now(UTC).isoformat(), "path": http.path, "body": body})
        return web.Response(status=204)
