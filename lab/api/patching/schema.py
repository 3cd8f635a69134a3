"""The types that patches and server-side apply walk: from the tables, or from a CRD's openAPI schema.

A type is what `lab/tables/apply-schema.json` writes: a name (looked up), `""` a scalar, a dict a struct of
named fields, `["M", t]` a map, `["L", keys, t]` a list by keys, `["S", t]` a set, `["A"]` atomic. For
resources of a CRD the same shapes are derived from the openAPI schema; `["D"]` is what has no schema:
maps merge, lists and scalars are atomic.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

TABLES = Path(__file__).resolve().parents[2] / "tables"
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
DEDUCED: list[Any] = ["D"]
SCALAR = ""
REST = "\0rest"  # the type of a struct's fields that it does not name (additionalProperties, preserved)

Type = str | list[Any] | dict[str, Any]


class GroupVersionKind(NamedTuple):
    """Which kind an object is of; group is `""` for the core group."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


GVK = tuple[str, str, str]


@cache
def apply_types() -> dict[str, Type]:
    """All types of server-side apply by their full name."""
    loaded: dict[str, Type] = json.loads((TABLES / "apply-schema.json").read_text())
    return loaded


@cache
def _names_by_kind() -> dict[GVK, str]:
    """Full type names by (group, version, kind): the Go package's group is a prefix of the real group."""
    full = {
        "core": "",
        "rbac": "rbac.authorization.k8s.io",
        "storage": "storage.k8s.io",
        "networking": "networking.k8s.io",
        "coordination": "coordination.k8s.io",
        "discovery": "discovery.k8s.io",
    }
    found: dict[GVK, str] = {}
    for name in apply_types():
        parts = name.split(".")
        if name.startswith("io.k8s.api.") and len(parts) == 6:
            found[(full.get(parts[3], parts[3]), parts[4], parts[5])] = name
    return found


def resolve(kind: Type) -> Type:
    """The shape behind a name; a name nobody knows is untyped."""
    if isinstance(kind, str) and kind:
        return apply_types().get(kind, DEDUCED)
    return kind


def root_type(gvk: GVK, schema: dict[str, Any] | None = None) -> Type:
    """The type of a whole object. `schema` is a CRD version's openAPIV3Schema, None when it has none."""
    built_in = _names_by_kind().get((gvk[0], gvk[1], gvk[2]))
    if built_in is not None and schema is None:
        return built_in
    shape: Type = from_openapi(schema) if schema else DEDUCED
    fields = dict(shape) if isinstance(shape, dict) else {REST: DEDUCED}
    return {**fields, "apiVersion": SCALAR, "kind": SCALAR, "metadata": META}


def is_built_in(gvk: GVK) -> bool:
    """Whether the tables know this kind."""
    return (gvk[0], gvk[1], gvk[2]) in _names_by_kind()


def from_openapi(schema: dict[str, Any]) -> Type:
    """The type of an openAPI v3 schema node with its x-kubernetes-* extensions."""
    if schema.get("x-kubernetes-embedded-resource"):
        return _object(schema, {"apiVersion": SCALAR, "kind": SCALAR, "metadata": META})
    if schema.get("x-kubernetes-int-or-string"):
        return SCALAR
    match schema.get("type"):
        case "array":
            return _array(schema)
        case "object":
            return _object(schema, {})
        case None:
            return DEDUCED
        case _:
            return SCALAR


def _array(schema: dict[str, Any]) -> Type:
    items = from_openapi(schema.get("items") or {})
    match schema.get("x-kubernetes-list-type"):
        case "map":
            return ["L", list(schema.get("x-kubernetes-list-map-keys") or []), items, _key_defaults(schema)]
        case "set":
            return ["S", items]
        case _:
            return ["A"]


def _key_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    properties = (schema.get("items") or {}).get("properties") or {}
    keys = schema.get("x-kubernetes-list-map-keys") or []
    return {key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})}


def _object(schema: dict[str, Any], fixed: dict[str, Type]) -> Type:
    if schema.get("x-kubernetes-map-type") == "atomic":
        return ["A"]
    extra = schema.get("additionalProperties")
    rest: Type | None = None
    if schema.get("x-kubernetes-preserve-unknown-fields") or extra is True:
        rest = DEDUCED
    elif isinstance(extra, dict):
        rest = from_openapi(extra)
    named = {name: from_openapi(node) for name, node in (schema.get("properties") or {}).items()}
    if not named and not fixed and rest is not None:
        return rest if rest == DEDUCED else ["M", rest]
    fields: dict[str, Type] = {**named, **fixed}
    if rest is not None:
        fields[REST] = rest
    return fields
