"""The scheduler: binds pods that have no node, and says in a condition and an Event why it cannot."""

from __future__ import annotations

from collections import defaultdict

from lab.controllers import meta, placement
from lab.controllers.client import Object
from lab.controllers.world import Controller, Key, Mapper


class Scheduler(Controller):
    agent, component = "kube-scheduler", "default-scheduler"

    def watches(self) -> dict[str, Mapper]:
        return {
            "pods": lambda pod: [] if pod["spec"].get("nodeName") else [meta.key_of(pod)],
            "nodes": self._waiting,
            "persistentvolumeclaims": self._waiting,
        }

    def _waiting(self, _obj: Object) -> list[Key]:
        return [meta.key_of(pod) for pod in self.cache.list("pods") if not pod["spec"].get("nodeName")]

    async def reconcile(self, key: Key) -> float | None:
        pod = self.cache.get("pods", *key)
        if not pod or pod["spec"].get("nodeName") or meta.deleting(pod) or meta.pod_finished(pod):
            return None
        if pod["spec"].get("schedulerName", "default-scheduler") != "default-scheduler":
            return None
        message = placement.volume_reason(pod, self.cache)
        node = ""
        if not message:
            by_node: dict[str, list[Object]] = defaultdict(list)
            for other in self.cache.list("pods"):
                by_node[other["spec"].get("nodeName", "")].append(other)
            nodes = sorted(self.cache.list("nodes"), key=lambda obj: str(obj["metadata"]["name"]))
            node, message = placement.choose(pod, nodes, by_node)
        if not node:
            await self._refuse(pod, message)
            return self.world.seconds(20)
        await self._bind(pod, node)
        return None

    async def _bind(self, pod: Object, node: str) -> None:
        for volume in pod["spec"].get("volumes") or []:
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            claim = name and self.cache.get("persistentvolumeclaims", pod["metadata"]["namespace"], name)
            if claim and placement.waits_for_pod(claim, self.cache):
                await self.patch(
                    "persistentvolumeclaims",
                    claim,
                    {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": node}}},
                )
        namespace, name = meta.key_of(pod)
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        await self.client.post(self.client.resource("pods").path(namespace, name, "binding"), binding)
        self.cache.observe("pods", await self.client.get("pods", namespace, name))
        message = f"Successfully assigned {namespace}/{name} to {node}"
        await self.world.recorder.record(self.component, pod, "Scheduled", message)

    async def _refuse(self, pod: Object, message: str) -> None:
        old = meta.condition(pod, "PodScheduled")
        if old and old.get("message") == message and old["status"] == "False":
            return
        status = dict(pod.get("status") or {})
        new = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        status["conditions"] = meta.set_condition(list(status.get("conditions") or []), new, meta.now())
        status.setdefault("phase", "Pending")
        await self.patch("pods", pod, {"status": status}, "status")
        await self.world.recorder.record(self.component, pod, "FailedScheduling", message, warning=True)
