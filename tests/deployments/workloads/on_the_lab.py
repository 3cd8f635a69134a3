"""Workloads of the tests' own in a lab's namespace, and short ways to read what became of them."""

from __future__ import annotations

from typing import Any

from tests.lab.world.running import RunningLab

NAMESPACE = "stage"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
BATCH = f"/apis/batch/v1/namespaces/{NAMESPACE}"
PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}


def create(lab: RunningLab, path: str, body: dict[str, Any]) -> Any:
    answer = lab.http.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def container(name: str, image: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": image, **more}


def workload(lab: RunningLab, name: str, *containers: dict[str, Any], kind: str = "Deployment", **spec: Any) -> Any:
    """Create a workload and wait until it is ready."""
    labels = {"app": name}
    more: dict[str, Any] = {} if kind == "DaemonSet" else {"replicas": 1}
    if kind == "StatefulSet":
        more["serviceName"] = name
    body = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            **more,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": list(containers)}},
            **spec,
        },
    }
    create(lab, f"{APPS}/{PLURALS[kind]}", body)
    settled(lab, name, kind)
    return body


def settled(lab: RunningLab, name: str, kind: str = "Deployment") -> Any:
    """The workload once its controller has seen it and all its pods are ready."""

    def look() -> Any:
        item = lab.get(f"{APPS}/{PLURALS[kind]}/{name}")
        status = item.get("status") or {}
        if status.get("observedGeneration", 0) < item["metadata"]["generation"]:
            return None
        if kind == "DaemonSet":
            wanted, have = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
            return item if wanted and have == wanted == status.get("updatedNumberScheduled") else None
        wanted = item["spec"]["replicas"]
        fresh = status.get("updatedReplicas", 0) == wanted or kind == "StatefulSet"
        return item if status.get("readyReplicas", 0) == wanted == status.get("replicas", 0) and fresh else None

    return lab.until(look, f"{kind} {name} is ready")


def service(lab: RunningLab, name: str) -> None:
    """A Service in front of a workload, with its ready pods behind it."""
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    meta = {"name": name, "namespace": NAMESPACE}
    create(lab, f"{CORE}/services", {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    lab.until(lambda: addresses(lab, name), f"addresses behind {name}")


def addresses(lab: RunningLab, name: str) -> list[str]:
    path = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
    slices = lab.items(path, labelSelector=f"kubernetes.io/service-name={name}")
    endpoints = (endpoint for piece in slices for endpoint in piece.get("endpoints") or [])
    return [a for e in endpoints if e["conditions"]["ready"] for a in e["addresses"]]


def pods(lab: RunningLab, name: str) -> list[Any]:
    return sorted(lab.items(f"{CORE}/pods", labelSelector=f"app={name}"), key=lambda pod: str(pod["metadata"]["name"]))


def deployment(lab: RunningLab, name: str) -> Any:
    return lab.get(f"{APPS}/deployments/{name}")


def first(item: Any) -> Any:
    """The first container of a workload's template."""
    return item["spec"]["template"]["spec"]["containers"][0]
