"""*Restart what an operator runs*: Prometheus or Alertmanager, through its custom resource (K28).

An operator sets its StatefulSets back at once, so the restart is asked of it: an annotation of the pods in the custom
resource, which it copies into the pod template of every StatefulSet it makes from it (one per shard).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

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
from deployments.catalogue.seen import Line, Outlook, Seen
from deployments.catalogue.workloads import git, narration, pods, rolling, rollout, targets
from deployments.catalogue.workloads.asked import Hold, Name, Namespace, Patience
from deployments.catalogue.workloads.targets import KINDS
from integrations.kubernetes.objects import Pod, Workload
from integrations.kubernetes.parts import KubeObject
from monitoring.checks.text import count, listing
from monitoring.snapshot import Need, Objects, Raw, Snapshot

_KIND = "StatefulSet"
_RESOURCES = {
    "Prometheus": "prometheuses.monitoring.coreos.com",
    "Alertmanager": "alertmanagers.monitoring.coreos.com",
}
#: on the pods: which run asked for them, so that the wait knows the new template from the old one
_ASKED = "portal.remediation/restart"
_PATH: git.Path = ("spec", "podMetadata", "annotations", _ASKED)
_UNDO = "Not needed: only an annotation of the pods is left. Taking it out would restart them again."
_MEANWHILE = {
    "Prometheus": "While its only pod restarts and reads its log again, nothing is scraped and no alert is evaluated.",
    "Alertmanager": "While its only pod restarts, no notification is sent.",
}


class RestartOperatedParams(Params, frozen=True):
    """Which custom resource."""

    namespace: Namespace
    name: Name
    kind: Annotated[Literal["Prometheus", "Alertmanager"], msgspec.Meta(description="Kind")] = "Prometheus"
    hold_seconds: Hold = 30
    rollout_seconds: Patience = 900


def needs(_snapshot: Snapshot, params: RestartOperatedParams) -> Iterable[Need]:
    """The custom resource, also whole, its StatefulSets, their pods, and what their end touches."""
    yield Objects(_RESOURCES[params.kind], params.namespace)
    yield Raw(_RESOURCES[params.kind], params.namespace, params.name)
    yield from rolling.needs(_KIND, params.namespace)


def draft(snapshot: Snapshot, params: RestartOperatedParams) -> PlanDraft:
    """One patch of the custom resource and the wait for all its StatefulSets. :raises CannotPlan: none of that name."""
    resource = _RESOURCES[params.kind]
    owner: KubeObject | None = snapshot.get(resource, params.namespace, params.name)
    raw = snapshot.raw(resource, params.namespace, params.name)
    if owner is None or raw is None:
        raise CannotPlan(f"There is no {params.kind} {params.name} in namespace {params.namespace}.")
    mine = sets_of(snapshot, params.namespace, owner.metadata.uid)
    where = {"namespace": params.namespace, "name": params.name}
    asked = {_ASKED: "${run.mark}", "kubectl.kubernetes.io/restartedAt": "${run.time}"}
    body = {
        "metadata": {"annotations": {MARK: "${run.mark}"}},
        "spec": {"podMetadata": {"annotations": asked}},
    }
    args = {**where, "owner_uid": owner.metadata.uid, "mark": "${run.mark}", "selector": _selector(mine)}
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            _not_paused(raw),
            _has_sets(mine),
            git.stays(snapshot, owner.metadata, raw, _PATH, "that annotation of the pods"),
        ),
        steps=(
            StepSpec(
                verb="restart",
                title=f"Ask the operator to restart the pods of {params.kind} {params.name}",
                how="merge patch",
                resource=resource,
                effect=Patch("merge", body),
                until=Condition("operated_rolled_out", args),
                timeout_seconds=params.rollout_seconds,
                namespace=params.namespace,
                name=params.name,
            ),
        ),
        verification=Verification(
            tuple(
                CheckSpec(f"{item.metadata.name} is ready", "workload_ready", {**targets.where(item), "kind": _KIND})
                for item in mine
            ),
            params.hold_seconds,
            params.hold_seconds + 120,
        ),
        undo=_UNDO,
        blast=_blast(snapshot, params, mine),
        managed_by=git.managed_by(snapshot, owner.metadata, raw, _PATH),
        locks=ownership.locks(snapshot, owner.metadata),
    )


def sets_of(snapshot: Snapshot, namespace: str, uid: str) -> list[Workload]:
    """The StatefulSets that an operator made for one custom resource, by name. :raises Missing:"""
    found: list[Workload] = snapshot.objects(KINDS[_KIND], namespace)
    owned = [s for s in found if (o := targets.controller(s.metadata)) is not None and o.uid == uid]
    return sorted(owned, key=lambda item: item.metadata.name)


def _selector(mine: list[Workload]) -> str:
    """The pods that the log tells about: of the only StatefulSet, else of none."""
    return targets.selector(mine[0]) if len(mine) == 1 else ""


def _not_paused(raw: Mapping[str, Any]) -> Precondition:
    paused = bool((raw.get("spec") or {}).get("paused"))
    said = "spec.paused: true, so its operator does nothing" if paused else "spec.paused is not set"
    return Precondition("Its operator acts on it", not paused, said)


def _has_sets(mine: list[Workload]) -> Precondition:
    enough = sum(targets.wanted(_KIND, item) for item in mine)
    names = listing(item.metadata.name for item in mine)
    said = f"{names}: {count(enough, 'replica')} wanted" if mine else "no StatefulSet belongs to it"
    return Precondition("The operator runs pods for it", enough > 0, said)


def _blast(snapshot: Snapshot, params: RestartOperatedParams, mine: list[Workload]) -> Blast:
    found: list[Pod] = [pod for item in mine for pod in targets.staying(snapshot, _KIND, item)]
    alone = _MEANWHILE[params.kind] if len(found) == 1 else "One pod after the other is replaced."
    return Blast(
        changed=(f"{params.kind} {params.name}", *(f"{_KIND} {item.metadata.name}" for item in mine)),
        restarted=pods.lines(found),
        budgets=pods.budgets(snapshot, found),
        claims=pods.claims(found),
        endpoints=pods.endpoints_lost(snapshot, found, 1),
        sentence=f"{count(len(found), 'pod')} replaced. {alone}",
    )


# -- the wait


def wait_needs(snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """StatefulSets of the namespace, and the pods that the log tells about."""
    yield Objects(KINDS[_KIND], args["namespace"])
    yield from narration.needs(snapshot, args)


def rolled_out(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """The condition ``operated_rolled_out``: every StatefulSet of this owner has the template that was asked for
    (annotation ``mark``) and is rolled out."""
    mine = sets_of(snapshot, args["namespace"], args["owner_uid"])
    lines, remembered = narration.tell(snapshot, args, memory)
    if not mine:
        return Seen(Outlook.NOT_YET, "Waiting for the operator to make a StatefulSet.", lines, remembered)
    old = [s for s in mine if s.spec.template.metadata.annotations.get(_ASKED) != args["mark"]]
    if old:
        sentence = f"Waiting for the operator to give {old[0].metadata.name} the new template."
        return Seen(Outlook.NOT_YET, sentence, lines, remembered)
    for item in mine:
        where = {**targets.where(item), "kind": _KIND}
        seen = rollout.rolled_out(snapshot, where, {k: v for k, v in memory.items() if k == "effect_at"})
        if seen.outlook is not Outlook.MET:
            said = f"{item.metadata.name}: {seen.sentence}{narration.held_up(snapshot, args)}"
            return Seen(seen.outlook, said, lines, remembered)
    done = Line(f"{listing(item.metadata.name for item in mine)}: rolled out", "good")
    return Seen(Outlook.MET, "Every pod runs from the new template.", (*lines, done), remembered)


ACTION = Action(
    slug="restart-operator-managed",
    title="Restart Prometheus or Alertmanager",
    family="Workloads",
    tier=1,
    summary="Let the Prometheus operator replace the pods of a Prometheus or an Alertmanager.",
    params=RestartOperatedParams,
    needs=needs,
    draft=draft,
    rules=tuple(
        Rule("monitoring.coreos.com", plural, ("get", "patch")) for plural in ("prometheuses", "alertmanagers")
    ),
    undo=_UNDO,
    guards=(
        "the custom resource is not paused, so its operator acts",
        "the operator runs pods for it",
        "Git does not name the annotation, so Argo CD leaves it",
    ),
    verified_by="Every StatefulSet of it has the new template and is rolled out; then the check workload_ready holds.",
    reference="https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.EmbeddedObjectMetadata",
)
