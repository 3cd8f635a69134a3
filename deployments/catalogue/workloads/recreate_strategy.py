"""*Replace pods one after the end of the other*: update strategy Recreate, for what must not run twice (K22)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from deployments.catalogue.action import (
    MARK,
    Action,
    Blast,
    CannotPlan,
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
from deployments.catalogue.workloads import git, rolling, targets
from deployments.catalogue.workloads.asked import NAME, Namespace
from deployments.catalogue.workloads.targets import DEPLOYMENTS
from monitoring.snapshot import Need, Raw, Snapshot

_KIND = "Deployment"
_PATH: git.Path = ("spec", "strategy", "type")
_UNDO = "Set the strategy back as it was. No pod is touched by either."


class RecreateStrategyParams(Params, frozen=True):
    """Which Deployment."""

    namespace: Namespace
    name: Annotated[str, msgspec.Meta(pattern=NAME, description="Deployment")]


def needs(snapshot: Snapshot, params: RecreateStrategyParams) -> Iterable[Need]:
    """The Deployment, also whole, and what stands around it."""
    yield from rolling.needs_of(snapshot, _KIND, params.namespace, params.name)
    yield Raw(DEPLOYMENTS, params.namespace, params.name)


def draft(snapshot: Snapshot, params: RecreateStrategyParams) -> PlanDraft:
    """One patch; the template stays, so no pod is replaced now. :raises CannotPlan: no such Deployment."""
    item = targets.find(snapshot, _KIND, params.namespace, params.name)
    raw = snapshot.raw(DEPLOYMENTS, params.namespace, params.name)
    if raw is None:
        raise CannotPlan(f"Deployment {params.name} went away while the plan was made.")
    now = rolling.strategy(_KIND, item)
    # left-over rollingUpdate beside type Recreate is refused by the API server
    wanted = {"type": "Recreate", "rollingUpdate": None}
    body = {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"strategy": wanted}}
    change = f"set spec.strategy.type of Deployment {params.name} to Recreate"
    way = git.way(snapshot, item, change, {"deploymentStrategy.type": "Recreate"})
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            Precondition("Its strategy is not Recreate already", now != "Recreate", f"spec.strategy.type: {now}"),
            targets.nobody_above(_KIND, item.metadata),
            git.stays(snapshot, item.metadata, raw, _PATH, "spec.strategy.type"),
        ),
        steps=(
            StepSpec(
                verb="set",
                title=f"Set the update strategy of {params.name} to Recreate",
                how="strategic merge patch",
                resource=DEPLOYMENTS,
                effect=Patch("strategic", body),
                until=Condition("workload_observed", {**targets.where(item), "kind": _KIND}),
                timeout_seconds=60,
                **targets.where(item),
            ),
        ),
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=Blast(
            changed=(f"{_KIND} {params.name}",),
            sentence="No pod is touched now. From the next rollout on, all old pods end before the first new one "
            "starts: nothing of it answers in between.",
        ),
        managed_by=git.managed_by(snapshot, item.metadata, raw, _PATH),
        git_way=way.sentence,
        git_patch=way.text,
        git_change=way.change,
        locks=ownership.locks(snapshot, item.metadata),
    )


ACTION = Action(
    slug="set-recreate-strategy",
    title="Set strategy Recreate",
    family="Workloads",
    tier=1,
    summary="Let a Deployment end its old pods before it starts new ones: for data that must have one writer.",
    params=RecreateStrategyParams,
    needs=needs,
    draft=draft,
    rules=(Rule("apps", "deployments", ("get", "patch")),),
    undo=_UNDO,
    undoable=True,
    noise=("spec.replicas",),
    guards=("it is not so already", "no operator stands above it", "Argo CD would not set it back at once"),
    verified_by="The controller has seen the new strategy.",
    reference="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#recreate-deployment",
)
