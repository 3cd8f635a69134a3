"""Views: resources that show the objects of another one in another shape. Writes to a view are writes to that one.

events.k8s.io/v1 Events are core Events in the newer shape; autoscaling/v1 HorizontalPodAutoscalers are those of v2 with
one number for the CPU (kubectl creates them so).
"""

from __future__ import annotations

import json
from collections.abc import Callable

from lab.api.errors import Obj
from lab.api.registry import Registry, Resource
from lab.api.store import Entry

_TO_VIEW = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_TO_CORE = {view: core for core, view in _TO_VIEW.items()}
_REST = {  # what v1 of the autoscaler has no field for, as annotations: name of the field in v2 -> annotation
    "metrics": "autoscaling.alpha.kubernetes.io/metrics",
    "behavior": "autoscaling.alpha.kubernetes.io/behavior",
    "conditions": "autoscaling.alpha.kubernetes.io/conditions",
}


def _event_view(obj: Obj) -> Obj:
    return {_TO_VIEW.get(name, name): value for name, value in obj.items()}


def _event_core(obj: Obj) -> Obj:
    return {_TO_CORE.get(name, name): value for name, value in obj.items()}


def _is_cpu(metric: Obj) -> bool:
    resource = metric.get("resource") or {}
    target = resource.get("target") or {}
    return metric.get("type") == "Resource" and resource.get("name") == "cpu" and "averageUtilization" in target


def _autoscaler_v1(obj: Obj) -> Obj:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics = spec.pop("metrics", None) or []
    notes = dict(obj["metadata"].get("annotations") or {})
    cpu = next((metric for metric in metrics if _is_cpu(metric)), None)
    if cpu is not None:
        spec["targetCPUUtilizationPercentage"] = cpu["resource"]["target"]["averageUtilization"]
    rest = {
        "metrics": [metric for metric in metrics if metric is not cpu],
        "behavior": spec.pop("behavior", None),
        "conditions": status.pop("conditions", None),
    }
    notes |= {_REST[name]: json.dumps(value) for name, value in rest.items() if value}
    status.pop("currentMetrics", None)
    meta = {**obj["metadata"], **({"annotations": notes} if notes else {})}
    return {**obj, "metadata": meta, "spec": spec, "status": {"currentReplicas": 0, **status}}


def _autoscaler_v2(obj: Obj) -> Obj:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    meta = dict(obj.get("metadata") or {})
    notes = dict(meta.get("annotations") or {})
    rest = {name: json.loads(notes.pop(note)) for name, note in _REST.items() if note in notes}
    metrics = list(rest.get("metrics") or [])
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    if "behavior" in rest:
        spec["behavior"] = rest["behavior"]
    if "conditions" in rest:
        status["conditions"] = rest["conditions"]
    if notes or "annotations" in meta:
        meta["annotations"] = notes
    return {**obj, "metadata": meta, "spec": spec, "status": status}


# (group, kind) of a view -> (apiVersion of what is stored, to the view, to what is stored)
_SHAPES: dict[tuple[str, str], tuple[str, Callable[[Obj], Obj], Callable[[Obj], Obj]]] = {
    ("events.k8s.io", "Event"): ("v1", _event_view, _event_core),
    ("autoscaling", "HorizontalPodAutoscaler"): ("autoscaling/v2", _autoscaler_v1, _autoscaler_v2),
}


def to_view(resource: Resource, obj: Obj) -> Obj:
    """A stored object as `resource` shows it."""
    if not resource.storage:
        return obj
    _version, shown, _stored = _SHAPES[resource.group, resource.kind]
    return {**shown(obj), "kind": resource.kind, "apiVersion": resource.api_version}


def to_stored(resource: Resource, obj: Obj) -> Obj:
    """The body of a write to a view as the stored kind."""
    if not resource.storage:
        return obj
    version, _shown, stored = _SHAPES[resource.group, resource.kind]
    return {**stored(obj), "kind": resource.kind, "apiVersion": version}


def target(registry: Registry, resource: Resource) -> Resource:
    """The resource that a write to `resource` goes to."""
    return (registry.by_key(resource.storage) if resource.storage else None) or resource


def entries(resource: Resource, found: list[Entry]) -> list[Entry]:
    return [Entry(to_view(resource, entry.obj), entry.version) for entry in found]
