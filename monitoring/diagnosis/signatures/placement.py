"""W25: a pod runs where it must not, or nothing keeps it off. A node has lost the taint that kept others off it."""

from __future__ import annotations

from collections.abc import Iterable

from integrations.kubernetes.objects import Node, Pod, Workload
from monitoring.checks.nodes import taint_text
from monitoring.checks.placement import may_land
from monitoring.checks.pods import alive, matching
from monitoring.checks.text import listing
from monitoring.checks.workloads import PLURALS, selected
from monitoring.diagnosis.argo_words import to_values
from monitoring.diagnosis.base import Layer, Signature, finding
from monitoring.diagnosis.remedies import DELETE_POD, TAINT, remedy
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Need, Objects
from monitoring.verdict import Finding


def _key(scene: Scene) -> str:
    return PLURALS.get(str(scene.subject.get("workload") or "StatefulSet"), PLURALS["StatefulSet"])


def needs(scene: Scene) -> Iterable[Need]:
    if scene.kind == "placement":
        yield from (Objects(_key(scene), scene.namespace), Objects("pods", scene.namespace), Objects("nodes"))


def misplaced(scene: Scene) -> Finding | None:
    if scene.kind != "placement":
        return None
    avoid = [str(name) for name in scene.subject.get("avoid") or ()]
    items: list[Workload] = [i for i in scene.read(_key(scene), scene.namespace) if selected(i, scene.selector)]
    pods: list[Pod] = scene.read("pods", scene.namespace)
    nodes: dict[str, Node] = scene.nodes()
    for item in items:
        wrong = [p for p in matching(pods, item.spec.selector.match_labels) if alive(p) and p.spec.node_name in avoid]
        loose = scene.known("nodes") and may_land(item.spec.template.spec, avoid, nodes)
        if not wrong and not loose:
            continue
        where = listing(f"{pod.metadata.name} on {pod.spec.node_name}" for pod in wrong)
        story = f"{where} must not be there" if wrong else f"nothing keeps {item.metadata.name} off {listing(avoid)}"
        held = "no rule keeps it off" if loose else "a rule keeps the next one off, this one was there before"
        return finding(
            "W25",
            "misplaced" if wrong else "not_held",
            "A pod runs where it must not" if wrong else "Nothing keeps it off a node",
            f"{story}: {held}. "
            + (
                "Exclude the node in its affinity, through its chart's values"
                if loose
                else "Delete the pod, and it comes up elsewhere"
            )
            + ("; then delete the pod." if wrong and loose else "."),
            (
                *(f"{pod.metadata.name}: nodeName {pod.spec.node_name}" for pod in wrong[:3]),
                f"{item.metadata.name}: affinity {'set' if item.spec.template.spec.affinity else 'not set'}",
            ),
            0.9,
            remedies=(
                *(to_values(scene) if loose else ()),
                *(remedy(DELETE_POD, namespace=p.metadata.namespace, name=p.metadata.name) for p in wrong[:1]),
            ),
        )
    return None


def taint_gone(scene: Scene) -> Finding | None:
    """The taints that should be on a node and are not."""
    wanted = [str(taint) for taint in scene.subject.get("taints") or ()]
    if scene.kind != "nodes" or not wanted or not scene.known("nodes"):
        return None
    node = scene.nodes().get(scene.name)
    have = [taint_text(taint) for taint in node.spec.taints] if node else []
    lost = [taint for taint in wanted if taint not in have]
    if node is None or not lost:
        return None
    key, _, effect = lost[0].rpartition(":")
    return finding(
        "W26",
        "taint_missing",
        "A taint is gone",
        f"{scene.name} has not {listing(lost)} any more, so pods may land there that should not. Put it back.",
        (f"node {scene.name}: taints {listing(have) or 'none'}",),
        0.95,
        remedies=(
            remedy(TAINT, node=scene.name, key=key.partition("=")[0], value=key.partition("=")[2], effect=effect),
        ),
    )


SIGNATURES = (
    Signature(
        "W25",
        Layer.SCHEDULING,
        "A pod runs on a node it must stay off, or nothing keeps it off.",
        "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#affinity-and-anti-affinity",
        misplaced,
        needs,
    ),
    Signature(
        "W26",
        Layer.SCHEDULING,
        "A node has lost a taint that keeps pods off it.",
        "https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/",
        taint_gone,
    ),
)
