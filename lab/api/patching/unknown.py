"""Fields that a kind does not have: named for warnings and strict validation, dropped before storing."""

from __future__ import annotations

from typing import Any

from lab.api.patching import openapi
from lab.api.patching.schema import GVK, REST, Type, is_built_in, resolve, root_type


def unknown_fields(gvk: GVK, obj: dict[str, Any], *, schema: dict[str, Any] | None = None) -> list[str]:
    """Paths like `spec.template.spec.containers[0].bogus`; a kind without a schema has no unknown fields."""
    if schema:
        return openapi.unknown(obj, schema)
    if not is_built_in(gvk):
        return []
    found: list[str] = []
    _visit(obj, root_type(gvk), "", found)
    return found


def without_unknown(gvk: GVK, obj: dict[str, Any], *, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """The object as the server stores it, without what the kind does not have."""
    if schema:
        result: dict[str, Any] = openapi.pruned(obj, schema, root=True)
    elif is_built_in(gvk):
        result = _visit(obj, root_type(gvk), "", [])
    else:
        result = obj
    return result


def _visit(value: Any, kind: Type, path: str, found: list[str]) -> Any:
    shape = resolve(kind)
    if isinstance(shape, dict) and isinstance(value, dict):
        kept = {}
        for name, inner in value.items():
            below = f"{path}.{name}" if path else name
            if name not in shape and REST not in shape:
                found.append(below)
            else:
                kept[name] = _visit(inner, shape.get(name, ["D"]), below, found)
        return kept
    if isinstance(shape, list) and isinstance(value, list) and shape[0] == "L":
        return [_visit(item, shape[2], f"{path}[{i}]", found) for i, item in enumerate(value)]
    if isinstance(shape, list) and isinstance(value, dict) and shape[0] == "M":
        return {name: _visit(inner, shape[1], f"{path}.{name}", found) for name, inner in value.items()}
    return value
