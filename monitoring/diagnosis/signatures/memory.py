"""G7: a container killed for memory, and a pod its node put out."""

from __future__ import annotations

from monitoring.checks.text import clean, count, phrase
from monitoring.diagnosis.argo_words import to_values
from monitoring.diagnosis.base import Layer, Signature, finding, pattern, says, shown
from monitoring.diagnosis.containers import rollback, state_of
from monitoring.diagnosis.scene import Scene
from monitoring.verdict import Finding

# kubelet: pkg/kubelet/eviction, pkg/kubelet/nodeshutdown; scheduler: preemption
_SHORT = pattern(r"low on resource: ?([a-z-]{1,40})|(?:memory|disk|ephemeral-storage|nodefs|imagefs|inodes)")


def killed(scene: Scene) -> Finding | None:
    """G7: past its memory limit."""
    for bad in scene.bad:
        ended = bad.last
        if ended is None or ended.reason != "OOMKilled":
            continue
        limit = bad.spec.resources.limits.get("memory", "")
        how = f"for passing its memory limit of {clean(limit, 20)}" if limit else "because its node ran out of memory"
        advice = (
            "Raise the limit in the values of its chart, or give it less to do."
            if limit
            else "It has no memory limit of its own: look at what else runs on that node."
        )
        return finding(
            "G7",
            "out_of_memory",
            "Killed for using too much memory",
            f"{clean(bad.name, 60)} was killed{shown(scene, ended.finished_at)} {how}. {advice}",
            (
                state_of(bad),
                f"{bad.name}: memory limit {clean(limit, 20) or 'none'}, "
                f"request {clean(bad.spec.resources.requests.get('memory', ''), 20) or 'none'}",
                f"node {clean(bad.pod.spec.node_name, 80)}" if bad.pod.spec.node_name and not limit else "",
            ),
            0.95,
            remedies=(*to_values(scene), *rollback(scene, bad)),
            at=ended.finished_at,
        )
    return None


#: kubelet: pkg/kubelet/eviction/helpers.go; the pod itself used more than it was given
_OWN_LIMIT = pattern(
    r"exceeds the (?:total )?limit|exceeded its local ephemeral storage|ephemeral local storage usage exceeds"
)


def _after_eviction(message: str, *, short: bool) -> str:
    if says(_OWN_LIMIT, message):
        return "It used more than its own limit: raise that limit, or give what grows there a claim."
    return "Make room there, or ask for what the pod needs." if short else "Look at that node."


def evicted(scene: Scene) -> Finding | None:
    """G7: put out by its node, and nothing took its place."""
    gone = [pod for pod in scene.failed_pods if pod.status.reason]
    if not gone or (scene.workloads and not scene.short) or any(pod.spec.node_name for pod in scene.pods):
        return None
    pod = gone[-1]
    text = clean(pod.status.message)
    short = says(_SHORT, pod.status.message)
    node = f" {clean(pod.spec.node_name, 80)}" if pod.spec.node_name else ""
    return finding(
        "G7",
        "evicted",
        "Put out by its node",
        f"{pod.metadata.name} was ended by its node{node} ({clean(pod.status.reason, 60)}): "
        f"{phrase(pod.status.message) or pod.status.reason}. " + _after_eviction(pod.status.message, short=bool(short)),
        (
            f"{pod.metadata.name}: {clean(pod.status.reason, 60)}: {text}",
            f"{count(len(gone), 'pod')} ended like this" if len(gone) > 1 else "",
        ),
        0.9,
    )


SIGNATURES = (
    Signature(
        "G7",
        Layer.CONTAINER,
        "A container was killed for memory.",
        "https://kubernetes.io/docs/tasks/configure-pod-container/assign-memory-resource/",
        killed,
    ),
    Signature(
        "G7",
        Layer.CONTAINER,
        "A pod was evicted by its node, and none runs in its place.",
        "https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/",
        evicted,
    ),
)
