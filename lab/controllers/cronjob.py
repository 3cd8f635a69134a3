"""CronJobs: a Job at each scheduled minute of the wall clock, by the concurrency policy; old Jobs are cleared away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lab.controllers import cron, job, meta
from lab.controllers.client import ApiError, Object
from lab.controllers.world import Controller, Key, Mapper
from lab.plain import copied

CRON_JOBS = "cronjobs.batch"
_SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


def due(cron_job: Object, now: datetime) -> datetime | None:
    """The latest scheduled minute that has not been served, in UTC. Raises ScheduleError, ZoneInfoNotFoundError."""
    spec, status = cron_job["spec"], cron_job.get("status") or {}
    schedule = cron.parse(spec["schedule"])
    zone = ZoneInfo(spec["timeZone"]) if spec.get("timeZone") else UTC
    begin = meta.moment(status.get("lastScheduleTime") or cron_job["metadata"]["creationTimestamp"])
    assert begin is not None
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None:
        begin = max(begin, now - timedelta(seconds=int(deadline)))
    found = schedule.last(begin.astimezone(zone), now.astimezone(zone))
    return found.astimezone(UTC) if found else None


def job_for(cron_job: Object, at: datetime) -> Object:
    """The Job of one scheduled minute; its name is the same at every try."""
    template = cron_job["spec"]["jobTemplate"]
    source = template.get("metadata") or {}
    namespace, name = meta.key_of(cron_job)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name}-{int(at.timestamp()) // 60}",
            "namespace": namespace,
            "labels": dict(source.get("labels") or {}),
            "annotations": {**(source.get("annotations") or {}), _SCHEDULED: meta.stamp(at)},
            "ownerReferences": [meta.owner_reference(cron_job)],
        },
        "spec": copied(template["spec"]),
    }


def surplus(jobs: list[Object], keep: int) -> list[Object]:
    """The oldest of finished jobs beyond the number to keep."""
    ordered = sorted(jobs, key=lambda obj: str((obj.get("status") or {}).get("startTime", "")))
    return ordered[: max(len(ordered) - keep, 0)]


def _reference(obj: Object) -> Object:
    namespace, name = meta.key_of(obj)
    return {
        "apiVersion": "batch/v1", "kind": "Job", "namespace": namespace, "name": name, "uid": meta.uid(obj),
        "resourceVersion": obj["metadata"]["resourceVersion"],
    }  # fmt: skip


class CronJobController(Controller):
    component = "cronjob-controller"

    def watches(self) -> dict[str, Mapper]:
        return {CRON_JOBS: lambda obj: [meta.key_of(obj)], job.JOBS: self._owner}

    def _owner(self, obj: Object) -> list[Key]:
        owner = meta.controller_of(obj)
        if not owner or owner["kind"] != "CronJob":
            return []
        return [(obj["metadata"]["namespace"], owner["name"])]

    async def reconcile(self, key: Key) -> float | None:
        cron_job = self.cache.get(CRON_JOBS, *key)
        if not cron_job or meta.deleting(cron_job):
            return None
        mine = [obj for obj in self.cache.owned(job.JOBS, meta.uid(cron_job)) if not meta.deleting(obj)]
        status = await self._looked(cron_job, mine)
        if not cron_job["spec"].get("suspend"):
            await self._schedule(cron_job, status, mine)
        await self.put_status(CRON_JOBS, cron_job, status)
        await self._tidy(cron_job, mine)
        now = datetime.now(UTC)
        return 60.0 - now.second - now.microsecond / 1e6 + 0.05

    async def _looked(self, cron_job: Object, mine: list[Object]) -> Object:
        """The status without the jobs that have ended or gone."""
        status: Object = dict(cron_job.get("status") or {})
        there = {meta.uid(obj): obj for obj in mine}
        active = []
        for entry in status.pop("active", None) or []:
            found = there.get(entry["uid"])
            end = job.ended(found) if found else None
            if found is None:
                text = f"Active job went missing: {entry['name']}"
                await self._say(cron_job, "MissingJob", text)
            elif end:
                text = f"Saw completed job: {entry['name']}, condition: {end['type']}"
                await self._say(cron_job, "SawCompletedJob", text)
                if end["type"] == "Complete":
                    status["lastSuccessfulTime"] = found["status"]["completionTime"]
            else:
                active.append(entry)
        if active:
            status["active"] = active
        return status

    async def _schedule(self, cron_job: Object, status: Object, mine: list[Object]) -> None:
        try:
            at = due(cron_job, datetime.now(UTC))
        except (cron.ScheduleError, ZoneInfoNotFoundError) as error:
            text = f"unparseable schedule: {cron_job['spec']['schedule']} : {error}"
            await self._say(cron_job, "UnparseableSchedule", text, warning=True)
            return
        if at is None:
            return
        policy, active = cron_job["spec"].get("concurrencyPolicy", "Allow"), status.get("active") or []
        if active and policy == "Forbid":
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            await self._say(cron_job, "JobAlreadyActive", text)
            return
        if active and policy == "Replace":
            running = {entry["uid"] for entry in active}
            for old in [obj for obj in mine if meta.uid(obj) in running]:
                await self.remove(job.JOBS, old, propagation="Background")
                await self._say(cron_job, "SuccessfulDelete", f"Deleted job {old['metadata']['name']}")
            active = []
        try:
            made = await self.create(job.JOBS, job_for(cron_job, at))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                await self._say(cron_job, "FailedCreate", f"Error creating job: {error.message}", warning=True)
                raise
        else:
            active = [*active, _reference(made)]
            await self._say(cron_job, "SuccessfulCreate", f"Created job {made['metadata']['name']}")
        status |= {"lastScheduleTime": meta.stamp(at), "active": active}
        if not active:
            del status["active"]

    async def _tidy(self, cron_job: Object, mine: list[Object]) -> None:
        spec = cron_job["spec"]
        for kind, limit in (
            ("Complete", spec.get("successfulJobsHistoryLimit", 3)),
            ("Failed", spec.get("failedJobsHistoryLimit", 1)),
        ):
            done = [obj for obj in mine if (end := job.ended(obj)) and end["type"] == kind]
            for old in surplus(done, int(limit)):
                await self.remove(job.JOBS, old, propagation="Background")
                await self._say(cron_job, "SuccessfulDelete", f"Deleted job {old['metadata']['name']}")

    async def _say(self, cron_job: Object, reason: str, message: str, *, warning: bool = False) -> None:
        await self.world.recorder.record(self.component, cron_job, reason, message, warning=warning)
