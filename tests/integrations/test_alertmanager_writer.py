"""What is sent to Alertmanager: by its URL and through the service proxy, once, and what its answers mean."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from integrations.alertmanager.writer import AlertmanagerWriter
from integrations.errors import Forbidden, NotFound, Rejected, SourceError, Unreachable
from integrations.kubernetes import reader
from integrations.kubernetes.writer import Writer
from tests.conftest import free_port
from tests.integrations.test_writer import behind
from tests.lab.api_server import RunningApi

SILENCE = {"matchers": [{"name": "a", "value": "b"}], "comment": "c"}


class Backend:
    """Alertmanager behind a Service of the lab, and the same as a server of its own."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, str, Any]] = []
        self.status, self.body = 200, b'{"silenceID":"x"}'

    async def handle(
        self, _namespace: str, service: str, _port: str, method: str, path: str, query: str, headers: dict[str, str],
        body: bytes,
    ) -> tuple[int, dict[str, str], bytes]:  # fmt: skip
        kind = {key.lower(): value for key, value in headers.items()}.get("content-type", "")
        self.asked.append((service, method, f"{path}?{query}", kind, json.loads(body) if body else None))
        return self.status, {"Content-Type": "application/json"}, self.body


@pytest.fixture
def backend(api: RunningApi, admin: httpx.Client) -> Iterator[Backend]:
    """The only Service of an Alertmanager in this cluster, with a pod behind it."""
    made = Backend()
    api.server.services = made
    admin.post("/api/v1/namespaces", json={"metadata": {"name": "monitoring"}})
    spec = {"selector": {"app.kubernetes.io/name": "alertmanager"}, "ports": [{"name": "web", "port": 9093}]}
    body = {"metadata": {"name": "am"}, "spec": spec}
    if admin.post("/api/v1/namespaces/monitoring/services", json=body).status_code == 201:
        piece = {
            "metadata": {"name": "am", "labels": {"kubernetes.io/service-name": "am"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.9"], "conditions": {"ready": True}}],
            "ports": [{"name": "web", "port": 9093}],
        }
        path = "/apis/discovery.k8s.io/v1/namespaces/monitoring/endpointslices"
        admin.post(path, json=piece).raise_for_status()
    yield made
    api.server.services = None


def test_a_post_and_a_delete_go_through_the_proxy(pen: Writer, backend: Backend) -> None:
    writer = AlertmanagerWriter(pen.reader)
    answer = writer.send("POST", "/api/v2/silences", SILENCE)
    assert (answer.status, answer.json()) == (200, {"silenceID": "x"})
    writer.send("DELETE", "/api/v2/silence/x")
    first, second = backend.asked
    assert first == ("am", "POST", "/api/v2/silences?", "application/json", SILENCE)
    assert (*second[:3], second[4]) == ("am", "DELETE", "/api/v2/silence/x?", None)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words", "maybe_done"),
    [
        (400, b'"silence invalid: no"', Rejected, "silence invalid: no", False),
        (422, b'{"code":601,"message":"must be of type uuid"}', Rejected, "must be of type uuid", False),
        (404, b"", NotFound, "HTTP 404", False),
        (302, b"", Rejected, "redirect", False),
        (500, b'"silence not found"', Unreachable, "silence not found", True),
    ],
)
def test_what_it_answers_is_said_in_its_own_words(
    pen: Writer, backend: Backend, status: int, body: bytes, kind: type[SourceError], words: str, maybe_done: bool
) -> None:
    backend.status, backend.body = status, body
    with pytest.raises(kind, match=words) as caught:
        AlertmanagerWriter(pen.reader).send("POST", "/api/v2/silences", SILENCE)
    assert (caught.value.status, caught.value.maybe_done) == (status, maybe_done)
    assert len(backend.asked) == 1


@pytest.mark.parametrize("action", ["reset", "status:502"])
def test_a_lost_answer_leaves_open_whether_it_was_done_and_is_not_repeated(
    pen: Writer, backend: Backend, admin: httpx.Client, action: str
) -> None:
    fault = {"action": action, "target": "api", "verb": "create", "resource": "services", "count": 1}
    admin.post("/lab/faults", json=fault).raise_for_status()
    with pytest.raises(Unreachable) as caught:
        AlertmanagerWriter(pen.reader).send("POST", "/api/v2/silences", SILENCE)
    assert caught.value.maybe_done
    assert len(backend.asked) <= 1


def test_who_may_not_use_the_proxy_has_sent_nothing(api: RunningApi, backend: Backend) -> None:
    text = api.kubeconfig.read_text().replace("tok-admin", "tok-view")
    path = api.kubeconfig.with_name("viewer")
    path.write_text(text)
    viewer = reader.connect(str(path))
    try:
        with pytest.raises((Forbidden, NotFound)) as caught:
            AlertmanagerWriter(viewer).send("POST", "/api/v2/silences", SILENCE)
    finally:
        viewer.close()
    assert not caught.value.maybe_done
    assert backend.asked == []


def test_without_a_service_it_says_what_was_looked_for(pen: Writer, namespace: str, admin: httpx.Client) -> None:
    behind(admin, namespace, "another", ready=True)
    services = admin.get("/api/v1/services").json()["items"]
    for each in services:
        if (each["spec"].get("selector") or {}).get("app.kubernetes.io/name") == "alertmanager":
            where = each["metadata"]
            admin.delete(f"/api/v1/namespaces/{where['namespace']}/services/{where['name']}").raise_for_status()
    with pytest.raises(NotFound, match="app.kubernetes.io/name=alertmanager"):
        AlertmanagerWriter(pen.reader).send("POST", "/api/v2/silences", SILENCE)


def test_by_its_url_it_is_asked_directly() -> None:
    asked: list[tuple[str, str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path, json.loads(body) if body else None))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_DELETE = do_POST  # noqa: N815 - a name of http.server

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        writer = AlertmanagerWriter(None, f"http://127.0.0.1:{server.server_port}/")  # type: ignore[arg-type]
        assert writer.send("POST", "/api/v2/alerts", [{"labels": {"a": "b"}}]).status == 200
        writer.send("DELETE", "/api/v2/silence/x")
    finally:
        server.shutdown()
        server.server_close()
    assert asked == [("POST", "/api/v2/alerts", [{"labels": {"a": "b"}}]), ("DELETE", "/api/v2/silence/x", None)]


def test_a_port_nobody_listens_on_was_sent_nothing() -> None:
    with pytest.raises(Unreachable) as caught:
        AlertmanagerWriter(None, f"http://127.0.0.1:{free_port()}").send("POST", "/x", {})  # type: ignore[arg-type]
    assert not caught.value.maybe_done
