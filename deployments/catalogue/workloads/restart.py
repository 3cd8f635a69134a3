"""*Restart a rollout*: new pods from the same template, at the workload's own pace (``kubectl rollout restart``)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from deployments.catalogue.action import MARK, Action, Patch, PlanDraft, Rule
from deployments.catalogue.argo import ownership
from deployments.catalogue.workloads import rolling, targets
from deployments.catalogue.workloads.asked import WorkloadParams
from monitoring.snapshot import Need, Snapshot

_UNDO = "Not needed: the template stays the same but for the time of the restart."
#: what the action restart-operator-managed changes (facts K28)
_THROUGH = "spec.podMetadata.annotations"
_ANNOTATION = "kubectl.kubernetes.io/restartedAt"


class RestartParams(WorkloadParams, frozen=True):
    """Which workload."""


def needs(snapshot: Snapshot, params: RestartParams) -> Iterable[Need]:
    """The workload, its pods, and what their end touches."""
    return rolling.needs_of(snapshot, params.kind, params.namespace, params.name)


def draft(snapshot: Snapshot, params: RestartParams) -> PlanDraft:
    """One patch of the pod template and the wait for the rollout. :raises CannotPlan: no such workload."""
    item = targets.find(snapshot, params.kind, params.namespace, params.name)
    template = {"metadata": {"annotations": {_ANNOTATION: "${run.time}"}}}
    patch = Patch("strategic", {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"template": template}})
    paused = (rolling.not_paused(item),) if params.kind == "Deployment" else ()
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            *paused,
            rolling.has_pods(params.kind, item),
            rolling.replaces_pods(params.kind, item),
            targets.nobody_above(params.kind, item.metadata, _THROUGH),
        ),
        steps=(
            rolling.step(
                params.kind,
                item,
                patch,
                verb="restart",
                title=f"Restart the pods of {params.name}",
                how="strategic merge patch",
                seconds=params.rollout_seconds,
            ),
        ),
        verification=rolling.verification(params.kind, item, params.hold_seconds),
        undo=_UNDO,
        blast=rolling.blast(snapshot, params.kind, item),
        managed_by=ownership.sentence(snapshot, item.metadata, named_in_git=False),
        locks=ownership.locks(snapshot, item.metadata),
    )


ACTION = Action(
    slug="rollout-restart",
    title="Restart a rollout",
    family="Workloads",
    tier=1,
    summary="Replace the pods of a workload one after the other, from the same template.",
    params=RestartParams,
    needs=needs,
    draft=draft,
    rules=tuple(Rule("apps", plural, ("get", "patch")) for plural in ("deployments", "statefulsets", "daemonsets")),
    undo=_UNDO,
    # an autoscaler may count anew meanwhile: a restart decides nothing about how many
    noise=("spec.replicas",),
    guards=(
        "a Deployment is not paused",
        "it wants at least one pod, and its update strategy replaces pods by itself",
        "no operator stands above it: a Prometheus or Alertmanager is restarted through its custom resource",
    ),
    verified_by="The rollout is complete by the rules of kubectl rollout status; then the check workload_ready holds.",
    reference="https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_restart/",
)
