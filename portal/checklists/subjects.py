"""From an item to what its diagnosis is about: a component or an Application, by what its checks look at. Pure.

``monitoring.diagnosis`` knows no items; a subject is the small dict it takes. An item whose checks name nothing that
can be diagnosed has the subject of its first workload, or an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: what the label of a workload is called as a subject
_BY_LABEL = {
    "grafana": "grafana",
    "prometheus": "prometheus",
    "alertmanager": "alertmanager",
}

#: checks whose ``selector`` picks time series, not objects
_SERIES = frozenset({"target_up"})


def subject_of(key: str, checks: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """``{"kind", "namespace", "name", "selector", "application", …}`` for ``monitoring.diagnosis.diagnose``.

    The nearest workload decides; a Grafana check of any kind makes it Grafana's, an Application alone makes it the
    Application's.
    """
    listed = list(checks)
    subject: dict[str, Any] = {"kind": "", "namespace": "", "name": "", "item": key}
    workload = next((params for slug, params in listed if slug == "workload_ready"), None)
    by_selector = workload or next(
        (params for slug, params in listed if params.get("selector") and slug not in _SERIES), None
    )
    if by_selector is not None:
        selector = str(by_selector.get("selector", ""))
        subject |= {
            "kind": _kind(selector) or ("workload" if workload is not None else ""),
            "namespace": str(by_selector.get("namespace", "")),
            "name": str(by_selector.get("name", "")),
            "selector": selector,
        }
    if any(slug.startswith("grafana_") for slug, _ in listed):
        subject["kind"] = "grafana"
    application = next((params for slug, params in listed if slug == "argocd_application"), None)
    if application is not None:
        subject["application"] = {
            "namespace": str(application.get("namespace", "argocd")),
            "name": str(application.get("name", "")),
        }
        if not subject["kind"]:
            subject |= {"kind": "application", **subject["application"]}
    if any(slug == "alert_route" for slug, _ in listed):
        subject["kind"] = subject["kind"] or "alertmanager"
    return subject


def _kind(selector: str) -> str:
    for term in selector.split(","):
        value = term.partition("=")[2].lstrip("=").strip()
        if value in _BY_LABEL:
            return _BY_LABEL[value]
    return ""
