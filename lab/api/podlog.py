"""pods/log: which container, what the kubelet would refuse, and the lines."""

from __future__ import annotations

from datetime import datetime

from aiohttp import ClientConnectionResetError, web

from lab.api import errors
from lab.api.errors import Obj
from lab.api.handlers import Core
from lab.api.logs import LogKey, LogOptions
from lab.api.registry import Resource
from lab.api.request import Call


def _names(pod: Obj, *fields: str) -> list[str]:
    spec = pod.get("spec") or {}
    return [str(each["name"]) for field in fields for each in spec.get(field) or []]


def _container(pod: Obj, wanted: str) -> str:
    """Raises ApiError 400 for an unknown or ambiguous container."""
    name = pod["metadata"]["name"]
    main = _names(pod, "containers")
    if wanted:
        if wanted not in _names(pod, "containers", "initContainers", "ephemeralContainers"):
            raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(main) == 1:
        return main[0]
    message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]"
    first = _names(pod, "initContainers")
    raise errors.bad_request(message + (f" or one of the init containers: [{' '.join(first)}]" if first else ""))


def _waiting(pod: Obj, container: str) -> str:
    """Why the container has not started, or ""."""
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses"):
        for each in status.get(field) or []:
            if each.get("name") == container:
                waiting = (each.get("state") or {}).get("waiting")
                started_before = each.get("restartCount") or (each.get("lastState") or {}).get("terminated")
                return str(waiting.get("reason", "")) if waiting and not started_before else ""
    return "ContainerCreating"


def _options(call: Call) -> LogOptions:
    since_time = None
    if text := call.query.get("sinceTime", ""):
        try:
            since_time = datetime.fromisoformat(text)
        except ValueError:
            raise errors.bad_request(f'parsing time "{text}" as RFC 3339') from None
    tail = call.number("tailLines")
    if tail is not None and tail < 0:
        raise errors.bad_request("tailLines must be greater than or equal to 0")
    return LogOptions(tail, call.number("sinceSeconds"), since_time, call.flag("timestamps"), call.number("limitBytes"))


async def serve_log(core: Core, call: Call, resource: Resource, http: web.Request) -> web.StreamResponse:
    """Answer GET pods/NAME/log. 204 before the pod is scheduled, as kube-apiserver does."""
    pod = core.objects.require(resource, call.namespace, call.name)
    container = _container(pod, call.query.get("container", ""))
    options, previous = _options(call), call.flag("previous")
    if not (pod.get("spec") or {}).get("nodeName"):
        return web.Response(status=204)
    key: LogKey = (call.namespace, call.name, container, previous)
    if previous and not core.logs.has(key):
        raise errors.bad_request(f'previous terminated container "{container}" in pod "{call.name}" not found')
    if not core.logs.has(key) and (reason := _waiting(pod, container)):
        text = f'container "{container}" in pod "{call.name}" is waiting to start: {reason}'
        raise errors.bad_request(text)
    data = core.logs.select(key, options, core.clock())
    if not call.flag("follow") or previous:
        return web.Response(body=data, content_type="text/plain")

    def alive() -> bool:
        found = core.store.get(resource.key, call.namespace, call.name)
        return found is not None and found["metadata"]["uid"] == pod["metadata"]["uid"]

    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    try:
        await response.prepare(http)
        await response.write(data)
        async for chunk in core.logs.follow(key, alive, timestamps=options.timestamps):
            await response.write(chunk)
        await response.write_eof()
    except (ClientConnectionResetError, ConnectionResetError):
        pass  # the reader left
    return response
