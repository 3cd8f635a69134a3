"""Trouble on demand: refusals, resets, silence and slowness that tests and demos inject.

`Faults.before` is asked before a request is handled, `Faults.write` for every chunk of a watch. Other listeners of the
lab (Prometheus, Grafana, ...) may ask `pick` with their own target name.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from aiohttp import web

from lab.api import errors
from lab.api.errors import ApiError, Obj
from lab.api.request import Call

TARGETS = ("api", "watch", "grafana", "prometheus", "alertmanager")
_SIMPLE = ("reset", "silence", "slow")
_SLICE = 4096
_SLOW_SECONDS = 0.2


@dataclass(slots=True)
class Fault:
    """One injected fault. Empty fields match everything; `count` −1 is for ever."""

    id: str
    action: str
    target: str = "api"
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    count: int = -1
    retry_after: int = 0

    def matches(self, target: str, verb: str, resource: str, namespace: str, name: str) -> bool:
        wanted = (self.target, self.verb, self.resource, self.namespace, self.name)
        found = (target, verb, resource, namespace, name)
        return all(want in ("", "*", have) for want, have in zip(wanted, found, strict=True))

    def body(self) -> Obj:
        return asdict(self)


@dataclass(slots=True, eq=False)
class OpenWatch:
    """A watch being served, so that a fault can strike it in mid-stream."""

    call: Call
    request: web.Request
    wake: asyncio.Event
    problem: ApiError | None = None


def _checked(spec: Obj) -> Obj:
    """Raises ApiError 400 for what no fault can be."""
    action, target = str(spec.get("action", "")), str(spec.get("target") or "api")
    kind, _, value = action.partition(":")
    good = action in _SIMPLE
    if kind == "status":
        good = value.isdigit() and 400 <= int(value) <= 599
    elif kind == "delay":
        good = value.replace(".", "", 1).isdigit()
    if not good:
        raise errors.bad_request(f"unknown action {action!r}: status:CODE, delay:SECONDS, {', '.join(_SIMPLE)}")
    if target not in TARGETS:
        raise errors.bad_request(f"unknown target {target!r}: one of {', '.join(TARGETS)}")
    unknown = set(spec) - (set(Fault.__dataclass_fields__) - {"id"})
    if unknown:
        raise errors.bad_request(f"unknown fields {', '.join(sorted(unknown))}")
    for name in ("count", "retry_after"):
        if type(spec.get(name, 0)) is not int:
            raise errors.bad_request(f"{name} is a whole number, not {spec[name]!r}")
    for name in ("verb", "resource", "namespace", "name"):
        if not isinstance(spec.get(name, ""), str):
            raise errors.bad_request(f"{name} is a text, not {spec[name]!r}")
    return {**spec, "target": target}


@dataclass(slots=True)
class Faults:
    """The faults that are set now."""

    _faults: dict[str, Fault] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _open: set[OpenWatch] = field(default_factory=set)

    def add(self, spec: Obj) -> Fault:
        """Set a fault; open watches that it concerns are struck at once. Raises ApiError 400."""
        fault = Fault(id=str(next(self._ids)), **_checked(spec))
        self._faults[fault.id] = fault
        if fault.target == "watch":
            for watch in list(self._open):
                if self._use(fault, "watch", watch.call):
                    self._strike(watch, fault)
        return fault

    def remove(self, fault_id: str) -> bool:
        found = self._faults.pop(fault_id, None) is not None
        self._changed.set()
        self._changed = asyncio.Event()
        return found

    def clear(self) -> None:
        for fault_id in list(self._faults):
            self.remove(fault_id)

    def all(self) -> list[Fault]:
        return list(self._faults.values())

    def get(self, fault_id: str) -> Fault | None:
        return self._faults.get(fault_id)

    def pick(
        self, target: str, verb: str = "", resource: str = "", namespace: str = "", name: str = ""
    ) -> Fault | None:
        """The first fault that concerns this request; a counted one is used up by it."""
        for fault in list(self._faults.values()):
            if fault.matches(target, verb, resource, namespace, name):
                self._spend(fault)
                return fault
        return None

    def _spend(self, fault: Fault) -> None:
        if fault.count > 0:
            fault.count -= 1
            if fault.count == 0:
                self.remove(fault.id)

    def _use(self, fault: Fault, target: str, call: Call) -> bool:
        resource = call.resource.key if call.resource else call.plural
        hit = fault.matches(target, call.verb, resource, call.namespace, call.name) or fault.matches(
            target, call.verb, call.plural, call.namespace, call.name
        )
        if hit and fault.action != "silence":
            self._spend(fault)
        return hit

    def _for(self, target: str, call: Call) -> Fault | None:
        return next((each for each in self.all() if self._use(each, target, call)), None)

    # -- striking requests

    async def before(self, call: Call, request: web.Request, target: str = "api") -> bool:
        """Delay, refuse, reset or hang the request as a fault says. True when its body is to be sent slowly."""
        fault = self._for(target, call)
        if fault is None:
            return False
        kind, _, value = fault.action.partition(":")
        match kind:
            case "delay":
                await asyncio.sleep(float(value))
            case "status":
                raise errors.failure(int(value), f"injected fault {fault.id}", fault.retry_after)
            case "reset":
                abort(request)
                raise ConnectionResetError("injected reset")
            case "silence":
                await self._silence(fault.id)
        return kind == "slow"

    async def _silence(self, fault_id: str) -> None:
        while fault_id in self._faults:
            await self._changed.wait()

    @contextmanager
    def watching(self, watch: OpenWatch) -> Iterator[None]:
        self._open.add(watch)
        try:
            yield
        finally:
            self._open.discard(watch)

    @staticmethod
    def _strike(watch: OpenWatch, fault: Fault) -> None:
        kind, _, value = fault.action.partition(":")
        if kind == "reset":
            abort(watch.request)
        elif kind == "status":
            watch.problem = errors.failure(int(value), f"injected fault {fault.id}", fault.retry_after)
            watch.wake.set()

    async def write(self, call: Call, response: web.StreamResponse, chunk: bytes) -> None:
        """Send a chunk of a watch: not at all while silenced, late while delayed or slow."""
        for fault in self.all():
            if fault.target != "watch" or not self._use(fault, "watch", call):
                continue
            kind, _, value = fault.action.partition(":")
            if kind == "silence":
                await self._silence(fault.id)
            elif kind in ("delay", "slow"):
                await asyncio.sleep(float(value) if value else _SLOW_SECONDS)
        await response.write(chunk)


def abort(request: web.Request) -> None:
    """Close the connection under the client."""
    if request.transport is not None:
        request.transport.abort()


async def send_slowly(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Send a complete answer in small slices with pauses between them."""
    body = answer.body if isinstance(answer.body, bytes) else b""
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    for start in range(0, len(body), _SLICE):
        await response.write(body[start : start + _SLICE])
        await asyncio.sleep(_SLOW_SECONDS)
    await response.write_eof()
    return response
