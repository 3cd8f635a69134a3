"""A small cluster in memory for the engine's tests: objects, versions, a ledger, faults, and an Argo CD that obeys.

It keeps only the promises the engine relies on: a patch with an old resourceVersion is a 409, every accepted write gets
a new one and a line in the ledger. Its Argo CD sees objects, never who wrote them.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import yaml

from deployments.catalogue.action import Apply, Call, Create, Delete, Evict, Patch
from deployments.engine.cluster import Needs, Write
from integrations.errors import Conflict, NotFound, SourceError, TooManyRequests
from integrations.kubernetes.objects import type_of
from monitoring.snapshot import Fetch, Listing, Logs, Need, Objects, Raw, Reply, Snapshot

CASES = Path(__file__).parent / "cases"
APPS = "applications.argoproj.io"
GRAFANA = "kube-prometheus-stack-grafana"
NAMESPACE = "platform-monitoring"


def case(name: str) -> dict[str, Any]:
    """A recorded case, each time anew."""
    return copy.deepcopy(_read(name))


@functools.cache
def _read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((CASES / f"{name}.yaml").read_text(), Loader=yaml.CSafeLoader)
    return loaded


def merge(into: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(into) if isinstance(into, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


class FakeCluster:
    """One cluster. ``before_write`` and ``after_write`` are called around each real write, to break things there."""

    name = "demo"
    one_identity = True

    def __init__(self, recorded: str = "grafana_missing_last_sync_failed") -> None:
        loaded = case(recorded)
        self.objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        self._version = 1000
        for resource, items in loaded["objects"].items():
            self.objects[resource] = {}
            for item in items:
                self.put(resource, copy.deepcopy(item))
        self.ledger: list[Write] = []
        self.dry_runs: list[Write] = []
        self.calls: list[Call] = []
        #: the Service that calls go through, or None: by URL
        self.through: tuple[str, str] | None = None
        self.on_call: Callable[[Call], None] = lambda effect: None
        self.budget_says_no = False
        self.uids = 0
        self.grafana_answers = True
        self.argo_works = True
        self.rollout_works = True
        self.silent = False
        #: how many moves an operation takes
        self.operation_moves = 1
        self._moves = 0
        self.forbidden: set[str] = set()
        self.before_write: Callable[[Write], None] = lambda write: None
        self.after_write: Callable[[Write], None] = lambda write: None

    # -- objects

    def put(self, resource: str, item: dict[str, Any]) -> dict[str, Any]:
        """Store an object under a new resourceVersion."""
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        meta = item["metadata"]
        self.objects.setdefault(resource, {})[(meta.get("namespace", ""), meta["name"])] = item
        return item

    def app(self, name: str = "kube-prometheus-stack") -> dict[str, Any]:
        return self.objects[APPS][("argocd", name)]

    def edit(self, resource: str, namespace: str, name: str, patch: dict[str, Any]) -> None:
        """Somebody else's write."""
        self.put(resource, merge(self.objects[resource][(namespace, name)], patch))

    # -- the engine's surface

    def identity(self) -> str:
        return "system:serviceaccount:phaseboard:portal-operator"

    def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        self._answer()
        self.tick()
        return copy.deepcopy(self.objects.get(resource, {}).get((namespace, name)))

    def send(self, write: Write, *, dry_run: bool) -> dict[str, Any]:
        self._answer()
        if not dry_run:
            self.before_write(write)
        answer = self._effect(write, dry_run)
        if dry_run:
            self.dry_runs.append(write)
            return answer
        self.ledger.append(write)
        self.after_write(write)
        return answer

    def _effect(self, write: Write, dry_run: bool) -> dict[str, Any]:
        stored = self.objects.get(write.resource, {}).get((write.namespace, write.name))
        match write.effect:
            case Patch() | Apply() if stored is not None:
                return self._patched(write, stored, dry_run)
            case Apply(body, _) | Create(body) if stored is None:
                self.uids += 0 if dry_run else 1
                born = {**copy.deepcopy(body), "metadata": {**body["metadata"], "uid": f"born-{self.uids}"}}
                born["metadata"].setdefault("namespace", write.namespace)
                return born if dry_run else copy.deepcopy(self.put(write.resource, born))
            case Create():
                raise Conflict(f"{write.name} already exists", status=409, reason="AlreadyExists")
            case Delete() | Evict() if stored is not None:
                return self._removed(write, stored, dry_run)
            case _:
                raise NotFound(f"{write.name} not found", status=404)

    def _patched(self, write: Write, stored: dict[str, Any], dry_run: bool) -> dict[str, Any]:
        if write.resource_version and write.resource_version != stored["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified", status=409, reason="Conflict")
        merged: dict[str, Any] = merge(copy.deepcopy(stored), copy.deepcopy(write.body))
        if dry_run:
            return merged
        if merged["kind"] != "Application":
            merged["metadata"]["generation"] = merged["metadata"].get("generation", 0) + 1
        return copy.deepcopy(self.put(write.resource, merged))

    def _removed(self, write: Write, stored: dict[str, Any], dry_run: bool) -> dict[str, Any]:
        if isinstance(write.effect, Evict) and self.budget_says_no:
            raise TooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", status=429)
        if write.uid != stored["metadata"]["uid"]:
            raise Conflict("the UID in the precondition does not match", status=409, reason="Conflict")
        if not dry_run:
            del self.objects[write.resource][(write.namespace, write.name)]
        return {"kind": "Status", "status": "Success"}

    def call(self, effect: Call) -> None:
        self._answer()
        self.calls.append(effect)
        self.on_call(effect)

    def proxied(self, service: str) -> tuple[str, str] | None:
        return self.through

    def may(
        self, verb: str, group: str, resource: str, namespace: str, name: str, subresource: str = ""
    ) -> tuple[bool, str]:
        return verb not in self.forbidden, ""

    def collect(self, needs: Needs) -> Snapshot:
        self.tick()
        snapshot = Snapshot(self.name, datetime.now(UTC))
        for _ in range(3):
            wanted = list(needs(snapshot))
            listings = {n: self._listing(n) for n in wanted if isinstance(n, Objects)}
            replies: dict[Need, Reply] = {n: self._reply(n) for n in wanted if not isinstance(n, Objects)}
            snapshot = Snapshot(self.name, datetime.now(UTC), listings, replies)
        return snapshot

    def _answer(self) -> None:
        if self.silent:
            raise SourceError("demo does not answer: the connection was refused.", transient=True)

    def _listing(self, need: Objects) -> Listing:
        if self.silent:
            return Listing(error="demo does not answer: the connection was refused.")
        items = [
            i for (namespace, _), i in self.objects.get(need.resource, {}).items() if need.namespace in ("", namespace)
        ]
        decoded = tuple(msgspec.convert(_plain(item), type_of(need.resource), strict=False) for item in items)
        return Listing(decoded, str(self._version), datetime.now(UTC))

    def _reply(self, need: Need) -> Reply:
        now = datetime.now(UTC)
        if isinstance(need, Logs):
            return Reply(['logger=migrator msg="Starting DB migrations"'], 200, now)
        if isinstance(need, Raw):
            found = copy.deepcopy(self.objects.get(need.resource, {}).get((need.namespace, need.name)))
            return Reply(found, 200 if found is not None else 404, now)
        up = self.grafana_answers and ("platform-monitoring", GRAFANA) in self.objects["deployments.apps"]
        if isinstance(need, Fetch) and up:
            return Reply({"database": "ok", "version": "10.2.2"}, 200, now)
        return Reply(None, 0, now, f"{need.source} does not answer: connection refused.")

    # -- Argo CD and the Deployment controller, one move at a time

    def tick(self) -> None:
        """One move of the controllers."""
        if not self.argo_works:
            return
        app = self.app()
        annotations = app["metadata"].get("annotations", {})
        operation = app.get("operation")
        state = app["status"].get("operationState")
        if "argocd.argoproj.io/refresh" in annotations:
            annotations.pop("argocd.argoproj.io/refresh")
            app["status"]["reconciledAt"] = stamp()
            self.put(APPS, app)
        elif operation is not None and state is None:
            app["status"]["operationState"] = {"phase": "Running", "operation": operation, "startedAt": stamp()}
            self.put(APPS, app)
        elif operation is not None and state is not None and state["phase"] in ("Running", "Terminating"):
            self._moves += 1
            if self._moves >= self.operation_moves:
                self._moves = 0
                self._finish(app, operation, state)

    def _finish(self, app: dict[str, Any], operation: dict[str, Any], state: dict[str, Any]) -> None:
        del app["operation"]
        if state["phase"] == "Terminating":
            state |= {"phase": "Failed", "message": "Operation terminated", "finishedAt": stamp()}
            self.put(APPS, app)
            return
        for resource in app["status"]["resources"]:
            resource["status"] = "Synced"
            if "health" in resource:
                resource["health"] = {"status": "Healthy"}
        state |= {
            "phase": "Succeeded",
            "message": "successfully synced (all tasks run)",
            "finishedAt": stamp(),
            "syncResult": {"revision": "55.5.0", "resources": []},
        }
        app["status"]["sync"]["status"] = "Synced"
        app["status"]["health"]["status"] = "Healthy"
        if not operation.get("sync", {}).get("resources"):
            app["status"].setdefault("history", []).append({"id": 12, "revision": "55.5.0", "deployedAt": stamp()})
        self.put(APPS, app)
        self._deploy()

    def _deploy(self) -> None:
        labels = {"app.kubernetes.io/name": "grafana", "app.kubernetes.io/instance": "kube-prometheus-stack"}
        ready = 1 if self.rollout_works else 0
        status = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}
        self.put(
            "deployments.apps",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {
                    "name": GRAFANA,
                    "namespace": NAMESPACE,
                    "uid": "dep-1",
                    "generation": 1,
                    "labels": labels,
                },
                "spec": {"replicas": 1, "selector": {"matchLabels": labels}},
                "status": {**status, "readyReplicas": ready, "availableReplicas": ready},
            },
        )
        owner = {"kind": "ReplicaSet", "name": f"{GRAFANA}-5d", "uid": "rs-1", "controller": True}
        container = {
            "name": "grafana",
            "ready": bool(ready),
            "restartCount": 0,
            "state": {"running": {"startedAt": stamp()}},
        }
        self.put(
            "pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{GRAFANA}-5d-x2kqv",
                    "namespace": NAMESPACE,
                    "uid": "pod-1",
                    "labels": labels,
                    "ownerReferences": [owner],
                },
                "spec": {"nodeName": "worker02", "containers": [{"name": "grafana"}]},
                "status": {"phase": "Running", "containerStatuses": [container]},
            },
        )
        self.put(
            "endpointslices.discovery.k8s.io",
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{GRAFANA}-abc",
                    "namespace": NAMESPACE,
                    "uid": "slice-1",
                    "labels": {**labels, "kubernetes.io/service-name": GRAFANA},
                },
                "endpoints": [{"addresses": ["10.244.3.74"], "conditions": {"ready": bool(ready)}}],
                "ports": [{"name": "http-web", "port": 3000}],
            },
        )


def stamp(ago: timedelta = timedelta(0)) -> str:
    """A Kubernetes timestamp: whole seconds."""
    return f"{datetime.now(UTC) - ago:%Y-%m-%dT%H:%M:%SZ}"


def _plain(value: Any) -> Any:
    """YAML's datetimes as the text a server sends."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
