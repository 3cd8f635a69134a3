"""A thousand open streams and ten changes a second: Phaseboard's one web process against nginx with nchan.

    python -m benchmarks.streams [--streams 1000] [--seconds 20] [--items 200]

Goal (design §9): at most 2.5 times the CPU of nchan, at most 25 kB a stream, nothing lost. Both servers run one process
and deliver rows of the same size to the same client; nchan only forwards what it is given, while Phaseboard reads the
row from a board of 200 items and draws it. Without nginx and its nchan module only Phaseboard is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks import stand, world
from portal.serving.embedded import embedded_redis, free_port

#: what the stream of that number asks with
Requests = Callable[[int], bytes]

NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
RATE = 10
_STAMP = re.compile(rb"change (\d+) at (\d+)")


@dataclass
class Figures:
    """What one server did."""

    name: str
    opened_seconds: float = 0.0
    kilobytes: float = 0.0
    cpu_share: float = 0.0
    sent: int = 0
    delivered: int = 0
    expected: int = 0
    late: list[float] = field(default_factory=list)

    def line(self) -> str:
        """One row of the report."""
        return (
            f"{self.name:<12} CPU {self.cpu_share * 100:5.1f} % of a core  {self.kilobytes:5.1f} kB a stream  "
            f"delivered {self.delivered}/{self.expected}  opened in {self.opened_seconds:.1f} s  "
            f"{stand.percentiles(self.late)}"
        )


def cpu_seconds(pid: int) -> float:
    """CPU a process has used."""
    text = Path(f"/proc/{pid}/stat").read_text()
    used = text[text.rindex(")") + 2 :].split()
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


def kilobytes(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(re.findall(r"VmRSS:\s+(\d+)", status)[0])


class Reader(asyncio.Protocol):
    """One open stream: counts each change it is told of, and how late."""

    def __init__(self, request: bytes, figures: Figures) -> None:
        self._request, self._figures = request, figures
        self._tail = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done() and b"\r\n\r\n" in data:
            if b" 200 " not in data[:20]:
                self.opened.set_exception(RuntimeError(data[:200].decode(errors="replace")))
                return
            self.opened.set_result(None)
        text = self._tail + data
        last = 0
        moment = time.time() * 1000
        for found in _STAMP.finditer(text):
            self._figures.delivered += 1
            self._figures.late.append(moment - int(found[2]))
            last = found.end()
        self._tail = text[last:][-60:]


async def measure(
    figures: Figures, pid: int, port: int, requests: Requests, change: Callable[[int], Any], streams: int, seconds: int
) -> None:
    """Open the streams, let everything settle, change ten times a second, wait for the last delivery."""
    loop = asyncio.get_running_loop()
    before = kilobytes(pid)
    began = time.monotonic()
    readers = []
    for first in range(0, streams, 50):
        batch = [
            (await loop.create_connection(functools.partial(Reader, requests(first + n), figures), "127.0.0.1", port))[
                1
            ]
            for n in range(min(50, streams - first))
        ]
        await asyncio.gather(*(reader.opened for reader in batch))
        readers += batch
    figures.opened_seconds = time.monotonic() - began
    await asyncio.sleep(3)
    figures.kilobytes = (kilobytes(pid) - before) / streams
    figures.delivered, figures.late = 0, []
    used, start = cpu_seconds(pid), loop.time()
    for number in range(RATE * seconds):
        await asyncio.sleep(max(0.0, start + number / RATE - loop.time()))
        await asyncio.to_thread(change, number)
        figures.sent += 1
    figures.expected = figures.sent * streams
    for _ in range(100):
        if figures.delivered >= figures.expected:
            break
        await asyncio.sleep(0.1)
    figures.cpu_share = (cpu_seconds(pid) - used) / (loop.time() - start)


@contextmanager
def phaseboard(items: int, streams: int) -> Iterator[tuple[int, int, Requests, Callable[[int], Any]]]:
    """A web process on a filled board: its pid, port, the request of a stream, and a function that changes an item."""
    with tempfile.TemporaryDirectory(prefix="phaseboard-bench-") as folder:
        redis = embedded_redis(Path(folder))
        server = subprocess.Popen(redis.argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert server.stdin is not None
        server.stdin.write(redis.config.encode())
        server.stdin.close()
        os.environ["PORTAL_STATE_DIR"] = folder
        world.set_up_django(REDIS_URL=redis.url, DJANGO_ALLOWED_HOSTS="127.0.0.1")
        world.fill(items, 0)
        port = free_port()
        web = [sys.executable, "-m", "uvicorn", "portal.asgi:application", "--port", str(port), "--no-access-log"]
        process = subprocess.Popen([*web, "--log-level", "warning"], cwd=stand.ROOT)
        try:
            wait_for(f"http://127.0.0.1:{port}/healthz")
            topics = ",".join(f"item:{pk}" for pk in range(1, items + 1))
            query = f"topics={topics}&since={position()}"
            browsers = [session() for _ in range(streams // 4 + 1)]

            def request(number: int) -> bytes:
                """Four windows to a browser, as many as may hold a stream open."""
                cookie = f"Cookie: sessionid={browsers[number // 4]}"
                return f"GET /live/?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}\r\n\r\n".encode()

            yield process.pid, port, request, change_an_item
        finally:
            process.terminate()
            process.wait(10)
            server.terminate()
            server.wait(10)


def position() -> str:
    """The stream's newest id: a page that has just been loaded needs no snapshot."""
    from common import publish

    publish.publish("runs")
    return publish.position()


def session() -> str:
    """A viewer's session key."""
    from django.contrib.auth.models import Group, User
    from django.test import Client

    user, made = User.objects.get_or_create(username="viewer")
    if made:
        user.groups.add(Group.objects.get(name="viewer"))
    client = Client()
    client.force_login(user)
    return str(client.session.session_key)


def change_an_item(number: int) -> None:
    """Write another sentence for one check, as the observer would, and announce its item."""
    from django.db import transaction

    from common import publish
    from common.clock import now
    from monitoring.models import Evidence

    pk = Evidence.objects.values_list("pk", flat=True)[number % 50]
    with transaction.atomic():
        said = f"change {number} at {int(time.time() * 1000)}"
        Evidence.objects.filter(pk=pk).update(sentence=said, evaluated_at=now())
        publish.publish(f"item:{pk}")


@contextmanager
def nchan(size: int) -> Iterator[tuple[int, int, Requests, Callable[[int], Any]]]:
    """The same of nginx with nchan."""
    with tempfile.TemporaryDirectory(prefix="nchan-bench-") as folder:
        port = free_port()
        Path(folder, "nginx.conf").write_text(
            f"load_module {NCHAN}; worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
            "events { worker_connections 4096; }\n"
            f"http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;"
            f" fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n"
            f"server {{ listen 127.0.0.1:{port};\n"
            "location = /sub { nchan_subscriber eventsource; nchan_channel_id one; }\n"
            "location = /pub { nchan_publisher; nchan_channel_id one; } } }\n"
        )
        Path(folder).chmod(0o755)
        process = subprocess.Popen(["nginx", "-p", folder, "-c", "nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            wait_for(f"http://127.0.0.1:{port}/pub", anything=True)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)

            def change(number: int) -> None:
                text = f"change {number} at {int(time.time() * 1000)} "
                client.post("/pub", content=text + "x" * max(0, size - len(text)))

            request = b"GET /sub HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
            yield int(children[0]), port, lambda _number: request, change
        finally:
            process.terminate()
            process.wait(10)


def wait_for(address: str, *, anything: bool = False) -> None:
    """Until it answers. :raises SystemExit: it does not."""
    for _ in range(200):
        try:
            if httpx.get(address, timeout=1, trust_env=False).is_success or anything:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"{address} did not answer within 10 s")


def row_size() -> int:
    """Bytes of the frame that carries one row."""
    from portal import rows
    from portal.accounts.roles import Role

    return len("".join(rows.render("item:1", Role.VIEWER))) + 40


def main() -> int:
    """Measure both, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--items", type=int, default=200)
    chosen = parser.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files[1], 65_536), files[1]))
    ours = Figures("Phaseboard")
    with phaseboard(chosen.items, chosen.streams) as (pid, port, request, change):
        size = row_size()
        asyncio.run(measure(ours, pid, port, request, change, chosen.streams, chosen.seconds))
    print(f"{chosen.streams} streams, {RATE} changes/s of {size} bytes for {chosen.seconds} s; {stand.load()}")
    print(ours.line())
    held = ours.delivered == ours.expected and ours.kilobytes <= 25
    if NCHAN.exists() and shutil.which("nginx"):
        limit = Figures("nchan")
        with nchan(size) as (pid, port, request, change):
            asyncio.run(measure(limit, pid, port, request, change, chosen.streams, chosen.seconds))
        print(limit.line())
        ratio = ours.cpu_share / limit.cpu_share
        print(f"CPU ratio {ratio:.1f}")
        held = held and ratio <= 2.5
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
