"""The external resizer and the kubelet's part of it: a claim that asks for more gets it, where the class allows.

The API server has refused by then what cannot be (a class without ``allowVolumeExpansion``, a smaller size). Without a
pod that mounts the claim only the volume grows; the claim says ``FileSystemResizePending`` until one does.
"""

from __future__ import annotations

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.volumes import CLAIMS, CLASSES, VOLUMES, alive, provisions
from lab.controllers.world import Controller, Key, Mapper

_PENDING = "FileSystemResizePending"
_WAITING = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."


class Resizer(Controller):
    agent, component = "external-resizer", "external-resizer"

    def watches(self) -> dict[str, Mapper]:
        return {
            CLAIMS: lambda claim: [meta.key_of(claim)],
            CLASSES: lambda _obj: self._growing(),
            "pods": lambda pod: self._growing() if provisions(pod) else self._of_pod(pod),
        }

    def _growing(self) -> list[Key]:
        return [meta.key_of(claim) for claim in self.cache.list(CLAIMS) if _grows(claim)]

    def _of_pod(self, pod: Object) -> list[Key]:
        names = _claims_of(pod)
        return [key for key in self._growing() if key[0] == pod["metadata"]["namespace"] and key[1] in names]

    async def reconcile(self, key: Key) -> float | None:
        claim = self.cache.get(CLAIMS, *key)
        if not claim or meta.deleting(claim) or not _grows(claim):
            return None
        wanted = claim["spec"]["resources"]["requests"]["storage"]
        storage_class = self.cache.get(CLASSES, None, claim["spec"].get("storageClassName") or "")
        volume = self.cache.get(VOLUMES, None, claim["spec"].get("volumeName") or "")
        if not storage_class or not volume or not storage_class.get("allowVolumeExpansion"):
            return None
        if not alive(self.cache, storage_class["provisioner"]):
            text = "waiting for an external controller to expand this PVC"
            await self.world.recorder.record("volume_expand", claim, "ExternalExpanding", text)
            return self.world.seconds(15)
        if meta.quantity(volume["spec"]["capacity"]["storage"]) < meta.quantity(wanted):
            await self.patch(VOLUMES, volume, {"spec": {"capacity": {"storage": wanted}}})
        await self._finish(claim, wanted)
        return None

    async def _finish(self, claim: Object, wanted: str) -> None:
        status = dict(claim.get("status") or {})
        others = [entry for entry in status.get("conditions") or [] if entry["type"] != _PENDING]
        if self._mounted(claim):
            status |= {"capacity": {"storage": wanted}, "conditions": others}
            await self.put_status(CLAIMS, claim, status)
            await self.world.recorder.record(
                "kubelet", claim, "FileSystemResizeSuccessful", "volume resized on its node"
            )
        elif not any(entry["type"] == _PENDING for entry in status.get("conditions") or []):
            new = {"type": _PENDING, "status": "True", "message": _WAITING, "lastTransitionTime": meta.now()}
            await self.put_status(CLAIMS, claim, {**status, "conditions": [*others, new]})
            await self.world.recorder.record(self.component, claim, "FileSystemResizeRequired", _WAITING)

    def _mounted(self, claim: Object) -> bool:
        namespace, name = meta.key_of(claim)
        return any(
            name in _claims_of(pod) and (pod.get("status") or {}).get("phase") == "Running"
            for pod in self.cache.list("pods", namespace)
        )


def _grows(claim: Object) -> bool:
    """Whether a bound claim asks for more than it has."""
    status = claim.get("status") or {}
    have = (status.get("capacity") or {}).get("storage")
    wanted = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage")
    return status.get("phase") == "Bound" and bool(have) and meta.quantity(wanted) > meta.quantity(have)


def _claims_of(pod: Object) -> set[str]:
    volumes = pod["spec"].get("volumes") or []
    return {str((volume.get("persistentVolumeClaim") or {}).get("claimName", "")) for volume in volumes} - {""}
