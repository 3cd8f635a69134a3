"""What listing and watching cost, against the limit of decoding alone (design §9).

    python -m benchmarks.list_watch [--pods 5000] [--events 5000]

A server in a process of its own sends static bytes over plain HTTP, as the facts were measured; CPU seconds are this
process's, the best of several runs. Limits to hold: a list in at most 3 times, an event in at most 2 times the CPU of
msgspec alone on the same bytes. Exit 1 when one does not hold.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from integrations.kubernetes import decode, reader

LIST_LIMIT, EVENT_LIMIT = 3.0, 2.0


def pod(number: int) -> dict[str, Any]:
    """A pod of about 4 kB with managed fields, as servers send them."""
    fields: dict[str, Any] = {f"f:field-{index}": {".": {}, "f:name": {}, "f:value": {}} for index in range(55)}
    return {
        "metadata": {
            "name": f"pod-{number}",
            "namespace": f"ns-{number % 50}",
            "uid": f"0000-{number}",
            "resourceVersion": str(number),
            "labels": {"app": "web", "pod-template-hash": "5d4f"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": fields}}],
        },
        "spec": {
            "nodeName": f"worker{number % 7}",
            "containers": [
                {"name": "web", "image": "registry/web:1", "ports": [{"containerPort": 80}], "resources": {}}
            ],
            "volumes": [{"name": f"v{index}", "configMap": {"name": f"c{index}"}} for index in range(12)],
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "startTime": "2026-01-01T00:00:00Z",
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": [
                {
                    "name": "web",
                    "ready": True,
                    "restartCount": 0,
                    "image": "registry/web:1",
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }
            ],
        },
    }


def pages_of(pods: int) -> list[bytes]:
    """The list in pages of 500, as the reader asks for it."""
    found = []
    for start in range(0, pods, reader.PAGE):
        last = start + reader.PAGE >= pods
        metadata = {"resourceVersion": "9", **({} if last else {"continue": str(start + reader.PAGE)})}
        items = [pod(number) for number in range(start, min(start + reader.PAGE, pods))]
        found.append(json.dumps({"metadata": metadata, "items": items}, separators=(",", ":")).encode())
    return found


def line_of(number: int) -> bytes:
    """One watch event."""
    return json.dumps({"type": "MODIFIED", "object": pod(number)}, separators=(",", ":")).encode() + b"\n"


def serve(pods: int, events: int, ready: Pipe) -> None:
    """The server's process: says its port, then serves for ever."""
    pages = pages_of(pods)
    stream = b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in map(line_of, range(events))) + b"0\r\n\r\n"

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            watch = "watch" in query
            self.send_response(200)
            if watch:
                self.send_header("Transfer-Encoding", "chunked")
                body = stream
            else:
                body = pages[int(query.get("continue", ["0"])[0]) // reader.PAGE]
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.send(server.server_port)
    server.serve_forever()


def best(runs: int, work: Callable[[], object]) -> float:
    """The least CPU seconds of several runs."""
    found = []
    for _ in range(runs):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--events", type=int, default=5000)
    chosen = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(chosen.pods, chosen.events, theirs), daemon=True)
    server.start()
    port = ours.recv()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kubeconfig"
        cluster = {"server": f"http://127.0.0.1:{port}"}
        context = {"cluster": "b", "user": "b"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "b",
            "clusters": [{"name": "b", "cluster": cluster}],
            "contexts": [{"name": "b", "context": context}],
            "users": [{"name": "b", "user": {"token": "t"}}],
        }
        path.write_text(json.dumps(config))
        kube = reader.connect(str(path))
        pages = pages_of(chosen.pods)
        lines = [line_of(number).rstrip() for number in range(chosen.events)]
        assert len(kube.list("pods")[0]) == chosen.pods
        assert sum(1 for _ in kube.watch("pods", "1")) == chosen.events
        listed = best(5, lambda: kube.list("pods"))
        limit = best(5, lambda: sum(len(decode.page(page, "pods").items) for page in pages))
        watched = best(5, lambda: sum(len(events) for events in kube.watch("pods", "1").batches()))
        floor = best(5, lambda: sum(decode.event(line, "pods").object is not None for line in lines))
    server.terminate()
    size = sum(map(len, pages)) / chosen.pods
    print(f"{chosen.pods} pods of {size:.0f} B, {chosen.events} events")
    print(f"list   {listed:.3f} CPU s, msgspec alone {limit:.3f}, ratio {listed / limit:.2f} (limit {LIST_LIMIT})")
    print(f"watch  {chosen.events / watched:,.0f} events/CPU s, msgspec alone {chosen.events / floor:,.0f},", end=" ")
    print(f"ratio {watched / floor:.2f} (limit {EVENT_LIMIT})")
    return 0 if listed / limit <= LIST_LIMIT and watched / floor <= EVENT_LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
