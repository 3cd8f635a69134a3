"""Requests that change something, by URL and through the proxy: sent once, and honest about what may have happened."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from integrations import http
from integrations.errors import Conflict, Forbidden, NotFound, Rejected, SourceError, Unauthorized, Unreachable
from integrations.grafana.writer import GrafanaWriter
from integrations.http import ByProxy, ByUrl
from tests.conftest import free_port

ROOT = Path(__file__).parents[2]
Handle = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Counts what arrived, and behaves as a test says after it was read."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, str, str, Any]] = []
        self.then: Handle = lambda handler: reply(handler, 200, b'{"message":"done"}')
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                outer.arrived.append((self.command, self.path, self.headers.get("Authorization", ""), body))
                outer.then(self)

            do_PUT = do_DELETE = do_POST  # noqa: N815 - names of http.server

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte at a time, never silent for long and never at an end."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(200):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("glsa_secret\n")
    return path


@pytest.fixture
def grafana(server: Server, token: Path) -> GrafanaWriter:
    return GrafanaWriter(None, server.url, str(token))  # type: ignore[arg-type]  # a Grafana is written to by URL only


def test_a_request_carries_its_body_and_the_token_once(server: Server, grafana: GrafanaWriter) -> None:
    answer = grafana.send("POST", "/api/datasources", {"name": "Prometheus"})
    assert (answer.status, answer.json()) == (200, {"message": "done"})
    assert server.arrived == [("POST", "/api/datasources", "Bearer glsa_secret", {"name": "Prometheus"})]


def test_a_delete_sends_no_body(server: Server, grafana: GrafanaWriter) -> None:
    grafana.send("DELETE", "/api/dashboards/uid/x")
    assert server.arrived == [("DELETE", "/api/dashboards/uid/x", "Bearer glsa_secret", None)]


@pytest.mark.parametrize(
    ("status", "kind", "maybe_done"),
    [
        (302, Rejected, False),
        (400, Rejected, False),
        (401, Unauthorized, False),
        (403, Forbidden, False),
        (404, NotFound, False),
        (409, Conflict, False),
        (412, Rejected, False),
        (500, Unreachable, True),
        (502, Unreachable, True),
    ],
)
def test_what_grafana_answers_is_an_error_that_says_whether_it_was_done(
    server: Server, grafana: GrafanaWriter, status: int, kind: type[SourceError], maybe_done: bool
) -> None:
    server.then = lambda handler: reply(handler, status, b'{"message":"no, password=hunter2"}')
    with pytest.raises(kind) as caught:
        grafana.send("POST", "/api/dashboards/db?x=1", {})
    assert (caught.value.status, caught.value.maybe_done) == (status, maybe_done)
    assert "hunter2" not in str(caught.value)
    assert "glsa" not in str(caught.value)
    assert len(server.arrived) == 1


def test_a_lost_answer_leaves_open_whether_it_was_done(server: Server, grafana: GrafanaWriter) -> None:
    server.then = hang_up
    with pytest.raises(Unreachable) as caught:
        grafana.send("POST", "/api/datasources", {})
    assert caught.value.maybe_done
    assert caught.value.transient
    assert len(server.arrived) == 1  # never repeated


def test_silence_leaves_it_open_too(server: Server, grafana: GrafanaWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    server.then = lambda _: (release.wait(20), None)[1]
    monkeypatch.setattr(http, "SEND_SECONDS", 0.2)
    try:
        with pytest.raises(Unreachable, match="did not answer within") as caught:
            grafana.send("POST", "/api/datasources", {})
    finally:
        release.set()
    assert caught.value.maybe_done
    assert len(server.arrived) == 1


def test_an_answer_that_drips_for_ever_is_given_up(
    server: Server, grafana: GrafanaWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.then = drip
    monkeypatch.setattr(http, "SEND_SECONDS", 0.3)
    with pytest.raises(Unreachable, match="did not answer within") as caught:
        grafana.send("POST", "/api/datasources", {})
    assert caught.value.maybe_done


def test_an_endless_answer_is_cut_and_the_request_was_made(
    server: Server, grafana: GrafanaWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_BYTES", 100)
    server.then = lambda handler: reply(handler, 200, b" " * 500)
    with pytest.raises(Rejected, match="larger") as caught:
        grafana.send("POST", "/api/datasources", {})
    assert caught.value.maybe_done


def test_a_port_nobody_listens_on_was_certainly_sent_nothing(token: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable) as caught:
        GrafanaWriter(None, url, str(token)).send("POST", "/api/datasources", {})  # type: ignore[arg-type]
    assert not caught.value.maybe_done


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://[::1"])
def test_what_is_no_url_is_rejected(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        ByUrl(url).send("POST", "/x", {})
    assert not caught.value.maybe_done


def test_without_url_and_token_it_says_what_is_needed(server: Server, token: Path) -> None:
    for url, path in (("", str(token)), (server.url, "")):
        with pytest.raises(Rejected, match="PORTAL_GRAFANA_URL and a token file"):
            GrafanaWriter(None, url, path).send("POST", "/api/datasources", {})  # type: ignore[arg-type]
    assert server.arrived == []


def test_the_proxy_would_drop_a_token_so_nothing_is_sent() -> None:
    with pytest.raises(Rejected, match="drops the Authorization header"):
        ByProxy(None, "alertmanager").send("POST", "/api/v2/silences", {}, token="t")  # type: ignore[arg-type]


def test_only_writers_send() -> None:
    """``send`` and ``proxy_send`` are on objects that readers hold as well; nobody else may use them."""
    callers = {
        str(path.relative_to(ROOT))
        for package in ("portal", "monitoring", "integrations", "deployments", "common")
        for path in (ROOT / package).rglob("*.py")
        if "endpoint.send(" in (text := path.read_text()) or "proxy_send(" in text or "_by_url.send(" in text
    }
    allowed = {"integrations/http.py", "integrations/kubernetes/reader.py"}
    assert {path for path in callers - allowed if not path.endswith("/writer.py")} == set()
    assert "integrations/grafana/writer.py" in callers
