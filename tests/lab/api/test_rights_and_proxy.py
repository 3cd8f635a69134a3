"""Who may do what, and the service proxy."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from tests.lab.api_server import RunningApi

pytestmark = pytest.mark.lab
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole"}
Json = dict[str, Any]


def test_no_token_and_a_wrong_token_are_unauthorized(lab_api: RunningApi) -> None:
    for token in ("", "nope", "a.b.c"):
        with lab_api.client(token) as client:
            answer = client.get("/api/v1/pods")
            assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")


def test_health_and_version_need_no_token(lab_api: RunningApi) -> None:
    with lab_api.client("") as client:
        assert [client.get(path).status_code for path in ("/healthz", "/readyz", "/version")] == [200, 200, 200]


def test_a_role_binding_opens_its_namespace_only(admin: httpx.Client, viewer: httpx.Client, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    assert viewer.get(pods).status_code == 403
    binding = {
        "metadata": {"name": "see"},
        "roleRef": {**ROLE_REF, "name": "view"},
        "subjects": [{"kind": "Group", "name": "viewers", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    admin.post(f"{RBAC}/namespaces/{namespace}/rolebindings", json=binding).raise_for_status()
    assert viewer.get(pods).status_code == 200
    assert viewer.get("/api/v1/pods").status_code == 403
    assert viewer.get(f"/api/v1/namespaces/{namespace}/secrets").status_code == 403
    assert viewer.post(pods, json={"metadata": {"name": "p"}}).status_code == 403


def test_resource_names_limit_a_rule_to_these_objects(
    admin: httpx.Client, viewer: httpx.Client, namespace: str
) -> None:
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("open", "closed"):
        admin.post(maps, json={"metadata": {"name": name}}).raise_for_status()
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["open"]}
    role = f"{RBAC}/namespaces/{namespace}/roles"
    admin.post(role, json={"metadata": {"name": "one"}, "rules": [rule]}).raise_for_status()
    binding = {
        "metadata": {"name": "one"},
        "roleRef": {**ROLE_REF, "kind": "Role", "name": "one"},
        "subjects": [{"kind": "User", "name": "viewer"}],
    }
    admin.post(f"{RBAC}/namespaces/{namespace}/rolebindings", json=binding).raise_for_status()
    assert [viewer.get(f"{maps}/{name}").status_code for name in ("open", "closed")] == [200, 403]


def test_only_who_may_impersonate_speaks_for_another(admin: httpx.Client, viewer: httpx.Client) -> None:
    as_viewer = {"Impersonate-User": "viewer"}
    assert admin.get("/api/v1/pods", headers=as_viewer).status_code == 403
    answer = viewer.get("/api/v1/pods", headers={"Impersonate-User": "admin", "Impersonate-Group": "system:masters"})
    assert answer.status_code == 403
    assert 'cannot impersonate resource "users"' in answer.json()["message"]


def test_the_labs_own_endpoints_are_the_admins(viewer: httpx.Client) -> None:
    for method, path in (("POST", "/lab/seed"), ("GET", "/lab/ledger"), ("POST", "/lab/faults")):
        assert viewer.request(method, path, json={}).status_code == 403


class Echo:
    """A service backend that answers with what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    async def handle(
        self, namespace: str, service: str, port: str, method: str, path: str, query: str, headers: dict[str, str],
        body: bytes,
    ) -> tuple[int, dict[str, str], bytes]:  # fmt: skip
        self.asked.append((namespace, service, port, method, path, query, headers, body))
        return 200, {"Content-Type": "text/plain"}, b"echo"


@pytest.fixture
def service(admin: httpx.Client, namespace: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/services"
    spec = {"ports": [{"name": "web", "port": 9090}]}
    admin.post(path, json={"metadata": {"name": "metrics"}, "spec": spec}).raise_for_status()
    return path


def slice_of(ready: bool) -> Json:
    meta = {"name": "metrics-1", "labels": {"kubernetes.io/service-name": "metrics"}}
    endpoint = {"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}
    return {"metadata": meta, "addressType": "IPv4", "endpoints": [endpoint], "ports": [{"name": "web", "port": 9090}]}


def test_the_proxy_needs_a_ready_endpoint(admin: httpx.Client, service: str, namespace: str) -> None:
    answer = admin.get(f"{service}/http:metrics:web/proxy/api/v1/query")
    assert answer.status_code == 503
    assert answer.json()["message"] == 'no endpoints available for service "metrics"'
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    admin.post(slices, json=slice_of(ready=False)).raise_for_status()
    assert admin.get(f"{service}/metrics:9090/proxy/").status_code == 503


def test_the_proxy_hands_on_path_and_query_but_never_the_token(
    lab_api: RunningApi, admin: httpx.Client, service: str, namespace: str
) -> None:
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    admin.post(slices, json=slice_of(ready=True)).raise_for_status()
    backend = Echo()
    lab_api.server.services = backend
    try:
        answer = admin.get(f"{service}/http:metrics:9090/proxy/api/v1/query", params={"query": "up == 1"})
    finally:
        lab_api.server.services = None
    assert (answer.status_code, answer.text) == (200, "echo")
    ((asked_namespace, name, port, method, path, query, headers, _body),) = backend.asked
    assert (asked_namespace, name, port, method, path) == (namespace, "metrics", "web", "GET", "/api/v1/query")
    assert parse_qs(str(query)) == {"query": ["up == 1"]}
    assert isinstance(headers, dict)
    assert "authorization" not in {key.lower() for key in headers}


def test_an_unknown_service_or_port_is_named(admin: httpx.Client, service: str) -> None:
    assert admin.get(f"{service}/nothing/proxy/").status_code == 404
    answer = admin.get(f"{service}/metrics:mail/proxy/")
    assert (answer.status_code, answer.json()["reason"]) == (503, "ServiceUnavailable")


def test_nobody_grants_rights_that_they_do_not_hold(admin: httpx.Client, viewer: httpx.Client, namespace: str) -> None:
    path = f"{RBAC}/namespaces/{namespace}"
    may_write_roles = {
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["roles", "rolebindings"],
        "verbs": ["create", "get"],
    }
    held: Json = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    role = {"metadata": {"name": "clerk"}, "rules": [may_write_roles, held]}
    admin.post(f"{path}/roles", json=role).raise_for_status()
    binding: Json = {
        "metadata": {"name": "clerk"},
        "roleRef": {**ROLE_REF, "kind": "Role", "name": "clerk"},
        "subjects": [{"kind": "User", "name": "viewer"}],
    }
    admin.post(f"{path}/rolebindings", json=binding).raise_for_status()

    assert viewer.post(f"{path}/roles", json={"metadata": {"name": "same"}, "rules": [held]}).status_code == 201
    more = {"metadata": {"name": "more"}, "rules": [held, {**held, "resources": ["secrets"]}]}
    answer = viewer.post(f"{path}/roles", json=more)
    assert answer.status_code == 403
    assert 'Resources:["secrets"], Verbs:["get"]' in answer.json()["message"]
    powerful = {**binding, "metadata": {"name": "more"}, "roleRef": {**ROLE_REF, "name": "cluster-admin"}}
    assert viewer.post(f"{path}/rolebindings", json=powerful).status_code == 403
