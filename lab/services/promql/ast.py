"""The tree of a PromQL expression."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

Labels = dict[str, str]


class PromQLError(Exception):
    """The expression cannot be read or is not supported: `bad_data`, HTTP 400."""

    kind = "bad_data"
    status = 400


class ExecutionError(PromQLError):
    """The expression is fine but cannot be carried out on these series: `execution`, HTTP 422."""

    kind = "execution"
    status = 422


@dataclass(frozen=True)
class Matcher:
    """One label condition of a selector."""

    name: str
    op: str
    value: str
    pattern: re.Pattern[str] | None = field(default=None, compare=False)

    def fits(self, labels: Labels) -> bool:
        have = labels.get(self.name, "")
        if self.pattern is not None:
            return (self.pattern.fullmatch(have) is not None) == (self.op == "=~")
        return (have == self.value) == (self.op == "=")


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Text:
    value: str


@dataclass(frozen=True)
class Selector:
    """An instant vector selector; `offset` in seconds, `at` the Unix time of an `@` modifier."""

    name: str
    matchers: tuple[Matcher, ...]
    offset: float = 0.0
    at: float | None = None


@dataclass(frozen=True)
class Range:
    """A range of an instant vector; `step` is 0 but for subqueries. Seconds."""

    inner: Node
    seconds: float
    step: float = 0.0
    offset: float = 0.0
    at: float | None = None


@dataclass(frozen=True)
class Call:
    function: str
    args: tuple[Node, ...]


@dataclass(frozen=True)
class Aggregate:
    op: str
    inner: Node
    labels: tuple[str, ...]
    without: bool
    parameter: Node | None = None


@dataclass(frozen=True)
class Matching:
    """How the two sides of a binary operation are paired."""

    on: bool = False
    labels: tuple[str, ...] = ()
    group: str = ""
    include: tuple[str, ...] = ()


@dataclass(frozen=True)
class Binary:
    op: str
    left: Node
    right: Node
    matching: Matching
    returns_bool: bool = False


@dataclass(frozen=True)
class Negation:
    inner: Node


Node = Number | Text | Selector | Range | Call | Aggregate | Binary | Negation


def calls(node: Node) -> set[str]:
    """The names of all functions that an expression calls."""
    found: set[str] = set()
    waiting: list[Node] = [node]
    while waiting:
        match waiting.pop():
            case Call(function, args):
                found.add(function)
                waiting += args
            case Range(inner) | Negation(inner):
                waiting.append(inner)
            case Aggregate(_, inner, _, _, parameter):
                waiting += [inner, *([parameter] if parameter is not None else [])]
            case Binary(_, left, right):
                waiting += [left, right]
    return found
