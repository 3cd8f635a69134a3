"""The autoscaling/v1 Scale view of a resource: where its replica counts and its selector are."""

from __future__ import annotations

from dataclasses import dataclass

from lab.api import errors
from lab.api.errors import Obj
from lab.api.patching import Cause
from lab.api.registry import Resource
from lab.api.selectors import selector_text


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Dotted paths into the object; `selector` empty reads spec.selector as a LabelSelector."""

    spec: str = "spec.replicas"
    status: str = "status.replicas"
    selector: str = ""

    @classmethod
    def of(cls, resource: Resource) -> ScalePaths:
        if resource.custom is None or resource.custom.scale is None:
            return cls()
        scale = resource.custom.scale
        return cls(
            scale.get("specReplicasPath", ".spec.replicas").lstrip("."),
            scale.get("statusReplicasPath", ".status.replicas").lstrip("."),
            scale.get("labelSelectorPath", "").lstrip("."),
        )


def _at(obj: Obj, path: str) -> object:
    value: object = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def scale_of(obj: Obj, paths: ScalePaths) -> Obj:
    meta = obj["metadata"]
    status: Obj = {"replicas": _at(obj, paths.status) or 0}
    if paths.selector:
        selector = str(_at(obj, paths.selector) or "")
    else:
        selector = selector_text((obj.get("spec") or {}).get("selector") or {})
    if selector:
        status["selector"] = selector
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in kept if name in meta},
        "spec": {"replicas": _at(obj, paths.spec) or 0},
        "status": status,
    }


def with_replicas(obj: Obj, paths: ScalePaths, replicas: int) -> Obj:
    """`obj` changed in place and returned."""
    *parents, last = paths.spec.split(".")
    place = obj
    for part in parents:
        place = place.setdefault(part, {})
    place[last] = replicas
    return obj


def read_replicas(scale: Obj) -> int:
    """The wanted count of a Scale. Raises ApiError 422."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    name = (scale.get("metadata") or {}).get("name", "")
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise errors.invalid("Scale", "autoscaling", name, [Cause("FieldValueInvalid", "spec.replicas", message)])
    return replicas
