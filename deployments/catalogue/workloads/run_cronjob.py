"""*Run a CronJob now*: one Job from its template, outside the schedule (``kubectl create job --from``, K19)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from deployments.catalogue.action import (
    MARK,
    Action,
    Blast,
    CannotPlan,
    Condition,
    Create,
    Params,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import ownership
from deployments.catalogue.workloads import jobs, templates
from deployments.catalogue.workloads.asked import NAME, Namespace, Patience
from deployments.catalogue.workloads.jobs import JOBS
from integrations.kubernetes.jobs import CronJob, Job
from monitoring.checks.text import count, listing
from monitoring.snapshot import Need, Objects, Raw, Snapshot

_CRONJOBS = "cronjobs.batch"
_UNDO = "Delete the Job and its pods; what its containers did stays done."
#: an API server allows 63 characters for a Job, of which a CronJob's name takes 52 at most
_MIDDLE = "-manual-"


class RunCronJobParams(Params, frozen=True):
    """Which CronJob, and how long its Job may take."""

    namespace: Namespace
    name: Annotated[str, msgspec.Meta(pattern=NAME, description="CronJob")]
    job_seconds: Patience = 900


def needs(_snapshot: Snapshot, params: RunCronJobParams) -> Iterable[Need]:
    """The CronJob, also whole, and the Jobs of its namespace."""
    yield Objects(_CRONJOBS, params.namespace)
    yield Objects(JOBS, params.namespace)
    yield Raw(_CRONJOBS, params.namespace, params.name)
    yield from ownership.needs()


def draft(snapshot: Snapshot, params: RunCronJobParams) -> PlanDraft:
    """One Job under the first free number, and the wait for its end. :raises CannotPlan: no such CronJob."""
    cron: CronJob | None = snapshot.get(_CRONJOBS, params.namespace, params.name)
    raw = snapshot.raw(_CRONJOBS, params.namespace, params.name)
    if cron is None or raw is None:
        raise CannotPlan(f"There is no CronJob {params.name} in namespace {params.namespace}.")
    name = _free_name(snapshot, params)
    body = job_of(templates.plain(raw), name)
    line = f"kubectl -n {params.namespace} create job {name} --from=cronjob/{params.name}"
    templates.refuse_credentials(body["spec"].get("template") or {}, "The CronJob's template", f"run {line}")
    where: dict[str, Any] = {"namespace": params.namespace, "name": name}
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            _not_going(cron),
            _alone(snapshot, cron),
        ),
        steps=(
            StepSpec(
                verb="create",
                title=f"Run {params.name} as Job {name}",
                how="create",
                resource=JOBS,
                effect=Create(body),
                until=Condition("job_done", {**where, "selector": jobs.selector(name)}),
                timeout_seconds=params.job_seconds,
                **where,
            ),
        ),
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=Blast(created=(f"Job {name}",), sentence=_sentence(cron)),
        managed_by=ownership.sentence(snapshot, cron.metadata, named_in_git=False),
        locks=ownership.locks(snapshot, cron.metadata),
    )


def job_of(cron: dict[str, Any], name: str) -> dict[str, Any]:
    """The Job that ``kubectl create job --from=cronjob`` makes; blockOwnerDeletion would need rights on finalizers.

    :raises CannotPlan: the template holds text that a plan cannot carry.
    """
    template = cron["spec"]["jobTemplate"]
    templates.refuse_placeholders(template)
    meta, owner = template.get("metadata") or {}, cron["metadata"]
    annotations = {**(meta.get("annotations") or {}), "cronjob.kubernetes.io/instantiate": "manual"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": owner["namespace"],
            "labels": dict(meta.get("labels") or {}),
            "annotations": {**annotations, MARK: "${run.mark}"},
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "name": owner["name"],
                    "uid": owner["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": template.get("spec") or {},
    }


def _free_name(snapshot: Snapshot, params: RunCronJobParams) -> str:
    """The first number that no Job of the namespace has: from the snapshot alone, so that a second draft is equal."""
    found: list[Job] = snapshot.objects(JOBS, params.namespace)
    taken = {job.metadata.name for job in found}
    names = (f"{params.name[:52]}{_MIDDLE}{number}" for number in range(1, 1000))
    free = next((name for name in names if name not in taken), "")
    if not free:
        raise CannotPlan(f"CronJob {params.name} has 999 Jobs that were run by hand; delete some first.")
    return free


def _not_going(cron: CronJob) -> Precondition:
    gone = cron.metadata.deletion_timestamp
    last = cron.status.last_successful_time
    said = f"last success {last:%F %H:%M}" if last else "it has not succeeded yet"
    return Precondition(
        "It is not being deleted", gone is None, f"deletion asked for at {gone:%F %T}" if gone else said
    )


def _alone(snapshot: Snapshot, cron: CronJob) -> Precondition:
    """With Forbid two of its Jobs must not run side by side; the controller does not ask that of ours, so we do."""
    policy = cron.spec.concurrency_policy or "Allow"
    found: list[Job] = snapshot.objects(JOBS, cron.metadata.namespace)
    active = sorted(
        job.metadata.name
        for job in found
        if not jobs.ended(job)[0] and any(owner.uid == cron.metadata.uid for owner in job.metadata.owner_references)
    )
    said = f"concurrencyPolicy {policy}, {count(len(active), 'Job')} active"
    named = f": {listing(active)}" if active else ""
    return Precondition("No other Job of it runs, or it allows that", policy == "Allow" or not active, f"{said}{named}")


def _sentence(cron: CronJob) -> str:
    policy = cron.spec.concurrency_policy or "Allow"
    meanwhile = {
        "Forbid": "A scheduled run that falls due meanwhile is left out.",
        "Replace": "A scheduled run that falls due meanwhile ends this one.",
    }.get(policy, "A scheduled run may start beside it.")
    held = " The CronJob itself is suspended and stays so." if cron.spec.suspend else ""
    return f"One Job runs outside the schedule {cron.spec.schedule}. {meanwhile}{held}"


ACTION = Action(
    slug="run-cronjob-now",
    title="Run a CronJob now",
    family="Jobs",
    tier=2,
    summary="Create one Job from a CronJob's template, outside its schedule, and wait for its end.",
    params=RunCronJobParams,
    needs=needs,
    draft=draft,
    rules=(Rule("batch", "jobs", ("get", "create", "delete")), Rule("batch", "cronjobs", ("get",))),
    undo=_UNDO,
    undoable=True,
    guards=(
        "no other Job of it is active, unless its concurrencyPolicy allows that",
        "its template holds no literal credential",
        "the Job's name is free",
    ),
    verified_by="The Job's condition Complete; its pods' last lines are in the run's log.",
    reference="https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/",
)
