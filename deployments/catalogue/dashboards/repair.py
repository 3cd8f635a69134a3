"""*Repair Grafana in place* (the report's option D): change what the diagnosis says must change in the values, let Argo
CD apply Grafana's own objects again, wait until it answers, then sync the whole.

For an Application whose last sync failed and whose Grafana Deployment is gone a sync is all: Argo CD tries a revision
once, so nothing happens until somebody syncs (facts: A1, A2). Where the diagnosis names a cause in the values, these
change: through Git first, and live only when nobody above the Application reverts that at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated

import msgspec

from deployments.catalogue import texts
from deployments.catalogue.action import Action, Blast, CannotPlan, Params, PlanDraft, Rule
from deployments.catalogue.argo import calls, helm, reading
from deployments.catalogue.argo.values import Edit
from deployments.catalogue.dashboards import owning, repair_checks, repair_steps, repair_values
from deployments.catalogue.dashboards.chart import Recipe
from deployments.catalogue.dashboards.repair_checks import Expected
from deployments.catalogue.dashboards.repair_values import Change
from integrations.kubernetes.custom import Application, AppResource
from integrations.kubernetes.kinds import BY_KIND
from monitoring.snapshot import Missing, Need, Objects, Snapshot
from monitoring.verdict import Ref

SLUG = "repair-grafana-in-place"
_NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
_UNDO = (
    "Nothing to undo in Git: it is the desired state that this plan applies. What it creates can be removed again by "
    "deleting Deployment {name} by its uid; Argo CD would then show it as missing, as before."
)
_UNDO_VALUES = (
    "Put the values back in Git, or live by set-helm-values with {before}. A Secret and a claim that were kept stay."
)


class RepairParams(Params, frozen=True):
    """Where Grafana's Application is. Left empty, everything is found in the cluster."""

    application: Annotated[
        str,
        msgspec.Meta(
            pattern=_NAME, description="Argo CD Application that renders Grafana; empty: found in the cluster"
        ),
    ] = ""
    application_namespace: Annotated[
        str, msgspec.Meta(pattern=_NAME, description="Namespace of that Application; empty: found in the cluster")
    ] = ""
    namespace: Annotated[
        str, msgspec.Meta(pattern=_NAME, description="Namespace Grafana runs in; empty: found in the cluster")
    ] = ""
    release: Annotated[str, msgspec.Meta(pattern=_NAME, description="Helm release; empty: found in the cluster")] = ""
    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600, description="How long all checks must hold")] = 30
    verify_seconds: Annotated[int, msgspec.Meta(ge=1, le=7200, description="When verifying gives up")] = 300
    recipe: Annotated[
        Recipe,
        msgspec.Meta(
            description="How Grafana gets its datasources: V1 collected once at start, V2 native sidecar, V3 a file; "
            "auto as the diagnosis says"
        ),
    ] = "auto"
    fixes: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[a-z, -]{0,200}$",
            description="Other values to change: existing-secret, no-chown, no-persistence, recreate, single-default, "
            "startup, or none; empty: as the diagnosis says",
        ),
    ] = ""
    startup_seconds: Annotated[
        int, msgspec.Meta(ge=60, le=3600, description="How long a first start may take, for the fix startup")
    ] = 330
    rollout_seconds: Annotated[int, msgspec.Meta(ge=5, le=7200, description="How long the rollout may take")] = 480

    def __post_init__(self) -> None:
        with texts.named("fixes"):
            repair_values.parse(self.fixes)


def needs(snapshot: Snapshot, params: RepairParams) -> Iterable[Need]:
    """Applications and their projects; then what the diagnosis of Grafana reads, and what the chart's version is."""
    yield Objects(calls.APPLICATIONS)
    yield Objects("appprojects.argoproj.io")
    with suppress(Missing, CannotPlan):
        owner = owning.find(snapshot, params.application_namespace, params.application)
        yield Objects("deployments.apps", owner.namespace)
        yield Objects("services")
        yield from repair_values.needs(snapshot, owner)


def draft(snapshot: Snapshot, params: RepairParams) -> PlanDraft:
    """The plan for the Application that renders Grafana. :raises CannotPlan, Missing:"""
    owner = owning.find(snapshot, params.application_namespace, params.application)
    change = repair_values.decide(snapshot, owner, params.recipe, params.fixes, params.startup_seconds)
    filled = msgspec.structs.replace(
        params,
        application=owner.app.metadata.name,
        application_namespace=owner.app.metadata.namespace,
        namespace=params.namespace or owner.namespace,
        release=params.release or owner.release,
        recipe=change.recipe,
        fixes=change.names,
    )
    expected = Expected(params.application_namespace, filled.namespace, filled.release)
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS, params.application_namespace)
    undo = _UNDO_VALUES.format(before=_before(owner, change)) if change.edits else _UNDO.format(name=owner.base)
    return PlanDraft(
        params=msgspec.to_builtins(filled),
        preconditions=tuple(repair_checks.preconditions(snapshot, owner, expected, change)),
        steps=tuple(repair_steps.steps(snapshot, owner, change, params.rollout_seconds)),
        verification=repair_steps.verification(owner, params.hold_seconds, params.verify_seconds),
        undo=undo,
        blast=_blast(snapshot, owner, change),
        managed_by=_managed_by(owner, apps, change),
        git_way=_git_way(owner, change),
        git_patch=change.git.text if change.git is not None else "",
        git_change=change.git.change if change.git is not None else None,
        locks=tuple(_ref(r) for r in owner.resources),
    )


# -- words


def _blast(snapshot: Snapshot, owner: owning.Owner, change: Change) -> Blast:
    resources = owner.resources
    running = {(d.metadata.namespace, d.metadata.name) for d in snapshot.objects("deployments.apps", owner.namespace)}

    def names(kept: Iterable[AppResource]) -> tuple[str, ...]:
        return tuple(f"{r.kind} {r.name}" for r in kept)

    def is_missing(r: AppResource) -> bool:
        # Argo CD 3 no longer writes each object's health down; for the workload the cluster itself can be asked
        return reading.describe(r) == "missing" or (r.kind == "Deployment" and (r.namespace, r.name) not in running)

    missing = [r for r in resources if is_missing(r)]
    changed = [r for r in resources if r.status != "Synced" and r not in missing]
    same = [r for r in resources if r.status == "Synced" and r not in missing]
    rest = len(owner.app.status.resources) - len(resources)
    if change.edits:
        return _changed_blast(owner, change, names(missing), rest)
    return Blast(
        created=names(missing),
        changed=names(changed),
        unchanged=names(same),
        sentence=f"Not touched: the {rest} other objects of {owner.app.metadata.name}; nothing is pruned or deleted.",
    )


def _changed_blast(owner: owning.Owner, change: Change, missing: tuple[str, ...], rest: int) -> Blast:
    """With other values the pod is another one, and what the chart no longer renders goes."""
    app, base = owner.app, owner.base
    listed = {f"{r.kind} {r.name}" for r in owner.app.status.resources}
    dropped = [name for name in change.dropped(base) if name in listed]
    claim = repair_steps.claim_of(owner)
    claims = (
        [f"{claim}: Grafana starts without it; it is kept, with what is in it"]
        if f"PersistentVolumeClaim {claim}" in dropped
        else []
    )
    gone = [name for name in dropped if name.partition(" ")[0] != "PersistentVolumeClaim"]
    how = "Argo CD prunes it by itself" if repair_steps.prunes(app) else "it stays until somebody prunes it"
    said = f" No longer rendered: {', '.join(gone)}; {how}." if gone else ""
    return Blast(
        created=(*missing, *(("Secret grafana-admin",) if change.makes_secret else ())),
        changed=(f"Application {app.metadata.name}", f"Deployment {base}"),
        deleted=tuple(gone) if repair_steps.prunes(app) else (),
        restarted=(f"the pod of Deployment {base}",),
        claims=tuple(claims),
        sentence=f"Not touched: the {rest} other objects of {app.metadata.name}.{said}",
    )


def _before(owner: owning.Owner, change: Change) -> str:
    """The present values, as edits that put them back."""
    was = (
        Edit(edit.path, helm.at(owner.values, *edit.path[change.depth :]))
        if helm.at(owner.values, *edit.path[change.depth :]) is not None
        else Edit(edit.path, remove=True)
        for edit in change.edits
    )
    return ", ".join(map(str, was))


def _managed_by(owner: owning.Owner, apps: list[Application], change: Change) -> str:
    app = owner.app
    healing = "selfHeal on" if reading.heals(app) else "selfHeal off"
    name, parent = reading.parent_of(app, apps)
    above = f" Its parent {name} has selfHeal {'on' if parent and reading.heals(parent) else 'off'}." if name else ""
    if change.edits:
        return (
            f"Managed by Argo CD app {app.metadata.name}, {healing}. This plan changes its Helm values, which Argo CD "
            f"then applies itself.{above} Until Git says the same, the next sync of what manages it sets them back."
        )
    return (
        f"Managed by Argo CD app {app.metadata.name}, {healing}. This plan asks Argo CD itself to apply what Git says, "
        f"so nothing of it will be reverted.{above}"
    )


def _git_way(owner: owning.Owner, change: Change) -> str:
    if change.git is not None:
        dropped = f"PersistentVolumeClaim {repair_steps.claim_of(owner)}" in change.dropped(owner.base)
        warned = ""
        if dropped and repair_steps.prunes(owner.app):
            marks = " ".join(f"{key}={value}" for key, value in sorted(repair_steps.KEPT.items()))
            warned = (
                f" Argo CD then prunes claim {owner.base} with what is in it; to keep it, first: kubectl -n "
                f"{owner.namespace} annotate pvc {owner.base} {marks}."
            )
        return f"{change.git.sentence} A changed source makes Argo CD try again by itself.{warned}"
    source = owner.app.spec.source
    where = f" of {source.repo_url}" if source is not None and source.repo_url else ""
    return (
        f"Through Git: any change to the Application's source (a chart version or a value{where}) makes Argo CD try "
        "again by itself. This plan does the same without a commit, because Git already says what is wanted."
    )


def _ref(resource: AppResource) -> Ref:
    known = BY_KIND.get((resource.group, resource.kind))
    namespace = "" if known is not None and not known.namespaced else resource.namespace
    return Ref(kind=resource.kind, name=resource.name, namespace=namespace, group=resource.group)


ACTION = Action(
    slug=SLUG,
    title="Repair Grafana in place",
    family="Grafana",
    tier=1,
    summary="Change what the diagnosis names in Grafana's values, if anything, and let Argo CD apply Grafana again.",
    params=RepairParams,
    needs=needs,
    draft=draft,
    rules=(
        Rule("argoproj.io", "applications", ("get", "patch")),
        Rule("", "secrets", ("get", "create")),
        Rule("", "persistentvolumeclaims", ("get", "patch")),
        Rule("apps", "deployments", ("get", "patch")),
    ),
    undo=(
        "Not needed without a change of values: Git is the desired state. Else put the values back, in Git or with the "
        "values that the plan names (action set-helm-values)."
    ),
    guards=(
        "nothing but Grafana's own objects differs from Git, looked at again just before each sync",
        "no sync window is closed and no operation runs",
        "values are changed live only while nothing above the Application reverts that",
        "a claim that the chart no longer renders is kept",
    ),
    verified_by="Grafana's Deployment is ready behind its Service, Grafana answers, and Argo CD agrees.",
    reference="https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/",
)

__all__ = ["ACTION", "RepairParams"]
