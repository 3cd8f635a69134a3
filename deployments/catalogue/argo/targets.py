"""The Application an action is about: how it is named and found, and what must hold before it is touched."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated

import msgspec

from deployments.catalogue.action import CannotPlan, Condition, Params, Precondition, StepSpec
from deployments.catalogue.argo import calls, ownership, reading
from integrations.kubernetes.custom import Application, AppResource
from integrations.kubernetes.kinds import BY_KIND
from monitoring.checks import sync_windows
from monitoring.snapshot import Need, Objects, Snapshot
from monitoring.verdict import Ref

PROJECTS = "appprojects.argoproj.io"
NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"


class ApplicationParams(Params, frozen=True):
    """Which Application."""

    application: Annotated[str, msgspec.Meta(min_length=1, pattern=NAME, description="Application")]
    namespace: Annotated[str, msgspec.Meta(pattern=NAME, description="Its namespace; empty: found in the cluster")] = ""


class VerifiedParams(ApplicationParams, frozen=True):
    """Which Application, and how long its checks are looked at."""

    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600, description="How long all checks must hold")] = 30
    verify_seconds: Annotated[int, msgspec.Meta(ge=1, le=7200, description="When verifying gives up")] = 600


def needs(_snapshot: Snapshot, _params: ApplicationParams) -> Iterable[Need]:
    """Applications (parents may be anywhere) and their projects."""
    return (Objects(calls.APPLICATIONS), Objects(PROJECTS))


def find(snapshot: Snapshot, params: ApplicationParams) -> Application:
    """The Application that is meant. :raises CannotPlan: none, or several. :raises Missing: not read."""
    every: list[Application] = snapshot.objects(calls.APPLICATIONS)
    apps = [
        app
        for app in every
        if app.metadata.name == params.application and params.namespace in ("", app.metadata.namespace)
    ]
    if len(apps) > 1:
        places = ", ".join(sorted(app.metadata.namespace for app in apps))
        raise CannotPlan(f"There are Applications {params.application} in {places}; say which by the namespace.")
    if not apps:
        where = f" in {params.namespace}" if params.namespace else ""
        known = reading.some(sorted(app.metadata.name for app in every)) or "none"
        raise CannotPlan(f"There is no Application {params.application}{where}. There are: {known}.")
    return apps[0]


def where(app: Application) -> dict[str, str]:
    """The Application as arguments of a condition or a check."""
    return {"namespace": app.metadata.namespace, "name": app.metadata.name}


def named(app: Application) -> dict[str, str]:
    """The Application as parameters."""
    return {"application": app.metadata.name, "namespace": app.metadata.namespace}


def step(app: Application) -> partial[StepSpec]:
    """A step on the Application itself."""
    return partial(StepSpec, resource=calls.APPLICATIONS, namespace=app.metadata.namespace, name=app.metadata.name)


def refresh_step(app: Application, mode: str = "normal") -> StepSpec:
    """Ask Argo CD to compare, and wait until it has."""
    return step(app)(
        verb="refresh",
        title=f"Refresh {app.metadata.name}, {mode}",
        how="merge patch",
        timeout_seconds=180,
        effect=calls.refresh_patch(mode),
        until=Condition("argocd_refreshed", where(app)),
    )


def ref(resource: AppResource) -> Ref:
    """An object of an Application as a target."""
    known = BY_KIND.get((resource.group, resource.kind))
    namespace = "" if known is not None and not known.namespaced else resource.namespace
    return Ref(kind=resource.kind, name=resource.name, namespace=namespace, group=resource.group)


def label(resource: AppResource) -> str:
    """``Kind name``."""
    return f"{resource.kind} {resource.name}"


def counted(number: int) -> str:
    """``1 object``, ``2 objects``."""
    return f"{number} object{'' if number == 1 else 's'}"


def ordered(resources: Iterable[AppResource]) -> list[AppResource]:
    """In a fixed order: it is part of the plan's hash."""
    return sorted(resources, key=lambda r: (r.group, r.kind, r.namespace, r.name))


# -- preconditions


def alive(app: Application) -> Precondition:
    """It is not being deleted."""
    at = app.metadata.deletion_timestamp
    evidence = f"deletion asked for at {at:%F %T}" if at else f"namespace {app.metadata.namespace}"
    return Precondition(f"Application {app.metadata.name} exists and is not being deleted", at is None, evidence)


def idle(app: Application) -> Precondition:
    """No operation is requested or running, and no stale state stands in the way."""
    sentence = "No operation is running"
    state = app.status.operation_state
    if app.operation is not None:
        since = f" since {state.started_at:%F %T}" if state is not None and state.started_at else ""
        who = reading.initiator(app.operation)
        return Precondition(sentence, False, f"one that {who} started runs{since}; wait, or terminate it")
    if state is not None and state.phase in reading.BUSY:
        return Precondition(sentence, False, f"none, but its state says {state.phase}: clear the stale operation first")
    return Precondition(sentence, True, f"the last one ended {state.phase}" if state is not None else "none yet")


def window_open(snapshot: Snapshot, app: Application) -> Precondition:
    """No sync window forbids a person's sync. :raises Missing: projects were not read."""
    sentence = "No sync window is closed"
    project = snapshot.get(PROJECTS, app.metadata.namespace, app.spec.project)
    if project is None:
        return Precondition(sentence, False, f"AppProject {app.spec.project} is not there")
    closed = sync_windows.closed_by(project.spec.sync_windows, app, snapshot.taken_at)
    count = len(project.spec.sync_windows)
    return Precondition(sentence, not closed, closed or f"project {app.spec.project} has {count} windows, none forbids")


def comparable(app: Application) -> Precondition:
    """Argo CD can render the source, so a sync has something to apply."""
    sentence = "Argo CD can compare it with Git"
    errors = [c for c in app.status.conditions if c.type in ("ComparisonError", "InvalidSpecError")]
    if errors:
        return Precondition(sentence, False, f"{errors[0].type}: {reading.clean(errors[0].message)}")
    known = app.status.sync.status in ("Synced", "OutOfSync")
    return Precondition(sentence, known, f"sync {app.status.sync.status or 'not known yet: refresh it first'}")


def same_names(app: Application) -> Precondition:
    """Else a sync would install everything a second time beside what runs (facts: A9)."""
    sentence = "A sync renders the names that run now"
    rendered = [r for r in app.status.resources if not r.hook and not r.requires_pruning]
    there = [r for r in rendered if r.status == "Synced" or (r.health is not None and reading.is_live(r))]
    source = app.spec.source
    release = source.helm.release_name if source is not None and source.helm is not None else ""
    place = f"destination {app.spec.destination.namespace}{f', release {release}' if release else ''}"
    if rendered and not there and app.status.history and app.status.health.status == "Missing":
        evidence = f"none of the {len(rendered)} rendered objects is there, and it was synced before; {place}"
        return Precondition(sentence, False, f"{evidence}. Compare release name and destination with what runs first")
    return Precondition(sentence, True, f"{len(there)} of {len(rendered)} rendered objects are there; {place}")


def not_reverted(app: Application, apps: list[Application], *paths: str) -> Precondition:
    """Nobody sets a live edit of these fields back at once (facts: 2.4)."""
    sentence = "A live change of its spec stays"
    name, parent = reading.parent_of(app, apps)
    if name and parent is None and not ownership.set_of(app):
        return Precondition(sentence, False, f"{name} manages it and could not be read")
    by = ownership.reverted_by(app, apps, *paths)
    if by:
        return Precondition(sentence, False, f"{by} reverts it within seconds. {ownership.pause_hint(app, apps)}")
    if parent is None:
        return Precondition(sentence, True, "no other Application manages it")
    healing = "ignores what changes" if reading.heals(parent) else "selfHeal off"
    return Precondition(sentence, True, f"{name} manages it, {healing}: it stays until its next sync")


def managed_by(app: Application, apps: list[Application], *, asks: bool = True) -> str:
    """Who manages the Application. ``asks``: the plan asks Argo CD itself to do something, so nothing is reverted."""
    name, parent = reading.parent_of(app, apps)
    above = ""
    if name:
        above = f" Its parent {name} has selfHeal {'on' if parent and reading.heals(parent) else 'off'}."
    if not asks:
        by = ownership.reverted_by(app, apps)
        above = f"{above} A live change of its spec will be reverted by {by}." if by else above
        return f"{app.metadata.name} is itself an Application of Argo CD.{above or ' No other one manages it.'}"
    return (
        f"Managed by Argo CD app {app.metadata.name}, selfHeal {'on' if reading.heals(app) else 'off'}. This plan asks "
        f"Argo CD itself to do it, so nothing of it will be reverted.{above}"
    )
