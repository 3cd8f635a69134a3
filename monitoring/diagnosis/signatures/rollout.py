"""W22: the controller has not done what the workload says: paused, or silent. W23: a DaemonSet that fits no node."""

from __future__ import annotations

from monitoring.checks.text import count
from monitoring.diagnosis.base import Layer, Signature, finding, older
from monitoring.diagnosis.remedies import RESUME_ROLLOUT, remedy
from monitoring.diagnosis.scene import Scene, settled
from monitoring.verdict import Finding

_PATIENCE = 120


def held(scene: Scene) -> Finding | None:
    for kind, item in scene.workloads:
        status, meta = item.status, item.metadata
        if kind == "Deployment" and item.spec.paused and not settled(item):
            return finding(
                "W22",
                "rollout_paused",
                "Its rollout is paused",
                f"Deployment {meta.name} is paused, so its change is not rolled out. Resume it: kubectl rollout resume "
                f"deployment/{meta.name} -n {meta.namespace}.",
                (f"Deployment {meta.name}: spec.paused=true, {status.updated_replicas} pods updated",),
                0.9,
                remedies=(remedy(RESUME_ROLLOUT, namespace=meta.namespace, name=meta.name),),
            )
    return None


def silent(scene: Scene) -> Finding | None:
    """No pod is made and nobody says why."""
    for kind, item in scene.workloads:
        status, meta = item.status, item.metadata
        wanted = 1 if item.spec.replicas is None else item.spec.replicas
        # a pod on its way out keeps its place: a StatefulSet makes no other of that name
        seen = scene.pods or scene.failed_pods or scene.leaving
        none_made = kind != "DaemonSet" and wanted > 0 and status.replicas == 0 and not seen
        unseen = status.observed_generation < meta.generation
        old = older(scene, meta.creation_timestamp, _PATIENCE)
        read = scene.known("pods", scene.namespace) and scene.known("events", scene.namespace)
        if old and read and none_made and (unseen or not scene.events_of(meta.name)):
            return finding(
                "W22",
                "controller_does_not_act",
                "Its controller does not act",
                f"{kind} {meta.name} wants {count(wanted, 'pod')} and none is made, and no event says why. Look at "
                "kube-controller-manager.",
                (
                    f"{kind} {meta.name}: generation {meta.generation}, observed {status.observed_generation}, "
                    f"replicas {status.replicas} of {wanted}",
                ),
                0.6,
            )
    return None


def misses_nodes(scene: Scene) -> Finding | None:
    """A DaemonSet whose rollout stands still: nothing wrong with its pods, and too few of them."""
    for kind, item in scene.workloads:
        status = item.status
        if (
            kind == "DaemonSet"
            and not status.desired_number_scheduled
            and older(scene, item.metadata.creation_timestamp, _PATIENCE)
        ):
            return finding(
                "W23",
                "fits_no_node",
                "It fits no node",
                f"DaemonSet {item.metadata.name} fits no node, so nothing runs. Look at its node selector, affinity "
                "and "
                "tolerations.",
                (f"DaemonSet {item.metadata.name}: desiredNumberScheduled=0",),
                0.85,
            )
    return None


SIGNATURES = (
    Signature(
        "W22",
        Layer.ROLLOUT,
        "A rollout is paused.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pausing-and-resuming-a-deployment",
        held,
    ),
    Signature(
        "W22",
        Layer.UNKNOWN,
        "No pod is made of a workload, and no event says why: its controller does not act.",
        "https://kubernetes.io/docs/concepts/architecture/controller/",
        silent,
    ),
    Signature(
        "W23",
        Layer.ROLLOUT,
        "A DaemonSet fits no node.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#running-pods-on-select-nodes",
        misses_nodes,
    ),
)
