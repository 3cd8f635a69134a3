"""G6: a Secret or ConfigMap the pod names is not there, or lacks a key."""

from __future__ import annotations

from monitoring.checks.text import clean, phrase
from monitoring.diagnosis.argo_words import repair_of
from monitoring.diagnosis.base import Layer, Signature, event_line, finding, pattern, says
from monitoring.diagnosis.containers import rollback
from monitoring.diagnosis.gathering import OPERATED
from monitoring.diagnosis.owning import owner_name
from monitoring.diagnosis.remedies import ADMIN_SECRET, SYNC_RESOURCES, Remedy, remedy
from monitoring.diagnosis.scene import Scene
from monitoring.verdict import Finding

# kubelet: pkg/kubelet/kuberuntime (environment), pkg/volume/{secret,configmap,projected}
_GONE = pattern(
    r"(?P<kind>secrets?|configmaps?) \"(?P<name>[^\"]{1,253})\" not found|"
    r"couldn't find key (?P<key>\S{1,253}) in (?P<of>Secret|ConfigMap) \S{1,300}|"
    r"references non-existent (?:secret|config) key:? ?(?P<lost>\S{0,253})"
)


#: what the operator makes for its StatefulSets (prometheus-operator: pkg/{prometheus,alertmanager}): never by hand
_GENERATED = pattern(
    r"secrets? \"(?:alertmanager-[^\"]{1,200}-(?:generated|tls-assets-\d+|web-config|cluster-tls-config)|"
    r"prometheus-[^\"]{1,200})\"|configmaps? \"prometheus-[^\"]{1,200}-rulefiles-\d{1,4}\""
)


def of_container(scene: Scene) -> Finding | None:
    """In the container's environment: CreateContainerConfigError."""
    for bad in [*scene.main(), *(b for b in scene.bad if b not in scene.main())]:
        gone = says(_GONE, bad.message)
        if bad.waiting not in {"CreateContainerConfigError", "CreateContainerError"} or not gone:
            continue
        text = clean(bad.message)
        return finding(
            "G6",
            "missing_configuration",
            "Something the container needs is not there",
            f"{clean(bad.name, 60)} cannot be made: {phrase(bad.message)}. "
            f"{_wanted(bad.message)}; the kubelet tries again by "
            "itself.",
            (f"{bad.pod.metadata.name} {bad.name}: {bad.waiting}: {text}",),
            0.97,
            remedies=(*_remedies(scene, bad.message), *rollback(scene, bad)),
        )
    return None


def _wanted(message: str) -> str:
    gone = says(_GONE, message)
    return "Add the key, or correct its name" if gone and (gone.group("key") or gone.group("lost")) else "Create it"


def of_volume(scene: Scene) -> Finding | None:
    """In a volume of the pod: FailedMount."""
    for pod in scene.pods:
        if any(status.state.running or status.state.terminated for status in pod.status.container_statuses):
            continue
        for event in reversed(scene.events_of(pod.metadata.name, "FailedMount")):
            if says(_GONE, event.message):
                return finding(
                    "G6",
                    "missing_configuration",
                    "Something the pod mounts is not there",
                    f"{pod.metadata.name} waits for a volume: {phrase(event.message)}. "
                    + (
                        "The Prometheus operator makes it: look at the operator and its log."
                        if scene.kind in OPERATED and says(_GENERATED, event.message)
                        else f"{_wanted(event.message)}; the kubelet tries again by itself."
                    ),
                    (event_line(scene, event),),
                    0.95,
                    remedies=_remedies(scene, event.message),
                )
    return None


def _remedies(scene: Scene, message: str) -> tuple[Remedy, ...]:
    found = says(_GONE, message)
    text = message.lower()
    # of a key that is missing its name says whether it is the admin's
    about = (found.group("key") or text).lower() if found else ""
    if scene.kind == "grafana" and found and ("admin" in about or "grafana" in about) and "secret" in text:
        # the admin Secret: made anew where the chart was told of an existing one, synced where the chart makes it
        return (remedy(ADMIN_SECRET), repair_of(scene.application))
    return _sync(scene) if scene.kind != "grafana" else (repair_of(scene.application), *_sync(scene))


def _sync(scene: Scene) -> tuple[Remedy, ...]:
    owner = next((name for _, item in scene.workloads if (name := owner_name(item.metadata))), "")
    return (remedy(SYNC_RESOURCES, application=owner),) if owner else ()


SIGNATURES = (
    Signature(
        "G6",
        Layer.CONTAINER,
        "A Secret or ConfigMap that a container's environment names is missing, or lacks a key.",
        "https://kubernetes.io/docs/concepts/configuration/secret/#restriction-secret-must-exist",
        of_container,
    ),
    Signature(
        "G6",
        Layer.VOLUME,
        "A Secret or ConfigMap that a pod mounts is missing, or lacks a key.",
        "https://kubernetes.io/docs/concepts/configuration/secret/#restriction-secret-must-exist",
        of_volume,
    ),
)
