"""Label and field selectors: parsing with the API server's refusals, and matching."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lab.api.errors import Obj, bad_request

_NAME = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"^({_NAME})\s+(in|notin)\s*\(([^()]*)\)$")
_EQUAL = re.compile(rf"^({_NAME})\s*(==|=|!=)\s*({_VALUE})$")
_ORDER = re.compile(rf"^({_NAME})\s*(<|>)\s*(\d+)$")
_EXISTS = re.compile(rf"^(!?)\s*({_NAME})$")

LabelTest = Callable[[Obj], bool]


def _split(text: str) -> list[str]:
    """Split at commas that are not inside parentheses."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _requirement(text: str) -> LabelTest:
    if match := _SET.match(text):
        key, operator, inside = match.groups()
        values = {value.strip() for value in inside.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUAL.match(text):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _ORDER.match(text):
        key, operator, bound = match.groups()
        return lambda labels: _ordered(labels.get(key), operator, int(bound))
    if match := _EXISTS.match(text):
        absent, key = match.groups()
        return (lambda labels: key not in labels) if absent else (lambda labels: key in labels)
    raise bad_request(f'unable to parse requirement: found "{text}", expected a label requirement')


def _ordered(value: object, operator: str, bound: int) -> bool:
    if not isinstance(value, str) or not value.lstrip("-").isdigit():
        return False
    return int(value) < bound if operator == "<" else int(value) > bound


def parse_labels(text: str) -> list[LabelTest]:
    """The tests of a `labelSelector`. Raises ApiError 400."""
    return [_requirement(part) for part in _split(text)]


def match_label_selector(selector: Obj, labels: Obj) -> bool:
    """A LabelSelector object (matchLabels, matchExpressions) against labels; an empty one matches all."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(each, labels) for each in selector.get("matchExpressions") or [])


def _expression(expression: Obj, labels: Obj) -> bool:
    key, values = expression.get("key", ""), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def selector_text(selector: Obj) -> str:
    """A LabelSelector object in the string form that `/scale` reports."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression.get("key", ""), ",".join(sorted(expression.get("values") or []))
        match expression.get("operator"):
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
    return ",".join(parts)


def field_value(obj: Obj, path: str) -> str:
    """The text a field selector compares with; absent reads as empty, booleans as true/false."""
    value: object = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict) and path == "source":
        value = value.get("component")
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return _ABSENT.get(path, "")
    return str(value)


_ABSENT = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "status.successful": "0",
}


@dataclass(frozen=True, slots=True)
class Selector:
    """Both selectors of a list or watch. Empty selects everything."""

    labels: tuple[LabelTest, ...] = ()
    fields: tuple[tuple[str, str, str], ...] = ()

    @property
    def empty(self) -> bool:
        return not self.labels and not self.fields

    @property
    def name(self) -> str:
        """The only name that can match, or ""."""
        return next((value for path, op, value in self.fields if path == "metadata.name" and op == "="), "")

    def matches(self, obj: Obj) -> bool:
        if self.labels:
            labels = obj["metadata"].get("labels") or {}
            if not all(test(labels) for test in self.labels):
                return False
        return all((field_value(obj, path) == value) == (op == "=") for path, op, value in self.fields)


def parse_selector(label_text: str, field_text: str, allowed: tuple[str, ...]) -> Selector:
    """The selector of a request; `allowed` are the kind's field labels. Raises ApiError 400."""
    fields = []
    for part in _split(field_text):
        match = re.match(r"^([^=!]+?)(==|=|!=)(.*)$", part)
        if not match:
            raise bad_request(f"invalid selector: '{field_text}'; can't understand '{part}'")
        path, operator, value = match.groups()
        if path not in ("metadata.name", "metadata.namespace", *allowed):
            raise bad_request(f"field label not supported: {path}")
        fields.append((path, "!=" if operator == "!=" else "=", value))
    return Selector(tuple(parse_labels(label_text)), tuple(fields))
