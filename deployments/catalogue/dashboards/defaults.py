"""Which datasources are marked as default in what Grafana reads, where each is written, and how to unmark it.

Facts (G2): Grafana exits when more than one datasource of an organisation is the default, over all files of its
provisioning folder. kube-prometheus-stack writes one of its own (``sidecar.datasources.isDefaultDatasource``) beside
``additionalDataSources``; the ``datasources`` value is a file; any labelled ConfigMap is collected too. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.catalogue.action import MARK, Patch
from deployments.catalogue.argo import credentials, helm
from deployments.catalogue.argo.values import Edit, edited
from deployments.catalogue.dashboards import stack
from deployments.catalogue.dashboards.owning import Owner
from integrations.kubernetes.objects import ConfigMap
from monitoring.checks.text import clean
from monitoring.snapshot import Missing, Snapshot

LABEL = "grafana_datasource"
_CHARTS_OWN = ("sidecar", "datasources")


@dataclass(frozen=True, slots=True)
class Default:
    """One datasource that is marked as default. ``path`` is where the values say so; empty: they do not."""

    name: str
    config_map: ConfigMap
    key: str
    index: int
    path: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        meta = self.config_map.metadata
        origin = f"value {'.'.join(self.path)}" if self.path else "not from these values"
        return f"{clean(self.name, 80)} in ConfigMap {meta.namespace}/{meta.name} key {clean(self.key, 80)} ({origin})"


def find(snapshot: Snapshot, namespace: str, owner: Owner | None) -> list[Default]:
    """All defaults of what this Grafana reads, in a fixed order. :raises Missing: ConfigMaps were not read."""
    found: list[Default] = []
    for item in _read(snapshot, namespace, owner):
        for key, text in sorted(item.data.items()):
            for index, entry in enumerate(_entries(text) if key.endswith((".yaml", ".yml")) else ()):
                if entry.get("isDefault") is True:
                    name = str(entry.get("name") or "")
                    found.append(Default(name, item, key, index, _path(owner, item, key, entry)))
    return found


def _read(snapshot: Snapshot, namespace: str, owner: Owner | None) -> list[ConfigMap]:
    """The ConfigMaps with datasource files: Grafana's own, and those that its sidecar collects."""
    there: list[ConfigMap] = snapshot.objects("configmaps", namespace)
    base = owner.base if owner is not None else ""
    mine = [c for c in there if c.metadata.name == base or "grafana.ini" in c.data]
    return sorted(
        {(c.metadata.namespace, c.metadata.name): c for c in (*mine, *_collected(snapshot, namespace, owner))}.values(),
        key=lambda c: (c.metadata.namespace, c.metadata.name),
    )


def _collected(snapshot: Snapshot, namespace: str, owner: Owner | None) -> Iterable[ConfigMap]:
    running = stack.workloads(snapshot, namespace)
    collectors = [
        {e.name: e.value for e in container.env}
        for each in running
        for container in (*each.item.spec.template.spec.init_containers, *each.item.spec.template.spec.containers)
        if "k8s-sidecar" in container.image
    ]
    asked = [env for env in collectors if "datasource" in env.get("LABEL", "")]
    if not running and owner is not None and helm.at(owner.values, *_CHARTS_OWN, "enabled") is not False:
        # nothing runs: what the chart would collect
        asked = [{"LABEL": LABEL}]
    for env in asked:
        wanted = [namespace] if not env.get("NAMESPACE") else env["NAMESPACE"].split(",")
        for where in ("" if name.strip() == "ALL" else name.strip() for name in wanted):
            value = f"={env['LABEL_VALUE']}" if env.get("LABEL_VALUE") else ""
            try:
                yield from snapshot.objects("configmaps", where, f"{env['LABEL']}{value}")
            except Missing:
                yield from snapshot.objects("configmaps", where or namespace, f"{env['LABEL']}{value}")


def _entries(text: str) -> list[dict[str, Any]]:
    loaded = helm.read_yaml(text)
    listed = loaded.get("datasources") if isinstance(loaded, dict) else None
    return [entry if isinstance(entry, dict) else {} for entry in listed] if isinstance(listed, list) else []


# -- where the values say it


def _path(owner: Owner | None, item: ConfigMap, key: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The path in Grafana's values of the list or flag that makes this entry the default."""
    if owner is None or item.metadata.namespace != owner.namespace:
        return ()
    if item.metadata.name == owner.base:
        listed = helm.at(owner.values, "datasources", key, "datasources")
        return ("datasources", key, "datasources") if _named(listed, entry) else ()
    if not owner.prefix or not item.metadata.name.endswith("-datasource"):
        return ()
    if _named(helm.at(owner.values, "additionalDataSources"), entry):
        return ("additionalDataSources",)
    uid = helm.at(owner.values, *_CHARTS_OWN, "uid") or "prometheus"
    return (*_CHARTS_OWN, "isDefaultDatasource") if entry.get("uid") == uid else ()


def _named(listed: Any, entry: Mapping[str, Any]) -> bool:
    names = [e.get("name") for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
    return entry.get("name") in names


# -- which stays, and how the others are unmarked


def kept(found: Sequence[Default], name: str = "") -> Default | None:
    """The one that stays the default: the one named; else what can stay at the least cost.

    What somebody wrote apart from the values can be changed at once, so one from the values stays; among those what a
    person wrote stays before what the chart adds by itself.
    """
    if name:
        return next((d for d in found if d.name == name), None)
    return min(found, key=lambda d: (not d.path, d.path[:1] == _CHARTS_OWN[:1]), default=None)


def edits(owner: Owner, others: Iterable[Default]) -> tuple[Edit, ...]:
    """The edits of the values that unmark these."""
    names: dict[tuple[str, ...], set[str]] = {}
    for default in others:
        if default.path:
            names.setdefault(default.path, set()).add(default.name)
    made = []
    for path, unmarked in sorted(names.items()):
        value: Any = False
        if path[:1] != _CHARTS_OWN[:1]:
            listed = helm.at(owner.values, *path)
            value = [{**e, "isDefault": False} if e.get("name") in unmarked else e for e in listed]
        made.append(Edit((*owner.prefix, *path), value))
    return tuple(made)


def patch(item: ConfigMap, others: Sequence[Default]) -> Patch:
    """One write that unmarks these entries of a ConfigMap; credentials in it stay where they are.

    :raises ValueError: its text cannot be changed safely.
    """
    data: dict[str, str] = {}
    for key in sorted({default.key for default in others}):
        text = item.data[key]
        unmarked = {default.index for default in others if default.key == key}
        listed = [{**e, "isDefault": False} if i in unmarked else e for i, e in enumerate(_entries(text))]
        changed = edited(text, [Edit(("datasources",), listed)])
        escaped = key.replace("~", "~0").replace("/", "~1")
        data[key] = credentials.mask(changed, text, f"/data/{escaped}")
    return Patch("merge", {"metadata": {"annotations": {MARK: "${run.mark}"}}, "data": data})
