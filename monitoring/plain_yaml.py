"""YAML that somebody else wrote, read in bounded time and memory, to the values that JSON knows. Pure.

The rules are those of the readers in Kubernetes, Helm and Argo CD (goyaml.v2 through sigs.k8s.io/yaml), not Python's:
keys become text, dates and ``10:30`` stay text, numbers beyond 64 bits become inexact, infinity is refused. So is what
makes small text large or runs constructors: aliases and tags. libyaml does the work, as pure Python needs ten seconds
for half a megabyte; its composer recurses in C and would take the process down, so depth is looked at first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from typing import Any

import yaml

#: nested deeper, nothing is read
DEEPEST = 60
#: digits of a number; longer ones are refused
_DIGITS = 400
_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))
_INT, _FLOAT = _TAGS[1], _TAGS[2]
#: numbers without the sixty-based ones of YAML 1.1, and with ``1e5``
_INTS = re.compile(r"[-+]?(?:0b[01_]+|0[0-7_]*|[1-9][0-9_]*|0x[0-9a-fA-F_]+)")
_FLOATS = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(text: str, limit: int) -> Any | None:
    """The document; None when it is longer than ``limit`` characters, is no YAML, or is not read here. Never raises."""
    if len(text) > limit:
        return None
    try:
        return yaml.load(text, Loader=_Loader) if _harmless(text) else None  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError):
        return None


def compose(text: str) -> yaml.Node | None:
    """The tree of a text with places, nothing in it resolved; None for a text that says nothing.

    :raises yaml.YAMLError: no YAML, or several documents. :raises ValueError: it is not read here.
    """
    if not _harmless(text):
        raise ValueError("aliases, tags or too deep")
    # pure Python, because places are counted in characters here
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    return node


def compose_all(text: str) -> list[yaml.Node]:
    """The trees of all documents of a text, as :func:`compose` makes one. :raises yaml.YAMLError, ValueError:"""
    if not _harmless(text):
        raise ValueError("aliases, tags or too deep")
    return list(yaml.compose_all(text, Loader=yaml.SafeLoader))


def load_all(text: str) -> list[Any]:
    """All documents of a text. :raises yaml.YAMLError: no YAML. :raises ValueError: it is not read here."""
    if not _harmless(text):
        raise ValueError("aliases, tags or too deep")
    return list(yaml.load_all(text, Loader=_Loader))


def _harmless(text: str) -> bool:
    """Whether it is without aliases and tags, nested no deeper than :data:`DEEPEST`."""
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        if isinstance(event, yaml.AliasEvent):
            return False
        if getattr(event, "tag", None) not in (None, *_TAGS):
            return False
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                return False
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return True


class _Loader(_Base):  # type: ignore[misc]  # chosen when it is imported
    """Values that JSON knows."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        self.flatten_mapping(node)
        return {_key(self.construct_object(k, deep=True)): self.construct_object(v, deep=deep) for k, v in node.value}

    def _number(self, node: Any) -> int | float:
        if len(node.value) > _DIGITS:
            raise ValueError("a number is too long")
        number: int = yaml.constructor.SafeConstructor.construct_yaml_int(self, node)
        return number if -(2**63) <= number < 2**64 else float(number)

    def _fraction(self, node: Any) -> float:
        number = float(node.value.replace("_", ""))
        if not math.isfinite(number):
            raise ValueError("JSON knows no such number")
        return number


def _key(key: Any) -> str:
    if isinstance(key, list | dict):
        raise ValueError("JSON knows no such key")
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    return str(key)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag in _TAGS and tag not in (_INT, _FLOAT)]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_implicit_resolvers["<"] = list(yaml.SafeLoader.yaml_implicit_resolvers["<"])
_Loader.add_implicit_resolver(_INT, re.compile(f"^(?:{_INTS.pattern})$"), list("-+0123456789"))
_Loader.add_implicit_resolver(_FLOAT, re.compile(f"^(?:{_FLOATS.pattern})$"), list("-+0123456789."))
_Loader.add_constructor(_INT, _Loader._number)
_Loader.add_constructor(_FLOAT, _Loader._fraction)
