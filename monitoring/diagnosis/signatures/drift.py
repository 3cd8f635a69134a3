"""G16, A17: what differs from Git anew at each comparison: a password that is random per render, or another defaulting.

Without admin.existingSecret or adminPassword, Grafana's chart renders ``randAlphaNum 40`` at every ``helm template``,
and ``checksum/secret`` on the pod template turns that into a new ReplicaSet per sync (chart templates/_helpers.tpl).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from integrations.kubernetes.custom import Application
from integrations.kubernetes.objects import Workload
from monitoring.checks.text import clean, count, listing, moment
from monitoring.diagnosis import values
from monitoring.diagnosis.argo_words import facts, for_app, name_of, repair_of
from monitoring.diagnosis.base import Layer, Signature, finding
from monitoring.diagnosis.remedies import ADMIN_SECRET, PAUSE_SYNC, remedy
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Need, Objects, Query
from monitoring.verdict import Finding

REPLICA_SETS = "replicasets.apps"
_HOUR = timedelta(hours=1)
_CHECKSUM = "checksum/secret"
_MANY = 3
_SYNCS = 12


def password_needs(scene: Scene) -> Iterable[Need]:
    if scene.kind == "grafana" and scene.workloads and not scene.well:
        yield Objects(REPLICA_SETS, scene.namespace)


def password(scene: Scene) -> Finding | None:
    """G16."""
    if scene.kind != "grafana" or not scene.known(REPLICA_SETS, scene.namespace):
        return None
    for kind, item in scene.workloads:
        sets = _young(scene, item) if kind == "Deployment" else []
        sums = [s.spec.template.metadata.annotations.get(_CHECKSUM, "") for s in sets]
        if len(sets) < _MANY or len(set(sums) - {""}) < _MANY:
            continue
        drift = _drifting(scene.application)
        times = [moment(s.metadata.creation_timestamp, scene.now) for s in sets if s.metadata.creation_timestamp]
        return finding(
            "G16",
            "random_password",
            "Grafana's password is new at every render",
            f"Deployment {item.metadata.name} got {count(len(sets), 'new ReplicaSet')} in an hour, each for another "
            "checksum of its Secret: the chart makes up a new admin password whenever it is rendered, so the pod never "
            "comes to rest. Name an existing Secret in admin.existingSecret.",
            (
                f"ReplicaSets of {item.metadata.name} made at {listing(times, 8)}",
                f"pod template annotation {_CHECKSUM}: {count(len(set(sums)), 'value')} in "
                f"{count(len(sets), 'ReplicaSet')}",
                f"Application {name_of(scene.application)}: OutOfSync {listing(drift)}"
                if scene.application and drift
                else "",
                "values grafana.admin.existingSecret: not set"
                if scene.values and not values.at(scene.values, "grafana.admin.existingSecret")
                else "",
            ),
            0.92 if drift or (scene.values and not values.at(scene.values, "grafana.adminPassword")) else 0.8,
            remedies=(repair_of(scene.application), remedy(ADMIN_SECRET)),
            at=sets[0].metadata.creation_timestamp,
        )
    return None


def _young(scene: Scene, item: Workload) -> list[Workload]:
    """Its ReplicaSets of the last hour, oldest first."""
    every: list[Workload] = scene.read(REPLICA_SETS, scene.namespace)
    labels = item.spec.selector.match_labels
    mine = [
        each
        for each in every
        if any(o.name == item.metadata.name for o in each.metadata.owner_references)
        or (not each.metadata.owner_references and labels and labels.items() <= each.metadata.labels.items())
    ]
    young = [s for s in mine if s.metadata.creation_timestamp and scene.now - s.metadata.creation_timestamp <= _HOUR]
    return sorted(young, key=lambda each: (each.metadata.creation_timestamp or scene.now, each.metadata.name))


def _drifting(app: Application | None) -> list[str]:
    return [f"{item.kind} {item.name}" for item in app.status.resources if item.status == "OutOfSync"] if app else []


def _syncs(app: Application) -> Query:
    name = app.metadata.name.replace("\\", "").replace('"', "")
    return Query(f'sum(increase(argocd_app_sync_total{{name="{name}"}}[1h]))')


def flapping_needs(scene: Scene) -> Iterable[Need]:
    if scene.application is not None and scene.application.status.sync.status == "OutOfSync":
        yield _syncs(scene.application)


def flapping(scene: Scene) -> Finding | None:
    """A17: synced again and again to the same revision, and different again each time."""
    app = scene.application
    if app is None or app.metadata.deletion_timestamp is not None:
        return None
    repeated = _repeated(scene, app)
    healed = _healed(app)
    counted = _counted(scene, app)
    if repeated < _MANY and healed < _MANY and counted < _SYNCS:
        return None
    drift = _drifting(app)
    if not drift and app.status.sync.status == "Synced" and repeated < 2 * _MANY and healed < 2 * _MANY:
        return None
    return finding(
        "A17",
        "differs_at_each_refresh",
        "It differs from Git again after each sync",
        f"{name_of(app)} is synced to the same revision again and again and differs each time"
        f"{f' in {listing(drift)}' if drift else ''}: something random in what is rendered, or something that changes "
        "it "
        "behind Argo CD. Remove the randomness, or ignore that field with RespectIgnoreDifferences.",
        (
            *facts(app, app.status.operation_state, scene),
            f"history: {count(repeated, 'entry', 'entries')} of the same revision in an hour"
            if repeated >= _MANY
            else "",
            f"operation.sync.autoHealAttemptsCount={healed}" if healed >= _MANY else "",
            f"argocd_app_sync_total: {counted:.0f} syncs in an hour" if counted >= _SYNCS else "",
            *(f"status.resources: {clean(line, 160)} OutOfSync" for line in drift[:4]),
        ),
        0.85 if drift else 0.7,
        remedies=(for_app(app, PAUSE_SYNC),),
    )


def _repeated(scene: Scene, app: Application) -> int:
    """History entries of the last hour that deployed the same: revision and source, for values may change at one
    version of a chart."""
    young = [e for e in app.status.history if e.deployed_at is not None and scene.now - e.deployed_at <= _HOUR]
    if not young:
        return 0
    last = young[-1]
    return sum((e.revision, e.source, e.sources) == (last.revision, last.source, last.sources) for e in young)


def _healed(app: Application) -> int:
    """How often self-heal tried (argo-cd SyncOperation.SelfHealAttemptsCount)."""
    state = app.status.operation_state
    for operation in (app.operation, state.operation if state else None):
        sync = operation.get("sync") if isinstance(operation, dict) else None
        tried = sync.get("autoHealAttemptsCount") if isinstance(sync, dict) else None
        if isinstance(tried, int):
            return tried
    return 0


def _counted(scene: Scene, app: Application) -> float:
    reply = scene.snapshot.replies.get(_syncs(app))
    rows = reply.body if reply is not None and isinstance(reply.body, list) else []
    try:
        return float(rows[0]["value"][1]) if rows else 0.0
    except (KeyError, IndexError, TypeError, ValueError):
        return 0.0


SIGNATURES = (
    Signature(
        "G16",
        Layer.ROLLOUT,
        "Grafana's chart makes up a new password at each render, so a new pod is rolled out each time.",
        "https://github.com/grafana/helm-charts/issues/3399",
        password,
        password_needs,
    ),
    Signature(
        "A17",
        Layer.SYNC,
        "An Application differs from Git again after each sync.",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/diffing/",
        flapping,
        flapping_needs,
        follows=True,
    ),
)
