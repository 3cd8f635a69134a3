"""What must hold before Grafana is repaired in place, each with what was read to know. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from deployments.catalogue.action import Precondition
from deployments.catalogue.argo import calls, helm, reading
from deployments.catalogue.dashboards import owning, repair_values
from deployments.catalogue.dashboards.repair_values import Change
from integrations.kubernetes.custom import Application
from monitoring.checks import sync_windows
from monitoring.snapshot import Snapshot


class Expected(NamedTuple):
    """Where the person says that Grafana is, and in which namespace Applications were read."""

    application_namespace: str
    namespace: str
    release: str


def preconditions(
    snapshot: Snapshot, owner: owning.Owner, expected: Expected, change: Change
) -> Iterable[Precondition]:
    """Every precondition with its evidence. :raises Missing:"""
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
    yield _same_names(owner, expected)
    yield _enabled(owner)
    yield _password(owner, change)
    yield _only_grafana(owner, change)
    if not change.edits:
        apps: list[Application] = snapshot.objects(calls.APPLICATIONS, expected.application_namespace)
        yield _parent(app, apps)
    yield from repair_values.preconditions(change)


def for_values(snapshot: Snapshot, owner: owning.Owner, expected: Expected, change: Change) -> Iterable[Precondition]:
    """What must hold for a change of values and the sync after it. :raises Missing:"""
    yield _windows(snapshot, owner.app)
    yield _operation(snapshot, owner.app)
    yield _same_names(owner, expected)
    yield _only_grafana(owner, change)
    yield from repair_values.preconditions(change)


def _windows(snapshot: Snapshot, app: Application) -> Precondition:
    sentence = "No sync window is closed"
    project = snapshot.get("appprojects.argoproj.io", app.metadata.namespace, app.spec.project)
    if project is None:
        return Precondition(sentence, False, f"AppProject {app.spec.project} is not there")
    closed = sync_windows.closed_by(project.spec.sync_windows, app, snapshot.taken_at)
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


def _same_names(owner: owning.Owner, expected: Expected) -> Precondition:
    """Else a sync would install a second stack beside the first (A9)."""
    sentence = "A sync renders the names that run now"
    app = owner.app
    rest = [r for r in app.status.resources if not reading.belongs(r.name, owner.base) and not r.hook]
    there = [r for r in rest if r.status == "Synced"]
    destination = app.spec.destination.namespace
    where = f"destination {destination}, release {owner.release}"
    if expected.namespace != owner.namespace:
        return Precondition(sentence, False, f"Grafana is rendered into {owner.namespace}, not {expected.namespace}")
    if expected.release != owner.release:
        return Precondition(sentence, False, f"the release is {owner.release}, not {expected.release}")
    if rest and not there:
        return Precondition(sentence, False, f"none of the {len(rest)} other rendered objects is there; {where}")
    return Precondition(sentence, True, f"{len(there)} of {len(rest)} other rendered objects are there; {where}")


def _enabled(owner: owning.Owner) -> Precondition:
    sentence = "Grafana is enabled in the values"
    if owner.values is None:
        return Precondition(sentence, False, "the values cannot be read")
    enabled = helm.at(owner.values, "enabled")
    return Precondition(sentence, enabled is not False, f"grafana.enabled: {str(enabled is not False).lower()}")


def _password(owner: owning.Owner, change: Change) -> Precondition:
    """Without one the chart renders a random password each time: OutOfSync for ever, a rollout per sync (G16)."""
    sentence = "The admin password is fixed, so that a sync does not render a new one"
    if change.makes_secret:
        return Precondition(sentence, True, "this plan creates the Secret and refers to it")
    if helm.at(owner.values, "admin", "existingSecret"):
        return Precondition(sentence, True, "admin.existingSecret is set")
    if helm.at(owner.values, "adminPassword"):
        return Precondition(sentence, True, "adminPassword is set in the values")
    return Precondition(sentence, False, "neither admin.existingSecret nor adminPassword is set")


def _only_grafana(owner: owning.Owner, change: Change) -> Precondition:
    sentence = "Something of Grafana differs from Git, and nothing else does"
    if change.edits:
        sentence = "Nothing but Grafana differs from Git"
    differ = reading.differing(owner.app)
    others = [f"{r.kind} {r.name}" for r in differ if not reading.belongs(r.name, owner.base)]
    pruned = [f"{r.kind} {r.name}" for r in owner.app.status.resources if r.requires_pruning]
    if others or pruned:
        named = ", ".join((others + pruned)[:4])
        return Precondition(sentence, False, f"{len(others)} others differ, {len(pruned)} would be pruned: {named}")
    if not differ and change.edits:
        return Precondition(sentence, True, "nothing differs yet")
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
