"""Which way Grafana's health is asked, and when the other way is tried."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from integrations.grafana.reader import GrafanaReader
from integrations.http import Answer


class Proxy:
    """The API server's way with one prepared answer."""

    address = "proxy"

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def get(self, _path: str, *, token: str = "") -> Answer:
        return self._answer


@pytest.fixture
def grafana_url() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"database":"ok"}')

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def reader(url: str, by_proxy: Answer) -> GrafanaReader:
    made = GrafanaReader(None, url)  # type: ignore[arg-type]  # the proxy below stands in for the cluster
    made._by_proxy = Proxy(by_proxy)  # type: ignore[assignment]
    return made


def test_a_proxy_that_may_not_reach_the_pod_is_not_grafanas_answer(grafana_url: str) -> None:
    """A real API server answered 403 for pods it cannot proxy to, and a healthy Grafana read unknown for ever."""
    answer = reader(grafana_url, Answer(403, b"", "address not allowed (HTTP 403)")).get("/api/health")

    assert (answer.status, answer.json()) == (200, {"database": "ok"})


def test_no_ready_pod_behind_the_service_is_an_answer(grafana_url: str) -> None:
    answer = reader(grafana_url, Answer(503, b"", 'no endpoints available for service "grafana"')).get("/api/health")

    assert answer.status == 503


def test_without_a_url_the_proxys_answer_stands() -> None:
    answer = reader("", Answer(403, b"", "forbidden (HTTP 403)")).get("/api/health")

    assert answer.status == 403
