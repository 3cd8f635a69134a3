"""What the API server itself fills in for single kinds: what defaulting from types alone cannot know.

Works on a private copy of the object being written; reads the store only to allocate addresses and ports.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable

from lab.api import claim_sizes
from lab.api.errors import Obj
from lab.api.registry import Resource
from lab.api.store import Store

_NOT_READY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_FIRST_NODE_PORT = 30_000


def on_create(store: Store, resource: Resource, obj: Obj) -> None:
    """Complete a new object in place."""
    handler = _CREATE.get((resource.group, resource.kind))
    if handler:
        handler(store, obj)


def on_update(store: Store, resource: Resource, old: Obj, obj: Obj) -> None:
    """Complete a changed object in place."""
    if resource.group:
        return
    if resource.kind == "Secret":
        _secret(store, obj)
    elif resource.kind == "Service":
        _keep_addresses(old, obj)
        _service(store, obj)
    elif resource.kind == "Pod":
        _keep_pod_fields(old, obj)
    elif resource.kind == "PersistentVolumeClaim":
        claim_sizes.check(store, old, obj)


def _namespace(_store: Store, obj: Obj) -> None:
    obj["spec"] = {**(obj.get("spec") or {}), "finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


def _secret(_store: Store, obj: Obj) -> None:
    plain = obj.pop("stringData", None)
    if plain:
        data = obj.get("data") or {}
        obj["data"] = {**data, **{key: base64.b64encode(str(text).encode()).decode() for key, text in plain.items()}}
    obj.setdefault("type", "Opaque")


def _pod(_store: Store, obj: Obj) -> None:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    tolerations = spec.setdefault("tolerations", [])
    for key in _NOT_READY:
        if not any(
            each.get("key") in (key, None, "") and each.get("effect", "NoExecute") == "NoExecute"
            for each in tolerations
        ):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    account = spec.setdefault("serviceAccountName", spec.get("serviceAccount") or "default")
    spec["serviceAccount"] = account
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}


def qos_class(spec: Obj) -> str:
    """Guaranteed, Burstable or BestEffort, from the containers' cpu and memory."""
    seen, guaranteed = False, True
    for container in spec.get("containers") or []:
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        seen = seen or any(name in (*requests, *limits) for name in ("cpu", "memory"))
        for name in ("cpu", "memory"):
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                guaranteed = False
    if not seen:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _keep_pod_fields(old: Obj, obj: Obj) -> None:
    """Fields that admission set at creation are not lost when a client replaces the pod without them."""
    before, after = old.get("spec") or {}, obj.get("spec")
    if isinstance(after, dict):
        for name in ("serviceAccountName", "serviceAccount", "priority", "preemptionPolicy", "nodeName"):
            if name in before:
                after.setdefault(name, before[name])


def _keep_addresses(old: Obj, obj: Obj) -> None:
    before, after = old.get("spec") or {}, obj.get("spec")
    if not isinstance(after, dict) or after.get("type") == "ExternalName":
        return
    for name in ("clusterIP", "clusterIPs"):
        if before.get(name) and not after.get(name):
            after[name] = before[name]
    ports = {(each.get("port"), each.get("protocol", "TCP")): each for each in before.get("ports") or []}
    if after.get("type") in ("NodePort", "LoadBalancer"):
        for port in after.get("ports") or []:
            known = ports.get((port.get("port"), port.get("protocol", "TCP")))
            if known and known.get("nodePort"):
                port.setdefault("nodePort", known["nodePort"])


def _service(store: Store, obj: Obj) -> None:
    spec = obj.get("spec")
    if not isinstance(spec, dict) or spec.get("type") == "ExternalName":
        return
    others = [each.get("spec") or {} for each in store.objects("services") if each["metadata"] is not obj["metadata"]]
    if not spec.get("clusterIP"):
        taken = {other.get("clusterIP") for other in others}
        spec["clusterIP"] = next(ip for ip in _cluster_ips() if ip not in taken)
    spec["clusterIPs"] = [spec["clusterIP"]]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        used = {port.get("nodePort") for other in others for port in other.get("ports") or []}
        used |= {port.get("nodePort") for port in spec.get("ports") or []}
        free = (port for port in itertools.count(_FIRST_NODE_PORT) if port not in used)
        for port in spec.get("ports") or []:
            if not port.get("nodePort"):
                port["nodePort"] = next(free)
    obj.setdefault("status", {"loadBalancer": {}})


def _cluster_ips() -> itertools.chain[str]:
    return itertools.chain.from_iterable((f"10.96.{high}.{low}" for low in range(1, 255)) for high in range(256))


def _claim(_store: Store, obj: Obj) -> None:
    obj["status"] = {"phase": "Pending"}


def _job(_store: Store, obj: Obj) -> None:
    obj.setdefault("status", {})
    complete_job(obj)


def complete_job(obj: Obj) -> None:
    """A Job finds its pods by its own uid, unless it brings a selector and says so."""
    spec = obj.get("spec")
    if not isinstance(spec, dict) or spec.get("manualSelector") or not isinstance(spec.get("template"), dict):
        return
    uid, name = obj["metadata"]["uid"], obj["metadata"].get("name", "")
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for prefix in ("", "batch.kubernetes.io/"):
        labels.setdefault(f"{prefix}controller-uid", uid)
        labels.setdefault(f"{prefix}job-name", name)
    spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})


def _limits(_store: Store, obj: Obj) -> None:
    obj.setdefault("status", {})


_CREATE: dict[tuple[str, str], Callable[[Store, Obj], object]] = {
    ("", "Namespace"): _namespace,
    ("", "Secret"): _secret,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _claim,
    ("", "ResourceQuota"): _limits,
    ("", "Node"): _limits,
    ("apps", "Deployment"): _limits,
    ("apps", "ReplicaSet"): lambda _store, obj: obj.setdefault("status", {"replicas": 0}),
    ("apps", "StatefulSet"): lambda _store, obj: obj.setdefault("status", {"replicas": 0, "availableReplicas": 0}),
    ("apps", "DaemonSet"): lambda _store, obj: obj.setdefault("status", dict.fromkeys(
        ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"), 0)),
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _limits,
    ("policy", "PodDisruptionBudget"): lambda _store, obj: obj.setdefault("status", dict.fromkeys(
        ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"), 0)),
    ("autoscaling", "HorizontalPodAutoscaler"): lambda _store, obj: obj.setdefault(
        "status", {"desiredReplicas": 0}),
}  # fmt: skip
