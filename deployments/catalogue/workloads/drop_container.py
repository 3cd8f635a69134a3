"""*Drop a container*: take one container out of a Deployment's pod template, such as a broken sidecar (K20)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from deployments.catalogue.action import MARK, Action, CannotPlan, Patch, PlanDraft, Precondition, Rule
from deployments.catalogue.argo import ownership
from deployments.catalogue.workloads import git, rolling, targets, templates
from deployments.catalogue.workloads.asked import DeploymentParams
from deployments.catalogue.workloads.targets import DEPLOYMENTS
from integrations.kubernetes.objects import Service, Workload
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Need, Raw, Snapshot

_KIND = "Deployment"
_UNDO = "Put the container back as it was, as a new rollout."
#: the values of the Grafana chart that render its other containers (facts §1.1)
_VALUES = {
    "grafana-sc-dashboard": "sidecar.dashboards.enabled",
    "grafana-sc-datasources": "sidecar.datasources.enabled",
    "grafana-sc-alerts": "sidecar.alerts.enabled",
    "init-chown-data": "initChownData.enabled",
}


class DropContainerParams(DeploymentParams, frozen=True, kw_only=True):
    """Which container of which Deployment."""

    container: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description="Container")]


def needs(snapshot: Snapshot, params: DropContainerParams) -> Iterable[Need]:
    """The Deployment, also whole, its pods, and what their end touches."""
    yield from rolling.needs_of(snapshot, _KIND, params.namespace, params.name)
    yield Raw(DEPLOYMENTS, params.namespace, params.name)


def draft(snapshot: Snapshot, params: DropContainerParams) -> PlanDraft:
    """One strategic patch of the template and the wait for the rollout. :raises CannotPlan: no such container."""
    item = targets.find(snapshot, _KIND, params.namespace, params.name)
    raw = snapshot.raw(DEPLOYMENTS, params.namespace, params.name)
    if raw is None:
        raise CannotPlan(f"Deployment {params.name} went away while the plan was made.")
    field, container = find(raw, params.container)
    path = git.container_path(field, params.container)
    drop = {"name": params.container, "$patch": "delete"}
    body = {
        "metadata": {"annotations": {MARK: "${run.mark}"}},
        "spec": {"template": {"spec": {field: [drop]}}},
    }
    what = f"container {params.container}"
    value = _VALUES.get(params.container)
    way = git.way(snapshot, item, f"remove {what} of Deployment {params.name}", {value: False} if value else None)
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            rolling.not_paused(item),
            _not_the_only_one(raw, field),
            _no_service(snapshot, item, raw, container),
            targets.nobody_above(_KIND, item.metadata),
            git.stays(snapshot, item.metadata, raw, path, what),
        ),
        steps=(
            rolling.step(
                _KIND,
                item,
                Patch("strategic", body),
                verb="drop",
                title=f"Drop container {params.container} of {params.name}",
                how="strategic merge patch",
                seconds=params.rollout_seconds,
            ),
        ),
        verification=rolling.verification(_KIND, item, params.hold_seconds),
        undo=_UNDO,
        blast=rolling.blast(snapshot, _KIND, item, f"The new pods have no container {params.container}."),
        managed_by=git.managed_by(snapshot, item.metadata, raw, path),
        git_way=way.sentence,
        git_patch=way.text,
        git_change=way.change,
        locks=ownership.locks(snapshot, item.metadata),
    )


def find(raw: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """``containers`` or ``initContainers``, and the container. :raises CannotPlan: there is none of this name."""
    found = [(field, c) for field, c in templates.containers(raw["spec"]["template"]) if c.get("name") == name]
    if not found:
        there = listing((str(c.get("name")) for _, c in templates.containers(raw["spec"]["template"])), most=20)
        raise CannotPlan(f"Deployment {raw['metadata']['name']} has no container {name}. It has {there}.")
    return found[0]


def _not_the_only_one(raw: dict[str, Any], field: str) -> Precondition:
    names = [str(c.get("name")) for f, c in templates.containers(raw["spec"]["template"]) if f == "containers"]
    left = len(names) - (field == "containers")
    return Precondition("Another container stays", left > 0, f"containers now: {listing(names)}")


def _no_service(snapshot: Snapshot, item: Workload, raw: dict[str, Any], gone: dict[str, Any]) -> Precondition:
    """A Service whose port only this container has would lead nowhere."""
    labels = item.spec.template.metadata.labels
    found: list[Service] = snapshot.objects("services", item.metadata.namespace)
    over = [s for s in found if s.spec.selector and s.spec.selector.items() <= labels.items()]
    kept = _ports(c for _, c in templates.containers(raw["spec"]["template"]) if c is not gone)
    mine = _ports([gone]) - kept
    lost = sorted(
        f"{service.metadata.name}:{port.port}"
        for service in over
        for port in service.spec.ports
        if (port.target_port or port.port) in mine
    )
    said = f"{clean(listing(lost), 200)} leads to its ports" if lost else "no Service here leads to a port of its own"
    return Precondition("No Service leads to it alone", not lost, said)


def _ports(containers: Iterable[dict[str, Any]]) -> set[int | str]:
    found: set[int | str] = set()
    for port in (port for container in containers for port in container.get("ports") or []):
        found |= {port[key] for key in ("name", "containerPort") if port.get(key)}
    return found


ACTION = Action(
    slug="drop-container",
    title="Drop a container",
    family="Workloads",
    tier=2,
    summary="Take one container or init container out of a Deployment's pod template.",
    params=DropContainerParams,
    needs=needs,
    draft=draft,
    rules=(Rule("apps", "deployments", ("get", "patch")),),
    undo=_UNDO,
    undoable=True,
    noise=("spec.replicas",),
    guards=(
        "another container stays, and no Service leads to this one alone",
        "the rollout is not paused",
        "Argo CD would not set it back at once; the Helm value that drops it is named first",
    ),
    verified_by="The rollout is complete by the rules of kubectl rollout status; then the check workload_ready holds.",
    reference="https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/",
)
