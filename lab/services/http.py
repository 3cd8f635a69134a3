"""Requests and answers between the lab's listeners and the services. No I/O."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class Answer(NamedTuple):
    """Status, headers and body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Request:
    """A request to a service; `path` without the proxy's prefix, header names in lower case."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        """A parameter's values from the query and, for a form, from the body."""
        found = parse_qs(self.query, keep_blank_values=True).get(name, [])
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            found = found + parse_qs(self.body.decode(errors="replace"), keep_blank_values=True).get(name, [])
        return found

    def value(self, name: str, default: str = "") -> str:
        return next(iter(self.values(name)), default)

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return json.loads(self.body)


def answer(value: Any, status: int = 200) -> Answer:
    """A JSON answer."""
    return Answer(status, dict(JSON), json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def text(value: str, status: int = 200) -> Answer:
    return Answer(status, dict(TEXT), value.encode())


def iso(moment: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown(value: float) -> str:
    """A sample's value as Prometheus writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return repr(value)
