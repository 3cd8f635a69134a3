"""PodDisruptionBudgets: how many of a budget's pods may go now, kept in its status.

The rules are those of kube-controller-manager 1.30 (pkg/controller/disruption): `minAvailable` as a number counts the
pods that are there; a percentage and `maxUnavailable` count what the pods' controllers are told to run.
"""

from __future__ import annotations

import math

from lab.controllers import meta, pods
from lab.controllers.client import Object
from lab.controllers.rights import View
from lab.controllers.world import Controller, Key, Mapper, World

BUDGETS = "poddisruptionbudgets.policy"
_SCALED = {
    ("apps", "ReplicaSet"): "replicasets.apps",
    ("apps", "StatefulSet"): "statefulsets.apps",
    ("apps", "Deployment"): "deployments.apps",
}
DELETION_SECONDS = 120.0  # how long an eviction counts as under way when the pod does not go
_UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of "
    "the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please "
    'set ".spec.minAvailable" field of the PDB to an integer value.'
)


class SyncFailed(Exception):  # noqa: N818 - the word of the condition
    """The budget cannot be computed; the text is the controller's message."""


def scaled(value: int | str, whole: int) -> int:
    """A number, or a percentage of `whole` rounded up. Raises SyncFailed."""
    if isinstance(value, int):
        return value
    if value.endswith("%") and value[:-1].isdigit():
        return math.ceil(int(value[:-1]) * whole / 100)
    raise SyncFailed(f'invalid value for IntOrString: invalid type: string is not a percentage: "{value}"')


def _controller(pod: Object, view: View) -> tuple[str, int] | None:
    """(uid, replicas) of what runs the pod, a Deployment before its ReplicaSet; None when nothing does."""
    owner, found = meta.controller_of(pod), None
    namespace = pod["metadata"]["namespace"]
    while owner:
        key = _SCALED.get((str(owner.get("apiVersion", "")).rpartition("/")[0], str(owner["kind"])))
        if key is None:
            plural = f"{str(owner['kind']).lower()}s.{str(owner.get('apiVersion', '')).rpartition('/')[0]}"
            raise SyncFailed(f"{plural} does not implement the scale subresource")
        workload = view.get(key, namespace, str(owner["name"]))
        if workload is None or meta.uid(workload) != owner["uid"]:
            break
        replicas = workload["spec"].get("replicas")
        found = meta.uid(workload), 1 if replicas is None else int(replicas)
        owner = meta.controller_of(workload) if owner["kind"] == "ReplicaSet" else None
    return found


def expected(mine: list[Object], view: View) -> tuple[int, list[Object]]:
    """(replicas that the pods' controllers are to run, pods that no controller runs). Raises SyncFailed."""
    counts: dict[str, int] = {}
    unmanaged = []
    for pod in mine:
        if meta.controller_of(pod) is None:
            unmanaged.append(pod)
        elif (known := _controller(pod, view)) is not None:
            counts[known[0]] = known[1]
    return sum(counts.values()), unmanaged


def wanted_healthy(budget: Object, mine: list[Object], view: View) -> tuple[int, int, list[Object]]:
    """(expected pods, healthy ones needed, unmanaged pods). Raises SyncFailed."""
    spec = budget["spec"]
    if spec.get("maxUnavailable") is not None:
        total, unmanaged = expected(mine, view)
        return total, max(total - scaled(spec["maxUnavailable"], total), 0), unmanaged
    least = spec.get("minAvailable")
    if least is None:
        return 0, 0, []
    if isinstance(least, int):
        return len(mine), least, []
    total, unmanaged = expected(mine, view)
    return total, scaled(least, total), unmanaged


def under_way(budget: Object, mine: list[Object], seconds: float) -> dict[str, str]:
    """`disruptedPods` without those that are going, gone, or stayed in spite of their eviction for `seconds`."""
    there = {pod["metadata"]["name"]: pod for pod in mine}
    left = {}
    for name, at in ((budget.get("status") or {}).get("disruptedPods") or {}).items():
        since = meta.moment(at)
        late = since is None or meta.wall() - since.timestamp() > seconds
        if name in there and not meta.deleting(there[name]) and not late:
            left[name] = at
    return left


def status_of(budget: Object, mine: list[Object], view: View, seconds: float = DELETION_SECONDS) -> Object:
    """The budget's status from the pods that it selects."""
    old = budget.get("status") or {}
    at = meta.now()
    status: Object = {"observedGeneration": pods.generation(budget)}
    try:
        total, needed, _ = wanted_healthy(budget, mine, view)
    except SyncFailed as failure:
        kept = {name: old.get(name, 0) for name in ("currentHealthy", "desiredHealthy", "expectedPods")}
        new = {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": str(failure)}
        status |= {"disruptionsAllowed": 0, **kept}
    else:
        open_evictions = under_way(budget, mine, seconds)
        healthy = sum(meta.pod_ready(pod) and pod["metadata"]["name"] not in open_evictions for pod in mine)
        allowed = max(healthy - needed, 0) if total > 0 else 0
        status |= {
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": needed,
            "expectedPods": total,
        }
        if open_evictions:
            status["disruptedPods"] = open_evictions
        word, reason = ("True", "SufficientPods") if allowed > 0 else ("False", "InsufficientPods")
        new = {"type": "DisruptionAllowed", "status": word, "reason": reason, "message": ""}
    new["observedGeneration"] = status["observedGeneration"]
    status["conditions"] = meta.set_condition(list(old.get("conditions") or []), new, at)
    return status


def selected(budget: Object, view: View) -> list[Object]:
    """The pods of the budget. Without a selector there are none, with an empty one all of the namespace."""
    selector = budget["spec"].get("selector")
    if selector is None:
        return []
    namespace = budget["metadata"]["namespace"]
    return [pod for pod in view.list("pods", namespace) if meta.matches(meta.labels(pod), selector)]


class DisruptionController(Controller):
    component = "controllermanager"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._told: set[str] = set()

    def watches(self) -> dict[str, Mapper]:
        return {
            BUDGETS: lambda obj: [meta.key_of(obj)],
            "pods": self._of_pod,
            "replicasets.apps": self._of_namespace,
            "deployments.apps": self._of_namespace,
            "statefulsets.apps": self._of_namespace,
        }

    def _of_pod(self, pod: Object) -> list[Key]:
        return [
            meta.key_of(budget)
            for budget in self.cache.list(BUDGETS, pod["metadata"]["namespace"])
            if budget["spec"].get("selector") is not None and meta.matches(meta.labels(pod), budget["spec"]["selector"])
        ]

    def _of_namespace(self, obj: Object) -> list[Key]:
        return [meta.key_of(budget) for budget in self.cache.list(BUDGETS, obj["metadata"]["namespace"])]

    async def reconcile(self, key: Key) -> float | None:
        budget = self.cache.get(BUDGETS, *key)
        if not budget or meta.deleting(budget):
            return None
        mine = selected(budget, self.cache)
        if not mine:
            await self._say(budget, "NoPods", "No matching pods found", warning=False)
        await self._complain(budget, mine)
        seconds = self.world.seconds(DELETION_SECONDS)
        status = status_of(budget, mine, self.cache, seconds)
        await self.put_status(BUDGETS, budget, status)
        return seconds if status.get("disruptedPods") else None

    async def _complain(self, budget: Object, mine: list[Object]) -> None:
        try:
            unmanaged = wanted_healthy(budget, mine, self.cache)[2]
        except SyncFailed as failure:
            text = f"Failed to calculate the number of expected pods: {failure}"
            await self._say(budget, "CalculateExpectedPodCountFailed", text, warning=True)
            return
        if unmanaged:
            selector = budget["spec"].get("selector")
            await self._say(budget, "UnmanagedPods", _UNMANAGED.format(selector), warning=True)

    async def _say(self, budget: Object, reason: str, message: str, *, warning: bool) -> None:
        """Once for each state of the spec: this controller looks at every change of a pod."""
        told = f"{meta.uid(budget)}/{pods.generation(budget)}/{reason}"
        if told not in self._told:
            self._told.add(told)
            await self.world.recorder.record(self.component, budget, reason, message, warning=warning)
