"""Does Git name the field that a plan changes? Read from who wrote it last, so that nobody has to guess.

Facts: Argo CD applies as field manager ``argocd-controller`` (server-side) and keeps
``kubectl.kubernetes.io/last-applied-configuration`` (client-side); with ``selfHeal`` it takes back within seconds what
somebody else wrote into a field that Git names, so a field it does not own there is one that Git does not name.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from deployments.catalogue.action import Precondition
from deployments.catalogue.argo import git_patch, helm, ownership, values
from deployments.catalogue.argo.git_patch import GitPatch
from integrations.kubernetes.objects import Workload
from integrations.kubernetes.parts import Meta
from monitoring.checks.text import clean
from monitoring.snapshot import Snapshot

_MANAGER = "argocd-controller"
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

#: a field's name, or ``{"name": "web"}`` for the element of a list with that key
Path = tuple[str | dict[str, str], ...]

REPLICAS: Path = ("spec", "replicas")
TEMPLATE: Path = ("spec", "template")


def container_path(field: str, name: str) -> Path:
    """Of a container in a pod template."""
    return (*TEMPLATE, "spec", field, {"name": name})


def env_path(field: str, container: str, variable: str) -> Path:
    """Of a variable of a container in a pod template."""
    return (*container_path(field, container), "env", {"name": variable})


def names(raw: Mapping[str, Any], path: Path) -> bool:
    """Whether Argo CD wrote this field (or something below it) of the whole object ``raw``."""
    metadata = raw.get("metadata") or {}
    for entry in metadata.get("managedFields") or []:
        if entry.get("manager") == _MANAGER and not entry.get("subresource") and _owned(entry.get("fieldsV1"), path):
            return True
    return _applied((metadata.get("annotations") or {}).get(_APPLIED), path)


def _owned(fields: Any, path: Path) -> bool:
    for part in path:
        key = f"f:{part}" if isinstance(part, str) else f"k:{json.dumps(part, separators=(',', ':'))}"
        if not isinstance(fields, Mapping) or key not in fields:
            return False
        fields = fields[key]
    return True


def _applied(text: Any, path: Path) -> bool:
    if not isinstance(text, str):
        return False
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    for part in path:
        if isinstance(part, str):
            value = value.get(part) if isinstance(value, Mapping) else None
        else:
            items = value if isinstance(value, list) else []
            value = next((i for i in items if isinstance(i, Mapping) and part.items() <= i.items()), None)
        if value is None:
            return False
    return True


def stays(snapshot: Snapshot, metadata: Meta, raw: Mapping[str, Any], path: Path, what: str) -> Precondition:
    """The change is not pointless: nobody sets it back within seconds. ``what``: the field's name for people.

    :raises Missing: an Application renders the object, and Applications were not read.
    """
    sentence = "Argo CD does not set it back at once"
    found = ownership.tracked(snapshot, metadata)
    if found is None:
        return Precondition(sentence, True, "no Application renders it")
    if found.app is None:
        return Precondition(sentence, True, f"Application {found.name} is not there any more")
    named = names(raw, path)
    if not ownership.reverts(snapshot, metadata):
        until = f"{what} stays until the next sync" if named else f"Git does not name {what}"
        return Precondition(sentence, True, f"Application {found.name} has selfHeal off: {until}")
    if not named:
        said = f"Git does not name {what}, so the selfHeal of Application {found.name} leaves it"
        return Precondition(sentence, True, said)
    if not ownership.reverts(snapshot, metadata, _pointer(path)):
        return Precondition(sentence, True, f"Application {found.name} is told to ignore {what}")
    said = f"Git names {what}, and Application {found.name} has selfHeal on: it would be set back within seconds"
    return Precondition(sentence, False, said)


def managed_by(snapshot: Snapshot, metadata: Meta, raw: Mapping[str, Any], path: Path) -> str:
    """The plan's word on who else manages the object. :raises Missing:"""
    return ownership.sentence(snapshot, metadata, _pointer(path), named_in_git=names(raw, path))


def way(snapshot: Snapshot, item: Workload, change: str, grafana: Mapping[str, Any] | None = None) -> GitPatch:
    """The same change through Git, as a sentence and (where one can be made) a patch; empty for what nobody renders.

    ``change`` says what to set in the manifest; ``grafana`` the values of the Grafana chart that render it, if it is
    Grafana's.
    """
    app = ownership.application(snapshot, item.metadata)
    if app is None:
        return GitPatch("")
    name, chart = app.metadata.name, helm.source_of(app)
    root = _grafana_root(item, chart.chart if chart is not None else "")
    if root is not None and grafana:
        return git_patch.for_values(snapshot, app, values.setting({f"{root}{k}": v for k, v in grafana.items()}))
    if chart is not None:
        which = f"chart {clean(chart.chart, 120)} {clean(chart.target_revision, 60)}".rstrip()
        said = f"set the value of {which} that renders it: {change}"
        return GitPatch(f"Through Git first: in the Helm values of Application {name}, {said}.")
    source = app.spec.source
    place = f"in {clean(source.path, 120)} of {clean(source.repo_url, 200)}" if source is not None else "in its source"
    return GitPatch(f"Through Git first: {place}, {change}.")


def _grafana_root(item: Workload, chart: str) -> str | None:
    """Where Grafana's own values stand in a chart's; None when this is not Grafana, or not such a chart's."""
    if item.metadata.labels.get("app.kubernetes.io/name") != "grafana":
        return None
    return {"kube-prometheus-stack": "grafana.", "grafana": ""}.get(chart)


def _pointer(path: Path) -> str:
    """The path as a JSON pointer, as far as it goes without the element of a list."""
    plain = itertools.takewhile(lambda part: isinstance(part, str), path)
    return "/" + "/".join(str(part) for part in plain)
