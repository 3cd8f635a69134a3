"""The Prometheus operator's loop. It works only while a pod of the operator is ready, as in life."""

from __future__ import annotations

from lab.controllers import meta
from lab.controllers import operator_config as config
from lab.controllers import operator_objects as objects
from lab.controllers.client import Object
from lab.controllers.operator_alertmanager import alertmanager_set
from lab.controllers.operator_prometheus import prometheus_set
from lab.controllers.world import Controller, Key, Mapper, World

PROMETHEUSES, ALERTMANAGERS = "prometheuses.monitoring.coreos.com", "alertmanagers.monitoring.coreos.com"
_KUBELET_FLAG = "--kubelet-service="


class PrometheusOperator(Controller):
    agent = "PrometheusOperator"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._told: set[tuple[str, str]] = set()  # (uid, message) of what has an Event already

    def watches(self) -> dict[str, Mapper]:
        everything: Mapper = lambda _obj: self._all()  # noqa: E731 (one mapper for many resources)
        return {
            PROMETHEUSES: lambda obj: [("prometheus", "/".join(meta.key_of(obj)))],
            ALERTMANAGERS: lambda obj: [("alertmanager", "/".join(meta.key_of(obj)))],
            "statefulsets.apps": everything,
            "servicemonitors.monitoring.coreos.com": everything,
            "podmonitors.monitoring.coreos.com": everything,
            "prometheusrules.monitoring.coreos.com": everything,
            "alertmanagerconfigs.monitoring.coreos.com": everything,
            "namespaces": everything,
            "secrets": lambda obj: self._all() if not meta.labels(obj).get("managed-by") else [],
            "nodes": lambda _obj: [("kubelet", "")],
            "pods": lambda pod: [*self._all(), ("kubelet", "")] if _operator_flag(pod) is not None else [],
        }

    def _all(self) -> list[Key]:
        found = [("prometheus", "/".join(meta.key_of(obj))) for obj in self.cache.list(PROMETHEUSES)]
        return found + [("alertmanager", "/".join(meta.key_of(obj))) for obj in self.cache.list(ALERTMANAGERS)]

    def _working(self) -> str | None:
        """The kubelet Service that a ready operator pod was told to keep; None when none is ready."""
        for pod in self.cache.list("pods"):
            flag = _operator_flag(pod)
            if flag is not None and meta.pod_ready(pod):
                return flag
        return None

    async def reconcile(self, key: Key) -> float | None:
        kubelet_service = self._working()
        if kubelet_service is None:
            return None
        if key[0] == "kubelet":
            if kubelet_service:
                await self._kubelets(*kubelet_service.split("/", 1))
            return None
        kind = key[0]
        resource = PROMETHEUSES if kind == "prometheus" else ALERTMANAGERS
        owner = self.cache.get(resource, *key[1].split("/", 1))
        if not owner or meta.deleting(owner):
            return None
        broken = ""
        if not owner["spec"].get("paused"):
            try:
                await self._bring(kind, owner)
            except config.BrokenConfig as why:
                broken = str(why)
        name = f"{kind}-{owner['metadata']['name']}"
        stateful_set = self.cache.get("statefulsets.apps", owner["metadata"]["namespace"], name)
        await self.put_status(resource, owner, objects.resource_status(owner, stateful_set, broken))
        return None

    async def _bring(self, kind: str, owner: Object) -> None:
        """Make everything of a resource what it should be. Raises BrokenConfig, and then nothing is touched."""
        if kind == "prometheus":
            await self._tell(config.selected_rules(owner, self.cache)[1])
            await self._keep("secrets", config.prometheus_secret(owner, self.cache), "data")
            await self._keep("configmaps", config.rule_files(owner, self.cache), "data")
            stateful_set = prometheus_set(owner)
        else:
            await self._tell(config.alertmanager_config(owner, self.cache)[1])
            await self._keep("secrets", config.alertmanager_secret(owner, self.cache), "data")
            stateful_set = alertmanager_set(owner)
        await self._keep("services", objects.governing_service(owner, kind), "")
        await self._keep_set(stateful_set)

    async def _tell(self, problems: list[config.Problem]) -> None:
        """An Event on each object that is left out, once for each reason."""
        for obj, why in problems:
            message = f"{obj['kind']} {obj['metadata']['name']} was rejected due to invalid configuration: {why}"
            if (meta.uid(obj), message) in self._told:
                continue
            self._told.add((meta.uid(obj), message))
            await self.world.recorder.record(self.agent, obj, "InvalidConfiguration", message, warning=True)

    async def _keep(self, resource: str, wanted: Object, field: str) -> None:
        known = self.cache.get(resource, *meta.key_of(wanted))
        if known is None:
            await self.create(resource, wanted)
        elif field and known.get(field) != wanted[field]:
            await self.put(resource, {**known, field: wanted[field]})

    async def _keep_set(self, wanted: Object) -> None:
        """Create the StatefulSet, or bring template and replicas back to what the resource says."""
        known = self.cache.get("statefulsets.apps", *meta.key_of(wanted))
        if known is None:
            await self.create("statefulsets.apps", wanted)
            return
        spec = {field: wanted["spec"][field] for field in ("replicas", "template")}
        if all(meta.covers(known["spec"].get(field), value) for field, value in spec.items()):
            return
        changed = await self.client.patch("statefulsets.apps", *meta.key_of(wanted), {"spec": spec}, how="strategic")
        self.cache.observe("statefulsets.apps", changed)

    async def _kubelets(self, namespace: str, name: str) -> None:
        await self._keep("services", objects.kubelet_service(namespace, name), "")
        wanted = objects.kubelet_endpoints(namespace, name, self.cache.list("nodes"))
        known = self.cache.get("endpoints", namespace, name)
        if known is None:
            await self.create("endpoints", wanted)
        elif known.get("subsets") != wanted.get("subsets"):
            await self.put("endpoints", {**known, "subsets": wanted.get("subsets") or []})


def _operator_flag(pod: Object) -> str | None:
    """The operator's --kubelet-service value when the pod runs the operator ("" without the flag), else None."""
    for container in pod["spec"]["containers"]:
        if "prometheus-operator/prometheus-operator" in container["image"]:
            flags = [arg for arg in container.get("args") or [] if arg.startswith(_KUBELET_FLAG)]
            return flags[0].removeprefix(_KUBELET_FLAG) if flags else ""
    return None
