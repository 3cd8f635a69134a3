"""From stored entries to response bytes in the form the client accepts: objects, lists, Tables, metadata only."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec
from aiohttp import web

from lab.api import errors
from lab.api.errors import Obj
from lab.api.registry import Resource
from lab.api.request import Call
from lab.api.store import Entry

JSON = "application/json"
_FULL, _TABLE, _PARTIAL = "", "Table", "PartialObjectMetadata"


def encode(body: object) -> bytes:
    return msgspec.json.encode(body)


def respond(body: object, code: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    data = body if isinstance(body, bytes) else encode(body)
    return web.Response(body=data, status=code, content_type=JSON, headers=headers)


def warning_headers(warnings: list[str]) -> dict[str, str]:
    """RFC 7234 warnings as kubectl prints them; aiohttp takes one value per name, so they are joined."""
    texts = [re.sub(r'(["\\])', r"\\\1", text) for text in warnings]
    return {"Warning": ", ".join(f'299 - "{text}"' for text in texts)} if texts else {}


def accepted(accept: str) -> str:
    """Which form the Accept header asks for: "", "Table" or "PartialObjectMetadata". Raises ApiError 406."""
    if not accept:
        return _FULL
    for part in accept.split(","):
        media, *parameters = [each.strip() for each in part.split(";")]
        if media not in (JSON, "*/*", "application/*"):
            continue
        options = dict(each.split("=", 1) for each in parameters if "=" in each)
        form = options.get("as", "").removesuffix("List")
        if form in (_FULL, _PARTIAL) or (form == _TABLE and options.get("v", "v1") == "v1"):
            return form
    raise errors.not_acceptable()


def partial(obj: Obj) -> Obj:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


@dataclass(frozen=True, slots=True)
class Form:
    """How one client wants the objects of one resource."""

    resource: Resource
    form: str
    now: str
    include_object: str = "Metadata"

    @classmethod
    def of(cls, call: Call, resource: Resource, now: str) -> Form:
        return cls(
            resource, accepted(call.headers.get("Accept", "")), now, call.query.get("includeObject") or "Metadata"
        )

    @property
    def plain(self) -> bool:
        return self.form == _FULL

    def table(self, objects: list[Obj], meta: Obj | None = None, *, headers: bool = True) -> Obj:
        from lab.api.tables import table

        columns = list(self.resource.custom.columns) if self.resource.custom else None
        body = table(self.resource.gvk, objects, self.now, crd_columns=columns)
        body["metadata"] = meta or {"resourceVersion": objects[0]["metadata"].get("resourceVersion", "")}
        if not headers:
            body["columnDefinitions"] = []
        for row, obj in zip(body["rows"], objects, strict=True):
            if self.include_object == "Object":
                row["object"] = obj
            elif self.include_object == "None":
                row.pop("object", None)
            else:
                row["object"] = partial(obj)
        return body

    def one(self, obj: Obj) -> Obj:
        """A single object's body."""
        if self.form == _TABLE:
            return self.table([obj])
        return partial(obj) if self.form == _PARTIAL else obj

    def many(self, entries: list[Entry], meta: Obj) -> bytes:
        """A list's body."""
        if self.form == _TABLE:
            return encode(self.table([entry.obj for entry in entries], meta))
        if self.form == _PARTIAL:
            items = [partial(entry.obj) for entry in entries]
            return encode(
                {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items}
            )
        head = {"kind": self.resource.list_kind, "apiVersion": self.resource.api_version, "metadata": meta}
        # Real servers omit kind and apiVersion in the items of built-in lists, and send them for custom resources.
        lines = [entry.full() if self.resource.custom else entry.bare() for entry in entries]
        return b'%s,"items":[%s]}' % (encode(head)[:-1], b",".join(lines))
