"""Sync operations: which objects are touched, in which order, and what the result says."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.controllers import meta
from lab.controllers.argocd import health, kinds
from lab.controllers.argocd.compare import Comparison, Resource
from lab.controllers.client import ApiError, Client, Object
from lab.controllers.world import World


@dataclass
class Result:
    """What a sync attempt did."""

    rows: list[Object] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    pending_wave: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.failures)


def selected(operation: Object, resource: Resource) -> bool:
    """Whether a sync with a list of resources touches this one; without a list it touches all."""
    wanted = (operation.get("sync") or {}).get("resources")
    if not wanted:
        return True
    group, kind, namespace, name = kinds.identity(resource.obj)
    return any(
        entry.get("kind") == kind
        and entry.get("name") == name
        and (entry.get("group") or "") == group
        and (not entry.get("namespace") or entry["namespace"] == namespace or not namespace)
        for entry in wanted
    )


class Sync:
    """One attempt of one operation."""

    def __init__(self, app: Object, operation: Object, world: World, client: Client) -> None:
        self.app, self.operation, self.world, self.client = app, operation, world, client
        self.sync: Object = operation.get("sync") or {}
        self.options = self.sync.get("syncOptions") or []
        self.result = Result()

    async def run(self, found: Comparison) -> Result:
        """Apply and prune what the comparison shows. A wave whose objects are not healthy holds the next one."""
        chosen = [resource for resource in found.resources if selected(self.operation, resource)]
        if "CreateNamespace=true" in self.options:
            await self._namespace()
        applied = sorted((r for r in chosen if r.desired), key=lambda r: kinds.apply_order(r.obj))
        waves = [kinds.apply_order(resource.obj)[0] for resource in applied]
        for index, resource in enumerate(applied):
            if index and waves[index] != waves[index - 1] and not self.result.failed:
                waiting = self._unhealthy(applied[:index])
                if waiting:
                    self.result.pending_wave = waiting
                    return self.result
            await self._apply(resource)
        for resource in chosen:
            if resource.desired is None:
                await self._prune(resource)
        return self.result

    def _row(self, resource: Resource, status: str, message: str, phase: str) -> Object:
        group, kind, namespace, name = kinds.identity(resource.obj)
        version = resource.obj["apiVersion"].rpartition("/")[2]
        return {
            "group": group,
            "version": version,
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "status": status,
            "message": message,
            "hookPhase": phase,
            "syncPhase": "Sync",
        }

    async def _namespace(self) -> None:
        name = (self.app["spec"].get("destination") or {}).get("namespace")
        if name and not self.world.cache.get("namespaces", None, name):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            try:
                self.world.cache.observe("namespaces", await self.client.create("namespaces", body))
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    self.result.failures.append(error.message)

    async def _apply(self, resource: Resource) -> None:
        assert resource.desired is not None
        wanted = resource.desired
        kind = str(wanted["kind"]).lower()
        group = meta.group_of(wanted)
        label = f"{kind}{'.' + group if group else ''}/{wanted['metadata']['name']} serverside-applied"
        if self.sync.get("dryRun"):
            self.result.rows.append(self._row(resource, "Synced", f"{label} (dry run)", "Running"))
            return
        if not resource.out_of_sync:
            self.result.rows.append(self._row(resource, "Synced", label, "Running"))
            return
        try:
            served = await self.client.resource_of(wanted["apiVersion"], wanted["kind"])
            namespace, name = meta.key_of(wanted)
            made = await self.client.patch(
                served.key, namespace, name, wanted, how="apply", manager=kinds.MANAGER, force=True
            )
            self.world.cache.observe(served.key, made)
            self.result.rows.append(self._row(resource, "Synced", label, "Running"))
        except ApiError as error:
            self.result.rows.append(self._row(resource, "SyncFailed", error.message, "Failed"))
            self.result.failures.append(error.message)

    async def _prune(self, resource: Resource) -> None:
        assert resource.live is not None
        live = resource.live
        kept = meta.notes(live).get("argocd.argoproj.io/sync-options", "")
        if not self.sync.get("prune") or "Prune=false" in kept:
            self.result.rows.append(self._row(resource, "PruneSkipped", "ignored (requires pruning)", "Succeeded"))
            return
        if self.sync.get("dryRun"):
            self.result.rows.append(self._row(resource, "Pruned", "pruned (dry run)", "Succeeded"))
            return
        key = kinds.resource_key(live)
        assert key is not None
        try:
            namespace, name = meta.key_of(live)
            await self.client.delete(key, namespace, name, uid=meta.uid(live), propagation="Foreground")
            self.world.cache.forget(key, live)
            self.result.rows.append(self._row(resource, "Pruned", "pruned", "Succeeded"))
        except ApiError as error:
            if not error.missing:
                self.result.rows.append(self._row(resource, "SyncFailed", error.message, "Failed"))
                self.result.failures.append(error.message)

    def _unhealthy(self, done: list[Resource]) -> str:
        """The first applied object that is not healthy yet, as Argo CD names it."""
        for resource in done:
            key = kinds.resource_key(resource.obj)
            live = self.world.cache.get(key, *meta.key_of(resource.obj)) if key else None
            found = health.of(live) if live else None
            if found and found[0] != "Healthy":
                group, kind, _, name = kinds.identity(resource.obj)
                return f"{group}/{kind}/{name}"
        return ""


def failure_message(result: Result) -> str:
    return f"one or more objects failed to apply, reason: {result.failures[0]}"


def retry_delay(retry: Object, attempt: int) -> float:
    """Seconds before retry number `attempt` (from 0), by the operation's back-off."""
    backoff = retry.get("backoff") or {}
    first = duration(backoff.get("duration", "5s"))
    factor = float(backoff.get("factor") or 2)
    return float(min(first * factor**attempt, duration(backoff.get("maxDuration", "3m"))))


def duration(text: str) -> float:
    """A Go duration ("5s", "3m", "1h30m") in seconds."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    total, number = 0.0, ""
    for char in str(text):
        if char in units and number:
            total += float(number) * units[char]
            number = ""
        elif char.isdigit() or char == ".":
            number += char
    return total + (float(number) if number else 0.0)
