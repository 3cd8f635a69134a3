"""A GitHub to talk to over HTTP: the lab's, on a port of its own, that loses answers and refuses as a test says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from lab.git import Repository
from lab.git.repository import shipped_files
from lab.services.github import NAME, GitHub
from lab.services.http import Answer, Request

TOKEN = "github_pat_" + "T0ken" * 8
READ_ONLY = "github_pat_" + "Reads" * 8
FILE = "bootstrap/apps/monitoring.yaml"
#: a request as it arrived: method and path
Asked = tuple[str, str]


@dataclass
class Fault:
    """What happens to requests of a method whose path ends so. ``after``: it is done, and then the answer is lost."""

    method: str
    ending: str
    answer: Answer | None = None
    after: bool = False
    times: int = 1


@dataclass
class Hub:
    """One GitHub at ``url``."""

    github: GitHub
    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    #: called before each request is handled
    before: Callable[[Request], None] = lambda request: None

    def start(self) -> Hub:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._serve(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of http.server

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/api/v3"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(
        self, method: str, ending: str, answer: Answer | None = None, *, after: bool = False, times: int = 1
    ) -> None:
        """The next ``times`` requests of this kind fail. Without an answer the connection is cut."""
        self.faults.append(Fault(method, ending, answer, after, times))

    def writes(self) -> list[Asked]:
        """What GitHub accepted, in order."""
        return [(method, path) for method, path, _ in self.github.ledger]

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        path = parts.path.removeprefix("/api/v3")
        request = Request(handler.command, path, parts.query, headers, handler.rfile.read(length))
        self.asked.append((handler.command, path))
        self.headers.append(headers)
        self.before(request)
        fault = self._fault(request)
        if fault is not None and not fault.after:
            _reply(handler, fault.answer)
            return
        answered = self.github.handle(request)
        _reply(handler, fault.answer if fault is not None else answered)

    def _fault(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.method == request.method and request.path.endswith(fault.ending):
                fault.times -= 1
                return fault
        return None


def make_hub() -> Hub:
    """The team's repository behind a GitHub."""
    return Hub(GitHub(Repository(shipped_files()), TOKEN, READ_ONLY)).start()


def _reply(handler: BaseHTTPRequestHandler, answer: Answer | None) -> None:
    if answer is None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)
        return
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(answer.body)))
    handler.end_headers()
    handler.wfile.write(answer.body)


__all__ = ["FILE", "NAME", "READ_ONLY", "TOKEN", "Hub", "make_hub"]
