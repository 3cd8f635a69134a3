"""Trouble on demand: which requests are struck. What a strike does is in `lab.api.striking`.

A fault is a rule over requests: verb, kind, name, user and so on, how often, with which probability (seeded), how long.
Every rule counts what it has seen and struck, so that a test can tell a fault that missed from a client that coped.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase

from aiohttp import web

from lab.api import errors
from lab.api.errors import ApiError, Obj
from lab.api.request import Call

TARGETS = ("api", "watch", "grafana", "prometheus", "alertmanager")
BEFORE, AFTER = "before", "after"
_ANSWERED = (
    "html",
    "empty",
    "truncate",
    "partial",
    "type",
    "slow",
)  # what happens to the answer of an accepted request
_EITHER = ("status", "reset", "silence", "delay", "html")
_SIMPLE = ("reset", "silence", "slow", "conflict", "touch", "html", "empty", "truncate", "partial", "end")
_ON_WATCH = ("status", "reset", "silence", "slow", "delay", "truncate", "end")
_PATTERNS = ("verb", "resource", "namespace", "name", "path", "user", "agent")


@dataclass(slots=True)
class Fault:
    """One rule. Empty fields match everything; `count` -1 is for ever. See docs/lab.md for each field."""

    id: str
    action: str
    target: str = "api"
    when: str = ""
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    user: str = ""
    agent: str = ""
    dry_run: bool | None = None
    count: int = -1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    seconds: float = 0.0
    retry_after: int = 0
    seen: int = 0
    struck: int = 0

    @property
    def kind(self) -> str:
        return self.action.partition(":")[0]

    @property
    def value(self) -> str:
        return self.action.partition(":")[2]

    def body(self) -> Obj:
        return asdict(self)


@dataclass(slots=True, eq=False)
class OpenWatch:
    """A watch being served, so that a fault can strike it in mid-stream."""

    call: Call
    request: web.Request
    wake: asyncio.Event
    problem: ApiError | None = None
    ended: bool = False  # the server closes it, as it does when its time is over


def _hits(pattern: str, values: tuple[str, ...]) -> bool:
    """Whether a pattern fits one of the values: alternatives by comma, `*` as in a shell, `!` before it all negates."""
    if not pattern:
        return True
    if pattern.startswith("!"):
        return not _hits(pattern[1:] or "*", values)
    return any(fnmatchcase(value, each.strip()) for each in pattern.split(",") for value in values)


def _resources(call: Call) -> tuple[str, ...]:
    """The ways to name what is asked for: plural or plural.group, each also as `pods/eviction`."""
    names = [call.plural, *([call.resource.key] if call.resource else [])]
    return (*names, *(f"{name}/{call.subresource}" for name in names if call.subresource))


def _matches(fault: Fault, target: str, call: Call) -> bool:
    if fault.target != target or fault.dry_run not in (None, call.dry_run):
        return False
    found: dict[str, tuple[str, ...]] = {
        "verb": (call.verb,),
        "resource": _resources(call),
        "namespace": (call.namespace,),
        "name": (call.name,),
        "path": (call.path,),
        "user": (call.user.name,),
        "agent": (call.user_agent,),
    }
    return all(_hits(getattr(fault, name), values) for name, values in found.items())


def _number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _good_action(kind: str, value: str) -> bool:
    if kind in ("status", "html") and value:
        low = 200 if kind == "html" else 400
        return value.isdigit() and low <= int(value) <= 599
    if kind == "delay":
        low_, _, high = value.partition("-")
        return _number(low_) and (not high or _number(high))
    if kind == "type":
        return "/" in value
    return kind in _SIMPLE and not value


def _check_types(spec: Obj) -> None:
    for name in ("count", "retry_after", "skip", "seed"):
        if type(spec.get(name, 0)) is not int:
            raise errors.bad_request(f"{name} is a whole number, not {spec[name]!r}")
    for name in ("probability", "seconds"):
        value = spec.get(name, 0.0)
        if type(value) not in (int, float) or value < 0 or (name == "probability" and value > 1):
            raise errors.bad_request(f"{name} is a number from 0{' to 1' if name == 'probability' else ''}")
    for name in _PATTERNS:
        if not isinstance(spec.get(name, ""), str):
            raise errors.bad_request(f"{name} is a text, not {spec[name]!r}")
    if spec.get("dry_run") not in (None, True, False):
        raise errors.bad_request("dry_run is true or false")


def _checked(spec: Obj) -> Obj:
    """The spec with its defaults. Raises ApiError 400 for what no fault can be."""
    action, target = str(spec.get("action", "")), str(spec.get("target") or "api")
    kind, _, value = action.partition(":")
    if not _good_action(kind, value):
        known = ", ".join(("status:CODE", "delay:SECONDS", "type:MEDIA/TYPE", *_SIMPLE))
        raise errors.bad_request(f"unknown action {action!r}: {known}")
    if target not in TARGETS:
        raise errors.bad_request(f"unknown target {target!r}: one of {', '.join(TARGETS)}")
    unknown = set(spec) - (set(Fault.__dataclass_fields__) - {"id", "seen", "struck"})
    if unknown:
        raise errors.bad_request(f"unknown fields {', '.join(sorted(unknown))}")
    _check_types(spec)
    if target == "watch" and kind not in _ON_WATCH:
        raise errors.bad_request(f"{kind} cannot strike a watch: {', '.join(_ON_WATCH)}")
    if target != "watch" and kind == "end":
        raise errors.bad_request("end is for watches")
    allowed = (BEFORE, AFTER) if kind in _EITHER else (AFTER if kind in _ANSWERED else BEFORE,)
    allowed = (BEFORE,) if target == "watch" else allowed
    when = spec.get("when") or allowed[0]
    if when not in allowed:
        raise errors.bad_request(f"{kind} strikes {' or '.join(allowed)} the effect, not {when!r}")
    return {**spec, "target": target, "when": when}


@dataclass(slots=True)
class Faults:
    """The rules that are set now, in the order in which they were set."""

    rival: Callable[[Call], None] | None = None  # makes the competing write of `touch`
    _faults: dict[str, Fault] = field(default_factory=dict)
    _dice: dict[str, random.Random] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _open: set[OpenWatch] = field(default_factory=set)

    def add(self, spec: Obj) -> Fault:
        """Set a fault; open watches that it concerns are struck at once. Raises ApiError 400."""
        fault = Fault(id=str(next(self._ids)), **_checked(spec))
        self._faults[fault.id] = fault
        self._dice[fault.id] = random.Random(fault.seed)
        if fault.seconds:
            asyncio.get_running_loop().call_later(fault.seconds, self.remove, fault.id)
        if fault.target == "watch":
            for watch in list(self._open):
                if fault.kind in ("status", "reset", "end") and self._use(fault, "watch", watch.call):
                    self._strike(watch, fault)
        return fault

    def remove(self, fault_id: str) -> bool:
        found = self._faults.pop(fault_id, None) is not None
        self._dice.pop(fault_id, None)
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

    def _use(self, fault: Fault, target: str, call: Call) -> bool:
        """Whether the fault strikes this request; a counted one is used up by it."""
        if not _matches(fault, target, call):
            return False
        fault.seen += 1
        if fault.seen <= fault.skip:
            return False
        if fault.probability < 1.0 and self._dice[fault.id].random() >= fault.probability:
            return False
        fault.struck += 1
        if fault.count > 0 and fault.kind != "silence":
            fault.count -= 1
            if fault.count == 0:
                self.remove(fault.id)
        return True

    def striking(self, target: str, call: Call, when: str, kinds: tuple[str, ...] = ()) -> Iterator[Fault]:
        """The faults (of these kinds) that strike now: delays and touches up to the first of another kind, and that."""
        if not self._faults:
            return
        for fault in self.all():
            if fault.when == when and (not kinds or fault.kind in kinds) and self._use(fault, target, call):
                yield fault
                if fault.kind not in ("delay", "touch"):
                    return

    async def silence(self, fault: Fault) -> None:
        """Wait until the fault is taken away."""
        while fault.id in self._faults:
            await self._changed.wait()

    def seconds(self, fault: Fault) -> float:
        """How long a delay lasts: `delay:0.5`, or one by chance of `delay:0.1-2`."""
        low, _, high = fault.value.partition("-")
        if not high:
            return float(low)
        return self._dice.get(fault.id, random.Random(fault.seed)).uniform(float(low), float(high))

    # -- open watches

    @contextmanager
    def watching(self, watch: OpenWatch) -> Iterator[None]:
        self._open.add(watch)
        try:
            yield
        finally:
            self._open.discard(watch)

    @staticmethod
    def _strike(watch: OpenWatch, fault: Fault) -> None:
        if fault.kind == "reset":
            if watch.request.transport is not None:
                watch.request.transport.abort()
        elif fault.kind == "status":
            watch.problem = errors.failure(int(fault.value), f"injected fault {fault.id}", fault.retry_after)
        else:
            watch.ended = True
        watch.wake.set()
