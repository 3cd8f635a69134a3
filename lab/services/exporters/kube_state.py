"""kube-state-metrics: one series per fact of an API object. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from lab.controllers import meta
from lab.services.cluster import Cluster, Obj, created, seconds
from lab.services.curves import Steps
from lab.services.exporters.sample import Samples, gauge, labelled

_PHASES = ("Pending", "Succeeded", "Failed", "Unknown", "Running")
_CLAIM_PHASES = ("Bound", "Lost", "Pending")
_VOLUME_PHASES = ("Available", "Bound", "Failed", "Pending", "Released")


def kube_state_metrics(cluster: Cluster) -> Samples:
    """Every series of the cluster."""
    for resource, read in _READERS.items():
        for obj in cluster.list(resource):
            yield from read(obj)


def _named(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _changed(obj: Obj, condition: str) -> float | None:
    return seconds((meta.condition(obj, condition) or {}).get("lastTransitionTime"))


def _unit(resource: str) -> str:
    return {"cpu": "core", "memory": "byte", "ephemeral-storage": "byte", "storage": "byte"}.get(resource, "integer")


def _metric_label(name: str) -> str:
    return "label_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)


# -- pods


def _pod(pod: Obj) -> Samples:
    namespace, name = _named(pod)
    key = {"namespace": namespace, "pod": name, "uid": meta.uid(pod)}
    status = pod.get("status") or {}
    born = created(pod)
    owner = meta.controller_of(pod) or {}
    yield labelled(
        "kube_pod_info",
        1,
        {
            **key,
            "node": str(pod["spec"].get("nodeName") or ""),
            "host_ip": str(status.get("hostIP") or ""),
            "pod_ip": str(status.get("podIP") or ""),
            "created_by_kind": str(owner.get("kind") or "<none>"),
            "created_by_name": str(owner.get("name") or "<none>"),
            "host_network": str(bool(pod["spec"].get("hostNetwork"))).lower(),
        },
        born,
    )
    if born is not None:
        yield labelled("kube_pod_created", born, key, born)
    if seconds(status.get("startTime")) is not None:
        yield labelled("kube_pod_start_time", seconds(status["startTime"]) or 0.0, key, born)
    for phase in _PHASES:
        yield labelled("kube_pod_status_phase", phase == status.get("phase"), {**key, "phase": phase}, born)
    ready = meta.condition(pod, "Ready") or {}
    for word in ("true", "false", "unknown"):
        value = str(ready.get("status") or "Unknown").lower() == word
        yield labelled("kube_pod_status_ready", value, {**key, "condition": word}, _changed(pod, "Ready"))
    if meta.deleting(pod):
        yield labelled("kube_pod_deletion_timestamp", seconds(pod["metadata"]["deletionTimestamp"]) or 0.0, key)
    for container in pod["spec"].get("containers") or []:
        where = {"container": container["name"], "node": str(pod["spec"].get("nodeName") or "")}
        yield from _resources(container, {**key, **where})
    for each in status.get("containerStatuses") or []:
        yield from _container(each, {**key, "container": str(each.get("name"))}, "", born)
    for each in status.get("initContainerStatuses") or []:
        yield from _container(each, {**key, "container": str(each.get("name"))}, "init_", born)


def _resources(container: Obj, key: dict[str, str]) -> Samples:
    for part in ("requests", "limits"):
        for resource, amount in ((container.get("resources") or {}).get(part) or {}).items():
            labels = {**key, "resource": resource, "unit": _unit(resource)}
            yield labelled(f"kube_pod_container_resource_{part}", meta.quantity(amount), labels)


def _container(status: Obj, key: dict[str, str], prefix: str, born: float | None) -> Samples:
    state, last = status.get("state") or {}, status.get("lastState") or {}
    base = f"kube_pod_{prefix}container_"
    yield labelled(f"{base}info", 1, {**key, "image": str(status.get("image") or "")}, born)
    began = seconds((state.get("running") or {}).get("startedAt"))
    yield labelled(f"{base}status_ready", bool(status.get("ready")), key, began)
    for word in ("running", "waiting", "terminated"):
        yield labelled(f"{base}status_{word}", word in state, key, began if word == "running" else None)
    waiting = (state.get("waiting") or {}).get("reason")
    if waiting:
        since = seconds((last.get("terminated") or {}).get("finishedAt"))
        yield labelled(f"{base}status_waiting_reason", 1, {**key, "reason": str(waiting)}, since)
    ended = (last.get("terminated") or {}).get("reason")
    if ended:
        yield labelled(f"{base}status_last_terminated_reason", 1, {**key, "reason": str(ended)})
    yield labelled(f"{base}status_restarts_total", _restarts(status), key, born)


def _restarts(status: Obj) -> Steps:
    """A counter that knows when the last restart was."""
    count = int(status.get("restartCount") or 0)
    last = seconds(((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt"))
    return Steps((last,), count - 1.0) if count and last is not None else Steps((), float(count))


# -- workloads


def _conditions(name: str, obj: Obj, key: dict[str, str]) -> Samples:
    for condition in (obj.get("status") or {}).get("conditions") or []:
        since = seconds(condition.get("lastTransitionTime"))
        for word in ("true", "false", "unknown"):
            labels = {**key, "condition": str(condition.get("type")), "status": word}
            yield labelled(name, str(condition.get("status", "")).lower() == word, labels, since)


def _replicas(kind: str, obj: Obj, fields: dict[str, str]) -> Samples:
    """Series of a workload's counts: metric suffix -> field of the status."""
    namespace, name = _named(obj)
    key = {"namespace": namespace, kind: name}
    status, born = obj.get("status") or {}, created(obj)
    since = _changed(obj, "Available") or born
    prefix = f"kube_{kind}_"
    if born is not None:
        yield labelled(f"{prefix}created", born, key, born)
    yield labelled(f"{prefix}metadata_generation", int(obj["metadata"].get("generation") or 0), key)
    yield labelled(f"{prefix}status_observed_generation", int(status.get("observedGeneration") or 0), key)
    for metric, field in fields.items():
        yield labelled(f"{prefix}{metric}", float(status.get(field) or 0), key, since)


def _deployment(obj: Obj) -> Samples:
    namespace, name = _named(obj)
    key = {"namespace": namespace, "deployment": name}
    yield from _replicas(
        "deployment",
        obj,
        {
            "status_replicas": "replicas",
            "status_replicas_ready": "readyReplicas",
            "status_replicas_available": "availableReplicas",
            "status_replicas_unavailable": "unavailableReplicas",
            "status_replicas_updated": "updatedReplicas",
        },
    )
    yield labelled("kube_deployment_spec_replicas", float(obj["spec"].get("replicas", 1)), key, created(obj))
    yield labelled("kube_deployment_spec_paused", bool(obj["spec"].get("paused")), key)
    yield from _conditions("kube_deployment_status_condition", obj, key)


def _stateful_set(obj: Obj) -> Samples:
    namespace, name = _named(obj)
    yield from _replicas(
        "statefulset",
        obj,
        {
            "status_replicas": "replicas",
            "status_replicas_ready": "readyReplicas",
            "status_replicas_available": "availableReplicas",
            "status_replicas_current": "currentReplicas",
            "status_replicas_updated": "updatedReplicas",
        },
    )
    wanted = float(obj["spec"].get("replicas", 1))
    yield gauge("kube_statefulset_replicas", wanted, created(obj), namespace=namespace, statefulset=name)


def _daemon_set(obj: Obj) -> Samples:
    yield from _replicas(
        "daemonset",
        obj,
        {
            "status_desired_number_scheduled": "desiredNumberScheduled",
            "status_current_number_scheduled": "currentNumberScheduled",
            "status_number_ready": "numberReady",
            "status_number_available": "numberAvailable",
            "status_number_unavailable": "numberUnavailable",
            "status_number_misscheduled": "numberMisscheduled",
            "status_updated_number_scheduled": "updatedNumberScheduled",
        },
    )


def _replica_set(obj: Obj) -> Samples:
    namespace, name = _named(obj)
    owner = meta.controller_of(obj) or {}
    key = {"namespace": namespace, "replicaset": name}
    yield labelled("kube_replicaset_spec_replicas", float(obj["spec"].get("replicas", 1)), key, created(obj))
    ready = float((obj.get("status") or {}).get("readyReplicas") or 0)
    yield labelled("kube_replicaset_status_ready_replicas", ready, key)
    labels = {**key, "owner_kind": str(owner.get("kind") or "<none>"), "owner_name": str(owner.get("name") or "<none>")}
    yield labelled("kube_replicaset_owner", 1, labels, created(obj))


def _job(obj: Obj) -> Samples:
    namespace, name = _named(obj)
    status = obj.get("status") or {}
    for word in ("active", "succeeded", "failed"):
        yield gauge(f"kube_job_status_{word}", float(status.get(word) or 0), namespace=namespace, job_name=name)


# -- nodes, storage, the rest


def _node(node: Obj) -> Samples:
    name, status = node["metadata"]["name"], node.get("status") or {}
    info, born = status.get("nodeInfo") or {}, created(node)
    address = next((a.get("address") for a in status.get("addresses") or [] if a.get("type") == "InternalIP"), "")
    yield gauge(
        "kube_node_info",
        1,
        born,
        node=name,
        internal_ip=str(address or ""),
        kubelet_version=str(info.get("kubeletVersion") or ""),
        os_image=str(info.get("osImage") or ""),
        kernel_version=str(info.get("kernelVersion") or ""),
        container_runtime_version=str(info.get("containerRuntimeVersion") or ""),
    )
    labels = {_metric_label(key): value for key, value in meta.labels(node).items()}
    yield labelled("kube_node_labels", 1, {"node": name, **labels}, born)
    if born is not None:
        yield gauge("kube_node_created", born, born, node=name)
    yield gauge("kube_node_spec_unschedulable", bool(node.get("spec", {}).get("unschedulable")), node=name)
    for taint in (node.get("spec") or {}).get("taints") or []:
        labels = {key: str(taint.get(key) or "") for key in ("key", "value", "effect")}
        yield labelled("kube_node_spec_taint", 1, {"node": name, **labels}, born)
    for label in meta.labels(node):
        if label.startswith("node-role.kubernetes.io/"):
            yield gauge("kube_node_role", 1, born, node=name, role=label.partition("/")[2])
    yield from _conditions("kube_node_status_condition", node, {"node": name})
    for part in ("capacity", "allocatable"):
        for resource, amount in (status.get(part) or {}).items():
            labels = {"node": name, "resource": resource.replace("-", "_"), "unit": _unit(resource)}
            yield labelled(f"kube_node_status_{part}", meta.quantity(amount), labels, born)


def _claim(claim: Obj) -> Samples:
    namespace, name = _named(claim)
    key = {"namespace": namespace, "persistentvolumeclaim": name}
    spec, born = claim["spec"], created(claim)
    labels = {"storageclass": str(spec.get("storageClassName") or ""), "volumename": str(spec.get("volumeName") or "")}
    yield labelled("kube_persistentvolumeclaim_info", 1, {**key, **labels}, born)
    phase = (claim.get("status") or {}).get("phase")
    for word in _CLAIM_PHASES:
        yield labelled("kube_persistentvolumeclaim_status_phase", phase == word, {**key, "phase": word}, born)
    wanted = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    yield labelled("kube_persistentvolumeclaim_resource_requests_storage_bytes", meta.quantity(wanted), key, born)
    for mode in spec.get("accessModes") or []:
        yield labelled("kube_persistentvolumeclaim_access_mode", 1, {**key, "access_mode": mode}, born)


def _volume(volume: Obj) -> Samples:
    name, spec, born = volume["metadata"]["name"], volume["spec"], created(volume)
    storage_class = str(spec.get("storageClassName") or "")
    yield gauge("kube_persistentvolume_info", 1, born, persistentvolume=name, storageclass=storage_class)
    amount = meta.quantity((spec.get("capacity") or {}).get("storage"))
    yield gauge("kube_persistentvolume_capacity_bytes", amount, born, persistentvolume=name)
    for word in _VOLUME_PHASES:
        value = (volume.get("status") or {}).get("phase") == word
        yield gauge("kube_persistentvolume_status_phase", value, born, persistentvolume=name, phase=word)


def _namespace(obj: Obj) -> Samples:
    name = obj["metadata"]["name"]
    for word in ("Active", "Terminating"):
        value = (obj.get("status") or {}).get("phase") == word
        yield gauge("kube_namespace_status_phase", value, created(obj), namespace=name, phase=word)


def _service(obj: Obj) -> Samples:
    namespace, name = _named(obj)
    spec, key = obj["spec"], {"namespace": namespace, "service": name}
    yield labelled("kube_service_info", 1, {**key, "cluster_ip": str(spec.get("clusterIP") or "")}, created(obj))
    yield labelled("kube_service_spec_type", 1, {**key, "type": str(spec.get("type") or "ClusterIP")}, created(obj))
    for ingress in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []:
        yield labelled("kube_service_status_load_balancer_ingress", 1, {**key, "ip": str(ingress.get("ip") or "")})


def _storage_class(obj: Obj) -> Samples:
    labels = {"storageclass": obj["metadata"]["name"], "provisioner": str(obj.get("provisioner") or "")}
    labels["reclaim_policy"] = str(obj.get("reclaimPolicy") or "")
    labels["volume_binding_mode"] = str(obj.get("volumeBindingMode") or "")
    yield labelled("kube_storageclass_info", 1, labels, created(obj))


def _quota(obj: Obj) -> Samples:
    namespace, name = _named(obj)
    for kind in ("hard", "used"):
        for resource, amount in ((obj.get("status") or {}).get(kind) or {}).items():
            labels = {"namespace": namespace, "resourcequota": name, "resource": resource, "type": kind}
            yield labelled("kube_resourcequota", meta.quantity(amount), labels)


_READERS: dict[str, Callable[[Obj], Samples]] = {
    "pods": _pod,
    "nodes": _node,
    "namespaces": _namespace,
    "services": _service,
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
    "resourcequotas": _quota,
    "storageclasses.storage.k8s.io": _storage_class,
    "deployments.apps": _deployment,
    "replicasets.apps": _replica_set,
    "statefulsets.apps": _stateful_set,
    "daemonsets.apps": _daemon_set,
    "jobs.batch": _job,
}
