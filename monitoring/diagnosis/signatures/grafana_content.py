"""G14, G15, D1, D2: Grafana runs, and what it should have is not in it: datasources, dashboards.

Grafana reads datasource files once, at its start; what a sidecar writes later reaches it only by a reload call, which
takes basic auth alone (https://grafana.com/docs/grafana/latest/developers/http_api/admin/#reload-provisioning-configurations).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from integrations.kubernetes.objects import ConfigMap, Pod
from monitoring.checks.grafana import DATASOURCES
from monitoring.checks.pods import is_ready
from monitoring.checks.services import SLICES, ready_addresses
from monitoring.checks.text import clean, count, listing, phrase
from monitoring.diagnosis.argo_words import repair_of, to_values
from monitoring.diagnosis.base import Layer, Signature, finding, log_line, pattern, says
from monitoring.diagnosis.datasources import Told, health_of, in_grafana, service_of, told, unreachable
from monitoring.diagnosis.gathering import of_namespace
from monitoring.diagnosis.logs import lines_of, logs
from monitoring.diagnosis.remedies import ADMIN_SECRET, DASHBOARDS, RESTART, remedy
from monitoring.diagnosis.remedies import DATASOURCES as CONFIGURE
from monitoring.diagnosis.scene import DASHBOARD_LABEL, Scene, is_sidecar
from monitoring.snapshot import Missing, Need, Objects
from monitoring.verdict import Finding

_UNAUTHORIZED = pattern(r"\b401\b[^\n]{0,60}unauthorized|unauthorized[^\n]{0,60}\b401\b|invalid username or password")
_LATE = pattern(
    r"(?:connection refused|errno 111|max retries exceeded|newconnectionerror)[^\n]{0,200}|reload[^\n]{0,100}fail"
)
_FORBIDDEN = pattern(r"\(403\)|is forbidden|cannot list resource")


def _up(scene: Scene) -> Pod | None:
    """A ready Grafana pod, when Grafana is asked about."""
    if scene.kind != "grafana" or not scene.asks("grafana_datasource", "grafana_dashboards"):
        return None
    return next((pod for pod in scene.pods if is_ready(pod)), None)


def _lacking(scene: Scene, has: list[dict[str, Any]]) -> list[Told]:
    known = {str(entry.get("uid") or "") for entry in has} | {str(entry.get("name") or "") for entry in has}
    return [each for each in told(scene) if each.name and each.uid not in known - {""} and each.name not in known]


def needs(scene: Scene) -> Iterable[Need]:
    if scene.kind != "grafana" or not scene.asks("grafana_datasource", "grafana_dashboards"):
        return
    yield DATASOURCES
    pod, has = _up(scene), in_grafana(scene)
    yield from (health_of(entry) for entry in has or [] if service_of(entry) is not None)
    if pod is not None and has is not None and _lacking(scene, has):
        # ready sidecars are read only when what they should have brought is not there
        yield from (logs(pod, c.name, previous=False) for c in pod.spec.containers if is_sidecar(c))
    for entry in has or []:
        where = service_of(entry)
        if where is not None:
            yield Objects("services", where[0])
            yield Objects(SLICES, where[0])
            # should Grafana not reach it, what is behind it is looked at: its lists come with the answer, not after it
            yield from of_namespace({"kind": "service", "namespace": where[0], "name": where[1]})


def _why_not_loaded(forbidden: bool, late: bool) -> str:
    if forbidden:
        return "its sidecar may not read them"
    if late:
        return "its sidecar wrote them after Grafana had started, and the reload did not get through"
    return "Grafana reads these files only at its start"


def not_loaded(scene: Scene) -> Finding | None:
    """G14, G15: a provisioned datasource is not in Grafana."""
    pod, has = _up(scene), in_grafana(scene)
    if pod is None or has is None:
        return None
    lacking = _lacking(scene, has)
    if not lacking:
        return None
    lines = [(c.name, line) for c in pod.spec.containers if is_sidecar(c) for line in lines_of(scene, pod, c.name)]
    refused = next(((name, line) for name, line in reversed(lines) if _UNAUTHORIZED.search(line)), None)
    forbidden = next(((name, line) for name, line in reversed(lines) if _FORBIDDEN.search(line)), None)
    late = next(((name, line) for name, line in reversed(lines) if _LATE.search(line)), None)
    quoted = refused or forbidden or late
    names = listing(clean(each.name, 80) for each in lacking)
    deployment = next((item.metadata.name for kind, item in scene.workloads if kind == "Deployment"), "")
    evidence = (
        *(f"{each.where}: datasource {clean(each.name, 80)}" for each in lacking[:3]),
        f"GET /api/datasources: {listing(clean(str(e.get('name', '')), 60) for e in has) or 'none'}",
        log_line(*quoted) if quoted else "",
        f"{pod.metadata.name} is ready",
    )
    restart = remedy(RESTART, namespace=scene.namespace, name=deployment)
    if refused:
        return finding(
            "G15",
            "reload_unauthorized",
            "Grafana does not let its sidecar reload",
            f"Grafana refuses the sidecar's reload with 401, so {names} is not loaded: its database holds another "
            "admin "
            "password than the Secret, or basic auth is off. Align the two (grafana cli admin reset-admin-password), "
            "or "
            "let an init container write the files.",
            evidence,
            0.92,
            remedies=(remedy(ADMIN_SECRET), repair_of(scene.application), remedy(CONFIGURE)),
        )
    why = _why_not_loaded(bool(forbidden), bool(late))
    return finding(
        "G14",
        "datasource_not_loaded",
        "A provisioned datasource is not in Grafana",
        f"{names} is in a ConfigMap and not in Grafana: {why}. Restart Grafana once; an init container that writes the "
        "files first ends it for good.",
        evidence,
        0.9 if quoted else 0.75,
        remedies=(restart, repair_of(scene.application), remedy(CONFIGURE)),
    )


def not_reached(scene: Scene) -> Finding | None:
    """D1: Grafana has the datasource and does not reach what it names."""
    for entry, said in unreachable(scene) if _up(scene) is not None else []:
        where = service_of(entry)
        if where is None:
            continue
        answered = _answered(said)
        why, proof, advice = answered or _why(scene, said, *where)
        name = clean(str(entry.get("name", "")), 80)
        return finding(
            "D1",
            "datasource_unreachable",
            "Grafana does not reach a datasource",
            f"Grafana does not reach {name} at {clean(str(entry.get('url', '')), 160)}: {why}. {advice}",
            (f"health of {name}: {phrase(said, 240)}", proof),
            0.9 if proof else 0.7,
            remedies=(remedy(CONFIGURE),),
        )
    return None


_BARRED = pattern(r"\b(?:401|403|407)\b|unauthorized|forbidden|authentication")
_OTHER = pattern(r"\b(?:301|302|308|400|404|405)\b|invalid character '<'|looking for beginning of value|html")
_ILL = pattern(r"\b(?:500|502|503|504)\b")
_CERTIFICATE = pattern(r"x509|certificate|tls: |http response to https")
_SILENT = pattern(r"timeout|timed out|deadline exceeded")
_CORRECT = "Correct its address, or bring back what is behind it."
_BEHIND = "Look at what answers there"


def _answered(said: str) -> tuple[str, str, str] | None:
    """Why, where something answers Grafana and not as the datasource should: then the way to it is not the cause."""
    proof = f"it answers: {clean(said, 160)}"
    if says(_CERTIFICATE, said):
        return (
            "its certificate or scheme is not accepted",
            proof,
            "Correct http or https in its address, or give its CA.",
        )
    if says(_BARRED, said):
        return "it answers and does not let Grafana in", proof, "Give the datasource the credentials it asks for."
    if says(_ILL, said):
        return "it answers with an error of its own", proof, f"{_BEHIND}, and at its log."
    if says(_OTHER, said):
        return "something else answers there", proof, f"{_BEHIND}: correct its address, path or type."
    return None


def _why(scene: Scene, said: str, namespace: str, name: str) -> tuple[str, str, str]:
    """Why nothing answers, what proves it, what to do."""
    why, proof = _nobody(scene, namespace, name)
    if proof.endswith(("ready addresses", "ready address")):
        if says(_SILENT, said):
            silent = "its Service has ready pods and no answer comes in time"
            return silent, proof, "Look at NetworkPolicies between the two, and at the load of what is behind it."
        return why, proof, "Correct its port, or look at what its pods listen on."
    return why, proof, _CORRECT


def _nobody(scene: Scene, namespace: str, name: str) -> tuple[str, str]:
    if not scene.known("services", namespace):
        return "it does not answer", ""
    service = next((s for s in scene.read("services", namespace) if s.metadata.name == name), None)
    if service is None:
        others = sorted(
            s.metadata.name for s in scene.read("services", namespace) if name.rpartition("-")[2] in s.metadata.name
        )
        near = f"; there is {listing(others)}" if others else ""
        return (
            f"there is no Service {clean(name, 80)} in {clean(namespace, 63)}{near}",
            f"no Service {clean(namespace, 63)}/{clean(name, 80)}",
        )
    try:
        behind = ready_addresses(scene.snapshot, service)
    except Missing:
        return "it does not answer", ""
    if not behind:
        return (
            f"no ready pod is behind Service {clean(name, 80)}",
            f"Service {clean(namespace, 63)}/{clean(name, 80)}: no ready address",
        )
    return (
        "its Service has ready pods and does not answer it",
        f"Service {clean(namespace, 63)}/{clean(name, 80)}: {count(len(behind), 'ready address', 'ready addresses')}",
    )


def dashboards(scene: Scene) -> Finding | None:
    """D2: dashboards lie in ConfigMaps that nobody collects."""
    if scene.kind != "grafana" or _up(scene) is None or not scene.asks("grafana_dashboards"):
        return None
    lying = [item for item in scene.config_maps if DASHBOARD_LABEL in item.metadata.labels and _tagged(item, scene)]
    collected = any("dashboard" in c.name for c in scene.sidecars)
    if not lying or collected or not scene.subject.get("tag"):
        return None
    return finding(
        "D2",
        "dashboards_not_collected",
        "Dashboards lie in ConfigMaps that nobody collects",
        f"{count(len(lying), 'ConfigMap')} with dashboards of this kind is there "
        f"({listing(i.metadata.name for i in lying)}), and "
        "Grafana's dashboard sidecar is off, so they are not shown. Turn it on, or import them.",
        (
            *(f"ConfigMap {item.metadata.name}: label {DASHBOARD_LABEL}" for item in lying[:3]),
            "no container grafana-sc-dashboard in the pod",
        ),
        0.85,
        remedies=(remedy(DASHBOARDS), *to_values(scene)),
    )


def _tagged(item: ConfigMap, scene: Scene) -> bool:
    tag = str(scene.subject.get("tag") or "")
    return bool(tag) and any(f'"{tag}"' in text[:1_000_000] for text in item.data.values())


_RELOAD = "https://github.com/grafana-community/helm-charts/issues/127"
SIGNATURES = (
    Signature(
        "G14",
        Layer.CONTENT,
        "A provisioned datasource is not in Grafana: it came after the start (G14), or the reload is refused (G15).",
        _RELOAD,
        not_loaded,
        needs,
    ),
    Signature(
        "D1",
        Layer.CONTENT,
        "Grafana does not reach what a datasource names.",
        "https://grafana.com/docs/grafana/latest/datasources/prometheus/",
        not_reached,
        follows=True,
    ),
    Signature(
        "D2",
        Layer.CONTENT,
        "Dashboards lie in ConfigMaps, and Grafana's sidecar for them is off.",
        "https://github.com/grafana-community/helm-charts/tree/main/charts/grafana#sidecar-for-dashboards",
        dashboards,
    ),
)
