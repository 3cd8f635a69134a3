"""G18: a volume that cannot be attached or mounted, in the words of the kubelet and of mount(8)."""

from __future__ import annotations

from dataclasses import dataclass
from re import Pattern

from integrations.kubernetes.objects import Event, Pod
from monitoring.checks.text import clean
from monitoring.diagnosis.argo_words import repair_of, to_values
from monitoring.diagnosis.base import Layer, Signature, event_line, finding, older, pattern, says
from monitoring.diagnosis.remedies import FORCE_DELETE_POD, Remedy, remedy
from monitoring.diagnosis.scene import Scene, begun, claim_names
from monitoring.verdict import Finding

_REASONS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_CONFIGURATION = pattern(
    r"(?:secrets?|configmaps?) \"[^\"]{1,253}\" not found|references non-existent|couldn't find key"
)
_ONLY_LATE = pattern(r"timed out waiting for the condition|context deadline exceeded$|unmounted volumes=")
_PATIENCE = 30


@dataclass(frozen=True, slots=True)
class _Why:
    cause: str
    words: Pattern[str]
    story: str
    advice: str


_WHYS = (
    _Why(
        "multi_attach",
        pattern(r"multi-attach|already (?:exclusively )?attached|volume is already used by pod"),
        "the volume is still attached to another node",
        "Use strategy Recreate, and end the pod that still has it.",
    ),
    _Why(
        "mount_helper_missing",
        pattern(
            r"bad option; for several filesystems|helper program|mount\.nfs: (?:command )?not found|"
            r"unknown filesystem type"
        ),
        "the node has no mount helper for this kind of volume",
        "Install nfs-common (or nfs-utils) on that node.",
    ),
    _Why(
        "mount_denied",
        pattern(r"access denied by server|permission denied|operation not permitted"),
        "the server refuses that node",
        "Allow the node in the export.",
    ),
    _Why(
        "export_missing",
        pattern(r"no such file or directory|reason given by server|not exported|does not exist"),
        "the server has no such export or folder",
        "Create the folder on the server, or correct its path.",
    ),
    _Why(
        "stale_handle",
        pattern(r"stale (?:nfs )?file handle"),
        "the node holds a handle to something that is gone on the server",
        "Unmount it on that node, or start the pod on another.",
    ),
    _Why(
        "server_unreachable",
        pattern(
            r"connection (?:timed out|refused)|no route to host|timed out|host is down|network is unreachable|"
            r"failed to resolve|name or service not known"
        ),
        "the server does not answer from that node",
        "Look at the server, and at the network between the two.",
    ),
    _Why(
        "driver_missing",
        pattern(
            r"driver name \S{1,120} not found|not found in the list of registered csi drivers|no volume plugin matched"
        ),
        "its CSI driver does not run on that node",
        "Look at the driver's DaemonSet there.",
    ),
    _Why(
        "wrong_filesystem",
        pattern(r"wrong fs type|bad superblock|fsck|structure needs cleaning|input/output error"),
        "the file system on the volume is broken",
        "Look at the volume before anything writes to it.",
    ),
    _Why(
        "token_missing",
        pattern(r"failed to fetch token|serviceaccounts? \"[^\"]{1,253}\" not found"),
        "its ServiceAccount is not there",
        "Create it again by a sync of its Application.",
    ),
)


def find(scene: Scene) -> Finding | None:
    for pod in scene.pods:
        if any(
            status.state.running or status.state.terminated
            for status in [*pod.status.container_statuses, *pod.status.init_container_statuses]
        ):
            continue
        events = [e for e in scene.events_of(pod.metadata.name, *_REASONS) if not says(_CONFIGURATION, e.message)]
        if not events or not (
            older(scene, begun(pod), _PATIENCE)
            or (events[-1].count or 1) > 1
            or pod.metadata.creation_timestamp is None
        ):
            continue
        event, why = _telling(events)
        text = clean(event.message, 200)
        return finding(
            "G18",
            why.cause if why else "mount_failed",
            "The volume cannot be mounted",
            f"{pod.metadata.name} waits for its volume: {why.story if why else text.rstrip('.')}. "
            + (why.advice if why else "Look at the volume's server and at that node."),
            (
                event_line(scene, event),
                f"node {clean(pod.spec.node_name, 80)}" if pod.spec.node_name else "",
                *(f"claim {clean(name, 120)}" for name in claim_names(pod)[:2]),
                *_others(scene, pod),
            ),
            0.92 if why else 0.75,
            remedies=_remedies(scene, why),
        )
    return None


def _telling(events: list[Event]) -> tuple[Event, _Why | None]:
    """The newest event that says why; the kubelet repeats that it is late, which says nothing."""
    for event in reversed(events):
        why = next((each for each in _WHYS if says(each.words, event.message)), None)
        if why is not None and not (why.cause == "server_unreachable" and says(_ONLY_LATE, event.message)):
            return event, why
    return events[-1], None


def _others(scene: Scene, pod: Pod) -> list[str]:
    mine = set(claim_names(pod))
    return [
        f"{clean(other.metadata.name, 120)} on {clean(other.spec.node_name, 80) or 'no node'} has the same claim"
        for other in [*scene.pods, *scene.leaving]
        if other is not pod and mine & set(claim_names(other))
    ][:2]


def _remedies(scene: Scene, why: _Why | None) -> tuple[Remedy, ...]:
    if why is None or why.cause != "multi_attach":
        return ()
    ends = tuple(
        remedy(FORCE_DELETE_POD, namespace=pod.metadata.namespace, name=pod.metadata.name) for pod in scene.leaving[:1]
    )
    return (*ends, *((repair_of(scene.application),) if scene.kind == "grafana" else to_values(scene)))


SIGNATURES = (
    Signature(
        "G18",
        Layer.VOLUME,
        "A volume cannot be attached or mounted; the node's own words say why.",
        "https://github.com/kubernetes-sigs/nfs-subdir-external-provisioner/issues/188",
        find,
    ),
)
