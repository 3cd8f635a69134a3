"""*Scale a workload* (K2). To no replicas at all is another thing: it stops, which is tier 2 and says what is lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

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
from deployments.catalogue.workloads import firing, git, pods, rolling, targets
from deployments.catalogue.workloads.asked import Hold, Name, Namespace, Patience
from deployments.catalogue.workloads.targets import KINDS
from integrations.kubernetes.jobs import Autoscaler
from integrations.kubernetes.objects import Pod, Workload
from monitoring.checks.text import count
from monitoring.snapshot import Need, Objects, Raw, Snapshot

_AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
_UNDO = "Set the number of replicas back to what it is now."

_ASKS_NOBODY = "Scaling down does not ask disruption budgets."

Scalable = Literal["Deployment", "StatefulSet"]


class ScaleParams(Params, frozen=True):
    """Which workload, to how many replicas."""

    namespace: Namespace
    name: Name
    replicas: Annotated[int, msgspec.Meta(ge=0, le=1000, description="Replicas; 0 stops it")]
    kind: Annotated[Scalable, msgspec.Meta(description="Kind")] = "Deployment"
    hold_seconds: Hold = 30
    rollout_seconds: Patience = 600


def needs(snapshot: Snapshot, params: ScaleParams) -> Iterable[Need]:
    """The workload, its pods and what their end touches, autoscalers, and the whole workload to see who writes it."""
    yield from rolling.needs_of(snapshot, params.kind, params.namespace, params.name)
    yield Objects(_AUTOSCALERS, params.namespace)
    yield Raw(KINDS[params.kind], params.namespace, params.name)
    if params.replicas == 0:
        yield firing.NEED


def draft(snapshot: Snapshot, params: ScaleParams) -> PlanDraft:
    """One patch of the number and the wait until it is reached. :raises CannotPlan: no such workload."""
    kind, replicas = params.kind, params.replicas
    item = targets.find(snapshot, kind, params.namespace, params.name)
    where = targets.where(item)
    raw = snapshot.raw(KINDS[kind], params.namespace, params.name)
    if raw is None:
        raise CannotPlan(f"{kind} {params.name} went away while the plan was made.")
    body = {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"replicas": replicas}}
    args = {**where, "kind": kind, "replicas": replicas, "selector": targets.selector(item)}
    change = f"set spec.replicas of {kind} {params.name} to {replicas}"
    way = git.way(snapshot, item, change, {"replicas": replicas})
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=tuple(_preconditions(snapshot, kind, item, raw, replicas)),
        steps=(
            StepSpec(
                verb="scale" if replicas else "stop",
                title=f"Set {params.name} to {count(replicas, 'replica')}",
                how="merge patch",
                resource=KINDS[kind],
                effect=Patch("merge", body),
                until=Condition("workload_scaled", args),
                timeout_seconds=params.rollout_seconds,
                **where,
            ),
        ),
        # nothing runs then, so no check of the workload could read verified: the step's wait for its last pod is it
        verification=rolling.ready(kind, item, params.hold_seconds) if replicas else Verification((), 0, 0),
        undo=_UNDO,
        blast=_blast(snapshot, params, item) if replicas else _end(snapshot, params, item),
        managed_by=git.managed_by(snapshot, item.metadata, raw, git.REPLICAS),
        git_way=way.sentence,
        git_patch=way.text,
        git_change=way.change,
        locks=ownership.locks(snapshot, item.metadata),
        tier=None if replicas else 2,
    )


def _preconditions(
    snapshot: Snapshot, kind: str, item: Workload, raw: dict[str, Any], replicas: int
) -> Iterable[Precondition]:
    now = targets.wanted(kind, item)
    yield Precondition(
        f"It does not want {count(replicas, 'replica')} already",
        now != replicas,
        f"spec.replicas: {now}, {targets.ready(kind, item)} ready",
    )
    yield targets.nobody_above(kind, item.metadata, "spec.replicas")
    yield _no_autoscaler(snapshot, kind, item)
    if kind == "StatefulSet" and replicas < now:
        yield _claims_stay(raw)
    yield git.stays(snapshot, item.metadata, raw, git.REPLICAS, "spec.replicas")


def _no_autoscaler(snapshot: Snapshot, kind: str, item: Workload) -> Precondition:
    """An autoscaler sets the number again within seconds (and is switched off by 0 replicas)."""
    sentence = "No autoscaler decides the number"
    found: list[Autoscaler] = snapshot.objects(_AUTOSCALERS, item.metadata.namespace)
    mine = [
        a
        for a in sorted(found, key=lambda a: a.metadata.name)
        if (a.spec.scale_target_ref.kind, a.spec.scale_target_ref.name) == (kind, item.metadata.name)
    ]
    if not mine:
        return Precondition(sentence, True, f"none of {count(len(found), 'autoscaler')} here is about it")
    one = mine[0]
    least = 1 if one.spec.min_replicas is None else one.spec.min_replicas
    span = f"{least} to {one.spec.max_replicas} replicas"
    name = f"HorizontalPodAutoscaler {one.metadata.name}"
    return Precondition(sentence, False, f"{name} keeps {span}; change its limits instead")


def _claims_stay(raw: dict[str, Any]) -> Precondition:
    """A StatefulSet may be told to delete the data of the pods it gives up."""
    policy = (raw.get("spec") or {}).get("persistentVolumeClaimRetentionPolicy") or {}
    when = str(policy.get("whenScaled") or "Retain")
    said = f"persistentVolumeClaimRetentionPolicy.whenScaled: {when}"
    return Precondition("The claims of the pods that end are kept", when == "Retain", said)


def _blast(snapshot: Snapshot, params: ScaleParams, item: Workload) -> Blast:
    kind, now = params.kind, targets.wanted(params.kind, item)
    changed = (f"{kind} {params.name}",)
    mine = targets.staying(snapshot, kind, item)
    if params.replicas >= now:
        more = params.replicas - now
        return Blast(changed=changed, sentence=f"{count(more, 'pod')} more; none of the {len(mine)} there is touched.")
    leaving = max(0, len(mine) - params.replicas)
    if kind == "StatefulSet":
        going = [pod for pod in mine if _ordinal(pod) >= params.replicas]
        return Blast(
            changed=changed,
            deleted=pods.lines(going),
            budgets=pods.budgets(snapshot, going),
            claims=pods.claims(going),
            endpoints=pods.endpoints_lost(snapshot, going),
            sentence=f"{count(len(going), 'pod')} with the highest ordinals end. {_ASKS_NOBODY}",
        )
    return Blast(
        changed=changed,
        budgets=pods.budgets(snapshot, mine),
        sentence=f"{leaving} of {count(len(mine), 'pod')} end; the ReplicaSet controller picks which. {_ASKS_NOBODY}",
    )


def _ordinal(pod: Pod) -> int:
    tail = pod.metadata.name.rpartition("-")[2]
    return int(tail) if tail.isdigit() and len(tail) < 10 else 0


def _end(snapshot: Snapshot, params: ScaleParams, item: Workload) -> Blast:
    """Everything of it ends: its Services lose their endpoints for good, and alerts that name it will fire."""
    mine = targets.staying(snapshot, params.kind, item)
    lost = pods.endpoints_lost(snapshot, mine)
    names = {params.name, *(line.split()[1] for line in lost)}
    return Blast(
        changed=(f"{params.kind} {params.name}",),
        deleted=pods.lines(mine),
        budgets=pods.budgets(snapshot, mine),
        claims=pods.claims(mine),
        endpoints=lost,
        alerts=firing.lines(snapshot, params.namespace, names),
        sentence=f"{_all(len(mine))} none comes back until it is scaled up. {_ASKS_NOBODY}",
    )


def _all(pods_there: int) -> str:
    return "Its only pod ends and" if pods_there == 1 else f"All {pods_there} pods end and"


ACTION = Action(
    slug="scale-workload",
    title="Scale a workload",
    family="Workloads",
    tier=1,
    summary="Set the number of replicas of a Deployment or StatefulSet. To none (stopping it) is tier 2.",
    params=ScaleParams,
    needs=needs,
    draft=draft,
    rules=tuple(Rule("apps", plural, ("get", "patch")) for plural in ("deployments", "statefulsets")),
    undo=_UNDO,
    undoable=True,
    guards=(
        "no HorizontalPodAutoscaler decides the number",
        "Argo CD does not set it back at once: with selfHeal it does when Git names spec.replicas",
        "no operator stands above it",
        "a StatefulSet keeps the claims of the pods it gives up",
    ),
    verified_by="So many replicas are there and ready, then the check workload_ready holds; with none, the last pod is "
    "gone.",
    reference="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#scaling-a-deployment",
)
