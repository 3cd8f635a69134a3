"""*Run a failed Job again*: a Job's template cannot be changed or started anew, so it is deleted and created (K18)."""

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
    Delete,
    Params,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import ownership
from deployments.catalogue.workloads import jobs, targets, templates
from deployments.catalogue.workloads.asked import NAME, Namespace, Patience
from deployments.catalogue.workloads.jobs import JOBS
from integrations.kubernetes.jobs import Job
from integrations.kubernetes.objects import Pod
from integrations.kubernetes.parts import Meta
from monitoring.checks.text import clean
from monitoring.snapshot import Need, Objects, Raw, Snapshot

_UNDO = "Irreversible: the failed Job's pods and their logs are gone, and what its containers did stays done."
_HOOKS = ("helm.sh/hook", "argocd.argoproj.io/hook")
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class RecreateJobParams(Params, frozen=True):
    """Which Job, and how long it may take."""

    namespace: Namespace
    name: Annotated[str, msgspec.Meta(pattern=NAME, description="Job")]
    job_seconds: Patience = 900


def needs(_snapshot: Snapshot, params: RecreateJobParams) -> Iterable[Need]:
    """The Job, also whole, its pods, and who renders it."""
    yield Objects(JOBS, params.namespace)
    yield Objects("pods", params.namespace)
    yield Raw(JOBS, params.namespace, params.name)
    yield from ownership.needs()


def draft(snapshot: Snapshot, params: RecreateJobParams) -> PlanDraft:
    """Delete by uid, create without what the server made, wait for its end. :raises CannotPlan: no such Job."""
    job: Job | None = snapshot.get(JOBS, params.namespace, params.name)
    raw = snapshot.raw(JOBS, params.namespace, params.name)
    if job is None or raw is None:
        raise CannotPlan(f"There is no Job {params.name} in namespace {params.namespace}.")
    body = again(raw)
    by_argo = ownership.reverts(snapshot, job.metadata)
    if not by_argo:
        templates.refuse_credentials(body["spec"]["template"], "The Job's template", "create the Job again by hand")
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            _failed(job),
            _no_hook(job.metadata),
            _no_owner(job.metadata),
        ),
        steps=_steps(params, job, body, by_argo),
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=_blast(snapshot, job),
        managed_by=_managed_by(snapshot, job.metadata),
        locks=ownership.locks(snapshot, job.metadata),
    )


def again(raw: dict[str, Any]) -> dict[str, Any]:
    """The Job as it can be created anew: without identity, status, and what the server makes from its uid."""
    job = templates.plain(raw)
    templates.refuse_placeholders(job["spec"])
    meta = job["metadata"]
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k not in (MARK, _APPLIED)}
    spec = dict(job["spec"])
    if not spec.get("manualSelector"):
        spec.pop("selector", None)
        spec["template"] = templates.without_labels(spec["template"], *jobs.MADE_LABELS)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": templates.unlabelled(meta.get("labels") or {}, *jobs.MADE_LABELS),
            "annotations": {**annotations, MARK: "${run.mark}"},
        },
        "spec": spec,
    }


def _steps(params: RecreateJobParams, job: Job, body: dict[str, Any], by_argo: bool) -> tuple[StepSpec, ...]:
    where: dict[str, Any] = {"namespace": params.namespace, "name": params.name}
    end = {**where, "selector": jobs.selector(params.name), "not_uid": job.metadata.uid}
    return (
        StepSpec(
            verb="delete",
            title=f"Delete the failed Job {params.name} and its pods",
            how="delete by uid",
            resource=JOBS,
            effect=Delete("Background"),
            until=Condition("job_gone", {**where, "uid": job.metadata.uid}),
            timeout_seconds=120,
            irreversible=True,
            **where,
        ),
        StepSpec(
            verb="wait" if by_argo else "create",
            title=f"Wait for Argo CD to create Job {params.name} again" if by_argo else f"Run Job {params.name} again",
            how="read" if by_argo else "create",
            resource=JOBS,
            effect=None if by_argo else Create(body),
            until=Condition("job_done", end),
            timeout_seconds=params.job_seconds,
            irreversible=not by_argo,
            **where,
        ),
    )


def _failed(job: Job) -> Precondition:
    word, why = jobs.ended(job)
    said = f"{word}: {why}" if word else f"{job.status.active} pods active, {job.status.failed} failed so far"
    return Precondition("It has failed", word == "Failed", said)


def _no_hook(metadata: Meta) -> Precondition:
    """A hook is made by the operation it belongs to: alone it proves nothing, and the next sync makes it again."""
    found = [name for name in _HOOKS if name in metadata.annotations]
    said = f"{found[0]}: sync its Application instead" if found else "it carries no hook annotation"
    return Precondition("It is no hook of Helm or Argo CD", not found, said)


def _no_owner(metadata: Meta) -> Precondition:
    owner = targets.controller(metadata)
    if owner is None:
        return Precondition("Nobody else makes it", True, "it has no controlling owner")
    way = "run that CronJob now instead" if owner.kind == "CronJob" else "start it through that object"
    return Precondition("Nobody else makes it", False, f"it belongs to {clean(owner.kind, 80)} {owner.name}; {way}")


def _blast(snapshot: Snapshot, job: Job) -> Blast:
    found: list[Pod] = snapshot.objects("pods", job.metadata.namespace)
    mine = sorted(
        pod.metadata.name
        for pod in found
        if (owner := targets.controller(pod.metadata)) is not None and owner.uid == job.metadata.uid
    )
    return Blast(
        created=(f"Job {job.metadata.name}",),
        deleted=(f"Job {job.metadata.name}", *(f"Pod {name}" for name in mine)),
        sentence="What the containers did in their failed tries stays done: make sure that they may run again.",
    )


def _managed_by(snapshot: Snapshot, metadata: Meta) -> str:
    if ownership.reverts(snapshot, metadata):
        name = ownership.owner_name(metadata)
        return f"Managed by Argo CD app {name}, selfHeal on: it creates the Job again by itself once it is deleted."
    return ownership.sentence(snapshot, metadata, named_in_git=False)


ACTION = Action(
    slug="recreate-job",
    title="Run a failed Job again",
    family="Jobs",
    tier=2,
    summary="Delete a failed Job with its pods, create it again from its own template, and wait for its end.",
    params=RecreateJobParams,
    needs=needs,
    draft=draft,
    rules=(Rule("batch", "jobs", ("get", "delete", "create")),),
    undo=_UNDO,
    guards=(
        "the Job has failed",
        "it is no hook of Helm or Argo CD and no CronJob makes it",
        "its template holds no literal credential",
    ),
    verified_by="The new Job's condition Complete; its pods' last lines are in the run's log.",
    reference="https://kubernetes.io/docs/concepts/workloads/controllers/job/",
)
