"""Where a pod may run: taints, node selectors and affinity, volumes, resources. Pure."""

from __future__ import annotations

from collections import Counter

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.rights import View


def tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if not toleration.get("key"):
        return toleration.get("operator") == "Exists"
    if toleration["key"] != taint["key"]:
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")


def untolerated(pod: Object, node: Object, effects: tuple[str, ...]) -> Object | None:
    """The first taint of the node that keeps the pod away."""
    for taint in node["spec"].get("taints") or []:
        if taint["effect"] in effects and not any(
            tolerates(entry, taint) for entry in pod["spec"].get("tolerations") or []
        ):
            return dict(taint)
    return None


def _term_matches(term: Object, node: Object) -> bool:
    fields = {"metadata.name": node["metadata"]["name"]}
    return all(meta.requirement(meta.labels(node), entry) for entry in term.get("matchExpressions") or []) and all(
        meta.requirement(fields, entry) for entry in term.get("matchFields") or []
    )


def affinity_reason(pod: Object, node: Object) -> str | None:
    """Why node selector or required affinity excludes the node."""
    text = "node(s) didn't match Pod's node affinity/selector"
    selector = pod["spec"].get("nodeSelector") or {}
    if not meta.matches(meta.labels(node), selector):
        return text
    required = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if required and not any(_term_matches(term, node) for term in required.get("nodeSelectorTerms") or []):
        return text
    return None


def requests(pod: Object) -> tuple[float, float]:
    """Cores and bytes that the pod's containers ask for."""
    cores = memory = 0.0
    for container in pod["spec"].get("containers") or []:
        wanted = (container.get("resources") or {}).get("requests") or {}
        cores += meta.quantity(wanted.get("cpu"))
        memory += meta.quantity(wanted.get("memory"))
    return cores, memory


def exclusion(pod: Object, node: Object, used: tuple[float, float], count: int) -> str | None:
    """Why the pod cannot run on the node, in the scheduler's words; None when it can."""
    if node["spec"].get("unschedulable") and not any(
        tolerates(entry, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
        for entry in pod["spec"].get("tolerations") or []
    ):
        return "node(s) were unschedulable"
    taint = untolerated(pod, node, ("NoSchedule", "NoExecute"))
    if taint and taint["key"] != "node.kubernetes.io/unschedulable":
        return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    reason = affinity_reason(pod, node)
    if reason:
        return reason
    ready = meta.condition(node, "Ready")
    if ready and ready["status"] != "True":
        return "node(s) were not ready"
    free = (node.get("status") or {}).get("allocatable") or {}
    cores, memory = requests(pod)
    if used[0] + cores > meta.quantity(free.get("cpu", "64")):
        return "Insufficient cpu"
    if used[1] + memory > meta.quantity(free.get("memory", "256Gi")):
        return "Insufficient memory"
    if count >= meta.quantity(free.get("pods", "110")):
        return "Too many pods"
    return None


def usage(pods_there: list[Object]) -> tuple[float, float]:
    totals = [requests(pod) for pod in pods_there if not meta.pod_finished(pod)]
    return sum(cores for cores, _ in totals), sum(memory for _, memory in totals)


def choose(pod: Object, nodes: list[Object], by_node: dict[str, list[Object]]) -> tuple[str, str]:
    """(node, "") or ("", the scheduler's message).

    Pods of one owner are spread; among equal nodes the emptiest wins, ties by name.
    """
    reasons: Counter[str] = Counter()
    fitting: list[tuple[int, float, int, str]] = []
    owner = meta.controller_uid(pod)
    for node in nodes:
        name = node["metadata"]["name"]
        there = by_node.get(name, [])
        used = usage(there)
        reason = exclusion(pod, node, used, len(there))
        if reason:
            reasons[reason] += 1
        else:
            siblings = sum(bool(owner) and meta.controller_uid(other) == owner for other in there)
            fitting.append((siblings, round(used[1] / 2**30, 1), len(there), name))
    if fitting:
        return min(fitting)[3], ""
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    total = len(nodes)
    if not total:
        return "", "no nodes available to schedule pods"
    return "", (
        f"0/{total} nodes are available: {listed}. preemption: 0/{total} nodes are available: "
        f"{total} Preemption is not helpful for scheduling."
    )


def waits_for_pod(claim: Object, view: View) -> bool:
    """Whether the claim's class binds a volume only once a pod has a node."""
    name = claim["spec"].get("storageClassName")
    found = view.get("storageclasses.storage.k8s.io", None, name) if name else None
    return bool(found and found.get("volumeBindingMode") == "WaitForFirstConsumer")


def volume_reason(pod: Object, view: View) -> str:
    """Why the pod's claims keep it from being scheduled, in the scheduler's words; empty when they do not."""
    namespace = pod["metadata"]["namespace"]
    for volume in pod["spec"].get("volumes") or []:
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if not name:
            continue
        claim = view.get("persistentvolumeclaims", namespace, name)
        total = len(view.list("nodes"))
        if not claim:
            return f'0/{total} nodes are available: persistentvolumeclaim "{name}" not found.'
        if (claim.get("status") or {}).get("phase") != "Bound" and not waits_for_pod(claim, view):
            return f"0/{total} nodes are available: pod has unbound immediate PersistentVolumeClaims."
    return ""
