"""The kubelet's control loop: advances the containers of every scheduled pod and writes the pods' status."""

from __future__ import annotations

import time

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.kubelet import podstatus, runtime, works
from lab.controllers.kubelet.behaviour import volume_problem
from lab.controllers.kubelet.logs import Logs
from lab.controllers.kubelet.runtime import NEVER, Happening, Life, Run
from lab.controllers.world import Controller, Key, Mapper, World

_CREATING_SECONDS = 1.5
_STOPPING_SECONDS = 1.0


class PodRuntime:
    """What the kubelet remembers of one pod."""

    def __init__(self, pod: Object, world: World, now: float) -> None:
        self.begun = now
        self.begun_text = meta.now()
        self.stopping_since: float | None = None
        self.told_volume = ""
        status = pod.get("status") or {}
        self.init = self._runs(pod, "initContainers", status.get("initContainerStatuses"), world, now)
        self.main = self._runs(pod, "containers", status.get("containerStatuses"), world, now)
        if status.get("containerStatuses"):
            self.begun = now - _CREATING_SECONDS

    def _runs(self, pod: Object, field: str, entries: list[Object] | None, world: World, now: float) -> list[Run]:
        known = {entry["name"]: entry for entry in entries or []}
        waiting = "PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating"
        runs = []
        for spec in pod["spec"].get(field) or []:
            if spec["name"] in known:
                runs.append(runtime.adopted(pod, spec, known[spec["name"]], world.cache, now, world.speed))
            else:
                runs.append(Run(spec, podstatus.waiting_entry(spec, waiting)))
        return runs

    @property
    def due(self) -> float:
        return min((run.due for run in [*self.init, *self.main]), default=NEVER)


class Kubelet(Controller):
    agent = "kubelet"

    def __init__(self, world: World, logs: Logs) -> None:
        super().__init__(world)
        self.logs = logs
        self._runtimes: dict[str, PodRuntime] = {}

    def watches(self) -> dict[str, Mapper]:
        return {
            "pods": lambda pod: [meta.key_of(pod)],
            "configmaps": self._unready_neighbours,
            "secrets": self._unready_neighbours,
            "persistentvolumeclaims": self._unready_neighbours,
            "endpointslices.discovery.k8s.io": self._unready_neighbours,
        }

    def _unready_neighbours(self, obj: Object) -> list[Key]:
        """Pods of the same namespace that are not ready; they may wait for just this object."""
        namespace = obj["metadata"].get("namespace")
        return [
            meta.key_of(pod)
            for pod in self.cache.list("pods", namespace)
            if pod["spec"].get("nodeName") and not meta.pod_ready(pod) and not meta.pod_finished(pod)
        ]

    def _now(self) -> float:
        """The demo's clock in demo seconds."""
        return time.monotonic() / max(self.world.speed, 1e-3)

    async def reconcile(self, key: Key) -> float | None:
        pod = self.cache.get("pods", *key)
        if not pod:
            self.logs.drop(*key)
            return None
        uid = meta.uid(pod)
        if not pod["spec"].get("nodeName"):
            return None
        if meta.deleting(pod):
            return await self._stop(pod)
        if meta.pod_finished(pod):
            self._runtimes.pop(uid, None)
            return None
        now = self._now()
        state = self._runtimes.get(uid)
        if state is None:
            state = self._runtimes[uid] = PodRuntime(pod, self.world, now)
        happenings = self._advance(pod, state, now)
        await self._write(pod, state)
        await self._tell(pod, state, happenings)
        for run in state.main:
            if run.ended_well and not run.worked:
                await works.after(run.spec, self.cache, self.client)
                run.worked = True
        due = self._due(state, now)
        return None if due == NEVER else max((due - self._now()) * self.world.speed, 0.01)

    # -- life ----------------------------------------------------------------------------------------------------

    def _advance(self, pod: Object, state: PodRuntime, now: float) -> list[tuple[str, Happening]]:
        if now < state.begun + _CREATING_SECONDS:
            return []
        found: list[tuple[str, Happening]] = []
        if not any(run.running or run.entry["lastState"] for run in [*state.init, *state.main]):
            reason, message = volume_problem(pod, self.cache)
            if reason:
                state.begun = now + 5.0 - _CREATING_SECONDS
                return [("", Happening(reason, message, warning=True))]
        for run in state.init:
            if run.ended_well:
                continue
            found += self._step(pod, run, now, init=True)
            native = podstatus.is_native_sidecar(run.spec)
            if not (native and run.entry["started"]) and not run.ended_well:
                return found
        for run in state.main:
            if run.entry["state"].get("terminated") is None:
                found += self._step(pod, run, now, init=False)
        return found

    def _step(self, pod: Object, run: Run, now: float, *, init: bool) -> list[tuple[str, Happening]]:
        life = Life(pod, run, self.cache, now, init=init)
        life.advance()
        field = "initContainers" if init else "containers"
        return [(f"spec.{field}{{{run.name}}}", happening) for happening in life.happenings]

    def _due(self, state: PodRuntime, now: float) -> float:
        if now < state.begun + _CREATING_SECONDS:
            return state.begun + _CREATING_SECONDS
        return state.due

    # -- what others see -----------------------------------------------------------------------------------------

    async def _write(self, pod: Object, state: PodRuntime) -> None:
        node = self.cache.get("nodes", None, pod["spec"]["nodeName"])
        host = podstatus.node_address(node) if node else ""
        address = (pod.get("status") or {}).get("podIP", "")
        if not address and node and any(run.running for run in [*state.init, *state.main]):
            used = {(other.get("status") or {}).get("podIP", "") for other in self.cache.list("pods")}
            address = podstatus.pod_address(pod, node, used)
        status = podstatus.status_of(
            pod,
            [run.entry for run in state.init],
            [run.entry for run in state.main],
            at=meta.now(),
            host=host,
            address=address,
            begun=state.begun_text,
        )
        old = pod.get("status") or {}
        if all(old.get(name) == value for name, value in status.items()):
            return
        await self.patch("pods", pod, {"metadata": {"uid": meta.uid(pod)}, "status": status}, "status")

    async def _tell(self, pod: Object, state: PodRuntime, happenings: list[tuple[str, Happening]]) -> None:
        namespace, name = meta.key_of(pod)
        for run in [*state.init, *state.main]:
            log = (namespace, name, run.name)
            if run.rotated:
                run.rotated = False
                await self.logs.rotate(log)
            lines, run.lines = run.lines, []
            await self.logs.append(log, lines)
        for field, happening in happenings:
            await self.world.recorder.record(
                self.agent,
                pod,
                happening.reason,
                happening.message,
                warning=happening.warning,
                host=pod["spec"]["nodeName"],
                field=field,
            )

    async def _stop(self, pod: Object) -> float | None:
        if pod["metadata"].get("deletionGracePeriodSeconds") == 0 and pod["metadata"].get("finalizers"):
            return None  # stopped already; somebody's finalizer holds what is left
        state = self._runtimes.get(meta.uid(pod))
        now = self._now()
        if state is None:
            state = self._runtimes[meta.uid(pod)] = PodRuntime(pod, self.world, now)
        if state.stopping_since is None:
            state.stopping_since = now
            for run in state.main:
                if run.running:
                    await self.world.recorder.record(
                        self.agent,
                        pod,
                        "Killing",
                        f"Stopping container {run.name}",
                        host=pod["spec"]["nodeName"],
                        field=f"spec.containers{{{run.name}}}",
                    )
        left = state.stopping_since + _STOPPING_SECONDS - now
        if left > 0:
            return left * self.world.speed
        await self.remove("pods", pod, grace=0)
        self._runtimes.pop(meta.uid(pod), None)
        return None
