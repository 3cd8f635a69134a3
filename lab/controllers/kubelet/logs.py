"""Container logs: kept here, and pushed to the lab's own API server, which serves them by `pods/log`.

Against a real API server nothing is pushed; there the kubelet's HTTP endpoint reads the same buffers.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from lab.controllers import meta
from lab.controllers.client import ApiError, Client

_KEPT_LINES = 2000
LogKey = tuple[str, str, str]


@dataclass
class Buffer:
    """Lines of the present and of the previous container, each as (RFC 3339 time, text)."""

    current: list[tuple[str, str]] = field(default_factory=list)
    previous: list[tuple[str, str]] = field(default_factory=list)


class Logs:
    def __init__(self, client: Client, *, push: bool) -> None:
        self._client, self._push = client, push
        self.buffers: dict[LogKey, Buffer] = defaultdict(Buffer)

    async def rotate(self, key: LogKey) -> None:
        """A container started again: what it printed becomes the previous log."""
        buffer = self.buffers[key]
        buffer.previous, buffer.current = buffer.current, []
        await self._send(key, buffer.previous, previous=True, append=False)
        await self._send(key, [], previous=False, append=False)

    async def append(self, key: LogKey, texts: list[str]) -> None:
        if not texts:
            return
        at = meta.now().replace("Z", ".000000000Z")
        lines = [(at, text) for text in texts]
        buffer = self.buffers[key]
        buffer.current = [*buffer.current, *lines][-_KEPT_LINES:]
        await self._send(key, lines, previous=False, append=True)

    async def load(self, key: LogKey, current: list[tuple[str, str]], previous: list[tuple[str, str]]) -> None:
        """Take over what a container had printed before the lab began."""
        self.buffers[key] = Buffer(current, previous)
        await self._send(key, current, previous=False, append=False)
        if previous:
            await self._send(key, previous, previous=True, append=False)

    def drop(self, namespace: str, pod: str) -> None:
        for key in [key for key in self.buffers if key[:2] == (namespace, pod)]:
            del self.buffers[key]

    async def _send(self, key: LogKey, lines: list[tuple[str, str]], *, previous: bool, append: bool) -> None:
        if not self._push:
            return
        body = {"lines": [{"time": at, "text": text} for at, text in lines], "append": append}
        path = f"/lab/logs/{key[0]}/{key[1]}/{key[2]}?previous={int(previous)}"
        try:
            await self._client.call("PUT", path, body)
        except ApiError:
            return  # the pod went away meanwhile, or the server is made to fail: the log is not worth a retry
