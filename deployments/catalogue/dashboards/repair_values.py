"""Which values a repair changes: the fixes and the recipe that the diagnosis asks for, as edits. Pure.

``auto`` is decided by the findings and nothing else, so the same snapshot gives the same plan; what was decided is
filled into the parameters, so that the plan stays the same while the pods it repairs go up and down.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from deployments.catalogue.action import CannotPlan, Patch, Precondition
from deployments.catalogue.argo import git_patch, helm, ownership
from deployments.catalogue.argo.git_patch import GitPatch
from deployments.catalogue.argo.values import Edit
from deployments.catalogue.dashboards import chart as charts
from deployments.catalogue.dashboards import datasources, gitops
from deployments.catalogue.dashboards.chart import FIXES, Chart, Recipe
from deployments.catalogue.dashboards.owning import Owner
from integrations.kubernetes.custom import Application
from monitoring import diagnosis
from monitoring.snapshot import Missing, Need, ServerVersion, Snapshot
from monitoring.verdict import Finding

NONE = "none"


@dataclass(frozen=True, slots=True)
class Change:
    """The values a repair changes. ``edits`` are what they do not say yet; with none, a sync is all."""

    chart: Chart
    recipe: Recipe
    fixes: tuple[str, ...]
    findings: tuple[Finding, ...]
    edits: tuple[Edit, ...]
    git: GitPatch | None
    live: Patch | None
    #: why the values cannot be changed in the cluster
    refused: str
    #: how deep Grafana's values stand in the whole
    depth: int

    @property
    def names(self) -> str:
        return ",".join(self.fixes) or NONE

    @property
    def changed(self) -> dict[tuple[str, ...], Any]:
        """The values that change, by their path in Grafana's chart."""
        return {edit.path[self.depth :]: edit.value for edit in self.edits}

    @property
    def recreates(self) -> bool:
        """The strategy becomes Recreate: the server refuses it beside what it filled in for RollingUpdate."""
        return self.changed.get(("deploymentStrategy", "type")) == "Recreate"

    @property
    def makes_secret(self) -> bool:
        return ("admin", "existingSecret") in self.changed

    def dropped(self, base: str) -> tuple[str, ...]:
        """Objects, as ``Kind name``, that the chart no longer renders after the change."""
        gone = []
        if self.changed.get(("persistence", "enabled")) is False:
            gone.append(f"PersistentVolumeClaim {base}")
        if self.makes_secret:
            gone.append(f"Secret {base}")
        if self.changed.get(("sidecar", "dashboards", "enabled")) is False:
            gone.append(f"ConfigMap {base}-config-dashboards")
        if self.changed.get(("sidecar", "datasources", "enabled")) is False:
            gone.append(f"ConfigMap {base}-datasource")
        return tuple(gone)


def parse(text: str) -> tuple[str, ...]:
    """Fix names of a parameter. :raises ValueError: one that there is not."""
    names = tuple(sorted({part.strip() for part in text.split(",") if part.strip() and part.strip() != NONE}))
    unknown = [name for name in names if name not in FIXES]
    if unknown:
        raise ValueError(f"there is no fix called {unknown[0]}; there are {', '.join(FIXES)}, or {NONE}")
    return names


def subject(owner: Owner) -> dict[str, object]:
    """What the diagnosis is asked about."""
    app = owner.app.metadata
    return {
        "kind": "grafana",
        "namespace": owner.namespace,
        "application": {"namespace": app.namespace, "name": app.name},
    }


def needs(snapshot: Snapshot, owner: Owner) -> Iterable[Need]:
    """What the diagnosis reads, and the cluster's version."""
    yield from diagnosis.needs(snapshot, subject(owner))
    yield ServerVersion()


def decide(snapshot: Snapshot, owner: Owner, recipe: Recipe, fixes: str, seconds: int) -> Change:
    """What is changed. ``fixes`` empty: as the diagnosis says. :raises Missing: Applications were not read."""
    chart = charts.of(snapshot, owner.namespace, owner.version if owner.prefix else "")
    found: tuple[Finding, ...] = ()
    if recipe == "auto" or not fixes:
        found = tuple(diagnosis.diagnose(snapshot, subject(owner), snapshot.taken_at))
    names = parse(fixes) if fixes else charts.fixes_for(found)
    chosen = charts.recipe_for(chart, found) if recipe == "auto" else recipe
    file = _file(snapshot, owner) if chosen == "V3" else []
    wanted = charts.recipe_values(chart, chosen, owner.values or {}, file, stack=bool(owner.prefix))
    for name in names:
        wanted |= FIXES[name].wanted(chart, seconds)
    edits = charts.edits(owner.values or {}, owner.prefix, wanted)
    change = changed(snapshot, owner, chart, edits)
    return replace(change, recipe=chosen, fixes=names, findings=found)


def changed(snapshot: Snapshot, owner: Owner, chart: Chart, edits: tuple[Edit, ...]) -> Change:
    """These edits with their two ways. :raises Missing: Applications were not read."""
    git = git_patch.for_values(snapshot, owner.app, edits) if edits else None
    live, refused = _live(snapshot, owner, edits)
    return Change(chart, "keep", (), (), edits, git, live, refused, len(owner.prefix))


def _file(snapshot: Snapshot, owner: Owner) -> list[dict[str, object]]:
    """The datasources of a file of its own, unless the values have a file already."""
    if helm.at(owner.values, "datasources"):
        return []
    with suppress(Missing, CannotPlan):
        return datasources.wanted_file(snapshot, owner.namespace)
    return []


def _live(snapshot: Snapshot, owner: Owner, edits: tuple[Edit, ...]) -> tuple[Patch | None, str]:
    if not edits:
        return None, ""
    by = gitops.reverted_by(snapshot, owner)
    try:
        made = gitops.live_patch(owner, edits)
    except ValueError as error:
        return None, f"{error}"
    if by:
        apps: list[Application] = snapshot.objects("applications.argoproj.io")
        hint = ownership.pause_hint(owner.app, apps)
        return made, f"{by} reverts a live edit at once. {hint}"
    return made, ""


# -- preconditions


def preconditions(change: Change) -> Iterable[Precondition]:
    """What must hold for the values to be changed; nothing when none are."""
    unable = charts.cannot(change.chart, change.recipe)
    if unable:
        yield Precondition("The chart's version can do the recipe", False, unable)
    if not change.edits:
        return
    said = ", ".join(map(str, change.edits))
    why = "; ".join(f"{f.id}: {f.title}" for f in change.findings) or "as asked for"
    yield Precondition("The values that change are known", True, f"{said} ({why}; {change.chart.words})")
    met = change.live is not None and not change.refused
    yield Precondition(
        "A live change of the values stays until Git has it",
        met,
        change.refused or "nobody above this Application reverts its spec",
    )
