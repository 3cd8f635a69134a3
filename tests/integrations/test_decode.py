"""Bytes into structs: one bad object never costs the others, an error event is an error."""

from __future__ import annotations

import json

import pytest

from integrations.errors import Gone, Rejected, Unreachable
from integrations.kubernetes import decode
from integrations.kubernetes.custom import Application
from integrations.kubernetes.objects import Pod

PODS, APPS = "pods", "applications.argoproj.io"


def line(kind: str, body: object) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode()


def page(*items: object) -> bytes:
    return json.dumps({"metadata": {"resourceVersion": "7", "continue": "more"}, "items": list(items)}).encode()


def test_a_page_gives_its_objects_version_and_token() -> None:
    read = decode.page(page({"metadata": {"name": "a"}, "status": {"phase": "Running"}}), PODS)
    assert (read.items[0].metadata.name, read.items[0].status.phase) == ("a", "Running")
    assert (read.resource_version, read.token, read.quarantined) == ("7", "more", [])


def test_null_where_a_list_belongs_is_read_as_left_out() -> None:
    read = decode.page(page({"metadata": {"name": "a", "labels": None}, "status": {"conditions": None}}), PODS)
    assert read.items == [Pod(metadata=type(read.items[0].metadata)(name="a"))]
    assert read.quarantined == []


def test_an_object_of_the_wrong_type_is_quarantined_by_name_and_the_others_are_read() -> None:
    bad = {"metadata": {"namespace": "argocd", "name": "odd"}, "status": {"history": "none"}}
    read = decode.page(page({"metadata": {"name": "good"}}, bad), APPS)
    assert [item.metadata.name for item in read.items] == ["good"]
    assert read.quarantined == ["argocd/odd"]


def test_an_empty_list_may_be_null() -> None:
    assert decode.page(b'{"metadata":{"resourceVersion":"1"},"items":null}', PODS).items == []


@pytest.mark.parametrize("body", [b"<html>gateway</html>", b"", b'{"items": [{"metadata"', b"\xff\xfe"])
def test_a_reply_that_is_no_list_is_rejected(body: bytes) -> None:
    with pytest.raises(Rejected):
        decode.page(body, PODS)


def test_events_carry_type_object_and_version() -> None:
    event = decode.event(line("MODIFIED", {"metadata": {"name": "a", "resourceVersion": "9"}}), PODS)
    assert (event.type, event.object.metadata.name, event.resource_version) == ("MODIFIED", "a", "9")


def test_a_bookmark_carries_only_a_version() -> None:
    event = decode.event(line("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "11"}}), PODS)
    assert event == ("BOOKMARK", None, "11")


def test_an_event_that_cannot_be_decoded_is_quarantined_with_its_version() -> None:
    body = {"metadata": {"name": "odd", "resourceVersion": "3"}, "status": {"history": {"not": "a list"}}}
    assert decode.event(line("MODIFIED", body), APPS) == ("MODIFIED", None, "3")


def test_an_event_with_nulls_is_read() -> None:
    event = decode.event(line("ADDED", {"metadata": {"name": "a"}, "status": {"resources": None}}), APPS)
    assert isinstance(event.object, Application)


def test_an_expired_version_is_gone() -> None:
    status = {"kind": "Status", "code": 410, "message": "too old resource version: 1 (9)", "reason": "Expired"}
    with pytest.raises(Gone, match="too old"):
        decode.event(line("ERROR", status), PODS)


def test_any_other_error_event_is_an_error() -> None:
    with pytest.raises(Unreachable) as caught:
        decode.event(line("ERROR", {"kind": "Status", "code": 500, "message": "etcd is away"}), PODS)
    assert caught.value.status == 500


def test_a_line_cut_in_the_middle_is_rejected_as_passing() -> None:
    with pytest.raises(Rejected) as caught:
        decode.event(line("ADDED", {"metadata": {"name": "a"}})[:-9], PODS)
    assert caught.value.transient
