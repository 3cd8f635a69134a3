"""*Run a standalone Grafana* (the report's option A; facts: §3.3, P2): a small set of objects beside the chart.

For when the chart's Grafana cannot be repaired now. The pods carry the labels that the Service selects, so the address
people know leads to them. That is also the danger: with the chart's Grafana running too, one address would lead to
both. So the plan does not fit while another Grafana runs or Argo CD is about to bring one back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal

import msgspec

from deployments.catalogue import texts
from deployments.catalogue.action import (
    Action,
    Apply,
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
from deployments.catalogue.argo import calls, helm, ownership, reading
from deployments.catalogue.argo.values import Edit
from deployments.catalogue.dashboards import datasources, gitops, owning, secret, stack
from deployments.catalogue.dashboards import standalone_set as parts
from deployments.catalogue.dashboards.standalone_set import IMAGE, NAME, SET, Admin
from deployments.catalogue.seen import Outlook, Seen
from integrations.kubernetes.objects import Service
from monitoring.checks.services import addresses, front
from monitoring.snapshot import Need, Objects, Snapshot

SLUG = "grafana-standalone"
_NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
_ADDRESS = r"^(\d{1,3}(\.\d{1,3}){3})?$"
_UNDO = (
    "Delete the set by uid, the Deployment first, then the Service and the ConfigMap. The Secret stays: people may "
    "know its password by now."
)


class StandaloneParams(Params, frozen=True):
    """What is run, and where. Left empty, everything is found in the cluster."""

    namespace: Annotated[
        str, msgspec.Meta(pattern=_NAME, description="Namespace Grafana runs in; empty: found in the cluster")
    ] = ""
    image: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._/:@-]{2,255}$", description="Image of Grafana")] = (
        IMAGE
    )
    admin: Annotated[
        Literal["auto", "create", "keep"],
        msgspec.Meta(description="Create the admin Secret, or use the one that is there"),
    ] = "auto"
    service: Annotated[
        Literal["auto", "keep", "own"], msgspec.Meta(description="Use the Service that is there, or bring one")
    ] = "auto"
    service_type: Annotated[
        Literal["LoadBalancer", "ClusterIP"], msgspec.Meta(description="Type of a Service of its own")
    ] = "LoadBalancer"
    address: Annotated[
        str,
        msgspec.Meta(
            pattern=_ADDRESS,
            description="Load balancer address of a Service of its own; empty: as the load balancer chooses",
        ),
    ] = ""
    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600, description="How long all checks must hold")] = 30
    verify_seconds: Annotated[int, msgspec.Meta(ge=1, le=7200, description="When verifying gives up")] = 300
    rollout_seconds: Annotated[int, msgspec.Meta(ge=5, le=7200, description="How long the rollout may take")] = 600

    def __post_init__(self) -> None:
        if not re.search(r"[:@][^/]+$", self.image):
            raise texts.Refused("image", "the image has no tag and no digest: what runs would change by itself")
        if self.address:
            try:
                IPv4Address(self.address)
            except ValueError:
                raise texts.Refused("address", "address is no IPv4 address, like 10.0.0.5") from None


@dataclass(frozen=True, slots=True)
class _Found:
    """What the cluster has around the set."""

    namespace: str
    owner: owning.Owner | None
    running: tuple[stack.Running, ...]
    front: Service | None
    admin: Admin
    create_secret: bool
    own_service: bool

    @property
    def others(self) -> list[stack.Running]:
        return [r for r in self.running if r.item.metadata.name != NAME and r.replicas]

    @property
    def labels(self) -> Mapping[str, str]:
        chosen = self.front.spec.selector if self.front is not None else {}
        return {stack.NAME: "grafana", **chosen}


def needs(_snapshot: Snapshot, _params: StandaloneParams) -> Iterable[Need]:
    """Services, what runs Grafana now, and who renders it. No Secret is read."""
    yield from stack.needs()
    yield Objects(calls.APPLICATIONS)
    yield Objects("prometheuses.monitoring.coreos.com")


def draft(snapshot: Snapshot, params: StandaloneParams) -> PlanDraft:
    """The set as server-side applies, after a look that no other Grafana runs. :raises CannotPlan, Missing:"""
    found = _find(snapshot, params)
    entries = datasources.wanted_file(snapshot, found.namespace)
    owner = found.owner
    renders = owner is not None and helm.at(owner.values, "enabled") is not False
    off = (Edit((*owner.prefix, "enabled"), False),) if owner is not None and renders and owner.prefix else ()
    git = gitops.patch(snapshot, owner, off) if owner is not None else None
    filled = msgspec.structs.replace(
        params,
        namespace=found.namespace,
        admin="create" if found.create_secret else "keep",
        service="own" if found.own_service else "keep",
    )
    return PlanDraft(
        params=msgspec.to_builtins(filled),
        preconditions=tuple(_preconditions(found)),
        steps=tuple(_steps(found, params, entries)),
        verification=_verification(found, params),
        undo=_UNDO,
        blast=_blast(found),
        managed_by=_managed_by(found),
        git_way=_git_way(git.sentence if git is not None else ""),
        git_patch=git.text if git is not None else "",
        git_change=git.change if git is not None else None,
        locks=(ownership.ref_of(owner.app),) if owner is not None else (),
    )


def _find(snapshot: Snapshot, params: StandaloneParams) -> _Found:
    namespace = params.namespace or _namespace(snapshot)
    owner = gitops.owner(snapshot, namespace)
    running = tuple(stack.workloads(snapshot, namespace))
    services = stack.services(snapshot, "grafana", namespace)
    there = services[0] if services else None
    own = params.service == "own" or (params.service == "auto" and there is None)
    if params.service == "keep" and there is None:
        raise CannotPlan(f"No Service in {namespace} selects a Grafana; use --param service=own.")
    chosen = None if own and (there is None or there.metadata.name != NAME) else there
    deployed = any(r.item.metadata.name == NAME for r in running)
    admin = _admin(owner)
    create = params.admin == "create" or (params.admin == "auto" and admin is None and not deployed)
    return _Found(namespace, owner, running, chosen, Admin() if create or admin is None else admin, create, own)


def _namespace(snapshot: Snapshot) -> str:
    """Where Grafana is or was; with nothing left of it, where Prometheus is."""
    try:
        return stack.namespace_of(snapshot)
    except CannotPlan:
        prometheus = stack.service(snapshot, "prometheus")
        if prometheus is None or stack.services(snapshot, "grafana"):
            raise
        return prometheus.metadata.namespace


def _admin(owner: owning.Owner | None) -> Admin | None:
    """The admin Secret that the chart's values refer to: it was there before the chart's Grafana was gone."""
    name = helm.at(owner.values, "admin", "existingSecret") if owner is not None else None
    if owner is None or not name:
        return None
    keys = (helm.at(owner.values, "admin", key) for key in ("userKey", "passwordKey"))
    user, password = (str(key) if key else "" for key in keys)
    return Admin(str(name), user or parts.USER_KEY, password or parts.PASSWORD_KEY)


# -- preconditions


def _preconditions(found: _Found) -> Iterable[Precondition]:
    others = ", ".join(f"{r.title} wants {r.replicas}" for r in found.others)
    idle = ", ".join(f"{r.title} wants none" for r in found.running if r.item.metadata.name != NAME)
    yield Precondition("No other Grafana runs in this namespace", not others, others or idle or "none is there")
    yield _front(found)
    yield _stays_away(found)


def _front(found: _Found) -> Precondition:
    if found.front is None:
        said = f"no Service of a Grafana in {found.namespace}; the set brings Service {NAME}"
        return Precondition("A Service leads to what this set runs", True, said)
    selector = ", ".join(f"{key}={value}" for key, value in sorted(found.front.spec.selector.items()))
    pods = {**found.labels, "app": NAME}
    met = all(pods.get(key) == value for key, value in found.front.spec.selector.items())
    said = f"{found.front.metadata.name} at {front(found.front)} selects {selector}"
    return Precondition("A Service leads to what this set runs", met, said)


def _stays_away(found: _Found) -> Precondition:
    """Else two Grafanas would stand behind one address within seconds."""
    sentence = "Argo CD does not bring the chart's Grafana back meanwhile"
    owner = found.owner
    if owner is None:
        return Precondition(sentence, True, "no Application renders a Grafana here")
    app, name = owner.app, owner.app.metadata.name
    if helm.at(owner.values, "enabled") is False:
        return Precondition(sentence, True, f"the values of {name} have it disabled")
    if app.operation is not None:
        return Precondition(sentence, False, f"an operation of {name} runs and may create it; wait until it has ended")
    if not reading.is_automated(app):
        return Precondition(sentence, True, f"auto-sync of {name} is off; a sync by hand would bring it back")
    state = app.status.operation_state
    if state is not None and state.phase in ("Failed", "Error"):
        said = f"the last sync of {name} ended {state.phase}; it tries a revision once, until its source changes"
        return Precondition(sentence, True, said)
    if reading.heals(app):
        return Precondition(sentence, False, f"{name} heals itself: disable Grafana in its values first (Git)")
    said = f"{name} does not heal itself, and the revision it has was synced; its next change of source brings it back"
    return Precondition(sentence, True, said)


# -- steps


def _steps(found: _Found, params: StandaloneParams, entries: list[dict[str, Any]]) -> Iterable[StepSpec]:
    if found.create_secret:
        yield secret.step(found.namespace, found.admin.secret, kept=True)
    yield StepSpec(
        verb="compare",
        title="Compare: stop if another Grafana runs",
        how="read",
        resource="deployments.apps",
        namespace=found.namespace,
        name=NAME,
        until=Condition("no_other_grafana", {"namespace": found.namespace, "name": NAME}),
        timeout_seconds=30,
    )
    files = parts.provisioning(found.namespace, entries)
    yield _apply(found, "configmaps", files, "Apply ConfigMap {name} with the datasources")
    if found.own_service:
        service = parts.service(found.namespace, params.service_type, params.address)
        yield _apply(found, "services", service, "Apply Service {name}")
    deployment = parts.deployment(found.namespace, params.image, found.admin, found.labels, files["data"])
    where = {"namespace": found.namespace, "name": NAME, "selector": f"app={NAME}"}
    apply = _apply(found, "deployments.apps", deployment, "Apply Deployment {name} and wait for its rollout")
    yield msgspec.structs.replace(apply, until=Condition("rolled_out", where), timeout_seconds=params.rollout_seconds)


def _apply(found: _Found, resource: str, body: dict[str, Any], title: str) -> StepSpec:
    name = body["metadata"]["name"]
    return StepSpec(
        verb="apply",
        title=title.format(name=name),
        how="server-side apply",
        resource=resource,
        namespace=found.namespace,
        name=name,
        effect=Apply(body, SET),
    )


def _verification(found: _Found, params: StandaloneParams) -> Verification:
    namespace = found.namespace
    service = NAME if found.front is None else found.front.metadata.name
    return Verification(
        checks=(
            CheckSpec(
                "Workload is ready",
                "workload_ready",
                {"namespace": namespace, "name": NAME, "kind": "Deployment"},
            ),
            CheckSpec("Service has endpoints", "service_has_endpoints", {"namespace": namespace, "name": service}),
            CheckSpec("Grafana answers", "grafana_health", {"namespace": namespace}),
        ),
        hold_seconds=params.hold_seconds,
        timeout_seconds=max(params.verify_seconds, params.hold_seconds + 5),
    )


# -- the condition


def no_other_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """Workloads of the namespace."""
    yield from (Objects(resource, args["namespace"]) for resource in stack.WORKLOADS)


def no_other(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """No Grafana but the one of this ``name`` wants a pod."""
    running = stack.workloads(snapshot, args["namespace"])
    others = [r for r in running if r.item.metadata.name != args["name"] and r.replicas]
    if others:
        said = f"{others[0].title} wants {others[0].replicas} pods: two Grafanas would stand behind one address."
        return Seen(Outlook.REFUSED, said)
    return Seen(Outlook.MET, f"No other Grafana runs in {args['namespace']}.")


# -- words


def _blast(found: _Found) -> Blast:
    there = any(r.item.metadata.name == NAME for r in found.running)
    made = [f"Secret {found.admin.secret}"] if found.create_secret else []
    names = [
        f"ConfigMap {parts.PROVISIONING}",
        *([f"Service {NAME}"] if found.own_service else []),
        f"Deployment {NAME}",
    ]
    said = "It starts empty: dashboards made by hand in the chart's Grafana are not in it. It is not in Git."
    if found.front is not None and addresses(found.front):
        said = f"{front(found.front)} leads to it as soon as its pod is ready. {said}"
    return Blast(
        created=tuple(made if there else [*made, *names]),
        changed=tuple(names if there else ()),
        restarted=(f"the pod of Deployment {NAME}",) if there else (),
        sentence=said,
    )


def _managed_by(found: _Found) -> str:
    owner = found.owner
    if owner is None:
        return "No Argo CD app renders a Grafana here; nobody reverts the set."
    name = owner.app.metadata.name
    said = f"The set belongs to no Argo CD app, so nobody reverts or prunes it. {name} renders a Grafana of its own"
    if helm.at(owner.values, "enabled") is False:
        return f"{said}, disabled in its values."
    return f"{said}: its next sync would put a second one behind the same Service. Disable it in Git meanwhile."


def _git_way(sentence: str) -> str:
    if not sentence:
        return ""
    return (
        f"{sentence} With prune on, the chart's Service goes with its Grafana and its address may change: then run "
        "this action again, it brings a Service of its own."
    )


ACTION = Action(
    slug=SLUG,
    title="Run a standalone Grafana",
    family="Grafana",
    tier=2,
    summary="Apply a small Grafana beside the chart, behind the Service that is there (the report's option A).",
    params=StandaloneParams,
    needs=needs,
    draft=draft,
    rules=(
        Rule("apps", "deployments", ("get", "patch", "create", "delete")),
        Rule("", "configmaps", ("get", "patch", "create", "delete")),
        Rule("", "services", ("get", "patch", "create", "delete")),
        Rule("", "secrets", ("get", "create")),
    ),
    undo=_UNDO,
    undoable=True,
    guards=(
        "no other Grafana in the namespace wants a pod, looked at again just before the set is applied",
        "Argo CD is not about to bring the chart's Grafana back",
        "fields of other managers are never taken over",
    ),
    verified_by="The Deployment is ready, the Service leads to it, and Grafana answers with its database ok.",
    reference="https://grafana.com/docs/grafana/latest/setup-grafana/installation/kubernetes/",
)
