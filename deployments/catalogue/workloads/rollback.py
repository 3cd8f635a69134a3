"""*Roll back a Deployment* to the template of an older revision (``kubectl rollout undo``)."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any

import msgspec

from deployments.catalogue.action import MARK, Action, CannotPlan, Patch, PlanDraft, Precondition, Rule
from deployments.catalogue.argo import ownership
from deployments.catalogue.workloads import git, rolling, targets, templates
from deployments.catalogue.workloads.asked import DeploymentParams
from deployments.catalogue.workloads.targets import DEPLOYMENTS, REPLICA_SETS
from integrations.kubernetes.objects import Workload
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Missing, Need, Raw, Snapshot

_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
_KIND = "Deployment"
_UNDO = "Put back the template that is in force now, as a new rollout."


class RollbackParams(DeploymentParams, frozen=True):
    """Which Deployment, and to which revision."""

    revision: Annotated[int, msgspec.Meta(ge=0, description="Revision to go back to; 0 is the one before")] = 0


def needs(snapshot: Snapshot, params: RollbackParams) -> Iterable[Need]:
    """The Deployment and its ReplicaSets, and the whole ReplicaSet of the revision."""
    yield from rolling.needs_of(snapshot, _KIND, params.namespace, params.name)
    yield Raw(DEPLOYMENTS, params.namespace, params.name)
    with suppress(Missing, CannotPlan):
        _, old = _revision(snapshot, params)
        yield Raw(REPLICA_SETS, params.namespace, old.metadata.name)


def draft(snapshot: Snapshot, params: RollbackParams) -> PlanDraft:
    """One patch that replaces the template. :raises CannotPlan: no such Deployment or revision."""
    item = targets.find(snapshot, _KIND, params.namespace, params.name)
    number, old = _revision(snapshot, params)
    raw = snapshot.raw(DEPLOYMENTS, params.namespace, params.name)
    kept = snapshot.raw(REPLICA_SETS, params.namespace, old.metadata.name)
    if raw is None or kept is None:
        raise CannotPlan(f"Revision {number} of Deployment {params.name} went away while the plan was made.")
    template = templates.without_labels(templates.plain(kept["spec"]["template"]), _HASH)
    templates.refuse_placeholders(template)
    current = templates.plain(raw["spec"]["template"])
    what, same = _changes(current, template), current == template
    line = f"kubectl -n {params.namespace} rollout undo deployment/{params.name} --to-revision={number}"
    # what the Deployment itself still holds is put in again when the patch is sent; the plan never carries it
    template = templates.masked(template, raw, "/spec/template")
    templates.refuse_credentials(template, f"The template of revision {number}", f"run {line}")
    body = {
        "metadata": {"annotations": {MARK: "${run.mark}"}},
        "spec": {"template": {"$patch": "replace", **template}},
    }
    return PlanDraft(
        params={**msgspec.to_builtins(params), "revision": number},
        preconditions=(
            rolling.not_paused(item),
            _differs(number, same, what),
            targets.nobody_above(_KIND, item.metadata),
            git.stays(snapshot, item.metadata, raw, git.TEMPLATE, "the pod template"),
        ),
        steps=(
            rolling.step(
                _KIND,
                item,
                Patch("strategic", body),
                verb="roll back",
                title=f"Put the template of revision {number} back on {params.name}",
                how="strategic merge patch",
                seconds=params.rollout_seconds,
            ),
        ),
        verification=rolling.verification(_KIND, item, params.hold_seconds),
        undo=_UNDO,
        blast=rolling.blast(snapshot, _KIND, item, what),
        managed_by=git.managed_by(snapshot, item.metadata, raw, git.TEMPLATE),
        git_way=git.way(snapshot, item, f"revert the change of Deployment {params.name} that came after it").sentence,
        locks=ownership.locks(snapshot, item.metadata),
    )


def _revision(snapshot: Snapshot, params: RollbackParams) -> tuple[int, Workload]:
    """The revision meant and its ReplicaSet; the highest one is in force. :raises CannotPlan, Missing:"""
    item = targets.find(snapshot, _KIND, params.namespace, params.name)
    found = {_number(rs): rs for rs in targets.replica_sets(snapshot, item)}
    found.pop(0, None)
    older = sorted(found)[:-1]
    if not older:
        raise CannotPlan(f"Deployment {params.name} keeps no older revision to go back to.")
    number = params.revision or older[-1]
    if number not in found:
        there = listing(map(str, sorted(found)), most=20)
        raise CannotPlan(f"Deployment {params.name} keeps no revision {number}. It keeps {there}.")
    return number, found[number]


def _number(rs: Workload) -> int:
    text = rs.metadata.annotations.get(_REVISION, "")
    return int(text) if text.isdigit() and len(text) < 10 else 0


def _differs(number: int, same: bool, what: str) -> Precondition:
    said = f"revision {number} is the template in force" if same else what
    return Precondition(f"Revision {number} differs from what runs", not same, said)


def _changes(current: dict[str, Any], template: dict[str, Any]) -> str:
    """The images that change, or that something else does."""
    before, after = templates.images(current), templates.images(template)
    moved = [
        f"{name}: {before.get(name) or 'not there'} → {after.get(name) or 'gone'}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return f"Images: {clean('; '.join(moved), 400)}." if moved else "No image changes, other fields of the template do."


ACTION = Action(
    slug="rollback-deployment",
    title="Roll back a Deployment",
    family="Workloads",
    tier=1,
    summary="Put the pod template of an older revision back and wait for the rollout.",
    params=RollbackParams,
    needs=needs,
    draft=draft,
    rules=(Rule("apps", "deployments", ("get", "patch")),),
    undo=_UNDO,
    undoable=True,
    noise=("spec.replicas",),
    guards=(
        "the rollout is not paused",
        "the revision is kept as a ReplicaSet and differs from what runs",
        "Argo CD would not set it back at once",
        "the old template holds no literal credential but those that the Deployment still holds",
    ),
    verified_by="The rollout is complete by the rules of kubectl rollout status; then the check workload_ready holds.",
    reference="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-back-a-deployment",
)
