"""Runs the lab's API server in a thread of the test process, so that blocking clients can talk to it."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import httpx

from lab.api.server import ApiServer

T = TypeVar("T")
_START_SECONDS = 60


class RunningApi:
    """A server on a free port of loopback. `run(coroutine)` executes something in its event loop."""

    def __init__(self, server: ApiServer | None = None) -> None:
        self.server = server or ApiServer(seed=1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab-api", daemon=True)
        self._folder = tempfile.TemporaryDirectory(prefix="lab-api-")
        self.kubeconfig = Path(self._folder.name) / "kubeconfig"
        self.ca_file = Path(self._folder.name) / "ca.crt"

    @property
    def base_url(self) -> str:
        return self.server.base_url

    @property
    def ca(self) -> bytes:
        return self.server.ca_pem

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_START_SECONDS)

    def start(self) -> RunningApi:
        self._thread.start()
        self.run(self.server.start())
        self.server.write_kubeconfig(self.kubeconfig)
        self.ca_file.write_bytes(self.ca)
        return self

    def stop(self) -> None:
        self.run(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_SECONDS)
        self._folder.cleanup()

    def client(self, token: str = "tok-admin", timeout: float = 60.0) -> httpx.Client:
        """A plain HTTP client that trusts the lab's CA."""
        context = ssl.create_default_context(cadata=self.ca.decode())
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.base_url, verify=context, headers=headers, timeout=timeout, trust_env=False)
