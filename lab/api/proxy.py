"""The service proxy, `services/[SCHEME:]NAME[:PORT]/proxy/PATH`: reaches what is behind a Service.

Like kube-apiserver it needs a ready endpoint address, and it never passes the client's Authorization header on.
"""

from __future__ import annotations

from aiohttp import web

from lab.api import errors, striking
from lab.api.errors import ApiError, Obj
from lab.api.handlers import Core
from lab.api.request import Call
from lab.api.service_faults import target_of

_DROPPED = ("authorization", "host", "connection", "content-length", "transfer-encoding", "accept-encoding")


def _split(name: str) -> tuple[str, str]:
    """(service, port) of `[scheme:]name[:port]`."""
    parts = name.split(":")
    if len(parts) == 3:
        return parts[1], parts[2]
    return parts[0], parts[1] if len(parts) == 2 else ""


def _unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)


def ready(core: Core, namespace: str, service: str) -> bool:
    """Whether an EndpointSlice of the Service has a ready address."""
    for piece in core.store.objects("endpointslices.discovery.k8s.io", namespace):
        if (piece["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != service:
            continue
        for endpoint in piece.get("endpoints") or []:
            if endpoint.get("addresses") and (endpoint.get("conditions") or {}).get("ready", True) is not False:
                return True
    return False


def _port(service: Obj, wanted: str) -> str:
    """The Service port's name, or its number when it has none. Raises ApiError 503."""
    ports = (service.get("spec") or {}).get("ports") or []
    name = service["metadata"]["name"]
    for port in ports:
        if wanted in ("", port.get("name"), str(port.get("port"))):
            return str(port.get("name") or port.get("port"))
    raise _unavailable(f'no service port "{wanted}" found for service "{name}"')


async def handle(core: Core, call: Call, http: web.Request) -> web.StreamResponse:
    """Raises ApiError 404 for an unknown Service, 503 when nothing is ready behind it."""
    name, wanted = _split(call.name)
    service = core.store.get("services", call.namespace, name)
    if service is None:
        raise errors.not_found("services", "", name)
    port = _port(service, wanted)
    if not ready(core, call.namespace, name):
        raise _unavailable(f'no endpoints available for service "{name}"')
    target = target_of(name)
    if target:
        await striking.before(core.faults, call, http, target)
    if core.services is None:
        raise _unavailable("error trying to reach service: connect: connection refused")
    headers = {key.lower(): value for key, value in call.headers.items() if key.lower() not in _DROPPED}
    path = "/" + call.path.partition("/proxy")[2].lstrip("/")
    try:
        status, answer_headers, body = await core.services.handle(
            call.namespace, name, port, call.method, path, http.rel_url.raw_query_string, headers, call.body
        )
    except (TimeoutError, ConnectionError) as problem:
        raise _unavailable(f"error trying to reach service: {problem}") from None
    answer = web.Response(status=status, headers=answer_headers, body=body)
    return await striking.after(core.faults, call, http, answer, target) if target else answer
