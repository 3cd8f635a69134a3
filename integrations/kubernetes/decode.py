"""Bytes of lists and watches into the few fields we read; one bad object never costs the others.

The fast way decodes a whole page or event in one pass. When an object does not fit (``null`` where a list belongs, a
string where a number does), each object of that page is decoded by itself with nulls left out; what still does not
fit is *quarantined*: left out, counted and named, so that the source can say so.
"""

from __future__ import annotations

import functools
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from common import structs
from integrations.errors import Gone, Rejected, SourceError, from_status
from integrations.kubernetes import objects as kube
from integrations.kubernetes.connection import Status
from integrations.kubernetes.parts import KubeObject

T = TypeVar("T", bound=KubeObject)


class _ListMeta(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct, Generic[T], frozen=True):
    metadata: _ListMeta = _ListMeta()
    items: list[T] | None = None


class _RawPage(msgspec.Struct, frozen=True):
    metadata: _ListMeta = _ListMeta()
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct, Generic[T], frozen=True, gc=False):
    type: str
    object: T


class _RawEvent(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class Page(NamedTuple):
    """One page of a list. ``quarantined`` names the objects that could not be decoded."""

    items: list[Any]
    resource_version: str
    token: str
    quarantined: list[str]


class WatchEvent(NamedTuple):
    """One event: ``ADDED``, ``MODIFIED``, ``DELETED``, ``BOOKMARK``; ``object`` is None in bookmarks and quarantine."""

    type: str
    object: Any
    resource_version: str


@functools.cache
def _page_decoder(kind: type[KubeObject]) -> msgspec.json.Decoder[Any]:
    return structs.decoder(_Page[kind], strict=False)  # type: ignore[valid-type]


@functools.cache
def _event_decoder(kind: type[KubeObject]) -> msgspec.json.Decoder[Any]:
    return structs.decoder(_Event[kind], strict=False)  # type: ignore[valid-type]


_raw_page_decoder = msgspec.json.Decoder(_RawPage, strict=False)
_raw_event_decoder = msgspec.json.Decoder(_RawEvent, strict=False)
_status_decoder = msgspec.json.Decoder(Status, strict=False)
_any_decoder = msgspec.json.Decoder()


def without_nulls(value: Any) -> Any:
    """The value with null members left out: servers write ``null`` for empty lists now and then."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value if item is not None]
    return value


def lenient(raw: bytes | msgspec.Raw, resource_key: str) -> Any | None:
    """One object decoded without its nulls; None when it still does not fit its type."""
    kind = kube.type_of(resource_key)
    structs.prepare(kind)
    try:
        return msgspec.convert(without_nulls(_any_decoder.decode(raw)), kind, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def page(body: bytes, resource_key: str) -> Page:
    """A list reply. :raises Rejected: it is not a list at all (a proxy's page, a truncated reply)."""
    try:
        decoded = _page_decoder(kube.type_of(resource_key)).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _careful_page(body, resource_key)
    return Page(decoded.items or [], decoded.metadata.resource_version, decoded.metadata.continue_, [])


def _careful_page(body: bytes, resource_key: str) -> Page:
    try:
        raw = _raw_page_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Rejected(f"The list of {resource_key} cannot be read: {error}", transient=True) from error
    items: list[Any] = []
    quarantined: list[str] = []
    for one in raw.items or []:
        found = lenient(one, resource_key)
        if found is None:
            quarantined.append(name_of(one))
        else:
            items.append(found)
    return Page(items, raw.metadata.resource_version, raw.metadata.continue_, quarantined)


def name_of(raw: bytes | msgspec.Raw) -> str:
    """``namespace/name`` of an object that does not decode, as far as it can be told."""
    try:
        metadata = msgspec.json.decode(raw, type=dict[str, Any]).get("metadata")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "?"
    if not isinstance(metadata, dict):
        return "?"
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '?')}"


def event(line: bytes, resource_key: str) -> WatchEvent:
    """One line of a watch. :raises Gone: the server says 410. :raises SourceError: it says another error.
    :raises Rejected: the line is no event (the stream broke off in the middle of it)."""
    try:
        decoded = _event_decoder(kube.type_of(resource_key)).decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _careful_event(line, resource_key)
    if decoded.type == "ERROR":
        raise _error(line)
    version = decoded.object.metadata.resource_version
    if decoded.type == "BOOKMARK":
        return WatchEvent("BOOKMARK", None, version)
    return WatchEvent(decoded.type, decoded.object, version)


def _careful_event(line: bytes, resource_key: str) -> WatchEvent:
    try:
        raw = _raw_event_decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Rejected(f"The watch of {resource_key} broke off: {error}", transient=True) from error
    if raw.type == "ERROR":
        raise _error(line)
    found = lenient(raw.object, resource_key)
    version = found.metadata.resource_version if found is not None else _version_of(raw.object)
    return WatchEvent(raw.type, found, version)


def _version_of(raw: msgspec.Raw) -> str:
    metadata = msgspec.json.decode(raw, type=dict[str, Any]).get("metadata")
    return str(metadata.get("resourceVersion", "")) if isinstance(metadata, dict) else ""


def _error(line: bytes) -> SourceError:
    status = _status_decoder.decode(_raw_event_decoder.decode(line).object)
    if status.code == 410:
        return Gone(status.message or "The resourceVersion is too old.", status=410)
    return from_status(status.code or 500, status.message or "The watch ended with an error.")
