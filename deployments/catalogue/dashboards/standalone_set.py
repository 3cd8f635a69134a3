"""The objects of a Grafana of its own beside the chart (facts: §3.3), as whole intents for server-side apply. Pure.

What differs from the chart: a startup probe with a long allowance, because a first start took longer than a liveness
probe waits (what the team met next); no API dependency at start, because the datasources are in a mounted file; pods
that carry the labels of the Service that is there, so that the published address leads to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from common.canonical import digest
from deployments.catalogue.action import MARK

#: the set: its field manager and its label
SET = "grafana-minimal"
NAME = "grafana-standalone"
PROVISIONING = f"{NAME}-provisioning"
DASHBOARDS = f"{NAME}-dashboards"
SECRET = "grafana-admin"  # noqa: S105 - a name
IMAGE = "docker.io/grafana/grafana:10.2.2"
LABELS = {"app.kubernetes.io/managed-by": "portal", "portal.remediation/set": SET}
_FOLDER = "/var/lib/grafana-dashboards"
_HEALTH = {"path": "/api/health", "port": "grafana"}
#: what the chart calls the keys of its admin Secret
USER_KEY, PASSWORD_KEY = "admin-user", "admin-password"


def _meta(namespace: str, name: str, labels: Mapping[str, str] = LABELS) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "labels": dict(labels), "annotations": {MARK: "${run.mark}"}}


def admin_secret(namespace: str, name: str = SECRET, user: str = "admin") -> dict[str, Any]:
    """An admin Secret as Grafana's chart reads it; the password is made when it is sent and stands nowhere else."""
    labels = {"app.kubernetes.io/managed-by": "portal", "app.kubernetes.io/component": "admin-secret"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _meta(namespace, name, labels),
        "type": "Opaque",
        "stringData": {USER_KEY: user, PASSWORD_KEY: "${run.secret}"},
    }


def provisioning(namespace: str, datasources: list[dict[str, Any]]) -> dict[str, Any]:
    """The files Grafana reads at its start: datasources, and where dashboards lie."""
    provider = {
        "name": "portal",
        "orgId": 1,
        "type": "file",
        "disableDeletion": True,
        "updateIntervalSeconds": 30,
        "allowUiUpdates": False,
        "options": {"path": _FOLDER},
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta(namespace, PROVISIONING),
        "data": {
            "datasources.yaml": _yaml({"apiVersion": 1, "prune": True, "datasources": datasources}),
            "dashboards.yaml": _yaml({"apiVersion": 1, "providers": [provider]}),
        },
    }


@dataclass(frozen=True, slots=True)
class Admin:
    """The Secret that Grafana takes its administrator from, and its keys."""

    secret: str = SECRET
    user_key: str = USER_KEY
    password_key: str = PASSWORD_KEY


def deployment(
    namespace: str, image: str, admin: Admin, labels: Mapping[str, str], files: Mapping[str, Any]
) -> dict[str, Any]:
    """The Deployment. ``labels``: what the Service selects. ``files``: the ConfigMap's data; mounted by subPath they do
    not follow an edit, so their digest is on the pod and a change replaces it."""
    selector = {"app": NAME}
    template = {
        "metadata": {
            "labels": {**labels, **selector},
            "annotations": {"checksum/provisioning": digest(dict(files))[:16]},
        },
        "spec": _pod(image, admin),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(namespace, NAME),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector},
            "template": template,
        },
    }


def service(namespace: str, kind: str, address: str) -> dict[str, Any]:
    """A Service of its own, for when the chart's is gone. MetalLB takes the address from the annotation."""
    meta = _meta(namespace, NAME, {**LABELS, "app.kubernetes.io/name": "grafana"})
    if address:
        meta["annotations"] |= {"metallb.io/loadBalancerIPs": address, "metallb.universe.tf/loadBalancerIPs": address}
    # the second label lets the rest of the portal see by the Service whose it is
    selector = {"app": NAME, "app.kubernetes.io/name": "grafana"}
    ports = [{"name": "http-web", "port": 80, "protocol": "TCP", "targetPort": "grafana"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"type": kind, "ports": ports, "selector": selector},
    }


def _pod(image: str, admin: Admin) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 472,
            "runAsGroup": 472,
            "fsGroup": 472,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(image, admin)],
        "volumes": [
            {"name": "data", "emptyDir": {}},
            {"name": "prov", "configMap": {"name": PROVISIONING}},
            {"name": "dash", "configMap": {"name": DASHBOARDS, "optional": True}},
        ],
    }


def _container(image: str, admin: Admin) -> dict[str, Any]:
    def key(name: str) -> dict[str, Any]:
        return {"secretKeyRef": {"name": admin.secret, "key": name}}

    def file(name: str, folder: str) -> dict[str, Any]:
        return {"name": "prov", "mountPath": f"/etc/grafana/provisioning/{folder}/{name}", "subPath": name}

    return {
        "name": "grafana",
        "image": image,
        "ports": [{"name": "grafana", "containerPort": 3000, "protocol": "TCP"}],
        "env": [
            {"name": "GF_SECURITY_ADMIN_USER", "valueFrom": key(admin.user_key)},
            {"name": "GF_SECURITY_ADMIN_PASSWORD", "valueFrom": key(admin.password_key)},
            {"name": "GF_ANALYTICS_REPORTING_ENABLED", "value": "false"},
        ],
        # 30 s and then 30 times 10 s: what the team's own Grafana needed before it stayed up
        "startupProbe": {"httpGet": _HEALTH, "initialDelaySeconds": 30, "periodSeconds": 10, "failureThreshold": 30},
        "readinessProbe": {"httpGet": _HEALTH, "periodSeconds": 10},
        "livenessProbe": {"httpGet": _HEALTH, "periodSeconds": 30, "timeoutSeconds": 10, "failureThreshold": 5},
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "data", "mountPath": "/var/lib/grafana"},
            file("datasources.yaml", "datasources"),
            file("dashboards.yaml", "dashboards"),
            {"name": "dash", "mountPath": _FOLDER},
        ],
    }


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False)
