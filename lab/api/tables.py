"""What `kubectl get` shows: the columns of a meta.k8s.io/v1 Table. Pure; `now` is RFC 3339 in UTC.

The columns are those of kube-apiserver's printers; custom resources use their CRD's additionalPrinterColumns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lab.api.cells import (
    NONE,
    Obj,
    age,
    at,
    claim_status,
    class_name,
    containers,
    counted,
    endpoints,
    event_age,
    event_object,
    external_address,
    field,
    first_seen,
    job_completions,
    job_duration,
    job_status,
    joined,
    labels_of,
    last_schedule,
    modes,
    node_address,
    node_roles,
    node_status,
    object_age,
    pod_ready,
    pod_restarts,
    pod_status,
    ports,
    ready_of,
    scale_metrics,
    scale_target,
    subset_addresses,
    volume_claim,
)


class Column(NamedTuple):
    """One column; `wide` ones are shown by `-o wide` only."""

    name: str
    cell: Callable[[Obj, str], Any]
    wide: bool = False
    type: str = "string"


def _number(name: str, path: str) -> Column:
    return Column(name, field(path, 0), type="integer")


def table(gvk: tuple[str, str, str], objects: list[Obj], now: str, crd_columns: Sequence[Obj] | None = None) -> Obj:
    """The Table of the objects. `crd_columns` are additionalPrinterColumns; None means a built-in kind."""
    columns = _BY_KIND.get((gvk[0], gvk[2]), _DEFAULT) if crd_columns is None else _custom(crd_columns)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": [
            {
                "name": column.name,
                "type": column.type,
                "format": "name" if column.name == "Name" else "",
                "description": "",
                "priority": int(column.wide),
            }
            for column in columns
        ],
        "rows": [{"cells": [column.cell(obj, now) for column in columns], "object": obj} for obj in objects],
    }


_NAME = Column("Name", field("metadata.name"))
_AGE = Column("Age", object_age)
_DEFAULT = [_NAME, Column("Age", object_age, type="date")]


_CONTAINERS = [
    Column("Containers", containers("spec.template.spec", "name"), wide=True),
    Column("Images", containers("spec.template.spec", "image"), wide=True),
]
_SELECTOR = Column("Selector", lambda obj, _now: labels_of(at(obj, "spec.selector.matchLabels")), wide=True)
_BY_KIND: dict[tuple[str, str], list[Column]] = {
    ("", "Pod"): [
        _NAME,
        Column("Ready", pod_ready),
        Column("Status", pod_status),
        Column("Restarts", pod_restarts),
        _AGE,
        Column("IP", field("status.podIP"), wide=True),
        Column("Node", field("spec.nodeName"), wide=True),
        Column("Nominated Node", field("status.nominatedNodeName"), wide=True),
        Column("Readiness Gates", lambda _obj, _now: NONE, wide=True),
    ],
    ("apps", "Deployment"): [
        _NAME,
        Column("Ready", ready_of),
        Column("Up-to-date", field("status.updatedReplicas", 0), type="integer"),
        Column("Available", field("status.availableReplicas", 0), type="integer"),
        _AGE,
        *_CONTAINERS,
        _SELECTOR,
    ],
    ("apps", "StatefulSet"): [_NAME, Column("Ready", ready_of), _AGE, *_CONTAINERS],
    ("apps", "DaemonSet"): [
        _NAME,
        _number("Desired", "status.desiredNumberScheduled"),
        _number("Current", "status.currentNumberScheduled"),
        _number("Ready", "status.numberReady"),
        _number("Up-to-date", "status.updatedNumberScheduled"),
        _number("Available", "status.numberAvailable"),
        Column("Node Selector", lambda obj, _now: labels_of(at(obj, "spec.template.spec.nodeSelector"))),
        _AGE,
        *_CONTAINERS,
        _SELECTOR,
    ],
    ("apps", "ReplicaSet"): [
        _NAME,
        _number("Desired", "spec.replicas"),
        _number("Current", "status.replicas"),
        _number("Ready", "status.readyReplicas"),
        _AGE,
        *_CONTAINERS,
        _SELECTOR,
    ],
    ("", "Node"): [
        _NAME,
        Column("Status", node_status),
        Column("Roles", node_roles),
        _AGE,
        Column("Version", field("status.nodeInfo.kubeletVersion")),
        Column("Internal-IP", node_address("InternalIP"), wide=True),
        Column("External-IP", node_address("ExternalIP"), wide=True),
        Column("OS-Image", field("status.nodeInfo.osImage", "<unknown>"), wide=True),
        Column("Kernel-Version", field("status.nodeInfo.kernelVersion", "<unknown>"), wide=True),
        Column("Container-Runtime", field("status.nodeInfo.containerRuntimeVersion", "<unknown>"), wide=True),
    ],
    ("", "Service"): [
        _NAME,
        Column("Type", field("spec.type")),
        Column("Cluster-IP", field("spec.clusterIP")),
        Column("External-IP", external_address),
        Column("Port(s)", ports),
        _AGE,
        Column("Selector", lambda obj, _now: labels_of(at(obj, "spec.selector")), wide=True),
    ],
    ("", "PersistentVolumeClaim"): [
        _NAME,
        Column("Status", claim_status),
        Column("Volume", field("spec.volumeName", "")),
        Column("Capacity", field("status.capacity.storage", "")),
        Column("Access Modes", modes),
        Column("StorageClass", field("spec.storageClassName", "")),
        Column("VolumeAttributesClass", field("spec.volumeAttributesClassName", "<unset>")),
        _AGE,
        Column("VolumeMode", field("spec.volumeMode", "<unset>"), wide=True),
    ],
    ("", "PersistentVolume"): [
        _NAME,
        Column("Capacity", field("spec.capacity.storage", "")),
        Column("Access Modes", modes),
        Column("Reclaim Policy", field("spec.persistentVolumeReclaimPolicy", "")),
        Column("Status", claim_status),
        Column("Claim", volume_claim),
        Column("StorageClass", field("spec.storageClassName", "")),
        Column("VolumeAttributesClass", field("spec.volumeAttributesClassName", "<unset>")),
        Column("Reason", field("status.reason", "")),
        _AGE,
        Column("VolumeMode", field("spec.volumeMode", "<unset>"), wide=True),
    ],
    ("storage.k8s.io", "StorageClass"): [
        Column("Name", class_name),
        Column("Provisioner", field("provisioner", "")),
        Column("ReclaimPolicy", field("reclaimPolicy", "Delete")),
        Column("VolumeBindingMode", field("volumeBindingMode", "Immediate")),
        Column("AllowVolumeExpansion", field("allowVolumeExpansion", False), type="boolean"),
        _AGE,
    ],
    ("", "Namespace"): [_NAME, Column("Status", field("status.phase", "")), _AGE],
    ("", "ConfigMap"): [_NAME, Column("Data", counted("data", "binaryData"), type="integer"), _AGE],
    ("", "Secret"): [
        _NAME,
        Column("Type", field("type", "")),
        Column("Data", counted("data"), type="integer"),
        _AGE,
    ],
    ("", "Event"): [
        Column("Last Seen", event_age),
        Column("Type", field("type", "")),
        Column("Reason", field("reason", "")),
        Column("Object", event_object),
        Column("Subobject", field("involvedObject.fieldPath", ""), wide=True),
        Column("Source", field("source.component", ""), wide=True),
        Column("Message", lambda obj, _now: str(obj.get("message") or obj.get("note") or "").strip()),
        Column(
            "First Seen",
            first_seen,
            True,
        ),
        Column("Count", field("count", 1), wide=True),
        Column("Name", field("metadata.name"), wide=True),
    ],
    ("batch", "Job"): [
        _NAME,
        Column("Status", job_status),
        Column("Completions", job_completions),
        Column("Duration", job_duration),
        _AGE,
        *_CONTAINERS,
        _SELECTOR,
    ],
    ("batch", "CronJob"): [
        _NAME,
        Column("Schedule", field("spec.schedule", "")),
        Column("Timezone", field("spec.timeZone")),
        Column("Suspend", lambda obj, _now: str(bool(at(obj, "spec.suspend")))),
        Column("Active", lambda obj, _now: len(at(obj, "status.active", [])), type="integer"),
        Column(
            "Last Schedule",
            last_schedule,
        ),
        _AGE,
    ],
    ("policy", "PodDisruptionBudget"): [
        _NAME,
        Column("Min Available", field("spec.minAvailable", "N/A")),
        Column("Max Unavailable", field("spec.maxUnavailable", "N/A")),
        _number("Allowed Disruptions", "status.disruptionsAllowed"),
        _AGE,
    ],
    ("autoscaling", "HorizontalPodAutoscaler"): [
        _NAME,
        Column("Reference", scale_target),
        Column("Targets", scale_metrics),
        Column("MinPods", field("spec.minReplicas", "<unset>")),
        _number("MaxPods", "spec.maxReplicas"),
        _number("Replicas", "status.currentReplicas"),
        _AGE,
    ],
    ("", "Endpoints"): [_NAME, Column("Endpoints", subset_addresses), _AGE],
    ("discovery.k8s.io", "EndpointSlice"): [
        _NAME,
        Column("AddressType", field("addressType", "")),
        Column("Ports", lambda obj, _now: joined(p.get("port") for p in obj.get("ports") or [])),
        Column("Endpoints", endpoints),
        _AGE,
    ],
    ("apiextensions.k8s.io", "CustomResourceDefinition"): [
        _NAME,
        Column("Created At", field("metadata.creationTimestamp"), type="date"),
    ],
}
_BY_KIND["events.k8s.io", "Event"] = _BY_KIND["", "Event"]


# -- custom resources --

_STEP = re.compile(
    r"""\.?((?:[^.\[\\]|\\.)+)|\[\?\(@\.([\w.-]+)\s*==\s*["']([^"']*)["']\)\]|\[(\d+|\*)\]|\['([^']+)'\]"""
)


def _custom(columns: Sequence[Obj]) -> list[Column]:
    if not columns:
        return _DEFAULT
    own = [
        Column(
            str(column.get("name", "")),
            _path_cell(str(column.get("jsonPath", "")), column.get("type") == "date"),
            wide=int(column.get("priority") or 0) > 0,
            type=str(column.get("type") or "string"),
        )
        for column in columns
    ]
    return [_NAME, *own]


def _path_cell(path: str, is_date: bool) -> Callable[[Obj, str], Any]:
    def cell(obj: Obj, now: str) -> Any:
        found = json_path(obj, path)
        if found is None:
            return "<unknown>" if is_date else ""
        if is_date:
            return age(found, now)
        return json.dumps(found, separators=(",", ":")) if isinstance(found, (dict, list)) else found

    return cell


def json_path(obj: Any, path: str) -> Any:
    """The first value at a CRD column's jsonPath (names, indexes, `[?(@.type=="Ready")]`); None when absent."""
    current = [obj]
    for name, key, wanted, index, quoted in _STEP.findall(path):
        following: list[Any] = []
        for value in current:
            if isinstance(value, dict) and (name or quoted):
                following.append(value.get(quoted or re.sub(r"\\(.)", r"\1", name)))
            elif isinstance(value, list) and key:
                following += [each for each in value if str(at(each, key)) == wanted]
            elif isinstance(value, list) and index:
                following += value if index == "*" else value[int(index) : int(index) + 1]
        current = [value for value in following if value is not None]
    return current[0] if current else None
