"""*Pause* and *resume* the rollout of a Deployment (K4): while paused, a new template starts no new pods."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
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
from deployments.catalogue.workloads.asked import NAME, DeploymentParams, Namespace
from deployments.catalogue.workloads.targets import DEPLOYMENTS
from integrations.kubernetes.objects import Workload
from monitoring.snapshot import Need, Raw, Snapshot

_KIND = "Deployment"
_PAUSED: git.Path = ("spec", "paused")


class PauseParams(Params, frozen=True):
    """Which Deployment."""

    namespace: Namespace
    name: Annotated[str, msgspec.Meta(pattern=NAME, description="Deployment")]


class ResumeParams(DeploymentParams, frozen=True):
    """Which Deployment, and how long what was held back may take to roll out."""


def needs(snapshot: Snapshot, params: PauseParams | ResumeParams) -> Iterable[Need]:
    """The Deployment, also whole, its pods, and what their end touches."""
    yield from rolling.needs_of(snapshot, _KIND, params.namespace, params.name)
    yield Raw(DEPLOYMENTS, params.namespace, params.name)


def pause(snapshot: Snapshot, params: PauseParams) -> PlanDraft:
    """One patch and the wait until the controller has seen it. :raises CannotPlan: no such Deployment."""
    item = targets.find(snapshot, _KIND, params.namespace, params.name)
    blast = Blast(
        changed=(f"{_KIND} {params.name}",),
        sentence="No pod is touched. New templates wait until it is resumed; scaling still works.",
    )
    draft = _plan(snapshot, item, True)
    return msgspec.structs.replace(draft, params=msgspec.to_builtins(params), blast=blast)


def resume(snapshot: Snapshot, params: ResumeParams) -> PlanDraft:
    """One patch, then the wait for what was held back. :raises CannotPlan: no such Deployment."""
    item = targets.find(snapshot, _KIND, params.namespace, params.name)
    draft = _plan(snapshot, item, False)
    where = targets.where(item)
    wait = StepSpec(
        verb="wait",
        title=f"Wait for the rollout of {params.name}",
        how="read",
        resource=DEPLOYMENTS,
        until=Condition("workload_rolled_out", {**where, "kind": _KIND, "selector": targets.selector(item)}),
        timeout_seconds=params.rollout_seconds,
        **where,
    )
    return msgspec.structs.replace(
        draft,
        params=msgspec.to_builtins(params),
        steps=(*draft.steps, wait),
        verification=rolling.verification(_KIND, item, params.hold_seconds),
        blast=_resumed(snapshot, item),
    )


def _resumed(snapshot: Snapshot, item: Workload) -> Blast:
    """What the template that was held back replaces; nothing when the controller counts every pod as new."""
    status, wanted = item.status, targets.wanted(_KIND, item)
    seen = status.observed_generation >= item.metadata.generation
    if seen and status.updated_replicas == status.replicas == wanted:
        sentence = "No template waits: every pod has the newest one, and none is touched."
        return Blast(changed=(f"{_KIND} {item.metadata.name}",), sentence=sentence)
    return rolling.blast(snapshot, _KIND, item)


def _plan(snapshot: Snapshot, item: Workload, paused: bool) -> PlanDraft:
    where, name = targets.where(item), item.metadata.name
    raw = snapshot.raw(DEPLOYMENTS, item.metadata.namespace, name)
    if raw is None:
        raise CannotPlan(f"Deployment {name} went away while the plan was made.")
    word = "pause" if paused else "resume"
    body = {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"paused": paused}}
    state = f"spec.paused: {str(item.spec.paused).lower()}"
    return PlanDraft(
        params={},
        preconditions=(
            Precondition(f"It is not {word}d already", item.spec.paused is not paused, state),
            targets.nobody_above(_KIND, item.metadata),
            git.stays(snapshot, item.metadata, raw, _PAUSED, "spec.paused"),
        ),
        steps=(
            StepSpec(
                verb=word,
                title=f"{word.capitalize()} the rollout of {name}",
                how="merge patch",
                resource=DEPLOYMENTS,
                effect=Patch("merge", body),
                until=Condition("rollout_paused", {**where, "paused": paused}),
                timeout_seconds=60,
                **where,
            ),
        ),
        verification=Verification((), 0, 0),
        undo=_UNDO[paused],
        managed_by=git.managed_by(snapshot, item.metadata, raw, _PAUSED),
        git_way=git.way(snapshot, item, f"set spec.paused of Deployment {name} to {str(paused).lower()}").sentence,
        locks=ownership.locks(snapshot, item.metadata),
    )


_UNDO = {True: "Resume the rollout.", False: "Pause the rollout again; pods that are new stay new."}
_action = partial(
    Action,
    family="Workloads",
    tier=1,
    needs=needs,
    rules=(Rule("apps", "deployments", ("get", "patch")),),
    undoable=True,
    noise=("spec.replicas",),
    reference="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pausing-and-resuming-a-deployment",
)
_GUARDS = ("it is not so already", "no operator stands above it", "Argo CD would not set it back at once")

PAUSE = _action(
    slug="pause-rollout",
    title="Pause a rollout",
    summary="Hold a Deployment: pods stay as they are, and a new template starts no new ones.",
    params=PauseParams,
    draft=pause,
    undo=_UNDO[True],
    guards=_GUARDS,
    verified_by="The controller has seen that the Deployment is paused.",
)
RESUME = _action(
    slug="resume-rollout",
    title="Resume a rollout",
    summary="Let a paused Deployment go on, and wait for what was held back.",
    params=ResumeParams,
    draft=resume,
    undo=_UNDO[False],
    guards=_GUARDS,
    verified_by="The rollout is complete by the rules of kubectl rollout status; then the check workload_ready holds.",
)
