"""Watches: a stream of changes as JSON lines, from a version on, filtered by the selector.

An object that starts or stops matching is ADDED or DELETED for that watcher. A version that is no longer known answers
HTTP 200 with one ERROR line holding Status 410, as kube-apiserver does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from aiohttp import ClientConnectionResetError, web

from lab.api import errors, striking, views
from lab.api.errors import ApiError, Obj
from lab.api.faults import Faults, OpenWatch
from lab.api.listing import resource_version, selector_of
from lab.api.registry import Resource
from lab.api.render import Form, encode
from lab.api.request import Call
from lab.api.selectors import Selector
from lab.api.store import Change, Compacted, Store, Subscription

BOOKMARK_SECONDS = 60.0
_DEFAULT_TIMEOUT = (1800.0, 3600.0)
_INITIAL_END = "k8s.io/initial-events-end"


def _line(kind: str, body: Obj) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), encode(body))


@dataclass(slots=True)
class Watch:
    """One open watch."""

    store: Store
    call: Call
    resource: Resource
    selector: Selector
    form: Form
    headers_sent: bool = False

    def lines(self, change: Change) -> bytes:
        """What this watcher sees of a change; empty when it concerns it not."""
        namespace = self.call.namespace if self.resource.namespaced else ""
        if namespace and change.after.key[0] != namespace:
            return b""
        kind = self._kind(change)
        if not kind:
            return b""
        if self.form.plain and not self.resource.storage:
            return change.line(kind)
        return self._object_line(kind, change.after.obj)

    def _object_line(self, kind: str, obj: Obj) -> bytes:
        obj = views.to_view(self.resource, obj)
        if self.form.form != "Table":
            return _line(kind, self.form.one(obj))
        headers, self.headers_sent = not self.headers_sent, True
        return _line(kind, self.form.table([obj], headers=headers))

    def _kind(self, change: Change) -> str:
        was = change.before is not None and self._matches(change.before.obj)
        now = not change.deleted and self._matches(change.after.obj)
        if was:
            return "MODIFIED" if now else "DELETED"
        return "ADDED" if now else ""

    def _matches(self, obj: Obj) -> bool:
        return self.selector.empty or self.selector.matches(views.to_view(self.resource, obj))

    def start(self) -> Iterator[bytes]:
        """The lines before the live ones: current state, or the replay from a version. Raises Compacted."""
        wanted = resource_version(self.call)
        initial = self.call.flag("sendInitialEvents")
        if wanted and not initial:
            if wanted > self.store.version:
                raise errors.too_large_version(wanted, self.store.version)
            for change in self.store.since(self.resource.store_key, wanted):
                if line := self.lines(change):
                    yield line
            return
        namespace = self.call.namespace if self.resource.namespaced else ""
        for entry in self.store.entries(self.resource.store_key, namespace):
            if not self._matches(entry.obj):
                continue
            if self.form.plain and not self.resource.storage:
                yield b'{"type":"ADDED","object":%s}\n' % entry.full()
            else:
                yield self._object_line("ADDED", entry.obj)
        if initial and self.call.flag("allowWatchBookmarks"):
            yield self.bookmark({_INITIAL_END: "true"})

    def bookmark(self, annotations: Obj | None = None) -> bytes:
        meta: Obj = {"resourceVersion": str(self.store.version), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = annotations
        body: Obj = {"kind": self.resource.kind, "apiVersion": self.resource.api_version, "metadata": meta}
        if self.form.form == "Table":
            body = {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": meta,
                "columnDefinitions": [],
                "rows": [],
            }
        elif not self.form.plain:
            body = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
        return _line("BOOKMARK", body)


async def _live(watch: Watch, subscription: Subscription, opened: OpenWatch, seconds: float) -> AsyncIterator[bytes]:
    """Lines until the watch's time is over; several changes that are ready come as one chunk."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    bookmarks = watch.call.flag("allowWatchBookmarks")
    next_bookmark = min(loop.time() + BOOKMARK_SECONDS, end)
    while opened.problem is None and not opened.ended:
        await subscription.wait(max((next_bookmark if bookmarks else end) - loop.time(), 0.0))
        chunk = b"".join(watch.lines(change) for _key, change in _drain(subscription))
        over = loop.time() >= end
        if bookmarks and (over or loop.time() >= next_bookmark):
            # In the same breath as the drained changes: a bookmark must not promise what was not sent.
            chunk += watch.bookmark()
            next_bookmark = min(loop.time() + BOOKMARK_SECONDS, end)
        if chunk:
            yield chunk
        if over:
            return
    if opened.problem is not None:
        yield error_line(opened.problem)


def _drain(subscription: Subscription) -> list[tuple[str, Change]]:
    found = list(subscription.changes)
    subscription.changes.clear()
    return found


async def serve(
    request: web.Request, store: Store, call: Call, resource: Resource, form: Form, faults: Faults
) -> web.StreamResponse:
    """Answer a watch request until it ends, its client leaves or the server stops."""
    watch = Watch(store, call, resource, selector_of(call, resource), form)
    seconds = float(call.number("timeoutSeconds") or random.uniform(*_DEFAULT_TIMEOUT))
    if call.flag("sendInitialEvents") and call.query.get("resourceVersionMatch") != "NotOlderThan":
        raise errors.bad_request("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
    subscription = store.subscribe(resource.store_key)
    try:
        try:
            first = b"".join(watch.start())
        except Compacted as problem:
            version = call.query.get("resourceVersion", "")
            first = error_line(errors.expired(f"too old resource version: {version} ({problem.oldest})"))
            seconds = 0.0
        except ApiError as problem:
            if problem.code != 504:
                raise
            first, seconds = error_line(problem), 0.0
        await response.prepare(request)
        going = not first or await striking.write(faults, call, response, first)
        opened = OpenWatch(call, request, subscription.wake)
        if seconds and going:
            with faults.watching(opened):
                async for chunk in _live(watch, subscription, opened, seconds):
                    if not await striking.write(faults, call, response, chunk):
                        break
        await response.write_eof()
    except (ClientConnectionResetError, ConnectionResetError):
        pass  # the client left, which is how most watches end
    finally:
        store.unsubscribe(subscription)
    return response


def error_line(problem: ApiError) -> bytes:
    """The line that ends a watch with a Status."""
    return _line("ERROR", problem.status())
