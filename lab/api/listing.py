"""Lists: at which version, which selector, which page.

A page's token names the version of the first page and the last key seen; later pages are read from the history at that
version, so a list is consistent. A forgotten version answers 410 with a token that goes on at the current one.
"""

from __future__ import annotations

import base64
import json

from lab.api import errors, views
from lab.api.errors import Obj
from lab.api.registry import Resource
from lab.api.request import Call
from lab.api.selectors import Selector, parse_selector
from lab.api.store import Compacted, Entry, Key, Store


def selector_of(call: Call, resource: Resource) -> Selector:
    """The request's selectors. Raises ApiError 400."""
    return parse_selector(call.query.get("labelSelector", ""), call.query.get("fieldSelector", ""), resource.fields)


def _token(version: int, last: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps({"v": "meta.k8s.io/v1", "rv": version, "last": last}).encode()).decode()


def _read_token(text: str) -> tuple[int, Key]:
    try:
        body = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        namespace, name = body["last"]
        return int(body["rv"]), (str(namespace), str(name))
    except (ValueError, KeyError, TypeError):
        raise errors.bad_request("continue key is not valid: the token was not made by this server") from None


def resource_version(call: Call) -> int | None:
    """The `resourceVersion` parameter. Raises ApiError 400."""
    text = call.query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdigit():
        raise errors.bad_request(f'invalid resource version "{text}": strconv.ParseUint: invalid syntax')
    return int(text)


def page(store: Store, call: Call, resource: Resource) -> tuple[list[Entry], Obj]:
    """Entries of the wanted page and the list's metadata. Raises ApiError 400, 410, 504."""
    selector = selector_of(call, resource)
    limit = call.number("limit") or 0
    version, after = _start(store, call)
    key = resource.store_key
    try:
        found = store.entries(key, call.namespace, version)
    except Compacted as problem:
        raise _expired(store, after, problem.oldest) from None
    version = store.version if version is None else version
    if resource.storage:
        found = views.entries(resource, found)
    if after is not None:
        found = [entry for entry in found if entry.key > after]
    if not selector.empty:
        found = [entry for entry in found if selector.matches(entry.obj)]
    meta: Obj = {"resourceVersion": str(version)}
    if 0 < limit < len(found):
        meta["continue"] = _token(version, found[limit - 1].key)
        if selector.empty:
            meta["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    return found, meta


def _start(store: Store, call: Call) -> tuple[int | None, Key | None]:
    """(version to read at or None for now, key after which the page starts)."""
    token = call.query.get("continue", "")
    if token:
        version, after = _read_token(token)
        return (None if version < 0 else version), after
    wanted = resource_version(call)
    if wanted is not None and wanted > store.version:
        raise errors.too_large_version(wanted, store.version)
    exact = call.query.get("resourceVersionMatch") == "Exact"
    return (wanted if exact and wanted else None), None


def _expired(store: Store, after: Key | None, oldest: int) -> errors.ApiError:
    problem = errors.expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list."
        if after
        else f"The resourceVersion for the provided list is too old: the oldest known is {oldest}."
    )
    if after:
        problem.metadata = {"resourceVersion": str(store.version), "continue": _token(-1, after)}
    return problem
