"""EndpointSlices and Endpoints of Services: the ready pods behind each selector; mirrors for Services without one."""

from __future__ import annotations

import hashlib

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.world import Controller, Key, Mapper

SERVICE_LABEL = "kubernetes.io/service-name"
SLICES = "endpointslices.discovery.k8s.io"


def _behind(service: Object, pods: list[Object]) -> list[Object]:
    """The pods a Service leads to, sorted by address; those without an address are left out."""
    selector = service["spec"].get("selector") or {}
    namespace = service["metadata"].get("namespace")
    found = [
        pod
        for pod in pods
        if pod["metadata"].get("namespace") == namespace
        and meta.matches(meta.labels(pod), selector)
        and (pod.get("status") or {}).get("podIP")
        and not meta.pod_finished(pod)
    ]
    return sorted(found, key=lambda pod: str(pod["status"]["podIP"]))


def _target(pod: Object) -> Object:
    namespace, name = meta.key_of(pod)
    return {"kind": "Pod", "namespace": namespace, "name": name, "uid": meta.uid(pod)}


def _ports(service: Object, pod: Object | None) -> list[Object]:
    """The Service's ports with the number that the pod's containers give them."""
    found = []
    for port in service["spec"].get("ports") or []:
        number = meta.port_number(port.get("targetPort") or port["port"], pod["spec"]["containers"] if pod else [])
        if number is not None:
            entry: Object = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
            found.append(entry)
    return found


def slice_name(service: Object) -> str:
    digest = hashlib.sha256(meta.uid(service).encode()).hexdigest()
    return f"{service['metadata']['name']}-{digest[:5]}"


def slice_of(service: Object, pods: list[Object]) -> Object:
    """The EndpointSlice a Service should have."""
    behind = _behind(service, pods)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoints = []
    for pod in behind:
        ready = meta.pod_ready(pod) or publish
        endpoints.append(
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": ready, "serving": ready, "terminating": meta.deleting(pod)},
                "nodeName": pod["spec"]["nodeName"],
                "targetRef": _target(pod),
            }
        )
    return _slice(service, endpoints, _ports(service, behind[0] if behind else None), "endpointslice-controller.k8s.io")


def _slice(service: Object, endpoints: list[Object], ports: list[Object], manager: str) -> Object:
    labels = {
        **{k: v for k, v in meta.labels(service).items() if not k.startswith("endpointslice.")},
        SERVICE_LABEL: service["metadata"]["name"],
        "endpointslice.kubernetes.io/managed-by": manager,
    }
    if service["spec"].get("clusterIP") == "None":
        labels["service.kubernetes.io/headless"] = ""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(service),
            "namespace": service["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [meta.owner_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    }


def mirrored_slice(service: Object, endpoints: Object) -> Object:
    """The EndpointSlice of a Service without selector, from its Endpoints."""
    found: list[Object] = []
    ports: list[Object] = []
    for subset in endpoints.get("subsets") or []:
        ports = [
            {"name": port.get("name", ""), "port": port["port"], "protocol": port.get("protocol", "TCP")}
            for port in subset.get("ports") or []
        ]
        for address in subset.get("addresses") or []:
            entry: Object = {"addresses": [address["ip"]], "conditions": {"ready": True}}
            entry |= {key: address[key] for key in ("nodeName", "targetRef") if key in address}
            found.append(entry)
    return _slice(service, found, ports, "endpointslicemirroring-controller.k8s.io")


def endpoints_of(service: Object, pods: list[Object]) -> Object:
    """The Endpoints object a Service should have."""
    behind = _behind(service, pods)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    ready, waiting = [], []
    for pod in behind:
        entry = {"ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"], "targetRef": _target(pod)}
        if meta.pod_ready(pod) or publish:
            ready.append(entry)
        elif not meta.deleting(pod):
            waiting.append(entry)
    result: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": service["metadata"]["name"],
            "namespace": service["metadata"]["namespace"],
            "labels": dict(meta.labels(service)),
        },
    }
    if behind and (ready or waiting):
        subset: Object = {"ports": _ports(service, behind[0])}
        if ready:
            subset["addresses"] = ready
        if waiting:
            subset["notReadyAddresses"] = waiting
        result["subsets"] = [subset]
    return result


class EndpointsController(Controller):
    component = "endpointslice-controller"

    def watches(self) -> dict[str, Mapper]:
        return {
            "services": lambda obj: [meta.key_of(obj)],
            "pods": self._services_of,
            SLICES: self._service_of_slice,
            "endpoints": lambda obj: [meta.key_of(obj)],
        }

    def _services_of(self, pod: Object) -> list[Key]:
        return [
            meta.key_of(service)
            for service in self.cache.list("services", pod["metadata"]["namespace"])
            if service["spec"].get("selector") and meta.matches(meta.labels(pod), service["spec"]["selector"])
        ]

    def _service_of_slice(self, obj: Object) -> list[Key]:
        name = meta.labels(obj).get(SERVICE_LABEL)
        return [(obj["metadata"]["namespace"], name)] if name else []

    async def reconcile(self, key: Key) -> float | None:
        service = self.cache.get("services", *key)
        if not service or meta.deleting(service) or service["spec"].get("type") == "ExternalName":
            return None
        if key == ("default", "kubernetes"):
            return None
        if not service["spec"].get("selector"):
            known = self.cache.get("endpoints", *key)
            if known:
                await self._bring(SLICES, mirrored_slice(service, known), ("endpoints", "ports"))
            return None
        pods = self.cache.list("pods", key[0])
        await self._bring(SLICES, slice_of(service, pods), ("endpoints", "ports"))
        await self._bring("endpoints", endpoints_of(service, pods), ("subsets",))
        return None

    async def _bring(self, resource: str, wanted: Object, fields: tuple[str, ...]) -> None:
        """Create or replace so that `fields` are as wanted."""
        served = self.client.resource(resource)
        known = self.cache.get(resource, *meta.key_of(wanted))
        wanted["apiVersion"] = served.api_version
        if resource == SLICES and served.version == "v1beta1":
            _older_slice(wanted)
        if known is None:
            await self.create(resource, wanted)
        elif any((known.get(field) or []) != (wanted.get(field) or []) for field in fields):
            changed = {key: value for key, value in known.items() if key not in fields}
            changed |= {field: wanted[field] for field in fields if field in wanted}
            await self.put(resource, changed)


def _older_slice(wanted: Object) -> None:
    """discovery.k8s.io/v1beta1 knows only the ready condition and names the node as topology."""
    for endpoint in wanted["endpoints"]:
        endpoint["conditions"] = {"ready": endpoint["conditions"]["ready"]}
        node = endpoint.pop("nodeName", None)
        if node:
            endpoint["topology"] = {"kubernetes.io/hostname": node}
