"""Subresources: status, scale, log, eviction, binding, finalize, token."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from lab.api import errors, eviction, handlers, metadata, request
from lab.api.errors import Obj
from lab.api.handlers import Core
from lab.api.objects import Options, Outcome
from lab.api.patching import Cause
from lab.api.registry import Resource
from lab.api.render import respond
from lab.api.request import Call
from lab.api.scale import ScalePaths, read_replicas, scale_of, with_replicas

_CREATED: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_HOUR = 3600


async def handle(core: Core, call: Call, resource: Resource, http: web.Request) -> web.StreamResponse:
    """Raises ApiError 404 for a subresource that the kind does not have, 405 for a verb it does not have."""
    if call.subresource not in resource.subresources or not call.name:
        raise errors.unknown_path()
    match call.subresource, call.verb:
        case "status", "get":
            return await handlers.get(core, call, resource, http)
        case "status", "update":
            return await handlers.update(core, call, resource, http)
        case "status", "patch":
            return await handlers.patch(core, call, resource, http)
        case "scale", "get":
            paths = ScalePaths.of(resource)
            return respond(scale_of(core.objects.require(resource, call.namespace, call.name), paths))
        case "scale", "update" | "patch":
            return _write_scale(core, call, resource)
        case "log", "get":
            from lab.api.podlog import serve_log

            return await serve_log(core, call, resource, http)
        case "eviction", "create":
            return eviction.evict(core, call, resource)
        case "binding", "create":
            return _bind(core, call, resource)
        case "finalize", "update":
            return _finalize(core, call, resource)
        case "token", "create":
            return _token(core, call, resource)
    raise errors.method_not_allowed()


# -- scale


def _write_scale(core: Core, call: Call, resource: Resource) -> web.Response:
    request.check_dry_run(call, "UpdateOptions")
    live = core.objects.require(resource, call.namespace, call.name)
    paths = ScalePaths.of(resource)
    options = handlers.options_of(core, call)
    if call.content_type == request.APPLY_PATCH:
        outcome = _apply_scale(core, call, resource, options, paths)
    else:
        wanted = _wanted_scale(call, resource, scale_of(live, paths))
        replicas = read_replicas(wanted)
        obj = with_replicas(metadata.clone(live), paths, replicas)
        obj["metadata"]["resourceVersion"] = (
            wanted["metadata"].get("resourceVersion") or live["metadata"]["resourceVersion"]
        )
        outcome = core.objects.update(resource, live, obj, options, "scale")
    handlers.note(core, call, outcome)
    return respond(scale_of(outcome.obj, paths))


def _wanted_scale(call: Call, resource: Resource, current: Obj) -> Obj:
    if call.verb == "update":
        return request.read_body(call)
    supported = (request.JSON_PATCH, request.MERGE_PATCH, request.STRATEGIC_PATCH)
    if call.content_type not in supported:
        raise errors.unsupported_media_type(call.content_type, supported)
    change = handlers.patch_function(call, resource, request.read_patch(call))
    return change(current)


def _apply_scale(core: Core, call: Call, resource: Resource, options: Options, paths: ScalePaths) -> Outcome:
    handlers.check_manager(call)
    document = request.read_patch(call)
    assert isinstance(document, dict)
    intent: Obj = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": call.name}}
    with_replicas(intent, paths, read_replicas(document))
    return core.objects.apply(resource, call.namespace, call.name, intent, options, "scale")


# -- binding


def _bind(core: Core, call: Call, resource: Resource) -> web.Response:
    request.check_dry_run(call, "CreateOptions")
    body = request.read_body(call)
    node = (body.get("target") or {}).get("name", "")
    if not node:
        cause = Cause("FieldValueRequired", "target.name", "Required value")
        raise errors.invalid("Binding", "", call.name, [cause])
    pod = core.objects.require(resource, call.namespace, call.name)
    bound = (pod.get("spec") or {}).get("nodeName")
    if bound:
        why = f'pod {call.name} is already assigned to node "{bound}"'
        raise errors.conflict("pods/binding", "", call.name, why)
    if pod["metadata"].get("deletionTimestamp"):
        raise errors.conflict(
            "pods/binding", "", call.name, f"pod {call.name} is being deleted, cannot be assigned to a host"
        )
    changed = metadata.clone(pod)
    changed["spec"]["nodeName"] = node
    condition = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": core.objects.now(),
    }
    status = changed.setdefault("status", {})
    status["conditions"] = [
        *(each for each in status.get("conditions") or [] if each.get("type") != "PodScheduled"),
        condition,
    ]
    if not call.dry_run:
        core.store.put(resource.key, changed)
    core.ledger.record(call, pod, changed, core.objects.now())
    return respond(_CREATED, 201)


# -- namespaces and service accounts


def _finalize(core: Core, call: Call, resource: Resource) -> web.Response:
    request.check_dry_run(call, "UpdateOptions")
    live = core.objects.require(resource, "", call.name)
    body = request.read_body(call)
    wanted = (body.get("metadata") or {}).get("resourceVersion")
    if wanted and wanted != live["metadata"]["resourceVersion"]:
        raise errors.conflict(resource.plural, resource.group, call.name, errors.STALE)
    changed = metadata.clone(live)
    changed["spec"]["finalizers"] = (body.get("spec") or {}).get("finalizers") or []
    outcome = core.objects.update(resource, live, changed, handlers.options_of(core, call), "finalize")
    handlers.note(core, call, outcome)
    return respond(outcome.obj)


def _token(core: Core, call: Call, resource: Resource) -> web.Response:
    account = core.objects.require(resource, call.namespace, call.name)
    body = request.read_body(call)
    spec = body.get("spec") or {}
    seconds = spec.get("expirationSeconds") or _HOUR
    if not isinstance(seconds, int) or seconds < 600:
        cause = Cause(
            "FieldValueInvalid",
            "spec.expirationSeconds",
            f"Invalid value: {seconds}: may not specify a duration less than 10 minutes",
        )
        raise errors.invalid("TokenRequest", "authentication.k8s.io", call.name, [cause])
    audiences = list(spec.get("audiences") or ["https://kubernetes.default.svc"])
    now = core.clock().timestamp()
    until = metadata.timestamp(datetime.fromtimestamp(now + seconds, UTC))
    answer = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.name, "namespace": call.namespace, "creationTimestamp": core.objects.now()},
        "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": spec.get("boundObjectRef")},
        "status": {"token": core.tokens.issue(account, seconds, audiences, now), "expirationTimestamp": until},
    }
    core.ledger.record(call, account, account, core.objects.now())
    return respond(answer, 201)
