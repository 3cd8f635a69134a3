"""The part of the node lifecycle that a cordon needs: the taint that goes with `spec.unschedulable`."""

from __future__ import annotations

from lab.controllers import meta
from lab.controllers.world import Controller, Key, Mapper

TAINT = "node.kubernetes.io/unschedulable"


class CordonController(Controller):
    component = "node-controller"

    def watches(self) -> dict[str, Mapper]:
        return {"nodes": lambda node: [meta.key_of(node)]}

    async def reconcile(self, key: Key) -> float | None:
        node = self.cache.get("nodes", None, key[1])
        if not node:
            return None
        taints = list(node["spec"].get("taints") or [])
        there = any(taint["key"] == TAINT for taint in taints)
        wanted = bool(node["spec"].get("unschedulable"))
        if there == wanted:
            return None
        kept = [taint for taint in taints if taint["key"] != TAINT]
        if wanted:
            kept.append({"key": TAINT, "effect": "NoSchedule", "timeAdded": meta.now()})
        guard = {"resourceVersion": node["metadata"]["resourceVersion"]}  # the list is written whole
        await self.patch("nodes", node, {"metadata": guard, "spec": {"taints": kept or None}})
        return None
