"""Volumes: the external provisioner makes PersistentVolumes, the binder ties claims to them.

The provisioner works only while a pod of it is ready (a container whose PROVISIONER_NAME is the class's provisioner),
so a claim that stays Pending has a cause one can find. With a real controller manager only the provisioner runs.
"""

from __future__ import annotations

from lab.controllers import meta
from lab.controllers.cache import Cache
from lab.controllers.client import ApiError, Object
from lab.controllers.world import Controller, Key, Mapper

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
_PROTECTION = "kubernetes.io/pvc-protection"


def default_class(classes: list[Object]) -> Object | None:
    """The default StorageClass; of several the youngest, as the admission plugin chooses."""
    marked = [entry for entry in classes if meta.notes(entry).get(DEFAULT_CLASS) == "true"]
    return max(marked, key=lambda entry: str(entry["metadata"].get("creationTimestamp", "")), default=None)


def volume_for(claim: Object, storage_class: Object) -> Object:
    """The PersistentVolume that the class's provisioner makes for a claim."""
    namespace, name = meta.key_of(claim)
    volume = f"pvc-{meta.uid(claim)}"
    spec: Object = {
        "accessModes": list(claim["spec"]["accessModes"]),
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": namespace,
            "name": name,
            "uid": meta.uid(claim),
        },
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
        "storageClassName": storage_class["metadata"]["name"],
        "volumeMode": claim["spec"].get("volumeMode", "Filesystem"),
    }
    if "openebs" in storage_class["provisioner"]:
        node = meta.notes(claim).get("volume.kubernetes.io/selected-node", "")
        spec["local"] = {"path": f"/var/openebs/local/{volume}"}
        term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}}
    else:
        path = f"/srv/nfs/kubernetes/{namespace}-{name}-{volume}"
        spec["nfs"] = {"server": "10.1.5.30", "path": path}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume,
            "annotations": {"pv.kubernetes.io/provisioned-by": storage_class["provisioner"]},
            "finalizers": ["kubernetes.io/pv-protection"],
        },
        "spec": spec,
    }


def bound_claim_status(claim: Object, volume: Object) -> Object:
    return {
        "phase": "Bound",
        "accessModes": list(claim["spec"]["accessModes"]),
        "capacity": dict(volume["spec"]["capacity"]),
    }


def provisions(pod: Object) -> str:
    """The provisioner that runs in a pod, or nothing."""
    for container in pod["spec"]["containers"]:
        for entry in container.get("env") or []:
            if entry["name"] == "PROVISIONER_NAME":
                return str(entry.get("value", ""))
    return ""


def alive(cache: Cache, provisioner: str) -> bool:
    """Whether a ready pod runs this provisioner."""
    return any(provisions(pod) == provisioner and meta.pod_ready(pod) for pod in cache.list("pods"))


class Provisioner(Controller):
    agent = "nfs-client-provisioner"

    def watches(self) -> dict[str, Mapper]:
        return {
            CLAIMS: lambda obj: [meta.key_of(obj)],
            CLASSES: lambda _obj: self._open(),
            "pods": lambda pod: self._open() if provisions(pod) else [],
        }

    def _open(self) -> list[Key]:
        return [meta.key_of(claim) for claim in self.cache.list(CLAIMS) if not claim["spec"].get("volumeName")]

    async def reconcile(self, key: Key) -> float | None:
        claim = self.cache.get(CLAIMS, *key)
        if not claim or meta.deleting(claim) or claim["spec"].get("volumeName"):
            return None
        name = claim["spec"].get("storageClassName")
        if name is None:
            return await self._choose_class(claim)
        storage_class = self.cache.get(CLASSES, None, name) if name else None
        if not storage_class:
            message = f'storageclass.storage.k8s.io "{name}" not found'
            await self.world.recorder.record(self.agent, claim, "ProvisioningFailed", message, warning=True)
            return self.world.seconds(15)
        if storage_class.get("volumeBindingMode") == "WaitForFirstConsumer" and not meta.notes(claim).get(
            "volume.kubernetes.io/selected-node"
        ):
            text = "waiting for first consumer to be created before binding"
            await self.world.recorder.record("persistentvolume-controller", claim, "WaitForFirstConsumer", text)
            return None
        if not alive(self.cache, storage_class["provisioner"]):
            text = (
                "Waiting for a volume to be created either by the external provisioner "
                f"'{storage_class['provisioner']}' or manually by the system administrator."
            )
            await self.world.recorder.record("persistentvolume-controller", claim, "ExternalProvisioning", text)
            return self.world.seconds(15)
        volume = volume_for(claim, storage_class)
        if not self.cache.get(VOLUMES, None, volume["metadata"]["name"]):
            try:
                await self.create(VOLUMES, volume)
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
            text = f"Successfully provisioned volume {volume['metadata']['name']}"
            await self.world.recorder.record(self.agent, claim, "ProvisioningSucceeded", text)
        return None

    async def _choose_class(self, claim: Object) -> float | None:
        found = default_class(self.cache.list(CLASSES))
        if found:
            await self.patch(CLAIMS, claim, {"spec": {"storageClassName": found["metadata"]["name"]}})
            return None
        await self.world.recorder.record("persistentvolume-controller", claim, "FailedBinding", NO_CLASS)
        return self.world.seconds(15)


class VolumeBinder(Controller):
    """Ties a claim to the volume made for it, protects claims in use, frees volumes whose claim is gone."""

    component = "persistentvolume-controller"

    def watches(self) -> dict[str, Mapper]:
        return {
            CLAIMS: lambda obj: [meta.key_of(obj)],
            VOLUMES: self._claim_of,
            "pods": self._claims_of_pod,
        }

    def _claim_of(self, volume: Object) -> list[Key]:
        reference = volume["spec"].get("claimRef")
        return [(reference["namespace"], reference["name"])] if reference else []

    def _claims_of_pod(self, pod: Object) -> list[Key]:
        namespace = pod["metadata"]["namespace"]
        names = [
            (volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in pod["spec"].get("volumes") or []
        ]
        return [(namespace, name) for name in names if name]

    async def reconcile(self, key: Key) -> float | None:
        claim = self.cache.get(CLAIMS, *key)
        if claim and meta.deleting(claim):
            await self._release_protection(claim)
        volumes = [volume for volume in self.cache.list(VOLUMES) if key in self._claim_of(volume)]
        for volume in volumes:
            if claim and volume["spec"]["claimRef"].get("uid") in (None, meta.uid(claim)):
                await self._bind(claim, volume)
            else:
                await self._free(volume)
        return None

    async def _bind(self, claim: Object, volume: Object) -> None:
        if volume["spec"]["claimRef"].get("uid") is None:
            # reserved by name alone: from now on it is this very claim's (pv_controller.go, bindVolumeToClaim)
            volume = await self.patch(VOLUMES, volume, {"spec": {"claimRef": {"uid": meta.uid(claim)}}})
        if (volume.get("status") or {}).get("phase") != "Bound":
            await self.put_status(VOLUMES, volume, {"phase": "Bound"})
        name = volume["metadata"]["name"]
        if claim["spec"].get("volumeName") != name:
            notes = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
            claim = await self.patch(CLAIMS, claim, {"metadata": {"annotations": notes}, "spec": {"volumeName": name}})
        if (claim.get("status") or {}).get("phase") != "Bound":
            await self.put_status(CLAIMS, claim, bound_claim_status(claim, volume))

    async def _free(self, volume: Object) -> None:
        if meta.deleting(volume):
            return
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            await self.remove(VOLUMES, volume)
            await self.patch(VOLUMES, volume, {"metadata": {"finalizers": None}})
        elif (volume.get("status") or {}).get("phase") != "Released":
            await self.put_status(VOLUMES, volume, {"phase": "Released"})

    async def _release_protection(self, claim: Object) -> None:
        finalizers = claim["metadata"].get("finalizers") or []
        key = meta.key_of(claim)
        used = any(key in self._claims_of_pod(pod) for pod in self.cache.list("pods", key[0]))
        if _PROTECTION in finalizers and not used:
            left = [entry for entry in finalizers if entry != _PROTECTION]
            await self.patch(CLAIMS, claim, {"metadata": {"finalizers": left or None}})
