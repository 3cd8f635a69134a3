"""The verbs over stored resources: one function per verb, from a Call to a response."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from aiohttp import web

from lab.api import deletion, errors, escalation, listing, patching, request, rival, views, watching
from lab.api.auth import Tokens
from lab.api.deletion import Deletion
from lab.api.errors import Obj
from lab.api.faults import Faults
from lab.api.ledger import Ledger
from lab.api.logs import Logs
from lab.api.objects import Objects, Options, Outcome
from lab.api.rbac import Rbac
from lab.api.registry import Registry, Resource
from lab.api.render import Form, encode, respond, warning_headers
from lab.api.request import Call
from lab.api.store import Store


class ServiceBackend(Protocol):
    """What answers behind the service proxy."""

    async def handle(
        self, namespace: str, service: str, port: str, method: str, path: str, query: str, headers: dict[str, str],
        body: bytes,
    ) -> tuple[int, dict[str, str], bytes]: ...  # fmt: skip


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Core:
    """Everything a handler needs; one per server."""

    store: Store
    tokens: Tokens
    faults: Faults
    services: ServiceBackend | None = None
    clock: Callable[[], datetime] = utc_now
    rng: random.Random = field(default_factory=random.Random)
    registry: Registry = field(default_factory=Registry)
    ledger: Ledger = field(default_factory=Ledger)
    logs: Logs = field(default_factory=Logs)
    rbac: Rbac = field(init=False)
    objects: Objects = field(init=False)
    deletion: Deletion = field(init=False)

    def __post_init__(self) -> None:
        self.rbac = Rbac(self.store)
        self.objects = Objects(self.store, self.registry, self.clock, self.rng)
        self.deletion = Deletion(self.objects)
        self.faults.rival = partial(rival.write, self)


_ORPHANS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
Handler = Callable[[Core, Call, Resource, web.Request], Awaitable[web.StreamResponse]]


def options_of(core: Core, call: Call) -> Options:
    """How the write is to be done, with the check on granted rights bound to its user."""

    def guard(resource: Resource, obj: Obj, old: Obj | None) -> None:
        escalation.check(core.rbac, call.user, resource, obj, old)

    return Options(
        manager=call.manager,
        dry_run=call.dry_run,
        field_validation=call.query.get("fieldValidation", "Warn"),
        force=call.flag("force"),
        guard=guard,
    )


def note(core: Core, call: Call, outcome: Outcome) -> None:
    """Enter the write into the ledger."""
    core.ledger.record(call, outcome.before, outcome.obj, core.objects.now(), gone=outcome.gone)


def finish(core: Core, call: Call, resource: Resource, outcome: Outcome, code: int = 0) -> web.Response:
    """Note the write and answer with its object."""
    note(core, call, outcome)
    form = Form.of(call, resource, core.objects.now())
    body = form.one(views.to_view(resource, outcome.obj))
    return respond(body, code or (201 if outcome.created else 200), warning_headers(outcome.warnings))


async def get(core: Core, call: Call, resource: Resource, _request: web.Request) -> web.StreamResponse:
    obj = core.objects.require(resource, call.namespace, call.name)
    form = Form.of(call, resource, core.objects.now())
    if form.plain and not resource.storage:
        entry = core.store.entry(resource.key, call.namespace if resource.namespaced else "", call.name)
        if entry is not None:
            return respond(entry.full())
    return respond(form.one(views.to_view(resource, obj)))


async def list_(core: Core, call: Call, resource: Resource, _request: web.Request) -> web.StreamResponse:
    entries, meta = listing.page(core.store, call, resource)
    return respond(Form.of(call, resource, core.objects.now()).many(entries, meta))


async def watch(core: Core, call: Call, resource: Resource, http: web.Request) -> web.StreamResponse:
    form = Form.of(call, resource, core.objects.now())
    return await watching.serve(http, core.store, call, resource, form, core.faults)


async def create(core: Core, call: Call, resource: Resource, _request: web.Request) -> web.StreamResponse:
    request.check_dry_run(call, "CreateOptions")
    body = views.to_stored(resource, request.read_body(call))
    outcome = core.objects.create(views.target(core.registry, resource), call.namespace, body, options_of(core, call))
    return finish(core, call, resource, outcome)


async def update(core: Core, call: Call, resource: Resource, _request: web.Request) -> web.StreamResponse:
    request.check_dry_run(call, "UpdateOptions")
    body = views.to_stored(resource, request.read_body(call))
    target, options = views.target(core.registry, resource), options_of(core, call)
    outcome = core.objects.replace(target, call.namespace, call.name, body, options, call.subresource)
    return finish(core, call, resource, outcome)


async def patch(core: Core, call: Call, resource: Resource, _request: web.Request) -> web.StreamResponse:
    request.check_dry_run(call, "PatchOptions")
    check_patch_type(call, resource)
    document = request.read_patch(call)
    target, options = views.target(core.registry, resource), options_of(core, call)
    if call.content_type == request.APPLY_PATCH:
        check_manager(call)
        assert isinstance(document, dict)
        document = views.to_stored(resource, document)
        outcome = core.objects.apply(target, call.namespace, call.name, document, options, call.subresource)
    else:
        changed = patch_function(call, resource, document)

        def change(obj: Obj) -> Obj:
            return views.to_stored(resource, changed(views.to_view(resource, obj)))

        outcome = core.objects.patch(target, call.namespace, call.name, change, options, call.subresource)
    return finish(core, call, resource, outcome)


def check_patch_type(call: Call, resource: Resource) -> None:
    supported = request.PATCHES if resource.custom else (*request.PATCHES, request.STRATEGIC_PATCH)
    if call.content_type not in supported:
        raise errors.unsupported_media_type(call.content_type, supported)


def check_manager(call: Call) -> None:
    """An apply without fieldManager is refused. Raises ApiError 422."""
    if not call.query.get("fieldManager"):
        message = "Required value: is required for apply patch"
        cause = patching.Cause("FieldValueRequired", "fieldManager", message)
        raise errors.invalid("PatchOptions", "meta.k8s.io", "", [cause])


def patch_function(call: Call, resource: Resource, document: object) -> Callable[[Obj], Obj]:
    """The change that a JSON, merge or strategic patch makes. It raises ApiError."""

    def change(obj: Obj) -> Obj:
        try:
            if call.content_type == request.JSON_PATCH:
                assert isinstance(document, list)
                return patching.json_patch(obj, document)
            assert isinstance(document, dict)
            if call.content_type == request.MERGE_PATCH:
                return patching.merge_patch(obj, document)
            return patching.strategic_merge(resource.gvk, obj, document)
        except patching.PatchError as problem:
            if problem.code == 422:
                raise errors.ApiError(
                    422, problem.reason, f"the server rejected our request due to an error in our request: {problem}"
                ) from None
            raise errors.ApiError(problem.code, problem.reason, str(problem)) from None

    return change


def _delete_body(call: Call) -> Obj:
    return request.read_body(call) if call.body.strip() else {}


async def delete(core: Core, call: Call, resource: Resource, _request: web.Request) -> web.StreamResponse:
    options = deletion.read_options(call, _delete_body(call))
    before = core.objects.require(resource, call.namespace, call.name)
    obj, gone = core.deletion.delete(resource, call.namespace, call.name, options)
    core.ledger.record(call, before, obj, core.objects.now(), gone=gone, dry_run=options.dry_run)
    left_behind = not options.propagation and deletion.default_propagation(resource) == "Orphan"
    headers = warning_headers([_ORPHANS] if left_behind else [])
    if gone and resource.kind != "Pod":
        meta = obj["metadata"]
        body = errors.success(meta["name"], resource.group, resource.plural, meta["uid"])
        return respond(body, headers=headers)
    return respond(Form.of(call, resource, core.objects.now()).one(views.to_view(resource, obj)), headers=headers)


async def delete_collection(core: Core, call: Call, resource: Resource, _request: web.Request) -> web.StreamResponse:
    options = deletion.read_options(call, _delete_body(call))
    selector = listing.selector_of(call, resource)
    deleted = core.deletion.delete_collection(resource, call.namespace, selector, options)
    for before, obj, gone in deleted:
        core.ledger.record(call, before, obj, core.objects.now(), gone=gone, dry_run=options.dry_run)
    items = [views.to_view(resource, obj) for _before, obj, _gone in deleted]
    meta = {"resourceVersion": str(core.store.version)}
    body = {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": meta, "items": items}
    return respond(encode(body))


VERBS: dict[str, Handler] = {
    "get": get,
    "list": list_,
    "watch": watch,
    "create": create,
    "update": update,
    "patch": patch,
    "delete": delete,
    "deletecollection": delete_collection,
}
