"""Node leases and Ready conditions, so that a real node-lifecycle controller believes that the lab's nodes live."""

from __future__ import annotations

from datetime import UTC, datetime

from lab.controllers import meta
from lab.controllers.client import ApiError, Object
from lab.controllers.world import Controller, Key, Mapper

_LEASES = "leases.coordination.k8s.io"
_NAMESPACE = "kube-node-lease"
_PERIOD = 8.0


class Heartbeat(Controller):
    agent = "kubelet"

    def watches(self) -> dict[str, Mapper]:
        return {"nodes": lambda node: [("", node["metadata"]["name"])]}

    async def reconcile(self, key: Key) -> float | None:
        node = self.cache.get("nodes", None, key[1])
        if not node:
            return None
        await self._renew(key[1])
        ready = meta.condition(node, "Ready")
        beat = meta.moment((ready or {}).get("lastHeartbeatTime"))
        old = not beat or meta.wall() - beat.timestamp() > 240
        if not ready or ready["status"] != "True" or old:
            await self._report(node)
        return _PERIOD

    async def _renew(self, name: str) -> None:
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": 40,
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        try:
            await self.client.patch(_LEASES, _NAMESPACE, name, {"spec": spec})
        except ApiError as error:
            if not error.missing:
                raise
            resource = self.client.resource(_LEASES)
            body: Object = {
                "apiVersion": resource.api_version,
                "kind": "Lease",
                "metadata": {"name": name, "namespace": _NAMESPACE},
                "spec": spec,
            }
            await self.client.create(_LEASES, body)

    async def _report(self, node: Object) -> None:
        at = meta.now()
        conditions = list((node.get("status") or {}).get("conditions") or [])
        new = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
        }
        conditions = meta.set_condition(conditions, new, at)
        conditions = [{**entry, "lastHeartbeatTime": at} for entry in conditions]
        body = {"status": {"conditions": conditions}}
        made = await self.client.patch(
            "nodes", None, node["metadata"]["name"], body, how="strategic", subresource="status"
        )
        self.cache.observe("nodes", made)
