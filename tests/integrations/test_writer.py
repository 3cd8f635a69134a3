"""The writer: one request per write, a precondition in each, conflicts with their causes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from integrations.errors import Conflict, NotFound, Rejected, Unreachable
from integrations.kubernetes.writer import Writer

pytestmark = pytest.mark.lab
MAPS, BY = "configmaps", "portal-remediation/test"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.fixture
def made(pen: Writer, namespace: str) -> dict[str, Any]:
    return pen.create(MAPS, namespace, config_map("one", a="1"), field_manager=BY)


def versioned(made: dict[str, Any], **data: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": data}


def test_a_dry_run_changes_nothing(pen: Writer, namespace: str, made: dict[str, Any]) -> None:
    shown = pen.patch(MAPS, namespace, "one", {"data": {"a": "2"}}, patch_type="merge", field_manager=BY, dry_run=True)
    assert shown["data"] == {"a": "2"}
    live = pen.reader.get_raw(MAPS, namespace, "one")
    assert live is not None
    assert live["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_patch_of_what_changed_meanwhile_conflicts(pen: Writer, namespace: str, made: dict[str, Any]) -> None:
    pen.patch(MAPS, namespace, "one", versioned(made, a="2"), patch_type="merge", field_manager=BY)
    with pytest.raises(Conflict) as caught:
        pen.patch(MAPS, namespace, "one", versioned(made, a="3"), patch_type="merge", field_manager=BY)
    assert caught.value.reason == "Conflict"


def test_creating_what_is_there_says_so(pen: Writer, namespace: str, made: dict[str, Any]) -> None:
    with pytest.raises(Conflict) as caught:
        pen.create(MAPS, namespace, config_map("one"), field_manager=BY)
    assert caught.value.reason == "AlreadyExists"


def test_an_apply_conflict_names_the_field_and_its_manager(pen: Writer, namespace: str, made: dict[str, Any]) -> None:
    with pytest.raises(Conflict) as caught:
        pen.patch(MAPS, namespace, "one", config_map("one", a="9"), patch_type="apply", field_manager="somebody")
    [cause] = caught.value.causes
    assert cause["field"] == ".data.a"
    assert BY in cause["message"]
    taken = pen.patch(
        MAPS, namespace, "one", config_map("one", a="9"), patch_type="apply", field_manager="somebody", force=True
    )
    assert taken["data"] == {"a": "9"}


def test_a_delete_means_one_uid_and_spares_its_successor(pen: Writer, namespace: str, made: dict[str, Any]) -> None:
    with pytest.raises(Conflict):
        pen.delete(MAPS, namespace, "one", uid="of-another")
    pen.delete(MAPS, namespace, "one", uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        pen.delete(MAPS, namespace, "one", uid=made["metadata"]["uid"])


def test_a_write_without_a_precondition_is_a_programming_error(pen: Writer, namespace: str) -> None:
    with pytest.raises(ValueError, match=r"resourceVersion"):
        pen.patch(MAPS, namespace, "one", {"data": {}}, patch_type="merge", field_manager=BY)
    with pytest.raises(ValueError, match="uid"):
        pen.delete(MAPS, namespace, "one", uid="")
    with pytest.raises(ValueError, match="field manager"):
        pen.create(MAPS, namespace, config_map("x"), field_manager="")


def test_a_json_patch_tests_the_uid_it_means(pen: Writer, namespace: str, made: dict[str, Any]) -> None:
    steps = [
        {"op": "test", "path": "/metadata/uid", "value": made["metadata"]["uid"]},
        {"op": "replace", "path": "/data/a", "value": "5"},
    ]
    done = pen.patch(MAPS, namespace, "one", steps, patch_type="json", field_manager=BY)
    assert done["data"]["a"] == "5"


def test_what_the_server_refuses_comes_with_the_fields_it_names(pen: Writer, namespace: str) -> None:
    bad = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {}}
    with pytest.raises(Rejected) as caught:
        pen.create("deployments.apps", namespace, bad, field_manager=BY)
    assert caught.value.status == 422
    assert any(cause["field"].startswith("spec.") for cause in caught.value.causes)


@pytest.mark.parametrize("action", ["reset", "status:503", "status:429"])
def test_a_write_is_sent_once_whatever_happens(
    pen: Writer, namespace: str, admin: httpx.Client, made: dict[str, Any], action: str
) -> None:
    faults = {"action": action, "verb": "delete", "resource": "configmaps", "count": 1, "retry_after": 1}
    admin.post("/lab/faults", json=faults).raise_for_status()
    with pytest.raises(Exception, match=r"HTTP|answer"):
        pen.delete(MAPS, namespace, "one", uid=made["metadata"]["uid"])
    # the fault was good for one request: a second one would have deleted it
    assert pen.reader.get_raw(MAPS, namespace, "one") is not None


def test_a_lost_answer_leaves_open_whether_it_was_done(
    pen: Writer, namespace: str, admin: httpx.Client, made: dict[str, Any]
) -> None:
    fault = {"action": "reset", "verb": "patch", "resource": "configmaps", "count": 1}
    admin.post("/lab/faults", json=fault).raise_for_status()
    with pytest.raises(Unreachable) as caught:
        pen.patch(MAPS, namespace, "one", versioned(made, a="2"), patch_type="merge", field_manager=BY)
    assert caught.value.maybe_done


# -- through the service proxy


def behind(admin: httpx.Client, namespace: str, name: str, *, ready: bool) -> None:
    """A Service, and with ``ready`` an address behind it."""
    base = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}}
    admin.post(
        f"/api/v1/namespaces/{namespace}/services",
        json={**base, "spec": {"selector": {"app": name}, "ports": [{"name": "web", "port": 9093}]}},
    ).raise_for_status()
    if ready:
        admin.post(
            f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
            json={
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.9"], "conditions": {"ready": True}}],
                "ports": [{"name": "web", "port": 9093}],
            },
        ).raise_for_status()


def test_a_request_to_a_service_that_is_not_there_was_not_sent(pen: Writer, namespace: str) -> None:
    with pytest.raises(NotFound) as caught:
        pen.reader.proxy_send(namespace, "alertmanager", "web", "POST", "/api/v2/silences", {})
    assert not caught.value.maybe_done


def test_a_request_to_a_service_without_pods_was_not_sent(pen: Writer, namespace: str, admin: httpx.Client) -> None:
    behind(admin, namespace, "alertmanager", ready=False)
    with pytest.raises(Unreachable, match="no endpoints available") as caught:
        pen.reader.proxy_send(namespace, "alertmanager", "web", "POST", "/api/v2/silences", {})
    assert not caught.value.maybe_done


@pytest.mark.parametrize("action", ["reset", "status:502"])
def test_a_request_whose_answer_is_lost_on_the_way_may_have_been_made(
    pen: Writer, namespace: str, admin: httpx.Client, action: str
) -> None:
    behind(admin, namespace, "alertmanager", ready=True)
    fault = {"action": action, "target": "alertmanager", "count": 1}
    admin.post("/lab/faults", json=fault).raise_for_status()
    with pytest.raises(Unreachable) as caught:
        pen.reader.proxy_send(namespace, "alertmanager", "web", "POST", "/api/v2/silences", {})
    assert caught.value.maybe_done


def test_an_eviction_comes_in_the_version_that_the_server_names(
    pen: Writer, monkeypatch: pytest.MonkeyPatch, namespace: str
) -> None:
    """1.20 takes policy/v1beta1 alone, and answers 400 to policy/v1."""
    assert pen.reader.eviction_version() == "policy/v1"
    monkeypatch.setitem(pen.reader._versions, "pods/eviction", "policy/v1beta1")
    sent: list[dict[str, Any]] = []

    def create(_resource: str, _namespace: str, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        sent.append(body)
        return {}

    monkeypatch.setattr(pen, "create", create)
    pen.evict(namespace, "one", uid="u-1", field_manager=BY)
    assert sent[0]["apiVersion"] == "policy/v1beta1"
    assert sent[0]["deleteOptions"]["preconditions"] == {"uid": "u-1"}
