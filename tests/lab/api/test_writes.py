"""Rules of writes over HTTP: versions, dry runs, apply, deletion, ownership."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.lab.api_server import RunningApi

pytestmark = pytest.mark.lab
MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
Json = dict[str, Any]


def configmap(name: str, **meta: object) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}, "data": {"a": "1"}}


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def test_versions_grow_by_one_over_all_kinds(admin: httpx.Client, maps: str, namespace: str) -> None:
    first = admin.post(maps, json=configmap("a")).json()["metadata"]["resourceVersion"]
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    second = admin.post(f"/api/v1/namespaces/{namespace}/pods", json=pod).json()["metadata"]["resourceVersion"]
    assert int(second) == int(first) + 1


def test_a_write_that_changes_nothing_keeps_the_version_and_wakes_no_watch(
    admin: httpx.Client, maps: str, namespace: str
) -> None:
    created = admin.post(maps, json=configmap("a")).json()
    before = admin.get("/lab/health").json()["resourceVersion"]
    admin.put(f"{maps}/a", json=created).raise_for_status()
    admin.patch(f"{maps}/a", json={"data": {"a": "1"}}, headers=MERGE).raise_for_status()
    assert admin.get("/lab/health").json()["resourceVersion"] == before


@pytest.mark.parametrize("verb", ["post", "put", "patch", "delete", "apply", "deletecollection"])
def test_a_dry_run_of_any_verb_leaves_the_store_as_it_was(admin: httpx.Client, maps: str, verb: str) -> None:
    admin.post(maps, json=configmap("a")).raise_for_status()
    before = admin.get("/lab/health").json()["resourceVersion"]
    dry: dict[str, str] = {"dryRun": "All", "fieldManager": "t"}
    changed = {**configmap("a"), "data": {"a": "2"}}
    answer = {
        "post": lambda: admin.post(maps, json=configmap("b"), params=dry),
        "put": lambda: admin.put(f"{maps}/a", json=changed, params=dry),
        "patch": lambda: admin.patch(f"{maps}/a", json={"data": {"a": "2"}}, headers=MERGE, params=dry),
        "delete": lambda: admin.delete(f"{maps}/a", params=dry),
        "apply": lambda: admin.patch(f"{maps}/c", json=configmap("c"), headers=APPLY, params=dry),
        "deletecollection": lambda: admin.delete(maps, params=dry),
    }[verb]()
    assert answer.status_code in (200, 201)
    assert admin.get("/lab/health").json()["resourceVersion"] == before


def test_a_scale_dry_run_shows_the_count_and_keeps_the_old_one(admin: httpx.Client, namespace: str) -> None:
    path = _deployment(admin, namespace)
    scale = {"spec": {"replicas": 9}}
    answer = admin.patch(f"{path}/scale", json=scale, headers=MERGE, params={"dryRun": "All"}).json()
    assert answer["spec"]["replicas"] == 9
    assert admin.get(path).json()["spec"]["replicas"] == 1


def _deployment(admin: httpx.Client, namespace: str) -> str:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    template = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "w"}}, "template": template}
    admin.post(path, json={"metadata": {"name": "w"}, "spec": spec}).raise_for_status()
    return f"{path}/w"


def test_a_scale_names_its_manager_with_the_subresource(admin: httpx.Client, namespace: str) -> None:
    path = _deployment(admin, namespace)
    admin.patch(f"{path}/scale", json={"spec": {"replicas": 2}}, headers=MERGE, params={"fieldManager": "ui"})
    intent = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w"}, "spec": {"replicas": 3}}
    answer = admin.patch(path, json=intent, headers=APPLY, params={"fieldManager": "other"})
    assert answer.status_code == 409
    cause = answer.json()["details"]["causes"][0]
    assert cause["message"].startswith('conflict with "ui" with subresource "scale" using apps/v1')
    assert cause["field"] == ".spec.replicas"


def test_apply_takes_back_what_the_manager_no_longer_wants(admin: httpx.Client, maps: str) -> None:
    wanted = {**configmap("a"), "data": {"keep": "1", "drop": "2"}}
    path, manager = f"{maps}/a", {"fieldManager": "portal-remediation/test"}
    assert admin.patch(path, json=wanted, headers=APPLY, params=manager).status_code == 201
    wanted["data"] = {"keep": "1"}
    assert admin.patch(path, json=wanted, headers=APPLY, params=manager).json()["data"] == {"keep": "1"}


@pytest.mark.parametrize(
    ("preconditions", "code"), [({"uid": "other"}, 409), ({"resourceVersion": "1"}, 409), ({}, 200)]
)
def test_preconditions_guard_a_delete(admin: httpx.Client, maps: str, preconditions: Json, code: int) -> None:
    admin.post(maps, json=configmap("a")).raise_for_status()
    answer = admin.request("DELETE", f"{maps}/a", json={"preconditions": preconditions})
    assert answer.status_code == code


def test_a_put_with_another_uid_is_refused(admin: httpx.Client, maps: str) -> None:
    created = admin.post(maps, json=configmap("a")).json()
    created["metadata"]["uid"] = "00000000-0000-4000-8000-000000000000"
    answer = admin.put(f"{maps}/a", json=created)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert "UID in precondition" in answer.json()["message"]


def _owned(admin: httpx.Client, maps: str) -> None:
    owner = admin.post(maps, json=configmap("owner")).json()
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    child = configmap("child", ownerReferences=[{**reference, "blockOwnerDeletion": True}])
    admin.post(maps, json=child).raise_for_status()


def test_background_deletion_takes_the_dependents_later(admin: httpx.Client, maps: str) -> None:
    _owned(admin, maps)
    admin.delete(f"{maps}/owner").raise_for_status()
    assert eventually(lambda: admin.get(f"{maps}/child").status_code == 404)


def test_foreground_deletion_takes_the_owner_last(admin: httpx.Client, maps: str) -> None:
    _owned(admin, maps)
    admin.patch(f"{maps}/child", json={"metadata": {"finalizers": ["x.io/hold"]}}, headers=MERGE).raise_for_status()
    answer = admin.delete(f"{maps}/owner", params={"propagationPolicy": "Foreground"})
    assert answer.json()["metadata"]["finalizers"] == ["foregroundDeletion"]
    marked = lambda: "deletionTimestamp" in admin.get(f"{maps}/child").json()["metadata"]  # noqa: E731
    assert eventually(marked)
    assert admin.get(f"{maps}/owner").status_code == 200
    admin.patch(f"{maps}/child", json={"metadata": {"finalizers": None}}, headers=MERGE).raise_for_status()
    assert eventually(lambda: admin.get(f"{maps}/owner").status_code == 404)


def test_orphaning_keeps_the_dependents_without_their_owner(admin: httpx.Client, maps: str) -> None:
    _owned(admin, maps)
    admin.delete(f"{maps}/owner", params={"propagationPolicy": "Orphan"}).raise_for_status()
    assert eventually(lambda: admin.get(f"{maps}/owner").status_code == 404)
    assert "ownerReferences" not in admin.get(f"{maps}/child").json()["metadata"]


def test_a_running_pod_ends_gracefully_and_at_once_when_forced(admin: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"nodeName": "worker01", "containers": [{"name": "c", "image": "i"}]}
    admin.post(path, json={"metadata": {"name": "p"}, "spec": spec}).raise_for_status()
    marked = admin.delete(f"{path}/p").json()["metadata"]
    assert marked["deletionGracePeriodSeconds"] == 30
    assert admin.get(f"{path}/p").status_code == 200
    admin.delete(f"{path}/p", params={"gracePeriodSeconds": "0"}).raise_for_status()
    assert admin.get(f"{path}/p").status_code == 404


def test_an_exhausted_disruption_budget_refuses_the_eviction(admin: httpx.Client, namespace: str) -> None:
    pods, budgets = f"/api/v1/namespaces/{namespace}/pods", f"/apis/policy/v1/namespaces/{namespace}"
    meta = {"name": "p", "labels": {"app": "p"}}
    admin.post(pods, json={"metadata": meta, "spec": {"containers": [{"name": "c", "image": "i"}]}}).raise_for_status()
    admin.patch(f"{pods}/p/status", json={"status": {"phase": "Running"}}, headers=MERGE).raise_for_status()
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}}
    admin.post(f"{budgets}/poddisruptionbudgets", json=budget).raise_for_status()
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    answer = admin.post(f"{pods}/p/eviction", json=eviction)
    assert answer.status_code == 429
    assert answer.json()["details"]["causes"][0]["reason"] == "DisruptionBudget"
    cause = answer.json()["details"]["causes"][0]["message"]
    assert cause == "The disruption budget b is still being processed by the server."
    allowed = {
        "status": {
            "observedGeneration": 1,
            "disruptionsAllowed": 1,
            "currentHealthy": 1,
            "desiredHealthy": 0,
            "expectedPods": 1,
        }
    }
    admin.patch(f"{budgets}/poddisruptionbudgets/b/status", json=allowed, headers=MERGE).raise_for_status()
    assert admin.post(f"{pods}/p/eviction", json=eviction).status_code == 201


def test_a_deleted_namespace_takes_everything_with_it(admin: httpx.Client, namespace: str, maps: str) -> None:
    admin.post(maps, json=configmap("a")).raise_for_status()
    assert admin.delete(f"/api/v1/namespaces/{namespace}").json()["status"]["phase"] == "Terminating"
    assert eventually(lambda: admin.get(f"/api/v1/namespaces/{namespace}").status_code == 404)
    assert admin.get(f"{maps}/a").status_code == 404


def test_a_second_version_of_a_services_address_is_not_handed_out_twice(admin: httpx.Client, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    body: Json = {"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
    made = [admin.post(path, json={"metadata": {"name": name}, **body}).json()["spec"] for name in ("one", "two")]
    assert made[0]["clusterIP"] != made[1]["clusterIP"]
    assert made[0]["ports"][0]["nodePort"] != made[1]["ports"][0]["nodePort"]
    replaced = admin.put(f"{path}/one", json={"metadata": {"name": "one"}, **body}).json()["spec"]
    assert (replaced["clusterIP"], replaced["ports"]) == (made[0]["clusterIP"], made[0]["ports"])


def test_seeded_objects_keep_status_uid_and_times_and_stay_out_of_the_ledger(lab_api: RunningApi) -> None:
    meta = {"name": "old", "uid": "11111111-1111-4111-8111-111111111111", "creationTimestamp": "2025-11-01T08:00:00Z"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": meta, "status": {"phase": "Running"}}
    with lab_api.client() as admin:
        before = admin.get("/lab/ledger").json()["entries"]
        admin.post("/lab/seed", json={"objects": [node]}).raise_for_status()
        found = admin.get("/api/v1/nodes/old").json()
        assert admin.get("/lab/ledger").json()["entries"] == before
    assert {key: found["metadata"][key] for key in meta} == meta
    assert found["status"] == {"phase": "Running"}


def test_times_in_yaml_stay_text(admin: httpx.Client, maps: str) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  at: 2025-11-23T15:52:00Z\n"
    answer = admin.patch(f"{maps}/a", content=text, headers=APPLY, params={"fieldManager": "t"})
    assert answer.json()["data"] == {"at": "2025-11-23T15:52:00Z"}


@pytest.mark.parametrize(
    "meta", [{"labels": {"a": 1}}, {"labels": ["a"]}, {"finalizers": "x"}, {"ownerReferences": ["x"]}, {"name": 7}]
)
def test_metadata_of_the_wrong_type_is_a_bad_request(admin: httpx.Client, maps: str, meta: Json) -> None:
    answer = admin.post(maps, json={"metadata": {"name": "a", **meta}})
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


def test_nulls_and_empty_metadata_are_not_stored(admin: httpx.Client, maps: str) -> None:
    body: Json = {"metadata": {"name": "a", "annotations": {}, "labels": None}, "data": None}
    created = admin.post(maps, json=body).json()
    assert set(created) == {"apiVersion", "kind", "metadata"}
    assert not {"annotations", "labels"} & set(created["metadata"])
    admin.patch(f"{maps}/a", json={"metadata": {"labels": {"x": "y"}}}, headers=MERGE).raise_for_status()
    patched = admin.patch(f"{maps}/a", json={"metadata": {"labels": {"x": None}}}, headers=MERGE).json()
    assert "labels" not in patched["metadata"]
