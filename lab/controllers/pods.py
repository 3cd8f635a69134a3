"""Pods made from templates, and what workload controllers count about them. Pure."""

from __future__ import annotations

import random

from lab.controllers import meta
from lab.controllers.client import Object
from lab.plain import copied


def from_template(owner: Object, template: Object, name: str, extra_labels: dict[str, str] | None = None) -> Object:
    """A pod of `template` controlled by `owner`."""
    source = template.get("metadata") or {}
    pod_meta: Object = {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": {**(source.get("labels") or {}), **(extra_labels or {})},
        "ownerReferences": [meta.owner_reference(owner)],
    }
    if source.get("annotations"):
        pod_meta["annotations"] = dict(source["annotations"])
    if source.get("finalizers"):
        pod_meta["finalizers"] = list(source["finalizers"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_meta, "spec": copied(template["spec"])}


def random_name(owner: Object, rng: random.Random) -> str:
    return f"{owner['metadata']['name']}-{meta.suffix(rng)}"


def active(pods: list[Object]) -> list[Object]:
    """Pods that still count: neither finished nor being deleted."""
    return [pod for pod in pods if not meta.deleting(pod) and not meta.pod_finished(pod)]


def deletion_order(pods: list[Object]) -> list[Object]:
    """Which pods a ReplicaSet gives up first: unscheduled, not ready, youngest."""
    return sorted(
        pods,
        key=lambda pod: (
            bool(pod["spec"].get("nodeName")),
            meta.pod_ready(pod),
            -_age_rank(pod),
        ),
    )


def _age_rank(pod: Object) -> float:
    created = meta.moment(pod["metadata"].get("creationTimestamp"))
    return created.timestamp() if created else 0.0


def node_name_term(node: str) -> Object:
    """The affinity by which a DaemonSet's pod names its node."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field]}]}
        }
    }


DAEMON_TOLERATIONS: list[Object] = [
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/disk-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/pid-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"},
]


def daemon_pod(owner: Object, node: str, name: str, revision: str) -> Object:
    """The pod of a DaemonSet for one node."""
    pod = from_template(
        owner,
        owner["spec"]["template"],
        name,
        {"controller-revision-hash": revision, "pod-template-generation": str(generation(owner))},
    )
    spec = pod["spec"]
    spec["affinity"] = {**(spec.get("affinity") or {}), **node_name_term(node)}
    spec["tolerations"] = [*(spec.get("tolerations") or []), *copied(DAEMON_TOLERATIONS)]
    return pod


def generation(obj: Object) -> int:
    return int(obj["metadata"].get("generation") or 1)


def claimed_node(pod: Object) -> str:
    """The node a DaemonSet's pod is meant for, before it is bound."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    for term in affinity.get("nodeSelectorTerms") or []:
        for field in term.get("matchFields") or []:
            if field.get("key") == "metadata.name" and field.get("values"):
                return str(field["values"][0])
    return ""


def stateful_pod(owner: Object, ordinal: int, revision: str) -> Object:
    """The pod of a StatefulSet with its identity labels and its claims as volumes."""
    name = f"{owner['metadata']['name']}-{ordinal}"
    pod = from_template(
        owner,
        owner["spec"]["template"],
        name,
        {
            "controller-revision-hash": revision,
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(ordinal),
        },
    )
    spec = pod["spec"]
    spec["hostname"] = name
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    templates = owner["spec"].get("volumeClaimTemplates") or []
    names = {claim["metadata"]["name"] for claim in templates}
    kept = [volume for volume in spec.get("volumes") or [] if volume["name"] not in names]
    claims = [
        {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim_name(claim, name)}}
        for claim in templates
    ]
    if kept or claims:
        spec["volumes"] = [*claims, *kept]
    return pod


def claim_name(template: Object, pod_name: str) -> str:
    return f"{template['metadata']['name']}-{pod_name}"


def stateful_claims(owner: Object, ordinal: int) -> list[Object]:
    """The PersistentVolumeClaims a StatefulSet's pod needs."""
    name = f"{owner['metadata']['name']}-{ordinal}"
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": claim_name(template, name),
                "namespace": owner["metadata"]["namespace"],
                "labels": {
                    **(owner["spec"]["selector"].get("matchLabels") or {}),
                    **(template["metadata"].get("labels") or {}),
                },
            },
            "spec": copied(template["spec"]),
        }
        for template in owner["spec"].get("volumeClaimTemplates") or []
    ]


def revision_name(owner: Object) -> str:
    """The update revision of a StatefulSet or DaemonSet: its name and the hash of its template."""
    return f"{owner['metadata']['name']}-{meta.template_hash(owner['spec']['template'])}"
