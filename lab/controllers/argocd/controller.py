"""The application controller's loop: refresh, operation, auto-sync, cascade deletion.

It works only while a pod of the application-controller is ready. An Application has no status subresource: everything
here is a merge patch of the same object that people patch, as in life.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta

from lab.controllers import meta
from lab.controllers.argocd import autosync, compare, kinds, operation, windows
from lab.controllers.argocd.compare import Comparison
from lab.controllers.client import ApiError, Object
from lab.controllers.world import Controller, Key, Mapper, World
from lab.plain import copied

APPLICATIONS = "applications.argoproj.io"
_PROJECTS = "appprojects.argoproj.io"
REFRESH = "argocd.argoproj.io/refresh"
SKIP = "argocd.argoproj.io/skip-reconcile"
FINALIZER = "resources-finalizer.argocd.argoproj.io"
_PERIOD = 180.0
_SETTLE = 0.1
_REFRESH_SECONDS = {"normal": 0.5, "hard": 1.2}
_SYNC_SECONDS = 1.0
_CONTROLLED = ("InvalidSpecError", "ComparisonError", "SyncError", "UnknownError")


class ApplicationController(Controller):
    agent = "argocd-application-controller"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._refresh_at: dict[str, float] = {}
        self._next_period: dict[str, float] = {}

    def watches(self) -> dict[str, Mapper]:
        found: dict[str, Mapper] = dict.fromkeys(kinds.RESOURCES.values(), self._owner)
        found[APPLICATIONS] = lambda obj: [meta.key_of(obj), *self._owner(obj)]
        found[_PROJECTS] = lambda obj: [
            meta.key_of(app) for app in self.cache.list(APPLICATIONS, obj["metadata"]["namespace"])
        ]
        return found

    def _owner(self, obj: Object) -> list[Key]:
        name = kinds.tracked_by(obj)
        if not name:
            return []
        return [meta.key_of(app) for app in self.cache.list(APPLICATIONS) if app["metadata"]["name"] == name]

    def _alive(self) -> bool:
        selector = {"app.kubernetes.io/component": "application-controller"}
        pods = self.cache.list("pods", None, selector)
        return any(meta.pod_ready(pod) for pod in pods)

    def _demo(self) -> float:
        return time.monotonic() / max(self.world.speed, 1e-3)

    async def reconcile(self, key: Key) -> float | None:
        app = self.cache.get(APPLICATIONS, *key)
        if not app:
            return None
        if not self._alive():
            return self.world.seconds(5)
        if meta.notes(app).get(SKIP) == "true":
            return None
        if meta.deleting(app):
            return await self._delete(app)
        wait = self._wait_for_refresh(app)
        if not app.get("operation"):
            return wait if wait > 0 else await self._refresh(app)
        again = await self._operate(app)
        fresh = self.cache.get(APPLICATIONS, *key)
        if fresh and fresh.get("operation") and not meta.deleting(fresh):
            # an operation does not keep Argo CD from looking: health and refreshes go on beside it
            wait = wait if wait > 0 else await self._refresh(fresh) or _PERIOD
            return wait if again is None else min(again, wait)
        return again

    # -- refresh -------------------------------------------------------------------------------------------------

    def _wait_for_refresh(self, app: Object) -> float:
        """A refresh that was asked for takes a moment, a hard one longer. Real seconds still to wait."""
        kind = meta.notes(app).get(REFRESH)
        uid = meta.uid(app)
        if not kind:
            self._refresh_at.pop(uid, None)
            return 0.0
        due = self._refresh_at.setdefault(uid, self._demo() + _REFRESH_SECONDS.get(kind, 0.5))
        return max(due - self._demo(), 0.0) * self.world.speed

    async def _refresh(self, app: Object) -> float | None:
        uid, at = meta.uid(app), meta.now()
        found = compare.compare(app, self.cache, self.world.repository)
        project = self.cache.get(_PROJECTS, app["metadata"]["namespace"], app["spec"].get("project") or "default")
        held = windows.hold(app, project, datetime.now(UTC))
        decision = autosync.decide(app, found, self._since_last(app), held=held)
        old = app.get("status") or {}
        status = compare.status_of(app, found, at)
        status["conditions"] = _conditions(old, [found.condition, decision.condition], at)
        asked = REFRESH in meta.notes(app)
        moved = any((old.get(field) or []) != (value or []) for field, value in status.items())
        if uid not in self._next_period:
            self._next_period[uid] = self._demo() + _PERIOD * random.uniform(0.8, 1.2)
        periodic = self._demo() >= self._next_period[uid]
        if asked or moved or periodic or not old.get("reconciledAt"):
            self._next_period[uid] = self._demo() + _PERIOD
            status["reconciledAt"] = at
            body: Object = {"status": _difference(old, status)}
            if asked:
                body["metadata"] = {"annotations": {REFRESH: None}}
            app = await self.patch(APPLICATIONS, app, body)
        if decision.operation:
            await self.patch(APPLICATIONS, app, {"metadata": _guard(app), "operation": decision.operation})
            revision = decision.operation["sync"]["revision"]
            text = f"Initiated automated sync to '{revision}'"
            await self.world.recorder.record(self.agent, app, "OperationStarted", text)
            return None
        again = self._next_period[uid] - self._demo()
        if decision.wait is not None:
            again = min(again, decision.wait)
        return max(again, 0.1) * self.world.speed

    def _since_last(self, app: Object) -> float:
        state = (app.get("status") or {}).get("operationState") or {}
        finished = meta.moment(state.get("finishedAt"))
        if not finished:
            return float("inf")
        return (meta.wall() - finished.timestamp()) / max(self.world.speed, 1e-3)

    # -- operations ----------------------------------------------------------------------------------------------

    async def _operate(self, app: Object) -> float | None:
        state = copied((app.get("status") or {}).get("operationState"))
        if state is None or autosync.completed(state):
            await self._begin(app)
            return self.world.seconds(_SYNC_SECONDS)
        if state["phase"] == "Terminating":
            return await self._terminate(app, state)
        if state.get("finishedAt"):
            retry_at = _parsed_retry(state)
            if retry_at > meta.wall():
                return retry_at - meta.wall()
            state = {key: value for key, value in state.items() if key not in ("finishedAt", "syncResult")}
        started = meta.moment(state.get("startedAt"))
        early = self.world.seconds(_SYNC_SECONDS) - (meta.wall() - started.timestamp() if started else 0.0)
        if early > 0 and not state.get("retryCount"):
            return early
        return await self._attempt(app, state)

    async def _begin(self, app: Object) -> None:
        state = {
            "phase": "Running",
            "message": "",
            "operation": app["operation"],
            "startedAt": meta.now(),
        }
        body = {"metadata": _guard(app), "status": _state_patch(app, state)}
        await self.patch(APPLICATIONS, app, body)
        who = (app["operation"].get("initiatedBy") or {}).get("username") or "automated sync policy"
        text = f"{who} initiated sync"
        await self.world.recorder.record(self.agent, app, "OperationStarted", text)

    @staticmethod
    def _source(app: Object) -> Object:
        """The source that the operation is to bring about: the spec's, or a recorded one of a rollback."""
        sync = app["operation"].get("sync") or {}
        source = dict(sync.get("source") or compare.source_of(app))
        if sync.get("revision") and source.get("chart"):
            source["targetRevision"] = sync["revision"]
        return source

    async def _terminate(self, app: Object, state: Object) -> float | None:
        """End the operation: hooks that run are deleted, what has been applied stays."""
        found = compare.compare(app, self.cache, self.world.repository, self._source(app))
        result = state.get("syncResult") or {}
        rows = result.get("resources") or []
        stopped = await operation.Sync(app, app["operation"], self.world, self.client, rows).terminate(found)
        if stopped:
            rest = [row for row in rows if not row.get("hookType")]
            state["syncResult"] = {**result, "resources": [*stopped, *rest]}
        await self._finish(app, {**state, "phase": "Failed", "message": "Operation terminated"}, None)
        return _SETTLE

    async def _attempt(self, app: Object, state: Object) -> float | None:
        wanted, source = app["operation"], self._source(app)
        found = compare.compare(app, self.cache, self.world.repository, source)
        if found.condition:
            await self._finish(app, {**state, "phase": "Error", "message": found.condition["message"]}, None)
            return _SETTLE
        rows = (state.get("syncResult") or {}).get("resources")
        sync = operation.Sync(app, wanted, self.world, self.client, rows)
        result = await sync.run(found)
        state["syncResult"] = {"revision": found.revision, "source": source, "resources": result.rows}
        fresh = self.cache.get(APPLICATIONS, *meta.key_of(app)) or app
        if ((fresh.get("status") or {}).get("operationState") or {}).get("phase") == "Terminating":
            return _SETTLE
        if result.waiting:
            state["message"] = result.waiting
            await self._write_state(fresh, state)
            return self.world.seconds(2)
        if result.failed:
            await sync.clear(found, "HookFailed")
            return await self._failed(fresh, state, operation.failure_message(result), found)
        await sync.clear(found, "HookSucceeded")
        for row in result.rows:
            row["hookPhase"] = "Succeeded" if row["hookPhase"] == "Running" else row["hookPhase"]
        state |= {"phase": "Succeeded", "message": "successfully synced (all tasks run)"}
        await self._finish(fresh, state, found)
        return _SETTLE

    async def _failed(self, app: Object, state: Object, message: str, found: Comparison) -> float | None:
        retry = app["operation"].get("retry") or {}
        count = int(state.get("retryCount") or 0)
        limit = int(retry.get("limit") or 0)
        if count < limit:
            wait = self.world.seconds(operation.retry_delay(retry, count))
            at = (datetime.now(UTC) + timedelta(seconds=wait)).isoformat(timespec="milliseconds")
            text = f"{message}. Retrying attempt #{count + 1} at {at}."
            await self._write_state(app, {**state, "message": text, "retryCount": count + 1, "finishedAt": meta.now()})
            return wait
        suffix = f" (retried {count} times)." if count else ""
        await self._finish(app, {**state, "phase": "Failed", "message": message + suffix}, found)
        return _SETTLE

    async def _write_state(self, app: Object, state: Object) -> None:
        patch = _state_patch(app, state)
        if patch:
            await self.patch(APPLICATIONS, app, {"status": patch})

    async def _finish(self, app: Object, state: Object, found: Comparison | None) -> None:
        """The operation is over: store the result, drop `.operation`, and enter a full success into the history."""
        state = {**state, "finishedAt": meta.now()}
        status = _state_patch(app, state)
        sync = (app.get("operation") or {}).get("sync") or {}
        whole = not sync.get("resources") and not sync.get("dryRun")
        if found and whole and state["phase"] == "Succeeded":
            status["history"] = _history(app, state, found)
        await self.patch(APPLICATIONS, app, {"operation": None, "status": status})
        good = state["phase"] == "Succeeded"
        revision = (state.get("syncResult") or {}).get("revision", "")
        text = f"Sync operation to {revision} {'succeeded' if good else 'failed'}"
        if not good:
            text += f": {state.get('message', '')}"
        await self.world.recorder.record(self.agent, app, "OperationCompleted", text, warning=not good)

    # -- deletion ------------------------------------------------------------------------------------------------

    async def _delete(self, app: Object) -> float | None:
        finalizers = app["metadata"].get("finalizers") or []
        mine = [entry for entry in finalizers if entry.startswith(FINALIZER)]
        if not mine:
            return None
        left = [
            (key, obj)
            for key in kinds.RESOURCES.values()
            for obj in self.cache.list(key)
            if kinds.tracked_by(obj) == app["metadata"]["name"]
            and obj["kind"] not in ("CustomResourceDefinition", "Namespace")
            and "Delete=false" not in meta.notes(obj).get("argocd.argoproj.io/sync-options", "")
        ]
        propagation = "Background" if any("background" in entry for entry in mine) else "Foreground"
        try:
            for key, obj in left:
                if not meta.deleting(obj):
                    await self.remove(key, obj, propagation=propagation)
        except ApiError as error:
            await self._deletion_error(app, error.message)
            return self.world.seconds(5)
        if left:
            return self.world.seconds(1)
        kept = [entry for entry in finalizers if entry not in mine]
        await self.patch(APPLICATIONS, app, {"metadata": {"finalizers": kept or None}})
        return None

    async def _deletion_error(self, app: Object, message: str) -> None:
        """Say on the Application why its cascade does not go on; once for the same reason."""
        old = (app.get("status") or {}).get("conditions") or []
        new = {"type": "DeletionError", "message": message}
        if any((entry["type"], entry["message"]) == ("DeletionError", message) for entry in old):
            return
        kept = [entry for entry in old if entry["type"] != "DeletionError"]
        await self.patch(
            APPLICATIONS, app, {"status": {"conditions": [*kept, {**new, "lastTransitionTime": meta.now()}]}}
        )


def _guard(app: Object) -> Object:
    return {"resourceVersion": app["metadata"]["resourceVersion"]}


def _conditions(old: Object, found: list[Object | None], at: str) -> list[Object]:
    """Conditions of this refresh; one that says the same as before keeps its time. Others' conditions stay."""
    before = old.get("conditions") or []
    kept = [entry for entry in before if entry["type"] not in _CONTROLLED]
    for new in found:
        if new:
            same = next((e for e in before if (e["type"], e["message"]) == (new["type"], new["message"])), None)
            kept.append(same or {**new, "lastTransitionTime": at})
    return kept


def _difference(old: Object, new: Object) -> Object:
    """A merge patch from old to new, for the keys of new and for keys that new no longer has one level down."""
    patch: Object = {}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            below = _difference(before, value)
            below |= {gone: None for gone in before if gone not in value}
            if below:
                patch[key] = below
        elif value != before:
            patch[key] = value
    return patch


def _state_patch(app: Object, state: Object) -> Object:
    """A merge patch of `status` that leaves exactly `state` as the operation's state."""
    old = (app.get("status") or {}).get("operationState") or {}
    return _difference({"operationState": old}, {"operationState": state})


def _history(app: Object, state: Object, found: Comparison) -> list[Object]:
    """The history with this deployment at its end, cut to the revision history limit."""
    old: list[Object] = list((app.get("status") or {}).get("history") or [])
    entry = {
        "id": int(old[-1]["id"]) + 1 if old else 0,
        "revision": found.revision,
        "source": state["syncResult"]["source"],
        "deployStartedAt": state["startedAt"],
        "deployedAt": state["finishedAt"],
        "initiatedBy": (app.get("operation") or {}).get("initiatedBy") or {},
    }
    limit = app["spec"].get("revisionHistoryLimit")
    return [*old, entry][-(10 if limit is None else int(limit)) :]


def _parsed_retry(state: Object) -> float:
    """When the next attempt is due, from the message that says so; at once when it cannot be read."""
    text = str(state.get("message", "")).rpartition(" at ")[2].rstrip(".")
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
