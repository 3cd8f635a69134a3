"""Why no pod starts although the workload is there: no node, no volume, no permission to create it, no wish to."""

from __future__ import annotations

from monitoring.checks.pods import condition
from monitoring.checks.text import clean, phrase
from monitoring.diagnosis.scene import Scene
from monitoring.diagnosis.signature import SCALE, SCHEDULING, Signature, event_line, from_then, iso
from monitoring.verdict import Finding

_MOUNT = ("FailedMount", "FailedAttachVolume")


def unschedulable(scene: Scene) -> Finding | None:
    """G17: no node takes the pod; the scheduler says why for each."""
    for pod in scene.pods:
        found = condition(pod.status.conditions, "PodScheduled")
        if found is not None and found.status == "False" and not pod.metadata.deletion_timestamp:
            at = found.last_transition_time
            return Finding(
                id="G17",
                cause="unschedulable",
                title="No node takes the pod",
                sentence=f"{pod.metadata.name} waits for a node{from_then(scene, at)}: "
                f"{phrase(found.message)}. Make room, or correct its tolerations and affinity.",
                evidence=(f"{pod.metadata.name} PodScheduled=False ({found.reason}): {clean(found.message)}",),
                confidence=0.97,
                at=iso(at),
            )
    return None


def volume(scene: Scene) -> Finding | None:
    """G18: a volume that cannot be attached or mounted."""
    for pod in scene.pods:
        events = scene.events_of(pod.metadata.name, *_MOUNT)
        if events and not pod.status.container_statuses:
            text = clean(events[-1].message)
            multi = "multi-attach" in text.lower()
            advice = "Use strategy Recreate." if multi else "Look at the export and at nfs-common on that node."
            return Finding(
                id="G18",
                cause="multi_attach" if multi else "mount_failed",
                title="The volume cannot be mounted",
                sentence=f"{pod.metadata.name} waits for its volume: {text}. {advice}",
                evidence=(event_line(scene, events[-1]),),
                confidence=0.9,
            )
    return None


def refused(scene: Scene) -> Finding | None:
    """W2: the API refuses its pods (quota, admission)."""
    for kind, item in scene.workloads:
        found = condition(item.status.conditions, "ReplicaFailure")
        if found is not None and found.status == "True":
            return Finding(
                id="W2",
                cause="pods_refused",
                title="The API refuses its pods",
                sentence=f"{kind} {item.metadata.name} may not create pods: {phrase(found.message)}. "
                "Raise the quota, or ask for less.",
                evidence=(f"{kind} {item.metadata.name} ReplicaFailure ({found.reason}): {clean(found.message)}",),
                confidence=0.95,
                at=iso(found.last_transition_time),
            )
    return None


def scaled_down(scene: Scene) -> Finding | None:
    """W1: somebody scaled it to 0."""
    for kind, item in scene.workloads:
        if kind != "DaemonSet" and item.spec.replicas == 0:
            return Finding(
                id="W1",
                cause="scaled_to_zero",
                title=f"{scene.title or item.metadata.name} is scaled to 0",
                sentence=f"{kind} {item.metadata.name} is scaled to 0, so nothing runs. Scale it up again.",
                evidence=(f"{kind} {item.metadata.name}: spec.replicas=0",),
                confidence=0.97,
                remedies=(SCALE,),
            )
    return None


SIGNATURES = (
    Signature(SCHEDULING, refused),
    Signature(SCHEDULING, unschedulable),
    Signature(SCHEDULING, volume),
    Signature(SCHEDULING, scaled_down),
)
