"""*Fix a duplicate default datasource* (G2): show every default with where it is written, and leave one.

What the values make is changed in the values (Git first, live only when nobody reverts that); a ConfigMap that nobody
renders is changed where it is. Grafana's container crashes until then and starts again by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

import msgspec

from deployments.catalogue.action import (
    Action,
    Blast,
    CannotPlan,
    CheckSpec,
    Condition,
    Params,
    Patch,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls, ownership
from deployments.catalogue.dashboards import chart as charts
from deployments.catalogue.dashboards import defaults, gitops, owning, repair_checks, repair_steps, repair_values, stack
from deployments.catalogue.dashboards.defaults import Default
from deployments.catalogue.dashboards.repair_values import Change
from integrations.kubernetes.objects import ConfigMap
from monitoring.snapshot import Missing, Need, Objects, ServerVersion, Snapshot

SLUG = "fix-duplicate-default-datasource"
_NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
_UNDO = "Mark them as default again where they were: the ConfigMaps by an undo of the run, the values in Git."


class DefaultParams(Params, frozen=True):
    """Which Grafana, and which datasource stays the default."""

    namespace: Annotated[
        str, msgspec.Meta(pattern=_NAME, description="Namespace Grafana runs in; empty: found in the cluster")
    ] = ""
    keep: Annotated[
        str,
        msgspec.Meta(
            max_length=190, description="Name of the datasource that stays the default; empty: found in the cluster"
        ),
    ] = ""
    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600, description="How long all checks must hold")] = 30
    verify_seconds: Annotated[int, msgspec.Meta(ge=1, le=7200, description="When verifying gives up")] = 300
    rollout_seconds: Annotated[int, msgspec.Meta(ge=5, le=7200, description="How long the next start may take")] = 480


@dataclass(frozen=True, slots=True)
class _Found:
    """Every default, the one that stays, and how the others go."""

    namespace: str
    owner: owning.Owner | None
    all: tuple[Default, ...]
    keep: Default | None
    change: Change | None
    #: ConfigMaps that are changed where they are, or why not
    patches: tuple[tuple[ConfigMap, Patch | None, str], ...]


def needs(snapshot: Snapshot, params: DefaultParams) -> Iterable[Need]:
    """Grafana's workload, the ConfigMaps it reads, and who renders it."""
    yield from stack.needs()
    yield Objects(calls.APPLICATIONS)
    yield Objects("appprojects.argoproj.io")
    yield Objects("configmaps", "", defaults.LABEL)
    yield ServerVersion()
    with suppress(Missing, CannotPlan):
        yield Objects("configmaps", stack.namespace_of(snapshot, params.namespace))


def draft(snapshot: Snapshot, params: DefaultParams) -> PlanDraft:
    """Unmark all but one. :raises CannotPlan: no datasource of the name given is a default. :raises Missing:"""
    found = _find(snapshot, params)
    change = found.change
    git = change.git if change is not None else None
    filled = msgspec.structs.replace(
        params, namespace=found.namespace, keep=found.keep.name if found.keep is not None else params.keep
    )
    return PlanDraft(
        params=msgspec.to_builtins(filled),
        preconditions=tuple(_preconditions(snapshot, found)),
        steps=tuple(_steps(snapshot, found, params)),
        verification=_verification(found, params),
        undo=_UNDO,
        blast=_blast(found),
        managed_by=_managed_by(snapshot, found),
        git_way=git.sentence if git is not None else "",
        git_patch=git.text if git is not None else "",
        git_change=git.change if git is not None else None,
        locks=(ownership.ref_of(found.owner.app),) if found.owner is not None else (),
    )


def _find(snapshot: Snapshot, params: DefaultParams) -> _Found:
    namespace = stack.namespace_of(snapshot, params.namespace)
    owner = gitops.owner(snapshot, namespace)
    everything = tuple(defaults.find(snapshot, namespace, owner))
    keep = defaults.kept(everything, params.keep)
    if params.keep and keep is None:
        named = ", ".join(sorted({d.name for d in everything})) or "none"
        raise CannotPlan(f"No datasource called {params.keep} is marked as default. Marked are: {named}.")
    others = [d for d in everything if d is not keep]
    patches = tuple(_patches(snapshot, [d for d in others if not d.path]))
    change = _change(snapshot, owner, others) if owner is not None else None
    return _Found(namespace, owner, everything, keep, change, patches)


def _patches(snapshot: Snapshot, extras: Sequence[Default]) -> Iterable[tuple[ConfigMap, Patch | None, str]]:
    items = {(d.config_map.metadata.namespace, d.config_map.metadata.name): d.config_map for d in extras}
    for key, item in sorted(items.items()):
        mine = [d for d in extras if (d.config_map.metadata.namespace, d.config_map.metadata.name) == key]
        if ownership.reverts(snapshot, item.metadata, "/data"):
            yield item, None, ownership.sentence(snapshot, item.metadata, "/data")
            continue
        try:
            yield item, defaults.patch(item, mine), ""
        except ValueError as error:
            yield item, None, f"{error}; change it by hand"


def _change(snapshot: Snapshot, owner: owning.Owner, others: Sequence[Default]) -> Change | None:
    edits = defaults.edits(owner, others)
    if not edits:
        return None
    version = charts.of(snapshot, owner.namespace, owner.version if owner.prefix else "")
    return repair_values.changed(snapshot, owner, version, edits)


# -- preconditions


def _preconditions(snapshot: Snapshot, found: _Found) -> Iterable[Precondition]:
    said = "; ".join(d.words for d in found.all) or "none is marked"
    yield Precondition("More than one datasource is marked as default", len(found.all) > 1, said)
    if found.keep is not None and len(found.all) > 1:
        yield Precondition("One stays the default", True, found.keep.words)
    for item, made, why in found.patches:
        sentence = f"ConfigMap {item.metadata.name} can be changed where it is"
        yield Precondition(sentence, made is not None, why or "nobody sets it back")
    if found.change is not None and found.owner is not None:
        expected = repair_checks.Expected("", found.namespace, found.owner.release)
        yield from repair_checks.for_values(snapshot, found.owner, expected, found.change)


# -- steps


def _steps(snapshot: Snapshot, found: _Found, params: DefaultParams) -> Iterable[StepSpec]:
    for item, made, _ in found.patches:
        if made is not None:
            yield StepSpec(
                verb="unmark",
                title=f"Leave no default in ConfigMap {item.metadata.name}",
                how="merge patch",
                resource="configmaps",
                namespace=item.metadata.namespace,
                name=item.metadata.name,
                effect=made,
            )
    if found.owner is not None and found.change is not None:
        yield from repair_steps.steps(snapshot, found.owner, found.change, params.rollout_seconds)
    elif found.patches and (running := stack.workloads(snapshot, found.namespace)):
        yield _wait(running[0], params.rollout_seconds)


def _wait(running: stack.Running, seconds: int) -> StepSpec:
    meta = running.item.metadata
    labels = running.item.spec.selector.match_labels
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    where = {"namespace": meta.namespace, "name": meta.name, "selector": selector, "kind": running.kind}
    return StepSpec(
        verb="wait",
        title=f"Wait until {running.title} starts",
        how="read",
        resource=running.resource,
        namespace=meta.namespace,
        name=meta.name,
        until=Condition("grafana_comes_up", where),
        timeout_seconds=seconds,
    )


def _verification(found: _Found, params: DefaultParams) -> Verification:
    where = {"namespace": found.namespace, "selector": "app.kubernetes.io/name=grafana"}
    return Verification(
        checks=(
            CheckSpec("Workload is ready", "workload_ready", {**where, "kind": "Deployment"}),
            CheckSpec("Grafana answers", "grafana_health", {"namespace": found.namespace}),
        ),
        hold_seconds=params.hold_seconds,
        timeout_seconds=max(params.verify_seconds, params.hold_seconds + 5),
    )


# -- words


def _blast(found: _Found) -> Blast:
    changed = [f"ConfigMap {item.metadata.name}" for item, made, _ in found.patches if made is not None]
    if found.change is not None and found.owner is not None:
        changed.append(f"Application {found.owner.app.metadata.name}")
    stays = found.keep.name if found.keep is not None else "none"
    return Blast(
        changed=tuple(changed),
        sentence=f"{stays} stays the default. Dashboards that name no datasource ask it from then on. Grafana's "
        "container starts again by itself, at most five minutes after its last crash.",
    )


def _managed_by(snapshot: Snapshot, found: _Found) -> str:
    if found.owner is None:
        return ""
    name = found.owner.app.metadata.name
    if found.change is None:
        return f"Argo CD app {name} renders Grafana. What this plan changes it does not render, so nothing is reverted."
    by = gitops.reverted_by(snapshot, found.owner)
    how = f"{by} reverts a live change of its values" if by else "nobody above it reverts a live change of its values"
    return f"Argo CD app {name} renders what changes; {how}."


ACTION = Action(
    slug=SLUG,
    title="Fix a duplicate default datasource",
    family="Grafana",
    tier=1,
    summary="Leave one default datasource where Grafana finds several and does not start (G2).",
    params=DefaultParams,
    needs=needs,
    draft=draft,
    rules=(
        Rule("", "configmaps", ("get", "patch")),
        Rule("argoproj.io", "applications", ("get", "patch")),
    ),
    undo=_UNDO,
    undoable=True,
    guards=(
        "every default is shown with the ConfigMap, the key and the value that makes it",
        "a ConfigMap that Argo CD would set back is changed in Git alone",
        "credentials in a changed file never enter the plan",
    ),
    verified_by="Grafana's Deployment is ready and Grafana answers.",
    reference="https://grafana.com/docs/grafana/latest/administration/provisioning/#data-sources",
)
