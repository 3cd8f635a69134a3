"""Evaluating a PromQL tree at one moment against a source of series. Pure; times are Unix seconds.

Results: a float (scalar), a str (string), or a vector, a list of (labels, value). Raises PromQLError (400) for what
is not supported and ExecutionError (422) for series that cannot be combined.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lab.services.promql import functions
from lab.services.promql.ast import (
    Aggregate,
    Binary,
    Call,
    ExecutionError,
    Labels,
    Matcher,
    Negation,
    Node,
    Number,
    PromQLError,
    Range,
    Selector,
    Text,
)
from lab.services.promql.binary import combine
from lab.services.promql.functions import KEEPS_NAME, OVER_TIME, VALUES, Samples, Vector
from lab.services.promql.parser import without_name

Value = float | str | Vector
_MAX_SAMPLES = 12_000


class Source(Protocol):
    """Where series come from."""

    def instant(self, name: str, matchers: tuple[Matcher, ...], moment: float) -> Vector: ...

    def window(
        self, name: str, matchers: tuple[Matcher, ...], start: float, end: float
    ) -> list[tuple[Labels, Samples]]: ...


@dataclass(frozen=True)
class Moment:
    """One evaluation: where from and when."""

    source: Source
    time: float

    def value(self, node: Node) -> Value:
        """The result of a node."""
        match node:
            case Number():
                return node.value
            case Text():
                return node.value
            case Selector():
                return self.source.instant(node.name, node.matchers, self._then(node) - node.offset)
            case Negation():
                inner = self.value(node.inner)
                if isinstance(inner, list):
                    return [(without_name(labels), -value) for labels, value in inner]
                return -_scalar(inner)
            case Binary():
                return combine(node, self.value(node.left), self.value(node.right))
            case Aggregate():
                return self._aggregate(node)
            case Call():
                return self._call(node)
            case Range():
                raise PromQLError("invalid expression type range vector, must be Scalar or instant Vector")

    def _then(self, node: Selector | Range) -> float:
        return self.time if node.at is None else node.at

    def vector(self, node: Node) -> Vector:
        found = self.value(node)
        if not isinstance(found, list):
            raise PromQLError("parse error: expected type instant vector")
        return found

    def scalar(self, node: Node) -> float:
        return _scalar(self.value(node))

    def windows(self, node: Node) -> tuple[list[tuple[Labels, Samples]], float, float]:
        """The samples of a range, its start and its end."""
        if not isinstance(node, Range):
            raise PromQLError("parse error: expected type range vector")
        end = self._then(node) - node.offset
        if isinstance(node.inner, Selector) and not node.step:
            end -= node.inner.offset
            start = end - node.seconds
            return self.source.window(node.inner.name, node.inner.matchers, start, end), start, end
        start = end - node.seconds
        if node.seconds / node.step > _MAX_SAMPLES:
            raise ExecutionError("query processing would load too many samples into memory in query execution")
        found: dict[tuple[tuple[str, str], ...], tuple[Labels, Samples]] = {}
        at = (start // node.step + 1) * node.step
        while at <= end:
            for labels, value in Moment(self.source, at).vector(node.inner):
                found.setdefault(tuple(sorted(labels.items())), (labels, []))[1].append((at, value))
            at += node.step
        return list(found.values()), start, end

    # -- aggregation

    def _aggregate(self, node: Aggregate) -> Vector:
        vector = self.vector(node.inner)
        groups: dict[tuple[tuple[str, str], ...], Vector] = {}
        for labels, value in vector:
            if node.without:
                kept = {k: v for k, v in labels.items() if k not in node.labels and k != "__name__"}
            else:
                kept = {k: labels[k] for k in node.labels if k in labels}
            groups.setdefault(tuple(sorted(kept.items())), []).append((labels, value))
        parameter = self.scalar(node.parameter) if node.parameter is not None else math.nan
        if node.op in ("topk", "bottomk"):
            count = max(int(parameter), 0)
            result: Vector = []
            for members in groups.values():
                result += sorted(members, key=lambda each: each[1], reverse=node.op == "topk")[:count]
            return result
        return [(dict(key), _reduce(node.op, [v for _, v in m], parameter)) for key, m in groups.items()]

    # -- functions

    def _call(self, node: Call) -> Value:
        name, args = node.function, node.args
        if name in OVER_TIME:
            _arity(node, 1)
            return self._over_time(args[0], OVER_TIME[name], name in KEEPS_NAME)
        if name in VALUES:
            return self._values(node)
        special = _SPECIAL.get(name)
        if special is None:
            raise PromQLError(f"unknown function with name {name!r}, or one that the lab's embedded Prometheus lacks")
        low, high, run = special
        if not low <= len(args) <= high:
            raise PromQLError(f"expected {low} argument(s) in call to {name!r}, got {len(args)}")
        return run(self, args)

    def _over_time(self, arg: Node, reduce: functions.OverTime, keeps_name: bool) -> Vector:
        windows, start, end = self.windows(arg)
        found: Vector = []
        for labels, samples in windows:
            value = reduce(samples, start, end)
            if value is not None:
                found.append((labels if keeps_name else without_name(labels), value))
        return found

    def _values(self, node: Call) -> Vector:
        if not node.args:
            return [({}, VALUES[node.function](self.time))]
        rest = [self.scalar(arg) for arg in node.args[1:]]
        try:
            vector = self.vector(node.args[0])
            return [(without_name(labels), VALUES[node.function](value, *rest)) for labels, value in vector]
        except TypeError as error:
            raise PromQLError(f"wrong number of arguments in call to {node.function!r}") from error


def _scalar(value: Value) -> float:
    if isinstance(value, (list, str)):
        raise PromQLError("parse error: expected type scalar")
    return value


def _arity(node: Call, count: int) -> None:
    if len(node.args) != count:
        raise PromQLError(f"expected {count} argument(s) in call to {node.function!r}, got {len(node.args)}")


def _sum(values: list[float]) -> float:
    return math.fsum(values) if all(math.isfinite(value) for value in values) else sum(values)


def _reduce(op: str, values: list[float], parameter: float) -> float:
    match op:
        case "sum":
            return _sum(values)
        case "avg":
            return (
                math.fsum(values) / len(values) if all(math.isfinite(v) for v in values) else sum(values) / len(values)
            )
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "count":
            return float(len(values))
        case "stddev":
            return math.sqrt(functions.variance(values))
        case "stdvar":
            return functions.variance(values)
        case "quantile":
            return functions.quantile(parameter, values)
        case _:
            return 1.0


# -- functions that are not element by element


def _text(moment: Moment, node: Node) -> str:
    value = moment.value(node)
    if not isinstance(value, str):
        raise PromQLError("parse error: expected type string")
    return value


def _implied_labels(node: Node) -> Labels:
    """What absent() gives: the labels that the selector's equality matchers name."""
    selector = node.inner if isinstance(node, Range) else node
    if not isinstance(selector, Selector):
        return {}
    labels: Labels = {}
    dropped: set[str] = set()
    for each in selector.matchers:
        if each.op != "=" or each.name in labels:
            dropped.add(each.name)
        else:
            labels[each.name] = each.value
    return {key: value for key, value in labels.items() if key not in dropped and key != "__name__" and value}


def _absent(moment: Moment, args: tuple[Node, ...]) -> Value:
    return [] if moment.vector(args[0]) else [(_implied_labels(args[0]), 1.0)]


def _absent_over_time(moment: Moment, args: tuple[Node, ...]) -> Value:
    windows, _start, _end = moment.windows(args[0])
    return [] if any(samples for _, samples in windows) else [(_implied_labels(args[0]), 1.0)]


def _vector(moment: Moment, args: tuple[Node, ...]) -> Value:
    return [({}, moment.scalar(args[0]))]


def _scalar_of(moment: Moment, args: tuple[Node, ...]) -> Value:
    vector = moment.vector(args[0])
    return vector[0][1] if len(vector) == 1 else math.nan


def _timestamp(moment: Moment, args: tuple[Node, ...]) -> Value:
    return [(without_name(labels), moment.time) for labels, _ in moment.vector(args[0])]


def _sorted(reverse: bool) -> Callable[[Moment, tuple[Node, ...]], Value]:
    return lambda moment, args: sorted(moment.vector(args[0]), key=lambda each: each[1], reverse=reverse)


def _label_replace(moment: Moment, args: tuple[Node, ...]) -> Value:
    target, replacement, source, pattern = (_text(moment, arg) for arg in args[1:])
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise PromQLError(f"invalid regular expression in label_replace(): {pattern}") from error
    template = re.sub(r"\$\{?(\w+)\}?", r"\\g<\1>", replacement.replace("\\", r"\\"))
    found: Vector = []
    for labels, value in moment.vector(args[0]):
        match = compiled.fullmatch(labels.get(source, ""))
        found.append((_with_label(labels, target, match.expand(template)) if match else labels, value))
    return found


def _label_join(moment: Moment, args: tuple[Node, ...]) -> Value:
    target, separator, *sources = (_text(moment, arg) for arg in args[1:])
    return [
        (_with_label(labels, target, separator.join(labels.get(source, "") for source in sources)), value)
        for labels, value in moment.vector(args[0])
    ]


def _with_label(labels: Labels, name: str, value: str) -> Labels:
    rest = {key: text for key, text in labels.items() if key != name}
    return {**rest, name: value} if value else rest


def _histogram_quantile(moment: Moment, args: tuple[Node, ...]) -> Value:
    return functions.histogram_quantile(moment.scalar(args[0]), moment.vector(args[1]))


def _quantile_over_time(moment: Moment, args: tuple[Node, ...]) -> Value:
    q = moment.scalar(args[0])
    windows, _start, _end = moment.windows(args[1])
    return [
        (without_name(labels), functions.quantile(q, [v for _, v in samples])) for labels, samples in windows if samples
    ]


def _predict_linear(moment: Moment, args: tuple[Node, ...]) -> Value:
    ahead = moment.scalar(args[1])
    windows, _start, _end = moment.windows(args[0])
    found: Vector = []
    for labels, samples in windows:
        if len(samples) >= 2:
            slope, first = functions.line(samples)
            found.append((without_name(labels), first + slope * (moment.time - samples[0][0] + ahead)))
    return found


_SPECIAL: dict[str, tuple[int, int, Callable[[Moment, tuple[Node, ...]], Value]]] = {
    "time": (0, 0, lambda moment, _args: moment.time),
    "pi": (0, 0, lambda _moment, _args: math.pi),
    "vector": (1, 1, _vector),
    "scalar": (1, 1, _scalar_of),
    "absent": (1, 1, _absent),
    "absent_over_time": (1, 1, _absent_over_time),
    "timestamp": (1, 1, _timestamp),
    "sort": (1, 1, _sorted(False)),
    "sort_desc": (1, 1, _sorted(True)),
    "label_replace": (5, 5, _label_replace),
    "label_join": (3, 20, _label_join),
    "histogram_quantile": (2, 2, _histogram_quantile),
    "quantile_over_time": (2, 2, _quantile_over_time),
    "predict_linear": (2, 2, _predict_linear),
}
