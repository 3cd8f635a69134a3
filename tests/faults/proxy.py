"""``python -m tests.faults.proxy --upstream KUBECONFIG --kubeconfig FILE``: an API server's trouble, on demand.

Stands between the portal and a real API server and strikes requests by the same rules as the lab (``/lab/faults``,
docs/lab.md): statuses, resets, lost and broken answers, delays, a rival's write. What it lets through goes to the
server as it came, with the client's own token, and every answer that is not struck is the server's. Serves HTTPS with
a certificate of its own; FILE is a kubeconfig that trusts it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import ssl
import sys
from pathlib import Path

import aiohttp
import httpx
from aiohttp import web

from lab.api import striking
from lab.api.auth import User
from lab.api.errors import ApiError
from lab.api.faults import Faults
from lab.api.registry import Registry
from lab.api.render import respond
from lab.api.request import Call, parse, read_body
from lab.api.striking import Replaced
from lab.api.tls import create_tls
from tests.faults import identities
from tests.faults.clusters import admin

_HOP = ("host", "connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive")
_CALLER = User("portal")
_RIVAL = "tests.faults/touched"
_MERGE = {"Content-Type": "application/merge-patch+json", "User-Agent": "rival"}


class Proxy:
    """One proxy. ``rival`` is an admin's client past it: the competing writes of ``touch`` are its."""

    def __init__(self, upstream: str, rival: httpx.Client, token: str) -> None:
        self.faults = Faults(rival=self._touch)
        self._upstream, self._rival, self._admin = upstream, rival, f"Bearer {token}"
        self._registry, self._touches = Registry(), 0
        self._session: aiohttp.ClientSession

    async def serve(self, kubeconfig: Path, port: int = 0) -> web.AppRunner:
        """Listen on loopback and write the kubeconfig (of the admin, whose faults these are)."""
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=unverified, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            auto_decompress=False,
        )
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_cleanup.append(self._close)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        tls = create_tls()
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls.server_context())
        await site.start()
        address = f"https://127.0.0.1:{runner.addresses[0][1]}"
        authority = base64.b64encode(tls.ca_pem).decode()
        identities.kubeconfig(kubeconfig, address, authority, self._admin.removeprefix("Bearer "))
        return runner

    async def _close(self, _app: web.Application) -> None:
        await self._session.close()

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        try:
            call = Call(http.method, http.path, http.query, http.headers, await http.read(), user=_CALLER)
            parse(call, self._registry)
            if call.path.startswith("/lab/faults"):
                return self._rules(call)
            await striking.before(self.faults, call, http)
            if call.verb == "watch" or "watch" in http.query:
                return await self._stream(call, http)
            return await striking.after(self.faults, call, http, await self._pass(call, http))
        except ApiError as problem:
            return respond(problem.status(), problem.code, problem.headers)
        except Replaced as replaced:
            return replaced.answer
        except ConnectionResetError:
            return web.Response(status=500)  # the transport is gone; nobody reads this
        except (aiohttp.ClientError, TimeoutError):
            striking.abort(http)  # no answer from the server is no answer from us
            return web.Response(status=502)

    def _rules(self, call: Call) -> web.Response:
        """Set, show or take away faults; the admin's token only."""
        if call.headers.get("Authorization") != self._admin:
            raise ApiError(403, "Forbidden", "only the admin may set faults", {})
        fault = call.path.removeprefix("/lab/faults").strip("/")
        if call.method == "POST":
            return respond(self.faults.add(read_body(call)).body())
        if call.method == "DELETE":
            self.faults.remove(fault) if fault else self.faults.clear()
        return respond({"faults": [each.body() for each in self.faults.all()]})

    def _request(self, call: Call, http: web.Request) -> aiohttp.client._RequestContextManager:
        headers = {name: value for name, value in http.headers.items() if name.lower() not in _HOP}
        return self._session.request(
            call.method, self._upstream + http.path_qs, headers=headers, data=call.body or None, allow_redirects=False
        )

    async def _pass(self, call: Call, http: web.Request) -> web.Response:
        async with self._request(call, http) as answer:
            body = await answer.read()
            return web.Response(status=answer.status, body=body, headers=_kept(answer))

    async def _stream(self, call: Call, http: web.Request) -> web.StreamResponse:
        async with self._request(call, http) as answer:
            response = web.StreamResponse(status=answer.status, headers=_kept(answer))
            await response.prepare(http)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response

    def _touch(self, call: Call) -> None:
        """A rival's write to the object that a request names, straight to the server."""
        if not call.name:
            return
        path = call.path.removesuffix(f"/{call.subresource}") if call.subresource else call.path
        self._touches += 1
        note = {"metadata": {"annotations": {_RIVAL: str(self._touches)}}}
        self._rival.patch(path, json=note, headers=_MERGE)


def _kept(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}


async def _run(options: argparse.Namespace) -> None:
    rival, upstream, _ = admin(options.upstream)
    token = rival.headers["Authorization"].removeprefix("Bearer ")
    runner = await Proxy(upstream.rstrip("/"), rival, token).serve(options.kubeconfig, options.port)
    sys.stdout.write("proxy ready\n")
    sys.stdout.flush()
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, required=True)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
