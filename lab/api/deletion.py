"""Deleting: preconditions, finalizers, graceful pods, propagation policies, namespaces and collections.

What deletion sets in motion (dependents, a namespace's content) is finished by `lab.api.housekeeping`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from lab.api import errors, metadata
from lab.api.errors import Obj
from lab.api.objects import Objects
from lab.api.patching import Cause
from lab.api.registry import Resource
from lab.api.request import Call
from lab.api.selectors import Selector

_PROPAGATION = ("Orphan", "Foreground", "Background")
_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a delete asked for. `grace_seconds` None is the object's own default."""

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def read_options(call: Call, body: Obj) -> DeleteOptions:
    """From the DeleteOptions body and the query, of which the body wins. Raises ApiError 400, 422."""
    grace = body.get("gracePeriodSeconds", call.number("gracePeriodSeconds"))
    orphan = body.get("orphanDependents")
    if orphan is None and "orphanDependents" in call.query:
        orphan = call.flag("orphanDependents")
    propagation = body.get("propagationPolicy") or call.query.get("propagationPolicy") or ""
    if propagation and orphan is not None:
        message = "Invalid value: orphanDependents and deletionPropagation cannot be both set"
        raise errors.invalid(
            "DeleteOptions", "meta.k8s.io", "", [Cause("FieldValueInvalid", "propagationPolicy", message)]
        )
    if propagation and propagation not in _PROPAGATION:
        message = f'Unsupported value: "{propagation}": supported values: {", ".join(map(repr, _PROPAGATION))}'
        raise errors.invalid(
            "DeleteOptions", "meta.k8s.io", "", [Cause("FieldValueNotSupported", "propagationPolicy", message)]
        )
    dry_run = body.get("dryRun") or ([call.query["dryRun"]] if call.dry_run else [])
    if dry_run and dry_run != ["All"]:
        message = f'Unsupported value: {dry_run!r}: supported values: "All"'
        raise errors.invalid("DeleteOptions", "meta.k8s.io", "", [Cause("FieldValueNotSupported", "dryRun", message)])
    if not propagation and orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    wanted = body.get("preconditions") or {}
    return DeleteOptions(
        grace, propagation, wanted.get("uid") or "", wanted.get("resourceVersion") or "", bool(dry_run)
    )


def default_propagation(resource: Resource) -> str:
    """What a delete means that names no policy: batch/v1 Jobs leave their pods behind, as they always have."""
    return "Orphan" if (resource.group, resource.kind) == ("batch", "Job") else ""


class Deletion:
    """Deletes through the same store as `Objects`."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._store = objects.store

    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> tuple[Obj, bool]:
        """Returns (last state, gone). Not gone means that finalizers or a grace period hold it."""
        obj = self._objects.require(resource, namespace, name)
        self.check_preconditions(resource, obj, options)
        if resource.kind == "Namespace" and not resource.group:
            return self._delete_namespace(resource, obj, options)
        changed = metadata.clone(obj)
        meta = changed["metadata"]
        self._add_finalizer(meta, options.propagation or default_propagation(resource))
        grace = self._grace(resource, changed, options)
        if not meta.get("finalizers") and grace == 0:
            if not options.dry_run:
                obj = self._store.remove(resource.store_key, meta.get("namespace", ""), meta["name"])
            return obj, True
        if meta.get("deletionTimestamp") and grace >= (meta.get("deletionGracePeriodSeconds") or 0):
            if not options.dry_run and not metadata.same(obj, changed):
                changed = self._store.put(resource.store_key, changed)
            return changed, False
        meta["deletionTimestamp"] = metadata.timestamp(self._objects.clock() + timedelta(seconds=grace))
        meta["deletionGracePeriodSeconds"] = grace
        if "generation" in meta:
            meta["generation"] += 1
        if not options.dry_run:
            changed = self._store.put(resource.store_key, changed)
        return changed, False

    @staticmethod
    def check_preconditions(resource: Resource, obj: Obj, options: DeleteOptions) -> None:
        """Raises ApiError 409 when the object is not the one that the caller means."""
        meta = obj["metadata"]
        for label, wanted, found in (
            ("UID", options.uid, meta["uid"]),
            ("ResourceVersion", options.resource_version, meta["resourceVersion"]),
        ):
            if wanted and wanted != found:
                why = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {found}"
                raise errors.conflict(resource.plural, resource.group, meta["name"], why)

    @staticmethod
    def _add_finalizer(meta: Obj, propagation: str) -> None:
        wanted = _FINALIZERS.get(propagation)
        kept = [each for each in meta.get("finalizers") or [] if not propagation or each not in _FINALIZERS.values()]
        if wanted and wanted not in kept:
            kept.append(wanted)
        if kept:
            meta["finalizers"] = kept
        else:
            meta.pop("finalizers", None)

    @staticmethod
    def _grace(resource: Resource, obj: Obj, options: DeleteOptions) -> int:
        """Seconds until the kubelet must have stopped it: only pods on a node that still run have any."""
        if resource.kind != "Pod" or resource.group:
            return 0
        spec, phase = obj.get("spec") or {}, (obj.get("status") or {}).get("phase")
        if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
            return 0
        default = spec.get("terminationGracePeriodSeconds")
        grace = options.grace_seconds if options.grace_seconds is not None else 30 if default is None else default
        return max(int(grace), 0)

    def _delete_namespace(self, resource: Resource, obj: Obj, options: DeleteOptions) -> tuple[Obj, bool]:
        if obj["metadata"].get("deletionTimestamp"):
            return obj, False
        if obj["metadata"]["name"] in ("default", "kube-system", "kube-public"):
            name = obj["metadata"]["name"]
            raise errors.forbidden("namespaces", "", name, "this namespace may not be deleted")
        changed = metadata.clone(obj)
        changed["metadata"]["deletionTimestamp"] = self._objects.now()
        changed["status"] = {**(changed.get("status") or {}), "phase": "Terminating"}
        return (changed if options.dry_run else self._store.put(resource.store_key, changed)), False

    def delete_collection(
        self, resource: Resource, namespace: str, selector: Selector, options: DeleteOptions
    ) -> list[tuple[Obj, Obj, bool]]:
        """Delete all that match; returns for each (as it was, last state, gone)."""
        found = [each for each in self._store.objects(resource.store_key, namespace) if selector.matches(each)]
        return [
            (each, *self.delete(resource, each["metadata"].get("namespace", ""), each["metadata"]["name"], options))
            for each in found
        ]
