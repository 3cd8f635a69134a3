"""W6: a claim that no volume is bound to, and why (https://kubernetes.io/docs/concepts/storage/persistent-volumes/)."""

from __future__ import annotations

from collections.abc import Iterable

from integrations.kubernetes.objects import Claim, Event, StorageClass, Workload
from monitoring.checks.storage import CLASSES, is_called, is_default
from monitoring.checks.text import clean, listing, phrase
from monitoring.diagnosis.base import Layer, Signature, event_line, finding, from_then, older, pattern, says
from monitoring.diagnosis.remedies import DEFAULT_CLASS, RESTART, Remedy, remedy
from monitoring.diagnosis.scene import Scene, claim_names, settled
from monitoring.snapshot import Need, Objects, labels_match
from monitoring.verdict import Finding

CLAIMS = "persistentvolumeclaims"
_PATIENCE = 30
# kube-controller-manager: pkg/controller/volume/persistentvolume/pv_controller.go
_WAITS_FOR_POD = ("WaitForFirstConsumer", "WaitForPodScheduled")
_EXTERNAL = ("ExternalProvisioning", "Provisioning")
_MISSING = pattern(r"persistentvolumeclaim \"([^\"]{1,253})\" (?:not found|is being deleted)")


def needs(scene: Scene) -> Iterable[Need]:
    if scene.kind == "claims":
        yield from (Objects(each, scene.namespace) for each in (CLAIMS, "pods", "events"))
        yield Objects(CLASSES)
    waiting = pending(scene)
    if waiting or any(says(_MISSING, _placed(pod)) for pod in scene.pods):
        yield Objects(CLASSES)
    if any(claim.spec.storage_class_name for claim in waiting):
        # the provisioner of a class may run anywhere
        yield Objects("deployments.apps")
        yield Objects("statefulsets.apps")


def pending(scene: Scene) -> list[Claim]:
    """Claims of this scene that wait for a volume, for longer than binding takes."""
    return [
        item
        for item in _mine(scene)
        if item.status.phase != "Bound" and older(scene, item.metadata.creation_timestamp, _PATIENCE)
    ]


def _mine(scene: Scene) -> list[Claim]:
    if scene.kind != "claims":
        found = {item.metadata.name: item for item in scene.claims()}
        for _, item in scene.workloads:
            # what a StatefulSet's templates made for pods it has not made yet
            prefixes = tuple(f"{volume}-{item.metadata.name}-" for volume in _templates(item))
            if prefixes and not scene.pods:
                every: list[Claim] = scene.read(CLAIMS, scene.namespace)
                found |= {claim.metadata.name: claim for claim in every if claim.metadata.name.startswith(prefixes)}
        return list(found.values())
    claims: list[Claim] = scene.read(CLAIMS, scene.namespace)
    mounted = {
        n
        for pod in scene.read("pods", scene.namespace)
        if scene.selector and labels_match(pod.metadata.labels, scene.selector)
        for n in claim_names(pod)
    }
    wanted, prefix = (str(scene.subject.get(key) or "") for key in ("storage_class", "prefix"))
    return [
        item
        for item in claims
        if (not scene.selector or item.metadata.name in mounted or labels_match(item.metadata.labels, scene.selector))
        and (not (scene.name or prefix) or is_called(item.metadata.name, scene.name, prefix))
        and (not wanted or class_of(item) in {wanted, ""})
    ]


def _templates(item: Workload) -> list[str]:
    return [each.metadata.name for each in item.spec.volume_claim_templates]


def class_of(claim: Claim) -> str:
    """The class a claim names, by field or by the annotation of old."""
    return claim.spec.storage_class_name or claim.metadata.annotations.get(
        "volume.beta.kubernetes.io/storage-class", ""
    )


def find(scene: Scene) -> Finding | None:
    for claim in pending(scene):
        events = _events(scene, claim)
        reasons = {event.reason for event in events}
        if reasons and reasons <= set(_WAITS_FOR_POD):
            continue  # it waits for its pod to be placed: that is another question
        cause, why, advice, remedies, proof = _judge(scene, claim, events)
        name = claim.metadata.name
        # a claim is Pending from its beginning; when it was lost nobody writes down
        begun = None if claim.status.phase == "Lost" else claim.metadata.creation_timestamp
        return finding(
            "W6",
            cause,
            "A claim has no volume",
            f"Claim {name} is {claim.status.phase or 'Pending'}{from_then(scene, begun)}: {why}. {advice}",
            (
                f"PersistentVolumeClaim {name}: {claim.status.phase or 'Pending'}, class "
                f"{clean(class_of(claim), 80) or 'none'}",
                event_line(scene, events[-1]) if events else "",
                *proof,
            ),
            0.93 if cause != "claim_pending" else 0.6,
            remedies=remedies,
            at=begun,
        )
    return None


def _events(scene: Scene, claim: Claim) -> list[Event]:
    if scene.kind == "claims" and not scene.events:
        scene.events = scene.read("events", scene.namespace)
    return scene.events_of(claim.metadata.name)


Judged = tuple[str, str, str, tuple[Remedy, ...], tuple[str, ...]]


def _judge(scene: Scene, claim: Claim, events: list[Event]) -> Judged:
    if claim.status.phase == "Lost":
        return (
            "claim_lost",
            f"its volume {clean(claim.spec.volume_name, 80)} is gone",
            "Restore it from a backup.",
            (),
            (),
        )
    name = class_of(claim)
    classes: list[StorageClass] = scene.read(CLASSES)
    if scene.known(CLASSES) and not name and not any(is_default(each) for each in classes):
        return _no_default(scene)
    chosen = next((each for each in classes if each.metadata.name == name or (not name and is_default(each))), None)
    if scene.known(CLASSES) and name and chosen is None and not claim.spec.volume_name:
        others = listing(each.metadata.name for each in classes)
        return (
            "storage_class_missing",
            f"there is no StorageClass {clean(name, 80)}",
            f"There is {others or 'none'}. Create it, or name another in the values.",
            (),
            (),
        )
    failed = next(
        (e for e in reversed(events) if e.reason in {"ProvisioningFailed", "VolumeMismatch", "FailedBinding"}), None
    )
    if failed is not None and "no storage class is set" in failed.message:
        return _no_default(scene)
    if failed is not None:
        return ("provisioning_failed", phrase(failed.message), "Look at what the provisioner says.", (), ())
    if chosen is not None and (not events or {e.reason for e in events} <= {*_EXTERNAL, *_WAITS_FOR_POD}):
        return _provisioner(scene, chosen)
    return (
        "claim_pending",
        "nothing says why",
        "Look at the provisioner of its class and at the claim's events.",
        (),
        (),
    )


def _no_default(scene: Scene) -> Judged:
    classes: list[StorageClass] = scene.read(CLASSES)
    names = [each.metadata.name for each in classes]
    fix = (remedy(DEFAULT_CLASS, name=names[0] if len(names) == 1 else ""),) if names else ()
    return (
        "no_default_class",
        "it names no StorageClass and none is the default",
        f"Mark one as default{f' ({listing(names)})' if names else ''}, or name one in the values.",
        fix,
        (f"StorageClasses: {listing(names) or 'none'}, none is the default",) if scene.known(CLASSES) else (),
    )


def _provisioner(scene: Scene, chosen: StorageClass) -> Judged:
    """The class is there and its provisioner does nothing: is it there, is it well?"""
    name = clean(chosen.provisioner, 120)
    workloads = [
        (kind, item)
        for kind, key in (("Deployment", "deployments.apps"), ("StatefulSet", "statefulsets.apps"))
        for item in scene.read(key)
    ]
    mine = [(kind, item) for kind, item in workloads if _provides(item, chosen.provisioner)]
    if not mine:
        if not scene.known("deployments.apps"):
            return ("claim_pending", f"provisioner {name} does not act", "Look at its pod.", (), ())
        return (
            "provisioner_absent",
            f"no provisioner {name} runs",
            "Install it, or use another class.",
            (),
            (f"StorageClass {chosen.metadata.name}: provisioner {name}; no workload provides it",),
        )
    kind, item = mine[0]
    if settled(item):
        return (
            "provisioner_silent",
            f"provisioner {name} runs and does not act",
            f"Read the log of {kind} {item.metadata.name}.",
            (remedy(RESTART, namespace=item.metadata.namespace, name=item.metadata.name),)
            if kind == "Deployment"
            else (),
            (f"{kind} {item.metadata.namespace}/{item.metadata.name}: ready",),
        )
    return (
        "provisioner_down",
        f"its provisioner {name} is not well",
        f"Bring back {kind} {item.metadata.name} in {item.metadata.namespace}.",
        (remedy(RESTART, namespace=item.metadata.namespace, name=item.metadata.name),) if kind == "Deployment" else (),
        (
            f"{kind} {item.metadata.namespace}/{item.metadata.name}: {item.status.ready_replicas} of "
            f"{1 if item.spec.replicas is None else item.spec.replicas} ready",
        ),
    )


def _provides(item: Workload, provisioner: str) -> bool:
    for container in item.spec.template.spec.containers:
        if any(env.value == provisioner for env in container.env) or any(provisioner in arg for arg in container.args):
            return True
    short = provisioner.rpartition("/")[2] or provisioner
    return len(short) > 3 and short in item.metadata.name


def missing(scene: Scene) -> Finding | None:
    """A pod mounts a claim that is not there."""
    if not scene.known(CLAIMS, scene.namespace):
        return None
    there = {claim.metadata.name for claim in scene.read(CLAIMS, scene.namespace)}
    for pod in scene.pods:
        lost = [name for name in claim_names(pod) if name not in there]
        if lost and not pod.spec.node_name:
            return finding(
                "W6",
                "claim_missing",
                "A claim the pod mounts is not there",
                f"{pod.metadata.name} mounts claim {listing(lost)}, which does not exist. Create it, or name another.",
                (
                    f"{pod.metadata.name} mounts {listing(lost)}",
                    f"claims in {scene.namespace}: {listing(sorted(there)) or 'none'}",
                    clean(_placed(pod), 300),
                ),
                0.93,
            )
    return None


def _placed(pod: object) -> str:
    conditions = getattr(getattr(pod, "status", None), "conditions", [])
    return next((c.message for c in conditions if c.type == "PodScheduled" and c.status == "False"), "")


_PAGE = "https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding"
SIGNATURES = (
    Signature(
        "W6",
        Layer.VOLUME,
        "A claim waits for a volume: no default class, no such class, a provisioner that is absent, down or refuses.",
        _PAGE,
        find,
        needs,
    ),
    Signature("W6", Layer.VOLUME, "A pod mounts a claim that does not exist.", _PAGE, missing),
)
