"""HorizontalPodAutoscalers in a cluster without a metrics server: the bounds hold, the metrics are unknown.

As kube-controller-manager does there: replicas outside `minReplicas` and `maxReplicas` are brought inside; within them
nothing is scaled, because no metric can be read, and the conditions and an Event say so.
"""

from __future__ import annotations

from lab.controllers import meta, pods
from lab.controllers.client import Object
from lab.controllers.world import Controller, Key, Mapper

AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
_TARGETS = {"Deployment": "deployments.apps", "StatefulSet": "statefulsets.apps", "ReplicaSet": "replicasets.apps"}
_NO_METRICS = (
    "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource "
    "metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"
)
_PERIOD = 15.0


def bounded(scaler: Object, current: int) -> tuple[int, str]:
    """(replicas, reason) by the bounds alone; an empty reason when they are kept."""
    spec = scaler["spec"]
    least, most = int(spec.get("minReplicas") or 1), int(spec["maxReplicas"])
    if current > most:
        return most, "Current number of replicas above Spec.MaxReplicas"
    if current < least:
        return least, "Current number of replicas below Spec.MinReplicas"
    return current, ""


def conditions(scaler: Object, current: int, at: str) -> list[Object]:
    """AbleToScale and ScalingActive as they stand without metrics."""
    able = {
        "type": "AbleToScale",
        "status": "True",
        "reason": "SucceededGetScale",
        "message": "the HPA controller was able to get the target's current scale",
    }
    active = {
        "type": "ScalingActive",
        "status": "False",
        "reason": "FailedGetResourceMetric",
        "message": f"the HPA was unable to compute the replica count: {_NO_METRICS}",
    }
    if current == 0:
        text = "scaling is disabled since the replica count of the target is zero"
        active |= {"reason": "ScalingDisabled", "message": text}
    found = list((scaler.get("status") or {}).get("conditions") or [])
    for new in (able, active):
        found = meta.set_condition(found, new, at)
    return found


class AutoscalerController(Controller):
    component = "horizontal-pod-autoscaler"

    def watches(self) -> dict[str, Mapper]:
        return {AUTOSCALERS: lambda obj: [meta.key_of(obj)], **dict.fromkeys(_TARGETS.values(), self._of_target)}

    def _of_target(self, obj: Object) -> list[Key]:
        namespace, name = meta.key_of(obj)
        return [
            meta.key_of(scaler)
            for scaler in self.cache.list(AUTOSCALERS, namespace)
            if (scaler["spec"]["scaleTargetRef"]["kind"], scaler["spec"]["scaleTargetRef"]["name"])
            == (obj["kind"], name)
        ]

    async def reconcile(self, key: Key) -> float | None:
        scaler = self.cache.get(AUTOSCALERS, *key)
        if not scaler or meta.deleting(scaler):
            return None
        reference = scaler["spec"]["scaleTargetRef"]
        resource = _TARGETS.get(reference["kind"], "")
        target = self.cache.get(resource, key[0], reference["name"]) if resource else None
        if target is None:
            await self._missing(scaler, reference)
            return self.world.seconds(_PERIOD)
        current = int(target["spec"].get("replicas", 1))
        wanted, reason = bounded(scaler, current) if current else (0, "")
        old = scaler.get("status") or {}
        status: Object = {
            "observedGeneration": pods.generation(scaler),
            "currentReplicas": int((target.get("status") or {}).get("replicas") or 0),
            "desiredReplicas": wanted,
            "conditions": conditions(scaler, current, meta.now()),
        }
        if "lastScaleTime" in old:
            status["lastScaleTime"] = old["lastScaleTime"]
        if reason:
            body = {"spec": {"replicas": wanted}}  # answered with a Scale, which the cache must not take for the target
            await self.client.patch(resource, key[0], reference["name"], body, subresource="scale")
            status["lastScaleTime"] = meta.now()
            text = f"New size: {wanted}; reason: {reason}"
            await self.world.recorder.record(self.component, scaler, "SuccessfulRescale", text)
        elif current and not old.get("conditions"):
            await self.world.recorder.record(
                self.component, scaler, "FailedGetResourceMetric", _NO_METRICS, warning=True
            )
        await self.put_status(AUTOSCALERS, scaler, status)
        return None

    async def _missing(self, scaler: Object, reference: Object) -> None:
        plural = _TARGETS.get(reference["kind"], f"{str(reference['kind']).lower()}s")
        text = f'{plural} "{reference["name"]}" not found'
        new = {
            "type": "AbleToScale",
            "status": "False",
            "reason": "FailedGetScale",
            "message": f"the HPA controller was unable to get the target's current scale: {text}",
        }
        old = scaler.get("status") or {}
        found = meta.set_condition(list(old.get("conditions") or []), new, meta.now())
        if found != old.get("conditions"):
            await self.world.recorder.record(self.component, scaler, "FailedGetScale", text, warning=True)
        await self.put_status(AUTOSCALERS, scaler, {"desiredReplicas": 0, **old, "conditions": found})
