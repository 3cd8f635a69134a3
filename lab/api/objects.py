"""Create, replace, patch and apply: the rules of a write, over the store.

Knows nothing of HTTP. Every method works on private copies and stores once, at the end, so a refused or dry-run write
leaves no trace. Raises ApiError.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from lab.api import admission, errors, metadata, patching
from lab.api.errors import Obj
from lab.api.patching import Cause
from lab.api.registry import Registry, Resource
from lab.api.store import Store


@dataclass(frozen=True, slots=True)
class Options:
    """What a write was asked to do beside its body."""

    manager: str = "unknown"
    dry_run: bool = False
    field_validation: str = ""
    force: bool = False
    guard: Callable[[Resource, Obj, Obj | None], None] | None = None  # a last look at what is to be stored


@dataclass(slots=True)
class Outcome:
    """A write's result. `stored` is False for a dry run and for one that changed nothing; then `obj` is `before`."""

    obj: Obj
    before: Obj | None = None
    created: bool = False
    stored: bool = False
    gone: bool = False  # its last finalizer went with this write
    warnings: list[str] = field(default_factory=list)


class Objects:
    """See the module."""

    def __init__(self, store: Store, registry: Registry, clock: Callable[[], datetime], rng: random.Random) -> None:
        self.store = store
        self.registry = registry
        self.clock = clock
        self.rng = rng

    def now(self) -> str:
        return metadata.timestamp(self.clock())

    def require(self, resource: Resource, namespace: str, name: str) -> Obj:
        """The stored object (not a copy). Raises 404."""
        obj = self.store.get(resource.store_key, namespace if resource.namespaced else "", name)
        if obj is None:
            raise errors.not_found(resource.plural, resource.group, name)
        return obj

    # -- create

    def create(self, resource: Resource, namespace: str, body: Obj, options: Options, name: str = "") -> Outcome:
        obj = metadata.clone(body)
        metadata.check_identity(resource, namespace, name, obj)
        if obj["metadata"].get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        return self._create(resource, obj, options, None)

    def _create(self, resource: Resource, obj: Obj, options: Options, managed: list[Obj] | None) -> Outcome:
        """Store a new object whose identity is checked. `managed` are the managedFields that an apply computed."""
        now = self.now()
        meta = obj["metadata"]
        warnings = self._unknown_fields(resource, obj, options)
        metadata.stamp_new(resource, meta, now, self.rng)
        name, namespace = meta.get("name", ""), meta.get("namespace", "")
        self._check_namespace(resource, namespace, name)
        if name and self.store.get(resource.store_key, namespace, name) is not None:
            raise errors.already_exists(resource.plural, resource.group, name)
        if resource.has_status:
            obj.pop("status", None)
        if not resource.custom:
            metadata.drop_nulls(obj)
        obj = patching.default(resource.gvk, obj, now, schema=self._schema(resource))
        admission.on_create(self.store, resource, obj)
        metadata.tidy(obj["metadata"])
        self._check(resource, obj, None)
        if managed is None:
            obj = self._track(resource, None, obj, options, "")
        else:
            obj["metadata"]["managedFields"] = managed
        if options.guard is not None:
            options.guard(resource, obj, None)
        if options.dry_run:
            return Outcome(obj, created=True, warnings=warnings)
        return Outcome(self.store.put(resource.store_key, obj), created=True, stored=True, warnings=warnings)

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        if not resource.namespaced:
            return
        found = self.store.get("namespaces", "", namespace)
        if found is None:
            raise errors.not_found("namespaces", "", namespace)
        if found["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = Cause("NamespaceTerminating", "metadata.namespace", f"namespace {namespace} is being terminated")
            raise errors.forbidden(resource.plural, resource.group, name, why, [cause])

    def _track(self, resource: Resource, old: Obj | None, obj: Obj, options: Options, subresource: str) -> Obj:
        return patching.track_update(
            old, obj, gvk=resource.gvk, manager=options.manager, now=self.now(), subresource=subresource,
            schema=self._schema(resource), status_subresource=resource.has_status,
        )  # fmt: skip

    @staticmethod
    def _schema(resource: Resource) -> Obj | None:
        return resource.custom.schema if resource.custom else None

    def _unknown_fields(self, resource: Resource, obj: Obj, options: Options) -> list[str]:
        if options.field_validation not in ("Strict", "Warn"):
            return []
        unknown = [
            f'unknown field "{path}"'
            for path in patching.unknown_fields(resource.gvk, obj, schema=self._schema(resource))
        ]
        if unknown and options.field_validation == "Strict":
            raise errors.bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
                f"strict decoding error: {', '.join(unknown)}"
            )
        return unknown

    def _check(self, resource: Resource, obj: Obj, old: Obj | None) -> None:
        meta = obj["metadata"]
        causes = [*(metadata.name_causes(resource, meta) if old is None else []), *metadata.label_causes(meta)]
        causes += patching.validate(resource.gvk, obj, old, schema=self._schema(resource))
        if causes:
            raise errors.invalid(resource.kind, resource.group, meta.get("name", ""), causes)

    # -- replace and patch

    def replace(
        self, resource: Resource, namespace: str, name: str, body: Obj, options: Options, subresource: str = ""
    ) -> Outcome:
        obj = metadata.clone(body)
        metadata.check_identity(resource, namespace, name, obj)
        old = self.require(resource, namespace, name)
        return self.update(resource, old, obj, options, subresource)

    def patch(
        self, resource: Resource, namespace: str, name: str, change: Callable[[Obj], Obj], options: Options,
        subresource: str = "",
    ) -> Outcome:  # fmt: skip
        """Apply `change` to a copy of the live object. Raises 404, 409, 422."""
        old = self.require(resource, namespace, name)
        obj = change(metadata.clone(old))
        metadata.check_identity(resource, namespace, name, obj)
        return self.update(resource, old, obj, options, subresource)

    def update(
        self, resource: Resource, old: Obj, obj: Obj, options: Options, subresource: str = "",
        managed: list[Obj] | None = None,
    ) -> Outcome:  # fmt: skip
        """Replace the stored `old` by `obj` under the rules of an update."""
        now, meta, before = self.now(), obj["metadata"], old["metadata"]
        if meta.get("uid") and meta["uid"] != before["uid"]:
            why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {before['uid']}"
            raise errors.conflict(resource.plural, resource.group, meta["name"], why)
        if meta.get("resourceVersion") and meta["resourceVersion"] != before["resourceVersion"]:
            raise errors.conflict(resource.plural, resource.group, meta["name"], errors.STALE)
        if resource.custom and not meta.get("resourceVersion"):
            cause = Cause(
                "FieldValueInvalid", "metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update"
            )
            raise errors.invalid(resource.kind, resource.group, meta["name"], [cause])
        warnings = self._unknown_fields(resource, obj, options)
        metadata.keep_server_fields(old, obj)
        meta["resourceVersion"] = before["resourceVersion"]
        if not resource.custom:
            metadata.drop_nulls(obj)
        obj = self._isolate(resource, old, obj, subresource)
        meta = obj["metadata"]
        obj = patching.default(resource.gvk, obj, now, schema=self._schema(resource))
        admission.on_update(self.store, resource, old, obj)
        metadata.tidy(obj["metadata"])
        metadata.count_generation(resource, old, obj)
        self._check(resource, obj, old)
        if managed is not None:
            obj["metadata"]["managedFields"] = managed
        else:
            obj = self._track(resource, old, obj, options, subresource)
        if metadata.same(old, obj):
            return Outcome(old, old, warnings=warnings)
        if options.guard is not None:
            options.guard(resource, obj, old)
        if options.dry_run:
            return Outcome(obj, old, warnings=warnings)
        stored, gone = self._keep_or_finish(resource, obj)
        return Outcome(stored, old, stored=True, gone=gone, warnings=warnings)

    @staticmethod
    def _isolate(resource: Resource, old: Obj, obj: Obj, subresource: str) -> Obj:
        """/status writes only status (and managedFields); the main resource never writes it."""
        if subresource == "status":
            kept = metadata.clone(old)
            if "status" in obj:
                kept["status"] = obj["status"]
            else:
                kept.pop("status", None)
            return kept
        if resource.has_status:
            if "status" in old:
                obj["status"] = metadata.clone(old["status"])
            else:
                obj.pop("status", None)
        return obj

    def _keep_or_finish(self, resource: Resource, obj: Obj) -> tuple[Obj, bool]:
        """Store; and, when the last finalizer of a deleted object went with this write, remove. (object, gone)"""
        meta = obj["metadata"]
        stored = self.store.put(resource.store_key, obj)
        waiting = meta.get("finalizers") or (resource.kind == "Namespace" and obj.get("spec", {}).get("finalizers"))
        gone = bool(meta.get("deletionTimestamp")) and not waiting and not meta.get("deletionGracePeriodSeconds")
        if gone:
            self.store.remove(resource.store_key, meta.get("namespace", ""), meta["name"])
        return stored, gone

    # -- server-side apply

    def apply(
        self, resource: Resource, namespace: str, name: str, intent: Obj, options: Options, subresource: str = ""
    ) -> Outcome:
        """Server-side apply; creates what does not exist. Raises 400, 409 (conflicts), 422."""
        intent = metadata.clone(intent)
        metadata.check_identity(resource, namespace, name, intent)
        if intent["metadata"].get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        warnings = self._unknown_fields(resource, intent, options)
        live = self.store.get(resource.store_key, namespace if resource.namespaced else "", name)
        wanted = intent["metadata"].pop("resourceVersion", "")
        if wanted and (live is None or live["metadata"]["resourceVersion"] != wanted):
            raise errors.conflict(resource.plural, resource.group, name, errors.STALE)
        if live is None and subresource:
            raise errors.not_found(resource.plural, resource.group, name)
        try:
            merged = patching.apply(
                metadata.clone(live) if live else None, intent, gvk=resource.gvk, manager=options.manager,
                force=options.force, now=self.now(), subresource=subresource, schema=self._schema(resource),
                status_subresource=resource.has_status,
            )  # fmt: skip
        except patching.ApplyConflict as problem:
            raise errors.apply_conflict(problem.message, [dict(cause) for cause in problem.causes]) from None
        except patching.PatchError as problem:
            raise errors.ApiError(problem.code, problem.reason, str(problem)) from None
        managed = merged["metadata"].pop("managedFields", [])
        quiet = replace(options, field_validation="")  # the intent was looked at, what was stored before is not blamed
        if live is None:
            metadata.check_identity(resource, namespace, name, merged)
            outcome = self._create(resource, merged, quiet, managed)
        else:
            outcome = self.update(resource, live, merged, quiet, subresource, managed)
        outcome.warnings = warnings
        return outcome
