"""W18: a Job that failed, or cannot get to its end; what its pods show is told by the other signatures."""

from __future__ import annotations

from collections.abc import Iterable

from integrations.kubernetes.jobs import Job
from monitoring.checks.pods import condition
from monitoring.checks.text import clean, count, phrase
from monitoring.diagnosis.base import Layer, Signature, finding, shown
from monitoring.diagnosis.remedies import RECREATE_JOB, remedy
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Need, Objects
from monitoring.verdict import Finding

_JOBS = "jobs.batch"
_HOOK = "argocd.argoproj.io/hook"


def needs(scene: Scene) -> Iterable[Need]:
    if scene.kind == "job":
        yield Objects(_JOBS, scene.namespace)


def find(scene: Scene) -> Finding | None:
    if scene.kind != "job":
        return None
    job: Job | None = next((j for j in scene.read(_JOBS, scene.namespace) if j.metadata.name == scene.name), None)
    if job is None:
        return None
    failed = condition(job.status.conditions, "Failed")
    if failed is None or failed.status != "True":
        return None
    hook = _HOOK in job.metadata.annotations or "helm.sh/hook" in job.metadata.annotations
    how = {"BackoffLimitExceeded": "its pods failed too often", "DeadlineExceeded": "it took longer than it may"}
    return finding(
        "W18",
        "job_failed",
        "A Job failed",
        f"Job {job.metadata.name} failed{shown(scene, failed.last_transition_time)}: "
        f"{how.get(failed.reason) or phrase(failed.message)}. Remove the cause; a Job does not try again by itself.",
        (
            f"Job {job.metadata.name} Failed ({clean(failed.reason, 60)}): {clean(failed.message, 240)}",
            f"{count(job.status.failed, 'pod')} failed, {job.status.succeeded} succeeded",
        ),
        0.85,
        remedies=() if hook else (remedy(RECREATE_JOB, namespace=job.metadata.namespace, name=job.metadata.name),),
        at=failed.last_transition_time,
    )


SIGNATURES = (
    Signature(
        "W18",
        Layer.ADMISSION,
        "A Job failed for good.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-backoff-failure-policy",
        find,
        needs,
        follows=True,
    ),
)
