"""Edits of Helm values made in the real text of a file from Git: a manifest of an Application, or a file of values.

Only the lines of what changes are touched; comments, order and other documents of the file stay byte for byte. The
result is read again and must differ in the values alone, and there exactly as the edits say. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import yaml

from common.redaction import is_sensitive_key
from deployments.catalogue.argo import credentials, yaml_text
from deployments.catalogue.argo.helm import LIMIT
from deployments.catalogue.argo.values import Edit, edited
from monitoring import plain_yaml

_END = re.compile(r"(?:---|\.\.\.)(?:\s|$)")
_OTHER_ENDS = re.compile("[\r\x85\u2028\u2029]")
_PLAIN_TAGS = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"}
_BY_HAND = "change it there by hand"
Path = tuple[str | int, ...]


def blob_sha(text: str) -> str:
    """How Git names a file of this content."""
    data = text.encode()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def holds(text: str, application: str, namespace: str) -> bool:
    """Whether a file of manifests holds this Application. False for what cannot be read."""
    try:
        return len(_found(text, application, namespace)) == 1
    except ValueError:
        return False


def changed(text: str, application: str, namespace: str, edits: Sequence[Edit]) -> str:
    """The text of the file with the edits; ``application`` empty: the file is values itself.

    :raises ValueError: one sentence without a full stop, with why it is not.
    """
    if not application:
        return edited(text, edits)
    found = _found(text, application, namespace)
    if len(found) != 1:
        raise ValueError(f"the file holds Application {application} {len(found)} times")
    node = found[0]
    path, values = _values_of(node)
    block = values if isinstance(values, yaml.ScalarNode) else None
    result = _in_block(text, block, edits) if block is not None else _in_map(text, node, path, edits)
    _only_values_differ(text, result, application, namespace, path)
    return result


def credential_lines(text: str) -> set[int]:
    """The lines (from 0) of a file of YAML that hold a credential or a part of one, also inside texts such as
    ``values: |``. :raises ValueError: the text cannot be read, so nobody can say."""
    lines = text.splitlines()
    hidden = {n for n, line in enumerate(lines) if "#" in line and credentials.looks_like_one(line[line.index("#") :])}
    for document in _documents(text):
        for key, node in yaml_text.scalars(document):
            sensitive = is_sensitive_key(key)
            if node.style in ("|", ">") and not sensitive:
                hidden |= _hidden_in_block(lines, node)
            elif node.value and node.tag not in _PLAIN_TAGS and (sensitive or credentials.looks_like_one(node.value)):
                hidden |= set(range(node.start_mark.line, node.end_mark.line + 1))
    return hidden


def _hidden_in_block(lines: list[str], node: yaml.ScalarNode) -> set[int]:
    """Of a text that is YAML itself the lines that hold one; of another text all of them, in case it holds one."""
    first, end, indent = _extent(lines, node)
    try:
        return {first + line for line in credentials.lines_of("".join(f"{x[indent:]}\n" for x in lines[first:end]))}
    except ValueError:
        return set(range(first, end))


def _extent(lines: list[str], node: yaml.ScalarNode) -> tuple[int, int, int]:
    """The lines of a block's text (from, to), and how deep they are indented."""
    first, end = node.start_mark.line + 1, node.end_mark.line + (node.end_mark.column > 0)
    end = min(end, len(lines))
    while end > first and not lines[end - 1].strip():
        end -= 1
    filled = next((line for line in lines[first:end] if line.strip()), "")
    return first, end, len(filled) - len(filled.lstrip(" "))


def _documents(text: str) -> list[yaml.Node]:
    if len(text) > LIMIT:
        raise ValueError("the file is too long to be changed here")
    if _OTHER_ENDS.search(text):
        raise ValueError(f"the file has line ends other than \\n; {_BY_HAND}")
    try:
        return plain_yaml.compose_all(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ValueError(f"the file is no YAML that can be read here (templates, aliases?); {_BY_HAND}") from None


def _found(text: str, application: str, namespace: str) -> list[yaml.MappingNode]:
    """The documents that are this Application."""
    found = []
    for node in _documents(text):
        if not isinstance(node, yaml.MappingNode) or _text(_at(node, "kind")) != "Application":
            continue
        meta = _at(node, "metadata")
        if _text(_at(meta, "name")) == application and _text(_at(meta, "namespace")) in ("", namespace):
            found.append(node)
    return found


def _at(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value of a key. :raises ValueError: it stands twice."""
    if not isinstance(node, yaml.MappingNode):
        return None
    values = [value for name, value in node.value if isinstance(name, yaml.ScalarNode) and name.value == key]
    if len(values) > 1:
        raise ValueError(f"{key} stands twice in it; {_BY_HAND}")
    return values[0] if values else None


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _values_of(node: yaml.MappingNode) -> tuple[Path, yaml.Node]:
    """The values of its only Helm source, and where they stand; ``valuesObject`` wins over a text."""
    spec = _at(node, "spec")
    listed = _at(spec, "sources")
    places: list[tuple[Path, yaml.Node | None]] = [(("source",), _at(spec, "source"))]
    if isinstance(listed, yaml.SequenceNode) and listed.value:
        places = [(("sources", index), item) for index, item in enumerate(listed.value)]
    helm = [(path, _at(source, "helm")) for path, source in places if _at(source, "helm") is not None]
    if len(helm) != 1:
        raise ValueError(f"the manifest has {len(helm)} sources with Helm settings, not one; {_BY_HAND}")
    path, settings = helm[0]
    for key in ("valuesObject", "values"):
        value = _at(settings, key)
        if value is not None:
            return ("spec", *path, "helm", key), value
    raise ValueError(f"the manifest sets no values of its own; {_BY_HAND}")


def _in_block(text: str, node: yaml.ScalarNode, edits: Sequence[Edit]) -> str:
    """``values: |``: its lines without their indent are YAML again."""
    if node.style != "|":
        raise ValueError(f"the values are not written as a block (values: |); {_BY_HAND}")
    lines = text.splitlines()
    first, end, indent = _extent(lines, node)
    block = "".join(f"{line[indent:]}\n" for line in lines[first:end])
    if first == end or block.rstrip("\n") != node.value.rstrip("\n"):
        raise ValueError(f"the block of values is written in a way that cannot be edited safely; {_BY_HAND}")
    after = edited(block, edits).splitlines()
    return _joined(text, lines, first, end, [" " * indent + line if line else "" for line in after])


def _in_map(text: str, node: yaml.MappingNode, path: Path, edits: Sequence[Edit]) -> str:
    """``valuesObject:``: edits of the document itself, each under that path."""
    if any(isinstance(part, int) for part in path):
        raise ValueError(f"the values are a map inside a list of sources; {_BY_HAND}")
    lines = text.splitlines()
    first = node.start_mark.line
    end = next((n for n in range(first, len(lines)) if _END.match(lines[n])), len(lines))
    prefix = tuple(str(part) for part in path)
    document = "".join(f"{line}\n" for line in lines[first:end])
    after = edited(document, [replace(edit, path=(*prefix, *edit.path)) for edit in edits]).splitlines()
    return _joined(text, lines, first, end, after)


def _joined(text: str, lines: list[str], first: int, end: int, new: list[str]) -> str:
    result = "\n".join([*lines[:first], *new, *lines[end:]])
    return f"{result}\n" if text.endswith("\n") else result


def _only_values_differ(before: str, after: str, application: str, namespace: str, path: Path) -> None:
    """:raises ValueError: something else of the file reads otherwise than before."""
    old, new = (_without(text, application, namespace, path) for text in (before, after))
    if old != new:
        raise ValueError(f"the change would reach beyond the values; {_BY_HAND}")


def _without(text: str, application: str, namespace: str, path: Path) -> list[Any]:
    """All documents as plain data, the values of the one left out."""
    try:
        documents = plain_yaml.load_all(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ValueError(f"the changed file could not be read; {_BY_HAND}") from None
    for document in documents:
        meta = document.get("metadata") if isinstance(document, dict) else None
        if not isinstance(meta, dict) or document.get("kind") != "Application" or meta.get("name") != application:
            continue
        if str(meta.get("namespace") or "") not in ("", namespace):
            continue
        here: Any = document
        for part in path[:-1]:
            there = isinstance(here, dict) and part in here
            here = here[part] if there or (isinstance(here, list) and isinstance(part, int)) else {}
        here.pop(path[-1], None)
    return documents
