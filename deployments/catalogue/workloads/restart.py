"""*Restart a rollout*: new pods from the same template, at the Deployment's own pace (``kubectl rollout restart``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from deployments.catalogue.action import (
    MARK,
    Action,
    Blast,
    CannotPlan,
    CheckSpec,
    Condition,
    Params,
    Patch,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import ownership
from deployments.catalogue.workloads.targets import DEPLOYMENTS
from integrations.kubernetes.objects import Workload
from monitoring.snapshot import Need, Objects, Snapshot

_UNDO = "Not needed: the template stays the same but for the time of the restart."
_ANNOTATION = "kubectl.kubernetes.io/restartedAt"


class RestartParams(Params, frozen=True):
    """Which Deployment."""

    namespace: Annotated[str, msgspec.Meta(min_length=1, max_length=63, description="Namespace")]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=253, description="Deployment")]
    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600, description="How long it must stay ready")] = 30
    rollout_seconds: Annotated[int, msgspec.Meta(ge=5, le=7200, description="How long the rollout may take")] = 600


def needs(_snapshot: Snapshot, params: RestartParams) -> Iterable[Need]:
    """The Deployment and the disruption budgets over its pods."""
    return (
        Objects(DEPLOYMENTS, params.namespace),
        Objects("poddisruptionbudgets.policy", params.namespace),
        *ownership.needs(),
    )


def draft(snapshot: Snapshot, params: RestartParams) -> PlanDraft:
    """One patch of the pod template and the wait for the rollout. :raises CannotPlan: no such Deployment."""
    found: Workload | None = snapshot.get(DEPLOYMENTS, params.namespace, params.name)
    if found is None:
        raise CannotPlan(f"There is no Deployment {params.name} in namespace {params.namespace}.")
    where = {"namespace": params.namespace, "name": params.name}
    labels = found.spec.selector.match_labels
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    replicas = 1 if found.spec.replicas is None else found.spec.replicas
    template = {"metadata": {"annotations": {_ANNOTATION: "${run.time}"}}}
    patch = Patch("strategic", {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"template": template}})
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            Precondition(
                f"Deployment {params.name} is not paused", not found.spec.paused, f"{replicas} replicas wanted"
            ),
            Precondition("It wants at least one replica", replicas > 0, f"spec.replicas: {replicas}"),
        ),
        steps=(
            StepSpec(
                verb="restart",
                title=f"Restart the pods of {params.name}",
                how="strategic merge patch",
                resource=DEPLOYMENTS,
                effect=patch,
                guards=(Condition("not_paused", where),),
                until=Condition("rolled_out", {**where, "selector": selector}),
                timeout_seconds=params.rollout_seconds,
                namespace=params.namespace,
                name=params.name,
            ),
        ),
        verification=Verification(
            (CheckSpec("Workload is ready", "workload_ready", {**where, "kind": "Deployment"}),),
            params.hold_seconds,
            params.hold_seconds + 120,
        ),
        undo=_UNDO,
        blast=_blast(snapshot, found, replicas),
        managed_by=ownership.sentence(snapshot, found.metadata, named_in_git=False),
        locks=ownership.locks(snapshot, found.metadata),
    )


def _blast(snapshot: Snapshot, found: Workload, replicas: int) -> Blast:
    budgets = len(snapshot.objects("poddisruptionbudgets.policy", found.metadata.namespace))
    kind = found.spec.strategy.type or "RollingUpdate"
    short = " While the old pod is gone and the new one starts, nothing answers." if kind == "Recreate" else ""
    return Blast(
        changed=(f"Deployment {found.metadata.name}",),
        sentence=f"{replicas} pods are replaced by {kind}; {budgets} disruption budgets in the namespace.{short}",
    )


ACTION = Action(
    slug="rollout-restart",
    title="Restart a rollout",
    family="Workloads",
    tier=1,
    summary="Replace the pods of a Deployment one after the other, from the same template.",
    params=RestartParams,
    needs=needs,
    draft=draft,
    rules=(Rule("apps", "deployments", ("get", "patch")),),
    undo=_UNDO,
)
