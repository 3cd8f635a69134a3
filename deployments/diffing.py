"""Objects as flat leaves: fingerprints, field-level differences, pre-images. Pure; secrets never come out of here.

A leaf is ``path → scalar``. Secret data, credential-like keys and text in which :func:`common.redaction.redact` finds
a credential become keyed hashes *before* anything else is done with them, also inside YAML strings (``helm.values``),
whose own leaves are listed as ``spec.source.helm.values:grafana.adminPassword``. So a changed secret is seen as
changed, and a stored fingerprint cannot be used to guess one. ``key`` is the installation's secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from common.canonical import digest
from common.redaction import is_sensitive_key, keyed_hash, redact
from deployments.catalogue.action import MARK
from deployments.catalogue.argo.helm import read_yaml

Leaves = dict[str, Any]

#: text longer than this is shown cut, with a hash of the whole
_SHOWN = 300
_MOST_LEAVES = 20_000
_HASHED = "hmac:"

#: never part of a difference shown to people
SERVER_FIELDS = (
    "metadata.managedFields",
    "metadata.resourceVersion",
    "metadata.generation",
    "metadata.uid",
    "metadata.creationTimestamp",
    "metadata.selfLink",
)
#: never part of a fingerprint: what servers and controllers write, and what our own effects leave behind
NOISE = (
    *SERVER_FIELDS,
    "status",
    "operation",
    f'metadata.annotations["{MARK}"]',
    'metadata.annotations["argocd.argoproj.io/refresh"]',
    'metadata.annotations["deployment.kubernetes.io/revision"]',
)


def leaves(item: Mapping[str, Any] | None, key: str) -> Leaves:
    """All leaves of an object, secrets hashed. An absent object has none."""
    if item is None:
        return {}
    found: Leaves = {}
    secret = item.get("kind") == "Secret"
    for path, name, value in _walk("", "", item):
        hide = secret and (path.startswith(("data", "stringData")))
        text = isinstance(value, str) and ("\n" in value) and not hide and not is_sensitive_key(name)
        inner = read_yaml(value) if text else None
        if isinstance(inner, dict) and inner:
            found |= {f"{path}:{p}": _safe(n, v, key) for p, n, v in _walk("", "", inner)}
        else:
            found[path] = keyed_hash(value, key) if hide else _safe(name, value, key)
        if len(found) > _MOST_LEAVES:
            found["…"] = keyed_hash(json.dumps(item, sort_keys=True, default=str), key)
            break
    return found


def without(found: Leaves, noise: Iterable[str]) -> Leaves:
    """The leaves that are at or below none of these paths."""
    prefixes = tuple(noise)
    return {path: value for path, value in found.items() if not _under(path, prefixes)}


def below(found: Leaves, paths: Iterable[str]) -> Leaves:
    """The leaves that are at or below one of these paths."""
    prefixes = tuple(paths)
    return {path: value for path, value in found.items() if _under(path, prefixes)}


def fingerprint(item: Mapping[str, Any] | None, key: str, noise: tuple[str, ...] = ()) -> tuple[str, Leaves]:
    """The fingerprint of what a person decides about an object, and the leaves it was made of.

    ``noise``: more paths to leave out, the action's own.
    """
    if item is None:
        return "absent", {}
    # a null field and one that is left out are the same to an API server
    kept = {path: value for path, value in without(leaves(item, key), (*NOISE, *noise)).items() if value is not None}
    return digest(kept), kept


def difference(before: Leaves, after: Leaves) -> list[dict[str, Any]]:
    """What changed: ``{"path", "before", "after"}`` sorted by path; None where there is no such field."""
    return [
        {"path": path, "before": before.get(path), "after": after.get(path)}
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def is_redacted(changes: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a before value is only a hash, so that nothing could bring it back."""
    return any(_HASHED in str(change["before"]) for change in changes)


def sentence_of(changes: list[dict[str, Any]], most: int = 3) -> str:
    """``a.b was 1, is 2; c is gone and 4 more`` for people."""
    parts = []
    for change in changes[:most]:
        if change["before"] is None:
            parts.append(f"{change['path']} is new ({change['after']})")
        elif change["after"] is None:
            parts.append(f"{change['path']} is gone (was {change['before']})")
        else:
            parts.append(f"{change['path']} was {change['before']}, is {change['after']}")
    more = f" and {len(changes) - most} more" if len(changes) > most else ""
    return "; ".join(parts) + more


def _walk(path: str, name: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    """(path, name of the field, scalar). An ``env`` entry's value is named by the entry's ``name``."""
    if isinstance(value, dict) and value:
        label = value.get("name") if set(value) <= {"name", "value"} else None
        for key, inner in value.items():
            named = str(label) if label is not None and key == "value" else str(key)
            yield from _walk(_join(path, str(key)), named, inner)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _walk(f"{path}[{index}]", name, inner)
    else:
        yield path, name, value


def _join(path: str, key: str) -> str:
    if all(c.isalnum() or c in "-_" for c in key) and key:
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key, ensure_ascii=False)}]"


def _safe(name: str, value: Any, key: str) -> Any:
    if value is None or isinstance(value, bool | int | float):
        # a number under a sensitive name may be a PIN
        return keyed_hash(value, key) if is_sensitive_key(name) and value not in (None, True, False) else value
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    text = str(value)
    if is_sensitive_key(name) and text:
        return keyed_hash(text, key)
    shown = redact(text, _SHOWN)
    return shown if shown == text else f"{shown} ({keyed_hash(text, key)})"


def _under(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == p or (path.startswith(p) and path[len(p)] in ".[:") for p in prefixes)
