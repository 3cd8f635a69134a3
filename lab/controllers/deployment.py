"""Deployments: one ReplicaSet per pod template, rolled over by the strategy; status, conditions and events."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from lab.controllers import meta, pods
from lab.controllers.client import Object
from lab.controllers.world import Controller, Key, Mapper
from lab.plain import copied

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"


def own_template(replica_set: Object) -> Object:
    """The ReplicaSet's template without the label that the Deployment controller added."""
    template: Object = copied(replica_set["spec"]["template"])
    template.get("metadata", {}).get("labels", {}).pop(HASH_LABEL, None)
    return template


def _plain(template: Object) -> Object:
    """A template without the empty metadata fields that servers add."""
    kept = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    return {**template, "metadata": kept}


def same_template(replica_set: Object, deployment: Object) -> bool:
    return _plain(own_template(replica_set)) == _plain(deployment["spec"]["template"])


def new_replica_set(deployment: Object, replicas: int, revision: int) -> Object:
    """The ReplicaSet for the Deployment's present template."""
    template = copied(deployment["spec"]["template"])
    code = meta.template_hash(template)
    template.setdefault("metadata", {}).setdefault("labels", {})[HASH_LABEL] = code
    selector = copied(deployment["spec"]["selector"])
    selector.setdefault("matchLabels", {})[HASH_LABEL] = code
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{deployment['metadata']['name']}-{code}",
            "namespace": deployment["metadata"]["namespace"],
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {
                "deployment.kubernetes.io/desired-replicas": str(deployment["spec"]["replicas"]),
                "deployment.kubernetes.io/max-replicas": str(replicas + 1),
                REVISION: str(revision),
            },
            "ownerReferences": [meta.owner_reference(deployment)],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    }


def surge_and_unavailable(deployment: Object) -> tuple[int, int]:
    """How many pods a rolling update may have above and below the wanted number."""
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate") or {}
    replicas = int(deployment["spec"]["replicas"])

    def count(value: object, up: bool) -> int:
        if isinstance(value, str) and value.endswith("%"):
            part = replicas * int(value[:-1]) / 100
            return math.ceil(part) if up else math.floor(part)
        return int(str(value))

    surge = count(rolling.get("maxSurge", "25%"), True)
    unavailable = count(rolling.get("maxUnavailable", "25%"), False)
    return surge, unavailable or (1 if not surge else 0)


def ready_of(replica_sets: Iterable[Object], field: str) -> int:
    return sum(int((rs.get("status") or {}).get(field) or 0) for rs in replica_sets)


def status_of(deployment: Object, current: Object | None, replica_sets: list[Object], deadline: float) -> Object:
    """The Deployment's status from its ReplicaSets. `deadline` is the progress deadline in real seconds."""
    at = meta.now()
    old = deployment.get("status") or {}
    wanted = int(deployment["spec"]["replicas"])
    total, available = ready_of(replica_sets, "replicas"), ready_of(replica_sets, "availableReplicas")
    updated = ready_of([current] if current else [], "replicas")
    status: Object = {"observedGeneration": pods.generation(deployment)}
    counts = {
        "replicas": total,
        "updatedReplicas": updated,
        "readyReplicas": ready_of(replica_sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(sum(int(rs["spec"]["replicas"]) for rs in replica_sets) - available, 0),
    }
    status |= {name: value for name, value in counts.items() if value}
    conditions: list[Object] = list(old.get("conditions") or [])
    enough = available >= wanted - surge_and_unavailable(deployment)[1]
    conditions = meta.set_condition(conditions, _available(enough), at)
    progress = meta.condition(deployment, "Progressing")
    new = _progressing(current, counts, wanted, old, progress, deadline)
    if new:
        if (
            not progress
            or (progress["reason"], progress["message"]) != (new["reason"], new["message"])
            or _moved(old, counts)
        ):
            new["lastUpdateTime"] = at
        conditions = meta.set_condition(conditions, new, at)
    for entry in conditions:
        entry.setdefault("lastUpdateTime", at)
    conditions = [entry for entry in conditions if entry["type"] != "ReplicaFailure"]
    failure = next(
        (meta.condition(rs, "ReplicaFailure") for rs in replica_sets if meta.condition(rs, "ReplicaFailure")), None
    )
    if failure:
        conditions.append({**failure, "lastUpdateTime": failure["lastTransitionTime"]})
    status["conditions"] = conditions
    return status


def _available(enough: bool) -> Object:
    if enough:
        return {
            "type": "Available",
            "status": "True",
            "reason": "MinimumReplicasAvailable",
            "message": "Deployment has minimum availability.",
        }
    return {
        "type": "Available",
        "status": "False",
        "reason": "MinimumReplicasUnavailable",
        "message": "Deployment does not have minimum availability.",
    }


def _moved(old: Object, counts: dict[str, int]) -> bool:
    return any(
        int(old.get(name) or 0) != counts[name] for name in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )


def _progressing(
    current: Object | None,
    counts: dict[str, int],
    wanted: int,
    old: Object,
    before: Object | None,
    deadline: float,
) -> Object | None:
    if current is None:
        return None
    name = current["metadata"]["name"]
    complete = counts["updatedReplicas"] == wanted == counts["replicas"] == counts["availableReplicas"]
    if complete:
        message = f'ReplicaSet "{name}" has successfully progressed.'
        return {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": message}
    finished = before and before["reason"] == "NewReplicaSetAvailable"
    if before and finished and f'"{name}"' in before["message"]:
        return before  # a finished rollout stays finished, whatever happens to its pods later
    if before and not finished and not _moved(old, counts) and f'"{name}"' in before["message"]:
        since = meta.moment(before.get("lastUpdateTime"))
        late = since and (datetime.now(UTC) - since).total_seconds() > deadline
        if late or before["reason"] == "ProgressDeadlineExceeded":
            message = f'ReplicaSet "{name}" has timed out progressing.'
            return {
                "type": "Progressing",
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "message": message,
            }
        return before
    message = f'ReplicaSet "{name}" is progressing.'
    return {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": message}


class DeploymentController(Controller):
    component = "deployment-controller"

    def watches(self) -> dict[str, Mapper]:
        return {
            "deployments.apps": lambda obj: [meta.key_of(obj)],
            "replicasets.apps": self._owner,
            "pods": self._recreated,
        }

    def _owner(self, obj: Object) -> list[Key]:
        owner = meta.controller_of(obj)
        if not owner or owner["kind"] != "Deployment":
            return []
        return [(obj["metadata"]["namespace"], owner["name"])]

    def _recreated(self, pod: Object) -> list[Key]:
        """With strategy Recreate the last old pod's end lets the new ReplicaSet start, and only the pod tells of it."""
        owner = meta.controller_of(pod)
        if not owner or owner["kind"] != "ReplicaSet":
            return []
        replica_set = self.cache.get("replicasets.apps", pod["metadata"]["namespace"], owner["name"])
        keys = self._owner(replica_set) if replica_set else []
        found = [self.cache.get("deployments.apps", *key) for key in keys]
        return [meta.key_of(d) for d in found if d and d["spec"].get("strategy", {}).get("type") == "Recreate"]

    async def reconcile(self, key: Key) -> float | None:
        deployment = self.cache.get("deployments.apps", *key)
        if not deployment or meta.deleting(deployment):
            return None
        mine = [rs for rs in self.cache.owned("replicasets.apps", meta.uid(deployment)) if not meta.deleting(rs)]
        current = next((rs for rs in mine if same_template(rs, deployment)), None)
        paused = bool(deployment["spec"].get("paused"))
        revisions = [int(meta.notes(rs).get(REVISION, "0")) for rs in mine]
        if current is None and not paused:
            current = await self._start(deployment, mine, max(revisions, default=0) + 1)
        elif current is not None:
            deployment = await self._mark(deployment, current, revisions)
        others = [rs for rs in mine if current is None or meta.uid(rs) != meta.uid(current)]
        if paused:
            await self._resize(deployment, mine)
        elif current is not None:
            current = await self._roll(deployment, current, others)
        if current is not None:
            await self._tidy(deployment, others)
        alive = [rs for rs in self.cache.owned("replicasets.apps", meta.uid(deployment)) if not meta.deleting(rs)]
        if current is not None:
            current = next((rs for rs in alive if meta.uid(rs) == meta.uid(current)), current)
        deadline = self.world.seconds(float(deployment["spec"].get("progressDeadlineSeconds") or 600))
        status = status_of(deployment, current, alive, deadline)
        await self.put_status("deployments.apps", deployment, {**_kept(deployment), **status})
        progress = next((c for c in status["conditions"] if c["type"] == "Progressing"), None)
        waiting = progress and progress["reason"] in ("ReplicaSetUpdated", "NewReplicaSetCreated")
        return deadline + 1 if waiting else None

    async def _start(self, deployment: Object, mine: list[Object], revision: int) -> Object | None:
        recreate = deployment["spec"].get("strategy", {}).get("type") == "Recreate"
        if recreate and self._pods_left(mine):
            for rs in mine:
                await self._scale(deployment, rs, 0)
            return None
        wanted = int(deployment["spec"]["replicas"])
        surge, _ = surge_and_unavailable(deployment)
        room = wanted if recreate else wanted + surge - sum(int(rs["spec"]["replicas"]) for rs in mine)
        made = await self.create("replicasets.apps", new_replica_set(deployment, max(min(wanted, room), 0), revision))
        await self._say(deployment, "up", made, int(made["spec"]["replicas"]), None)
        await self._annotate(deployment, revision)
        return made

    async def _mark(self, deployment: Object, current: Object, revisions: list[int]) -> Object:
        """Rolled back to an older template: its ReplicaSet gets the newest revision number."""
        newest = max(revisions)
        mine = int(meta.notes(current).get(REVISION, "0"))
        if mine < newest:
            mine = newest + 1
            await self.patch("replicasets.apps", current, {"metadata": {"annotations": {REVISION: str(mine)}}})
        return await self._annotate(deployment, mine)

    async def _annotate(self, deployment: Object, revision: int) -> Object:
        if meta.notes(deployment).get(REVISION) == str(revision):
            return deployment
        return await self.patch(
            "deployments.apps", deployment, {"metadata": {"annotations": {REVISION: str(revision)}}}
        )

    def _pods_left(self, replica_sets: list[Object]) -> bool:
        return any(not meta.pod_finished(pod) for rs in replica_sets for pod in self.cache.owned("pods", meta.uid(rs)))

    async def _resize(self, deployment: Object, mine: list[Object]) -> None:
        """A paused Deployment starts no new template, but what it has follows its number (``dc.scale`` in Kubernetes'
        ``pkg/controller/deployment/sync.go``; between several it shares out in proportion, here the largest takes
        all)."""
        sized = sorted(mine, key=lambda rs: (int(rs["spec"]["replicas"]), int(meta.notes(rs).get(REVISION, "0"))))
        more = int(deployment["spec"]["replicas"]) - sum(int(rs["spec"]["replicas"]) for rs in mine)
        if sized:
            await self._scale(deployment, sized[-1], max(int(sized[-1]["spec"]["replicas"]) + more, 0))

    async def _roll(self, deployment: Object, current: Object, others: list[Object]) -> Object:
        wanted = int(deployment["spec"]["replicas"])
        have = int(current["spec"]["replicas"])
        if deployment["spec"].get("strategy", {}).get("type") == "Recreate":
            for rs in others:
                await self._scale(deployment, rs, 0)
            return current if self._pods_left(others) else await self._scale(deployment, current, wanted)
        surge, unavailable = surge_and_unavailable(deployment)
        if have > wanted:
            return await self._scale(deployment, current, wanted)
        total = have + sum(int(rs["spec"]["replicas"]) for rs in others)
        if have < wanted:
            grown = min(wanted, have + max(wanted + surge - total, 0))
            current = await self._scale(deployment, current, grown)
        await self._shrink(deployment, current, others, wanted - unavailable)
        return current

    async def _shrink(self, deployment: Object, current: Object, others: list[Object], minimum: int) -> None:
        """Scale the old ReplicaSets down as far as enough pods stay available; broken old pods go first."""
        available = ready_of([current, *others], "availableReplicas")
        for rs in others:
            have = int(rs["spec"]["replicas"])
            good = min(int((rs.get("status") or {}).get("availableReplicas") or 0), have)
            spare = max(available - minimum, 0)
            target = max(good - spare, 0)
            if target < have:
                available -= good - target
                await self._scale(deployment, rs, target)

    async def _scale(self, deployment: Object, rs: Object, replicas: int) -> Object:
        have = int(rs["spec"]["replicas"])
        if have == replicas:
            return rs
        changed = await self.patch("replicasets.apps", rs, {"spec": {"replicas": replicas}})
        await self._say(deployment, "up" if replicas > have else "down", rs, replicas, have)
        return changed

    async def _say(self, deployment: Object, way: str, rs: Object, replicas: int, have: int | None) -> None:
        tail = "" if have is None else f" from {have}"
        message = f"Scaled {way} replica set {rs['metadata']['name']} to {replicas}{tail}"
        await self.world.recorder.record(self.component, deployment, "ScalingReplicaSet", message)

    async def _tidy(self, deployment: Object, others: list[Object]) -> None:
        limit = deployment["spec"].get("revisionHistoryLimit")
        limit = 10 if limit is None else int(limit)
        idle = [
            rs
            for rs in others
            if not rs["spec"]["replicas"] and not (rs.get("status") or {}).get("replicas") and not meta.deleting(rs)
        ]
        idle.sort(key=lambda rs: int(meta.notes(rs).get(REVISION, "0")))
        for rs in idle[: max(len(idle) - limit, 0)]:
            await self.remove("replicasets.apps", rs)


def _kept(deployment: Object) -> Object:
    """Status fields that other writers own."""
    old = deployment.get("status") or {}
    return {"collisionCount": old["collisionCount"]} if "collisionCount" in old else {}
