"""The kubelet's HTTPS endpoint for a real API server: container logs, and nothing else.

A real API server proxies `pods/log` to the node's kubelet. All nodes of the lab are served here; a log is found by
namespace, pod and container. The certificate is self-signed; API servers do not verify kubelets unless told to.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from lab.api.tls import create_tls
from lab.controllers import meta
from lab.controllers.kubelet.logs import Buffer, Logs


class KubeletServer:
    """Serves what `logs` holds; until that is set, every log is empty."""

    def __init__(self) -> None:
        self.logs: Logs | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen on a free port of the loopback interface; returns it."""
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._log)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=create_tls(("127.0.0.1",)).server_context())
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _log(self, request: web.Request) -> web.Response:
        key = (request.match_info["namespace"], request.match_info["pod"], request.match_info["container"])
        buffer = self.logs.buffers.get(key, Buffer()) if self.logs else Buffer()
        query = request.query
        lines = buffer.previous if query.get("previous") == "true" else buffer.current
        if query.get("sinceSeconds", "").isdigit():
            limit = datetime.now(UTC).timestamp() - int(query["sinceSeconds"])
            lines = [line for line in lines if _seconds(line[0]) >= limit]
        if query.get("tailLines", "").isdigit():
            count = int(query["tailLines"])
            lines = lines[-count:] if count else []
        stamped = query.get("timestamps") == "true"
        text = "".join(f"{at} {line}\n" if stamped else f"{line}\n" for at, line in lines)
        raw = text.encode()
        if query.get("limitBytes", "").isdigit():
            raw = raw[: int(query["limitBytes"])]
        return web.Response(body=raw, content_type="text/plain")


def _seconds(stamp: str) -> float:
    found = meta.moment(stamp.partition(".")[0].rstrip("Z") + "+00:00")
    return found.timestamp() if found else 0.0
