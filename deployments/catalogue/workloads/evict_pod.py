"""*Evict a pod*: a deletion that asks the disruption budgets first and waits until they allow it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from deployments.catalogue.action import Action, Evict, PlanDraft, Precondition, Rule, StepSpec
from deployments.catalogue.workloads import ending, pods
from deployments.catalogue.workloads.asked import PodParams
from integrations.kubernetes.objects import Pod
from monitoring.checks.text import listing
from monitoring.snapshot import Need, Snapshot

_UNDO = "Irreversible: the pod and its local files are gone. Its controller makes another one."


class EvictPodParams(PodParams, frozen=True):
    """Which pod."""


def needs(_snapshot: Snapshot, params: EvictPodParams) -> Iterable[Need]:
    """The pod, those beside it, and what its end touches."""
    return ending.needs(params.namespace)


def draft(snapshot: Snapshot, params: EvictPodParams) -> PlanDraft:
    """One eviction and the wait for the pod in its place. :raises CannotPlan: no such pod."""
    pod = ending.find(snapshot, params.namespace, params.name)
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            ending.has_controller(pod),
            ending.not_static(pod),
            ending.not_going(pod),
            one_budget(snapshot, pod),
        ),
        steps=(
            StepSpec(
                verb="evict",
                title=f"Evict pod {params.name} and wait for the one in its place",
                how="eviction",
                resource="pods",
                namespace=params.namespace,
                name=params.name,
                effect=Evict(),
                unless=ending.leaving(pod),
                until=ending.until(pod),
                timeout_seconds=params.wait_seconds,
                irreversible=True,
            ),
        ),
        verification=ending.VERIFICATION,
        undo=_UNDO,
        blast=ending.blast(snapshot, pod, *_waits(snapshot, pod, params.wait_seconds)),
    )


def one_budget(snapshot: Snapshot, pod: Pod) -> Precondition:
    """With several budgets over one pod the API server answers every eviction with an error (500). :raises Missing:"""
    sentence = "At most one disruption budget is over it"
    found = [budget.metadata.name for budget in pods.budgets_over(snapshot, pod)]
    if not found:
        return Precondition(sentence, True, "no budget is over it: the eviction is allowed at once")
    if len(found) > 1:
        return Precondition(sentence, False, f"{listing(found)}: the API server evicts no pod under two budgets")
    return Precondition(sentence, True, pods.budgets(snapshot, [pod])[0])


def _waits(snapshot: Snapshot, pod: Pod, seconds: int) -> tuple[str, ...]:
    closed = [b.metadata.name for b in pods.budgets_over(snapshot, pod) if b.status.disruptions_allowed <= 0]
    if not closed:
        return ()
    return (f"Budget {closed[0]} allows no disruption now: the step asks again for up to {seconds} s, then fails.",)


ACTION = Action(
    slug="evict-pod",
    title="Evict a pod",
    family="Pods",
    tier=2,
    summary="End one pod as far as its disruption budget allows, so that its controller makes a new one elsewhere.",
    params=EvictPodParams,
    needs=needs,
    draft=draft,
    rules=(Rule("", "pods", ("get",)), Rule("", "pods/eviction", ("create",))),
    undo=_UNDO,
    guards=(
        "a controller puts a new pod in its place",
        "it is not a static pod and is not being deleted already",
        "not more than one disruption budget is over it; what the budget allows now is shown",
    ),
    verified_by="The pod of this uid is gone and another one of its controller is ready in its place.",
    reference="https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/",
)
