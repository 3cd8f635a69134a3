"""Would the other nodes have room for a node's pods? A preview by requests, as the scheduler counts them.

Looked at are requests against what is allocatable, the number of pods, taints, node selectors, required node affinity
and the nodes a volume can be mounted on. Not looked at: anti-affinity between pods, topology spread, ports. Each pod
is put where most memory is left, the largest first; so "there is room" is a real placement, and a "no" names the pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from deployments.catalogue.nodes import evictable, machines
from integrations.kubernetes.objects import Claim, Node, PersistentVolume, Pod
from monitoring.checks.nodes import is_ready
from monitoring.checks.placement import excluded, term_matches
from monitoring.checks.quantities import parse_quantity
from monitoring.checks.text import count, listing
from monitoring.snapshot import Snapshot

Amounts = dict[str, Decimal]
Volumes = dict[tuple[str, str], PersistentVolume]


class Preview(NamedTuple):
    """``homeless``: pods that no node takes, with the reason. ``bound``: pods whose volume cannot leave the node."""

    homeless: tuple[str, ...]
    bound: tuple[str, ...]
    #: what was counted, for the evidence
    sentence: str


def preview(snapshot: Snapshot, node: str, moving: Iterable[Pod]) -> Preview:
    """Place the pods that come back on the other nodes. :raises Missing:"""
    nodes: list[Node] = snapshot.objects(machines.NODES)
    others = sorted((n for n in nodes if n.metadata.name != node and not _closed(n)), key=lambda n: n.metadata.name)
    free = _free(snapshot, others)
    volumes = _volumes(snapshot)
    wanted = sorted(((pod, requests(pod)) for pod in moving), key=_size)
    homeless, bound = [], []
    for pod, needed in wanted:
        here = [n for n in others if not excluded(pod.spec, n.metadata.name, n)]
        reachable = [n for n in here if _mountable(volumes, pod, n)]
        if here and not reachable:
            bound.append(evictable.title(pod))
            continue
        fitting = [
            n for n in reachable if all(free[n.metadata.name].get(k, Decimal(0)) >= v for k, v in needed.items())
        ]
        if not fitting:
            why = _why(reachable, free, needed) if reachable else "no other node takes it (taints, selector, affinity)"
            homeless.append(f"{evictable.title(pod)}: {why}")
            continue
        best = max(fitting, key=lambda n: (free[n.metadata.name].get("memory", Decimal(0)), n.metadata.name))
        for resource, amount in needed.items():
            free[best.metadata.name][resource] = free[best.metadata.name].get(resource, Decimal(0)) - amount
    return Preview(tuple(homeless), tuple(bound), _sentence(wanted, others))


def requests(pod: Pod) -> Amounts:
    """What a pod asks for: the sum of its containers, or its largest init container when that is more; and one pod."""
    total: Amounts = {}
    for container in pod.spec.containers:
        for resource, text in container.resources.requests.items():
            total[resource] = total.get(resource, Decimal(0)) + _amount(text)
    for container in pod.spec.init_containers:
        for resource, text in container.resources.requests.items():
            total[resource] = max(total.get(resource, Decimal(0)), _amount(text))
    return {**total, "pods": Decimal(1)}


def _closed(node: Node) -> bool:
    """Whether nothing is scheduled there, whatever it tolerates; taints are looked at pod by pod."""
    return bool(node.spec.unschedulable or node.metadata.deletion_timestamp) or not is_ready(node)


def _free(snapshot: Snapshot, nodes: Iterable[Node]) -> dict[str, Amounts]:
    free = {n.metadata.name: {k: _amount(v) for k, v in n.status.allocatable.items()} for n in nodes}
    pods: list[Pod] = snapshot.objects("pods")
    for pod in pods:
        left = free.get(pod.spec.node_name)
        if left is None or evictable.finished(pod):
            continue
        for resource, amount in requests(pod).items():
            if resource in left:
                left[resource] -= amount
    return free


def _volumes(snapshot: Snapshot) -> Volumes:
    """The bound volume of each claim, by its namespace and name."""
    claims: list[Claim] = snapshot.objects("persistentvolumeclaims")
    volumes: list[PersistentVolume] = snapshot.objects("persistentvolumes")
    by_name = {volume.metadata.name: volume for volume in volumes}
    return {
        (claim.metadata.namespace, claim.metadata.name): by_name[claim.spec.volume_name]
        for claim in claims
        if claim.spec.volume_name in by_name
    }


def _mountable(volumes: Volumes, pod: Pod, node: Node) -> bool:
    """Whether all bound volumes of the pod can be mounted there."""
    for mount in pod.spec.volumes:
        source = mount.persistent_volume_claim
        volume = volumes.get((pod.metadata.namespace, source.claim_name)) if source is not None else None
        if volume is not None and not _reaches(volume.spec.node_affinity, node):
            return False
    return True


def _reaches(affinity: Any, node: Node) -> bool:
    """``spec.nodeAffinity.required`` of a volume; without it the volume can be mounted anywhere."""
    required = affinity.get("required") if isinstance(affinity, Mapping) else None
    terms = required.get("nodeSelectorTerms") if isinstance(required, Mapping) else None
    if not isinstance(terms, list):
        return True
    labels = {"kubernetes.io/hostname": node.metadata.name, **node.metadata.labels}
    return any(isinstance(term, dict) and term_matches(term, labels, node.metadata.name) for term in terms)


def _why(nodes: Sequence[Node], free: Mapping[str, Amounts], needed: Amounts) -> str:
    """The resource that most nodes lack."""
    lacking = {
        resource: sum(free[n.metadata.name].get(resource, Decimal(0)) < amount for n in nodes)
        for resource, amount in needed.items()
    }
    worst = max(sorted(lacking), key=lambda resource: lacking[resource])
    return f"not enough {worst} on {count(len(nodes), 'node')} that would take it"


def _sentence(wanted: Sequence[tuple[Pod, Amounts]], others: Sequence[Node]) -> str:
    cores = sum((needed.get("cpu", Decimal(0)) for _, needed in wanted), Decimal(0))
    memory = sum((needed.get("memory", Decimal(0)) for _, needed in wanted), Decimal(0))
    asked = f"{count(len(wanted), 'pod')} ask for {cores:.2f} cores and {memory / 2**30:.1f} GiB"
    return f"{asked}; looked at {listing((n.metadata.name for n in others), 8) or 'no other node'}"


def _size(entry: tuple[Pod, Amounts]) -> tuple[Decimal, Decimal, str, str]:
    pod, needed = entry
    return (
        -needed.get("memory", Decimal(0)),
        -needed.get("cpu", Decimal(0)),
        pod.metadata.namespace,
        pod.metadata.name,
    )


def _amount(text: str) -> Decimal:
    try:
        return parse_quantity(text)
    except ValueError:
        return Decimal(0)
