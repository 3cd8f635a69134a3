"""W3: the machine under the pods is gone or its kubelet is silent (https://kubernetes.io/docs/concepts/architecture/nodes/)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from integrations.kubernetes.objects import Node, Pod
from integrations.kubernetes.parts import Condition
from monitoring.checks.nodes import has_role
from monitoring.checks.pods import condition, is_ready
from monitoring.checks.text import clean, count, listing, phrase
from monitoring.diagnosis.base import Layer, Signature, finding, from_then, older
from monitoring.diagnosis.remedies import CORDON, FORCE_DELETE_POD, UNCORDON, Remedy, remedy
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Need, Objects
from monitoring.verdict import Finding


def needs(scene: Scene) -> Iterable[Need]:
    if scene.kind == "nodes" or scene.leaving or any(not is_ready(pod) and pod.spec.node_name for pod in scene.pods):
        yield Objects("nodes")


def not_ready(scene: Scene) -> Finding | None:
    """The node is not ready, and a pod of the subject was on it."""
    if scene.kind == "nodes":
        return _any_node(scene)
    if not scene.short and not any(bad for bad in scene.bad if not bad.recovered):
        return None
    on_it: dict[str, list[Pod]] = {}
    for pod in [*scene.pods, *scene.leaving]:
        if not is_ready(pod) and pod.spec.node_name:
            on_it.setdefault(pod.spec.node_name, []).append(pod)
    nodes = scene.nodes() if on_it else {}
    for name, pods in sorted(on_it.items()):
        if name not in nodes and nodes:
            return _gone(name, pods)
        found = _unready(nodes[name]) if name in nodes else None
        if found is not None and older(scene, found.last_transition_time or scene.now, 0):
            return _finding(scene, name, nodes[name], found, pods)
    return None


def _unready(node: Node) -> Condition | None:
    """Its Ready condition when that is not true."""
    found = condition(node.status.conditions, "Ready")
    return found if found is not None and found.status != "True" else None


def _why(found: Condition) -> str:
    silent = found.status == "Unknown" or "stopped posting" in found.message
    return "its kubelet does not report" if silent else phrase(found.message, 200) or "no reason given"


def _finding(scene: Scene, name: str, node: Node, found: Condition, pods: list[Pod]) -> Finding:
    names = listing(pod.metadata.name for pod in pods)
    return finding(
        "W3",
        "node_not_ready",
        "Its node is not ready",
        f"{name} is not ready{from_then(scene, found.last_transition_time)}: {_why(found)}. {names} was on it. Look at "
        "the machine and its kubelet; a pod that does not go has to be removed by force once the machine is surely "
        "off.",
        (
            f"node {name} Ready={found.status} ({clean(found.reason, 60)}): {clean(found.message, 200)}",
            *(
                f"{pod.metadata.name} on {name}{', being deleted' if pod.metadata.deletion_timestamp else ''}"
                for pod in pods[:4]
            ),
            *_pressure(node),
        ),
        0.95,
        remedies=_remedies(name, node, pods),
        at=found.last_transition_time,
    )


def _remedies(name: str, node: Node, pods: list[Pod]) -> tuple[Remedy, ...]:
    stuck = [pod for pod in pods if pod.metadata.deletion_timestamp is not None]
    force = tuple(
        remedy(FORCE_DELETE_POD, namespace=pod.metadata.namespace, name=pod.metadata.name) for pod in stuck[:1]
    )
    return (*force, *(() if node.spec.unschedulable else (remedy(CORDON, node=name),)))


def _gone(name: str, pods: list[Pod]) -> Finding:
    stuck = [pod for pod in pods if pod.metadata.deletion_timestamp is not None]
    return finding(
        "W3",
        "node_gone",
        "Its node is gone",
        f"{listing(pod.metadata.name for pod in pods)} was on {clean(name, 80)}, which is not in the cluster any more. "
        "Remove the pod so that another takes its place.",
        (f"no node {clean(name, 80)}", *(f"{pod.metadata.name}: nodeName {clean(name, 80)}" for pod in pods[:3])),
        0.9,
        remedies=tuple(
            remedy(FORCE_DELETE_POD, namespace=p.metadata.namespace, name=p.metadata.name) for p in (stuck or pods)[:1]
        ),
    )


def _pressure(node: Node) -> list[str]:
    words = [c for c in node.status.conditions if c.type.endswith("Pressure") and c.status == "True"]
    return [f"node {node.metadata.name} {c.type}: {clean(c.message, 160)}" for c in words]


def _any_node(scene: Scene) -> Finding | None:
    """The subject is the machines themselves."""
    only, role = scene.name, str(scene.subject.get("role") or "")
    nodes = {n: node for n, node in scene.nodes().items() if only in {"", n} and (not role or has_role(node, role))}
    bad = [(n, node, found) for n, node in sorted(nodes.items()) if (found := _unready(node)) is not None]
    if bad:
        name, node, found = bad[0]
        more = f", and {count(len(bad) - 1, 'more node')}" if len(bad) > 1 else ""
        return finding(
            "W3",
            "node_not_ready",
            "A node is not ready",
            f"{name}{more} not ready{from_then(scene, found.last_transition_time)}: {_why(found)}. Look at the machine "
            "and its kubelet.",
            (
                *(f"node {n} Ready={f.status} ({clean(f.reason, 60)}): {clean(f.message, 200)}" for n, _, f in bad[:4]),
                *_pressure(node),
            ),
            0.97,
            remedies=() if node.spec.unschedulable else (remedy(CORDON, node=name),),
            at=found.last_transition_time,
        )
    pressed = [(n, line) for n, node in sorted(nodes.items()) for line in _pressure(node)]
    if pressed:
        return finding(
            "W4",
            "node_pressure",
            "A node is short of something",
            f"{pressed[0][0]} is under pressure and puts pods out. Make room there.",
            [line for _, line in pressed[:4]],
            0.9,
        )
    return _cordoned(nodes)


def _cordoned(nodes: dict[str, Node]) -> Finding | None:
    names = [name for name, node in sorted(nodes.items()) if node.spec.unschedulable]
    if not names:
        return None
    return finding(
        "W4",
        "cordoned",
        "A node takes no new pods",
        f"{listing(names)} is cordoned, so nothing new starts there. Uncordon it when the work on it is done.",
        [f"node {name}: spec.unschedulable=true" for name in names[:6]],
        0.9,
        remedies=(remedy(UNCORDON, node=names[0]),),
    )


def terminating(scene: Scene) -> Finding | None:
    """W21: a pod that should be gone and is not, on a node that is well."""
    if not scene.short:
        return None
    for pod in scene.leaving:
        at: datetime | None = pod.metadata.deletion_timestamp
        if not older(scene, at, 120):
            continue
        holds = [name for name in pod.metadata.finalizers if name]
        why = f"finalizer {listing(holds)} holds it" if holds else "its node has not ended it"
        return finding(
            "W21",
            "pod_does_not_go",
            "A pod does not go",
            f"{pod.metadata.name} should be gone{from_then(scene, at)} and is not: {why}. What waits for its place or "
            "its volume cannot start.",
            (
                f"{pod.metadata.name}: deletionTimestamp{from_then(scene, at)}, finalizers {listing(holds) or 'none'}",
                f"node {clean(pod.spec.node_name, 80) or 'none'}",
            ),
            0.8,
            remedies=()
            if holds
            else (remedy(FORCE_DELETE_POD, namespace=pod.metadata.namespace, name=pod.metadata.name),),
            at=at,
        )
    return None


_PAGE = "https://kubernetes.io/docs/concepts/architecture/nodes/#condition"
SIGNATURES = (
    Signature(
        "W3",
        Layer.NODE,
        "The node under a pod is not ready or gone; of a subject that is the nodes, any (W4: pressure, cordoned).",
        _PAGE,
        not_ready,
        needs,
    ),
    Signature(
        "W21",
        Layer.ROLLOUT,
        "A pod should be gone and is not, so nothing takes its place.",
        "https://kubernetes.io/docs/tasks/run-application/force-delete-stateful-set-pod/",
        terminating,
        follows=True,
    ),
)
