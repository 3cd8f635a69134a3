"""Kubernetes' protobuf bodies as JSON objects: kubectl's typed commands (create, auth can-i, drain) send them.

Only decoding; the field numbers are in `lab/tables/protobuf-fields.json`. Raises ValueError, KeyError or
IndexError on bytes that are not what they claim to be.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

_MAGIC = b"k8s\x00"
_TABLE = Path(__file__).resolve().parents[1] / "tables" / "protobuf-fields.json"
_PACKAGES = {"": "core", "rbac.authorization.k8s.io": "rbac", "networking.k8s.io": "networking"}
# Go embeds these structs, so their fields stand in the parent's JSON.
_INLINED = {
    "volumeSource",
    "persistentVolumeSource",
    "handler",
    "ephemeralContainerCommon",
    "localObjectReference",
    "ingressRuleValue",
}
# Non-pointer fields are always on the wire; their zero says nothing. Pointers (replicas, optional, ...) keep theirs.
_ZERO_IS_ABSENT = {
    "generation", "observedGeneration", "hostPort", "minReadySeconds", "initialDelaySeconds", "timeoutSeconds",
    "periodSeconds", "successThreshold", "failureThreshold", "nodePort", "stdin", "stdinOnce", "tty", "hostNetwork",
    "hostPID", "hostIPC", "readOnly", "unschedulable", "publishNotReadyAddresses", "paused", "manualSelector",
    "allowed", "denied", "incomplete", "count", "healthCheckNodePort",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
}  # fmt: skip
_EMPTY_IS_MEANT = {"storageClassName"}  # "" asks for no class, absent for the default one

Fields = dict[str, list[str]]


@cache
def _messages() -> dict[str, Fields]:
    loaded: dict[str, Fields] = json.loads(_TABLE.read_text())
    return loaded


def decode(content: bytes) -> dict[str, Any]:
    """The object in a `application/vnd.kubernetes.protobuf` body, with apiVersion and kind."""
    if not content.startswith(_MAGIC):
        raise ValueError("the body does not begin with the magic number of Kubernetes' protobuf")
    envelope = dict(_fields(content[len(_MAGIC) :]))
    kind_of = dict(_fields(envelope[1]))
    api_version, kind = _text(kind_of.get(1, b"")), _text(kind_of.get(2, b""))
    obj = _message(envelope.get(2, b""), _message_name(api_version, kind))
    return {"apiVersion": api_version, "kind": kind, **obj}


def _message_name(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    package = _PACKAGES.get(group, group.removesuffix(".k8s.io"))
    for name in (f"{package}.{version}.{kind}", f"meta.{kind}"):
        if name in _messages():
            return name
    raise ValueError(f"no kind {kind!r} is registered for version {api_version!r}")


def _fields(data: Any) -> list[tuple[int, Any]]:
    """(field number, raw value) of a message: int for varints, bytes for all else."""
    if not isinstance(data, bytes):
        raise ValueError("a message was expected where a number is")
    found: list[tuple[int, Any]] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            found.append((number, value))
            continue
        length = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            length, at = _varint(data, at)
        if length is None or at + length > len(data):
            raise ValueError(f"malformed field {number}")
        found.append((number, data[at : at + length]))
        at += length
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("varint longer than 64 bits")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else ""


def _message(data: Any, name: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    known = _messages()[name]
    for number, raw in _fields(data):
        if str(number) not in known:
            continue
        field, cardinality, kind = known[str(number)]
        if cardinality == "map":
            entry = dict(_fields(raw))
            result.setdefault(field, {})[_text(entry.get(1, b""))] = _value(entry.get(2, b""), kind, name)
            continue
        value = _value(raw, kind, name)
        if cardinality == "rep":
            result.setdefault(field, []).append(value)
        elif field in _INLINED:
            result |= value
        elif not _absent(field, value):
            result[field] = value
    return result


def _absent(field: str, value: Any) -> bool:
    if value is None or (value == "" and field not in _EMPTY_IS_MEANT):
        return True
    return field in _ZERO_IS_ABSENT and not value and not isinstance(value, (dict, list))


def _value(raw: Any, kind: str, owner: str) -> Any:
    match kind:
        case "string":
            return _text(raw)
        case "bool":
            return bool(raw)
        case "int32" | "int64":
            return raw - (1 << 64) if raw >= 1 << 63 else raw
        case "bytes":
            return base64.b64encode(raw).decode()
        case _:
            return _special(raw, kind.rpartition(".")[2]) if _is_special(kind) else _message(raw, _full(kind, owner))


_SPECIAL = ("Time", "MicroTime", "Quantity", "IntOrString", "FieldsV1", "RawExtension", "ExtraValue", "Duration")


def _is_special(kind: str) -> bool:
    return kind.rpartition(".")[2] in _SPECIAL


def _special(raw: Any, kind: str) -> Any:
    """Types whose JSON is not their message."""
    fields = _fields(raw)
    first = dict(fields)
    match kind:
        case "Time" | "MicroTime":
            if 1 not in first:
                return None
            moment = datetime.fromtimestamp(first[1], UTC)
            if kind == "Time":
                return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
            return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{first.get(2, 0) // 1000:06d}Z"
        case "IntOrString":
            return _text(first.get(3, b"")) if first.get(1, 0) == 1 else first.get(2, 0)
        case "FieldsV1" | "RawExtension":
            return json.loads(first.get(1) or b"{}")
        case "ExtraValue":
            return [_text(value) for number, value in fields if number == 1]
        case "Duration":
            return f"{first.get(1, 0) / 1e9:g}s"
        case _:
            return _text(first.get(1, b""))


def _full(kind: str, owner: str) -> str:
    """A message's name in the table; unqualified ones are of the owner's package."""
    return kind if kind in _messages() else f"{owner.rpartition('.')[0]}.{kind}"
