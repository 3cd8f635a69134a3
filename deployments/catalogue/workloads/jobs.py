"""Jobs: what may be run again, and the waits for a Job's end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deployments.catalogue.seen import Line, Outlook, Seen
from deployments.catalogue.workloads import narration
from integrations.kubernetes.jobs import Job
from monitoring.checks.text import clean, count, phrase
from monitoring.snapshot import Need, Objects, Snapshot

JOBS = "jobs.batch"
#: labels that the server gives a Job and its pods anew (facts K18)
MADE_LABELS = ("controller-uid", "job-name", "batch.kubernetes.io/")


def ended(job: Job) -> tuple[str, str]:
    """(``Complete`` or ``Failed``, why); empty while it has not ended."""
    for condition in job.status.conditions:
        if condition.type in ("Complete", "Failed") and condition.status == "True":
            return condition.type, phrase(f"{condition.reason}: {condition.message}".strip(": "))
    return "", ""


def selector(name: str) -> str:
    """The label that every Kubernetes version gives the pods of a Job."""
    return f"job-name={name}"


# -- conditions


def needs(snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """Jobs of the namespace, the pods, events and logs of this one."""
    yield Objects(JOBS, args["namespace"])
    yield from narration.needs(snapshot, args)


def done(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """The Job of this ``name`` is complete; one with the uid ``not_uid`` is the old one and does not count."""
    job = _job(snapshot, args)
    lines, remembered = narration.tell(snapshot, args, memory)
    if job is None or job.metadata.uid == args.get("not_uid"):
        return Seen(Outlook.NOT_YET, f"Waiting for Job {args['name']} to be there.", lines, remembered)
    word, why = ended(job)
    if word == "Complete":
        line = Line(f"Job {args['name']}: complete", "good")
        return Seen(Outlook.MET, f"Job {args['name']} is complete.", (*lines, line), remembered)
    if word == "Failed":
        line = Line(f"Job {args['name']}: failed", "error")
        return Seen(
            Outlook.FAILED, f"Job {args['name']} failed: {why or 'it does not say why'}.", (*lines, line), remembered
        )
    if job.spec.suspend:
        return Seen(Outlook.NOT_YET, f"Job {args['name']} is suspended: nothing of it runs.", lines, remembered)
    status = job.status
    said = f"{count(status.active, 'pod')} of Job {args['name']} active, {status.succeeded} succeeded"
    failed = f", {status.failed} failed" if status.failed else ""
    return Seen(Outlook.NOT_YET, f"{said}{failed}.{narration.held_up(snapshot, args)}", lines, remembered)


def gone(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The Job of this ``name`` and ``uid`` is not there any more."""
    job = _job(snapshot, args)
    if job is None or job.metadata.uid != args["uid"]:
        return Seen(Outlook.MET, f"Job {args['name']} is gone.", (Line(f"Job {args['name']}: gone", "good"),))
    if job.metadata.deletion_timestamp is None:
        return Seen(Outlook.NOT_YET, f"Job {args['name']} is there and is not being deleted yet.")
    held = [clean(name, 120) for name in job.metadata.finalizers]
    why = f"; the finalizer {held[0]} holds it" if held else ""
    return Seen(Outlook.NOT_YET, f"Job {args['name']} is being deleted{why}.")


def _job(snapshot: Snapshot, args: Mapping[str, Any]) -> Job | None:
    found = snapshot.get(JOBS, args["namespace"], args["name"])
    return found if isinstance(found, Job) else None
