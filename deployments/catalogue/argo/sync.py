"""*Sync an Application* and *Sync selected resources*: let Argo CD apply what Git says, once.

The whole sync refreshes first and goes on only while nothing else differs than the plan showed. It prunes when asked
to, and only what the plan listed: never a definition, a namespace, a volume or an Application, with which everything in
them would go (facts: 0.7; prune knows no such exception).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from deployments.catalogue.action import (
    Action,
    Blast,
    CannotPlan,
    CheckSpec,
    Condition,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls, reading, targets
from deployments.catalogue.argo.waits import application, gone
from deployments.catalogue.seen import Line, Outlook, Seen
from integrations.kubernetes.custom import Application, AppResource
from monitoring.checks.text import clean
from monitoring.snapshot import Snapshot

#: what pruning would take everything else with
NEVER_PRUNED = {
    "CustomResourceDefinition",
    "Namespace",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "Application",  # its finalizer would delete all that it manages
    "ApplicationSet",
}
_WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet"}
_ONE = re.compile(
    r"(?P<kind>[A-Za-z0-9]+)(?:\.(?P<group>[a-z0-9.-]+))?/(?:(?P<namespace>[a-z0-9-]+)/)?(?P<name>[^/\s]+)"
)
_MOST_CHECKS = 20
_UNDO = "Nothing to undo in Git: it is the desired state that is applied. Roll back with an older history entry."
_UNDO_PRUNED = "Irreversible for what is pruned: Git no longer has it. What is applied is what Git says."
RULES = (Rule("argoproj.io", "applications", ("get", "patch")),)
_REFERENCE = "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/"


class SyncParams(targets.VerifiedParams, frozen=True):
    """Which Application, and whether what Git no longer has is deleted."""

    prune: Annotated[
        Literal["off", "on"], msgspec.Meta(description="on deletes what Git no longer has, after showing the list")
    ] = "off"


class SelectedParams(targets.VerifiedParams, frozen=True):
    """Which Application, and which of its objects."""

    resources: Annotated[
        str,
        msgspec.Meta(max_length=8000, description="Kind[.group]/[namespace/]name, commas between; empty: what differs"),
    ] = ""


# -- the whole


def draft_whole(snapshot: Snapshot, params: SyncParams) -> PlanDraft:
    """Refresh, compare, one operation. :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    differ = targets.ordered(r for r in reading.differing(app) if not r.requires_pruning)
    extra = targets.ordered(r for r in app.status.resources if r.requires_pruning and not r.hook)
    pruned = extra if params.prune == "on" else []
    where = targets.where(app)
    shown = Condition(
        "argocd_differs_within",
        {**where, "differ": [_key(r) for r in differ], "pruned": [_key(r) for r in extra]},
    )
    step = targets.step(app)
    return PlanDraft(
        params=msgspec.to_builtins(params) | targets.named(app),
        preconditions=(
            *_common(snapshot, app),
            targets.same_names(app),
            _pruning(extra, on=params.prune == "on"),
            Precondition("What will be applied is known", True, _differs(differ)),
        ),
        steps=(
            targets.refresh_step(app),
            step(
                verb="compare",
                title="Compare: stop if anything else differs than shown here",
                how="read",
                until=shown,
            ),
            sync_step(app, [], _title(app, pruned), prune=bool(pruned), guards=(shown,)),
        ),
        verification=_whole_verification(app, params, left=bool(extra) and not pruned),
        undo=_UNDO_PRUNED if pruned else _UNDO,
        blast=_blast(app, differ, pruned, kept=[] if pruned else extra),
        managed_by=targets.managed_by(app, snapshot.objects(calls.APPLICATIONS)),
        git_way="Git already says what is wanted; a new commit makes Argo CD sync by itself where auto-sync is on.",
        locks=tuple(targets.ref(r) for r in (*differ, *pruned)),
        tier=3 if pruned else None,
        confirm=app.metadata.name if pruned else "",
    )


def sync_step(
    app: Application,
    resources: list[AppResource],
    title: str,
    *,
    prune: bool = False,
    guards: tuple[Condition, ...] = (),
) -> StepSpec:
    """One operation of Argo CD, started only while none runs; it waits for that operation's end."""
    where = targets.where(app)
    return targets.step(app)(
        verb="sync",
        title=title,
        how="Argo CD",
        timeout_seconds=900,
        effect=calls.sync_patch(app, resources, prune=prune),
        guards=(Condition("argocd_idle", where), *guards),
        until=Condition("argocd_operation_done", {**where, "mark": "${run.mark}"}),
        irreversible=prune,
    )


def _title(app: Application, pruned: list[AppResource]) -> str:
    return f"Sync {app.metadata.name}, {f'prune {targets.counted(len(pruned))}' if pruned else 'prune off'}"


def _common(snapshot: Snapshot, app: Application) -> tuple[Precondition, ...]:
    return (targets.alive(app), targets.window_open(snapshot, app), targets.idle(app), targets.comparable(app))


def _pruning(extra: list[AppResource], *, on: bool) -> Precondition:
    names = [targets.label(r) for r in extra]
    if not on:
        said = f"prune is off; Git no longer has {reading.some(names)}, which stay" if names else "prune is off"
        return Precondition("Nothing is deleted", True, said)
    never = [targets.label(r) for r in extra if r.kind in NEVER_PRUNED]
    if never:
        why = "with it everything that is in it or of its kind would go; take it out of the list by hand first"
        return Precondition("Nothing is pruned that takes others with it", False, f"{reading.some(never)}: {why}")
    said = f"{len(names)} are deleted: {', '.join(names[:40])}" if names else "Git has everything that is there"
    return Precondition("What is pruned is known, and takes nothing else with it", True, said)


def _differs(differ: list[AppResource]) -> str:
    if not differ:
        return "nothing differs from Git; hooks run again and the sync enters the history"
    return ", ".join(f"{targets.label(r)} {reading.describe(r)}" for r in differ[:12]) + (
        f" and {len(differ) - 12} more" if len(differ) > 12 else ""
    )


def _whole_verification(app: Application, params: SyncParams, *, left: bool) -> Verification:
    """With something left that only pruning would settle, Argo CD goes on saying OutOfSync: its operation must do."""
    if left:
        return Verification((), 0, 0)
    return Verification(
        (CheckSpec("Argo CD agrees", "argocd_application", targets.where(app)),),
        params.hold_seconds,
        max(params.verify_seconds, params.hold_seconds + 5),
    )


# -- selected


def draft_selected(snapshot: Snapshot, params: SelectedParams) -> PlanDraft:
    """One operation of the objects named. :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    chosen = _chosen(app, params.resources)
    pruned = [targets.label(r) for r in chosen if r.requires_pruning]
    hooks = any(r.hook for r in app.status.resources)
    filled = ", ".join(f"{_kind(r)}/{f'{r.namespace}/' if r.namespace else ''}{r.name}" for r in chosen)
    workloads = [r for r in chosen if r.group == "apps" and r.kind in _WORKLOADS][:_MOST_CHECKS]
    return PlanDraft(
        params=msgspec.to_builtins(params) | targets.named(app) | {"resources": filled},
        preconditions=(
            *_common(snapshot, app),
            targets.same_names(app),
            Precondition(
                "Git has everything that is selected",
                not pruned,
                f"Git no longer has {reading.some(pruned)}" if pruned else targets.counted(len(chosen)),
            ),
        ),
        steps=(sync_step(app, chosen, f"Sync {targets.counted(len(chosen))} of {app.metadata.name}, prune off"),),
        verification=Verification(
            tuple(
                CheckSpec(
                    f"{r.kind} {r.name} is ready",
                    "workload_ready",
                    {"namespace": r.namespace, "name": r.name, "kind": r.kind},
                )
                for r in workloads
            ),
            params.hold_seconds if workloads else 0,
            max(params.verify_seconds, params.hold_seconds + 5) if workloads else 0,
        ),
        undo=_UNDO,
        blast=_blast(app, chosen, [], kept=[]),
        managed_by=targets.managed_by(app, snapshot.objects(calls.APPLICATIONS)),
        git_way="Git already says what is wanted. "
        f"A sync of selected objects{' runs no hooks and' if hooks else ''} makes no history entry: sync the whole "
        "afterwards.",
        locks=tuple(targets.ref(r) for r in chosen),
    )


def _chosen(app: Application, text: str) -> list[AppResource]:
    """The resources meant, in a fixed order. :raises CannotPlan:"""
    mine = [r for r in app.status.resources if not r.hook]
    differ = [r for r in mine if r.status != "Synced" and not r.requires_pruning]
    parts = [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]
    if not parts:
        if not differ:
            raise CannotPlan(f"Nothing of {app.metadata.name} differs from Git; name objects by --param resources.")
        return targets.ordered(differ)
    found: dict[tuple[str, str, str, str], AppResource] = {}
    for part in parts:
        match = _ONE.fullmatch(part)
        if match is None:
            raise CannotPlan(f"“{clean(part, 80)}” is not Kind/name, Kind.group/name or Kind/namespace/name.")
        hits = [r for r in mine if _is(r, match)]
        if len(hits) != 1:
            several = f"{len(hits)} objects of {app.metadata.name} are {clean(part, 80)}; say group or namespace"
            raise CannotPlan(f"{several if hits else f'{app.metadata.name} renders no {clean(part, 80)}'}.")
        found[_key_of(hits[0])] = hits[0]
    return targets.ordered(found.values())


def _is(r: AppResource, match: re.Match[str]) -> bool:
    return (
        r.kind.lower() == match["kind"].lower()
        and r.name == match["name"]
        and match["group"] in (None, r.group)
        and match["namespace"] in (None, r.namespace)
    )


# -- words


def _blast(app: Application, touched: list[AppResource], pruned: list[AppResource], kept: list[AppResource]) -> Blast:
    missing = [r for r in touched if reading.describe(r) == "missing"]
    changed = [r for r in touched if r.status != "Synced" and r not in missing]
    same = [r for r in touched if r.status == "Synced" and r not in missing]
    pods = [targets.label(r) for r in changed if r.group == "apps" and r.kind in _WORKLOADS]
    rest = len([r for r in app.status.resources if not r.hook]) - len(touched) - len(pruned)
    words = [f"Not touched: {rest} other objects of {app.metadata.name}."]
    if pods:
        words.append(f"Pods of {reading.some(pods)} are replaced where the pod template differs.")
    if kept:
        words.append(f"Git no longer has {reading.some([targets.label(r) for r in kept])}; they stay.")
    return Blast(
        created=tuple(map(targets.label, missing)),
        changed=tuple(map(targets.label, changed)),
        unchanged=tuple(map(targets.label, same)),
        deleted=tuple(map(targets.label, pruned)),
        sentence=" ".join(words),
    )


def _kind(r: AppResource) -> str:
    return f"{r.kind}.{r.group}" if r.group else r.kind


def _key_of(r: AppResource) -> tuple[str, str, str, str]:
    return r.group, r.kind, r.namespace, r.name


def _key(r: AppResource) -> str:
    return "/".join(_key_of(r))


# -- the condition


def differs_within(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Nothing differs from Git, and nothing would be pruned, but what ``differ`` and ``pruned`` list."""
    app = application(snapshot, args)
    if app is None:
        return gone(args)
    said = targets.comparable(app)
    if not said.met:
        failed = any(c.type in ("ComparisonError", "InvalidSpecError") for c in app.status.conditions)
        return Seen(Outlook.REFUSED if failed else Outlook.NOT_YET, f"{args['name']}: {said.evidence}")
    differ = [r for r in reading.differing(app) if not r.requires_pruning and _key(r) not in args["differ"]]
    extra = [r for r in app.status.resources if r.requires_pruning and not r.hook and _key(r) not in args["pruned"]]
    if differ or extra:
        names = reading.some([targets.label(r) for r in (*differ, *extra)])
        return Seen(Outlook.REFUSED, f"More differs from Git than the plan showed: {names}; make a new plan.")
    lines = tuple(
        Line(f"differs from Git: {targets.label(r)} ({reading.describe(r)})") for r in reading.differing(app)[:12]
    )
    return Seen(Outlook.MET, f"Nothing else differs than the plan showed ({len(reading.differing(app))}).", lines)


SYNC = Action(
    slug="sync-application",
    title="Sync an Application",
    family="Argo CD",
    tier=1,
    summary="Refresh, compare with what the plan showed, one sync of everything. Prunes only when asked, from a list.",
    params=SyncParams,
    needs=targets.needs,
    draft=draft_whole,
    rules=RULES,
    undo=_UNDO,
    guards=(
        "No operation runs and no sync window is closed, read again just before the sync.",
        "Nothing else differs from Git, and nothing else would be pruned, than the plan showed.",
        "Never prunes a definition, a namespace, a claim, a volume or another Application.",
        "The rendered names are those that run, else a second copy would be installed.",
    ),
    verified_by="Argo CD's own operation, then Synced and Healthy for the time asked for.",
    reference=_REFERENCE,
)

SELECTED = Action(
    slug="sync-selected-resources",
    title="Sync selected resources",
    family="Argo CD",
    tier=1,
    summary="One sync of the objects named (or of all that differ): no hooks, no pruning, no history entry.",
    params=SelectedParams,
    needs=targets.needs,
    draft=draft_selected,
    rules=RULES,
    undo=_UNDO,
    guards=(
        "No operation runs and no sync window is closed, read again just before the sync.",
        "Everything selected is in Git.",
    ),
    verified_by="Argo CD's own operation, then each selected workload is ready for the time asked for.",
    reference="https://argo-cd.readthedocs.io/en/stable/user-guide/selective_sync/",
)
