"""Protobuf bodies, written here byte by byte from the published field numbers, read back as JSON."""

from __future__ import annotations

import pytest

from lab.api.protobuf import decode


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def text(number: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def body(api_version: str, kind: str, message: bytes) -> bytes:
    return b"k8s\x00" + text(1, text(1, api_version) + text(2, kind)) + text(2, message) + text(3, "") + text(4, "")


def test_a_config_map_as_kubectl_creates_it() -> None:
    metadata = text(1, "cm") + text(2, "") + text(3, "ns") + text(5, "") + number(7, 0) + text(8, b"")
    metadata += text(11, text(1, "app") + text(2, "x"))
    entry = text(1, "key") + text(2, "value")
    assert decode(body("v1", "ConfigMap", text(1, metadata) + text(2, entry))) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cm", "namespace": "ns", "labels": {"app": "x"}},
        "data": {"key": "value"},
    }


def test_a_secret_keeps_its_bytes_as_base64() -> None:
    entry = text(1, "k") + text(2, b"\x00\xff")
    assert decode(body("v1", "Secret", text(2, entry) + text(3, "Opaque")))["data"] == {"k": "AP8="}


def test_inlined_structs_and_int_or_string_and_zero_replicas() -> None:
    port = number(1, 0) + number(2, 3000)
    probe = text(1, text(2, text(1, "/api/health") + text(2, port))) + number(2, 0) + number(4, 10)
    container = text(1, "grafana") + text(10, probe)
    volume = text(1, "v") + text(2, text(2, b""))
    pod = text(1, volume) + text(2, container)
    spec = number(1, 0) + text(3, text(2, pod))
    result = decode(body("apps/v1", "Deployment", text(2, spec)))
    assert result["spec"]["replicas"] == 0
    template = result["spec"]["template"]["spec"]
    assert template["volumes"] == [{"name": "v", "emptyDir": {}}]
    probe_json = template["containers"][0]["livenessProbe"]
    assert probe_json == {"httpGet": {"path": "/api/health", "port": 3000}, "periodSeconds": 10}


def test_delete_options_of_any_group_and_a_minus_sign() -> None:
    minus_one = number(1, (1 << 64) - 1)
    result = decode(body("policy/v1", "DeleteOptions", minus_one + text(4, "Background")))
    assert result["propagationPolicy"] == "Background"
    assert result["gracePeriodSeconds"] == -1


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"k8s\x00",
        body("nope/v1", "Thing", b""),
        body("v1", "ConfigMap", b"\x0a\xff\x01"),
        body("v1", "ConfigMap", number(1, 7)),
        b"k8s\x00" + b"\xff" * 20,
    ],
)
def test_what_is_not_such_a_body_is_refused(content: bytes) -> None:
    with pytest.raises((ValueError, KeyError, IndexError)):
        decode(content)
