"""Pod templates as a plan may carry them. A plan is stored and shown, so no literal credential may be in one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from common.redaction import MASK, is_sensitive_key, redact
from deployments.catalogue.action import CannotPlan
from monitoring.checks.text import clean, listing

#: of a variable that says where a credential is, or how long it lives, and does not hold it
_ABOUT = re.compile(
    r"(?:file|path|dir|name|url|uri|host|port|ttl|interval|timeout|enabled|issuer|type)$", re.IGNORECASE
)
#: a credential that the engine puts in when it sends the write
_FILLED = re.compile(r"\$\{live:[^}]*\}")
#: a value that is only another variable's
_REFERENCE = re.compile(r"\$\([A-Za-z0-9_.-]+\)")
#: what the engine would fill in
PLACEHOLDERS = ("${run.", "${live:")


def is_credential(name: str, value: str) -> bool:
    """Whether a literal value under this name looks like a credential: by the name, or by itself.

    Errs towards yes; a name like ``TOKEN_FILE`` or ``SECRET_NAME`` tells where one is and holds none.
    """
    if not value or _REFERENCE.fullmatch(value) or _FILLED.fullmatch(value):
        return False
    if is_sensitive_key(name) and not _ABOUT.search(name):
        return True
    return redact(value, len(value) + len(MASK)).count(MASK) > value.count(MASK)


def credentials(template: Mapping[str, Any]) -> list[str]:
    """Where literal credentials stand in a pod template, never what they are: ``TOKEN of container web``."""
    return sorted({where for where, name, value in _texts(template) if is_credential(name, value)})


def refuse_credentials(template: Mapping[str, Any], whose: str, by_hand: str) -> None:
    """A plan is stored and shown even when it may not run, so there must be none. ``by_hand``: what to do instead.

    :raises CannotPlan: there is a literal credential in the template, which the plan would hold whole.
    """
    found = credentials(template)
    if found:
        where = clean(listing(found), 300)
        raise CannotPlan(
            f"{whose} holds what looks like a credential ({where}), and a plan must not carry one. "
            f"Move it into a Secret, or {by_hand}."
        )


def refuse_placeholders(value: Any) -> None:
    """What the engine would replace must not come from the cluster. :raises CannotPlan:"""
    for mark in PLACEHOLDERS:
        if any(mark in text for _, _, text in _texts(value)):
            raise CannotPlan(f"The template holds the text {mark}…}}, which a plan cannot carry unchanged.")


def masked(template: dict[str, Any], live: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """A copy in which a credential that ``live`` holds too, at or below ``pointer``, is only a reference to it.

    The engine fills the reference from the object it has just read (``catalogue.argo.credentials``).
    """
    known: dict[str, str] = {}
    for where, text in _pointers(_at(live, pointer), pointer):
        known.setdefault(text, where)
    secret = {text for _, name, text in _texts(template) if is_credential(name, text)}
    copied: dict[str, Any] = _replaced(template, {text: f"${{live:{known[text]}}}" for text in secret if text in known})
    return copied


def _replaced(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, words) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, words) for inner in value]
    return words.get(value, value) if isinstance(value, str) else value


def _pointers(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """(JSON pointer, text) of every string that such a reference can name."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _pointers(inner, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _pointers(inner, f"{pointer}/{index}")
    elif isinstance(value, str) and "}" not in pointer and "#" not in pointer:
        yield pointer, value


def _at(value: Any, pointer: str) -> Any:
    for part in pointer.strip("/").split("/"):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def containers(template: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(``containers`` or ``initContainers``, container), in the order in which they start."""
    spec = template.get("spec") or {}
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or []:
            yield field, container


def plain(value: Any) -> Any:
    """A copy without nulls: a field left out and a null are the same to an API server."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def without_labels(template: Mapping[str, Any], *gone: str) -> dict[str, Any]:
    """A copy of the template without labels of these names, or that begin so (``…/``)."""
    meta = dict(template.get("metadata") or {})
    meta["labels"] = unlabelled(meta.get("labels") or {}, *gone)
    return {**template, "metadata": meta}


def unlabelled(labels: Mapping[str, str], *gone: str) -> dict[str, str]:
    """Labels without those of these names, or that begin so (``…/``)."""
    starts = tuple(name for name in gone if name.endswith("/"))
    return {key: value for key, value in labels.items() if key not in gone and not key.startswith(starts)}


def images(template: Mapping[str, Any]) -> dict[str, str]:
    """Image by container."""
    return {str(c.get("name", "")): str(c.get("image", "")) for _, c in containers(template)}


def _texts(value: Any, where: str = "", name: str = "") -> Iterable[tuple[str, str, str]]:
    """(where, name of the field or variable, text) of every string."""
    if isinstance(value, Mapping):
        if isinstance(value.get("image"), str) and isinstance(value.get("name"), str):
            where = f" of container {value['name']}"
        label = value.get("name") if isinstance(value.get("value"), str) else None
        for key, inner in value.items():
            yield from _texts(inner, where, str(label) if label and key == "value" else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, where, name)
    elif isinstance(value, str):
        yield f"{name}{where}", name, value
