"""Is a workload there and ready? (Deployment, StatefulSet, DaemonSet.)

A workload that is not there is *failing*, never unknown: the list was read and it is not in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from integrations.kubernetes.objects import Node, Pod, Workload
from monitoring.checks import claims
from monitoring.checks.base import CheckType, Params, degraded, failing, ref, verified, worst
from monitoring.checks.pods import alive, condition, containers_ready, is_ready, matching, restarts, trouble
from monitoring.checks.text import count, everywhere, in_namespace, kubectl, listing, phrase, since, spelled
from monitoring.snapshot import Need, Objects, Snapshot, labels_match
from monitoring.verdict import Ref, Verdict

Kind = Literal["Deployment", "StatefulSet", "DaemonSet"]
PLURALS: dict[str, str] = {
    "Deployment": "deployments.apps",
    "StatefulSet": "statefulsets.apps",
    "DaemonSet": "daemonsets.apps",
}


class WorkloadReady(Params, frozen=True):
    """Parameters of ``workload_ready``."""

    namespace: Annotated[str, Meta(description="where to look; empty is everywhere")] = ""
    selector: Annotated[str, Meta(description="labels of the workload or of its pods, `a=b,c=d`")] = ""
    name: Annotated[str, Meta(description="its name, where no label tells it apart")] = ""
    kind: Annotated[Kind, Meta(description="Deployment, StatefulSet or DaemonSet")] = "Deployment"
    minimum: Annotated[int, Meta(ge=1, description="pods that must be ready")] = 1
    exactly: Annotated[int, Meta(ge=0, description="exactly so many ready pods; 0 is any number from the minimum")] = 0
    containers: Annotated[int, Meta(ge=0, description="containers of each pod; 0 is any number")] = 0
    on_every_node: Annotated[bool, Meta(description="one ready pod on each node of the cluster, tainted ones too")] = (
        False
    )

    def __post_init__(self) -> None:
        if not (self.namespace or self.selector or self.name):
            raise ValueError("name a namespace, a selector or a name: else every workload would match")


@dataclass(frozen=True, slots=True)
class _Scene:
    """One workload with its pods, as the verdict sees it."""

    title: str
    item: Workload
    params: WorkloadReady
    pods: list[Pod]
    now: datetime
    desired: int
    ready: int
    updated: int

    @property
    def facts(self) -> dict[str, Any]:
        images = [container.image for container in self.item.spec.template.spec.containers]
        live = [pod for pod in self.pods if alive(pod)]
        return {
            "kind": self.params.kind,
            "name": self.item.metadata.name,
            "ready": self.ready,
            "desired": self.desired,
            "containers": containers_ready(live[0]) if len(live) == 1 else f"{self.ready}/{self.desired}",
            "nodes": sorted({pod.spec.node_name for pod in live if pod.spec.node_name}),
            "restarts": sum(restarts(pod) for pod in live),
            "image": images[0] if images else "",
            "version": _tag(images[0]) if images else "",
        }

    @property
    def refs(self) -> tuple[Ref, ...]:
        return (ref(self.item, PLURALS[self.params.kind]), *(ref(pod, "pods") for pod in self.pods[:5]))


def _tag(image: str) -> str:
    name, _, _digest = image.partition("@")
    _, colon, tag = name.rpartition(":")
    return tag.removeprefix("v") if colon and "/" not in tag else ""


def _needs(_: Snapshot, params: WorkloadReady) -> Iterable[Need]:
    yield Objects(PLURALS[params.kind], params.namespace)
    yield Objects("pods", params.namespace)
    if params.on_every_node:
        yield Objects("nodes")


def select(snapshot: Snapshot, params: WorkloadReady) -> list[Workload]:
    """The workloads that the parameters mean, without those that are being deleted."""
    found: list[Workload] = snapshot.objects(PLURALS[params.kind], params.namespace)
    found = [item for item in found if selected(item, params.selector)]
    return [item for item in found if not params.name or item.metadata.name == params.name]


def selected(item: Workload, selector: str) -> bool:
    """Whether the workload carries the labels, or its pods do: an operator labels its pods, not always their owner."""
    return labels_match(item.metadata.labels, selector) or labels_match(item.spec.template.metadata.labels, selector)


def _evaluate(snapshot: Snapshot, params: WorkloadReady, now: datetime) -> Verdict:
    items = select(snapshot, params)
    wanted = spelled(params.selector, params.name)
    if not items:
        subject = f"{wanted} has no {params.kind}" if wanted else f"There is no {params.kind}"
        where = in_namespace(params.namespace)
        told_by = " with this label" if params.selector else " of this name" if params.name else ""
        return failing(
            f"no_{params.kind.lower()}",
            f"{subject}{where}, so no pod can start. Create it again by its Argo CD Application, or by a remedy.",
            f"No {params.kind}{told_by}",
            facts={"kind": params.kind, "ready": 0, "desired": 0, "nodes": []},
        )
    pods: list[Pod] = snapshot.objects("pods", params.namespace)
    nodes: list[Node] = snapshot.objects("nodes") if params.on_every_node else []
    if len(items) == 1:
        return _one(items[0], pods, nodes, params, now)
    verdicts = [_one(item, pods, nodes, params, now, alone=False) for item in items]
    bad = worst(verdicts)
    if bad.cause:
        return bad
    names = sorted(item.metadata.name for item in items)
    sentence = f"{count(len(items), params.kind)} ready: {listing(names)}."
    refs = tuple(one for verdict in verdicts for one in verdict.refs[:1])
    return verified(sentence, f"{len(items)} of {len(items)} ready", facts=bad.facts, refs=refs)


def _one(
    item: Workload, pods: list[Pod], nodes: list[Node], params: WorkloadReady, now: datetime, *, alone: bool = True
) -> Verdict:
    mine = _pods_of(item, pods, params.selector)
    status = item.status
    if params.kind == "DaemonSet":
        desired, ready, updated = status.desired_number_scheduled, status.number_ready, status.updated_number_scheduled
    else:
        desired = 1 if item.spec.replicas is None else item.spec.replicas
        ready, updated = status.ready_replicas, status.updated_replicas
    title = spelled(params.selector, item.metadata.name) if alone else item.metadata.name
    scene = _Scene(title, item, params, mine, now, desired, ready, updated)
    return _unsettled(scene) or _short(scene, nodes) or _other_count(scene) or _good(scene, nodes)


def _pods_of(item: Workload, pods: list[Pod], selector: str) -> list[Pod]:
    near = [pod for pod in pods if pod.metadata.namespace == item.metadata.namespace]
    labels = item.spec.selector.match_labels
    return matching(near, labels) or [pod for pod in near if selector and labels_match(pod.metadata.labels, selector)]


def _unsettled(scene: _Scene) -> Verdict | None:
    """States in which the counts are not to be believed, or the workload is not meant to run."""
    item, title = scene.item, scene.title
    meta, status = item.metadata, item.status
    if meta.deletion_timestamp is not None:
        sentence = f"{title} is being deleted{since(meta.deletion_timestamp, scene.now)}. Wait, then create it again."
        return failing("deleting", sentence, "being deleted", facts=scene.facts, refs=scene.refs)
    if status.observed_generation < meta.generation:
        sentence = (
            f"{title} was changed and its controller has not acted on it yet: it has seen generation "
            f"{status.observed_generation} of {meta.generation}. Wait for the rollout."
        )
        observed = f"generation {status.observed_generation} of {meta.generation}"
        return degraded("not_settled", sentence, observed, facts=scene.facts, refs=scene.refs)
    if scene.desired == 0:
        fits_none = scene.params.kind == "DaemonSet"
        cause, why = ("no_node", "fits no node") if fits_none else ("scaled_to_zero", "is scaled to 0")
        sentence = f"{title} {why}, so nothing runs. Scale it up, or look at its node selector."
        return failing(cause, sentence, "0 pods wanted", facts=scene.facts, refs=scene.refs)
    return None


def _short(scene: _Scene, nodes: list[Node]) -> Verdict | None:
    """Too few ready pods, pods of an older template, or nodes without one."""
    wanted = max(scene.desired, scene.params.minimum)
    more: dict[str, Any] = {"facts": scene.facts, "refs": scene.refs}
    observed = f"{scene.ready} of {wanted} ready"
    if scene.ready < wanted:
        cause, why, at = _why(scene)
        start = f"{scene.title} has {scene.ready} of {wanted} pods ready{since(at, scene.now)}"
        if scene.ready == 0:
            return failing(cause, f"{start}: {why}", observed, **more)
        return degraded(cause, f"{start}: {why}", observed, **more)
    if scene.params.kind != "DaemonSet" and scene.updated < scene.desired:
        held = " It is paused." if scene.item.spec.paused else ""
        sentence = (
            f"{scene.title} is rolling out: {scene.updated} of {scene.desired} pods have the new template.{held} "
            "Wait for the rest."
        )
        return degraded("rolling_out", sentence, f"{scene.updated} of {scene.desired} updated", **more)
    bare = _bare_nodes(scene, nodes)
    if bare:
        sentence = f"{scene.title} has no ready pod on {listing(bare)}. Look at taints and tolerations there."
        return degraded("node_without_pod", sentence, f"{len(nodes) - len(bare)} of {len(nodes)} nodes", **more)
    return None


def _other_count(scene: _Scene) -> Verdict | None:
    """Ready, and not as many pods or containers as was said."""
    more: dict[str, Any] = {"facts": scene.facts, "refs": scene.refs}
    if scene.params.exactly and scene.ready != scene.params.exactly:
        sentence = (
            f"{scene.title} has {count(scene.ready, 'ready pod')}, not {scene.params.exactly}. Correct one of the two."
        )
        return failing("other_count", sentence, f"{scene.ready} ready", **more)
    sizes = {len(pod.spec.containers) or len(pod.status.container_statuses) for pod in scene.pods if alive(pod)}
    if scene.params.containers and sizes != {scene.params.containers}:
        have = listing(str(size) for size in sorted(sizes))
        sentence = (
            f"{scene.title} has {have} containers in a pod, not {scene.params.containers}. Correct one of the two."
        )
        return failing("other_containers", sentence, f"{have} containers", **more)
    return None


def _bare_nodes(scene: _Scene, nodes: list[Node]) -> list[str]:
    covered = {pod.spec.node_name for pod in scene.pods if is_ready(pod)}
    return sorted(node.metadata.name for node in nodes if node.metadata.name not in covered)


def _why(scene: _Scene) -> tuple[str, str, datetime | None]:
    """Cause slug, the rest of the sentence, and since when."""
    conditions = scene.item.status.conditions
    refused = condition(conditions, "ReplicaFailure")
    if refused is not None and refused.status == "True":
        return "replica_failure", f"the API refuses its pods: {phrase(refused.message)}.", refused.last_transition_time
    seen = [(pod, found) for pod in scene.pods if (found := trouble(pod)) is not None]
    troubles = [(pod, found) for pod, found in seen if found.reason != "Terminating"]
    if troubles:
        pod, found = troubles[0]
        advice = " Look at its events."
        if found.container:
            line = kubectl("logs", pod.metadata.name, "-c", found.container, namespace=pod.metadata.namespace)
            advice = f" Read its log: {line}"
        return _slug(found.reason), f"{found.sentence}.{advice}", found.since
    late = condition(conditions, "Progressing")
    if late is not None and late.status == "False":
        return "deadline", f"its rollout is past its deadline: {phrase(late.message)}.", late.last_transition_time
    if not scene.pods:
        return "no_pod", "no pod exists. Look at the events of its controller.", None
    return "starting", "its pods are starting. Wait, then look at their events.", None


def _slug(reason: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", reason).lower()[:60]


def _good(scene: _Scene, nodes: list[Node]) -> Verdict:
    facts = scene.facts
    if nodes:
        masters = sum(any(label.endswith("/control-plane") for label in node.metadata.labels) for node in nodes)
        tainted = [node.metadata.name for node in nodes if node.spec.taints and not _is_master(node)]
        including = f", {listing(tainted)} included" if tainted else ""
        roles = f": {count(masters, 'master')}, {count(len(nodes) - masters, 'worker')}{including}"
        sentence = f"{scene.ready} of {scene.desired} pods ready{roles if masters else ''}."
    elif scene.ready == 1:
        where = f" on {facts['nodes'][0]}" if facts["nodes"] else ""
        sentence = f"{facts['containers']} ready{where}."
    else:
        where = f" on {listing(facts['nodes'])}" if facts["nodes"] else ""
        sentence = f"{scene.ready} of {scene.desired} pods ready{where}."
    return verified(sentence, f"{scene.ready} of {scene.desired} ready", facts=facts, refs=scene.refs)


def _is_master(node: Node) -> bool:
    return any(label.endswith(("/control-plane", "/master")) for label in node.metadata.labels)


def _command(params: WorkloadReady) -> str:
    what = params.kind.lower() if params.name else f"{params.kind.lower()},pods"
    words = (what, *((params.name,) if params.name else ()), *everywhere(params.namespace))
    return kubectl("get", *words, namespace=params.namespace, labels=params.selector)


def _expected(params: WorkloadReady) -> str:
    if params.on_every_node:
        return "1 ready pod on every node"
    return f"≥ {params.minimum} ready, all pods of the newest template"


def _claim_pod(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    name = match["pod"]
    ordinal = _split_ordinal(name)
    if ordinal is not None:
        params = claims.scoped(context, name=ordinal, kind="StatefulSet", containers=int(match["total"]))
        return "workload_ready", params
    known = claims.component(context)
    if known is None:
        return None
    params = claims.scoped(context, selector=known.selector, kind=known.kind, containers=int(match["total"]))
    return "workload_ready", params


def _claim_ready(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    """``2/2 Running`` beside a component: its containers, or all pods of a DaemonSet."""
    known = claims.component_of(match, replace(context, parents=context.parents[:1]))
    if known is None:
        return None
    number = {"exactly" if known.kind == "DaemonSet" else "containers": int(match["total"])}
    return "workload_ready", claims.scoped(context, selector=known.selector, kind=known.kind, **number)


def _split_ordinal(pod: str) -> str | None:
    name, dash, number = pod.rpartition("-")
    return name if dash and number.isdigit() and len(number) < 4 else None


def _claim_daemonset(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    known = claims.component(context)
    if known is None:
        return None
    return "workload_ready", claims.scoped(
        context, selector=known.selector, kind="DaemonSet", exactly=int(match["count"])
    )


def _claim_every_node(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    known = claims.component(context)
    if known is None or known.kind != "DaemonSet":
        return None
    number = {"exactly": int(match["count"])} if match["count"] else {}
    return "workload_ready", claims.scoped(
        context, selector=known.selector, kind="DaemonSet", on_every_node=True, **number
    )


def _claim_component(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    known = claims.component(claims.ClaimContext(match["name"]))
    return ("workload_ready", claims.scoped(context, selector=known.selector, kind=known.kind)) if known else None


def _claim_removed(_: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    known = claims.component(context)
    return ("workload_ready", claims.scoped(context, selector=known.selector, kind=known.kind)) if known else None


TYPES = (
    CheckType(
        slug="workload_ready",
        title="Workload is ready",
        summary="A Deployment, StatefulSet or DaemonSet is there and its pods are ready.",
        params=WorkloadReady,
        needs=_needs,
        evaluate=_evaluate,
        command=_command,
        expected=_expected,
        claims=(
            claims.pattern(
                r"`?(?P<pod>[a-z0-9][a-z0-9.-]{2,200})`?\s*\((?P<total>\d{1,3})/(?P=total)\s+Running\)", _claim_pod
            ),
            claims.pattern(r"(?<![\d/])(?P<total>\d{1,3})/(?P=total)\s+(?:running|ready|up)\b", _claim_ready),
            claims.pattern(r"\b(?:running|ready)\s*[(:]?\s*(?P<total>\d{1,3})/(?P=total)(?![\d/])", _claim_ready),
            claims.pattern(r"(?P<count>\d{1,4})\s+DaemonSet\s+pods?", _claim_daemonset),
            claims.pattern(r"(?:running\s+)?on\s+(?:all|every)\s+(?:(?P<count>\d{1,4})\s+)?nodes?", _claim_every_node),
            claims.pattern(
                r"^[\s\-*+]*\*\*(?P<name>[A-Za-z][\w -]{3,40})\*\*\s*:(?=\s*\S)(?!.*DaemonSet pods)", _claim_component
            ),
            claims.pattern(
                r"deployment\s+(?:was\s+|is\s+)?(?:removed|deleted|missing)",
                _claim_removed,
                contrary=("no_deployment",),
            ),
        ),
    ),
)
