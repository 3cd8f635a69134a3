"""G9 to G12 and G21: why a Grafana sidecar ends. "Connection refused" on port 3000 is never a cause: sidecars retry.

Measured with k8s-sidecar 1.30.3, 2.0.3 and 2.10.1: what does end them is a refused list, an API server that cannot be
reached, a certificate that is not accepted, a broken watch, or a health port that is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from re import Pattern

from monitoring.checks.text import clean
from monitoring.diagnosis.argo_words import for_app, repair_of, to_values
from monitoring.diagnosis.base import Layer, Signature, finding, log_line, pattern
from monitoring.diagnosis.containers import ended_at, state_of
from monitoring.diagnosis.remedies import (
    DELETE_POD,
    RESTART,
    STANDALONE,
    SYNC_RESOURCES,
    USE_PROMETHEUS,
    Remedy,
    remedy,
)
from monitoring.diagnosis.scene import Bad, Scene, is_sidecar_name
from monitoring.snapshot import Access, Need
from monitoring.verdict import Finding


@dataclass(frozen=True, slots=True)
class _Words:
    id: str
    words: Pattern[str]
    cause: str
    title: str
    advice: str
    reference: str


# first hit wins
_LOG = (
    _Words(
        "G11",
        pattern(r"CERTIFICATE_VERIFY_FAILED[^\n]{0,200}(?:Authority Key Identifier|Key Usage|Basic Constraints)"),
        "certificate_refused",
        "The sidecar does not accept the API server's certificate",
        "Its Python is strict about X.509: set DISABLE_X509_STRICT_VERIFICATION for it, or give the cluster's CA the "
        "extensions it asks for.",
        "https://github.com/kiwigrid/k8s-sidecar/issues/400",
    ),
    _Words(
        "G11",
        pattern(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"),
        "certificate_refused",
        "The sidecar does not accept the API server's certificate",
        "Read what the line names: an expired certificate has to be renewed, an unknown CA has to be given to it.",
        "https://github.com/kiwigrid/k8s-sidecar/issues/400",
    ),
    _Words(
        "G21",
        pattern(r"Address family not supported|\[Errno 9[789]\]|Address already in use|error while attempting to bind"),
        "health_port",
        "The sidecar's health page cannot listen",
        "Set HEALTH_HOST to 0.0.0.0 where IPv6 is off, and another HEALTH_PORT for each sidecar of the pod.",
        "https://github.com/kiwigrid/k8s-sidecar/issues/605",
    ),
    _Words(
        "G9",
        pattern(r"\(403\)|is forbidden|cannot (?:list|watch|get) resource"),
        "sidecar_forbidden",
        "The sidecar may not list what it collects",
        "Restore its ClusterRole and binding by a sync of its Application.",
        "https://github.com/helm/charts/issues/6142",
    ),
    _Words(
        "G10",
        pattern(
            r"MaxRetryError.{0,300}:(?:443|6443)\b|MaxRetryError.{0,100}port=(?:443|6443)|"
            r"https://[^\s]{1,120}:(?:443|6443).{0,200}(?:timed out|refused|unreachable|no route)"
        ),
        "api_unreachable",
        "The sidecar does not reach the API server",
        "Look at the network of its node; delete the pod so that it starts on another.",
        "https://github.com/kiwigrid/k8s-sidecar/issues/10",
    ),
    _Words(
        "G12",
        pattern(r"Process for .{1,120} died|At least one process died"),
        "watch_broke",
        "The sidecar's watch broke",
        "Once is nothing; again and again means that the API server or etcd is not well.",
        "https://github.com/kiwigrid/k8s-sidecar/issues/85",
    ),
)


def access(bad: Bad) -> Access:
    """May the pod's ServiceAccount list Secrets everywhere, as the sidecars do?"""
    user = f"system:serviceaccount:{bad.pod.metadata.namespace}:{bad.pod.spec.service_account_name}"
    return Access(user, "list", "secrets")


def needs(scene: Scene) -> Iterable[Need]:
    for bad in scene.bad:
        if is_sidecar_name(bad.name, bad.image) and bad.pod.spec.service_account_name:
            yield access(bad)


def find(scene: Scene) -> Finding | None:
    for bad in scene.bad:
        last = bad.last
        if not is_sidecar_name(bad.name, bad.image) or last is None:
            continue
        for entry in _LOG:
            line = bad.log_says(entry.words)
            if line:
                return _finding(scene, bad, entry, line, last.exit_code)
    return None


def _finding(scene: Scene, bad: Bad, entry: _Words, line: str, code: int) -> Finding:
    reply = scene.snapshot.replies.get(access(bad))
    denied = reply is not None and isinstance(reply.body, dict) and reply.body.get("allowed") is False
    evidence = [log_line(bad.name, line), state_of(bad)]
    if entry.id == "G9" and denied:
        evidence.append(f"{bad.pod.spec.service_account_name} may not list secrets (SubjectAccessReview)")
    if entry.id == "G10":
        evidence.append(f"node {clean(bad.pod.spec.node_name, 80)}")
    app = scene.application
    going = entry.id == "G9" and app is not None and app.metadata.deletion_timestamp is not None
    advice = "Its Application is being deleted and takes its rights along: stop that first." if going else entry.advice
    return finding(
        entry.id,
        entry.cause,
        entry.title,
        f"{entry.title}: {bad.name} ended with exit code {code}. {advice}",
        evidence,
        0.95 if denied else 0.85,
        remedies=_remedies(scene, bad, entry.id),
        at=ended_at(bad),
        reference=entry.reference,
    )


def _remedies(scene: Scene, bad: Bad, number: str) -> tuple[Remedy, ...]:
    pod = remedy(DELETE_POD, namespace=bad.pod.metadata.namespace, name=bad.pod.metadata.name)
    workload = next((item.metadata.name for kind, item in scene.workloads if kind == "Deployment"), "")
    restart = remedy(RESTART, namespace=bad.pod.metadata.namespace, name=workload)
    synced = (for_app(scene.application, SYNC_RESOURCES),) if scene.application is not None else ()
    app = scene.application
    # what is being deleted will not be synced any more: then only a Grafana of one's own is left
    apart = (remedy(STANDALONE), remedy(USE_PROMETHEUS)) if app is not None and app.metadata.deletion_timestamp else ()
    return {
        "G9": (repair_of(scene.application), *synced, *apart),
        "G10": (pod, repair_of(scene.application)),
        "G11": to_values(scene),
        "G12": (restart,),
        "G21": to_values(scene),
    }[number]


SIGNATURES = (
    Signature(
        "G9",
        Layer.SIDECAR,
        "A Grafana sidecar ends, by its own last words: no rights (G9), no way to the API server (G10), a certificate "
        "it does not accept (G11), a broken watch (G12), a health port it cannot listen on (G21).",
        "https://github.com/kiwigrid/k8s-sidecar",
        find,
        needs,
    ),
)
