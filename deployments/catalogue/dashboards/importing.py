"""*Import DORA dashboards*: our own boards into Grafana (facts: P5).

Where something collects dashboards from ConfigMaps, a ConfigMap is the way: it survives the pod and is undone by its
uid. Else Grafana's API, into a folder of its own. A dashboard that a person changed meanwhile is not overwritten: the
request names the version that was read, and Grafana refuses it (412) when that is no longer the newest.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec

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
from deployments.catalogue.argo import calls
from deployments.catalogue.dashboards import api, gitops, stack, standalone_set
from deployments.catalogue.dashboards.boards import BOARDS, Board
from monitoring.checks.grafana import DATASOURCES, known_datasources
from monitoring.checks.text import clean
from monitoring.snapshot import Missing, Need, Objects, Snapshot

SLUG = "import-dora-dashboards"
TAG = "dora"
FOLDER = "dora"
#: the ConfigMap that a sidecar collects, its set and its field manager
CONFIG = "portal-dashboards-dora"
_NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
#: the Secret, ConfigMap and Event limit of the API server is 1 MiB; far below it nobody has to count
_LARGEST = 500_000
_UNDO_FILE = "Delete the ConfigMap by its uid: Grafana drops its dashboards when it reads again."
_UNDO_API = (
    "The dashboards it imports are deleted by their uid; their folder stays. What an update replaced is in the version "
    "history that Grafana keeps of the dashboard."
)

Way = Literal["auto", "configmap", "api"]


class ImportParams(Params, frozen=True):
    """Where Grafana is, and how it is told."""

    namespace: Annotated[
        str, msgspec.Meta(pattern=_NAME, description="Namespace Grafana runs in; empty: found in the cluster")
    ] = ""
    mode: Annotated[Literal["import", "remove"], msgspec.Meta(description="Import, or remove by uid")] = "import"
    way: Annotated[
        Way, msgspec.Meta(description="A ConfigMap that Grafana collects, or its API; auto takes the first if it can")
    ] = "auto"
    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600, description="How long all checks must hold")] = 5
    verify_seconds: Annotated[int, msgspec.Meta(ge=1, le=7200, description="When verifying gives up")] = 120


@dataclass(frozen=True, slots=True)
class _State:
    """One board and what Grafana has under its uid."""

    board: Board
    have: dict[str, Any] | None

    @property
    def meta(self) -> dict[str, Any]:
        found = (self.have or {}).get("meta")
        return found if isinstance(found, dict) else {}

    @property
    def version(self) -> int:
        inner = (self.have or {}).get("dashboard")
        found = inner.get("version") if isinstance(inner, dict) else None
        return found if isinstance(found, int) else 0

    @property
    def provisioned(self) -> bool:
        return bool(self.meta.get("provisioned"))

    @property
    def current(self) -> bool:
        return self.have is not None and api.revision_of(self.have) == self.board.revision

    @property
    def words(self) -> str:
        if self.have is None:
            return f"{self.board.title} is not there"
        origin = " from a file" if self.provisioned else f", version {self.version}"
        same = "as it should be" if self.current else "with other content"
        return f"{self.board.title} is there{origin}, {same}"


@dataclass(frozen=True, slots=True)
class _Target:
    """The ConfigMap that is collected: its name, labels, and by whom."""

    name: str
    labels: dict[str, str]
    by: str


def needs(snapshot: Snapshot, params: ImportParams) -> Iterable[Need]:
    """Grafana's workload, what it has under our uids and tag, and who renders it."""
    yield from stack.needs()
    yield DATASOURCES
    yield api.folder(FOLDER)
    yield from (api.dashboard(board.uid) for board in BOARDS)
    yield Objects(calls.APPLICATIONS)
    with suppress(Missing, CannotPlan):
        yield Objects("configmaps", stack.namespace_of(snapshot, params.namespace))


def draft(snapshot: Snapshot, params: ImportParams) -> PlanDraft:
    """One ConfigMap, or one request for each board. :raises CannotPlan, Missing:"""
    namespace = stack.namespace_of(snapshot, params.namespace)
    running = stack.workloads(snapshot, namespace)
    target = _target(running, namespace)
    states = [_State(board, api.found(snapshot, api.dashboard(board.uid))) for board in BOARDS]
    removing = params.mode == "remove"
    by_file = params.way == "configmap" or (params.way == "auto" and target is not None and not removing)
    todo = [s for s in states if (s.have is not None if removing else not s.current)]
    way: Way = "configmap" if by_file else "api"
    if by_file:
        steps = tuple(_file_steps(target, namespace, todo)) if target is not None else ()
    else:
        steps = tuple(_remove_steps(todo) if removing else _api_steps(snapshot, todo))
    filled = ImportParams(
        namespace=namespace,
        mode=params.mode,
        way=way,
        hold_seconds=params.hold_seconds,
        verify_seconds=params.verify_seconds,
    )
    owner = gitops.owner(snapshot, namespace)
    return PlanDraft(
        params=msgspec.to_builtins(filled),
        preconditions=tuple(_preconditions(snapshot, states, todo, target, filled)),
        steps=steps,
        verification=_verification(filled),
        undo=_UNDO_FILE if by_file else "Import them again." if removing else _UNDO_API,
        blast=_blast(running, states, todo, filled),
        managed_by=gitops.managed_by(snapshot, owner) if owner is not None else "",
        git_way="" if removing else _git_way(namespace),
    )


def _target(running: Iterable[stack.Running], namespace: str) -> _Target | None:
    """What Grafana collects: the standalone set's own ConfigMap, or whatever its dashboards sidecar is told to."""
    workloads = list(running)
    if any(r.item.metadata.name == standalone_set.NAME and r.replicas for r in workloads):
        return _Target(standalone_set.DASHBOARDS, dict(standalone_set.LABELS), f"Deployment {standalone_set.NAME}")
    found = stack.sidecar(workloads, "dashboard", namespace)
    return _Target(CONFIG, found.labels, f"container {found.container}") if found is not None else None


# -- preconditions


def _preconditions(
    snapshot: Snapshot, states: list[_State], todo: list[_State], target: _Target | None, params: ImportParams
) -> Iterable[Precondition]:
    said = "; ".join(s.words for s in states)
    if params.mode == "remove":
        yield Precondition("A dashboard of ours is in Grafana", bool(todo), said)
    else:
        yield Precondition("A dashboard of ours is missing or older", bool(todo), said)
        sources = [d for d in known_datasources(snapshot) if d.get("type") == "prometheus"]
        named = ", ".join(clean(str(d.get("name")), 80) for d in sources)
        yield Precondition(
            "Grafana has a Prometheus to ask", bool(sources), named or "no datasource of type prometheus"
        )
    if params.way == "configmap":
        collected = f"{target.by} collects ConfigMap {target.name}" if target else "nothing collects ConfigMaps"
        yield Precondition("Grafana collects dashboards from ConfigMaps", target is not None, collected)
        strange = [s for s in todo if s.have is not None and not s.provisioned]
        if strange:
            words = f"{'; '.join(s.words for s in strange)}; run mode=remove first, a file would take it over"
            yield Precondition("No dashboard made through the API is in the way", False, words)
    else:
        fixed = [s for s in todo if s.provisioned]
        words = "; ".join(s.words for s in fixed) or "none of them is from a file"
        yield Precondition("No file provisions a dashboard that would be written", not fixed, words)


# -- steps


def _file_steps(target: _Target, namespace: str, todo: list[_State]) -> Iterable[StepSpec]:
    if not todo:
        return
    step = partial(StepSpec, resource="configmaps", namespace=namespace, name=target.name)
    first, *rest = todo
    yield step(
        verb="provision",
        title=f"Write {len(BOARDS)} dashboards into ConfigMap {target.name}",
        how="server-side apply",
        effect=Apply(config_map(namespace, target.name, target.labels), target.name),
        until=_is(first.board),
        timeout_seconds=240,
    )
    for state in rest:
        title = f"Wait until Grafana has {state.board.title}"
        yield step(verb="wait", title=title, how="read", until=_is(state.board), timeout_seconds=240)


def config_map(namespace: str, name: str, labels: dict[str, str]) -> dict[str, Any]:
    """All boards in one ConfigMap. The whole set each time: what its manager leaves out is removed."""
    data = {f"{board.uid}.json": board.text for board in BOARDS}
    if sum(map(len, data.values())) > _LARGEST:
        raise CannotPlan("The dashboards are too large for one ConfigMap.")
    mine = {"app.kubernetes.io/managed-by": "portal", "portal.remediation/set": name}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**mine, **labels},
            "annotations": {MARK: "${run.mark}"},
        },
        "data": data,
    }


def _api_steps(snapshot: Snapshot, todo: list[_State]) -> Iterable[StepSpec]:
    if todo and api.found(snapshot, api.folder(FOLDER)) is None:
        folder = {"uid": FOLDER, "title": "DORA"}
        made = Condition("grafana_folder_is", {"uid": FOLDER})
        yield StepSpec(
            verb="add",
            title="Add folder DORA",
            how="POST",
            resource="folders.grafana",
            namespace="",
            name=FOLDER,
            effect=Call("grafana", "POST", "/api/folders", made, folder, (Shown("folder DORA", None, FOLDER),)),
        )
    for state in todo:
        board, new = state.board, state.have is None
        # not overwrite: the version that was read must still be the newest
        content = {**board.content, "id": None, "version": state.version}
        body: dict[str, Any] = {
            "dashboard": content,
            "folderUid": FOLDER,
            "overwrite": False,
            "message": "Phaseboard ${run.mark}",
        }
        shown = (
            Shown(f"dashboard {board.uid}: revision", api.revision_of(state.have or {}) or None, board.revision),
            Shown(f"dashboard {board.uid}: panels", _panels(state), board.panels),
        )
        yield StepSpec(
            verb="import" if new else "update",
            title=f"{'Import' if new else 'Update'} dashboard {board.title}",
            how="POST",
            resource="dashboards.grafana",
            namespace="",
            name=board.uid,
            effect=Call(
                "grafana",
                "POST",
                "/api/dashboards/db",
                _is(board),
                body,
                shown,
                undo=_removal(board.uid, 1) if new else None,
            ),
            irreversible=not new,
        )


def _remove_steps(todo: list[_State]) -> Iterable[StepSpec]:
    for state in todo:
        uid = state.board.uid
        yield StepSpec(
            verb="remove",
            title=f"Remove dashboard {state.board.title}",
            how="DELETE",
            resource="dashboards.grafana",
            namespace="",
            name=uid,
            effect=_removal(uid, state.version),
            until=_removal(uid, state.version).made,
            irreversible=True,
        )


def _removal(uid: str, version: int) -> Call:
    gone = Condition("grafana_dashboard_gone", {"uid": uid})
    shown = (Shown(f"dashboard {uid}", f"version {version}"),)
    return Call("grafana", "DELETE", f"/api/dashboards/uid/{quote(uid, safe='')}", gone, None, shown)


def _panels(state: _State) -> int | None:
    inner = (state.have or {}).get("dashboard")
    panels = inner.get("panels") if isinstance(inner, dict) else None
    return len(panels) if isinstance(panels, list) else None


def _is(board: Board) -> Condition:
    return Condition("grafana_dashboard_is", {"uid": board.uid, "revision": board.revision})


def _verification(params: ImportParams) -> Verification:
    # of a removal the requests' own conditions are the evidence: a dashboard of the same tag may be somebody else's
    asked = {"tag": TAG, "minimum": len(BOARDS)}
    checks = (CheckSpec("Dashboards are there", "grafana_dashboards", asked),) if params.mode == "import" else ()
    held = (params.hold_seconds, max(params.verify_seconds, params.hold_seconds + 5)) if checks else (0, 0)
    return Verification(checks, *held)


# -- words


def _blast(running: Iterable[stack.Running], states: list[_State], todo: list[_State], params: ImportParams) -> Blast:
    said = "No pod restarts."
    if params.mode == "import" and params.way == "api" and not any(r.keeps_data for r in running):
        said += " Grafana keeps its data in the pod: what is made through its API is gone when the pod is."
    named = {new: tuple(f"Dashboard {s.board.title}" for s in todo if (s.have is None) is new) for new in (True, False)}
    left = tuple(f"Dashboard {s.board.title}" for s in states if s not in todo)
    if params.mode == "remove":
        return Blast(deleted=named[False], sentence=said)
    return Blast(created=named[True], changed=named[False], unchanged=left, sentence=said)


def _git_way(namespace: str) -> str:
    return (
        f'Through Git: commit the same JSON as a ConfigMap in {namespace} with the label grafana_dashboard: "1"; it '
        "is collected once the chart's dashboards sidecar is on (grafana.sidecar.dashboards.enabled)."
    )


ACTION = Action(
    slug=SLUG,
    title="Import DORA dashboards",
    family="Grafana",
    tier=1,
    summary="Our DORA board and our Argo CD board, tagged dora: as a ConfigMap that Grafana collects, else by its API.",
    params=ImportParams,
    needs=needs,
    draft=draft,
    rules=(Rule("", "configmaps", ("get", "patch", "create", "delete")),),
    undo=f"By a ConfigMap: {_UNDO_FILE} By the API: {_UNDO_API}",
    undoable=True,
    guards=(
        "a dashboard that changed since it was read is not overwritten (412)",
        "a dashboard that a file provisioned is never written through the API",
        "only the uids dora-overview and argocd-delivery are written or removed",
    ),
    verified_by="Both dashboards are found by tag dora and their datasources resolve.",
    reference="https://grafana.com/docs/grafana/latest/developers/http_api/dashboard/",
)
