"""StatefulSets: pods with fixed names in order, their claims, and updates from the highest ordinal down."""

from __future__ import annotations

from lab.controllers import meta, pods, revisions
from lab.controllers.client import ApiError, Object
from lab.controllers.world import Controller, Key, Mapper


def ordinal_of(pod: Object) -> int:
    tail = pod["metadata"]["name"].rpartition("-")[2]
    return int(tail) if tail.isdigit() else -1


def status_of(stateful_set: Object, mine: list[Object], revision: str) -> Object:
    """The StatefulSet's status from its pods; the current revision follows once every pod has the new one."""
    alive = pods.active(mine)
    ready = sum(meta.pod_ready(pod) for pod in alive)
    updated = sum(meta.labels(pod).get("controller-revision-hash") == revision for pod in alive)
    wanted = int(stateful_set["spec"].get("replicas", 1))
    old = stateful_set.get("status") or {}
    done = updated == wanted and ready == wanted
    current = revision if done or not old.get("currentRevision") else old["currentRevision"]
    status: Object = {
        "availableReplicas": ready,
        "collisionCount": 0,
        "currentRevision": current,
        "observedGeneration": pods.generation(stateful_set),
        "replicas": len(alive),
        "updateRevision": revision,
    }
    on_current = updated if current == revision else len(alive) - updated
    counts = {"readyReplicas": ready, "updatedReplicas": updated, "currentReplicas": on_current}
    return {**status, **{name: value for name, value in counts.items() if value}}


class StatefulSetController(Controller):
    component = "statefulset-controller"

    def watches(self) -> dict[str, Mapper]:
        return {"statefulsets.apps": lambda obj: [meta.key_of(obj)], "pods": self._owner}

    def _owner(self, pod: Object) -> list[Key]:
        owner = meta.controller_of(pod)
        if not owner or owner["kind"] != "StatefulSet":
            return []
        return [(pod["metadata"]["namespace"], owner["name"])]

    async def reconcile(self, key: Key) -> float | None:
        stateful_set = self.cache.get("statefulsets.apps", *key)
        if not stateful_set or meta.deleting(stateful_set):
            return None
        revision = pods.revision_name(stateful_set)
        mine = {ordinal_of(pod): pod for pod in self.cache.owned("pods", meta.uid(stateful_set))}
        await revisions.keep(self, stateful_set, list(mine.values()))
        wanted = int(stateful_set["spec"].get("replicas", 1))
        parallel = stateful_set["spec"].get("podManagementPolicy") == "Parallel"
        await self._fill(stateful_set, mine, wanted, revision, parallel)
        await self._shrink(mine, wanted)
        await self._update(stateful_set, mine, wanted, revision)
        left = self.cache.owned("pods", meta.uid(stateful_set))
        await self.put_status("statefulsets.apps", stateful_set, status_of(stateful_set, left, revision))
        return None

    async def _fill(
        self, stateful_set: Object, mine: dict[int, Object], wanted: int, revision: str, parallel: bool
    ) -> None:
        for ordinal in range(wanted):
            pod = mine.get(ordinal)
            if pod is None:
                await self._make(stateful_set, ordinal, revision)
            elif meta.pod_finished(pod) and not meta.deleting(pod):
                await self.remove("pods", pod)
            if not parallel and (pod is None or not meta.pod_ready(pod)):
                return

    async def _make(self, stateful_set: Object, ordinal: int, revision: str) -> None:
        for claim in pods.stateful_claims(stateful_set, ordinal):
            if not self.cache.get("persistentvolumeclaims", *meta.key_of(claim)):
                try:
                    await self.create("persistentvolumeclaims", claim)
                except ApiError as error:
                    if error.reason != "AlreadyExists":
                        raise
        made = await self.create("pods", pods.stateful_pod(stateful_set, ordinal, revision))
        name = stateful_set["metadata"]["name"]
        message = f"create Pod {made['metadata']['name']} in StatefulSet {name} successful"
        await self.world.recorder.record(self.component, stateful_set, "SuccessfulCreate", message)

    async def _shrink(self, mine: dict[int, Object], wanted: int) -> None:
        surplus = sorted((ordinal for ordinal in mine if ordinal >= wanted), reverse=True)
        for ordinal in surplus[:1]:
            if not meta.deleting(mine[ordinal]):
                await self.remove("pods", mine[ordinal])

    async def _update(self, stateful_set: Object, mine: dict[int, Object], wanted: int, revision: str) -> None:
        if stateful_set["spec"].get("updateStrategy", {}).get("type") == "OnDelete":
            return
        for ordinal in range(wanted - 1, -1, -1):
            pod = mine.get(ordinal)
            if pod is None:
                return
            if meta.labels(pod).get("controller-revision-hash") != revision:
                if not meta.deleting(pod):
                    await self.remove("pods", pod)
                return
            if not meta.pod_ready(pod):
                return
