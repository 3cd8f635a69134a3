"""Prometheus, Alertmanager and Grafana: by URL and through the proxy, and what is said when nothing answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from integrations.alertmanager.reader import AlertmanagerReader
from integrations.errors import Forbidden, NotFound, Rejected, SourceError, Unreachable
from integrations.grafana.reader import GrafanaReader
from integrations.kubernetes.discovery import Target, choose
from integrations.kubernetes.objects import Service, ServicePort, ServiceSpec
from integrations.kubernetes.parts import Meta
from integrations.kubernetes.reader import Proxied
from integrations.prometheus.reader import PrometheusReader
from tests.conftest import free_port

VECTOR = [{"metric": {"job": "a"}, "value": [1.0, "1"]}]


class Web:
    """A web API that answers what a test says and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, dict[str, list[str]], str]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                web.asked.append((parts.path, parse_qs(parts.query), self.headers.get("Authorization", "")))
                status, body = web.answers.get(parts.path, (404, b"not here"))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()


def service(name: str, component: str, *ports: tuple[str, int], cluster_ip: str = "10.0.0.1") -> Service:
    return Service(
        metadata=Meta(name=name, namespace="mon"),
        spec=ServiceSpec(
            selector={"app.kubernetes.io/name": component},
            ports=[ServicePort(name=label, port=number) for label, number in ports],
            cluster_ip=cluster_ip,
        ),
    )


class FakeReader:
    """The part of the Kubernetes reader that discovery and the proxy need."""

    address = "https://api"

    def __init__(self, services: list[Service], proxied: Callable[..., Proxied]) -> None:
        self.services, self.proxied, self.asked = services, proxied, []  # type: ignore[var-annotated]

    def list(self, resource_key: str) -> tuple[list[Service], str]:
        return self.services, "1"

    def proxy_get(self, *where: object, timeout: float) -> Proxied:
        self.asked.append(where)
        return self.proxied(*where)


def nobody() -> Any:
    return FakeReader([], lambda *_: Proxied(200, b"{}"))


def test_a_query_by_url_goes_through_with_a_time_limit(web: Web) -> None:
    web.answers["/api/v1/query"] = (200, json.dumps({"status": "success", "data": {"result": VECTOR}}).encode())
    found = PrometheusReader(nobody(), web.url).query('up{job="a"}')
    assert found.result == VECTOR
    assert len(found.digest) == 64
    [(path, query, _)] = web.asked
    assert (path, query["query"], query["timeout"]) == ("/api/v1/query", ['up{job="a"}'], ["4s"])


def test_a_query_through_the_proxy_asks_the_service_that_selects_prometheus() -> None:
    body = json.dumps({"status": "success", "data": {"result": VECTOR}}).encode()
    kube: Any = FakeReader(
        [service("stack-prometheus", "prometheus", ("http-web", 9090))], lambda *_: Proxied(200, body)
    )
    assert PrometheusReader(kube).query("up").result == VECTOR
    [(namespace, name, port, path)] = kube.asked
    assert (namespace, name, port) == ("mon", "stack-prometheus", "http-web")
    assert path.startswith("/api/v1/query?query=up")


def test_a_bad_expression_is_rejected_with_what_prometheus_says(web: Web) -> None:
    web.answers["/api/v1/query"] = (400, b'{"status":"error","errorType":"bad_data","error":"parse error at char 3"}')
    with pytest.raises(Rejected, match="parse error at char 3"):
        PrometheusReader(nobody(), web.url).query("up{")


def test_an_overloaded_prometheus_is_passing(web: Web) -> None:
    web.answers["/api/v1/query"] = (503, b"busy")
    with pytest.raises(Unreachable) as caught:
        PrometheusReader(nobody(), web.url).query("up")
    assert caught.value.transient
    assert len(web.asked) == 1  # asked once: its trouble is not made worse by us


def test_an_answer_that_is_no_result_is_rejected(web: Web) -> None:
    web.answers["/api/v1/query"] = (200, b'{"data": {}}')
    with pytest.raises(SourceError):
        PrometheusReader(nobody(), web.url).query("up")


def test_a_port_nobody_listens_on_is_unreachable() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for ask in (
        lambda: PrometheusReader(nobody(), url).query("up"),
        lambda: AlertmanagerReader(nobody(), url).get("/api/v2/status"),
    ):
        with pytest.raises(Unreachable):
            ask()


def test_without_a_service_it_says_what_was_looked_for() -> None:
    with pytest.raises(NotFound, match=r"app\.kubernetes\.io/name=alertmanager"):
        AlertmanagerReader(nobody()).get("/api/v2/status")


def test_what_the_proxy_may_not_do_is_forbidden() -> None:
    def refuse(*_: object) -> Proxied:
        raise Forbidden("services/proxy", status=403)

    kube: Any = FakeReader([service("am", "alertmanager", ("http-web", 9093))], refuse)
    with pytest.raises(Forbidden):
        AlertmanagerReader(kube).get("/api/v2/status")


def test_no_ready_pod_behind_the_service_is_an_answer() -> None:
    kube: Any = FakeReader(
        [service("stack-grafana", "grafana", ("http-web", 80))],
        lambda *_: Proxied(503, b"", 'no endpoints available for service "stack-grafana"'),
    )
    answer = GrafanaReader(kube).get("/api/health")
    assert answer.status == 503
    assert "no endpoints available" in answer.error
    assert "mon/stack-grafana" in answer.error


def test_grafana_without_url_and_token_says_what_it_needs() -> None:
    with pytest.raises(Rejected, match="needs PORTAL_GRAFANA_URL and a token file"):
        GrafanaReader(nobody()).get("/api/datasources?x=1")


def test_grafanas_token_is_read_at_each_use_and_never_shown(web: Web, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("glsa_first\n")
    web.answers["/api/datasources"] = (200, b"[]")
    grafana = GrafanaReader(nobody(), web.url, str(token))
    grafana.get("/api/datasources")
    token.write_text("glsa_second")
    grafana.get("/api/datasources")
    assert [header for _, _, header in web.asked] == ["Bearer glsa_first", "Bearer glsa_second"]
    token.unlink()
    with pytest.raises(Rejected) as caught:
        grafana.get("/api/datasources")
    assert "glsa" not in str(caught.value)


def test_credentials_do_not_follow_a_redirect(web: Web, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("glsa_x")
    web.answers["/api/datasources"] = (302, b"")
    assert GrafanaReader(nobody(), web.url, str(token)).get("/api/datasources").status == 302
    assert len(web.asked) == 1


def test_an_error_page_is_an_answer_without_a_body(web: Web) -> None:
    web.answers["/api/v2/status"] = (502, b"<html>bad gateway password=hunter2</html>")
    answer = AlertmanagerReader(nobody(), web.url).get("/api/v2/status")
    assert (answer.status, answer.json(), answer.error) == (502, None, "HTTP 502")


def test_an_endless_answer_is_cut(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations.http.MAX_BYTES", 100)
    web.answers["/api/v2/alerts"] = (200, b"[" + b"1," * 200 + b"1]")
    with pytest.raises(Rejected, match="larger"):
        AlertmanagerReader(nobody(), web.url).get("/api/v2/alerts")


def test_the_service_is_found_by_what_it_selects_and_a_headless_one_comes_last() -> None:
    services = [
        service("a-operated", "prometheus", ("web", 9090), cluster_ip="None"),
        service("z-stack", "prometheus", ("http-web", 9090), ("reloader", 8080)),
        service("other", "node-exporter", ("http-web", 9090)),
    ]
    assert choose("prometheus", services) == Target("mon", "z-stack", "http-web")
    assert choose("prometheus", services[:1]) == Target("mon", "a-operated", "web")
    assert choose("grafana", services) is None


def test_a_port_without_a_name_is_reached_by_its_number() -> None:
    assert choose("grafana", [service("g", "grafana", ("", 3000))]) == Target("mon", "g", "3000")
