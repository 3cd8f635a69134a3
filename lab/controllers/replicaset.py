"""ReplicaSets: as many pods as `spec.replicas` says, and the counts of them."""

from __future__ import annotations

from lab.controllers import meta, pods
from lab.controllers.client import ApiError, Object
from lab.controllers.world import Controller, Key, Mapper


def status_of(replica_set: Object, mine: list[Object], failure: Object | None) -> Object:
    """The ReplicaSet's status from its active pods."""
    ready = sum(meta.pod_ready(pod) for pod in mine)
    status: Object = {"observedGeneration": pods.generation(replica_set), "replicas": len(mine)}
    if mine:
        status["fullyLabeledReplicas"] = len(mine)
    if ready:
        status |= {"readyReplicas": ready, "availableReplicas": ready}
    if failure:
        old = list((replica_set.get("status") or {}).get("conditions") or [])
        status["conditions"] = meta.set_condition(old, failure, meta.now())
    return status


class ReplicaSetController(Controller):
    component = "replicaset-controller"

    def watches(self) -> dict[str, Mapper]:
        return {"replicasets.apps": lambda obj: [meta.key_of(obj)], "pods": self._owner}

    def _owner(self, pod: Object) -> list[Key]:
        owner = meta.controller_of(pod)
        if not owner or owner["kind"] != "ReplicaSet":
            return []
        return [(pod["metadata"]["namespace"], owner["name"])]

    async def reconcile(self, key: Key) -> float | None:
        rs = self.cache.get("replicasets.apps", *key)
        if not rs or meta.deleting(rs):
            return None
        mine = pods.active(self.cache.owned("pods", meta.uid(rs)))
        wanted = int(rs["spec"].get("replicas") or 0)
        failure = None
        if len(mine) < wanted:
            failure = await self._grow(rs, wanted - len(mine))
        elif len(mine) > wanted:
            for pod in pods.deletion_order(mine)[: len(mine) - wanted]:
                await self.remove("pods", pod)
                message = f"Deleted pod: {pod['metadata']['name']}"
                await self.world.recorder.record(self.component, rs, "SuccessfulDelete", message)
        mine = pods.active(self.cache.owned("pods", meta.uid(rs)))
        await self.put_status("replicasets.apps", rs, status_of(rs, mine, failure))
        return self.world.seconds(15) if failure else None

    async def _grow(self, rs: Object, count: int) -> Object | None:
        for _ in range(count):
            pod = pods.from_template(rs, rs["spec"]["template"], pods.random_name(rs, self.world.rng))
            try:
                made = await self.create("pods", pod)
            except ApiError as error:
                if error.status not in (403, 422):
                    raise
                message = f"Error creating: {error.message}"
                await self.world.recorder.record(self.component, rs, "FailedCreate", message, warning=True)
                return {
                    "type": "ReplicaFailure",
                    "status": "True",
                    "reason": "FailedCreate",
                    "message": error.message,
                }
            message = f"Created pod: {made['metadata']['name']}"
            await self.world.recorder.record(self.component, rs, "SuccessfulCreate", message)
        return None
