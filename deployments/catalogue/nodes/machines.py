"""Facts about nodes that several plans share: which one is meant, which take ordinary pods, what a taint says.

Facts: ``spec.unschedulable`` keeps new pods away, and the node lifecycle controller mirrors it as the taint
``node.kubernetes.io/unschedulable:NoSchedule``; pods that run stay. ``PreferNoSchedule`` is only a wish.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from deployments.catalogue.action import CannotPlan, Precondition
from integrations.kubernetes.objects import Node, Pod
from monitoring.checks.nodes import is_ready, role_of, taint_text
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Snapshot

NODES = "nodes"
#: how the node lifecycle controller says that a node is cordoned
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
#: taints that keep an ordinary pod away
HARD = ("NoSchedule", "NoExecute")

#: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
NAMESPACE = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
NodeName = Annotated[str, msgspec.Meta(pattern=NAME, description="Node")]


def require(snapshot: Snapshot, name: str) -> Node:
    """The node of this name. :raises CannotPlan: there is none. :raises Missing: nodes were not read."""
    found: Node | None = snapshot.get(NODES, "", name)
    if found is None:
        names = sorted(node.metadata.name for node in snapshot.objects(NODES))
        raise CannotPlan(f"There is no node {name}. There {'is' if len(names) == 1 else 'are'} {listing(names, 12)}.")
    return found


def takes_pods(node: Node) -> bool:
    """Whether an ordinary pod (one that tolerates nothing) may be scheduled there now."""
    return not why_not(node)


def why_not(node: Node) -> str:
    """What keeps ordinary pods off a node, or nothing."""
    if node.metadata.deletion_timestamp is not None:
        return "is being deleted"
    if not is_ready(node):
        return "is not ready"
    if node.spec.unschedulable:
        return "is cordoned"
    taints = [taint_text(taint) for taint in node.spec.taints if taint.effect in HARD]
    return f"has taint {clean(taints[0], 120)}" if taints else ""


def keeps_one(snapshot: Snapshot, name: str) -> Precondition:
    """At least one other worker takes ordinary pods once this node does not. :raises Missing:"""
    nodes: list[Node] = snapshot.objects(NODES)
    others = sorted((node for node in nodes if node.metadata.name != name), key=lambda node: node.metadata.name)
    if any(role_of(node) == "worker" for node in nodes):
        others = [node for node in others if role_of(node) == "worker"]
    left = [node.metadata.name for node in others if takes_pods(node)]
    held = listing((f"{node.metadata.name} {why_not(node)}" for node in others), 8) or "there is no other node"
    evidence = f"{listing(left, 8)} stay{'s' if len(left) == 1 else ''}" if left else held
    return Precondition("At least one other worker takes ordinary pods", bool(left), evidence)


def pods_on(snapshot: Snapshot, name: str) -> list[Pod]:
    """The pods of a node that have not ended, by namespace and name. :raises Missing: pods were not read."""
    pods: list[Pod] = snapshot.objects("pods")
    mine = [pod for pod in pods if pod.spec.node_name == name and pod.status.phase not in ("Succeeded", "Failed")]
    return sorted(mine, key=lambda pod: (pod.metadata.namespace, pod.metadata.name))
