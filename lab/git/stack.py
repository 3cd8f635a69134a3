"""What kube-prometheus-stack itself adds in code: CRDs, rules, Grafana's datasource and dashboard ConfigMaps."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lab.git.grafana_pod import datasource_file
from lab.git.templates import Release, plain

# kind -> (plural, version, short names, printer columns as (name, type, path))
_COLUMNS = [
    ("Version", "string", ".spec.version"),
    ("Desired", "integer", ".spec.replicas"),
    ("Ready", "integer", ".status.availableReplicas"),
    ("Reconciled", "string", '.status.conditions[?(@.type == "Reconciled")].status'),
    ("Available", "string", '.status.conditions[?(@.type == "Available")].status'),
    ("Age", "date", ".metadata.creationTimestamp"),
]
CRDS: dict[str, tuple[str, str, list[str], list[tuple[str, str, str]]]] = {
    "AlertmanagerConfig": ("alertmanagerconfigs", "v1alpha1", ["amcfg"], []),
    "Alertmanager": ("alertmanagers", "v1", ["am"], _COLUMNS),
    "PodMonitor": ("podmonitors", "v1", ["pmon"], []),
    "Probe": ("probes", "v1", ["prb"], []),
    "PrometheusAgent": ("prometheusagents", "v1alpha1", ["promagent"], _COLUMNS),
    "Prometheus": ("prometheuses", "v1", ["prom"], _COLUMNS),
    "PrometheusRule": ("prometheusrules", "v1", ["promrule"], []),
    "ScrapeConfig": ("scrapeconfigs", "v1alpha1", ["scfg"], []),
    "ServiceMonitor": ("servicemonitors", "v1", ["smon"], []),
    "ThanosRuler": ("thanosrulers", "v1", ["ruler"], _COLUMNS),
}
DASHBOARDS = {
    "alertmanager-overview": "Alertmanager / Overview",
    "apiserver": "Kubernetes / API server",
    "cluster-total": "Kubernetes / Networking / Cluster",
    "controller-manager": "Kubernetes / Controller Manager",
    "etcd": "etcd",
    "grafana-overview": "Grafana Overview",
    "k8s-coredns": "CoreDNS",
    "k8s-resources-cluster": "Kubernetes / Compute Resources / Cluster",
    "k8s-resources-namespace": "Kubernetes / Compute Resources / Namespace (Pods)",
    "k8s-resources-node": "Kubernetes / Compute Resources / Node (Pods)",
    "k8s-resources-pod": "Kubernetes / Compute Resources / Pod",
    "k8s-resources-workload": "Kubernetes / Compute Resources / Workload",
    "k8s-resources-workloads-namespace": "Kubernetes / Compute Resources / Namespace (Workloads)",
    "kubelet": "Kubernetes / Kubelet",
    "namespace-by-pod": "Kubernetes / Networking / Namespace (Pods)",
    "namespace-by-workload": "Kubernetes / Networking / Namespace (Workload)",
    "node-cluster-rsrc-use": "Node Exporter / USE Method / Cluster",
    "node-rsrc-use": "Node Exporter / USE Method / Node",
    "nodes": "Node Exporter / Nodes",
    "nodes-darwin": "Node Exporter / MacOS",
    "persistentvolumesusage": "Kubernetes / Persistent Volumes",
    "pod-total": "Kubernetes / Networking / Pod",
    "prometheus": "Prometheus / Overview",
    "proxy": "Kubernetes / Proxy",
    "scheduler": "Kubernetes / Scheduler",
    "workload-total": "Kubernetes / Networking / Workload",
}
_MIXIN_TAG = {
    "etcd": "etcd-mixin",
    "k8s-coredns": "coredns",
    "nodes": "node-exporter-mixin",
    "prometheus": "prometheus-mixin",
}


def crd(kind: str) -> dict[str, Any]:
    """One of the operator's CustomResourceDefinitions, without its (very long) schema."""
    plural, version, short, columns = CRDS[kind]
    served: dict[str, Any] = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    if columns:
        served["subresources"] = {"status": {}}
        served["additionalPrinterColumns"] = [
            {"name": name, "type": type_, "jsonPath": path} for name, type_, path in columns
        ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.monitoring.coreos.com",
            "annotations": {
                "controller-gen.kubebuilder.io/version": "v0.11.1",
                "operator.prometheus.io/version": "0.70.0",
            },
        },
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {
                "categories": ["prometheus-operator"],
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "shortNames": short,
                "singular": kind.lower(),
            },
            "scope": "Namespaced",
            "versions": [served],
        },
    }


def crds(release: Release) -> list[dict[str, Any]]:
    return [crd(kind) for kind in CRDS] if release.get("crds.enabled") else []


def rules(release: Release, chart: Path) -> list[dict[str, Any]]:
    """The PrometheusRule objects of the chart."""
    if not release.get("defaultRules.create"):
        return []
    groups: dict[str, Any] = plain((chart / "rules.yaml").read_text(encoding="utf-8"))
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {
                "name": f"{release.name}-{name}",
                "namespace": release.namespace,
                "labels": release.labels({"app": "kube-prometheus-stack"}),
            },
            "spec": {"groups": content},
        }
        for name, content in groups.items()
    ]


def datasources(release: Release) -> list[dict[str, Any]]:
    """The ConfigMap that Grafana's datasource sidecar looks for."""
    values = release.get("grafana")
    mine = values["sidecar"]["datasources"]
    if not (values["enabled"] and mine["enabled"]) and not values["forceDeployDatasources"]:
        return []
    entries: list[dict[str, Any]] = []
    if mine["defaultDatasourceEnabled"]:
        interval = release.get("prometheus.prometheusSpec.scrapeInterval") or "30s"
        port = release.get("prometheus.service.port")
        entries.append(
            {
                "name": "Prometheus",
                "type": "prometheus",
                "uid": mine["uid"],
                "url": mine["url"] or f"http://{release.name}-prometheus.{release.namespace}:{port}/",
                "access": "proxy",
                "isDefault": mine["isDefaultDatasource"],
                "jsonData": {"httpMethod": "POST", "timeInterval": interval},
            }
        )
        if mine["alertmanager"]["enabled"]:
            port = release.get("alertmanager.service.port")
            entries.append(
                {
                    "name": "Alertmanager",
                    "type": "alertmanager",
                    "uid": mine["alertmanager"]["uid"],
                    "url": f"http://{release.name}-alertmanager.{release.namespace}:{port}/",
                    "access": "proxy",
                    "jsonData": {
                        key: mine["alertmanager"][key] for key in ("handleGrafanaManagedAlerts", "implementation")
                    },
                }
            )
    entries += values["additionalDataSources"]
    labels = {mine["label"]: mine["labelValue"], **release.labels({"app": "kube-prometheus-stack-grafana"})}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"{release.name}-grafana-datasource",
                "namespace": release.namespace,
                "labels": labels,
            },
            "data": {"datasource.yaml": datasource_file(entries, values["deleteDatasources"])},
        }
    ]


def dashboards(release: Release) -> list[dict[str, Any]]:
    """The dashboards' ConfigMaps; without the dashboards sidecar nobody reads them."""
    values = release.get("grafana")
    wanted = (values["enabled"] or values["forceDeployDashboards"]) and values["defaultDashboardsEnabled"]
    if not wanted:
        return []
    mine = values["sidecar"]["dashboards"]
    labels = {**release.labels({"app": "kube-prometheus-stack-grafana"}), mine["label"]: mine["labelValue"]}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"{release.name}-{name}",
                "namespace": release.namespace,
                "labels": labels,
            },
            "data": {f"{name}.json": json.dumps(_dashboard(name, title), sort_keys=True)},
        }
        for name, title in DASHBOARDS.items()
    ]


def _dashboard(name: str, title: str) -> dict[str, Any]:
    """A dashboard by its true title and uid (the mixins use the md5 of the file's name); panels are left out."""
    uid = hashlib.md5(f"{name}.json".encode(), usedforsecurity=False).hexdigest()
    variable = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    return {
        "uid": uid,
        "title": title,
        "tags": [_MIXIN_TAG.get(name, "kubernetes-mixin")],
        "timezone": "utc",
        "refresh": "10s",
        "panels": [],
        "templating": {"list": [variable]},
        "schemaVersion": 36,
    }
