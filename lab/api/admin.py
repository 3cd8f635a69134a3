"""The lab's own endpoints under /lab/: faults, compaction, ledger, seeding and container logs. For tok-admin only."""

from __future__ import annotations

from aiohttp import web

from lab.api import admission, crds, errors, metadata, patching
from lab.api.errors import ApiError, Obj
from lab.api.handlers import Core
from lab.api.registry import Resource
from lab.api.render import respond
from lab.api.request import Call, read_body


def handle(core: Core, call: Call) -> web.Response:
    """Raises ApiError 403 for others than the admin, 404 for unknown paths, 400 for bodies that make no sense."""
    if "system:masters" not in call.user.groups:
        raise ApiError(403, "Forbidden", "only the lab's admin may use /lab/", {})
    parts = [part for part in call.path.split("/") if part][1:]
    if parts[:1] == ["faults"]:
        return respond(_faults(core, call, parts[1:]))
    match call.method, parts:
        case "GET", ["health"]:
            return respond({"status": "ok", "resourceVersion": str(core.store.version)})
        case "POST", ["compact"]:
            return respond({"resourceVersion": str(core.store.compact())})
        case "GET", ["ledger"]:
            return respond(_ledger(core, call))
        case "POST", ["seed"]:
            return respond({"stored": seed(core, read_body(call).get("objects") or [])}, 201)
        case "PUT", ["logs", namespace, pod, container]:
            body = read_body(call)
            key = (namespace, pod, container, call.flag("previous"))
            core.logs.put(key, body.get("lines") or [], append=bool(body.get("append")))
            return respond({"lines": len(body.get("lines") or [])})
    raise errors.unknown_path()


def _ledger(core: Core, call: Call) -> Obj:
    """`since=N`: the effects after N; `after=N`, or neither: every accepted write, dry runs too."""
    since = call.number("since")
    entries = core.ledger.effects(since) if since is not None else core.ledger.entries(call.number("after") or 0)
    return {"entries": entries, **core.ledger.bounds}


def _faults(core: Core, call: Call, rest: list[str]) -> Obj:
    match call.method, rest:
        case "POST", []:
            return core.faults.add(read_body(call)).body()
        case "GET", []:
            return {"faults": [fault.body() for fault in core.faults.all()]}
        case "DELETE", []:
            core.faults.clear()
            return {"faults": []}
        case "GET", [fault_id]:
            if (fault := core.faults.get(fault_id)) is not None:
                return fault.body()
        case "DELETE", [fault_id]:
            if core.faults.remove(fault_id):
                return {"removed": fault_id}
    raise errors.unknown_path()


def _resource(core: Core, obj: Obj) -> Resource:
    api_version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
    resource = core.registry.by_kind(api_version.rpartition("/")[0], kind)
    if resource is None:
        raise errors.bad_request(f"no kind {kind!r} is served in {api_version!r}")
    return resource


def seed(core: Core, bodies: list[Obj]) -> int:
    """Insert objects as they are: status, uid, creationTimestamp and managedFields are kept. CRDs come first.

    Only for loading a scenario: nothing is validated, nothing enters the ledger. Raises ApiError 400.
    """
    for body in sorted(bodies, key=lambda each: each.get("kind") != "CustomResourceDefinition"):
        _seed_one(core, metadata.clone(body))
    return len(bodies)


def _seed_one(core: Core, obj: Obj) -> None:
    resource, now = _resource(core, obj), core.objects.now()
    meta = obj.setdefault("metadata", {})
    if not meta.get("name"):
        raise errors.bad_request(f"a seeded {resource.kind} has no metadata.name")
    if resource.namespaced:
        meta.setdefault("namespace", "default")
    given = {name: meta[name] for name in _KEPT if name in meta}
    live = core.store.get(resource.key, meta.get("namespace", ""), meta["name"])
    metadata.stamp_new(resource, meta, now, core.rng)
    if live is not None:
        given = {"uid": live["metadata"]["uid"], "creationTimestamp": live["metadata"]["creationTimestamp"]} | given
    meta |= given
    status = obj.pop("status", None)
    schema = resource.custom.schema if resource.custom else None
    obj = patching.default(resource.gvk, obj, now, schema=schema)
    admission.on_create(core.store, resource, obj)
    if status is not None:
        obj["status"] = status
    if resource.key == crds.CRDS:
        if not crds.established(obj):
            obj = metadata.clone(crds.establish(obj, now))
        crds.register(core.registry, obj)
    core.store.put(resource.key, obj)


_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields")
