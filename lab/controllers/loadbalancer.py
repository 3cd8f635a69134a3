"""Addresses of LoadBalancer Services by MetalLB's rules: the asked-for address, else the pool's first free one."""

from __future__ import annotations

import ipaddress

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.world import Controller, Key, Mapper

POOLS = "ipaddresspools.metallb.io"
_ASKS = ("metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs")


def wanted_address(service: Object) -> str:
    """The address a Service asks for, or an empty text."""
    for name in _ASKS:
        if meta.notes(service).get(name):
            return str(meta.notes(service)[name]).split(",")[0].strip()
    return str(service["spec"].get("loadBalancerIP") or "")


def pool_addresses(pools: list[Object]) -> list[str]:
    """Every address of the pools, in order."""
    found: list[str] = []
    for pool in sorted(pools, key=lambda obj: str(obj["metadata"]["name"])):
        for entry in pool["spec"].get("addresses") or []:
            first, dash, last = str(entry).partition("-")
            if dash:
                low, high = ipaddress.IPv4Address(first.strip()), ipaddress.IPv4Address(last.strip())
                found += [str(ipaddress.IPv4Address(number)) for number in range(int(low), int(high) + 1)]
            else:
                found += [str(address) for address in ipaddress.ip_network(entry, strict=False)]
    return found


def address_of(service: Object) -> str:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return str(ingress[0].get("ip", "")) if ingress else ""


def allocate(service: Object, services: list[Object], pools: list[Object]) -> tuple[str, str]:
    """(address, "") or ("", why not)."""
    addresses = pool_addresses(pools)
    taken = {address_of(other) for other in services if meta.uid(other) != meta.uid(service)}
    asked = wanted_address(service)
    if asked:
        if asked not in addresses:
            return "", f'["{asked}"] is not allowed in config'
        if asked in taken:
            return "", f"can't change sharing key, address also in use by another service: {asked}"
        return asked, ""
    have = address_of(service)
    if have in addresses and have not in taken:
        return have, ""
    free = next((address for address in addresses if address not in taken), "")
    return free, "" if free else "no available IPs"


class LoadBalancerController(Controller):
    agent = "metallb-controller"

    def watches(self) -> dict[str, Mapper]:
        return {
            "services": lambda obj: [meta.key_of(obj)],
            POOLS: lambda _pool: [meta.key_of(obj) for obj in self.cache.list("services")],
        }

    async def reconcile(self, key: Key) -> float | None:
        service = self.cache.get("services", *key)
        if not service or meta.deleting(service):
            return None
        if service["spec"].get("type") != "LoadBalancer":
            if address_of(service):
                await self.patch("services", service, {"status": {"loadBalancer": None}}, "status")
            return None
        pools = self.cache.list(POOLS)
        if not pools:
            return None
        address, problem = allocate(service, self.cache.list("services"), pools)
        if problem:
            text = f'Failed to allocate IP for "{key[0]}/{key[1]}": {problem}'
            await self.world.recorder.record(self.agent, service, "AllocationFailed", text, warning=True)
            return self.world.seconds(30)
        if address != address_of(service):
            ingress: Object = {"ip": address}
            if self.client.server_version >= (1, 29):
                ingress["ipMode"] = "VIP"
            await self.patch("services", service, {"status": {"loadBalancer": {"ingress": [ingress]}}}, "status")
            await self.world.recorder.record(self.agent, service, "IPAllocated", f'Assigned IP ["{address}"]')
        return None
