"""One healthy lab for the family, the engine on it, and a receiver on loopback that Alertmanager can really call."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.deployments.dashboards.conftest import desk
from tests.lab.world.running import RunningLab

__all__ = ["desk", "hook", "lab"]


class Hook:
    """Keeps what it is told; answers with ``status``."""

    def __init__(self) -> None:
        self.status = 200
        self.told: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.told.append(json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0))))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def of(self, mark: str) -> list[Any]:
        """The test alerts of a run's step that it was told of, in order."""
        return [a for message in self.told for a in message.get("alerts", []) if a["labels"].get("run") == mark]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    running = RunningLab("healthy", tmp_path_factory.mktemp("alerts"))
    yield running
    running.stop()
