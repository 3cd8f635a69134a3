"""A plain HTTP listener for one Service that refuses connections while nothing is ready behind it.

The port is bound from the first moment to the last, so that nobody else takes it; it listens only while `open_now()`
says so. Without a listening socket the kernel answers with a reset: connection refused.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from lab.address import Address, url

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_CHECK_SECONDS = 0.1


class Listener:
    """See the module. Call `start` once, `stop` at the end."""

    def __init__(
        self, open_now: Callable[[], bool], handler: Handler, address: Address | None = None, port: int = 0
    ) -> None:
        self._open_now, self._handler, self._address = open_now, handler, address or Address()
        self._socket: socket.socket | None = None
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = port

    async def start(self) -> str:
        """Bind to the wanted port, else to one of the OS's choice; the URL. Listens at once when something is ready.

        Raises OSError when the address is not this machine's.
        """
        try:
            self._bind()
        except OSError:
            if not self.port:
                raise
            self.port = 0
            self._bind()
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handler)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await self._adjust()
        self._task = asyncio.create_task(self._watch())
        return url("http", self._address.name, self.port)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        if self._socket is not None:
            self._socket.close()

    def _bind(self) -> None:
        host = self._address.bind
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host, self.port))
        except OSError:
            made.close()
            raise
        self.port = int(made.getsockname()[1])
        self._socket = made

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await self._adjust()

    async def _adjust(self) -> None:
        wanted = self._open_now()
        if wanted and self._site is None and self._runner is not None and self._socket is not None:
            self._site = web.SockSite(self._runner, self._socket, backlog=64)
            await self._site.start()
        elif not wanted and self._site is not None:
            # connections that are open are cut as well: the process behind them is gone
            await self._site.stop()
            self._site = None
            if self._runner is not None and self._runner.server is not None:
                await self._runner.server.shutdown(0.05)  # zero would mean: wait for ever
            self._bind()
