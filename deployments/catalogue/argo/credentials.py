"""Credentials inside text of an Application: found, kept out of plans, and put back when the write is sent.

Teams do write ``adminPassword: …`` into Helm values. A plan is stored and shown, so no credential may stand in it; but
a write of the edited text has to carry it. Hence placeholders: ``${live:/spec/source/helm/values#0}`` is the first
credential of the text at that JSON pointer, ``${live:<pointer>}`` the whole text, of the object as the engine reads it
just before the write. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from common.redaction import is_sensitive_key, redact
from deployments.catalogue.argo import yaml_text

_PLACEHOLDER = re.compile(r"\$\{live:(/[^}#]*)(?:#(\d+))?\}")
#: text from the cluster that would be taken for a placeholder of a plan
_OURS = re.compile(r"\$\{(?:run\.|live:)")
_PLAIN_TAGS = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"}


def spans(text: str) -> list[tuple[int, int]]:
    """Where credentials stand in YAML text, in order: values by their key or their look, and comments that hold one.

    :raises ValueError: the text cannot be read, so nobody can say.
    """
    root = yaml_text.compose(text)
    found = [
        (node.start_mark.index, node.end_mark.index)
        for key, node in yaml_text.scalars(root)
        if node.value and node.tag not in _PLAIN_TAGS and (is_sensitive_key(key) or looks_like_one(node.value))
    ]
    for start, end in yaml_text.comments(text, root):
        if looks_like_one(text[start:end]):
            found.append((start, end))
    return sorted(found)


def looks_like_one(text: str) -> bool:
    """Whether text holds what :func:`common.redaction.redact` takes for a credential, or bytes that are not text."""
    return redact(text, len(text) + 1) != text


def lines_of(text: str) -> set[int]:
    """The lines (from 0) that hold a credential or a part of one. :raises ValueError:"""
    return {
        line
        for start, end in spans(text)
        for line in range(text.count("\n", 0, start), text.count("\n", 0, max(start, end - 1)) + 1)
    }


def mask(text: str, live: str, pointer: str) -> str:
    """The text with each credential as a placeholder for the same one in ``live``, which stands at ``pointer``.

    :raises ValueError: it holds one that ``live`` does not, or what looks like a placeholder.
    """
    if _OURS.search(text):
        raise ValueError("the values hold text that this portal uses as a placeholder, so they cannot be written down")
    known = [live[start:end] for start, end in spans(live)]
    masked, at = "", 0
    for start, end in spans(text):
        credential = text[start:end]
        if credential not in known:
            raise ValueError("the change would put a credential into a plan")
        masked += f"{text[at:start]}${{live:{pointer}#{known.index(credential)}}}"
        at = end
    return masked + text[at:]


def masked_tree(value: Any, pointer: str) -> Any:
    """A part of an object as plain data, each text that holds a credential as a placeholder for the whole text.

    ``pointer`` is where the part stands. :raises ValueError: as for :func:`mask`; a credential that is no text.
    """
    return _masked(value, pointer, "")


def holds_any(value: Any, name: str = "") -> bool:
    """Whether a part of an object holds a credential anywhere."""
    if isinstance(value, Mapping):
        label = value.get("name") if set(value) <= {"name", "value", "forceString"} else None
        return any(holds_any(v, str(label) if label and k == "value" else str(k)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return any(holds_any(v, name) for v in value)
    return _is_one(value, name)


def restore(value: Any, live: Mapping[str, Any] | None) -> Any:
    """The body with every placeholder filled from the object just read. :raises LookupError: nothing stands there."""
    return _replaced(value, lambda pointer, number: _credential(live, pointer, number))


def described(value: Any) -> Any:
    """The body with every placeholder as words, for previews and command lines that people read."""
    return _replaced(value, lambda pointer, number: f"<{'credential in' if number else 'text of'} {pointer}>")


def is_masked(value: Any) -> bool:
    """Whether a body has placeholders for credentials."""
    if isinstance(value, Mapping):
        return any(is_masked(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(is_masked(inner) for inner in value)
    return isinstance(value, str) and _PLACEHOLDER.search(value) is not None


def _masked(value: Any, pointer: str, name: str) -> Any:
    if isinstance(value, Mapping):
        label = value.get("name") if set(value) <= {"name", "value", "forceString"} else None
        return {
            key: _masked(inner, f"{pointer}/{_escaped(key)}", str(label) if label and key == "value" else str(key))
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(inner, f"{pointer}/{index}", name) for index, inner in enumerate(value)]
    if isinstance(value, str) and _OURS.search(value):
        raise ValueError("the object holds text that this portal uses as a placeholder, so it cannot be written down")
    if not _is_one(value, name):
        return value
    if not isinstance(value, str) or "}" in pointer or "#" in pointer:
        raise ValueError(f"{pointer} holds a credential that cannot be kept out of the plan")
    return f"${{live:{pointer}}}"


def _is_one(value: Any, name: str) -> bool:
    if isinstance(value, str):
        if not value:
            return False
        if is_sensitive_key(name):
            return True
        try:
            return bool(spans(value)) if "\n" in value else looks_like_one(value)
        except ValueError:
            return looks_like_one(value)
    return value is not None and not isinstance(value, bool) and is_sensitive_key(name)


def _replaced(value: Any, found: Callable[[str, str], str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _replaced(inner, found) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner, found) for inner in value]
    if isinstance(value, str) and "${live:" in value:
        return _PLACEHOLDER.sub(lambda match: found(match[1], match[2] or ""), value)
    return value


def _credential(live: Mapping[str, Any] | None, pointer: str, number: str) -> str:
    here: Any = live
    for part in pointer.strip("/").split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, Mapping) and key in here:
            here = here[key]
        elif isinstance(here, list | tuple) and key.isdigit() and int(key) < len(here):
            here = here[int(key)]
        else:
            raise LookupError(f"{pointer} is not there any more")
    if not isinstance(here, str):
        raise LookupError(f"{pointer} is no text any more")
    if not number:
        return here
    found = spans(here)
    if int(number) >= len(found):
        raise LookupError(f"{pointer} holds fewer credentials than when the plan was made")
    start, end = found[int(number)]
    return here[start:end]


def _escaped(key: Any) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
