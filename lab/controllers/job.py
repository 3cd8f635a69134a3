"""Jobs: pods until enough have succeeded or too many failed; the counts of them; deletion after the time to live.

The rules are those of kube-controller-manager 1.30 for `completionMode: NonIndexed`. A pod carries a finalizer until it
has been counted, so that one that is deleted at once is not forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.controllers import meta, pods
from lab.controllers.client import ApiError, Object
from lab.controllers.world import Controller, Key, Mapper, World

JOBS = "jobs.batch"
TRACKING = "batch.kubernetes.io/job-tracking"
_FIRST_DELAY, _MAX_DELAY = 10.0, 360.0
_BACKOFF = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
_SUSPENDED = ("True", "JobSuspended", "Job suspended")
_RESUMED = ("False", "JobResumed", "Job resumed")
_DEADLINE = ("DeadlineExceeded", "Job was active longer than specified deadline")


def ended(job: Object) -> Object | None:
    """The condition that ended the job: Complete or Failed."""
    for kind in ("Complete", "Failed"):
        found = meta.condition(job, kind)
        if found and found["status"] == "True":
            return found
    return None


def failed(pod: Object) -> bool:
    """A pod that is deleted before it succeeded counts as failed, as it never may get to say so itself."""
    phase = (pod.get("status") or {}).get("phase")
    return phase == "Failed" or (meta.deleting(pod) and phase != "Succeeded")


def succeeded(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") == "Succeeded"


def restarts(mine: list[Object]) -> int:
    """How often containers of living pods were started again; with `OnFailure` these are the job's failures."""
    return sum(
        int(entry.get("restartCount") or 0)
        for pod in mine
        for entry in (pod.get("status") or {}).get("containerStatuses") or []
    )


@dataclass
class Count:
    """What a look at the job's pods found."""

    active: list[Object] = field(default_factory=list)
    fresh: list[Object] = field(default_factory=list)  # finished and still with the finalizer
    succeeded: int = 0
    failed: int = 0


def counted(job: Object, mine: list[Object], known: set[str]) -> Count:
    """The totals, and the pods new to them. `known` are uids counted before whose finalizer is still there."""
    status = job.get("status") or {}
    found = Count(succeeded=int(status.get("succeeded") or 0), failed=int(status.get("failed") or 0))
    for pod in mine:
        if not (succeeded(pod) or failed(pod)):
            found.active.append(pod)
        elif TRACKING in (pod["metadata"].get("finalizers") or []):
            found.fresh.append(pod)
            if meta.uid(pod) not in known:
                found.succeeded += succeeded(pod)
                found.failed += not succeeded(pod)
    return found


def verdict(job: Object, count: Count, age: float) -> Object | None:
    """The condition that the job has come to, or None while it goes on. `age` is its age in the demo's seconds."""
    spec = job["spec"]
    limit = int(spec.get("backoffLimit", 6))
    on_failure = spec["template"]["spec"].get("restartPolicy") == "OnFailure"
    problem = None
    if count.failed > limit or (on_failure and restarts(count.active) > limit):
        problem = _BACKOFF
    elif spec.get("activeDeadlineSeconds") is not None and age >= float(spec["activeDeadlineSeconds"]):
        problem = _DEADLINE
    if problem:
        return {"type": "Failed", "status": "True", "reason": problem[0], "message": problem[1]}
    wanted = spec.get("completions")
    done = count.succeeded >= int(wanted) if wanted is not None else count.succeeded > 0 and not count.active
    return {"type": "Complete", "status": "True"} if done else None


def missing(job: Object, count: Count) -> int:
    """How many pods to start (negative: to stop) now."""
    spec = job["spec"]
    if spec.get("suspend"):
        return -len(count.active)
    parallel = int(spec.get("parallelism", 1))
    wanted = spec.get("completions")
    if wanted is None:
        target = parallel if not count.succeeded else min(parallel, len(count.active))
    else:
        target = min(parallel, int(wanted) - count.succeeded)
    return target - len(count.active)


def delay(failures: int) -> float:
    """Seconds to wait after the last of so many failures."""
    return min(_FIRST_DELAY * 2.0 ** (failures - 1), _MAX_DELAY) if failures else 0.0


def pod_of(job: Object, name: str) -> Object:
    pod = pods.from_template(job, job["spec"]["template"], name)
    pod["metadata"].setdefault("finalizers", []).append(TRACKING)
    return pod


class JobController(Controller):
    component = "job-controller"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._counted: set[str] = set()
        self._failed_at: dict[str, float] = {}

    def watches(self) -> dict[str, Mapper]:
        return {JOBS: lambda obj: [meta.key_of(obj)], "pods": self._owner}

    def _owner(self, pod: Object) -> list[Key]:
        owner = meta.controller_of(pod)
        if not owner or owner["kind"] != "Job":
            return []
        return [(pod["metadata"]["namespace"], owner["name"])]

    async def reconcile(self, key: Key) -> float | None:
        job = self.cache.get(JOBS, *key)
        if not job or meta.deleting(job):
            await self._release_orphans(key, job)
            return None
        if ended(job):
            for pod in self._mine(job):
                await self._release(pod)
            return await self._outlive(job)
        mine = self._mine(job)
        count = counted(job, mine, self._counted)
        if count.failed > int((job.get("status") or {}).get("failed") or 0):
            self._failed_at[meta.uid(job)] = meta.wall()
        end = verdict(job, count, self._age(job))
        if end is None:
            wait = await self._steer(job, count)
        else:
            wait = None
            for pod in count.active:
                await self.remove("pods", pod)
        active = [pod for pod in self._mine(job) if not (succeeded(pod) or failed(pod))]
        await self._write(job, count, [] if end else active, end)
        for pod in count.fresh:
            self._counted.add(meta.uid(pod))
            await self._release(pod)
        return wait

    def _mine(self, job: Object) -> list[Object]:
        return self.cache.owned("pods", meta.uid(job))

    def _age(self, job: Object) -> float:
        started = meta.moment((job.get("status") or {}).get("startTime"))
        return (meta.wall() - started.timestamp()) / max(self.world.speed, 1e-3) if started else 0.0

    async def _steer(self, job: Object, count: Count) -> float | None:
        """Start or stop pods; real seconds until the next look, where time alone changes something."""
        number = missing(job, count)
        if number < 0:
            for pod in pods.deletion_order(count.active)[:-number]:
                await self.remove("pods", pod)
        since = (meta.wall() - self._failed_at.get(meta.uid(job), 0.0)) / max(self.world.speed, 1e-3)
        pause = delay(count.failed) - since
        if number > 0 and pause > 0:
            return max(pause * self.world.speed, 0.01)
        for _ in range(max(number, 0)):
            await self._start(job)
        deadline = job["spec"].get("activeDeadlineSeconds")
        if deadline is None:
            return None
        return max((float(deadline) - self._age(job)) * self.world.speed, 0.05)

    async def _start(self, job: Object) -> None:
        try:
            made = await self.create("pods", pod_of(job, pods.random_name(job, self.world.rng)))
        except ApiError as error:
            if error.status not in (403, 422):
                raise
            await self._say(job, "FailedCreate", f"Error creating: {error.message}", warning=True)
            raise
        await self._say(job, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

    async def _write(self, job: Object, count: Count, active: list[Object], end: Object | None) -> None:
        at, old = meta.now(), job.get("status") or {}
        suspended = bool(job["spec"].get("suspend"))
        status: Object = {"uncountedTerminatedPods": {}}
        if not suspended:
            status["startTime"] = old.get("startTime") or at
        numbers = {
            "active": len(active),
            "ready": sum(map(meta.pod_ready, active)),
            "succeeded": count.succeeded,
            "failed": count.failed,
        }
        status |= {name: number for name, number in numbers.items() if number or name == "ready"}
        conditions: list[Object] = list(old.get("conditions") or [])
        if suspended or any(entry["type"] == "Suspended" for entry in conditions):
            word, reason, text = _SUSPENDED if suspended else _RESUMED
            new = {"type": "Suspended", "status": word, "reason": reason, "message": text, "lastProbeTime": at}
            conditions = meta.set_condition(conditions, new, at)
        if end:
            conditions = meta.set_condition(conditions, {**end, "lastProbeTime": at}, at)
            if end["type"] == "Complete":
                status["completionTime"] = at
        if conditions:
            status["conditions"] = _steady(old.get("conditions") or [], conditions)
        await self.put_status(JOBS, job, status)
        if end:
            good = end["type"] == "Complete"
            reason, message = ("Completed", "Job completed") if good else (end["reason"], end["message"])
            await self._say(job, reason, message, warning=not good)

    async def _release(self, pod: Object) -> None:
        """Take the finalizer off a pod that has been counted, or need not be."""
        finalizers = pod["metadata"].get("finalizers") or []
        if TRACKING not in finalizers:
            return
        kept = [entry for entry in finalizers if entry != TRACKING]
        guard = {"uid": meta.uid(pod), "finalizers": kept or None}
        try:
            await self.patch("pods", pod, {"metadata": guard})
        except ApiError as error:
            if not error.missing:
                raise
        self._counted.discard(meta.uid(pod))

    async def _release_orphans(self, key: Key, job: Object | None) -> None:
        """Pods of a job that is gone or going: nobody will count them."""
        for pod in self.cache.list("pods", key[0]):
            owner = meta.controller_of(pod)
            named = bool(owner and owner["kind"] == "Job" and owner["name"] == key[1])
            if named and (job is None or (owner or {}).get("uid") == meta.uid(job)):
                await self._release(pod)

    async def _outlive(self, job: Object) -> float | None:
        """Delete a finished job when its time to live is over; real seconds until then."""
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return None
        end = ended(job)
        assert end is not None
        finished = meta.moment((job.get("status") or {}).get("completionTime") or end["lastTransitionTime"])
        assert finished is not None
        left = finished.timestamp() + self.world.seconds(float(seconds)) - meta.wall()
        if left > 0:
            return left
        await self.remove(JOBS, job, propagation="Foreground")
        return None

    async def _say(self, job: Object, reason: str, message: str, *, warning: bool = False) -> None:
        await self.world.recorder.record(self.component, job, reason, message, warning=warning)


def _steady(old: list[Object], new: list[Object]) -> list[Object]:
    """Conditions that say what they said keep the time of their last probe as well."""
    known = {entry["type"]: entry for entry in old}
    return [
        known[entry["type"]] if known.get(entry["type"], {}).get("status") == entry["status"] else entry
        for entry in new
    ]
