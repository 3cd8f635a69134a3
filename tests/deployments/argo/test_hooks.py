"""A stuck hook: only this Application's hook, by uid, and its finalizer only while a deletion waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue.action import CannotPlan, Delete, Patch, PlanDraft
from deployments.catalogue.argo.waited_hook import HOOK_FINALIZER
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import Snapshot
from tests.deployments.argo.world import (
    CONTROLLER,
    RUNNING,
    STACK,
    above,
    body,
    both,
    look,
    merged,
    planned,
    seen,
    stack,
    unmet,
)

SLUG = "clear-stuck-hook"
JOB = f"{STACK}-admission-create"
NS = "platform-monitoring"
SAYS = f"waiting for completion of hook batch/Job/{JOB} and 1 more hooks"
WAITING = both(RUNNING, {"status": {"operationState": {"message": SAYS, "startedAt": "2025-11-23T13:40:00Z"}}})
PULL = {"name": "create", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}


def job(**meta: Any) -> dict[str, Any]:
    made = {
        "name": JOB,
        "namespace": NS,
        "uid": "job-1",
        "creationTimestamp": "2025-11-23T13:40:05Z",
        "annotations": {"helm.sh/hook": "pre-install,pre-upgrade"},
    }
    status = meta.pop("status", {"active": 1})
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": merged(made, meta), "status": status}


def pod(phase: str = "Pending", *statuses: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": f"{JOB}-x", "namespace": NS, "ownerReferences": [{"kind": "Job", "name": JOB, "uid": "job-1"}]}
    return {
        "kind": "Pod",
        "metadata": meta,
        "spec": {},
        "status": {"phase": phase, "containerStatuses": list(statuses)},
    }


def scene(*jobs: dict[str, Any], pods: tuple[dict[str, Any], ...] = (), app: Any = None) -> Snapshot:
    lists = {"jobs.batch": list(jobs), "pods": [CONTROLLER, *pods]}
    return seen(stack(WAITING if app is None else app), above(), objects=lists)


def verbs(draft: PlanDraft) -> list[str]:
    return [step.verb for step in draft.steps]


def test_the_hook_is_found_in_argo_cds_message_and_goes_by_its_uid() -> None:
    draft = planned(SLUG, scene(job(), pods=(pod("Pending", PULL),)))
    assert unmet(draft) == []
    assert verbs(draft) == ["terminate", "delete", "sync"]
    assert draft.params["hook"] == f"Job/{JOB}"
    assert draft.blast.deleted == (f"Job {JOB}",)
    delete = draft.steps[1]
    assert isinstance(delete.effect, Delete)
    assert delete.until is not None and delete.until.args["uid"] == "job-1"
    assert any("ImagePullBackOff: no such image" in p.evidence for p in draft.preconditions)
    assert body(draft, 2)["operation"]["sync"]["prune"] is False
    assert "It cannot start as it is" in draft.blast.sentence
    assert (
        "It cannot start"
        not in planned(SLUG, scene(job(), pods=(pod("Pending", PULL),)), then_sync="no").blast.sentence
    )


def test_an_operation_that_ends_meanwhile_and_a_hook_that_goes_with_it_are_no_refusal() -> None:
    draft = planned(SLUG, scene(job(), pods=(pod("Pending", PULL),)))
    unless = [step.unless.name if step.unless else "" for step in draft.steps]
    assert unless == ["argocd_idle", "argocd_hook_gone", ""]


def test_a_deletion_that_waits_has_only_argo_cds_finalizer_taken_off() -> None:
    held = job(deletionTimestamp="2025-11-23T13:50:00Z", finalizers=["x.io/keep", HOOK_FINALIZER, "foregroundDeletion"])
    draft = planned(SLUG, scene(held))
    assert unmet(draft) == []
    assert verbs(draft) == ["terminate", "release", "sync"]
    assert isinstance(draft.steps[1].effect, Patch)
    assert body(draft, 1)["metadata"]["finalizers"] == ["x.io/keep", "foregroundDeletion"]
    assert [g.name for g in draft.steps[1].guards] == ["argocd_hook_held"]


def test_a_deletion_that_still_waits_when_the_operation_is_over_is_let_go() -> None:
    """Else a hook that outlived the first plan could never be cleared."""
    held = job(deletionTimestamp="2025-11-23T13:50:00Z", finalizers=[HOOK_FINALIZER])
    draft = planned(SLUG, scene(held, app={}), hook=f"Job/{JOB}")
    assert unmet(draft) == []
    assert verbs(draft) == ["release", "sync"]
    assert any("no operation is running" in u for u in unmet(planned(SLUG, scene(job(), app={}), hook=JOB)))


def test_a_finalizer_is_not_touched_before_a_deletion_was_asked_for() -> None:
    draft = planned(SLUG, scene(job(finalizers=[HOOK_FINALIZER]), pods=(pod("Pending", PULL),)))
    assert verbs(draft) == ["terminate", "delete", "sync"]


def test_a_deletion_kept_by_somebody_else_is_not_forced() -> None:
    held = job(deletionTimestamp="2025-11-23T13:50:00Z", finalizers=["x.io/keep"])
    draft = planned(SLUG, scene(held))
    assert verbs(draft) == ["terminate", "delete", "sync"]


def test_a_hook_that_is_gone_leaves_only_the_operation_to_end() -> None:
    draft = planned(SLUG, scene())
    assert unmet(draft) == []
    assert verbs(draft) == ["terminate", "sync"]
    assert any("not there any more" in p.evidence for p in draft.preconditions)
    assert verbs(planned(SLUG, scene(), then_sync="no")) == ["terminate"]
    assert planned(SLUG, scene(), then_sync="no").verification.checks == ()


@pytest.mark.parametrize(
    ("jobs", "pods", "sentence"),
    [
        ((job(annotations={"helm.sh/hook": None}),), (), "is a hook of this Application: it carries neither"),
        (
            (job(annotations={"argocd.argoproj.io/tracking-id": f"other:batch/Job:{NS}/{JOB}"}),),
            (pod("Pending", PULL),),
            "it belongs to other",
        ),
    ],
)
def test_what_is_no_hook_of_ours_is_never_deleted(jobs: Any, pods: Any, sentence: str) -> None:
    assert any(sentence in said for said in unmet(planned(SLUG, scene(*jobs, pods=pods))))


@pytest.mark.parametrize(
    ("one", "pods", "evidence"),
    [
        (job(), (pod("Running"),), "is running; wait for it"),
        (job(), (pod("Pending"),), "waits to be started"),
        (job(creationTimestamp="2025-11-23T13:59:30Z"), (), "it has no pod"),
    ],
)
def test_a_hook_that_may_still_be_at_work_is_left_alone(one: Any, pods: Any, evidence: str) -> None:
    young = both(WAITING, {"status": {"operationState": {"startedAt": "2025-11-23T13:58:00Z"}}})
    [said] = unmet(planned(SLUG, scene(one, pods=pods, app=young)))
    assert evidence in said


@pytest.mark.parametrize(
    ("one", "pods"),
    [
        (job(), (pod("Pending"),)),
        (job(), ()),
        (job(status={"conditions": [{"type": "Failed", "status": "True", "message": "backoff"}]}), ()),
        (job(status={"conditions": [{"type": "Complete", "status": "True"}]}), ()),
    ],
)
def test_a_hook_that_does_nothing_any_more_may_go(one: Any, pods: Any) -> None:
    assert unmet(planned(SLUG, scene(one, pods=pods))) == []


def test_without_an_operation_that_waits_there_is_nothing_to_clear() -> None:
    with pytest.raises(CannotPlan, match="does not wait for a hook"):
        planned(SLUG, scene(app={}))
    said = unmet(planned(SLUG, scene(job(), app={}), hook=f"Job/{JOB}"))
    assert any("no operation is running" in u for u in said)
    stale = both(WAITING, {"operation": None})
    assert any("stale" in u for u in unmet(planned(SLUG, scene(job(), app=stale), hook=JOB)))
    other = both(WAITING, {"status": {"operationState": {"message": "waiting for healthy state of apps/Deployment/x"}}})
    assert any("and says: waiting for healthy" in u for u in unmet(planned(SLUG, scene(job(), app=other), hook=JOB)))


def test_a_hook_that_is_a_pod_and_one_in_another_namespace() -> None:
    says = {"message": "waiting for completion of hook /Pod/migrate"}
    row = {"kind": "Pod", "namespace": "elsewhere", "name": "migrate", "hookType": "PreSync", "hookPhase": "Running"}
    app = both(WAITING, {"status": {"operationState": {**says, "syncResult": {"revision": "1", "resources": [row]}}}})
    meta = {
        "name": "migrate",
        "namespace": "elsewhere",
        "uid": "pod-1",
        "annotations": {"argocd.argoproj.io/hook": "PreSync"},
    }
    there = {"kind": "Pod", "metadata": meta, "spec": {}, "status": {"phase": "Failed"}}
    draft = planned(SLUG, scene(pods=(there,), app=app))
    assert unmet(draft) == []
    assert (draft.steps[1].resource, draft.steps[1].namespace) == ("pods", "elsewhere")


def test_a_draft_of_its_own_parameters_is_the_same() -> None:
    first = planned(SLUG, scene(job()))
    assert planned(SLUG, scene(job()), **first.params) == first


# -- conditions


ARGS = {"resource": "jobs.batch", "namespace": NS, "name": JOB, "uid": "job-1"}
DELETING = {"deletionTimestamp": "2025-11-23T13:50:00Z"}


def test_gone_is_gone_by_uid() -> None:
    assert look("argocd_hook_gone", scene(), **ARGS).outlook == Outlook.MET
    assert look("argocd_hook_gone", scene(job(uid="job-2")), **ARGS).outlook == Outlook.MET
    assert look("argocd_hook_gone", scene(job()), **ARGS).outlook == Outlook.NOT_YET
    held = look("argocd_hook_gone", scene(job(**DELETING, finalizers=[HOOK_FINALIZER])), **ARGS)
    assert held.outlook == Outlook.NOT_YET and "a new plan takes it off" in held.sentence
    going = {**ARGS, "going": True}
    assert look("argocd_hook_gone", scene(job(**DELETING)), **going).outlook == Outlook.MET
    assert look("argocd_hook_gone", scene(job()), **going).outlook == Outlook.NOT_YET


def test_the_finalizer_goes_only_while_a_deletion_waits_for_it() -> None:
    assert look("argocd_hook_held", scene(job(**DELETING, finalizers=[HOOK_FINALIZER])), **ARGS).outlook == Outlook.MET
    for other in (
        job(finalizers=[HOOK_FINALIZER]),
        job(**DELETING, finalizers=["x.io/keep"]),
        job(**DELETING, finalizers=[HOOK_FINALIZER], uid="job-2"),
    ):
        assert look("argocd_hook_held", scene(other), **ARGS).outlook == Outlook.REFUSED
