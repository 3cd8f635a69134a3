"""Edits of Helm values: ``path=value`` read, applied to plain data, and applied to YAML text that people wrote.

The text stays text: only the lines of what changes are touched, comments and order stay. The edited text is read again
and must say exactly what the edits say, else it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import yaml

from common.redaction import is_sensitive_key, redact
from deployments.catalogue import texts
from deployments.catalogue.argo import yaml_text
from deployments.catalogue.argo.helm import read_yaml

#: more edits in one plan are no longer read by anyone
MOST = 50
_SEGMENT = re.compile(r"[A-Za-z0-9_./ -]{1,253}")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,12})?")
_OPENING, _CLOSING = "[{", "]}"
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class Edit:
    """One value to set, or to take out (``remove``): then the chart's own default is in force again."""

    path: tuple[str, ...]
    value: Any = None
    remove: bool = False

    @property
    def name(self) -> str:
        """``a.b\\.c``, as it is written."""
        return ".".join(part.replace(".", "\\.") for part in self.path)

    def __str__(self) -> str:
        return f"{self.name}-" if self.remove else f"{self.name}={json.dumps(self.value, ensure_ascii=False)}"


def setting(wanted: Mapping[str, Any]) -> tuple[Edit, ...]:
    """Edits from ``{"grafana.persistence.enabled": False}``, for other actions; a dot in a key is ``\\.``."""
    return tuple(Edit(_path(name), value) for name, value in wanted.items())


def parse(text: str) -> tuple[Edit, ...]:
    """Edits of ``a.b=true, c.d=[1, 2], e.f-`` (commas or lines between them; a dot in a key is ``\\.``).

    Values are JSON, or plain text; ``a.b-`` takes the key out. :raises ValueError: one sentence.
    """
    edits: list[Edit] = []
    for part in _split(text):
        name, equals, raw = part.partition("=")
        if not equals and name.endswith("-"):
            edits.append(Edit(_path(name[:-1].strip()), remove=True))
            continue
        if not equals:
            raise ValueError(f"“{_short(part)}” is neither path=value nor path-")
        edits.append(Edit(_path(name.strip()), _value(raw.strip(), name.strip())))
    if not edits:
        raise ValueError("name at least one path=value")
    if len(edits) > MOST:
        raise ValueError(f"{len(edits)} values are too many for one plan; at most {MOST}")
    _apart(edits)
    return tuple(sorted(edits, key=lambda e: e.path))


def credential(edits: Iterable[Edit]) -> str:
    """The first edit that would write a credential into a plan, by its name; empty when none does."""
    for edit in edits:
        if not edit.remove and _holds_credential(edit.path[-1], edit.value):
            return edit.name
    return ""


def applied(values: Mapping[str, Any], edits: Iterable[Edit]) -> dict[str, Any]:
    """Plain values with the edits. A map that becomes empty is taken out. :raises ValueError: a path leads through
    something that is no map."""
    result = dict(values)
    for edit in edits:
        result = _with(result, edit.path, edit)
    return result


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The YAML text with the edits, every other line as it was: also where a value is so already, however it is
    written there. :raises ValueError: one sentence."""
    now = _loaded(text)
    changed = text
    for edit in edits:
        wanted = applied(now, (edit,))
        if not same(now, wanted):
            changed = _edit(changed, edit)
        now = wanted
    if not same(_loaded(changed), now):
        raise ValueError("the values are written in a way that cannot be edited safely; change them in Git")
    return changed


def same(one: Any, other: Any) -> bool:
    """Whether two values of YAML mean the same to Helm: a number is one however it is written, true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _loaded(text: str) -> dict[str, Any]:
    if yaml_text.compose(text) is None:
        return {}
    found = read_yaml(text)
    if not isinstance(found, dict):
        raise ValueError("the values are no YAML map that can be read")
    return found


# -- reading edits


def _split(text: str) -> list[str]:
    """Parts between commas and line ends that stand outside brackets and quotes."""
    parts, part, depth, quoted, skip = [], "", 0, False, False
    for char in text:
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif char == '"':
            quoted = not quoted
        elif not quoted and char in _OPENING:
            depth += 1
        elif not quoted and char in _CLOSING:
            depth -= 1
        elif not quoted and depth <= 0 and char in ",\n":
            parts.append(part)
            part = ""
            continue
        part += char
    return [p.strip() for p in (*parts, part) if p.strip()]


def _path(name: str) -> tuple[str, ...]:
    parts = tuple(p.replace("\0", ".") for p in name.replace("\\.", "\0").split("."))
    if "[" in name:
        raise ValueError(f"“{_short(name)}”: a list is set whole, not by an index")
    if not all(_SEGMENT.fullmatch(p) for p in parts) or len(parts) > 20:
        raise ValueError(f"“{_short(name)}” is not a path of values such as grafana.persistence.enabled")
    return parts


def _value(raw: str, name: str) -> Any:
    if raw == "null":
        raise ValueError(f"“{_short(name)}”: null is not set; write {_short(name)}- to take the key out")
    if raw in ("true", "false"):
        return raw == "true"
    if raw[:1] in ("[", "{", '"') or _NUMBER.fullmatch(raw):
        try:
            value = msgspec.json.decode(raw)
        except (ValueError, RecursionError):
            raise ValueError(f"“{_short(name)}”: the value is not JSON") from None
        # JSON writes any character as an escape, so what was refused in the parameter may be here again
        why = texts.refused(value, lines=True, placeholders=False)
        if why:
            raise ValueError(f"“{_short(name)}” {why}")
        return value
    return raw


def _apart(edits: Sequence[Edit]) -> None:
    """No two edits may speak of the same value: their order would decide."""
    for first, second in pairwise(sorted(e.path for e in edits)):
        if second[: len(first)] == first:
            raise ValueError(f"{'.'.join(first)} and {'.'.join(second)} speak of the same value")


def _holds_credential(name: str, value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_credential(str(k), v) for k, v in value.items())
    if isinstance(value, list):
        return any(_holds_credential(name, v) for v in value)
    if isinstance(value, bool) or value in (None, ""):
        return False
    return is_sensitive_key(name) or redact(str(value), 100_000) != str(value)


def _short(text: str) -> str:
    return redact(text, 80)


# -- plain data


def _with(values: dict[str, Any], path: tuple[str, ...], edit: Edit) -> dict[str, Any]:
    head, *rest = path
    result = dict(values)
    if not rest:
        if edit.remove:
            result.pop(head, None)
        else:
            result[head] = edit.value
        return result
    inner = result.get(head)
    if inner is None:
        inner = {}
    if not isinstance(inner, dict):
        raise ValueError(f"{head} is no map, so {edit.name} cannot be set in it")
    if edit.remove and head not in result:
        return result
    below = _with(inner, tuple(rest), edit)
    if edit.remove and not below:
        result.pop(head, None)
    else:
        result[head] = below
    return result


# -- text


def _edit(text: str, edit: Edit) -> str:
    root = yaml_text.compose(text)
    if root is None:
        return text if edit.remove else _appended(text, edit.path, edit.value, 0)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("the values are no map")
    node: yaml.MappingNode = root
    for depth, name in enumerate(edit.path):
        pair = next(((k, v) for k, v in node.value if k.value == name), None)
        if node.flow_style:
            return text if edit.remove and pair is None else _in_flow(text, node, edit.path[depth:], edit)
        if pair is None:
            return text if edit.remove else _inserted(text, node, edit.path[depth:], edit.value)
        key, value = pair
        if depth == len(edit.path) - 1:
            return _removed(text, root, edit.path) if edit.remove else _replaced(text, key, value, edit.value)
        if isinstance(value, yaml.MappingNode):
            node = value
            continue
        if value.tag != _NULL:
            raise ValueError(f"{name} is no map, so {edit.name} cannot be set in it")
        return text if edit.remove else _replaced(text, key, value, _nested(edit.path[depth + 1 :], edit.value))
    return text


def _nested(path: tuple[str, ...], value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


def _appended(text: str, path: tuple[str, ...], value: Any, indent: int) -> str:
    start = text if not text or text.endswith("\n") else f"{text}\n"
    return start + "\n".join(yaml_text.block(path[0], _nested(path[1:], value), indent)) + "\n"


def _inserted(text: str, node: yaml.MappingNode, path: tuple[str, ...], value: Any) -> str:
    """A new key after the last line of a block mapping, in the column of its keys."""
    lines = text.splitlines()
    new = yaml_text.block(path[0], _nested(path[1:], value), node.value[0][0].start_mark.column)
    return _joined(text, lines, yaml_text.last_line(node, lines) + 1, 0, new)


def _replaced(text: str, key: yaml.ScalarNode, value: yaml.Node, new: Any) -> str:
    lines = text.splitlines()
    first, last = value.start_mark, value.end_mark
    plain = isinstance(value, yaml.ScalarNode) and first.line == last.line == key.start_mark.line
    if plain and not isinstance(new, dict | list) and first.index < last.index:
        return text[: first.index] + yaml_text.inline(new) + text[last.index :]
    end = max(key.end_mark.line, yaml_text.last_line(value, lines))
    start = key.start_mark.line
    return _joined(text, lines, start, end + 1 - start, yaml_text.block(key.value, new, key.start_mark.column))


def _removed(text: str, root: yaml.MappingNode, path: tuple[str, ...]) -> str:
    """Without the key, and without the maps above it that it would leave empty."""
    lines, node, cut = text.splitlines(), root, None
    for name in path:
        key, value = next((k, v) for k, v in node.value if k.value == name)
        if len(node.value) > 1 or cut is None:
            cut = (key, value)
        if isinstance(value, yaml.MappingNode):
            node = value
    assert cut is not None
    key, value = cut
    start, end = key.start_mark.line, max(key.end_mark.line, yaml_text.last_line(value, lines))
    return _joined(text, lines, start, end + 1 - start, [])


def _in_flow(text: str, node: yaml.MappingNode, path: tuple[str, ...], edit: Edit) -> str:
    """``{a: 1, b: 2}`` is written anew as a whole."""
    first, last = node.start_mark.index, node.end_mark.index
    inner = read_yaml(text[first:last])
    if not isinstance(inner, dict):
        raise ValueError("a map in braces cannot be read")
    return text[:first] + yaml_text.inline(_with(inner, path, edit)) + text[last:]


def _joined(text: str, lines: list[str], at: int, gone: int, new: list[str]) -> str:
    result = [*lines[:at], *new, *lines[at + gone :]]
    end = "\n" if text.endswith("\n") or not text else ""
    return "\n".join(result) + (end if result else "")
