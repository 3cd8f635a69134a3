"""Pods that end: what their end touches (blast radius), and the conditions that wait for it. Also used by ``nodes``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from deployments.catalogue.seen import Line, Outlook, Seen
from deployments.catalogue.workloads import narration, targets
from integrations.kubernetes.jobs import Budget
from integrations.kubernetes.objects import EndpointSlice, Pod, Service, Workload
from integrations.kubernetes.parts import OwnerReference
from monitoring.checks.pods import containers_ready, is_ready, trouble
from monitoring.checks.services import SERVICE_LABEL, SLICES
from monitoring.checks.text import clean, count
from monitoring.snapshot import Need, Objects, Snapshot

BUDGETS = "poddisruptionbudgets.policy"
#: a pod that is still there so long after its grace period has a node that does not answer, or a finalizer (facts K6)
OVERDUE = timedelta(minutes=5)
#: what puts a pod in the place of one that is gone, by kind: its resource key. (A Job may be content without.)
OWNERS: dict[str, str] = {
    "ReplicaSet": targets.REPLICA_SETS,
    "StatefulSet": targets.KINDS["StatefulSet"],
    "DaemonSet": targets.KINDS["DaemonSet"],
}


# -- what a pod is


def is_mirror(pod: Pod) -> bool:
    """A static pod: the kubelet makes it from a file, deleting its mirror ends nothing."""
    return "kubernetes.io/config.mirror" in pod.metadata.annotations


def state(pod: Pod) -> str:
    """``2/2 ready on worker01``, or what is the matter with it. For evidence and logs."""
    place = f" on {pod.spec.node_name}" if pod.spec.node_name else ", on no node yet"
    if is_ready(pod):
        return f"{containers_ready(pod)} ready{place}"
    if pod.status.phase in ("Succeeded", "Failed"):
        return f"{pod.status.phase}{place}"
    found = trouble(pod)
    return f"{found.sentence if found else 'not ready'}{place}"


def overdue(pod: Pod, now: datetime) -> bool:
    """Whether it should have been gone for :data:`OVERDUE`: ``deletionTimestamp`` already holds the grace period."""
    until = pod.metadata.deletion_timestamp
    return until is not None and now - until > OVERDUE


# -- blast radius


def blast_needs(namespace: str = "") -> Iterable[Need]:
    """What :func:`budgets` and :func:`endpoints_lost` read, besides the pods themselves."""
    yield Objects("pods", namespace)
    yield Objects(BUDGETS, namespace)
    yield Objects("services", namespace)
    yield Objects(SLICES, namespace)


def budgets_over(snapshot: Snapshot, pod: Pod) -> list[Budget]:
    """The disruption budgets that count this pod, by name. :raises Missing:"""
    found: list[Budget] = snapshot.objects(BUDGETS, pod.metadata.namespace)
    mine = [budget for budget in found if targets.selects(budget.spec.selector, pod.metadata.labels)]
    return sorted(mine, key=lambda budget: budget.metadata.name)


def budgets(snapshot: Snapshot, pods: Iterable[Pod]) -> tuple[str, ...]:
    """One line per budget over these pods, with what it allows now. :raises Missing:"""
    covered: dict[tuple[str, str], tuple[Budget, int]] = {}
    for pod in pods:
        for budget in budgets_over(snapshot, pod):
            key = (budget.metadata.namespace, budget.metadata.name)
            covered[key] = (budget, covered.get(key, (budget, 0))[1] + 1)
    return tuple(_budget_line(*covered[key]) for key in sorted(covered))


def _budget_line(budget: Budget, pods: int) -> str:
    status = budget.status
    return (
        f"PodDisruptionBudget {budget.metadata.name} over {count(pods, 'of these pods', 'of these pods')}: allows "
        f"{count(status.disruptions_allowed, 'disruption')} now, {status.current_healthy} healthy, needs "
        f"{status.desired_healthy}"
    )


def endpoints_lost(snapshot: Snapshot, pods: Iterable[Pod], at_once: int | None = None) -> tuple[str, ...]:
    """One line per Service all of whose ready addresses are of these pods: meanwhile nothing answers there.

    A pod that is ending already keeps no Service alive, and what only such pods serve is not lost by the plan.
    ``at_once``: how many of the pods are down at the same time; None is all of them. :raises Missing:
    """
    gone = {name_of(pod) for pod in pods}
    lines = []
    for namespace in sorted({namespace for namespace, _ in gone}):
        services: list[Service] = snapshot.objects("services", namespace)
        for service in sorted(services, key=lambda item: item.metadata.name):
            behind = _ready_pods(snapshot, service)
            down = len(behind) if at_once is None else at_once
            if behind and behind <= gone and down >= len(behind):
                lines.append(f"Service {service.metadata.name} ({count(len(behind), 'ready pod')})")
    return tuple(lines)


def _ready_pods(snapshot: Snapshot, service: Service) -> set[tuple[str, str]]:
    """Pods behind a Service that are ready and stay. What is no pod is in it under its address: it never counts as
    gone."""
    namespace = service.metadata.namespace
    ending = {name_of(pod) for pod in snapshot.objects("pods", namespace) if pod.metadata.deletion_timestamp}
    slices: list[EndpointSlice] = snapshot.objects(SLICES, namespace, f"{SERVICE_LABEL}={service.metadata.name}")
    found: set[tuple[str, str]] = set()
    for endpoint in (endpoint for piece in slices for endpoint in piece.endpoints):
        if endpoint.conditions.ready is False:
            continue
        target = endpoint.target_ref
        if target is not None and target.kind == "Pod":
            found.add((target.namespace or namespace, target.name))
        else:
            found |= {("", address) for address in endpoint.addresses}
    return found - ending


def name_of(pod: Pod) -> tuple[str, str]:
    """Namespace and name."""
    return pod.metadata.namespace, pod.metadata.name


def claims(pods: Iterable[Pod]) -> tuple[str, ...]:
    """The claims these pods mount: their data stays, the next pod mounts it again."""
    mounted = {
        volume.persistent_volume_claim.claim_name
        for pod in pods
        for volume in pod.spec.volumes
        if volume.persistent_volume_claim is not None
    }
    return tuple(f"PersistentVolumeClaim {name}" for name in sorted(mounted))


def lines(pods: Iterable[Pod]) -> tuple[str, ...]:
    """``Pod name`` lines, as a blast radius lists them."""
    return tuple(f"Pod {pod.metadata.name}" for pod in pods)


# -- conditions


def needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """Pods of the namespace, and what makes the pod in question, when that is given."""
    yield Objects("pods", args["namespace"])
    if args.get("owner_kind") in OWNERS:
        yield Objects(OWNERS[args["owner_kind"]], args["namespace"])


def owner_args(pod: Pod) -> dict[str, Any]:
    """The arguments of :func:`replaced` for a pod that is there."""
    owner = targets.controller(pod.metadata) or OwnerReference()
    return {
        "namespace": pod.metadata.namespace,
        "name": pod.metadata.name,
        "uid": pod.metadata.uid,
        "node": pod.spec.node_name,
        "owner_kind": owner.kind,
        "owner_name": owner.name,
        "owner_uid": owner.uid,
    }


def gone(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """The pod of this ``name`` and ``uid`` is not there any more; another pod of the same name does not count."""
    pod = _same(snapshot, args)
    if pod is None:
        return Seen(Outlook.MET, f"Pod {args['name']} is gone.", (Line(f"pod {args['name']}: gone", "good"),))
    return _ending(pod, snapshot.taken_at, memory)


def leaving(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """The pod of this ``name`` and ``uid`` is gone or on its way: a deletion or an eviction has nothing left to do."""
    pod = _same(snapshot, args)
    if pod is None:
        return Seen(Outlook.MET, f"pod {args['name']} is gone")
    if pod.metadata.deletion_timestamp is not None:
        return Seen(Outlook.MET, f"pod {args['name']} is ending already")
    return Seen(Outlook.NOT_YET, f"Pod {args['name']} is there.")


def replaced(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """The pod is gone and its controller has a ready one in its place, or as many ready ones as it wants.

    Only the first would wait for ever where another pod of the same controller is broken, only the second where clocks
    differ: a pod counts as "in its place" by its creation time.
    """
    pod = _same(snapshot, args)
    if pod is not None:
        return _ending(pod, snapshot.taken_at, memory)
    found: list[Pod] = snapshot.objects("pods", args["namespace"])
    mine = sorted((p for p in found if _made_by(p, args["owner_uid"])), key=lambda p: p.metadata.name)
    told, said = _tell(mine, memory)
    remembered = {**memory, "pods": told, "gone": True}
    if not memory.get("gone"):
        said = (Line(f"pod {args['name']}: gone", "good"), *said)
    owner: Workload | None = snapshot.get(OWNERS[args["owner_kind"]], args["namespace"], args["owner_name"])
    if owner is None or owner.metadata.uid != args["owner_uid"]:
        sentence = f"{args['owner_kind']} {args['owner_name']} is not there any more, so nothing replaces the pod."
        return Seen(Outlook.FAILED, sentence, said, remembered)
    enough = targets.wanted(args["owner_kind"], owner)
    ready = [p for p in mine if is_ready(p)]
    successor = next((p for p in ready if _succeeds(p, args, memory)), None)
    if successor is not None:
        line = Line(f"pod {successor.metadata.name}: {state(successor)}", "good")
        said = (*(one for one in said if one.text != line.text), line)
        return Seen(Outlook.MET, f"Pod {successor.metadata.name} is ready in its place.", said, remembered)
    if len(ready) >= enough:
        sentence = f"Pod {args['name']} is gone; {len(ready)} of {enough} pods of {args['owner_name']} are ready."
        line = Line(f"{args['owner_kind']} {args['owner_name']}: {len(ready)} of {enough} pods ready", "good")
        return Seen(Outlook.MET, sentence, (*said, line), remembered)
    sentence = f"Waiting for the pod in its place: {len(ready)} of {enough} pods of {args['owner_name']} are ready."
    sentence += narration.held_up_by(mine)
    return Seen(Outlook.NOT_YET, sentence, said, remembered)


def _same(snapshot: Snapshot, args: Mapping[str, Any]) -> Pod | None:
    pod: Pod | None = snapshot.get("pods", args["namespace"], args["name"])
    return pod if pod is not None and pod.metadata.uid == args["uid"] else None


def _made_by(pod: Pod, uid: str) -> bool:
    owner = targets.controller(pod.metadata)
    return owner is not None and owner.uid == uid


def _succeeds(pod: Pod, args: Mapping[str, Any], memory: Mapping[str, Any]) -> bool:
    """Whether this pod stands in the place of the one that is gone."""
    kind, name, node = str(args["owner_kind"]), str(args["name"]), str(args["node"])
    if kind == "StatefulSet":
        return pod.metadata.name == name
    if kind == "DaemonSet":
        return pod.spec.node_name == node
    since, made = memory.get("effect_at"), pod.metadata.creation_timestamp
    # creation times have whole seconds
    return bool(since and made and made >= datetime.fromisoformat(since).replace(microsecond=0))


def _ending(pod: Pod, now: datetime, memory: Mapping[str, Any]) -> Seen:
    """The pod is still there: what it waits for."""
    name, until = pod.metadata.name, pod.metadata.deletion_timestamp
    if until is None:
        return Seen(Outlook.NOT_YET, f"Pod {name} is there and is not being deleted yet.", memory=dict(memory))
    told = () if memory.get("ending") else (Line(f"pod {name}: ending, grace until {_clock(pod)}"),)
    remembered = {**memory, "ending": True}
    held = [clean(finalizer, 120) for finalizer in pod.metadata.finalizers]
    if now <= until:
        sentence = f"Waiting for pod {name} to end; its grace period is over at {_clock(pod)}."
    elif held:
        sentence = f"Pod {name} should be gone since {_clock(pod)}; the finalizer {held[0]} holds it."
    else:
        node = pod.spec.node_name
        sentence = f"Pod {name} should be gone since {_clock(pod)}; does node {node} still answer?"
    return Seen(Outlook.NOT_YET, sentence, told, remembered)


def _clock(pod: Pod) -> str:
    until = pod.metadata.deletion_timestamp
    return f"{until:%H:%M:%S}" if until else "?"


def _tell(pods: Collection[Pod], memory: Mapping[str, Any]) -> tuple[dict[str, str], tuple[Line, ...]]:
    """Log lines for pods whose state changed since the last look; the first look tells only of those not ready."""
    before: dict[str, str] | None = memory.get("pods")
    now = {pod.metadata.name: state(pod) for pod in pods}
    if before is None:
        fresh = [pod for pod in pods if not is_ready(pod)]
    else:
        fresh = [pod for pod in pods if before.get(pod.metadata.name) != now[pod.metadata.name]]
    return now, tuple(
        Line(f"pod {pod.metadata.name}: {now[pod.metadata.name]}", "good" if is_ready(pod) else "info") for pod in fresh
    )
