"""W8: the pod gets no network or sandbox on its node (kubelet's FailedCreatePodSandBox, and what CNI plugins say)."""

from __future__ import annotations

from monitoring.checks.text import clean, phrase
from monitoring.diagnosis.base import Layer, Signature, event_line, finding, pattern, says
from monitoring.diagnosis.remedies import CORDON, DELETE_POD, remedy
from monitoring.diagnosis.scene import Scene
from monitoring.verdict import Finding

_REASONS = ("FailedCreatePodSandBox", "NetworkNotReady", "FailedPodSandBoxStatus")
_ADDRESSES = pattern(
    r"no (?:more )?(?:ip )?addresses available|failed to allocate|ipam|exhausted|failed to assign an ip"
)
_PLUGIN = pattern(r"cni|network plugin|plugin type|networkplugin|network is not ready|setup network")


def find(scene: Scene) -> Finding | None:
    for pod in scene.pods:
        if any(status.state.running for status in pod.status.container_statuses):
            continue
        events = scene.events_of(pod.metadata.name, *_REASONS)
        if not events or (events[-1].count or 1) < 2:
            continue
        event = events[-1]
        addresses, plugin = says(_ADDRESSES, event.message), says(_PLUGIN, event.message)
        why = (
            "the node has no free pod address"
            if addresses
            else "the network plugin there does not do its part"
            if plugin
            else phrase(event.message, 200)
        )
        node = pod.spec.node_name
        return finding(
            "W8",
            "no_pod_address" if addresses else "network_plugin" if plugin else "no_sandbox",
            "The pod gets no network on its node",
            f"{pod.metadata.name} cannot be set up on {clean(node, 80) or 'its node'}: {why}. Look at the network "
            "plugin's pod there; other new pods on that node have the same trouble.",
            (event_line(scene, event), f"node {clean(node, 80)}" if node else ""),
            0.9,
            remedies=(
                remedy(CORDON, node=node),
                remedy(DELETE_POD, namespace=pod.metadata.namespace, name=pod.metadata.name),
            ),
        )
    return None


SIGNATURES = (
    Signature(
        "W8",
        Layer.VOLUME,
        "A pod gets no sandbox or network on its node.",
        "https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/",
        find,
    ),
)
