"""From an item to what its diagnosis is about: components, Applications, claims, targets, by what its checks look at.

Pure. ``monitoring.diagnosis`` knows no items; a subject is the small dict it takes. An item's first workload is the
subject, everything else its checks look at are further ``parts``; ``asks`` are the types of its checks, so that nothing
is found that no check of the item is about. An item whose checks name nothing that can be diagnosed has an empty one.
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
_GRAFANA = "app.kubernetes.io/name=grafana"
_SERVICES = frozenset({"service_has_endpoints", "load_balancer_address", "link_answers"})
Subject = dict[str, Any]
Checks = list[tuple[str, Mapping[str, Any]]]


def subject_of(key: str, checks: Iterable[tuple[str, Mapping[str, Any]]]) -> Subject:
    """``{"kind", "namespace", "name", "selector", "application", "asks", "parts"}`` for ``monitoring.diagnosis``.

    The nearest workload decides; a Grafana check of any kind makes it Grafana's, an Application alone makes it the
    Application's.
    """
    listed = list(checks)
    parts = _workloads(listed)
    applications = [_application(params) for slug, params in listed if slug == "argocd_application"]
    for part in parts:
        if applications:
            part["application"] = {"namespace": applications[0]["namespace"], "name": applications[0]["name"]}
    for slug, params in listed:
        found = _bare(slug, params)
        if found is not None and not any(_same(found, part) for part in parts):
            parts.append(found)
    parts += applications[1:] if any("application" in part for part in parts) else applications
    first: Subject = {"kind": "", "namespace": "", "name": ""} | (parts[0] if parts else {})
    first |= {"item": key, "asks": sorted({slug for slug, _ in listed})}
    rest = [part | {"asks": first["asks"]} for part in parts[1:]]
    return first | ({"parts": rest} if rest else {})


def _same(one: Subject, other: Subject) -> bool:
    """Whether a part is looked at already: the same thing, or the product's own workload."""
    product = one["kind"] in _BY_LABEL.values() and one["kind"] == other["kind"]
    return one == other or (product and one["namespace"] == other["namespace"])


def _workloads(checks: Checks) -> list[Subject]:
    """One subject for each workload or Service the checks look at, however many of them do."""
    found: dict[tuple[str, str, str], Subject] = {}
    order = sorted(checks, key=lambda check: check[0] != "workload_ready")
    for slug, params in order:
        if slug not in {"workload_ready", "no_restarts", *_SERVICES} and not slug.startswith("grafana_"):
            continue
        grafana = slug.startswith("grafana_")
        namespace = str(params.get("namespace", ""))
        selector = str(params.get("selector", "")) or (_GRAFANA if grafana else "")
        kind = "grafana" if grafana else _kind(selector) or ("service" if slug in _SERVICES else "workload")
        if slug == "load_balancer_address":
            kind = "address"  # who has an address needs no ready pod for it
        where = (namespace, selector, str(params.get("name", "")))
        known = found.get(where) or _of_grafana(found, kind, namespace)
        if known is not None and known["kind"] == "address":
            known["kind"] = kind
        if known is None:
            known = {"kind": kind, "namespace": namespace, "name": where[2], "selector": selector}
            found[where] = known
        if slug == "workload_ready" and params.get("kind"):
            known["workload"] = str(params["kind"])
        if slug == "load_balancer_address" and params.get("address"):
            known["address"] = str(params["address"])
        if slug == "grafana_dashboards":
            known["tag"] = str(params.get("tag", ""))
    return list(found.values())


def _of_grafana(found: Mapping[tuple[str, str, str], Subject], kind: str, namespace: str) -> Subject | None:
    """Grafana's own checks name no namespace: they are about the Grafana that is there already."""
    if kind != "grafana":
        return None
    return next((s for s in found.values() if s["kind"] == "grafana" and namespace in {"", s["namespace"]}), None)


def _application(params: Mapping[str, Any]) -> Subject:
    where = {"namespace": str(params.get("namespace", "argocd")), "name": str(params.get("name", ""))}
    return {"kind": "application", **where, "application": where}


def _bare(slug: str, params: Mapping[str, Any]) -> Subject | None:
    """The subject of a check that is about no workload."""
    namespace, name = str(params.get("namespace", "")), str(params.get("name", ""))
    base = {"namespace": namespace, "name": name, "selector": str(params.get("selector", ""))}
    match slug:
        case "pvc_bound":
            more = {key: str(params.get(key, "")) for key in ("storage_class", "prefix")}
            return base | {"kind": "claims"} | more
        case "storage_class":
            return base | {"kind": "storage_class", "default": bool(params.get("default"))}
        case "nodes":
            return {"kind": "nodes", "namespace": "", "name": "", "role": str(params.get("role", ""))}
        case "node_taints":
            node = str(params.get("node", ""))
            return {"kind": "nodes", "namespace": "", "name": node, "taints": list(params.get("taints") or ())}
        case "placement":
            workload = str(params.get("kind") or "StatefulSet")
            return base | {"kind": "placement", "avoid": list(params.get("avoid") or ()), "workload": workload}
        case "target_up":
            return {"kind": "targets", "namespace": "", "name": "", "selector": str(params.get("selector", ""))}
        case "alert_route":
            return _product("alertmanager", namespace)
        case "objects_present":
            resource = str(params.get("resource", ""))
            return {
                "kind": "objects",
                "namespace": namespace,
                "name": resource,
                "names": list(params.get("names") or ()),
            }
        case "prometheus_config" | "alertmanager_config":
            return _product(slug.removesuffix("_config"), namespace)
    return None


def _product(name: str, namespace: str) -> Subject:
    """What the Prometheus operator makes of one of its objects."""
    label = f"app.kubernetes.io/name={name}"
    return {"kind": name, "namespace": namespace, "name": "", "selector": label, "workload": "StatefulSet"}


def _kind(selector: str) -> str:
    for term in selector.split(","):
        value = term.partition("=")[2].lstrip("=").strip()
        if value in _BY_LABEL:
            return _BY_LABEL[value]
    return ""
