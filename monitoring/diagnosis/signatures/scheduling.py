"""G17: no node takes the pod; the scheduler says why for each (pkg/scheduler/framework/types.go, FitError)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from re import Pattern

from integrations.kubernetes.objects import Node, Pod
from integrations.kubernetes.parts import Condition
from monitoring.checks.pods import condition
from monitoring.checks.text import clean, count, listing, phrase
from monitoring.diagnosis.base import LONGEST, Layer, Signature, finding, from_then, older, pattern, says
from monitoring.diagnosis.remedies import UNCORDON, Remedy, remedy
from monitoring.diagnosis.scene import Scene, begun
from monitoring.snapshot import Need, Objects
from monitoring.verdict import Finding

_PATIENCE = 15
#: a queue may hold a pod for a while
_GATED = 120
_VOLUME = pattern(
    r"unbound immediate|persistentvolumeclaim \"|persistentvolumeclaims? .{0,80}not found|"
    r"available persistent volumes to bind"
)
_REASON = re.compile(r"(\d{1,6}) ((?:node\(s\)|Insufficient|Too many)[^,]{0,160}?)(?=, \d|\.? ?$)")


@dataclass(frozen=True, slots=True)
class _Why:
    cause: str
    words: Pattern[str]
    advice: str


# the first that fits names the cause: the ones nothing but a person can change come last
_WHYS = (
    _Why(
        "node_pressure",
        pattern(r"node\.kubernetes\.io/(?:disk|memory|pid)-pressure"),
        "A node is short of disk, memory or processes: make room there.",
    ),
    _Why(
        "nodes_not_ready",
        pattern(r"node\.kubernetes\.io/(?:not-ready|unreachable|network-unavailable)"),
        "Bring the nodes back that are not ready.",
    ),
    _Why(
        "cordoned",
        pattern(r"were unschedulable|node\.kubernetes\.io/unschedulable"),
        "Uncordon a node when the work on it is done.",
    ),
    _Why(
        "insufficient",
        pattern(r"insufficient (?:cpu|memory|ephemeral-storage|[a-z./-]{1,80})|too many pods"),
        "Ask for less, or make room: the nodes have not what it requests.",
    ),
    _Why(
        "volume_elsewhere",
        pattern(r"volume node affinity conflict|exceed max volume count"),
        "Its volume lies where no node may take the pod: look at the volume's zone or node.",
    ),
    _Why(
        "port_taken",
        pattern(r"free ports for the requested pod ports"),
        "Another pod has its host port on every node it may run on.",
    ),
    _Why(
        "anti_affinity",
        pattern(r"anti-affinity|topology spread"),
        "Its own rule keeps it from the nodes that are left: loosen it, or add a node.",
    ),
    _Why(
        "affinity",
        pattern(r"didn't match (?:pod's )?(?:node )?(?:affinity|selector|node selector)|node affinity/selector"),
        "No node has the labels it asks for: correct its affinity or node selector, or label a node.",
    ),
    _Why("tainted", pattern(r"untolerated taint|had taint"), "Give it a toleration, or take a taint off a node."),
    _Why("no_nodes", pattern(r"no nodes available"), "The cluster has no node."),
)


def needs(scene: Scene) -> Iterable[Need]:
    if any(_waiting(scene, pod) for pod in scene.pods):
        yield Objects("nodes")


def _waiting(scene: Scene, pod: Pod) -> Condition | None:
    found = condition(pod.status.conditions, "PodScheduled")
    if found is None or found.status != "False" or found.reason == "SchedulingGated":
        return None
    young = found.last_transition_time is not None and not older(scene, found.last_transition_time, _PATIENCE)
    return None if young else found


def unschedulable(scene: Scene) -> Finding | None:
    """For want of a node."""
    for pod in scene.pods:
        found = _waiting(scene, pod)
        if found is not None and not _only_volume(found.message):
            return _finding(scene, pod, found)
    return None


def waits_for_volume(scene: Scene) -> Finding | None:
    """For want of a volume: the claim says why, when it was read."""
    for pod in scene.pods:
        found = _waiting(scene, pod)
        if found is not None and _only_volume(found.message):
            return _finding(scene, pod, found)
    return None


def gated(scene: Scene) -> Finding | None:
    """A gate keeps the pod from the scheduler, and whoever set it does not take it away."""
    for pod in scene.pods:
        found = condition(pod.status.conditions, "PodScheduled")
        if found is None or found.reason != "SchedulingGated" or not older(scene, begun(pod), _GATED):
            continue
        names = listing(clean(gate.name, 120) for gate in pod.spec.scheduling_gates) or "a gate"
        return finding(
            "G17",
            "scheduling_gated",
            "The pod is not given to the scheduler",
            f"{pod.metadata.name} waits{from_then(scene, begun(pod))} behind {names}, which nobody has taken away. "
            "Look at the controller that sets it, as a queue does.",
            (
                f"{pod.metadata.name} PodScheduled=False (SchedulingGated): {clean(found.message, 240)}",
                f"gates: {names}",
            ),
            0.93,
            at=begun(pod),
        )
    return None


def _only_volume(message: str) -> bool:
    return bool(says(_VOLUME, message)) and "Insufficient" not in message[:LONGEST]


def _finding(scene: Scene, pod: Pod, found: Condition) -> Finding:
    why = next((each for each in _WHYS if says(each.words, found.message)), None)
    volume = _only_volume(found.message)
    advice = (
        "Look at its claims."
        if volume
        else why.advice
        if why
        else "Make room, or correct its tolerations and affinity."
    )
    nodes = scene.nodes()
    cordoned = sorted(name for name, node in nodes.items() if node.spec.unschedulable)
    return finding(
        "G17",
        "unschedulable",
        "No node takes the pod",
        f"{pod.metadata.name} waits for a node{from_then(scene, found.last_transition_time)}: "
        f"{phrase(found.message)}. {advice}",
        (
            f"{pod.metadata.name} PodScheduled=False ({found.reason}): {clean(found.message, 400)}",
            *_counted(found.message),
            f"cordoned: {listing(cordoned)}" if cordoned else "",
            *_pressed(nodes),
            _asked(pod) if why and why.cause == "insufficient" else "",
        ),
        0.97 if not volume else 0.9,
        remedies=_remedies(why, cordoned),
        at=found.last_transition_time,
    )


def _counted(message: str) -> list[str]:
    """``3 of the nodes: Insufficient memory``, for each reason."""
    return [
        f"{count(int(number), 'node')}: {clean(text, 160)}"
        for number, text in _REASON.findall(message[:LONGEST].partition("preemption:")[0].strip())
    ][:6]


def _pressed(nodes: dict[str, Node]) -> list[str]:
    found = []
    for name, node in sorted(nodes.items()):
        words = [c.type for c in node.status.conditions if c.type.endswith("Pressure") and c.status == "True"]
        if words:
            found.append(f"node {name}: {listing(words)}")
    return found[:4]


def _asked(pod: Pod) -> str:
    asked = [f"{c.name} {k} {v}" for c in pod.spec.containers for k, v in sorted(c.resources.requests.items())]
    return f"it requests {clean(listing(asked, 8), 200)}" if asked else ""


def _remedies(why: _Why | None, cordoned: list[str]) -> tuple[Remedy, ...]:
    if why is not None and why.cause == "cordoned" and cordoned:
        return (remedy(UNCORDON, node=cordoned[0]),)
    return ()


_PAGE = "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/"
SIGNATURES = (
    Signature(
        "G17",
        Layer.SCHEDULING,
        "No node takes the pod; the scheduler's words say why for each.",
        _PAGE,
        unschedulable,
        needs,
    ),
    Signature(
        "G17",
        Layer.SCHEDULING,
        "A scheduling gate holds the pod back.",
        "https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/",
        gated,
    ),
    Signature(
        "G17",
        Layer.SCHEDULING,
        "No node takes the pod, because a volume of it is not bound.",
        _PAGE,
        waits_for_volume,
        needs,
        follows=True,
    ),
)
