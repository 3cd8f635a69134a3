"""events.k8s.io/v1 Events: the same objects as core Events, in the newer shape."""

from __future__ import annotations

from lab.api.errors import Obj
from lab.api.registry import Resource
from lab.api.store import Entry

_TO_VIEW = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_TO_CORE = {view: core for core, view in _TO_VIEW.items()}


def to_view(resource: Resource, obj: Obj) -> Obj:
    """A stored object as `resource` shows it."""
    if not resource.storage:
        return obj
    shown = {_TO_VIEW.get(name, name): value for name, value in obj.items()}
    return {**shown, "kind": resource.kind, "apiVersion": resource.api_version}


def to_stored(resource: Resource, obj: Obj) -> Obj:
    """The body of a write to a view as the stored kind."""
    if not resource.storage:
        return obj
    core = {_TO_CORE.get(name, name): value for name, value in obj.items()}
    return {**core, "kind": resource.kind, "apiVersion": "v1"}


def entries(resource: Resource, found: list[Entry]) -> list[Entry]:
    return [Entry(to_view(resource, entry.obj), entry.version) for entry in found]
