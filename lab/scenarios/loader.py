"""Loads a built scenario into a real API server.

Only what people and Argo CD would create is written; what controllers make of it (ReplicaSets, pods, endpoints,
volumes) is left to the controllers of that server and of the lab. What the server does not know is left out and named.
"""

from __future__ import annotations

import asyncio

from lab.controllers import meta
from lab.controllers.argocd import kinds
from lab.controllers.client import ApiError, Client, Object
from lab.plain import copied
from lab.scenarios.builder import key_for

_DERIVED = {"ReplicaSet", "Endpoints", "EndpointSlice", "PersistentVolumeClaim", "PersistentVolume", "Event"}
_PARALLEL = 8
_CRD_SECONDS = 20.0


class Loader:
    """One load. `intents` are the objects before defaulting, by uid; `left_out` says what was not written and why."""

    def __init__(self, client: Client, intents: dict[str, Object]) -> None:
        self.client, self.intents = client, intents
        self.left_out: list[str] = []

    async def load(self, objects: list[Object]) -> int:
        """Write the objects; returns how many were written. Raises ApiError when the server does not answer."""
        chosen = [obj for obj in objects if self._wanted(obj)]
        first = [obj for obj in chosen if obj["kind"] in ("Namespace", "CustomResourceDefinition")]
        rest = [obj for obj in chosen if obj not in first]
        await self._all(first)
        crds = [obj["spec"] for obj in first if obj["kind"] == "CustomResourceDefinition"]
        await self._served({f"{spec['names']['plural']}.{spec['group']}" for spec in crds})
        accounts = [obj for obj in rest if obj["kind"] in ("ServiceAccount", "Node", "Secret", "ConfigMap")]
        await self._all(accounts)
        await self._all([obj for obj in rest if obj not in accounts])
        return len(chosen)

    @staticmethod
    def _wanted(obj: Object) -> bool:
        if obj["kind"] in _DERIVED or meta.controller_of(obj):
            return False
        return meta.key_of(obj) != ("default", "kubernetes") and not (
            obj["kind"] == "Service" and meta.labels(obj).get("app.kubernetes.io/managed-by") == "prometheus-operator"
        )

    async def _served(self, keys: set[str]) -> None:
        """Wait until the server serves every one of these custom resources: they come one after the other."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _CRD_SECONDS
        while loop.time() < end:
            await self.client.discover()
            if keys <= set(self.client.served()):
                return
            await asyncio.sleep(0.3)

    async def _all(self, objects: list[Object]) -> None:
        gate = asyncio.Semaphore(_PARALLEL)

        async def one(obj: Object) -> None:
            async with gate:
                await self._write(obj)

        await asyncio.gather(*(one(obj) for obj in objects))

    async def _write(self, obj: Object) -> None:
        key, body = key_for(obj), bare(self.intents.get(meta.uid(obj), obj))
        label = f"{obj['kind']} {'/'.join(meta.key_of(obj))}"
        if not self.client.serves(key):
            self.left_out.append(f"{label}: {key} is not served")
            return
        body["apiVersion"] = self.client.resource(key).api_version
        try:
            if any(entry.get("manager") == kinds.MANAGER for entry in obj["metadata"].get("managedFields") or []):
                namespace, name = meta.key_of(obj)
                await self.client.patch(key, namespace, name, body, how="apply", manager=kinds.MANAGER, force=True)
            else:
                await self._create(key, body)
            await self._status(key, obj)
        except ApiError as error:
            if error.status == 0:
                raise
            self.left_out.append(f"{label}: {error.message}")

    async def _create(self, key: str, body: Object) -> None:
        try:
            await self.client.create(key, body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _status(self, key: str, obj: Object) -> None:
        """Nodes and Applications keep their status; every other status is a controller's work."""
        namespace, name = meta.key_of(obj)
        if obj["kind"] == "Node":
            body = {"status": obj["status"]}
            await self.client.patch(key, None, name, body, how="strategic", subresource="status")
        elif obj["kind"] == "Application":
            client = self.client.named("argocd-application-controller")
            await client.patch(key, namespace, name, {"status": obj["status"]})


def bare(obj: Object) -> Object:
    """The object as a person would have written it."""
    body: Object = copied({key: value for key, value in obj.items() if key != "status"})
    for field in ("uid", "creationTimestamp", "generation", "managedFields", "resourceVersion"):
        body["metadata"].pop(field, None)
    spec = body.get("spec")
    if obj["kind"] == "Service" and isinstance(spec, dict):
        for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            spec.pop(field, None)
        if spec.get("clusterIP") not in (None, "None", "10.96.0.10"):
            del spec["clusterIP"]
        for port in spec.get("ports") or []:
            port.pop("nodePort", None)
    if obj["kind"] == "Namespace":
        body.pop("spec", None)
    notes = body["metadata"].get("annotations") or {}
    notes.pop("deployment.kubernetes.io/revision", None)
    return body
