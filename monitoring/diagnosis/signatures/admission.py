"""W1, W2, A20: nothing starts although the workload is there: no wish to, or the API refuses its pods.

Who refuses says so in the controller's condition or events: quota, limits, Pod Security, a webhook, a name that is not
there (kube-controller-manager, apiserver admission plugins).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from re import Pattern

from integrations.kubernetes.objects import Workload
from monitoring.checks.pods import condition
from monitoring.checks.text import clean, phrase
from monitoring.diagnosis.base import Layer, Signature, event_line, finding, pattern, says
from monitoring.diagnosis.remedies import SCALE, SYNC_RESOURCES, Remedy, remedy
from monitoring.diagnosis.scene import Scene, event_time, settled
from monitoring.verdict import Finding

_EVENTS = ("FailedCreate", "FailedDaemonPod", "FailedScheduling")
_LATELY = 3600


@dataclass(frozen=True, slots=True)
class _Why:
    cause: str
    words: Pattern[str]
    story: str
    advice: str


# the first that fits
WHYS = (
    _Why(
        "webhook_unreachable",
        pattern(r"failed calling webhook|failed to call webhook|error calling webhook"),
        "an admission webhook that must be asked does not answer",
        "Bring back the Service behind it, or its certificate.",
    ),
    _Why(
        "policy_denied",
        pattern(r"validatingadmissionpolicy|mutatingadmissionpolicy"),
        "an admission policy of the cluster denies them",
        "Change what it names, or the policy and its binding.",
    ),
    _Why(
        "webhook_denied",
        pattern(r"admission webhook \"[^\"]{1,200}\" denied|denied the request|blocked by policy|validation error:"),
        "a policy denies them",
        "Change what the policy names, or the policy.",
    ),
    _Why(
        "quota_asks_for_limits",
        pattern(r"failed quota[^\n]{0,200}must specify"),
        "the namespace's quota asks every container for the requests and limits it counts",
        "Set those it names, or a LimitRange with defaults.",
    ),
    _Why(
        "quota",
        pattern(r"exceeded quota|failed quota"),
        "the namespace's quota is used up",
        "Raise the quota, or ask for less.",
    ),
    _Why(
        "pod_security",
        pattern(
            r"violates podsecurity|unable to validate against any (?:pod )?security|security context constraint|"
            r"podsecuritypolicy"
        ),
        "Pod Security does not admit them in this namespace",
        "Set the security context it names, or the namespace's level.",
    ),
    _Why(
        "limit_range",
        pattern(
            r"(?:maximum|minimum) [^\n]{1,60} usage per|must be less than or equal to [^\n]{1,40} limit|limitrange"
        ),
        "they ask for more or less than the namespace's limits allow",
        "Change requests and limits, or the LimitRange.",
    ),
    _Why(
        "service_account_missing",
        pattern(
            r"error looking up service account|serviceaccount \"?[^\"\s]{1,253}\"? not found|"
            r"service account [^\n]{1,253} was not found"
        ),
        "their ServiceAccount is not there",
        "Create it again by a sync of its Application.",
    ),
    _Why(
        "priority_class_missing",
        pattern(r"no priorityclass with name"),
        "their PriorityClass is not there",
        "Create it, or take it out of the values.",
    ),
    _Why(
        "runtime_class_missing",
        pattern(r"runtimeclass[^\n]{0,80}not found"),
        "their RuntimeClass is not there",
        "Create it, or take it out of the values.",
    ),
    _Why(
        "namespace_ends",
        pattern(r"because it is being terminated"),
        "their namespace is being deleted",
        "Wait for its end; then create it again.",
    ),
    _Why(
        "template_invalid",
        pattern(r"is invalid: |unsupported value|invalid value|required value"),
        "their template is not valid",
        "Correct what the message names in Git.",
    ),
    _Why(
        "may_not_create",
        pattern(r"is forbidden: user \"|cannot create resource"),
        "their controller may not create them",
        "Look at the rights of its ServiceAccount.",
    ),
)


def refused(scene: Scene) -> Finding | None:
    """W2."""
    for kind, item in scene.workloads:
        told = _told(scene, kind, item)
        if told is None:
            continue
        text, proof, at = told
        why = next((each for each in WHYS if says(each.words, text)), None)
        story = f": {why.story}" if why else ""
        number = (
            "A20"
            if why is not None and why.cause == "webhook_unreachable" and "monitoring.coreos.com" in text
            else "W2"
        )
        return finding(
            number,
            why.cause if why and why.cause != "quota" else "pods_refused",
            "The API refuses its pods",
            f"{kind} {item.metadata.name} may not create pods{story}: {phrase(text)}. "
            f"{why.advice if why else 'Read who refuses.'}",
            (proof,),
            0.95,
            remedies=_remedies(scene, why),
            at=at,
        )
    return None


def _told(scene: Scene, kind: str, item: Workload) -> tuple[str, str, datetime | None] | None:
    """The refusal, the line that proves it, and since when."""
    name = item.metadata.name
    found = condition(item.status.conditions, "ReplicaFailure")
    if found is not None and found.status == "True":
        line = f"{kind} {name} ReplicaFailure ({found.reason}): {clean(found.message, 400)}"
        return found.message, line, found.last_transition_time
    if settled(item) or item.spec.replicas == 0:
        return None
    for event in reversed(scene.events):
        about = event.involved_object
        mine = about.name == name or (about.kind == "ReplicaSet" and about.name.rpartition("-")[0] == name)
        at = event_time(event)
        fresh = at is None or (scene.now - at).total_seconds() < _LATELY
        refusal = event.reason in _EVENTS[:2] or (event.reason == _EVENTS[2] and about.kind != "Pod")
        if mine and fresh and refusal:
            return event.message, f"{about.kind} {about.name}: {event_line(scene, event)}", event.first_timestamp
    return None


def _remedies(scene: Scene, why: _Why | None) -> tuple[Remedy, ...]:
    if why is not None and why.cause == "service_account_missing" and scene.application is not None:
        meta = scene.application.metadata
        return (remedy(SYNC_RESOURCES, application=meta.name, namespace=meta.namespace),)
    return ()


def scaled_down(scene: Scene) -> Finding | None:
    """W1: somebody scaled it to 0."""
    for kind, item in scene.workloads:
        if kind != "DaemonSet" and item.spec.replicas == 0:
            return finding(
                "W1",
                "scaled_to_zero",
                f"{scene.title or item.metadata.name} is scaled to 0",
                f"{kind} {item.metadata.name} is scaled to 0, so nothing runs. Scale it up again.",
                (f"{kind} {item.metadata.name}: spec.replicas=0",),
                0.97,
                remedies=(
                    remedy(SCALE, namespace=item.metadata.namespace, kind=kind, name=item.metadata.name, replicas="1"),
                ),
            )
    return None


SIGNATURES = (
    Signature(
        "W2",
        Layer.ADMISSION,
        "The API refuses a workload's pods: quota, limits, Pod Security, a policy, a webhook (A20), a missing name.",
        "https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/",
        refused,
    ),
    Signature(
        "W1",
        Layer.ADMISSION,
        "A workload is scaled to 0.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#scaling-a-deployment",
        scaled_down,
    ),
)
