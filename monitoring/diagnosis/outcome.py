"""What a cause brings with it and what it is not: the sentences beside the first finding, and the remedies of what
followed from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from monitoring.checks.pods import is_ready
from monitoring.checks.text import clean
from monitoring.diagnosis import values
from monitoring.diagnosis.argo_words import cascades, for_app
from monitoring.diagnosis.datasources import defaults
from monitoring.diagnosis.refusals import refused_line
from monitoring.diagnosis.remedies import STOP_DELETION
from monitoring.diagnosis.scene import Scene
from monitoring.verdict import Finding


def completed(scenes: Sequence[Scene], top: Finding, later: Iterable[Finding], every: Iterable[Finding]) -> Finding:
    """The cause with its consequences, what was ruled out, and the remedies for what followed behind its own."""
    followed = list(later)
    ids = {finding.id for finding in every}
    slugs = dict.fromkeys([*top.remedies, *(slug for finding in followed for slug in finding.remedies)])
    parameters = {slug: given for finding in reversed([top, *followed]) for slug, given in finding.parameters.items()}
    return msgspec.structs.replace(
        top,
        consequences=tuple(dict.fromkeys(_consequences(scenes, followed))),
        ruled_out=tuple(dict.fromkeys(line for scene in scenes for line in _ruled_out(scene, ids))),
        remedies=tuple(slugs),
        parameters=parameters,
    )


def possible(scenes: Sequence[Scene], finding: Finding) -> Finding:
    """Without remedies by an Application that is being deleted: Argo CD carries out no operation of it any more. What
    keeps that deletion to itself takes their place."""
    apps = [scene.application for scene in scenes if scene.application is not None]
    going = {app.metadata.name: app for app in apps if app.metadata.deletion_timestamp is not None}
    given = finding.parameters
    lost = [slug for slug, known in given.items() if known.get("application") in going and slug != STOP_DELETION]
    if not lost:
        return finding
    app = going[given[lost[0]]["application"]]
    stop = for_app(app, STOP_DELETION) if cascades(app) and STOP_DELETION not in finding.remedies else None
    return msgspec.structs.replace(
        finding,
        remedies=(*((stop.slug,) if stop else ()), *(slug for slug in finding.remedies if slug not in lost)),
        parameters={slug: known for slug, known in given.items() if slug not in lost}
        | ({stop.slug: stop.parameters} if stop else {}),
    )


def _consequences(scenes: Iterable[Scene], followed: Iterable[Finding]) -> Iterable[str]:
    for finding in followed:
        yield f"{finding.title} ({finding.id})"
    for scene in scenes:
        refused = refused_line(scene)
        if refused:
            yield f"Sidecars cannot reach Grafana and retry (G1): {clean(refused, 160)}"
        front = scene.front()
        if front:
            yield f"{clean(front, 120)} has no ready pod behind it"
        app = scene.application
        if app is not None:
            reads = (app.status.sync.status, app.status.health.status)
            if reads != ("Synced", "Healthy"):
                shown = ", ".join(clean(word, 20) for word in reads if word)
                yield f"Application {clean(app.metadata.name, 80)} reads {shown}"


def _ruled_out(scene: Scene, matched: set[str]) -> Iterable[str]:
    if scene.kind == "grafana":
        yield from _ruled_out_grafana(scene, matched)
    if scene.pods and not matched & {"G17", "G18", "W6"} and all(pod.spec.node_name for pod in scene.pods):
        yield "No node for it: its pod is placed"
    for gap in dict.fromkeys(scene.unread):
        yield f"Not looked at: {clean(gap, 300)}"


def _ruled_out_grafana(scene: Scene, matched: set[str]) -> Iterable[str]:
    if not matched & {"G9", "G10", "G11", "G12", "G15", "G21", "W14"}:
        if scene.sidecars:
            yield "Sidecars: they retry while Grafana is down, and do not exit"
        elif scene.workloads or _off(
            scene, "grafana.sidecar.dashboards.enabled", "grafana.sidecar.datasources.enabled"
        ):
            yield "Sidecars: they are off"
        elif scene.absent:
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
