"""Arithmetic, comparison and set operations between scalars and vectors, with vector matching. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

from lab.services.promql.ast import Binary, ExecutionError, Labels, Matching, PromQLError
from lab.services.promql.functions import Vector
from lab.services.promql.parser import COMPARISONS, SETS, without_name

Key = tuple[tuple[str, str], ...]
Operand = float | str | Vector


def _divide(left: float, right: float) -> float:
    if right != 0:
        return left / right
    return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1, right)


def _power(left: float, right: float) -> float:
    try:
        result = left**right
    except (OverflowError, ZeroDivisionError):
        return math.inf
    return math.nan if isinstance(result, complex) else float(result)


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divide,
    "%": lambda left, right: math.fmod(left, right) if right and math.isfinite(left) else math.nan,
    "^": _power,
}
_MANY = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def combine(node: Binary, left: Operand, right: Operand) -> float | Vector:
    """The result of a binary operation."""
    if isinstance(left, str) or isinstance(right, str):
        raise PromQLError("parse error: binary expression must contain only scalar and instant vector types")
    if node.op in SETS:
        if not isinstance(left, list) or not isinstance(right, list):
            raise PromQLError(f'parse error: set operator "{node.op}" not allowed in binary scalar expression')
        return _set(node, left, right)
    if isinstance(left, list) and isinstance(right, list):
        return _vectors(node, left, right)
    if isinstance(left, list):
        return _with_scalar(node, left, lambda value: (value, _number(right)))
    if isinstance(right, list):
        return _with_scalar(node, right, lambda value: (_number(left), value))
    if node.op in COMPARISONS:
        if not node.returns_bool:
            raise PromQLError("parse error: comparisons between scalars must use BOOL modifier")
        return float(_COMPARED[node.op](left, right))
    return _ARITHMETIC[node.op](left, right)


def _number(value: Operand) -> float:
    if isinstance(value, (list, str)):
        raise PromQLError("parse error: expected type scalar")
    return value


def _with_scalar(node: Binary, vector: Vector, sides: Callable[[float], tuple[float, float]]) -> Vector:
    found: Vector = []
    for labels, value in vector:
        left, right = sides(value)
        if node.op not in COMPARISONS:
            found.append((without_name(labels), _ARITHMETIC[node.op](left, right)))
        elif node.returns_bool:
            found.append((without_name(labels), float(_COMPARED[node.op](left, right))))
        elif _COMPARED[node.op](left, right):
            found.append((labels, value))
    return found


def _signature(labels: Labels, matching: Matching) -> Key:
    if matching.on:
        return tuple((name, labels.get(name, "")) for name in sorted(matching.labels))
    return tuple(sorted((k, v) for k, v in labels.items() if k not in matching.labels and k != "__name__"))


def _set(node: Binary, left: Vector, right: Vector) -> Vector:
    have = {_signature(labels, node.matching) for labels, _ in right}
    if node.op == "and":
        return [each for each in left if _signature(each[0], node.matching) in have]
    if node.op == "unless":
        return [each for each in left if _signature(each[0], node.matching) not in have]
    mine = {_signature(labels, node.matching) for labels, _ in left}
    return [*left, *(each for each in right if _signature(each[0], node.matching) not in mine)]


def _vectors(node: Binary, left: Vector, right: Vector) -> Vector:
    """One-to-one, or many-to-one with group_left / group_right."""
    many_left = node.matching.group != "right"
    many, one = (left, right) if many_left else (right, left)
    index: dict[Key, tuple[Labels, float]] = {}
    for labels, value in one:
        key = _signature(labels, node.matching)
        if key in index:
            raise ExecutionError(
                "found duplicate series for the match group on the "
                f"{'right' if many_left else 'left'} hand-side of the operation; many-to-many matching not allowed"
            )
        index[key] = (labels, value)
    found: Vector = []
    taken: set[Key] = set()
    for labels, value in many:
        key = _signature(labels, node.matching)
        if key not in index:
            continue
        if not node.matching.group and key in taken:
            raise ExecutionError(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            )
        taken.add(key)
        other_labels, other = index[key]
        pair = (value, other) if many_left else (other, value)
        result = _paired(node, pair)
        if result is not None:
            found.append((_result_labels(node, labels, other_labels), result))
    return found


def _paired(node: Binary, pair: tuple[float, float]) -> float | None:
    if node.op not in COMPARISONS:
        return _ARITHMETIC[node.op](*pair)
    holds = _COMPARED[node.op](*pair)
    if node.returns_bool:
        return float(holds)
    return pair[0] if holds else None


def _result_labels(node: Binary, labels: Labels, other: Labels) -> Labels:
    keeps_name = node.op in COMPARISONS and not node.returns_bool
    result = dict(labels) if keeps_name else without_name(labels)
    matching = node.matching
    if matching.group:
        for name in matching.include:
            if other.get(name):
                result[name] = other[name]
            else:
                result.pop(name, None)
        return result
    if matching.on:
        return {name: result[name] for name in matching.labels if name in result}
    return {name: value for name, value in result.items() if name not in matching.labels}
