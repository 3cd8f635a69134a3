"""Sync operations: which objects are touched, in which phase and order, and what the result says."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.controllers import meta
from lab.controllers.argocd import health, hooks, kinds
from lab.controllers.argocd.compare import Comparison, Resource
from lab.controllers.client import ApiError, Client, Object
from lab.controllers.world import World

UNSUCCESSFUL = "one or more synchronization tasks completed unsuccessfully"


@dataclass
class Result:
    """What a sync attempt did. `waiting` says what it waits for; then the attempt goes on later."""

    rows: list[Object] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    waiting: str = ""

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


def row_of(obj: Object, status: str, message: str, phase: str, sync_phase: str = "Sync", hook: str = "") -> Object:
    """One entry of the operation's `syncResult.resources`."""
    group, kind, namespace, name = kinds.identity(obj)
    row = {
        "group": group,
        "version": obj["apiVersion"].rpartition("/")[2],
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "status": status,
        "message": message,
        "hookPhase": phase,
        "syncPhase": sync_phase,
    }
    return {**row, "hookType": hook} if hook else row


def _row_key(row: Object) -> tuple[str, ...]:
    return tuple(str(row.get(name) or "") for name in ("group", "kind", "namespace", "name", "syncPhase"))


class Sync:
    """One attempt of one operation.

    `rows` are those of the same attempt's earlier looks: a hook is not run twice, and what was applied and healthy once
    is done, whatever becomes of it while others are waited for.
    """

    def __init__(
        self, app: Object, operation: Object, world: World, client: Client, rows: list[Object] | None = None
    ) -> None:
        self.app, self.operation, self.world, self.client = app, operation, world, client
        self.sync: Object = operation.get("sync") or {}
        self.options = self.sync.get("syncOptions") or []
        self.result = Result()
        self._hooks = {_row_key(row): dict(row) for row in rows or [] if row.get("hookType")}
        self._done = {
            _row_key(row): dict(row)
            for row in rows or []
            if not row.get("hookType") and row.get("hookPhase") == "Succeeded"
        }

    async def run(self, found: Comparison) -> Result:
        """Run the phases as far as they come now: hooks before, apply and prune, hooks after."""
        chosen = [resource for resource in found.resources if selected(self.operation, resource)]
        whole = not self.sync.get("resources") and not self.sync.get("dryRun")
        wanted = found.hooks if whole and "apply" not in (self.sync.get("syncStrategy") or {}) else []
        if "CreateNamespace=true" in self.options:
            await self._namespace()
        if await self._phase("PreSync", wanted):
            applied = sorted((r for r in chosen if r.desired), key=lambda r: kinds.apply_order(r.obj))
            if await self._apply_all(applied):
                for resource in chosen:
                    if resource.desired is None and not resource.hook:
                        await self._prune(resource)
                # A sync of more than one step is over when what it applied is healthy, and fails when it is degraded.
                if not self.result.failed and (not wanted or self._settled(applied)):
                    await self._phase("PostSync", wanted)
        if self.result.failed and not self.result.waiting:
            await self._phase("SyncFail", wanted)
        self.result.rows = [*self._hooks.values(), *self.result.rows]
        return self.result

    async def _apply_all(self, applied: list[Resource]) -> bool:
        """Apply in order. False while a wave waits for the health of the one before."""
        waves = [kinds.apply_order(resource.obj)[0] for resource in applied]
        for index, resource in enumerate(applied):
            new_wave = index and waves[index] != waves[index - 1]
            if new_wave and not self.result.failed and not self._settled(applied[:index]):
                return False
            await self._apply(resource)
        return True

    async def _namespace(self) -> None:
        name = (self.app["spec"].get("destination") or {}).get("namespace")
        if name and not self.world.cache.get("namespaces", None, name):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            try:
                self.world.cache.observe("namespaces", await self.client.create("namespaces", body))
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    self.result.failures.append(error.message)

    # -- hooks ---------------------------------------------------------------------------------------------------

    async def _phase(self, phase: str, wanted: list[Object]) -> bool:
        """Run the hooks of a phase, wave by wave. True when all of them have succeeded."""
        mine = hooks.of_phase(wanted, phase)
        for wave in sorted({hooks.wave(hook) for hook in mine}):
            now = [hook for hook in mine if hooks.wave(hook) == wave]
            for hook in now:
                await self._hook(hook, phase)
            states = {hooks.named(hook): self._hooks.get(self._key(hook, phase), {}) for hook in now}
            if any(state.get("hookPhase") == hooks.FAILED for state in states.values()):
                self.result.failures.append("")
                return False
            running = [name for name, state in states.items() if state.get("hookPhase") != hooks.SUCCEEDED]
            if running:
                more = f" and {len(running) - 1} more hooks" if len(running) > 1 else ""
                self.result.waiting = f"waiting for completion of hook {running[0]}{more}"
                return False
        return True

    @staticmethod
    def _key(hook: Object, phase: str) -> tuple[str, ...]:
        return (*kinds.identity(hook), phase)

    async def _hook(self, hook: Object, phase: str) -> None:
        """Create the hook, or look how far it has come. One that has vanished while it ran stays running for ever."""
        key = kinds.resource_key(hook)
        live = self.world.cache.get(key, *meta.key_of(hook)) if key else None
        row = self._hooks.get(self._key(hook, phase))
        if row is not None:
            if row["hookPhase"] == hooks.RUNNING and live is not None:
                row["hookPhase"], message = hooks.outcome(live)
                row["message"] = message or row["message"]
            return
        if live is not None and "BeforeHookCreation" in hooks.policies(hook):
            await self._delete(live)
            return
        label = f"{str(hook['kind']).lower()}{'.' + meta.group_of(hook) if meta.group_of(hook) else ''}"
        try:
            served = await self.client.resource_of(hook["apiVersion"], hook["kind"])
            namespace, name = meta.key_of(hook)
            made = await self.client.patch(
                served.key, namespace, name, hook, how="apply", manager=kinds.MANAGER, force=True
            )
            self.world.cache.observe(served.key, made)
            state, _ = hooks.outcome(made)
            made_row = row_of(hook, "Synced", f"{label}/{name} created", state, phase, phase)
        except ApiError as error:
            made_row = row_of(hook, "SyncFailed", error.message, hooks.FAILED, phase, phase)
        self._hooks[self._key(hook, phase)] = made_row

    async def _delete(self, live: Object) -> None:
        key = kinds.resource_key(live)
        if key is None or meta.deleting(live):
            return
        namespace, name = meta.key_of(live)
        try:
            await self.client.delete(key, namespace, name, uid=meta.uid(live), propagation="Foreground")
        except ApiError as error:
            if not error.missing:
                raise
        self.world.cache.forget(key, live)

    async def clear(self, found: Comparison, policy: str) -> None:
        """Delete the hooks whose policy says that they go now."""
        for hook in found.hooks:
            key = kinds.resource_key(hook)
            live = self.world.cache.get(key, *meta.key_of(hook)) if key else None
            ran = any(self._key(hook, phase) in self._hooks for phase in hooks.phases(hook))
            if live is not None and ran and policy in hooks.policies(hook):
                await self._delete(live)

    async def terminate(self, found: Comparison) -> list[Object]:
        """Stop the hooks that run: they are deleted. Returns the rows as they are then."""
        for hook in found.hooks:
            for phase in hooks.phases(hook):
                row = self._hooks.get(self._key(hook, phase))
                if row is None or row["hookPhase"] != hooks.RUNNING:
                    continue
                key = kinds.resource_key(hook)
                live = self.world.cache.get(key, *meta.key_of(hook)) if key else None
                if live is not None:
                    await self._delete(live)
                    row |= {"hookPhase": hooks.FAILED, "message": "Deleted"}
        return list(self._hooks.values())

    # -- resources -----------------------------------------------------------------------------------------------

    def _was_done(self, resource: Resource) -> bool:
        row = self._done.get((*kinds.identity(resource.obj), "Sync"))
        if row is not None:
            self.result.rows.append(row)
        return row is not None

    async def _apply(self, resource: Resource) -> None:
        assert resource.desired is not None
        if self._was_done(resource):
            return
        wanted = resource.desired
        kind = str(wanted["kind"]).lower()
        group = meta.group_of(wanted)
        label = f"{kind}{'.' + group if group else ''}/{wanted['metadata']['name']} serverside-applied"
        if self.sync.get("dryRun"):
            self._row(resource, "Synced", f"{label} (dry run)", "Running")
            return
        if not resource.out_of_sync:
            self._row(resource, "Synced", label, "Running")
            return
        try:
            served = await self.client.resource_of(wanted["apiVersion"], wanted["kind"])
            namespace, name = meta.key_of(wanted)
            made = await self.client.patch(
                served.key, namespace, name, wanted, how="apply", manager=kinds.MANAGER, force=True
            )
            self.world.cache.observe(served.key, made)
            self._row(resource, "Synced", label, "Running")
        except ApiError as error:
            self._fail(resource, error)

    async def _prune(self, resource: Resource) -> None:
        assert resource.live is not None
        if self._was_done(resource):
            return
        live = resource.live
        kept = meta.notes(live).get("argocd.argoproj.io/sync-options", "")
        if not self.sync.get("prune") or "Prune=false" in kept:
            self._row(resource, "PruneSkipped", "ignored (requires pruning)", "Succeeded")
            return
        if self.sync.get("dryRun"):
            self._row(resource, "Pruned", "pruned (dry run)", "Succeeded")
            return
        key = kinds.resource_key(live)
        assert key is not None
        try:
            namespace, name = meta.key_of(live)
            await self.client.delete(key, namespace, name, uid=meta.uid(live), propagation="Foreground")
            self.world.cache.forget(key, live)
            self._row(resource, "Pruned", "pruned", "Succeeded")
        except ApiError as error:
            if not error.missing:
                self._fail(resource, error)

    def _row(self, resource: Resource, status: str, message: str, phase: str) -> None:
        self.result.rows.append(row_of(resource.obj, status, message, phase))

    def _fail(self, resource: Resource, error: ApiError) -> None:
        self._row(resource, "SyncFailed", error.message, "Failed")
        self.result.failures.append(error.message)

    def _settled(self, applied: list[Resource]) -> bool:
        """Whether what was applied is healthy. One that is degraded fails the sync, one on its way is waited for."""
        rows = {_row_key(row): row for row in self.result.rows}
        unhealthy: list[str] = []
        for resource in applied:
            identity = (*kinds.identity(resource.obj), "Sync")
            row = rows.get(identity)
            if row is None or identity in self._done:
                continue
            key = kinds.resource_key(resource.obj)
            live = self.world.cache.get(key, *meta.key_of(resource.obj)) if key else None
            word, message = (health.of(live) if live else None) or ("Healthy", "")
            if word == "Degraded":
                row |= {"hookPhase": "Failed", "message": message}
                self.result.failures.append("")
            elif word in ("Healthy", "Suspended"):
                row["hookPhase"] = "Succeeded"
            else:
                unhealthy.append(hooks.named(resource.obj))
        if unhealthy and not self.result.failed:
            more = f" and {len(unhealthy) - 1} more resources" if len(unhealthy) > 1 else ""
            self.result.waiting = f"waiting for healthy state of {unhealthy[0]}{more}"
        return not unhealthy and not self.result.failed


def failure_message(result: Result) -> str:
    reasons = [reason for reason in result.failures if reason]
    return f"one or more objects failed to apply, reason: {reasons[0]}" if reasons else UNSUCCESSFUL


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
