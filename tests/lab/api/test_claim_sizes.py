"""Sizes of claims over HTTP: what grows, what the plugin forbids, what validation refuses."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.lab.api.test_writes import MERGE

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def classes(admin: httpx.Client) -> None:
    for name, expands in (("grows", True), ("fixed", False)):
        body = {"metadata": {"name": name}, "provisioner": "example.com/disk", "allowVolumeExpansion": expands}
        assert admin.post("/apis/storage.k8s.io/v1/storageclasses", json=body).status_code in (201, 409)


def claim(admin: httpx.Client, namespace: str, storage_class: str, phase: str = "Bound") -> str:
    """A claim of 2Gi in this phase; its path."""
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": "2Gi"}},
    }
    assert admin.post(path, json={"metadata": {"name": "data"}, "spec": spec}).status_code == 201
    status = {"status": {"phase": phase, "capacity": {"storage": "2Gi"}}}
    assert admin.patch(f"{path}/data/status", json=status, headers=MERGE).status_code == 200
    return f"{path}/data"


def resize(admin: httpx.Client, path: str, size: str) -> Any:
    body = {"spec": {"resources": {"requests": {"storage": size}}}}
    return admin.patch(path, json=body, headers=MERGE)


@pytest.mark.parametrize("size", ["3Gi", "2049Mi", "2.5Gi", "3e9", "1Ti"])
def test_a_bound_claim_of_a_class_that_allows_it_grows(
    admin: httpx.Client, namespace: str, classes: None, size: str
) -> None:
    answer = resize(admin, claim(admin, namespace, "grows"), size)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("storage_class", ["fixed", "gone", ""])
def test_a_class_that_cannot_is_a_403_of_the_plugin(
    admin: httpx.Client, namespace: str, classes: None, storage_class: str
) -> None:
    path = claim(admin, namespace, storage_class)
    answer = resize(admin, path, "3Gi")
    assert answer.status_code == 403
    assert answer.json()["message"] == (
        'persistentvolumeclaims "data" is forbidden: only dynamically provisioned pvc can be resized and the '
        "storageclass that provisions the pvc must support resize"
    )
    assert admin.get(path).json()["spec"]["resources"]["requests"]["storage"] == "2Gi"


@pytest.mark.parametrize("size", ["1Gi", "2G", "1"])
def test_a_claim_cannot_shrink(admin: httpx.Client, namespace: str, classes: None, size: str) -> None:
    answer = resize(admin, claim(admin, namespace, "grows"), size)
    assert answer.status_code == 422
    (cause,) = answer.json()["details"]["causes"]
    assert cause["field"] == "spec.resources.requests.storage"
    assert "field can not be less than previous value" in cause["message"]


def test_a_claim_that_is_not_bound_keeps_its_size(admin: httpx.Client, namespace: str, classes: None) -> None:
    answer = resize(admin, claim(admin, namespace, "grows", "Pending"), "3Gi")
    assert answer.status_code == 422
    assert "for bound claims" in answer.text


def test_the_same_size_written_otherwise_is_no_change(admin: httpx.Client, namespace: str, classes: None) -> None:
    assert resize(admin, claim(admin, namespace, "fixed"), "2048Mi").status_code == 200


def test_a_dry_run_meets_the_same_refusal(admin: httpx.Client, namespace: str, classes: None) -> None:
    path = claim(admin, namespace, "fixed")
    body = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    assert admin.patch(path, json=body, headers=MERGE, params={"dryRun": "All"}).status_code == 403
