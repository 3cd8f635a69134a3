"""Collects the objects of a scenario as a server would hold them: uid, times, defaults, owners of fields.

It is also the `View` that the controllers' pure functions read, so that `lab.scenarios.settle` can finish the world
with the same code that later runs it, and the controllers find nothing to do.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from lab.api import patching
from lab.controllers import meta
from lab.controllers.argocd import kinds
from lab.controllers.client import Object

_NAMESPACE = uuid.UUID("8f3b1d0e-6f0a-5c55-9e0b-4a1f6f0d2c11")
_PLURALS = {
    ("", "Endpoints"): "endpoints",
    ("networking.k8s.io", "NetworkPolicy"): "networkpolicies",
    ("monitoring.coreos.com", "Prometheus"): "prometheuses",
    ("storage.k8s.io", "StorageClass"): "storageclasses",
}
Objects = list[Object]


def plural_of(obj: Object) -> str:
    """The resource name of a kind by the API's habit of forming plurals."""
    group, kind = meta.group_of(obj), str(obj["kind"])
    known = _PLURALS.get((group, kind))
    if known:
        return known
    lower = kind.lower()
    if lower.endswith("s"):
        return f"{lower}es"
    return f"{lower[:-1]}ies" if lower.endswith("y") and lower[-2] not in "aeiou" else f"{lower}s"


def key_for(obj: Object) -> str:
    group = meta.group_of(obj)
    return f"{plural_of(obj)}.{group}" if group else plural_of(obj)


class Builder:
    """The world while it is being built. `now` is the moment at which the lab starts."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.intents: dict[str, Object] = {}  # uid -> what was written, before defaulting
        self._store: dict[str, dict[tuple[str, str], Object]] = defaultdict(dict)

    # -- reading (a View) ----------------------------------------------------------------------------------------

    def list(self, resource: str, namespace: str | None = None, selector: dict[str, Any] | None = None) -> Objects:
        return [
            obj
            for obj in self._store[resource].values()
            if (namespace is None or obj["metadata"].get("namespace", "") == namespace)
            and (selector is None or meta.matches(obj["metadata"].get("labels"), selector))
        ]

    def get(self, resource: str, namespace: str | None, name: str) -> Object | None:
        return self._store[resource].get((namespace or "", name))

    def objects(self) -> Objects:
        """Everything, namespaces and definitions first."""
        first = ["namespaces", "customresourcedefinitions.apiextensions.k8s.io"]
        keys = [*first, *(key for key in self._store if key not in first)]
        return [obj for key in keys for obj in self._store[key].values()]

    # -- writing -------------------------------------------------------------------------------------------------

    def time(self, minutes_ago: float) -> str:
        return meta.stamp(self.now - timedelta(minutes=minutes_ago))

    def add(self, obj: Object, minutes_ago: float, manager: str = "kubectl-client-side-apply") -> Object:
        """Take an object in as if `manager` had created it that long ago; status is kept."""
        at = self.time(minutes_ago)
        group, _, version = str(obj["apiVersion"]).rpartition("/")
        gvk = (group, version, str(obj["kind"]))
        status = obj.get("status")
        body = {key: value for key, value in obj.items() if key != "status"}
        if manager == kinds.MANAGER:
            made = patching.apply(None, body, gvk=gvk, manager=manager, force=True, now=at)
            made = {**patching.default(gvk, made, at), "metadata": made["metadata"]}
        else:
            made = patching.default(gvk, body, at)
            made = patching.track_update(None, made, gvk=gvk, manager=manager, now=at)
        name = meta.key_of(made)
        made["metadata"] |= {
            "uid": str(uuid.uuid5(_NAMESPACE, f"{key_for(obj)}/{name[0]}/{name[1]}")),
            "creationTimestamp": at,
        }
        if "spec" in made:
            made["metadata"]["generation"] = 1
        if status is not None:
            made["status"] = status
        self._store[key_for(obj)][name] = made
        self.intents[made["metadata"]["uid"]] = body
        return made

    def note(self, made: Object, age: float, last: float, count: int) -> None:
        """Take in an Event that came `count` times, from `age` to `last` minutes ago; a second one is the same one."""
        involved = made["involvedObject"]
        words = f"{involved['uid']}/{made['reason']}/{involved.get('fieldPath', '')}"
        made["metadata"]["name"] = f"{involved['name']}.{uuid.uuid5(_NAMESPACE, words).hex[:16]}"
        made |= {"count": count, "firstTimestamp": self.time(age), "lastTimestamp": self.time(last)}
        self.add(made, age, made["source"]["component"])

    def put(self, obj: Object) -> None:
        """Replace an object that was added before."""
        self._store[key_for(obj)][meta.key_of(obj)] = obj

    def remove(self, resource: str, namespace: str | None, name: str) -> None:
        del self._store[resource][(namespace or "", name)]

    def minutes_old(self, obj: Object) -> float:
        created = meta.moment(obj["metadata"]["creationTimestamp"])
        assert created is not None
        return (self.now - created).total_seconds() / 60
