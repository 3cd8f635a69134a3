"""Which pods of a node a drain evicts, which stay, and which need somebody's word first.

The rules are those of ``kubectl drain`` (kubectl's ``pkg/drain/filters.go``): mirror pods and pods of a DaemonSet stay;
a pod with an ``emptyDir`` loses what is in it; a pod that nothing made does not come back; one that has finished may
always go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from deployments.catalogue.workloads import pods, targets
from integrations.kubernetes.jobs import Budget
from integrations.kubernetes.objects import Pod, Workload
from monitoring.checks.pods import is_ready
from monitoring.snapshot import Snapshot

_FINISHED = ("Succeeded", "Failed")
#: what the portal's own evidence comes from, by the value of ``app.kubernetes.io/name``
MONITORING = ("prometheus", "alertmanager", "grafana", "kube-state-metrics", "thanos-ruler")
_OPERATOR = "prometheus-operator"


class Sorted(NamedTuple):
    """The pods of one node. ``evicted`` in the order of eviction: monitoring last, then by namespace and name."""

    evicted: tuple[Pod, ...] = ()
    #: mirror pods and pods of DaemonSets
    stay: tuple[Pod, ...] = ()
    #: being deleted already
    ending: tuple[Pod, ...] = ()


def of_node(snapshot: Snapshot, node: str) -> Sorted:
    """The pods of a node. :raises Missing: pods or DaemonSets were not read."""
    every: list[Pod] = snapshot.objects("pods")
    mine = sorted((pod for pod in every if pod.spec.node_name == node), key=_order)
    stay = [pod for pod in mine if pods.is_mirror(pod) or _of_daemon_set(snapshot, pod)]
    rest = [pod for pod in mine if pod not in stay]
    ending = [pod for pod in rest if pod.metadata.deletion_timestamp is not None]
    return Sorted(tuple(pod for pod in rest if pod not in ending), tuple(stay), tuple(ending))


def title(pod: Pod) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.name}"


def finished(pod: Pod) -> bool:
    return pod.status.phase in _FINISHED


def loses_data(pod: Pod) -> bool:
    """Whether an eviction deletes what the pod wrote into an ``emptyDir``."""
    return not finished(pod) and any(volume.empty_dir is not None for volume in pod.spec.volumes)


def comes_back(pod: Pod) -> bool:
    """Whether a controller makes another one. (A DaemonSet's pod is evicted only when its DaemonSet is gone.)"""
    owner = targets.controller(pod.metadata)
    return not finished(pod) and owner is not None and owner.kind != "DaemonSet"


def ownerless(pod: Pod) -> bool:
    """Whether nothing brings this evicted pod back, and it was still at work."""
    return not finished(pod) and not comes_back(pod)


def is_monitoring(pod: Pod) -> bool:
    """Whether the portal's own evidence comes from this pod."""
    labels = pod.metadata.labels
    named = labels.get("app.kubernetes.io/name", "")
    return named in MONITORING or _OPERATOR in (named, labels.get("app.kubernetes.io/component", ""))


def asks(budget: Budget, pod: Pod) -> bool:
    """Whether the eviction of this pod must be allowed by this budget.

    As in Kubernetes' ``pkg/registry/core/pod/storage/eviction.go``: pods that are pending, finished or ending pass, and
    one that is not ready passes where the budget's policy says so.
    """
    if pod.status.phase == "Pending" or finished(pod) or pod.metadata.deletion_timestamp is not None:
        return False
    if is_ready(pod):
        return True
    if budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow":
        return False
    return not 0 < budget.status.desired_healthy <= budget.status.current_healthy


def blocking(snapshot: Snapshot, evicted: Iterable[Pod]) -> list[tuple[Budget, list[Pod]]]:
    """The budgets that allow no disruption now, with the pods they hold. :raises Missing:"""
    held: dict[tuple[str, str], tuple[Budget, list[Pod]]] = {}
    for pod in evicted:
        for budget in pods.budgets_over(snapshot, pod):
            if budget.status.disruptions_allowed <= 0 and asks(budget, pod):
                key = (budget.metadata.namespace, budget.metadata.name)
                held.setdefault(key, (budget, []))[1].append(pod)
    return [held[key] for key in sorted(held)]


def _of_daemon_set(snapshot: Snapshot, pod: Pod) -> bool:
    owner = targets.controller(pod.metadata)
    if owner is None or owner.kind != "DaemonSet" or finished(pod):
        return False
    found: Workload | None = snapshot.get(targets.KINDS["DaemonSet"], pod.metadata.namespace, owner.name)
    return found is not None


def _order(pod: Pod) -> tuple[bool, str, str]:
    return is_monitoring(pod), pod.metadata.namespace, pod.metadata.name
