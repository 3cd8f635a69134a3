"""*Delete a stuck pod*, so that its controller makes a new one (``kubectl delete pod``)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from deployments.catalogue.action import Action, Delete, PlanDraft, Rule, StepSpec
from deployments.catalogue.workloads import ending
from deployments.catalogue.workloads.asked import PodParams
from monitoring.snapshot import Need, Snapshot

_UNDO = "Irreversible: the pod and its local files are gone. Its controller makes another one."


class DeletePodParams(PodParams, frozen=True):
    """Which pod."""


def needs(_snapshot: Snapshot, params: DeletePodParams) -> Iterable[Need]:
    """The pod, those beside it, and what its end touches."""
    return ending.needs(params.namespace)


def draft(snapshot: Snapshot, params: DeletePodParams) -> PlanDraft:
    """One deletion by uid and the wait for the pod in its place. :raises CannotPlan: no such pod."""
    pod = ending.find(snapshot, params.namespace, params.name)
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(ending.has_controller(pod), ending.not_static(pod), ending.not_going(pod)),
        steps=(
            StepSpec(
                verb="delete",
                title=f"Delete pod {params.name} and wait for the one in its place",
                how="delete by uid",
                resource="pods",
                namespace=params.namespace,
                name=params.name,
                effect=Delete(),
                unless=ending.leaving(pod),
                until=ending.until(pod),
                timeout_seconds=params.wait_seconds,
                irreversible=True,
            ),
        ),
        verification=ending.VERIFICATION,
        undo=_UNDO,
        blast=ending.blast(snapshot, pod, "A deletion does not ask disruption budgets; an eviction does."),
    )


ACTION = Action(
    slug="delete-pod",
    title="Delete a stuck pod",
    family="Pods",
    tier=2,
    summary="Delete one pod, so that its controller makes a new one in its place.",
    params=DeletePodParams,
    needs=needs,
    draft=draft,
    rules=(Rule("", "pods", ("get", "delete")),),
    undo=_UNDO,
    guards=(
        "a controller puts a new pod in its place",
        "it is not a static pod and is not being deleted already",
        "that it is the last ready one, and which Services lose their endpoints, is said in the plan",
    ),
    verified_by="The pod of this uid is gone and another one of its controller is ready in its place.",
    reference="https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination",
)
