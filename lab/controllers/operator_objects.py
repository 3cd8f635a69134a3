"""What the Prometheus operator makes of its resources beside StatefulSets: Services, Endpoints, statuses. Pure."""

from __future__ import annotations

from lab.controllers import meta
from lab.controllers.client import Object


def owned_meta(owner: Object, name: str, labels: dict[str, str]) -> Object:
    return {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": {"managed-by": "prometheus-operator", **labels},
        "ownerReferences": [meta.owner_reference(owner)],
    }


def governing_service(owner: Object, kind: str) -> Object:
    """`prometheus-operated` / `alertmanager-operated`."""
    ports: list[Object] = [{"name": owner["spec"].get("portName", "web"), "port": 9090, "targetPort": "http-web"}]
    if kind == "alertmanager":
        ports = [
            {"name": owner["spec"].get("portName", "web"), "port": 9093, "targetPort": "http-web"},
            {"name": "tcp-mesh", "port": 9094, "targetPort": 9094},
            {"name": "udp-mesh", "port": 9094, "targetPort": 9094, "protocol": "UDP"},
        ]
    for port in ports:
        port.setdefault("protocol", "TCP")
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_meta(owner, f"{kind}-operated", {f"operated-{kind}": "true"}),
        "spec": {
            "clusterIP": "None",
            "ports": ports,
            "selector": {"app.kubernetes.io/name": kind},
            "type": "ClusterIP",
        },
    }


def kubelet_service(namespace: str, name: str) -> Object:
    """The Service for the kubelets that the operator keeps (it has no selector)."""
    labels = {
        "app.kubernetes.io/managed-by": "prometheus-operator",
        "app.kubernetes.io/name": "kubelet",
        "k8s-app": "kubelet",
    }
    ports = [
        {"name": "https-metrics", "port": 10250, "protocol": "TCP", "targetPort": 10250},
        {"name": "http-metrics", "port": 10255, "protocol": "TCP", "targetPort": 10255},
        {"name": "cadvisor", "port": 4194, "protocol": "TCP", "targetPort": 4194},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"clusterIP": "None", "ports": ports, "type": "ClusterIP"},
    }


def kubelet_endpoints(namespace: str, name: str, nodes: list[Object]) -> Object:
    """The Endpoints behind it: every node's address."""
    service = kubelet_service(namespace, name)
    addresses = []
    for node in sorted(nodes, key=lambda obj: str(obj["metadata"]["name"])):
        for entry in (node.get("status") or {}).get("addresses") or []:
            if entry["type"] == "InternalIP":
                target = {"kind": "Node", "name": node["metadata"]["name"], "uid": meta.uid(node)}
                addresses.append({"ip": entry["address"], "nodeName": node["metadata"]["name"], "targetRef": target})
    ports = [{"name": p["name"], "port": p["port"], "protocol": "TCP"} for p in service["spec"]["ports"]]
    result: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": name, "namespace": namespace, "labels": service["metadata"]["labels"]},
    }
    if addresses:
        result["subsets"] = [{"addresses": addresses, "ports": ports}]
    return result


def resource_status(owner: Object, stateful_set: Object | None, broken: str = "") -> Object:
    """The status the operator writes on a Prometheus or Alertmanager resource; `broken` says why it cannot be built."""
    counts = (stateful_set or {}).get("status") or {}
    wanted = int(owner["spec"].get("replicas", 1))
    available = int(counts.get("availableReplicas") or 0)
    at = meta.now()
    conditions = list((owner.get("status") or {}).get("conditions") or [])
    generation = int(owner["metadata"].get("generation") or 1)
    enough = "True" if available >= wanted else "Degraded" if available else "False"
    short = ("SomePodsNotReady" if available else "NoPodReady", f"{available} of {wanted} pods are ready")
    for kind, word, why in (
        ("Available", enough, short),
        ("Reconciled", "False" if broken else "True", ("ReconciliationFailed", broken)),
    ):
        new: Object = {"type": kind, "status": word, "observedGeneration": generation}
        if word != "True":
            new |= {"reason": why[0], "message": why[1]}
        conditions = meta.set_condition(conditions, new, at)
    return {
        "availableReplicas": available,
        "conditions": conditions,
        "paused": bool(owner["spec"].get("paused")),
        "replicas": int(counts.get("replicas") or 0),
        "unavailableReplicas": max(wanted - available, 0),
        "updatedReplicas": int(counts.get("updatedReplicas") or 0),
    }
