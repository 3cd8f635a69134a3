"""Why a Grafana sidecar ends. "Connection refused" on port 3000 is never a cause: sidecars retry and do not exit.

Measured with k8s-sidecar 1.30.3, 2.0.3 and 2.10.1: what does end them is a refused list, an API server that cannot be
reached, a certificate that is not accepted, or a broken watch.
"""

from __future__ import annotations

import re

from monitoring.diagnosis.scene import Bad, Scene, sidecar_access
from monitoring.diagnosis.signature import REPAIR, SIDECAR, Signature, iso, log_line
from monitoring.verdict import Finding

# first hit wins
_LOG: tuple[tuple[str, re.Pattern[str], str, str, str], ...] = (
    (
        "G11",
        re.compile(r"CERTIFICATE_VERIFY_FAILED", re.IGNORECASE),
        "certificate_refused",
        "The sidecar does not accept the API server's certificate",
        "Set DISABLE_X509_STRICT_VERIFICATION for it, or give the cluster's CA the extensions it asks for.",
    ),
    (
        "G9",
        re.compile(r"\(403\)|is forbidden|cannot list resource", re.IGNORECASE),
        "sidecar_forbidden",
        "The sidecar may not list what it collects",
        "Restore its ClusterRole and binding by a sync of its Application.",
    ),
    (
        "G10",
        re.compile(r"MaxRetryError.{0,200}:(?:443|6443)"),
        "api_unreachable",
        "The sidecar does not reach the API server",
        "Look at the network of its node; delete the pod so that it starts on another.",
    ),
    (
        "G12",
        re.compile(r"Process for .{1,120} died|At least one process died"),
        "watch_broke",
        "The sidecar's watch broke",
        "Once is nothing; again and again means that the API server or etcd is not well.",
    ),
)
_REFUSED = re.compile(r"(?:port=3000|:3000).{0,200}(?:refused|Errno 111)|Connection refused.{0,200}3000", re.IGNORECASE)


def _sidecars(scene: Scene) -> list[Bad]:
    return [bad for bad in scene.bad if "grafana-sc-" in bad.status.name or "-sc-" in bad.status.name]


def ended(scene: Scene) -> Finding | None:
    """G9 to G12, by the sidecar's own last words."""
    for bad in _sidecars(scene):
        last = bad.status.state.terminated or bad.status.last_state.terminated
        for number, words, cause, title, advice in _LOG:
            line = next((line for line in reversed(bad.lines) if words.search(line)), "")
            if not line or last is None:
                continue
            reply = scene.snapshot.replies.get(sidecar_access(bad.pod))
            denied = reply is not None and isinstance(reply.body, dict) and reply.body.get("allowed") is False
            evidence = [log_line(bad.status.name, line)]
            if number == "G9" and denied:
                evidence.append(f"{bad.pod.spec.service_account_name} may not list secrets (SubjectAccessReview)")
            return Finding(
                id=number,
                cause=cause,
                title=title,
                sentence=f"{title}: {bad.status.name} ended with exit code {last.exit_code}. {advice}",
                evidence=tuple(evidence),
                confidence=0.95 if denied else 0.85,
                remedies=(REPAIR,) if number == "G9" else (),
                at=iso(last.finished_at),
            )
    return None


def refused_line(scene: Scene) -> str:
    """G1, only ever a consequence: the line with which a sidecar says that Grafana does not listen."""
    for bad in scene.bad:
        if "-sc-" in bad.status.name:
            line = next((line for line in reversed(bad.lines) if _REFUSED.search(line)), "")
            if line:
                return line
    return ""


SIGNATURES = (Signature(SIDECAR, ended),)
