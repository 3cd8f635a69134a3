"""Runs the signatures and puts them in order: the first layer that fails is the cause, the rest is what followed.

Layers: container, init container, sidecar, scheduling and volumes, Argo CD, and last a workload that is just not there.
A stack that is well gives nothing: every signature needs something that is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from integrations.kubernetes.objects import Workload
from monitoring.checks.pods import is_ready, trouble
from monitoring.checks.text import clean, in_namespace
from monitoring.diagnosis import argocd, containers, failed_sync, scheduling, sidecars, values
from monitoring.diagnosis.scene import Scene, defaults, needs_of, open_scene
from monitoring.diagnosis.signature import (
    ABSENT,
    REMEDIES,
    REPAIR,
    STANDALONE,
    USE_PROMETHEUS,
    Signature,
)
from monitoring.snapshot import Need, Snapshot
from monitoring.verdict import Finding

__all__ = ["REMEDIES", "diagnose", "needs"]

#: a pod may take this long before not being ready is a fault nobody knows
_STARTING = 120


def needs(snapshot: Snapshot, subject: Mapping[str, Any]) -> Iterable[Need]:
    """What to read for this subject; ask again until it adds nothing (logs follow the pods)."""
    return tuple(needs_of(snapshot, subject))


def diagnose(snapshot: Snapshot, subject: Mapping[str, Any], now: datetime) -> list[Finding]:
    """Causes, most likely first; nothing when nothing is wrong or nothing was read.

    ``subject``: ``{"kind": "grafana" | "application" | "workload" | …, "namespace", "name", "selector",
    "application": {"namespace", "name"}}``; what is not known is left out or empty.
    """
    scene = open_scene(snapshot, subject, now)
    found = [(signature.layer, finding) for signature in _SIGNATURES if (finding := signature.find(scene)) is not None]
    if not found:
        rest = _unrecognised(scene)
        found = [(ABSENT, rest)] if rest is not None else []
    if not found:
        return []
    first = min(layer for layer, _ in found)
    causes = sorted((f for layer, f in found if layer == first), key=lambda finding: -finding.confidence)
    later = [finding for layer, finding in found if layer > first]
    top = msgspec.structs.replace(
        causes[0],
        consequences=tuple(_consequences(scene, later)),
        ruled_out=tuple(_ruled_out(scene, {finding.id for _, finding in found})),
    )
    return [top, *causes[1:]]


def _absent(scene: Scene) -> Finding | None:
    """G19: no workload at all, seen as such."""
    if not scene.absent or not (scene.selector or scene.name):
        return None
    kind = "Deployment" if scene.kind == "grafana" else "workload"
    disabled = scene.kind == "grafana" and values.at(scene.values, "grafana.enabled") is False
    why = "the values of its chart turn it off" if disabled else "nothing creates it now"
    return Finding(
        id="G19",
        cause="no_workload",
        title=f"{scene.title} has no {kind}",
        sentence=f"{scene.title} has no {kind}{in_namespace(scene.namespace)}, and {why}. "
        + ("Turn it on in Git, or run it apart." if disabled else "Create it again through its Application."),
        evidence=(f"no {kind} with label {scene.selector}" if scene.selector else f"no {kind} {scene.name}",),
        confidence=0.8,
        remedies=((STANDALONE, USE_PROMETHEUS) if disabled else (REPAIR, STANDALONE, USE_PROMETHEUS))
        if scene.kind == "grafana"
        else (),
    )


def _unrecognised(scene: Scene) -> Finding | None:
    """Honest: it is not ready for a while, and no signature knows why."""
    for pod in scene.pods:
        found = trouble(pod)
        begun = pod.status.start_time or pod.metadata.creation_timestamp
        old = begun is not None and (scene.now - begun).total_seconds() > _STARTING
        if found is not None and old and found.reason != "Terminating" and _newest(scene):
            return Finding(
                id="U0",
                cause="not_recognised",
                title="Not ready, and no known cause fits",
                sentence=f"{scene.title} is not ready and no known failure fits: {found.sentence}. Read the log of "
                f"{found.container or 'its pod'}.",
                evidence=(f"{pod.metadata.name}: {found.sentence}",),
                confidence=0.1,
            )
    return None


def _newest(scene: Scene) -> bool:
    """Too few pods are ready; an old pod that goes while the new one serves is no fault."""
    return any(_short(item) for _, item in scene.workloads)


def _short(item: Workload) -> bool:
    wanted = item.status.desired_number_scheduled or (1 if item.spec.replicas is None else item.spec.replicas)
    return max(item.status.ready_replicas, item.status.number_ready) < wanted


_SIGNATURES: tuple[Signature, ...] = (
    *containers.SIGNATURES,
    *sidecars.SIGNATURES,
    *scheduling.SIGNATURES,
    *argocd.SIGNATURES,
    *failed_sync.SIGNATURES,
    Signature(ABSENT, _absent),
)


def _consequences(scene: Scene, later: list[Finding]) -> Iterable[str]:
    for finding in later:
        yield f"{finding.title} ({finding.id})"
    refused = sidecars.refused_line(scene)
    if refused:
        yield f"Sidecars cannot reach Grafana and retry (G1): {clean(refused, 160)}"
    front = scene.front()
    if front:
        yield f"{front} has no ready pod behind it"
    app = scene.application
    if app is not None:
        reads = (app.status.sync.status, app.status.health.status)
        if reads != ("Synced", "Healthy"):
            shown = ", ".join(clean(word, 20) for word in reads if word)
            yield f"Application {clean(app.metadata.name, 80)} reads {shown}"


def _ruled_out(scene: Scene, matched: set[str]) -> Iterable[str]:
    if scene.kind == "grafana":
        yield from _ruled_out_grafana(scene, matched)
    if scene.pods and not matched & {"G17", "G18"}:
        yield "No node for it: its pod is placed"
    for gap in dict.fromkeys(scene.unread):
        yield f"Not looked at: {gap}"


def _ruled_out_grafana(scene: Scene, matched: set[str]) -> Iterable[str]:
    if not matched & {"G9", "G10", "G11", "G12"}:
        if scene.sidecars:
            yield "Sidecars: they retry while Grafana is down, and do not exit"
        elif scene.workloads or _off(
            scene, "grafana.sidecar.dashboards.enabled", "grafana.sidecar.datasources.enabled"
        ):
            yield "Sidecars: they are off"
        else:
            yield "Sidecars: they cannot take a Deployment away"
    if "G2" not in matched and scene.config_maps:
        yield f"Two default datasources: {len(defaults(scene))} found"
    if not matched & {"G3", "G5"} and not _persistent(scene):
        yield "SQLite on NFS: persistence is off"
    if not matched & {"G7"} and scene.pods and any(is_ready(pod) or scene.bad for pod in scene.pods):
        yield "Memory and image: no container was killed for memory, every image was pulled"


def _off(scene: Scene, *paths: str) -> bool:
    return bool(scene.values) and all(values.at(scene.values, path) is False for path in paths)


def _persistent(scene: Scene) -> bool:
    if scene.workloads:
        volumes = [v for _, item in scene.workloads for v in item.spec.template.spec.volumes]
        return any(volume.persistent_volume_claim for volume in volumes)
    return values.at(scene.values, "grafana.persistence.enabled") is True or not scene.values
