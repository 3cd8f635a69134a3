"""DaemonSets: one pod on every node that admits it, replaced one at a time when the template changes."""

from __future__ import annotations

from lab.controllers import meta, placement, pods, revisions
from lab.controllers.client import Object
from lab.controllers.world import Controller, Key, Mapper

#: what removes a running pod; all else only keeps new ones away
EVICTING = ("NoExecute",)


def eligible(
    daemon_set: Object, nodes: list[Object], effects: tuple[str, ...] = ("NoSchedule", "NoExecute")
) -> list[str]:
    """Names of the nodes that should run a pod of this DaemonSet: taints with these effects keep it away."""
    spec = daemon_set["spec"]["template"]["spec"]
    probe = {"spec": {**spec, "tolerations": [*(spec.get("tolerations") or []), *pods.DAEMON_TOLERATIONS]}}
    return sorted(
        node["metadata"]["name"]
        for node in nodes
        if placement.affinity_reason(probe, node) is None and not placement.untolerated(probe, node, effects)
    )


def status_of(daemon_set: Object, mine: list[Object], wanted: list[str], revision: str) -> Object:
    """The DaemonSet's status from its pods and its eligible nodes."""
    by_node = {pods.claimed_node(pod): pod for pod in pods.active(mine)}
    placed = [by_node[node] for node in wanted if node in by_node]
    ready = sum(meta.pod_ready(pod) for pod in placed)
    status: Object = {
        "currentNumberScheduled": len(placed),
        "desiredNumberScheduled": len(wanted),
        "numberMisscheduled": len([node for node in by_node if node not in wanted]),
        "numberReady": ready,
        "observedGeneration": pods.generation(daemon_set),
    }
    updated = sum(meta.labels(pod).get("controller-revision-hash") == revision for pod in placed)
    counts = {
        "updatedNumberScheduled": updated,
        "numberAvailable": ready,
        "numberUnavailable": len(wanted) - ready,
    }
    return {**status, **{name: value for name, value in counts.items() if value}}


def revision_hash(daemon_set: Object) -> str:
    return meta.template_hash(daemon_set["spec"]["template"])


class DaemonSetController(Controller):
    component = "daemonset-controller"

    def watches(self) -> dict[str, Mapper]:
        return {
            "daemonsets.apps": lambda obj: [meta.key_of(obj)],
            "pods": self._owner,
            "nodes": lambda _node: [meta.key_of(obj) for obj in self.cache.list("daemonsets.apps")],
        }

    def _owner(self, pod: Object) -> list[Key]:
        owner = meta.controller_of(pod)
        if not owner or owner["kind"] != "DaemonSet":
            return []
        return [(pod["metadata"]["namespace"], owner["name"])]

    async def reconcile(self, key: Key) -> float | None:
        daemon_set = self.cache.get("daemonsets.apps", *key)
        if not daemon_set or meta.deleting(daemon_set):
            return None
        nodes = self.cache.list("nodes")
        wanted = eligible(daemon_set, nodes)
        may_stay = eligible(daemon_set, nodes, EVICTING)
        revision = revision_hash(daemon_set)
        mine = self.cache.owned("pods", meta.uid(daemon_set))
        await revisions.keep(self, daemon_set, mine)
        alive = {pods.claimed_node(pod): pod for pod in mine if not meta.pod_finished(pod)}
        for node in wanted:
            if node not in alive:
                name = pods.random_name(daemon_set, self.world.rng)
                made = await self.create("pods", pods.daemon_pod(daemon_set, node, name, revision))
                message = f"Created pod: {made['metadata']['name']}"
                await self.world.recorder.record(self.component, daemon_set, "SuccessfulCreate", message)
        for node, pod in alive.items():
            if node not in may_stay and not meta.deleting(pod):
                await self.remove("pods", pod)
        await self._update(daemon_set, alive, revision)
        mine = self.cache.owned("pods", meta.uid(daemon_set))
        await self.put_status("daemonsets.apps", daemon_set, status_of(daemon_set, mine, wanted, revision))
        return None

    async def _update(self, daemon_set: Object, alive: dict[str, Object], revision: str) -> None:
        """Delete one pod of an older template when all others are ready (maxUnavailable 1)."""
        if daemon_set["spec"].get("updateStrategy", {}).get("type") == "OnDelete":
            return
        stale = [pod for pod in alive.values() if meta.labels(pod).get("controller-revision-hash") != revision]
        broken = [pod for pod in alive.values() if not meta.pod_ready(pod)]
        if stale and all(pod in stale for pod in broken):
            victim = next((pod for pod in stale if pod in broken), stale[0])
            if not meta.deleting(victim):
                await self.remove("pods", victim)
