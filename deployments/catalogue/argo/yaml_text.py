"""YAML text with places: where each value stands, so that text can be edited or masked and the rest stays as written.

Helm values inside an Application are text that people wrote, with comments and an order of their own. Loading and
dumping it would change every line; here only the lines of what changes are touched, and the result is read again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from deployments.catalogue.argo.helm import LIMIT
from monitoring import plain_yaml

#: a string that every YAML reader takes for the same string without quotes
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9 ._/-]*[A-Za-z0-9_/]|[A-Za-z]")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity", "undefined"}
_LINE_ENDS = re.compile("[\r\x85\u2028\u2029]")
_KEY = re.compile(r"[A-Za-z_/][A-Za-z0-9._/-]*")
_STEP = 2


class _Dumper(yaml.SafeDumper):
    """Quotes every string that YAML 1.1 and 1.2 could read differently."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - the base's
        super().increase_indent(flow, False)


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _string)


def compose(text: str) -> yaml.Node | None:
    """The tree of the text with places; None for a text that says nothing.

    :raises ValueError: too long, not YAML, several documents, aliases, or a key that stands twice.
    """
    if len(text) > LIMIT:
        raise ValueError("the text is too long")
    if _LINE_ENDS.search(text):
        raise ValueError("line ends other than \\n")
    try:
        node = plain_yaml.compose(text)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"not YAML{f', line {mark.line + 1}' if mark is not None else ''}") from None
    for found in nodes(node):
        if isinstance(found, yaml.MappingNode):
            keys = [k.value for k, _ in found.value if isinstance(k, yaml.ScalarNode)]
            if len(keys) != len(found.value) or len(keys) != len(set(keys)):
                raise ValueError(f"a key that stands twice or is no text, line {found.start_mark.line + 1}")
    return node


def nodes(node: yaml.Node | None) -> Iterator[yaml.Node]:
    """All values below and with this one; keys left out."""
    if node is None:
        return
    yield node
    below = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        below = [value for _, value in node.value]
    for inner in below:
        yield from nodes(inner)


def scalars(node: yaml.Node | None, key: str = "") -> Iterator[tuple[str, yaml.ScalarNode]]:
    """Every scalar with the name of the field it stands under; an ``env`` entry's value is named by its ``name``."""
    if isinstance(node, yaml.ScalarNode):
        yield key, node
    elif isinstance(node, yaml.SequenceNode):
        for inner in node.value:
            yield from scalars(inner, key)
    elif isinstance(node, yaml.MappingNode):
        names = {k.value: v for k, v in node.value if isinstance(k, yaml.ScalarNode)}
        label = names.get("name") if set(names) <= {"name", "value"} else None
        for name, value in names.items():
            told = label.value if isinstance(label, yaml.ScalarNode) and name == "value" else name
            yield from scalars(value, str(told))


def comments(text: str, root: yaml.Node | None) -> Iterator[tuple[int, int]]:
    """Where comments stand, from their ``#`` to the end of the line."""
    taken = bytearray(len(text) + 1)
    for node in nodes(root):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        for piece in (*(key for key, _ in pairs), node):
            if isinstance(piece, yaml.ScalarNode):
                start, end = piece.start_mark.index, piece.end_mark.index
                taken[start:end] = b"\1" * (end - start)
    at = 0
    for line in text.splitlines(keepends=True):
        begin = next((i for i, c in enumerate(line) if c == "#" and not taken[at + i]), None)
        if begin is not None:
            yield at + begin, at + len(line.rstrip("\n"))
        at += len(line)


def last_line(node: yaml.Node, lines: list[str]) -> int:
    """The last line (from 0) that has text of this value."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        if isinstance(last, tuple):
            key, value = last
            return max(int(key.end_mark.line), last_line(value, lines))
        return last_line(last, lines)
    end: int = node.end_mark.line
    if node.end_mark.column == 0 and end > node.start_mark.line:
        end -= 1
    while end > node.start_mark.line and (end >= len(lines) or not lines[end].strip()):
        end -= 1
    return end


def block(key: str, value: Any, indent: int) -> list[str]:
    """``key: value`` as lines of a block mapping, without line ends."""
    text = yaml.dump(
        {key: value},
        Dumper=_Dumper,
        default_flow_style=False,
        sort_keys=False,
        width=1_000_000,
        indent=_STEP,
        allow_unicode=True,
    )
    return [" " * indent + line if line else line for line in text.splitlines()]


def inline(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)}: {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


def _key(text: str) -> str:
    return text if _KEY.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)
