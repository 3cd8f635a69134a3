"""What the API server and its controller manager do by themselves, so that the API alone is a whole:

every namespace gets `default` ServiceAccount and `kube-root-ca.crt`, CRDs become established, owned objects follow
their owners, a namespace that is being deleted is emptied. One task reads every change of the store; controllers of the
lab that do the same over HTTP find nothing left to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from lab.api import crds, metadata
from lab.api.auth import service_account_user
from lab.api.deletion import DeleteOptions
from lab.api.errors import ApiError, Obj
from lab.api.handlers import Core
from lab.api.objects import Options, Outcome
from lab.api.registry import Resource
from lab.api.request import Call
from lab.api.store import Change

log = logging.getLogger(__name__)
ESTABLISH_SECONDS = 0.2  # a real server takes about this long until a new CRD is served
_MANAGER = "kube-controller-manager"
_COLLECTOR = "generic-garbage-collector"
_METHODS = {"delete": "DELETE", "patch": "PATCH"}
_NAMESPACES = "namespaces"


class Housekeeping:
    """See the module."""

    def __init__(self, core: Core, ca_pem: bytes) -> None:
        self._core = core
        self._ca = ca_pem.decode()
        self._owned: dict[str, set[tuple[str, str, str]]] = {}  # uid of owner → (resource key, namespace, name)
        self._waiting: dict[str, tuple[str, str, str]] = {}  # uid of an owner in foreground deletion → where it is
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        subscription = self._core.store.subscribe()
        try:
            for key in self._core.store:
                for entry in self._core.store.entries(key):
                    self._changed(key, Change(None, entry, deleted=False))
            while True:
                await subscription.wait(3600)
                while subscription.changes:
                    key, change = subscription.changes.popleft()
                    self._changed(key, change)
                    await asyncio.sleep(0)  # let requests in between
        finally:
            self._core.store.unsubscribe(subscription)
            for task in self._tasks:
                task.cancel()

    def _changed(self, key: str, change: Change) -> None:
        try:
            self._react(key, change)
        except ApiError as problem:
            # A client may change the same object first; the change that did so comes here again.
            log.debug("housekeeping of %s: %s", key, problem)
        except Exception:
            # One odd object must not end the care for all others; the defect is logged with its trace.
            log.exception("housekeeping of %s %s failed", key, change.after.key)

    def _react(self, key: str, change: Change) -> None:
        obj = change.after.obj
        self._index(key, change)
        if change.deleted:
            self._waiting.pop(obj["metadata"]["uid"], None)
            self._owner_gone(obj["metadata"]["uid"])
            if key == "pods":
                self._core.logs.forget_pod(*change.after.key)
            if key == crds.CRDS:
                self._core.registry.remove_crd(obj["metadata"]["name"])
            self._maybe_finish_namespace(obj["metadata"].get("namespace", ""))
            for reference in obj["metadata"].get("ownerReferences") or []:
                self._maybe_finish_foreground(reference.get("uid", ""))
            return
        if self._core.store.entry(key, *change.after.key) is not change.after:
            return  # a later change of the same object is on its way
        if key == _NAMESPACES:
            self._namespace(obj)
        elif key == crds.CRDS:
            self._crd(obj)
        finalizers = obj["metadata"].get("finalizers") or []
        if obj["metadata"].get("deletionTimestamp"):
            if "foregroundDeletion" in finalizers:
                self._waiting[obj["metadata"]["uid"]] = (key, *change.after.key)
                self._delete_dependents(obj["metadata"]["uid"])
                self._maybe_finish_foreground(obj["metadata"]["uid"])
            elif "orphan" in finalizers:
                self._orphan(key, obj)
        elif obj["metadata"].get("ownerReferences"):
            self._collect_if_orphaned(key, obj)

    # -- owners

    def _index(self, key: str, change: Change) -> None:
        place = (key, *change.after.key)
        for entry in (change.before, change.after):
            for reference in (entry.obj["metadata"].get("ownerReferences") or []) if entry else []:
                held = self._owned.setdefault(reference.get("uid", ""), set())
                if entry is change.after and not change.deleted:
                    held.add(place)
                else:
                    held.discard(place)

    def _dependents(self, uid: str) -> Iterator[tuple[Resource, Obj]]:
        for key, namespace, name in sorted(self._owned.get(uid, ())):
            resource, obj = self._core.registry.by_key(key), self._core.store.get(key, namespace, name)
            if resource is not None and obj is not None:
                yield resource, obj

    def _owner_exists(self, reference: Obj, namespace: str) -> bool:
        group = reference.get("apiVersion", "").rpartition("/")[0]
        resource = self._core.registry.by_kind(group, reference.get("kind", ""))
        if resource is None:
            return True  # an owner of a kind that is not served cannot be judged absent
        scope = namespace if resource.namespaced else ""
        owner = self._core.store.get(resource.key, scope, reference.get("name", ""))
        return owner is not None and owner["metadata"]["uid"] == reference.get("uid")

    def _collect_if_orphaned(self, key: str, obj: Obj) -> None:
        """Delete an object whose owners are all gone."""
        meta = obj["metadata"]
        if any(self._owner_exists(each, meta.get("namespace", "")) for each in meta["ownerReferences"]):
            return
        resource = self._core.registry.by_key(key)
        if resource is not None:
            self._delete(resource, obj, "Background")

    def _owner_gone(self, uid: str) -> None:
        for resource, obj in list(self._dependents(uid)):
            if not obj["metadata"].get("deletionTimestamp"):
                self._collect_if_orphaned(resource.key, obj)
        if not self._owned.get(uid):
            self._owned.pop(uid, None)

    def _delete_dependents(self, uid: str) -> None:
        for resource, obj in list(self._dependents(uid)):
            if not obj["metadata"].get("deletionTimestamp"):
                self._delete(resource, obj, "Foreground")

    def _delete(self, resource: Resource, obj: Obj, propagation: str, controller: str = _COLLECTOR) -> None:
        meta = obj["metadata"]
        if propagation == "Foreground" and not self._owned.get(meta["uid"]):
            propagation = "Background"
        options = DeleteOptions(propagation=propagation, uid=meta["uid"])
        last, gone = self._core.deletion.delete(resource, meta.get("namespace", ""), meta["name"], options)
        self._note(controller, "delete", resource, Outcome(last, obj, gone=gone))

    def _note(self, controller: str, verb: str, resource: Resource, outcome: Outcome) -> None:
        """Enter into the ledger what a controller of a cluster's controller manager would have asked for."""
        user = service_account_user("kube-system", controller, "")
        meta = outcome.obj["metadata"]
        call = Call(
            _METHODS[verb], "", {}, {"User-Agent": _MANAGER}, user=user, verb=verb, plural=resource.plural,
            namespace=meta.get("namespace", ""), name=meta["name"], resource=resource,
        )  # fmt: skip
        self._core.ledger.record(call, outcome.before, outcome.obj, self._core.objects.now(), gone=outcome.gone)

    def _maybe_finish_foreground(self, uid: str) -> None:
        """Let an owner go when no dependent blocks its deletion any more."""
        key, namespace, name = self._waiting.get(uid, ("", "", ""))
        resource = self._core.registry.by_key(key)
        if resource is None or any(self._blocks(obj, uid) for _resource, obj in self._dependents(uid)):
            return
        obj = self._core.store.get(key, namespace, name)
        if obj is not None and obj["metadata"]["uid"] == uid:
            self._drop_finalizer(resource, obj, "foregroundDeletion")

    @staticmethod
    def _blocks(obj: Obj, uid: str) -> bool:
        references = obj["metadata"].get("ownerReferences") or []
        return any(each.get("uid") == uid and each.get("blockOwnerDeletion") for each in references)

    def _orphan(self, key: str, obj: Obj) -> None:
        uid = obj["metadata"]["uid"]
        for resource, dependent in list(self._dependents(uid)):
            changed = metadata.clone(dependent)
            kept = [each for each in changed["metadata"]["ownerReferences"] if each.get("uid") != uid]
            if kept:
                changed["metadata"]["ownerReferences"] = kept
            else:
                changed["metadata"].pop("ownerReferences")
            outcome = self._core.objects.update(resource, dependent, changed, Options(_MANAGER))
            self._note(_COLLECTOR, "patch", resource, outcome)
        resource_of_owner = self._core.registry.by_key(key)
        if resource_of_owner is not None:
            self._drop_finalizer(resource_of_owner, obj, "orphan")

    def _drop_finalizer(self, resource: Resource, obj: Obj, finalizer: str) -> None:
        changed = metadata.clone(obj)
        kept = [each for each in changed["metadata"].get("finalizers") or [] if each != finalizer]
        if kept:
            changed["metadata"]["finalizers"] = kept
        else:
            changed["metadata"].pop("finalizers", None)
        self._note(_COLLECTOR, "patch", resource, self._core.objects.update(resource, obj, changed, Options(_MANAGER)))

    # -- namespaces

    def _namespace(self, obj: Obj) -> None:
        name = obj["metadata"]["name"]
        if obj["metadata"].get("deletionTimestamp"):
            self._empty(name)
            self._maybe_finish_namespace(name)
            return
        for kind, body in (
            ("serviceaccounts", {"metadata": {"name": "default"}}),
            ("configmaps", {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": self._ca}}),
        ):
            resource = self._core.registry.by_key(kind)
            if resource is not None and self._core.store.get(kind, name, body["metadata"]["name"]) is None:
                self._core.objects.create(resource, name, body, Options(_MANAGER))

    def _content(self, namespace: str) -> Iterator[tuple[Resource, Obj]]:
        for resource in self._core.registry.stored():
            if resource.namespaced:
                for obj in self._core.store.objects(resource.key, namespace):
                    yield resource, obj

    def _empty(self, namespace: str) -> None:
        for resource, obj in list(self._content(namespace)):
            if self._core.store.get(resource.key, namespace, obj["metadata"]["name"]) is None:
                continue
            if not obj["metadata"].get("deletionTimestamp"):
                self._delete(resource, obj, "Background", "namespace-controller")

    def _maybe_finish_namespace(self, name: str) -> None:
        found = self._core.store.get(_NAMESPACES, "", name) if name else None
        if found is None or not found["metadata"].get("deletionTimestamp"):
            return
        finalizers = [each for each in found["spec"].get("finalizers") or [] if each != "kubernetes"]
        if finalizers or next(self._content(name), None) is not None:
            return
        self._core.store.remove(_NAMESPACES, "", name)

    # -- CRDs

    def _crd(self, obj: Obj) -> None:
        if obj["metadata"].get("deletionTimestamp"):
            self._remove_crd(obj)
        elif crds.established(obj):
            crds.register(self._core.registry, obj)
        else:
            task = asyncio.get_running_loop().create_task(self._establish(obj["metadata"]["name"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _establish(self, name: str) -> None:
        await asyncio.sleep(ESTABLISH_SECONDS)
        crd = self._core.store.get(crds.CRDS, "", name)
        if crd is not None and not crds.established(crd) and not crd["metadata"].get("deletionTimestamp"):
            crds.register(self._core.registry, crd)
            self._core.store.put(crds.CRDS, metadata.clone(crds.establish(crd, self._core.objects.now())))

    def _remove_crd(self, obj: Obj) -> None:
        """Delete all custom resources, then the CRD. Finalizers of a custom resource hold it, as on a real server."""
        name = obj["metadata"]["name"]
        resources = [each for each in self._core.registry if each.custom and each.custom.crd_name == name]
        left = False
        for resource in resources[:1]:
            for each in self._core.store.objects(resource.key):
                if not each["metadata"].get("deletionTimestamp"):
                    self._delete(resource, each, "Background")
            left = bool(self._core.store.objects(resource.key))
        if left:
            asyncio.get_running_loop().call_later(ESTABLISH_SECONDS, self._retry_crd, name)
            return
        crd = self._core.registry.by_key(crds.CRDS)
        assert crd is not None
        self._drop_finalizer(crd, obj, crds.CLEANUP)

    def _retry_crd(self, name: str) -> None:
        crd = self._core.store.get(crds.CRDS, "", name)
        if crd is not None and crd["metadata"].get("deletionTimestamp"):
            self._remove_crd(crd)
