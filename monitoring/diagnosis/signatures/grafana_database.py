"""G3: SQLite on a network disk, or two pods on one file. G22: Grafana answers, its database does not."""

from __future__ import annotations

from collections.abc import Mapping

from integrations.kubernetes.objects import Claim
from monitoring.checks.grafana import HEALTH
from monitoring.checks.pods import is_ready
from monitoring.checks.text import clean
from monitoring.diagnosis import values
from monitoring.diagnosis.argo_words import to_grafana
from monitoring.diagnosis.base import Layer, Signature, finding, log_line, pattern
from monitoring.diagnosis.containers import ended_at, state_of
from monitoring.diagnosis.remedies import RESTART, remedy
from monitoring.diagnosis.scene import Bad, Scene, claim_names
from monitoring.snapshot import Need
from monitoring.verdict import Finding

LOCKED = ("database is locked", "disk i/o error")
_MIGRATING = ("starting db migrations", "executing migration", 'msg="migrations')
_OTHER_DATABASE = pattern(
    r"failed to (?:connect to|check table existence|init)[^\n]{0,40}database|pq: |error 1045|"
    r"dial tcp [^\n]{1,80}:(?:5432|3306)"
)


def is_migrating(line: str) -> bool:
    """Whether a line of Grafana's log is about its migrations."""
    return any(words in line.lower() for words in _MIGRATING)


def locked(scene: Scene) -> Finding | None:
    """G3."""
    if scene.kind != "grafana":
        return None
    for bad in scene.main():
        line = bad.log_has(LOCKED)
        claims = claim_names(bad.pod)
        hung = bool(claims) and bool(bad.lines) and is_migrating(bad.lines[-1]) and not bad.recovered
        if not line and not hung:
            continue
        word = "is locked" if line else "hangs in its migration"
        shared = _sharing(scene, bad, claims)
        evidence = [log_line(bad.name, line or bad.lines[-1]), state_of(bad)]
        evidence += [f"claim {clean(name, 120)}{_class(scene, name)}" for name in claims[:2]]
        evidence += [f"{pod} mounts the same claim" for pod in shared]
        return finding(
            "G3",
            "sqlite_on_network_volume",
            "Grafana's database is locked",
            f"Grafana's database {word}: SQLite on a network volume does not lock well, and two pods share one file "
            "during a rollout. Turn persistence off, or use another database, with strategy Recreate.",
            evidence,
            0.9 if line else 0.6,
            remedies=to_grafana(scene),
            at=ended_at(bad),
        )
    return None


def _sharing(scene: Scene, bad: Bad, claims: list[str]) -> list[str]:
    return [
        clean(pod.metadata.name, 120)
        for pod in scene.pods
        if pod.metadata.name != bad.pod.metadata.name and set(claim_names(pod)) & set(claims)
    ][:3]


def _class(scene: Scene, name: str) -> str:
    found: list[Claim] = [item for item in scene.claims() if item.metadata.name == name]
    return (
        f" of class {clean(found[0].spec.storage_class_name or '', 60)}"
        if found and found[0].spec.storage_class_name
        else ""
    )


def health_needs(scene: Scene) -> list[Need]:
    """Grafana's own word on its database, where it is asked about."""
    return [HEALTH] if scene.kind == "grafana" and scene.asks("grafana_health") else []


def unhealthy(scene: Scene) -> Finding | None:
    """G22: the pod is there and answers; its database is not ok."""
    if scene.kind != "grafana" or not scene.pods or not scene.asks("grafana_health"):
        return None
    reply = scene.reply(HEALTH)
    body = reply.body if reply is not None and isinstance(reply.body, dict) else {}
    state = str(body.get("database", ""))
    if reply is None or not state or state == "ok":
        return None
    settings = values.at(scene.values, "grafana")
    ini = settings.get("grafana.ini") if isinstance(settings, Mapping) else None
    external = str(values.at(ini, "database.type") or "")
    line = next((found for bad in scene.main() if (found := bad.log_says(_OTHER_DATABASE) or bad.log_has(LOCKED))), "")
    ready = [pod for pod in scene.pods if is_ready(pod)]
    name = next((item.metadata.name for kind, item in scene.workloads if kind == "Deployment"), "")
    return finding(
        "G22",
        "database_not_ok",
        "Grafana answers and its database does not",
        f"Grafana answers with HTTP {reply.status} and says database: {clean(state, 60)}. Look at where its database "
        "lies: a full or read-only volume, a locked SQLite file, or a database server it cannot reach.",
        (
            f"GET /api/health: HTTP {reply.status}, database: {clean(state, 60)}, version "
            f"{clean(str(body.get('version', '')), 40)}",
            f"{len(ready)} of {len(scene.pods)} pods ready",
            log_line("grafana", line) if line else "",
            f"database type {clean(external, 40)}" if external else "",
            *(
                f"claim {clean(claim, 120)}{_class(scene, claim)}"
                for pod in scene.pods[:1]
                for claim in claim_names(pod)
            ),
        ),
        0.85 if line else 0.75,
        remedies=(remedy(RESTART, namespace=scene.namespace, name=name), *to_grafana(scene)),
    )


SIGNATURES = (
    Signature(
        "G3",
        Layer.CONTAINER,
        "Grafana's SQLite file lies on a network volume, or two pods share it.",
        "https://github.com/prometheus-community/helm-charts/issues/4542",
        locked,
    ),
    Signature(
        "G22",
        Layer.ROLLOUT,
        "Grafana answers its health page and says that its database is not ok.",
        "https://grafana.com/docs/grafana/latest/developers/http_api/other/#health-api",
        unhealthy,
        health_needs,
    ),
)
