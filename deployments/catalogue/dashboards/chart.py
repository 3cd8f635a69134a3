"""What a version of Grafana's chart can, and the value recipes that fit it (facts: §1.4). Pure data and choices.

Version gates, read in the chart's source: before 10.2 the init container of ``initDatasources`` collects once whatever
``watchMethod`` says, and there is no ``restartPolicy``; from 10.2 on it does what ``watchMethod`` says, so that a
native sidecar is possible and WATCH without one hangs the pod for ever. ``startupProbe`` is a value from 12.11 on.
Native sidecars need Kubernetes 1.29. A version that nobody can tell can nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deployments.catalogue.argo import helm
from deployments.catalogue.argo.values import Edit
from deployments.catalogue.dashboards.standalone_set import PASSWORD_KEY, SECRET, USER_KEY
from integrations.kubernetes.parts import KubeObject
from monitoring.snapshot import Missing, ServerVersion, Snapshot
from monitoring.verdict import Finding

Recipe = Literal["auto", "keep", "V1", "V2", "V3"]
Path = tuple[str, ...]
#: relative to the values of Grafana's own chart
Wanted = dict[Path, Any]

#: a wanted value that is to be taken out
REMOVE = object()
#: datasources that kube-prometheus-stack brings while its sidecar is on
_CHARTS_OWN = ("prometheus", "alertmanager")
_CHART = re.compile(r"^grafana-(\d+)\.(\d+)\.")
_KUBERNETES = re.compile(r"^v?(\d+)\.(\d+)")
_FOLLOWS_WATCH_METHOD = (10, 2)
_HAS_STARTUP_PROBE = (12, 11)
_NATIVE_SIDECARS = (1, 29)
#: Grafana's chart by the major version of kube-prometheus-stack, where it was looked up; objects say it themselves
_BY_STACK = {"55": (7, 0)}


@dataclass(frozen=True, slots=True)
class Chart:
    """A version of Grafana's chart, and of the cluster it is rendered for; None: nobody can tell."""

    version: tuple[int, int] | None
    kubernetes: tuple[int, int] | None

    @property
    def startup_probe(self) -> bool:
        return self.version is not None and self.version >= _HAS_STARTUP_PROBE

    @property
    def native_sidecar(self) -> bool:
        new = self.version is not None and self.version >= _FOLLOWS_WATCH_METHOD
        return new and self.kubernetes is not None and self.kubernetes >= _NATIVE_SIDECARS

    @property
    def words(self) -> str:
        chart = f"Grafana chart {self.version[0]}.{self.version[1]}" if self.version else "Grafana chart unknown"
        cluster = f"Kubernetes {self.kubernetes[0]}.{self.kubernetes[1]}" if self.kubernetes else "Kubernetes unknown"
        return f"{chart}, {cluster}"


def of(snapshot: Snapshot, namespace: str, stack: str = "") -> Chart:
    """The versions, by the label ``helm.sh/chart`` of whatever of Grafana is there.

    ``stack``: the version of kube-prometheus-stack, for when nothing is.
    """
    found = {version for item in _objects(snapshot, namespace) if (version := _pair(_CHART, _label(item)))}
    version = max(found) if found else _BY_STACK.get(stack.partition(".")[0])
    try:
        body = snapshot.reply(ServerVersion()).body
    except Missing:
        body = None
    said = str(body.get("gitVersion") or "") if isinstance(body, Mapping) else ""
    return Chart(version, _pair(_KUBERNETES, said))


def _objects(snapshot: Snapshot, namespace: str) -> Iterable[KubeObject]:
    for resource in ("deployments.apps", "services", "configmaps"):
        try:
            yield from snapshot.objects(resource, namespace)
        except Missing:
            continue


def _label(item: KubeObject) -> str:
    return item.metadata.labels.get("helm.sh/chart", "")


def _pair(pattern: re.Pattern[str], text: str) -> tuple[int, int] | None:
    match = pattern.match(text)
    return (int(match[1]), int(match[2])) if match else None


# -- fixes: one cause each


@dataclass(frozen=True, slots=True)
class Fix:
    """A change of values against one cause. ``wanted`` may ask the chart and the seconds a start may take."""

    name: str
    cause: str
    wanted: Callable[[Chart, int], Wanted]


def _startup(chart: Chart, seconds: int) -> Wanted:
    if chart.startup_probe:
        probe = {
            "httpGet": {"path": "/api/health", "port": "grafana"},
            "periodSeconds": 10,
            "failureThreshold": max(1, seconds // 10),
        }
        return {("startupProbe",): probe}
    return {("livenessProbe", "initialDelaySeconds"): seconds}


def _admin(_chart: Chart, _seconds: int) -> Wanted:
    return {
        ("admin", "existingSecret"): SECRET,
        ("admin", "userKey"): USER_KEY,
        ("admin", "passwordKey"): PASSWORD_KEY,
    }


FIXES: dict[str, Fix] = {
    fix.name: fix
    for fix in (
        Fix("existing-secret", "a password that each render makes anew", _admin),
        Fix("no-chown", "a chown that the volume refuses", lambda _, __: {("initChownData", "enabled"): False}),
        Fix("no-persistence", "a database file on the network disk", lambda _, __: {("persistence", "enabled"): False}),
        Fix("recreate", "two pods on one volume", lambda _, __: {("deploymentStrategy", "type"): "Recreate"}),
        Fix(
            "single-default",
            "two default datasources",
            lambda _, __: {("sidecar", "datasources", "isDefaultDatasource"): False},
        ),
        Fix("startup", "a first start that takes longer than the probe waits", _startup),
    )
}
#: which fix a finding of the diagnosis asks for, by its id
_FIX_OF = {
    "G2": "single-default",
    "G3": "no-persistence",
    "G4": "no-chown",
    "G5": "no-persistence",
    "G8": "startup",
    "G16": "existing-secret",
    "G18": "recreate",
}
#: findings that a fix helps against for one of their causes only: a volume that the server refuses is not two pods'
_ONLY_FOR = {"G18": "multi_attach"}
#: below this confidence G3 says that the migrations hang, not that the file is locked. They may just be slow there:
#: more time loses nothing, while a Grafana without its volume starts without what people made
_SURE = 0.8
_UNSURE = {"G3": "startup"}
#: findings that say the sidecars' way is the cause
_ORDER = ("G13", "G14")
_DEPENDENCY = ("G10",)


def fixes_for(found: Iterable[Finding]) -> tuple[str, ...]:
    """The fixes that these findings ask for, by name."""
    helped = (f for f in found if f.id not in _ONLY_FOR or f.cause == _ONLY_FOR[f.id])
    wanted = (_UNSURE.get(f.id, _FIX_OF.get(f.id)) if f.confidence < _SURE else _FIX_OF.get(f.id) for f in helped)
    return tuple(sorted({name for name in wanted if name}))


def recipe_for(chart: Chart, findings: Iterable[Finding]) -> Recipe:
    """How Grafana should get its datasources. ``keep`` unless the diagnosis says that the present way is the cause."""
    found = {finding.id for finding in findings}
    if found & set(_DEPENDENCY):
        return "V3"
    if not found & set(_ORDER):
        return "keep"
    if chart.native_sidecar:
        return "V2"
    return "V1" if chart.version is not None else "V3"


# -- recipes: exactly one way to the datasources


def cannot(chart: Chart, recipe: Recipe) -> str:
    """Why this version cannot do a recipe; empty when it can."""
    if recipe == "V2" and not chart.native_sidecar:
        return f"V2 needs a chart from 10.2 on and Kubernetes from 1.29 on; this is {chart.words}"
    if recipe == "V1" and chart.version is None:
        return "V1 is written differently before and after chart 10.2, and nobody can tell which this is"
    return ""


def recipe_values(
    chart: Chart,
    recipe: Recipe,
    values: Mapping[str, Any],
    file: Sequence[Mapping[str, Any]] = (),
    *,
    stack: bool = True,
) -> Wanted:
    """The values of a recipe over those that are there. ``file``: the datasources of a file of one's own (V3).

    ``stack``: it is kube-prometheus-stack, which brings datasources of its own while the sidecar is on.
    """
    sidecar: Path = ("sidecar", "datasources")
    if recipe == "V1":
        wanted: Wanted = {
            (*sidecar, "enabled"): True,
            (*sidecar, "initDatasources"): True,
            (*sidecar, "skipReload"): True,
            ("sidecar", "dashboards", "skipReload"): True,
        }
        if chart.version is not None and chart.version >= _FOLLOWS_WATCH_METHOD:
            wanted[*sidecar, "watchMethod"] = "LIST"
        return wanted | (_one_source(values) if stack else {})
    if recipe == "V2":
        probe = {"httpGet": {"path": "/healthz", "port": 8082}, "periodSeconds": 5, "failureThreshold": 60}
        wanted = {
            (*sidecar, "enabled"): True,
            (*sidecar, "initDatasources"): True,
            (*sidecar, "restartPolicy"): "Always",
            (*sidecar, "startupProbe"): probe,
        }
        return wanted | (_one_source(values) if stack else {})
    if recipe == "V3":
        wanted = {(*sidecar, "enabled"): False, ("sidecar", "dashboards", "enabled"): False}
        if file:
            entries = [dict(entry) for entry in file]
            wanted["datasources", "datasources.yaml"] = {"apiVersion": 1, "datasources": entries}
        return wanted
    return {}


def _one_source(values: Mapping[str, Any]) -> Wanted:
    """With the sidecar on, the chart brings Prometheus and Alertmanager itself: what a file of the values says of them
    goes, else Grafana meets two defaults and does not start. A default of somebody's own stays the only one."""
    wanted: Wanted = {}
    others: list[Mapping[str, Any]] = list(_entries(values.get("additionalDataSources")))
    files = values.get("datasources")
    for name, content in sorted(files.items()) if isinstance(files, dict) else ():
        listed = _entries(helm.at(content, "datasources"))
        kept = [e for e in listed if e.get("type") not in _CHARTS_OWN]
        others += kept
        if not kept:
            wanted["datasources", name] = REMOVE
        elif kept != listed:
            wanted["datasources", name, "datasources"] = kept
    if any(entry.get("isDefault") is True for entry in others):
        wanted["sidecar", "datasources", "isDefaultDatasource"] = False
    return wanted


def _entries(listed: Any) -> list[dict[str, Any]]:
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def edits(values: Mapping[str, Any], prefix: Path, wanted: Wanted) -> tuple[Edit, ...]:
    """What of this the values do not say yet, as edits of the whole values."""
    made = []
    for path, value in sorted(wanted.items()):
        there = helm.at(values, *path)
        if value is REMOVE:
            made += [Edit((*prefix, *path), remove=True)] if there is not None else []
        elif there != value:
            made.append(Edit((*prefix, *path), value))
    return tuple(made)
