"""*Configure datasources*: Grafana gets the cluster's Prometheus and Alertmanager (facts: P6).

A file is the better way, because it survives the pod: through Git, or now as a ConfigMap when a sidecar collects those.
Else Grafana's API, for the time until Git has it. What a file provisioned only that file can change; the plan says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
import yaml

from deployments.catalogue.action import (
    MARK,
    Action,
    Apply,
    Blast,
    Call,
    CannotPlan,
    CheckSpec,
    Condition,
    Params,
    PlanDraft,
    Precondition,
    Rule,
    Shown,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls, credentials, helm
from deployments.catalogue.argo.values import Edit
from deployments.catalogue.dashboards import datasources, gitops, owning, stack
from deployments.catalogue.dashboards.datasources import Findings, Gap
from integrations.kubernetes.objects import ConfigMap
from monitoring.checks.grafana import DATASOURCES
from monitoring.checks.text import clean
from monitoring.snapshot import Missing, Need, Objects, Snapshot

SLUG = "configure-datasources"
#: the ConfigMap, its set and its field manager
FILE = "portal-datasources"
_NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
_UNDO_FILE = f"Delete ConfigMap {FILE} by its uid; Grafana drops its datasources when it reads again."
_UNDO_API = (
    "What it adds is deleted by its uid. Of a datasource that it changes Grafana keeps no earlier state: the old "
    "values are in this plan."
)


class DatasourceParams(Params, frozen=True):
    """Where Grafana is, and how it is told."""

    namespace: Annotated[
        str, msgspec.Meta(pattern=_NAME, description="Namespace Grafana runs in; empty: found in the cluster")
    ] = ""
    way: Annotated[
        Literal["auto", "file", "api"],
        msgspec.Meta(description="A file that a sidecar collects, or Grafana's API; auto takes the file if it can"),
    ] = "auto"
    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600, description="How long all checks must hold")] = 5
    verify_seconds: Annotated[int, msgspec.Meta(ge=1, le=7200, description="When verifying gives up")] = 120


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was found, and how the gaps are closed: ``sidecar`` is None for the API."""

    namespace: str
    found: Findings
    running: Sequence[stack.Running]
    sidecar: stack.Sidecar | None
    file: list[dict[str, Any]]

    @property
    def todo(self) -> tuple[Gap, ...]:
        return tuple(gap for gap in self.found.gaps if not self.blocked(gap))

    def blocked(self, gap: Gap) -> str:
        """Why this gap cannot be closed here. A datasource of our own file can be changed by the file."""
        own = any(entry.get("uid") == gap.uid for entry in self.file)
        if self.sidecar is not None and own:
            return ""
        if not gap.blocked and self.sidecar is None and credentials.holds_any(gap.body):
            return f"{gap.name} holds a credential, which a plan must not"
        return gap.blocked


def needs(snapshot: Snapshot, params: DatasourceParams) -> Iterable[Need]:
    """Services and workloads, what Grafana has, what its sidecars collect, and who renders it."""
    yield from stack.needs()
    yield DATASOURCES
    yield Objects(calls.APPLICATIONS)
    yield Objects("prometheuses.monitoring.coreos.com")
    with suppress(Missing, CannotPlan):
        yield Objects("configmaps", stack.namespace_of(snapshot, params.namespace))


def draft(snapshot: Snapshot, params: DatasourceParams) -> PlanDraft:
    """One file, or one request for each datasource that is missing or differs. :raises CannotPlan, Missing:"""
    namespace = stack.namespace_of(snapshot, params.namespace)
    running = stack.workloads(snapshot, namespace)
    found = stack.sidecar(running, "datasource", namespace)
    collects = found is not None and found.reloads
    plan = _Plan(
        namespace,
        datasources.compare(snapshot, namespace),
        running,
        found if params.way == "file" or (params.way == "auto" and collects) else None,
        _own_file(snapshot, namespace),
    )
    way: Literal["file", "api"] = "file" if plan.sidecar is not None or params.way == "file" else "api"
    owner = gitops.owner(snapshot, namespace)
    git = gitops.patch(snapshot, owner, _edits(owner, plan.found.gaps)) if owner is not None else None
    return PlanDraft(
        params=msgspec.to_builtins(
            DatasourceParams(
                namespace=namespace, way=way, hold_seconds=params.hold_seconds, verify_seconds=params.verify_seconds
            )
        ),
        preconditions=tuple(_preconditions(plan, found, way)),
        steps=tuple(_steps(plan)),
        verification=_verification(plan, params),
        undo=_UNDO_FILE if way == "file" else _UNDO_API,
        blast=_blast(plan, way),
        managed_by=gitops.managed_by(snapshot, owner) if owner is not None else "",
        git_way=git.sentence if git is not None else "",
        git_patch=git.text if git is not None else "",
        git_change=git.change if git is not None else None,
    )


def _own_file(snapshot: Snapshot, namespace: str) -> list[dict[str, Any]]:
    """The entries of the file that an earlier run made: what it provisions must not go because more is added."""
    found: ConfigMap | None = snapshot.get("configmaps", namespace, FILE)
    loaded = helm.read_yaml(found.data.get(f"{FILE}.yaml", "")) if found is not None else None
    listed = loaded.get("datasources") if isinstance(loaded, dict) else None
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


# -- preconditions


def _preconditions(plan: _Plan, found: stack.Sidecar | None, way: str) -> Iterable[Precondition]:
    known = ", ".join(map(datasources.described, plan.found.known)) or "none"
    yield Precondition("Grafana says which datasources it has", True, known)
    if not plan.found.gaps:
        said = f"{', '.join(plan.found.good)} lead where they should"
        yield Precondition("A datasource is missing or leads elsewhere", False, said)
    elif plan.todo:
        said = ", ".join(f"{g.name} {'differs' if g.have else 'is missing'}" for g in plan.todo)
        yield Precondition("A datasource is missing or leads elsewhere", True, said)
    else:
        said = "; ".join(plan.blocked(g) for g in plan.found.gaps)
        yield Precondition("What is missing can be put right here", False, said)
    if way == "file":
        said = f"container {found.container} collects label {found.label}" if found else "no sidecar of Grafana runs"
        met = found is not None and found.reloads
        if found is not None and not found.reloads:
            said += " and does not tell Grafana to read it (no REQ_URL): it would take a restart"
        yield Precondition("A sidecar collects datasources and makes Grafana read them", met, said)


# -- steps


def _steps(plan: _Plan) -> Iterable[StepSpec]:
    if plan.sidecar is None:
        yield from map(_call, plan.todo)
        return
    if not plan.todo:
        return
    first, *rest = plan.todo
    yield StepSpec(
        verb="provision",
        title=f"Write {len(plan.todo)} datasources into ConfigMap {FILE}",
        how="server-side apply",
        resource="configmaps",
        namespace=plan.namespace,
        name=FILE,
        effect=Apply(_config_map(plan, plan.sidecar), FILE),
        until=_is(first),
        timeout_seconds=180,
    )
    for gap in rest:
        yield StepSpec(
            verb="wait",
            title=f"Wait until Grafana has {gap.name}",
            how="read",
            resource="configmaps",
            namespace=plan.namespace,
            name=FILE,
            until=_is(gap),
            timeout_seconds=180,
        )


def _call(gap: Gap) -> StepSpec:
    new = gap.have is None
    uid = quote(gap.uid, safe="")
    before = gap.have or {}
    shown = tuple(
        Shown(f"datasource {gap.uid}: {name}", before.get(name), value)
        for name, value in sorted(gap.fields.items())
        if before.get(name) != value
    )
    return StepSpec(
        verb="add" if new else "change",
        title=f"{'Add' if new else 'Change'} datasource {gap.name}",
        how="POST" if new else "PUT",
        resource="datasources.grafana",
        namespace="",
        name=gap.uid,
        effect=Call(
            "grafana",
            "POST" if new else "PUT",
            "/api/datasources" if new else f"/api/datasources/uid/{uid}",
            _is(gap),
            gap.body,
            shown,
            undo=_removal(gap, uid) if new else None,
        ),
        irreversible=not new,
        timeout_seconds=60,
    )


def _removal(gap: Gap, uid: str) -> Call:
    gone = Condition("grafana_datasource_gone", {"uid": gap.uid})
    shown = (Shown(f"datasource {gap.uid}", clean(gap.name, 120)),)
    return Call("grafana", "DELETE", f"/api/datasources/uid/{uid}", gone, None, shown)


def _is(gap: Gap) -> Condition:
    return Condition("grafana_datasource_is", {"uid": gap.uid, "fields": gap.fields})


def _config_map(plan: _Plan, sidecar: stack.Sidecar) -> dict[str, Any]:
    done = {gap.uid for gap in plan.todo}
    kept = [entry for entry in plan.file if entry.get("uid") not in done]
    added = [{"uid": gap.uid, **gap.fields, "editable": False} for gap in plan.todo]
    content = {"apiVersion": 1, "datasources": [*kept, *added]}
    labels = {**sidecar.labels, "app.kubernetes.io/managed-by": "portal", "portal.remediation/set": FILE}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": FILE,
            "namespace": plan.namespace,
            "labels": labels,
            "annotations": {MARK: "${run.mark}"},
        },
        "data": {f"{FILE}.yaml": yaml.safe_dump(content, sort_keys=False)},
    }


def _verification(plan: _Plan, params: DatasourceParams) -> Verification:
    types = {str(gap.want["type"]) for gap in plan.todo}
    default = not any(d.get("isDefault") and d.get("type") != "prometheus" for d in plan.found.known)
    checks = [CheckSpec("Prometheus is a healthy datasource", "grafana_datasource", {"default": default})]
    if "alertmanager" in types:
        # its plugin has no health of its own
        asked = {"type": "alertmanager", "healthy": False}
        checks.append(CheckSpec("Alertmanager is a datasource", "grafana_datasource", asked))
    return Verification(tuple(checks), params.hold_seconds, max(params.verify_seconds, params.hold_seconds + 5))


# -- words


def _blast(plan: _Plan, way: str) -> Blast:
    names = {new: tuple(f"Datasource {g.name}" for g in plan.todo if (g.have is None) is new) for new in (True, False)}
    said = "No pod restarts."
    if way == "api" and not any(r.keeps_data for r in plan.running):
        said += " Grafana keeps its data in the pod: what is made through its API is gone when the pod is."
    left = [g for g in plan.found.gaps if g not in plan.todo]
    if left and plan.todo:
        said += f" Not touched: {'; '.join(plan.blocked(g) for g in left)}."
    config = (f"ConfigMap {FILE}",) if plan.sidecar is not None else ()
    return Blast(
        created=names[True] + (config if not plan.file else ()),
        changed=names[False] + (config if plan.file else ()),
        unchanged=tuple(f"Datasource {name}" for name in plan.found.good),
        sentence=said,
    )


def _edits(owner: owning.Owner | None, gaps: Sequence[Gap]) -> tuple[Edit, ...]:
    """The same in the chart's values: the list of its datasource file, or of what the chart adds to its own."""
    if owner is None or owner.values is None or not gaps:
        return ()
    added = [{"uid": g.uid, **g.fields} for g in gaps if g.have is None]
    moved = {str(g.have.get("name")): g.fields for g in gaps if g.have is not None}
    path = _list_path(owner)
    listed = helm.at(owner.values, *path)
    there = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
    entries = [{**entry, **moved.get(str(entry.get("name")), {})} for entry in there] + added
    if entries == there:
        return ()
    new_file = path[0] == "datasources" and helm.at(owner.values, *path[:2]) is None
    if new_file:
        return (Edit((*owner.prefix, *path[:2]), {"apiVersion": 1, "datasources": entries}),)
    return (Edit((*owner.prefix, *path), entries),)


def _list_path(owner: owning.Owner) -> tuple[str, ...]:
    """Where the chart takes datasources from: kube-prometheus-stack's own list while its sidecar runs, else a file."""
    collected = helm.at(owner.values, "sidecar", "datasources", "enabled") is not False
    if owner.prefix and collected:
        return ("additionalDataSources",)
    files = helm.at(owner.values, "datasources")
    names = sorted(name for name in files if isinstance(files[name], dict)) if isinstance(files, dict) else []
    return ("datasources", names[0] if names else "datasources.yaml", "datasources")


ACTION = Action(
    slug=SLUG,
    title="Configure datasources",
    family="Grafana",
    tier=1,
    summary="Give Grafana the cluster's Prometheus and Alertmanager, by a file that it collects or by its API.",
    params=DatasourceParams,
    needs=needs,
    draft=draft,
    rules=(Rule("", "configmaps", ("get", "patch", "create", "delete")),),
    undo=f"By a file: {_UNDO_FILE} By the API: {_UNDO_API}",
    undoable=True,
    guards=(
        "a datasource that a file provisioned is never written through the API",
        "a datasource that is the default already stays the default",
        "a datasource that changed since it was read answers 409 and is not overwritten",
    ),
    verified_by="Prometheus is the default datasource and healthy; Alertmanager is there.",
    reference="https://grafana.com/docs/grafana/latest/administration/provisioning/#data-sources",
)
