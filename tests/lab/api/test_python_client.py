"""The official Python client works against the lab's API server, typed and raw."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

from tests.lab.api_server import RunningApi

pytestmark = pytest.mark.lab


@pytest.fixture
def api(lab_api: RunningApi) -> Iterator[Any]:
    with config.new_client_from_config(config_file=str(lab_api.kubeconfig)) as connection:
        yield connection


@pytest.fixture
def core(api: Any) -> Any:
    return client.CoreV1Api(api)


def deployment(replicas: int = 1) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "nginx:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def test_typed_objects_are_created_read_and_deleted(core: Any, namespace: str) -> None:
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="one"), data={"a": "1"})
    created = core.create_namespaced_config_map(namespace, body)
    assert created.metadata.uid
    assert core.read_namespaced_config_map("one", namespace).data == {"a": "1"}
    core.delete_namespaced_config_map("one", namespace)
    with pytest.raises(ApiException) as problem:
        core.read_namespaced_config_map("one", namespace)
    assert problem.value.status == 404


def test_a_typed_deployment_scales_by_its_subresource(api: Any, namespace: str) -> None:
    apps = client.AppsV1Api(api)
    apps.create_namespaced_deployment(namespace, deployment(2))
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 5}})
    assert apps.read_namespaced_deployment("web", namespace).spec.replicas == 5
    assert apps.read_namespaced_deployment_scale("web", namespace).status.selector == "app=web"


def test_a_stale_replace_is_a_conflict(core: Any, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "one"}, "data": {"a": "1"}})
    first = core.read_namespaced_config_map("one", namespace)
    second = core.read_namespaced_config_map("one", namespace)
    first.data = {"a": "2"}
    core.replace_namespaced_config_map("one", namespace, first)
    second.data = {"a": "3"}
    with pytest.raises(ApiException) as problem:
        core.replace_namespaced_config_map("one", namespace, second)
    assert (problem.value.status, json.loads(problem.value.body)["reason"]) == (409, "Conflict")


def test_lists_come_in_pages_of_one_version(core: Any, namespace: str) -> None:
    for number in range(5):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": f"c{number}", "labels": {"p": "y"}}})
    page = core.list_namespaced_config_map(namespace, label_selector="p=y", limit=2)
    first_version, names = page.metadata.resource_version, [each.metadata.name for each in page.items]
    core.delete_namespaced_config_map("c4", namespace)
    while token := page.metadata._continue:
        page = core.list_namespaced_config_map(namespace, label_selector="p=y", limit=2, _continue=token)
        names += [each.metadata.name for each in page.items]
        assert page.metadata.resource_version == first_version
    assert names == ["c0", "c1", "c2", "c3", "c4"]


def test_raw_bytes_are_the_list_as_json(core: Any, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "one"}})
    answer = core.list_namespaced_config_map(namespace, _preload_content=False)
    assert [item["metadata"]["name"] for item in json.loads(answer.data)["items"]] == ["kube-root-ca.crt", "one"]


def test_a_watch_sees_changes_in_order(core: Any, namespace: str) -> None:
    version = core.list_namespaced_config_map(namespace).metadata.resource_version

    def act() -> None:
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "one"}, "data": {"a": "1"}})
        core.patch_namespaced_config_map("one", namespace, {"data": {"a": "2"}})
        core.delete_namespaced_config_map("one", namespace)

    writer = threading.Timer(0.2, act)
    writer.start()
    seen = []
    stream = watch.Watch()
    for event in stream.stream(
        core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=60, _request_timeout=90
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            stream.stop()
    writer.join()
    assert seen == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]


def test_a_watch_from_a_forgotten_version_raises_410(lab_api: RunningApi, core: Any, namespace: str) -> None:
    old = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "one"}})
    with lab_api.client() as admin:
        admin.post("/lab/compact").raise_for_status()
    with pytest.raises(ApiException) as problem:
        list(watch.Watch().stream(core.list_namespaced_config_map, namespace, resource_version=old, timeout_seconds=30))
    assert problem.value.status == 410


def test_the_dynamic_client_applies_on_the_server_side(api: Any, namespace: str) -> None:
    maps = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "1"}}
    applied = maps.server_side_apply(body=body, name="one", namespace=namespace, field_manager="portal")
    owners = [(each.manager, each.operation) for each in applied.metadata.managedFields]
    assert owners == [("portal", "Apply")]


def test_a_pod_is_evicted(core: Any, namespace: str) -> None:
    pod = {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    core.create_namespaced_pod(namespace, pod)
    body = client.V1Eviction(metadata=client.V1ObjectMeta(name="one", namespace=namespace))
    core.create_namespaced_pod_eviction("one", namespace, body)
    assert core.list_namespaced_pod(namespace).items == []


def test_who_am_i_and_what_may_i(api: Any, namespace: str) -> None:
    me = client.AuthenticationV1Api(api).create_self_subject_review({"kind": "SelfSubjectReview"})
    assert me.status.user_info.username == "admin"
    reviews = client.AuthorizationV1Api(api)
    wanted = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": namespace}}}
    assert reviews.create_self_subject_access_review(wanted).status.allowed is True
    rules = reviews.create_self_subject_rules_review({"spec": {"namespace": namespace}})
    assert rules.status.resource_rules


def test_a_service_accounts_token_has_the_accounts_rights(lab_api: RunningApi, core: Any, namespace: str) -> None:
    rbac = client.RbacAuthorizationV1Api(core.api_client)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "bot"}})
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "reader"}, "rules": [rule]})
    binding = {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": namespace}],
    }
    rbac.create_namespaced_role_binding(namespace, binding)
    answer = core.create_namespaced_service_account_token("bot", namespace, {"spec": {"expirationSeconds": 600}})
    with lab_api.client(answer.status.token) as bot:
        assert bot.get(f"/api/v1/namespaces/{namespace}/configmaps").status_code == 200
        assert bot.get(f"/api/v1/namespaces/{namespace}/pods").status_code == 403
        core.delete_namespaced_service_account("bot", namespace)
        assert bot.get(f"/api/v1/namespaces/{namespace}/configmaps").status_code == 401
