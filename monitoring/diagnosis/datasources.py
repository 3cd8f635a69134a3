"""What Grafana is told to have as datasources: the provisioning files it reads, and which mark one as default."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from integrations.kubernetes.objects import ConfigMap
from monitoring.checks.grafana import DATASOURCES, GRAFANA
from monitoring.diagnosis import values
from monitoring.diagnosis.scene import DATASOURCE_LABEL, Scene, is_sidecar
from monitoring.snapshot import Fetch, labels_match

Entry = dict[str, Any]


def in_grafana(scene: Scene) -> list[Entry] | None:
    """The datasources Grafana has; None when that was not read."""
    reply = scene.reply(DATASOURCES)
    if reply is None or reply.status != 200 or not isinstance(reply.body, list):
        return None
    return [entry for entry in reply.body if isinstance(entry, dict)]


def health_of(entry: Entry) -> Fetch:
    """What Grafana says of a datasource when it is asked to reach it."""
    return Fetch("grafana", f"/api/datasources/uid/{quote(str(entry.get('uid', '')), safe='')}/health")


def service_of(entry: Entry) -> tuple[str, str] | None:
    """Namespace and name of the Service a datasource's address names, or nothing for one outside."""
    url = str(entry.get("url") or "")
    try:
        host = (urlsplit(url).hostname or "") if "//" in url else ""
    except ValueError:
        return None
    parts = host.split(".")
    if len(parts) < 2 or (len(parts) > 2 and parts[2] != "svc"):
        return None
    return parts[1], parts[0]


def unreachable(scene: Scene) -> list[tuple[Entry, str]]:
    """Datasources that Grafana has and does not reach, with what it says of them."""
    found: list[tuple[Entry, str]] = []
    for entry in in_grafana(scene) or []:
        reply = scene.reply(health_of(entry))
        body = reply.body if reply is not None and isinstance(reply.body, dict) else {}
        if reply is not None and str(body.get("status", "")).upper() == "ERROR":
            found.append((entry, str(body.get("message", ""))))
    return found


@dataclass(frozen=True, slots=True)
class Told:
    """One datasource of a provisioning file, and where that is written."""

    name: str
    uid: str
    type: str
    url: str
    default: bool
    where: str
    namespace: str
    config_map: str
    key: str
    #: collected by a sidecar, so it may come later than Grafana starts
    collected: bool


def told(scene: Scene) -> list[Told]:
    """Datasources of the files this Grafana reads: its own ConfigMap, and labelled ones when its datasource sidecar is
    on (or when nobody can tell, because no Deployment is there)."""
    sidecar = not scene.workloads or any("datasources" in c.name for c in scene.sidecars) or _has_init(scene)
    off = values.at(scene.values, "grafana.sidecar.datasources.enabled") is False
    found: list[Told] = []
    for item in scene.config_maps:
        labelled = DATASOURCE_LABEL in item.metadata.labels
        own = labels_match(item.metadata.labels, GRAFANA) and "grafana.ini" in item.data
        if own or (labelled and sidecar and not (off and not scene.workloads)):
            found += _of(item, collected=labelled and not own)
    return found


def _of(item: ConfigMap, *, collected: bool) -> Iterator[Told]:
    for key, text in sorted(item.data.items()):
        if not key.endswith((".yaml", ".yml")):
            continue
        for entry in values.datasources(text):
            yield Told(
                name=str(entry.get("name", "")),
                uid=str(entry.get("uid", "")),
                type=str(entry.get("type", "")),
                url=str(entry.get("url", "")),
                default=entry.get("isDefault") is True,
                where=f"ConfigMap {item.metadata.name} key {key}",
                namespace=item.metadata.namespace,
                config_map=item.metadata.name,
                key=key,
                collected=collected,
            )


def defaults(scene: Scene) -> list[Told]:
    """Those that are marked as default. More than one ends Grafana at its start."""
    return [each for each in told(scene) if each.default]


def _has_init(scene: Scene) -> bool:
    return any(
        "datasources" in c.name and is_sidecar(c)
        for _, item in scene.workloads
        for c in item.spec.template.spec.init_containers
    )
