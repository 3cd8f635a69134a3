"""What a diagnosis wants to be read, given what was read so far. Ask again until it adds nothing.

Logs are read only of containers that are not ready or restarted a few minutes ago; the rest is lists of one namespace.
What a single signature needs beyond that, it asks for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from integrations.kubernetes.kinds import RESOURCES
from monitoring.checks.argocd import APPLICATIONS
from monitoring.checks.workloads import PLURALS
from monitoring.diagnosis import registry
from monitoring.diagnosis.gathering import LISTS, has_workloads, kinds_of, scenes_of, searched
from monitoring.diagnosis.logs import logs
from monitoring.diagnosis.owning import named, unsure
from monitoring.diagnosis.scene import DATASOURCE_LABEL, Scene
from monitoring.snapshot import Need, Objects, Snapshot


def needs_of(snapshot: Snapshot, subject: Mapping[str, Any]) -> Iterable[Need]:
    """The needs of every part of a subject."""
    for scene in scenes_of(snapshot, subject, snapshot.taken_at):
        # the Application is found by its name, or by what it lists: then all of them are looked through
        yield Objects(APPLICATIONS, str(named(scene.subject).get("namespace") or ""))
        for item in unsure(scene.application) if scene.application is not None else ():
            yield Objects(PLURALS[item.kind], item.namespace)
        if has_workloads(scene):
            yield from _of_workload(scene)
        elif scene.kind == "address":
            yield from (Objects("services", scene.namespace), Objects("events", scene.namespace))
        elif scene.kind == "objects" and scene.name in RESOURCES:
            yield Objects(scene.name, scene.namespace)
        for signature in registry.all_signatures():
            yield from signature.needs(scene)


def _of_workload(scene: Scene) -> Iterable[Need]:
    if not scene.namespace:
        yield from searched(scene)
        return
    for kind in kinds_of(scene):
        yield Objects(PLURALS[kind], scene.namespace)
    for resource in LISTS:
        yield Objects(resource, scene.namespace)
    if scene.kind == "grafana":
        yield Objects("configmaps", scene.namespace)
        if any(e.name == "NAMESPACE" and e.value == "ALL" for c in scene.sidecars for e in c.env):
            yield Objects("configmaps", "", DATASOURCE_LABEL)
    for bad in scene.bad:
        state = bad.status.state
        if not bad.recovered and (state.running or state.terminated):
            yield logs(bad.pod, bad.name, previous=False)
        if bad.status.restart_count or bad.status.last_state.terminated:
            yield logs(bad.pod, bad.name, previous=True)
