"""*Repair Grafana in place*: let Argo CD apply Grafana's own objects again, wait until it answers, then sync the whole.

For an Application whose last sync failed and whose Grafana Deployment is gone: Argo CD tries a revision once, so
nothing happens until somebody syncs (facts: A1, A2, option D). Changes nothing in Git and no value; prunes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Annotated

import msgspec

from deployments.catalogue.action import (
    Action,
    Blast,
    CannotPlan,
    CheckSpec,
    Condition,
    Params,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls, helm, reading, windows
from deployments.catalogue.dashboards import owning
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


class RepairParams(Params, frozen=True):
    """Where Grafana's Application is. Left empty, everything is found in the cluster."""

    application: Annotated[str, msgspec.Meta(pattern=_NAME, description="Argo CD Application that renders Grafana")] = (
        ""
    )
    application_namespace: Annotated[str, msgspec.Meta(pattern=_NAME, description="Namespace of that Application")] = ""
    namespace: Annotated[str, msgspec.Meta(pattern=_NAME, description="Namespace Grafana runs in")] = ""
    release: Annotated[str, msgspec.Meta(pattern=_NAME, description="Helm release")] = ""
    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600, description="How long all checks must hold")] = 30
    verify_seconds: Annotated[int, msgspec.Meta(ge=1, le=7200, description="When verifying gives up")] = 300
    rollout_seconds: Annotated[int, msgspec.Meta(ge=5, le=7200, description="How long the rollout may take")] = 480


def needs(snapshot: Snapshot, params: RepairParams) -> Iterable[Need]:
    """Applications and their projects; then the Deployments of the namespace that Grafana is rendered into."""
    yield Objects(calls.APPLICATIONS, params.application_namespace)
    yield Objects("appprojects.argoproj.io")
    with suppress(Missing, CannotPlan):
        owner = owning.find(snapshot, params.application_namespace, params.application)
        yield Objects("deployments.apps", owner.namespace)


def draft(snapshot: Snapshot, params: RepairParams) -> PlanDraft:
    """The plan for the Application that renders Grafana. :raises CannotPlan, Missing:"""
    owner = owning.find(snapshot, params.application_namespace, params.application)
    filled = RepairParams(
        application=owner.app.metadata.name,
        application_namespace=owner.app.metadata.namespace,
        namespace=params.namespace or owner.namespace,
        release=params.release or owner.release,
        hold_seconds=params.hold_seconds,
        verify_seconds=params.verify_seconds,
        rollout_seconds=params.rollout_seconds,
    )
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS, params.application_namespace)
    return PlanDraft(
        params=msgspec.to_builtins(filled),
        preconditions=tuple(_preconditions(snapshot, owner, filled, apps)),
        steps=tuple(_steps(snapshot, owner, filled)),
        verification=_verification(owner, filled),
        undo=_UNDO.format(name=owner.base),
        blast=_blast(snapshot, owner),
        managed_by=_managed_by(owner, apps),
        git_way=_git_way(owner),
        locks=tuple(_ref(r) for r in owner.resources),
    )


# -- preconditions


def _preconditions(
    snapshot: Snapshot, owner: owning.Owner, params: RepairParams, apps: list[Application]
) -> Iterable[Precondition]:
    app = owner.app
    name = app.metadata.name
    deleting = app.metadata.deletion_timestamp
    yield Precondition(
        f"Application {name} exists and is not being deleted",
        deleting is None,
        f"deletion asked for at {deleting:%F %T}" if deleting else f"namespace {app.metadata.namespace}",
    )
    yield _windows(snapshot, app)
    yield _operation(snapshot, app)
    yield _same_names(owner, params)
    yield _enabled(owner)
    yield _password(owner)
    yield _only_grafana(owner)
    yield _parent(app, apps)


def _windows(snapshot: Snapshot, app: Application) -> Precondition:
    sentence = "No sync window is closed"
    project = snapshot.get("appprojects.argoproj.io", app.metadata.namespace, app.spec.project)
    if project is None:
        return Precondition(sentence, False, f"AppProject {app.spec.project} is not there")
    closed = windows.closed_by(project.spec.sync_windows, app, snapshot.taken_at)
    count = len(project.spec.sync_windows)
    return Precondition(sentence, not closed, closed or f"project {app.spec.project} has {count} windows, none forbids")


def _operation(snapshot: Snapshot, app: Application) -> Precondition:
    sentence = "No operation is running, or one that is stuck and will be terminated"
    if app.operation is None:
        state = app.status.operation_state
        last = f"the last one ended {state.phase}" if state is not None else "there was none yet"
        return Precondition(sentence, True, last)
    state = app.status.operation_state
    since = f" since {state.started_at:%F %T}" if state is not None and state.started_at else ""
    stuck = reading.is_stuck(app, snapshot.taken_at)
    return Precondition(sentence, stuck, f"an operation runs{since}{', stuck' if stuck else ', still moving'}")


def _same_names(owner: owning.Owner, params: RepairParams) -> Precondition:
    """Else a sync would install a second stack beside the first (A9)."""
    sentence = "A sync renders the names that run now"
    app = owner.app
    rest = [r for r in app.status.resources if not reading.belongs(r.name, owner.base) and not r.hook]
    there = [r for r in rest if r.status == "Synced"]
    destination = app.spec.destination.namespace
    where = f"destination {destination}, release {owner.release}"
    if params.namespace != owner.namespace:
        return Precondition(sentence, False, f"Grafana is rendered into {owner.namespace}, not {params.namespace}")
    if params.release != owner.release:
        return Precondition(sentence, False, f"the release is {owner.release}, not {params.release}")
    if rest and not there:
        return Precondition(sentence, False, f"none of the {len(rest)} other rendered objects is there; {where}")
    return Precondition(sentence, True, f"{len(there)} of {len(rest)} other rendered objects are there; {where}")


def _enabled(owner: owning.Owner) -> Precondition:
    sentence = "Grafana is enabled in the values"
    if owner.values is None:
        return Precondition(sentence, False, "the values cannot be read")
    enabled = helm.at(owner.values, "enabled")
    return Precondition(sentence, enabled is not False, f"grafana.enabled: {str(enabled is not False).lower()}")


def _password(owner: owning.Owner) -> Precondition:
    """Without one the chart renders a random password each time: OutOfSync for ever, a rollout per sync (G16)."""
    sentence = "The admin password is fixed, so that a sync does not render a new one"
    if helm.at(owner.values, "admin", "existingSecret"):
        return Precondition(sentence, True, "admin.existingSecret is set")
    if helm.at(owner.values, "adminPassword"):
        return Precondition(sentence, True, "adminPassword is set in the values")
    return Precondition(sentence, False, "neither admin.existingSecret nor adminPassword is set")


def _only_grafana(owner: owning.Owner) -> Precondition:
    sentence = "Something of Grafana differs from Git, and nothing else does"
    differ = reading.differing(owner.app)
    others = [f"{r.kind} {r.name}" for r in differ if not reading.belongs(r.name, owner.base)]
    pruned = [f"{r.kind} {r.name}" for r in owner.app.status.resources if r.requires_pruning]
    if others or pruned:
        named = ", ".join((others + pruned)[:4])
        return Precondition(sentence, False, f"{len(others)} others differ, {len(pruned)} would be pruned: {named}")
    if not differ:
        return Precondition(sentence, False, "nothing differs: a sync would change nothing")
    return Precondition(sentence, True, ", ".join(f"{r.kind} {r.name} {reading.describe(r)}" for r in differ[:6]))


def _parent(app: Application, apps: list[Application]) -> Precondition:
    sentence = "What manages this Application is known and does not revert the plan"
    name, parent = reading.parent_of(app, apps)
    if not name:
        return Precondition(sentence, True, "no other Application manages it")
    if parent is None:
        return Precondition(sentence, False, f"{name} manages it and could not be read")
    healing = "on" if reading.heals(parent) else "off"
    return Precondition(sentence, True, f"{name}, selfHeal {healing}; it compares the spec, which stays as it is")


# -- steps


def _steps(snapshot: Snapshot, owner: owning.Owner, params: RepairParams) -> Iterable[StepSpec]:
    app = owner.app
    where = {"namespace": app.metadata.namespace, "name": app.metadata.name}
    step = partial(StepSpec, resource=calls.APPLICATIONS, namespace=app.metadata.namespace, name=app.metadata.name)
    if reading.is_stuck(app, snapshot.taken_at):
        yield step(
            verb="terminate",
            title="Terminate the stuck operation",
            how="merge patch",
            timeout_seconds=180,
            effect=calls.terminate_patch(),
            guards=(Condition("argocd_running", where),),
            until=Condition("argocd_idle", where),
            irreversible=True,
        )
    yield step(
        verb="refresh",
        title=f"Refresh {app.metadata.name}, hard",
        how="merge patch",
        timeout_seconds=180,
        effect=calls.refresh_patch(),
        until=Condition("argocd_refreshed", where),
    )
    yield step(
        verb="compare",
        title=f"Compare: stop unless only {owner.base} differs",
        how="read",
        timeout_seconds=60,
        until=Condition("argocd_only_differs", {**where, "base": owner.base}),
    )
    yield _sync(owner, f"Sync {len(owner.resources)} Grafana objects, prune off", owner.resources)
    yield _rollout(owner, params)
    yield _sync(owner, "Sync everything once, so that it enters history", [])


def _sync(owner: owning.Owner, title: str, resources: list[AppResource]) -> StepSpec:
    """One operation of Argo CD, started only while none runs and nothing but Grafana differs."""
    where = {"namespace": owner.app.metadata.namespace, "name": owner.app.metadata.name}
    only = Condition("argocd_only_differs", {**where, "base": owner.base})
    return StepSpec(
        verb="sync",
        title=title,
        how="Argo CD",
        resource=calls.APPLICATIONS,
        namespace=where["namespace"],
        name=where["name"],
        timeout_seconds=600,
        effect=calls.sync_patch(owner.app, resources),
        guards=(Condition("argocd_idle", where), only),
        until=Condition("argocd_operation_done", {**where, "mark": "${run.mark}"}),
    )


def _rollout(owner: owning.Owner, params: RepairParams) -> StepSpec:
    selector = f"app.kubernetes.io/instance={owner.release},app.kubernetes.io/name=grafana"
    where = {"namespace": params.namespace, "name": owner.base}
    return StepSpec(
        verb="wait",
        title=f"Wait for the rollout of {owner.base}",
        how="read",
        resource="deployments.apps",
        namespace=params.namespace,
        name=owner.base,
        timeout_seconds=params.rollout_seconds,
        until=Condition("rolled_out", {**where, "selector": selector}),
    )


def _verification(owner: owning.Owner, params: RepairParams) -> Verification:
    app = owner.app.metadata
    selector = "app.kubernetes.io/name=grafana"
    return Verification(
        checks=(
            CheckSpec(
                "Workload is ready",
                "workload_ready",
                {"namespace": params.namespace, "selector": selector, "kind": "Deployment"},
            ),
            CheckSpec(
                "Service has endpoints", "service_has_endpoints", {"namespace": params.namespace, "selector": selector}
            ),
            CheckSpec("Grafana answers", "grafana_health", {"namespace": params.namespace}),
            CheckSpec("Argo CD agrees", "argocd_application", {"namespace": app.namespace, "name": app.name}),
        ),
        hold_seconds=params.hold_seconds,
        timeout_seconds=max(params.verify_seconds, params.hold_seconds + 5),
    )


# -- words


def _blast(snapshot: Snapshot, owner: owning.Owner) -> Blast:
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
    return Blast(
        created=names(missing),
        changed=names(changed),
        unchanged=names(same),
        sentence=f"Not touched: the {rest} other objects of {owner.app.metadata.name}; nothing is pruned or deleted.",
    )


def _managed_by(owner: owning.Owner, apps: list[Application]) -> str:
    app = owner.app
    healing = "selfHeal on" if reading.heals(app) else "selfHeal off"
    name, parent = reading.parent_of(app, apps)
    above = f" Its parent {name} has selfHeal {'on' if parent and reading.heals(parent) else 'off'}." if name else ""
    return (
        f"Managed by Argo CD app {app.metadata.name}, {healing}. This plan asks Argo CD itself to apply what Git says, "
        f"so nothing of it will be reverted.{above}"
    )


def _git_way(owner: owning.Owner) -> str:
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
    summary="Hard refresh, sync of Grafana's own objects, wait for the rollout, one full sync. Git stays as it is.",
    params=RepairParams,
    needs=needs,
    draft=draft,
    rules=(Rule("argoproj.io", "applications", ("get", "patch")),),
    undo="Not needed: Git is the desired state.",
)

__all__ = ["ACTION", "RepairParams"]
