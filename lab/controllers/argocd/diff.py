"""Whether a live object is what Git says: Argo CD's three-way comparison. Pure.

A field that Git sets must be there and equal; a field that Argo CD once applied (managedFields of its manager) and Git
no longer has must be gone; what others added is no difference.
"""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

from lab.controllers import meta
from lab.controllers.argocd.kinds import MANAGER
from lab.controllers.client import Object
from lab.plain import copied

_IGNORED_METADATA = {"name", "namespace", "finalizers", "creationTimestamp"}


def normalised(wanted: Object) -> Object:
    """The manifest as the server would store it, as far as plain defaulting would show as a difference."""
    changed = copy.copy(wanted)
    if wanted["kind"] == "Secret" and wanted.get("stringData"):
        encoded = {k: base64.b64encode(str(v).encode()).decode() for k, v in wanted["stringData"].items()}
        changed["data"] = {**(wanted.get("data") or {}), **encoded}
        del changed["stringData"]
    changed.pop("status", None)
    return changed


def drop_pointers(obj: Object, pointers: list[str]) -> Object:
    """The object without the fields at these JSON pointers."""
    if not pointers:
        return obj
    result = copied(obj)
    for pointer in pointers:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.strip("/").split("/")]
        here: Any = result
        for part in parents:
            here = here.get(part) if isinstance(here, dict) else None
        if isinstance(here, dict):
            here.pop(last, None)
    return result


def ignored_pointers(app: Object, obj: Object) -> list[str]:
    """The pointers that the Application tells to ignore for this object."""
    found: list[str] = []
    for rule in app["spec"].get("ignoreDifferences") or []:
        if (
            rule.get("kind") == obj["kind"]
            and rule.get("group", "") == meta.group_of(obj)
            and rule.get("name", obj["metadata"]["name"]) == obj["metadata"]["name"]
        ):
            found += rule.get("jsonPointers") or []
    return found


def differs(app: Object, wanted: Object, live: Object) -> bool:
    """Whether a sync would change the live object."""
    pointers = ignored_pointers(app, wanted)
    target = drop_pointers(normalised(wanted), pointers)
    actual = drop_pointers(live, pointers)
    source = target["metadata"]
    for field in ("labels", "annotations"):
        have = actual["metadata"].get(field) or {}
        if any(have.get(key) != str(value) for key, value in (source.get(field) or {}).items()):
            return True
    for field, value in target.items():
        if field not in ("apiVersion", "kind", "metadata") and not meta.covers(actual.get(field), value):
            return True
    return _owns_more(actual, normalised(wanted))


def _owns_more(live: Object, target: Object) -> bool:
    """Whether Argo CD's manager owns a field in the live object that the target no longer has."""
    for entry in live["metadata"].get("managedFields") or []:
        if entry.get("manager") != MANAGER or entry.get("operation") != "Apply" or entry.get("subresource"):
            continue
        fields = {key: value for key, value in (entry.get("fieldsV1") or {}).items() if key != "f:status"}
        if _extra(fields, target, top=True):
            return True
    return False


def _extra(fields: Object, target: Any, *, top: bool = False) -> bool:
    for key, below in fields.items():
        if key == ".":
            continue
        kind, _, name = key.partition(":")
        if kind == "f":
            if not isinstance(target, dict) or name not in target:
                return True
            ignored = _IGNORED_METADATA if top and name == "metadata" else set()
            inner = {k: v for k, v in below.items() if k.partition(":")[2] not in ignored}
            if inner and _extra(inner, target[name]):
                return True
        elif kind == "k":
            item = _item(target, json.loads(name))
            if item is None or (below and _extra(below, item)):
                return True
        elif kind == "v" and (not isinstance(target, list) or json.loads(name) not in target):
            return True
    return False


def _item(target: Any, keys: Object) -> Any:
    """The list item with these keys; a key that the target leaves to defaulting does not count."""
    if not isinstance(target, list):
        return None
    return next(
        (
            item
            for item in target
            if isinstance(item, dict) and all(item.get(key, value) == value for key, value in keys.items())
        ),
        None,
    )
