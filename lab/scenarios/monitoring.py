"""The monitoring stack as the Application deploys it, and what its Application has been through."""

from __future__ import annotations

from lab.api import patching
from lab.controllers import meta
from lab.controllers.argocd import autosync, compare, hooks, kinds, operation
from lab.controllers.client import Object
from lab.git import Repository
from lab.plain import copied
from lab.scenarios.builder import Builder

APP, WHERE = "kube-prometheus-stack", "platform-monitoring"
GRAFANA = "kube-prometheus-stack-grafana"
_DEPLOYED = 165.0  # minutes ago: the stack's first successful sync
_APPLICATIONS = "applications.argoproj.io"


def load(world: Builder, repository: Repository, source: Object) -> None:
    """Every object that the Application's source renders, as Argo CD applied it, and the webhook's certificate."""
    app = application(world, APP)
    for manifest in compare.desired_objects(app, source, repository):
        if not hooks.is_hook(manifest):  # they are deleted when they have succeeded
            world.add(manifest, _DEPLOYED, kinds.MANAGER)
    certificate: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{APP}-admission", "namespace": WHERE},
        "type": "Opaque",
        "data": {"ca": "", "cert": "", "key": ""},
    }
    world.add(certificate, _DEPLOYED, "kube-webhook-certgen")


def grafana_of(world: Builder, repository: Repository, source: Object) -> Object:
    """Grafana's Deployment as this source renders it, defaulted as a server would."""
    app = application(world, APP)
    found = compare.desired_objects(app, source, repository)
    manifest = next(obj for obj in found if (obj["kind"], obj["metadata"]["name"]) == ("Deployment", GRAFANA))
    return patching.default(("apps", "v1", "Deployment"), manifest, world.time(0))


def application(world: Builder, name: str) -> Object:
    found = world.get(_APPLICATIONS, "argocd", name)
    assert found is not None
    return found


def earlier_sources(source: Object) -> list[Object]:
    """The sources of the three commits before the present one: each still without the next change."""
    values = str(source["helm"]["values"])
    with_sidecars = values.replace(
        "  sidecar:\n    dashboards:\n      enabled: false\n    datasources:\n      enabled: false\n", ""
    )
    with_disk = with_sidecars.replace(
        "  persistence:\n    enabled: false\n",
        "  persistence:\n    enabled: true\n    storageClassName: nfs-client\n    size: 5Gi\n",
    )
    first = with_disk.replace("storageClassName: nfs-client\n", "")
    return [{**source, "helm": {**source["helm"], "values": text}} for text in (first, with_disk, with_sidecars)]


def history(world: Builder, entries: list[tuple[float, Object, str]]) -> list[Object]:
    """History entries from (minutes ago, source, revision), oldest first."""
    return [
        {
            "id": number,
            "revision": revision,
            "source": source,
            "deployStartedAt": world.time(ago + 0.2),
            "deployedAt": world.time(ago),
            "initiatedBy": {"automated": True},
        }
        for number, (ago, source, revision) in enumerate(entries)
    ]


def operation_state(
    world: Builder, app: Object, revision: str, ago: float, rows: list[Object], failure: str = ""
) -> Object:
    """The state an automated sync left behind; with `failure` it failed at its retry limit."""
    policy = app["spec"]["syncPolicy"]
    retry = policy.get("retry") or {"limit": 5}
    sync: Object = {"revision": revision, "prune": bool(policy["automated"].get("prune"))}
    if policy.get("syncOptions"):
        sync["syncOptions"] = policy["syncOptions"]
    state: Object = {
        "phase": "Failed" if failure else "Succeeded",
        "message": f"{failure} (retried 5 times)." if failure else "successfully synced (all tasks run)",
        "operation": {"initiatedBy": {"automated": True}, "retry": retry, "sync": sync},
        "startedAt": world.time(ago + (4.0 if failure else 0.2)),
        "finishedAt": world.time(ago),
        "syncResult": {"revision": revision, "source": copied(app["spec"]["source"]), "resources": rows},
    }
    if failure:
        state["retryCount"] = 5
    return state


def comparison(world: Builder, repository: Repository) -> compare.Comparison:
    """The monitoring Application's source against the world."""
    return compare.compare(application(world, APP), world, repository)


def settle_applications(
    world: Builder, repository: Repository, failed: dict[str, tuple[float, str, str]], deployed: Object
) -> None:
    """Statuses of all Applications. `failed` maps a name to (minutes ago, message, the object that failed).

    `deployed` is the source that the monitoring Application was last synced to.
    """
    for app in sorted(world.list(_APPLICATIONS), key=lambda obj: obj["metadata"]["name"] == "root-app"):
        name = app["metadata"]["name"]
        found = compare.compare(app, world, repository)
        at = world.time(1.5)
        status = compare.status_of(app, found, world.time(20.0))
        rows = [_row(resource, failed[name][2] if name in failed else "") for resource in found.resources]
        rows = [*_hook_rows(found, whole=name not in failed), *rows]
        source = copied(app["spec"]["source"])
        age = world.minutes_old(app)
        if name in failed:
            ago, message, _ = failed[name]
            status["operationState"] = operation_state(world, app, found.revision, ago, rows, message)
        else:
            status["operationState"] = operation_state(world, app, found.revision, min(age - 2, 19.0), rows)
        entries = [(age - 5, source, found.revision)]
        if name == APP:
            times = (_DEPLOYED, 54.0, 28.0)
            entries = [(ago, old, found.revision) for ago, old in zip(times, earlier_sources(deployed), strict=True)]
            if name not in failed:
                entries.append((19.0, deployed, found.revision))
        status["history"] = history(world, entries)
        decided = autosync.decide({**app, "status": status}, found, float("inf"))
        status["conditions"] = [
            {**condition, "lastTransitionTime": world.time(18.0)}
            for condition in (found.condition, decided.condition)
            if condition
        ]
        status["reconciledAt"] = at
        app["status"] = status


def _hook_rows(found: compare.Comparison, *, whole: bool) -> list[Object]:
    """The hooks that the last sync ran; those after it only when it came to its end."""
    rows = []
    for phase in ("PreSync", "PostSync") if whole else ("PreSync",):
        for hook in hooks.of_phase(found.hooks, phase):
            group, name = meta.group_of(hook), hook["metadata"]["name"]
            label = f"{str(hook['kind']).lower()}{'.' + group if group else ''}/{name} created"
            rows.append(operation.row_of(hook, "Synced", label, hooks.SUCCEEDED, phase, phase))
    return rows


def _row(resource: compare.Resource, failing: str) -> Object:
    group, kind, namespace, name = kinds.identity(resource.obj)
    label = f"{kind.lower()}{'.' + group if group else ''}/{name}"
    row = {
        "group": group,
        "version": resource.obj["apiVersion"].rpartition("/")[2],
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "status": "Synced",
        "message": f"{label} serverside-applied",
        "hookPhase": "Succeeded",
        "syncPhase": "Sync",
    }
    if failing == f"{kind}/{name}":
        row |= {"hookPhase": "Failed", "message": f'{kind} "{name}" exceeded its progress deadline'}
    return row


def remove_grafana(world: Builder) -> None:
    """Somebody deleted the Deployment by hand: its ReplicaSets and pods went with it."""
    gone = world.get("deployments.apps", WHERE, GRAFANA)
    assert gone is not None
    world.remove("deployments.apps", *meta.key_of(gone))


def events(world: Builder) -> list[Object]:
    """What can still be read of the last hour: the deletion's traces and the failed sync."""
    app = application(world, APP)
    found: list[Object] = []
    for number, (ago, reason, message, kind) in enumerate(
        (
            (23.0, "OperationStarted", "Initiated automated sync to '55.5.0'", "Normal"),
            (
                19.0,
                "OperationCompleted",
                "Sync operation to 55.5.0 failed: one or more synchronization tasks completed unsuccessfully",
                "Warning",
            ),
            (14.0, "ResourceUpdated", "Updated health status: Degraded -> Missing", "Normal"),
        )
    ):
        at = world.time(ago)
        found.append(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{APP}.{number:016x}", "namespace": "argocd"},
                "involvedObject": {
                    "apiVersion": app["apiVersion"],
                    "kind": "Application",
                    "name": APP,
                    "namespace": "argocd",
                    "uid": meta.uid(app),
                },
                "reason": reason,
                "message": message,
                "type": kind,
                "source": {"component": "argocd-application-controller"},
                "firstTimestamp": at,
                "lastTimestamp": at,
                "count": 1,
                "reportingComponent": "argocd-application-controller",
                "reportingInstance": "",
            }
        )
    return found
