"""Records Kubernetes Events: the same (object, reason, message) raises a count instead of making another one."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

from lab.controllers import meta
from lab.controllers.client import ApiError, Client, Object

_REMEMBERED = 4000


class Recorder:
    """Writes Events in the background of a reconcile; a lost Event is never an error."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: OrderedDict[tuple[str, ...], Object] = OrderedDict()

    async def record(
        self,
        agent: str,
        obj: Object,
        reason: str,
        message: str,
        *,
        warning: bool = False,
        host: str = "",
        field: str = "",
    ) -> None:
        """Record one Event on `obj`. `field` is the container's field path, `host` the kubelet's node."""
        key = (meta.uid(obj), reason, message, field)
        client = self._client.named(agent)
        try:
            known = self._known.get(key)
            if known is None:
                made = await client.create("events", event(agent, obj, reason, message, warning, host, field))
            else:
                body = {"count": known["count"] + 1, "lastTimestamp": meta.now()}
                namespace, name = meta.key_of(known)
                made = await client.patch("events", namespace, name, body)
        except ApiError:
            self._known.pop(key, None)
            return
        self._known[key] = made
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def event(agent: str, obj: Object, reason: str, message: str, warning: bool, host: str = "", field: str = "") -> Object:
    """A core/v1 Event as client-go's recorder writes it."""
    namespace, name = meta.key_of(obj)
    involved = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": name,
        "uid": meta.uid(obj),
        "resourceVersion": obj["metadata"].get("resourceVersion", ""),
    }
    if namespace:
        involved["namespace"] = namespace
    if field:
        involved["fieldPath"] = field
    unique = hashlib.sha256(f"{meta.uid(obj)}{reason}{message}{time.monotonic_ns()}".encode()).hexdigest()[:16]
    at = meta.now()
    source = {"component": agent, **({"host": host} if host else {})}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{unique}", "namespace": namespace or "default"},
        "involvedObject": involved,
        "reason": reason,
        "message": message,
        "type": "Warning" if warning else "Normal",
        "source": source,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "reportingComponent": agent,
        "reportingInstance": host,
    }
