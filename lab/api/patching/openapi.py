"""What a CRD's openAPI v3 schema asks of its resources: pruning, defaults, validation. Pure.

CEL rules (x-kubernetes-validations) and formats are not checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from lab.api.patching.errors import Cause
from lab.plain import copied

Schema = dict[str, Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_TYPE_NAMES: dict[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
_ROOT = ("apiVersion", "kind", "metadata")


def pruned(value: Any, schema: Schema, *, root: bool = False) -> Any:
    """The value without the fields that the schema does not name."""
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [pruned(item, items) for item in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    open_ended = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or extra is True
    whole = root or bool(schema.get("x-kubernetes-embedded-resource"))
    kept: dict[str, Any] = {}
    for name, inner in value.items():
        if whole and name in _ROOT:
            kept[name] = inner
        elif name in properties:
            kept[name] = pruned(inner, properties[name])
        elif isinstance(extra, dict):
            kept[name] = pruned(inner, extra)
        elif open_ended:
            kept[name] = inner
    return kept


def unknown(value: Any, schema: Schema, path: str = "") -> list[str]:
    """The paths of fields that pruning takes away."""
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [found for i, item in enumerate(value) for found in unknown(item, items, f"{path}[{i}]")]
    if not isinstance(value, dict):
        return []
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    open_ended = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or extra is True
    whole = not path or bool(schema.get("x-kubernetes-embedded-resource"))
    found: list[str] = []
    for name, inner in value.items():
        below = f"{path}.{name}" if path else name
        if whole and name in _ROOT:
            continue
        if name in properties or isinstance(extra, dict):
            found += unknown(inner, properties.get(name, extra if isinstance(extra, dict) else {}), below)
        elif not open_ended:
            found.append(below)
    return found


def fill_defaults(value: Any, schema: Schema) -> Any:
    """Set absent fields to the schema's defaults, in place; nulls with a default and not nullable count as absent."""
    if isinstance(value, list):
        for item in value:
            fill_defaults(item, schema.get("items") or {})
    elif isinstance(value, dict):
        properties = schema.get("properties") or {}
        for name, node in properties.items():
            if "default" in node and (name not in value or (value[name] is None and not node.get("nullable"))):
                value[name] = copied(node["default"])
            if name in value:
                fill_defaults(value[name], node)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for name in value.keys() - properties.keys():
                fill_defaults(value[name], extra)
    return value


def causes(value: Any, schema: Schema, path: str = "") -> Iterator[Cause]:
    """What the schema finds wrong."""
    if value is None and (schema.get("nullable") or not path):
        return
    wrong = _type_cause(value, schema, path)
    if wrong:
        yield wrong
        return
    yield from _value_causes(value, schema, path)
    if isinstance(value, dict):
        yield from _object_causes(value, schema, path)
    elif isinstance(value, list):
        yield from _array_causes(value, schema, path)
    yield from _combined_causes(value, schema, path)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, (dict, list)) else json.dumps(value)[:200]


def _invalid(value: Any, path: str, text: str) -> Cause:
    return Cause("FieldValueInvalid", path, f"Invalid value: {_shown(value)}: {path} in body {text}")


def _type_cause(value: Any, schema: Schema, path: str) -> Cause | None:
    if schema.get("x-kubernetes-int-or-string"):
        good, wanted = isinstance(value, (int, str)) and not isinstance(value, bool), "int-or-string"
    else:
        wanted = str(schema.get("type") or "")
        if wanted not in _TYPES:
            return None
        good = isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
        if wanted == "integer" and isinstance(value, float) and value.is_integer():
            good = True
    if good:
        return None
    name = _TYPE_NAMES.get(type(value), "unknown")
    text = f'Invalid value: "{name}": {path} in body must be of type {wanted}: "{name}"'
    return Cause("FieldValueTypeInvalid", path, text)


def _value_causes(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    if "enum" in schema and value not in schema["enum"]:
        known = ", ".join(_shown(each) for each in schema["enum"])
        yield Cause("FieldValueNotSupported", path, f"Unsupported value: {_shown(value)}: supported values: {known}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
            yield _invalid(value, path, f"should be greater than or equal to {low}")
        if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
            yield _invalid(value, path, f"should be less than or equal to {high}")
        if schema.get("multipleOf") and value % schema["multipleOf"]:
            yield _invalid(value, path, f"should be a multiple of {schema['multipleOf']}")
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            yield _invalid(value, path, f"should be at least {schema['minLength']} chars long")
        if len(value) > schema.get("maxLength", len(value)):
            yield Cause("FieldValueTooLong", path, f"Too long: may not be more than {schema['maxLength']} bytes")
        if schema.get("pattern") and not _matches(schema["pattern"], value):
            yield _invalid(value, path, f"should match '{schema['pattern']}'")


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True  # a Go pattern that Python cannot read is not checked


def _object_causes(value: dict[str, Any], schema: Schema, path: str) -> Iterator[Cause]:
    prefix = f"{path}." if path else ""
    for name in schema.get("required") or []:
        if name not in value:
            yield Cause("FieldValueRequired", f"{prefix}{name}", "Required value")
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    for name, inner in value.items():
        if not path and name in _ROOT:
            continue
        node = properties.get(name) or (extra if isinstance(extra, dict) else None)
        if node:
            yield from causes(inner, node, f"{prefix}{name}")
    if len(value) < schema.get("minProperties", 0):
        yield _invalid(value, path, f"should have at least {schema['minProperties']} properties")


def _array_causes(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    for index, item in enumerate(value):
        yield from causes(item, schema.get("items") or {}, f"{path}[{index}]")
    if len(value) < schema.get("minItems", 0):
        yield _invalid(value, path, f"should have at least {schema['minItems']} items")
    if len(value) > schema.get("maxItems", len(value)):
        yield Cause("FieldValueTooMany", path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items")
    kind = schema.get("x-kubernetes-list-type")
    if kind in ("set", "map"):
        keys = schema.get("x-kubernetes-list-map-keys") or []
        seen: set[str] = set()
        for index, item in enumerate(value):
            identity = {key: item.get(key) for key in keys} if kind == "map" and isinstance(item, dict) else item
            text = json.dumps(identity, sort_keys=True)
            if text in seen:
                yield Cause("FieldValueDuplicate", f"{path}[{index}]", f"Duplicate value: {text}")
            seen.add(text)


def _combined_causes(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    def wrong(text: str) -> Cause:
        return Cause("FieldValueInvalid", path or "<nil>", f'Invalid value: "": "{path}" {text}')

    def fitting(parts: list[Schema]) -> int:
        return sum(1 for part in parts if not list(causes(value, part, path)))

    for part in schema.get("allOf") or []:
        yield from causes(value, part, path)
    if schema.get("anyOf") and not schema.get("x-kubernetes-int-or-string") and not fitting(schema["anyOf"]):
        yield wrong("must validate at least one schema (anyOf)")
    if schema.get("oneOf") and fitting(schema["oneOf"]) != 1:
        yield wrong("must validate one and only one schema (oneOf)")
    if schema.get("not") and fitting([schema["not"]]):
        yield wrong("must not validate the schema (not)")
