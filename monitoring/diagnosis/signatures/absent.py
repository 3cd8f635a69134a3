"""G19: no workload at all, seen as such; with what makes it: a chart that turns it off, or an operator (O1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from integrations.kubernetes.custom import OperatorObject
from integrations.kubernetes.kinds import RESOURCES
from integrations.kubernetes.objects import Workload
from monitoring.checks.argocd import APPLICATIONS
from monitoring.checks.text import clean, in_namespace, listing, phrase
from monitoring.diagnosis import values
from monitoring.diagnosis.argo_words import for_app, to_grafana, to_values
from monitoring.diagnosis.base import Layer, Signature, finding, log_line, pattern
from monitoring.diagnosis.gathering import OPERATED
from monitoring.diagnosis.logs import logs
from monitoring.diagnosis.owning import missing_names
from monitoring.diagnosis.remedies import (
    RESTART,
    STANDALONE,
    SYNC_RESOURCES,
    USE_PROMETHEUS,
    Remedy,
    remedy,
)
from monitoring.diagnosis.scene import Scene, settled
from monitoring.snapshot import Need, Objects, labels_match
from monitoring.verdict import Finding

_OPERATOR = "app.kubernetes.io/component=prometheus-operator"
_OPERATOR_NAME = "app.kubernetes.io/name=prometheus-operator"
_SYNC_FAILED = pattern(
    r"sync \\?\"[^\n]{1,300}\" failed|provision(?:ing)? [^\n]{1,80} (?:configuration|failed)|failed to (?:select|"
    r"create|update|initialize)"
)


def operated_needs(scene: Scene) -> Iterable[Need]:
    key = OPERATED.get(scene.kind)
    if key and scene.namespace:
        # should the operator have made nothing, the next thing is its log: what leads to it is asked for at once
        yield Objects(key, scene.namespace)
        yield Objects("deployments.apps", scene.namespace)
        yield Objects("pods", scene.namespace)
    if key and scene.absent:
        for item in _operators(scene):
            # an operator that is ready says in its log why it makes nothing
            yield from (
                logs(pod, pod.spec.containers[0].name, previous=False)
                for pod in _pods(scene, item)[:1]
                if pod.spec.containers
            )


def _operators(scene: Scene) -> list[Workload]:
    found: list[Workload] = (
        scene.read("deployments.apps", scene.namespace) if scene.known("deployments.apps", scene.namespace) else []
    )
    return [
        i
        for i in found
        if labels_match(i.metadata.labels, _OPERATOR)
        or labels_match(i.metadata.labels, _OPERATOR_NAME)
        or i.metadata.name == "prometheus-operator"
    ]


def _pods(scene: Scene, item: Workload) -> list[Any]:
    labels = item.spec.selector.match_labels
    return [p for p in scene.read("pods", scene.namespace) if labels and labels.items() <= p.metadata.labels.items()]


def _why_nothing(
    scene: Scene, item: OperatorObject, text: str, operators: Sequence[Workload], down: Workload | None
) -> tuple[str, str, str]:
    """Cause, why and what to do, the most certain first. ``text``: what the operator says of the object."""
    if item.spec.paused:
        return "operator_object_paused", "it is paused", "Set paused to false."
    if text:
        return "operator_refuses", phrase(text), "Correct what it names."
    if down is not None:
        return "operator_down", f"its operator {down.metadata.name} is not ready", "Bring the operator back."
    if not operators and scene.known("deployments.apps", scene.namespace):
        why = f"no Prometheus operator runs{in_namespace(scene.namespace)}"
        return "operator_absent", why, "Bring the operator back."
    return "operator_does_not_act", "its operator runs and does not act", "Read the operator's log."


def not_made(scene: Scene) -> Finding | None:
    """O1: the operator's object is there and the operator makes nothing of it."""
    key = OPERATED.get(scene.kind)
    if key is None or not scene.absent or not scene.known(key, scene.namespace):
        return None
    objects: list[OperatorObject] = scene.read(key, scene.namespace)
    if not objects:
        return None
    item = objects[0]
    kind = "Prometheus" if scene.kind == "prometheus" else "Alertmanager"
    told = next(
        (c for c in item.status.conditions if c.type == "Reconciled" and c.status == "False" and c.message), None
    )
    operators = _operators(scene)
    down = next((o for o in operators if not settled(o)), None)
    line = _operator_line(scene, operators)
    text = told.message if told else _core(line)
    cause, why, advice = _why_nothing(scene, item, text, operators, down)
    remedies = (
        (remedy(RESTART, namespace=scene.namespace, name=operators[0].metadata.name),)
        if operators and down is None
        else ()
    )
    return finding(
        "O1",
        cause,
        f"The operator makes nothing of {kind} {clean(item.metadata.name, 80)}",
        f"{kind} {item.metadata.name} is there and no StatefulSet is made of it: {why}. {advice}",
        (
            f"{kind} {item.metadata.name} exists; no StatefulSet with label {scene.selector}",
            f"{kind} {item.metadata.name} Reconciled=False ({clean(told.reason, 60)}): {clean(told.message, 300)}"
            if told
            else "",
            log_line("operator", line) if line else "",
            *(f"Deployment {o.metadata.name}: {o.status.ready_replicas} ready" for o in operators[:2]),
        ),
        0.9 if cause != "operator_does_not_act" else 0.5,
        remedies=remedies if cause == "operator_does_not_act" else (),
    )


_SAID = re.compile(r"\b(?:err|error|msg)=\"((?:[^\"\\]|\\.){1,2000})\"")


def _core(line: str) -> str:
    """What a line of the operator says, without when and where it was said."""
    found = [text for text in _SAID.findall(line) if _SYNC_FAILED.search(text)]
    return (found[-1] if found else line).replace('\\"', '"')


def _operator_line(scene: Scene, operators: list[Workload]) -> str:
    for item in operators:
        for pod in _pods(scene, item):
            for container in pod.spec.containers[:1]:
                reply = scene.snapshot.replies.get(logs(pod, container.name, previous=False))
                lines = (
                    [str(each)[:2000] for each in reply.body]
                    if reply is not None and isinstance(reply.body, list)
                    else []
                )
                found = next((each for each in reversed(lines) if _SYNC_FAILED.search(each)), "")
                if found:
                    return found
    return ""


def absent(scene: Scene) -> Finding | None:
    """G19."""
    if not scene.absent or not (scene.selector or scene.name) or scene.kind in {"job", "service"}:
        return None
    kind = "Deployment" if scene.kind == "grafana" else str(scene.subject.get("workload") or "workload")
    disabled = scene.kind == "grafana" and values.at(scene.values, "grafana.enabled") is False
    why = "the values of its chart turn it off" if disabled else "nothing creates it now"
    app = scene.application
    return finding(
        "G19",
        "no_workload",
        f"{scene.title} has no {kind}",
        f"{scene.title} has no {kind}{in_namespace(scene.namespace)}, and {why}. " + _again(scene, disabled=disabled),
        (
            f"no {kind} with label {scene.selector}" if scene.selector else f"no {kind} {scene.name}",
            *(
                f"Service {s.metadata.name} is there: "
                f"{listing(i.ip or i.hostname for i in s.status.load_balancer.ingress) or s.spec.cluster_ip}"
                for s in scene.services[:2]
            ),
            "values grafana.enabled: false" if disabled else "",
        ),
        0.8,
        remedies=_remedies(scene, disabled=disabled)
        if scene.kind == "grafana"
        else ((for_app(app, SYNC_RESOURCES),) if app else ()),
    )


def _again(scene: Scene, *, disabled: bool) -> str:
    if disabled:
        return "Turn it on in Git, or run it apart."
    if not scene.snapshot.serves(APPLICATIONS):
        return "There is no Argo CD here: install its Helm release again."
    return "Create it again through its Application."


def objects_gone(scene: Scene) -> Finding | None:
    """G19: objects that are not workloads, and what should have made them."""
    lost = sorted(missing_names(scene)) if scene.kind == "objects" else []
    if not lost:
        return None
    kind = RESOURCES[scene.name].kind
    app = scene.application
    listed = f"Application {clean(app.metadata.name, 80)} lists it" if app else "no Application lists it"
    return finding(
        "G19",
        "objects_missing",
        "Objects are not there",
        f"{kind} {listing(lost)} is not there{in_namespace(scene.namespace)}, and {listed}. "
        + ("Sync it there." if app else "Put it into Git."),
        (f"no {kind} {listing(lost)}", listed),
        0.7,
        remedies=(for_app(app, SYNC_RESOURCES),) if app else (),
    )


def _remedies(scene: Scene, *, disabled: bool) -> tuple[Remedy, ...]:
    if disabled:
        return (remedy(STANDALONE), remedy(USE_PROMETHEUS), *to_values(scene))
    return to_grafana(scene)


SIGNATURES = (
    Signature(
        "O1",
        Layer.ADMISSION,
        "The Prometheus operator makes nothing of a Prometheus or Alertmanager object.",
        "https://github.com/prometheus-community/helm-charts/issues/5910",
        not_made,
        operated_needs,
    ),
    Signature(
        "G19",
        Layer.ABSENT,
        "A workload is not there at all.",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/",
        absent,
        follows=True,
    ),
    Signature(
        "G19",
        Layer.ABSENT,
        "Objects that an item names are not there.",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/",
        objects_gone,
        follows=True,
    ),
)
