"""What the actions that end one pod share: finding it, what forbids it, what it touches, what stands in its place."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.catalogue.action import Blast, CannotPlan, Condition, Precondition, Verification
from deployments.catalogue.workloads import pods, targets
from integrations.kubernetes.objects import Pod
from monitoring.checks.pods import is_ready
from monitoring.checks.text import clean, count
from monitoring.snapshot import Need, Snapshot

#: the waits of the step are the evidence: the pod in question is not there any more, so no check can be about it
VERIFICATION = Verification((), 0, 0)


_JOB_TRACKING = "batch.kubernetes.io/job-tracking"


def needs(namespace: str) -> Iterable[Need]:
    """What the functions here read."""
    return pods.blast_needs(namespace)


def find(snapshot: Snapshot, namespace: str, name: str) -> Pod:
    """The pod. :raises CannotPlan: there is none of this name."""
    pod: Pod | None = snapshot.get("pods", namespace, name)
    if pod is None:
        raise CannotPlan(f"There is no pod {name} in namespace {namespace}.")
    return pod


def has_controller(pod: Pod) -> Precondition:
    """Without one nothing brings the pod back."""
    owner = targets.controller(pod.metadata)
    if owner is None:
        return Precondition("A controller puts a new pod in its place", False, "it has no controlling owner")
    return Precondition("A controller puts a new pod in its place", True, f"{clean(owner.kind, 80)} {owner.name}")


def not_static(pod: Pod) -> Precondition:
    """A static pod belongs to the kubelet of its node: deleting its mirror ends nothing."""
    mirror = pods.is_mirror(pod)
    said = "it mirrors a static pod of its node" if mirror else "it carries no mirror annotation"
    return Precondition("It is not a static pod", not mirror, said)


def not_going(pod: Pod) -> Precondition:
    """Nobody deleted it already."""
    until = pod.metadata.deletion_timestamp
    sentence = "It is not being deleted already"
    if until is None:
        return Precondition(sentence, True, pods.state(pod))
    return Precondition(sentence, False, f"its grace period ends {until:%F %T}; if it stays, delete it by force")


def nothing_holds(pod: Pod) -> Precondition:
    """A finalizer keeps a pod even when it is deleted with no grace. (The Job controller takes its own off.)"""
    held = [clean(name, 120) for name in pod.metadata.finalizers if name != _JOB_TRACKING]
    said = f"{held[0]} holds it until its controller takes it off" if held else "it has none"
    return Precondition("No finalizer holds it", not held, said)


def until(pod: Pod) -> Condition:
    """The wait: for the pod in its place, where its controller makes one."""
    owner = targets.controller(pod.metadata)
    if owner is not None and owner.kind in pods.OWNERS:
        return Condition("pod_replaced", pods.owner_args(pod))
    return gone(pod)


def gone(pod: Pod) -> Condition:
    """The wait for its end alone."""
    meta = pod.metadata
    return Condition("pod_gone", {"namespace": meta.namespace, "name": meta.name, "uid": meta.uid})


def leaving(pod: Pod) -> Condition:
    """What leaves nothing to do: somebody else ended it meanwhile, or it ends."""
    return Condition("pod_leaving", gone(pod).args)


def blast(snapshot: Snapshot, pod: Pod, *more: str) -> Blast:
    """What its end touches; that it is the last ready one of its controller is said. :raises Missing:"""
    lost = pods.endpoints_lost(snapshot, [pod])
    last = _last(snapshot, pod)
    said = [last, *more] if last else [*more]
    # of one that is ending the end is not this plan's: only the object that is left goes
    back = targets.controller(pod.metadata) is not None and pod.metadata.deletion_timestamp is None
    return Blast(
        restarted=pods.lines([pod]) if back else (),
        deleted=() if back else pods.lines([pod]),
        budgets=pods.budgets(snapshot, [pod]),
        claims=pods.claims([pod]),
        endpoints=lost,
        sentence=" ".join(said) or "One pod ends; the others of its controller stay.",
    )


def _last(snapshot: Snapshot, pod: Pod) -> str:
    """Whether it is the last ready one, as a sentence."""
    owner = targets.controller(pod.metadata)
    if owner is None or not is_ready(pod):
        return ""
    everyone: list[Pod] = snapshot.objects("pods", pod.metadata.namespace)
    others = [
        other
        for other in everyone
        if other.metadata.uid != pod.metadata.uid
        and (theirs := targets.controller(other.metadata)) is not None
        and theirs.uid == owner.uid
        and is_ready(other)
    ]
    whose = f"{clean(owner.kind, 80)} {owner.name}"
    if others:
        return f"{count(len(others), 'other ready pod')} of {whose} {'stays' if len(others) == 1 else 'stay'}."
    return f"It is the last ready pod of {whose}: nothing of it answers until the next one is ready."
