"""YAML documents a person pasted, read strictly: what kubectl and YAML 1.2 read differently is refused, with its line.

kubectl's reader knows YAML 1.1 words (``yes`` is true) and octal numbers (``0644``); others do not. Anchors, aliases,
tags and merge keys are refused: they make small text large, and hide what a plan should show. Knows no Kubernetes.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import yaml

#: bytes of UTF-8
LARGEST = 64 * 1024
_DEEPEST = 40
_WORDS = {"yes", "no", "on", "off", "y", "n"}
_CONSTANTS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: value for value, text in ((True, "true"), (False, "false")) for word in (text, text.title(), text.upper())
}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_OCTAL = re.compile(r"0o?[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+)")
#: read as a number by one reader and as text by another
_DOUBTFUL = re.compile(
    r"[-+]?(0[0-9_]+|[0-9][0-9_]*_[0-9_]*|0b[01_]+|[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?|\.(inf|nan))", re.IGNORECASE
)

_LARGEST_INT = 2**63
_LONGEST_INT = 70


class Document(NamedTuple):
    """One document and the line (from 1) it begins at."""

    line: int
    body: dict[str, Any]


def documents(text: str) -> tuple[Document, ...]:
    """Every document that says something. :raises ValueError: one sentence with the line."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LARGEST:
        raise ValueError(f"The manifests are {size} bytes long; at most {LARGEST} are read")
    found = []
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            body = _value(node)
            if body is None:
                continue
            if not isinstance(body, dict):
                raise ValueError(f"Line {_line(node)}: a document must be an object with apiVersion and kind")
            found.append(Document(_line(node), body))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"Line {mark.line + 1}: " if mark is not None else ""
        raise ValueError(f"{where}this is not YAML ({error.problem or error.context or 'unreadable'})") from None
    except yaml.YAMLError as error:
        raise ValueError(f"This is not YAML ({' '.join(str(error).split())[:120]})") from None
    return tuple(found)


class _Loader(yaml.SafeLoader):
    """Composes nodes and resolves nothing: plain scalars keep their text."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.events.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError(f"Line {line}: anchors and aliases are not read; write the value out")
        if getattr(event, "tag", None):
            raise ValueError(f"Line {line}: tags like {event.tag} are not read; leave it out")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"Line {line}: nested more than {_DEEPEST} deep")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _value(node: yaml.Node | None) -> Any:
    if node is None:
        return None
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(key_node)
            if key in found:
                raise ValueError(f"Line {_line(key_node)}: the key {key} stands twice")
            found[key] = _value(value_node)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(inner) for inner in node.value]
    assert isinstance(node, yaml.ScalarNode)
    text = _text(node)
    return text if node.style else _plain(text, _line(node))


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.value == "<<":
        raise ValueError(f"Line {_line(node)}: a key must be plain text, and merge keys are not read")
    if not node.style and not isinstance(_plain(node.value, _line(node)), str):
        raise ValueError(f"Line {_line(node)}: the key {node.value} must be in quotes, else it is no text")
    return _text(node)


def _text(node: yaml.ScalarNode) -> str:
    """The text of a scalar. JSON may write one character as two escaped halves."""
    text = str(node.value)
    try:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ValueError(f"Line {_line(node)}: text with half a character cannot be kept") from None
    if "\0" in whole:
        raise ValueError(f"Line {_line(node)}: text with a NUL cannot be kept")
    return whole


def _plain(text: str, line: int) -> Any:
    """A scalar without quotes, as kubectl reads it."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text.lower() in _WORDS:
        raise ValueError(f"Line {line}: {text} is true or false to some readers and text to others; put it in quotes")
    for pattern, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(text) and len(text) < _LONGEST_INT:
            return _bounded(int(text, base), text, line)
    if _DOUBTFUL.fullmatch(text):
        raise ValueError(f"Line {line}: {text} is a number to some readers and text to others; put it in quotes")
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"Line {line}: {text} is too large a number")
        return number
    return text


def _bounded(number: int, text: str, line: int) -> int:
    if not -_LARGEST_INT <= number < _LARGEST_INT:
        raise ValueError(f"Line {line}: {text} is too large a number")
    return number


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
