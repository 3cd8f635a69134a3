"""The Grafana sub-chart (7.0.x, Grafana 10.2.2): what its keys change in the rendered objects.

Keys this chart version does not know (`startupProbe`) change nothing, as in the real chart. The extra objects that
kube-prometheus-stack adds around it (its datasource ConfigMap, its dashboards) are in `lab.git.stack`.
"""

from __future__ import annotations

import hashlib
from typing import Any

from lab.git.templates import Release, b64, dump

CHART = "grafana-7.0.19"
APP_VERSION = "10.2.2"


class GrafanaChart:
    """One rendering of the sub-chart for one release."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.values: dict[str, Any] = release.get("grafana")
        self.name = f"{release.name}-grafana"

    @property
    def selector(self) -> dict[str, str]:
        return {"app.kubernetes.io/name": "grafana", "app.kubernetes.io/instance": self.release.name}

    @property
    def labels(self) -> dict[str, str]:
        return {
            "helm.sh/chart": CHART,
            **self.selector,
            "app.kubernetes.io/version": APP_VERSION,
            "app.kubernetes.io/managed-by": "Helm",
        }

    def meta(self, suffix: str = "", namespaced: bool = True, **extra: Any) -> dict[str, Any]:
        meta: dict[str, Any] = {"name": f"{self.name}{suffix}", "labels": self.labels}
        if namespaced:
            meta["namespace"] = self.release.namespace
        return {**meta, **extra}

    def sidecar_on(self, which: str) -> bool:
        return bool(self.values["sidecar"][which]["enabled"])

    def objects(self) -> list[dict[str, Any]]:
        if not self.values["enabled"]:
            return []
        config, secret = self.config_map(), self.admin_secret()
        found = [*self.rbac(), *([secret] if secret else []), config]
        if self.sidecar_on("dashboards"):
            found.append(self.dashboard_provider())
        if self.claim_wanted():
            found.append(self.claim())
        if self.values["service"]["enabled"]:
            found.append(self.service())
        found.append(self.deployment(config, secret))
        if self.values["serviceMonitor"]["enabled"]:
            found.append(self.service_monitor())
        return found

    # -- identity and rights -------------------------------------------------------------------------------------

    def rbac(self) -> list[dict[str, Any]]:
        group = "rbac.authorization.k8s.io"
        account = {"kind": "ServiceAccount", "name": self.name, "namespace": self.release.namespace}
        found: list[dict[str, Any]] = []
        if self.values["serviceAccount"]["create"]:
            found.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": self.meta()})
        if not self.values["rbac"]["create"]:
            return found
        rules: list[dict[str, Any]] = []
        if self.sidecar_on("dashboards") or self.sidecar_on("datasources"):
            rules = [{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "watch", "list"]}]
        if not self.values["rbac"]["namespaced"]:
            role = {"apiGroup": group, "kind": "ClusterRole", "name": f"{self.name}-clusterrole"}
            found += [
                {
                    "apiVersion": f"{group}/v1",
                    "kind": "ClusterRole",
                    "metadata": self.meta("-clusterrole", namespaced=False),
                    "rules": rules,
                },
                {
                    "apiVersion": f"{group}/v1",
                    "kind": "ClusterRoleBinding",
                    "metadata": self.meta("-clusterrolebinding", namespaced=False),
                    "roleRef": role,
                    "subjects": [account],
                },
            ]
        own = rules if self.values["rbac"]["namespaced"] else []
        role = {"apiGroup": group, "kind": "Role", "name": self.name}
        return [
            *found,
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": self.meta(), "rules": own},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": self.meta(),
                "roleRef": role,
                "subjects": [account],
            },
        ]

    def admin_secret(self) -> dict[str, Any] | None:
        if self.values["admin"]["existingSecret"]:
            return None
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": self.meta(),
            "type": "Opaque",
            "data": {
                "admin-user": b64(str(self.values["adminUser"])),
                "admin-password": b64(str(self.values["adminPassword"])),
                "ldap-toml": "",
            },
        }

    # -- configuration -------------------------------------------------------------------------------------------

    def config_map(self) -> dict[str, Any]:
        data = {"grafana.ini": self.ini()}
        data |= {name: dump(content) for name, content in self.values["datasources"].items()}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.meta(), "data": data}

    def ini(self) -> str:
        lines: list[str] = []
        for section, content in self.values["grafana.ini"].items():
            if not isinstance(content, dict):
                lines.append(f"{section} = {_ini(content)}")
                continue
            lines.append(f"[{section}]")
            lines += [f"{key} = {_ini(value)}" for key, value in content.items()]
        return "\n".join(lines) + "\n"

    def dashboard_provider(self) -> dict[str, Any]:
        provider = {
            "name": "sidecarProvider",
            "orgId": 1,
            "folder": "",
            "type": "file",
            "disableDeletion": False,
            "allowUiUpdates": False,
            "updateIntervalSeconds": 30,
            "options": {
                "foldersFromFilesStructure": False,
                "path": self.values["sidecar"]["dashboards"]["folder"],
            },
        }
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self.meta("-config-dashboards"),
            "data": {"provider.yaml": dump({"apiVersion": 1, "providers": [provider]})},
        }

    # -- storage and network -------------------------------------------------------------------------------------

    def claim_wanted(self) -> bool:
        persistence = self.values["persistence"]
        return bool(persistence["enabled"] and persistence["type"] == "pvc" and not persistence.get("existingClaim"))

    def claim(self) -> dict[str, Any]:
        persistence = self.values["persistence"]
        spec: dict[str, Any] = {
            "accessModes": persistence["accessModes"],
            "resources": {"requests": {"storage": persistence["size"]}},
        }
        if persistence["storageClassName"]:
            spec["storageClassName"] = persistence["storageClassName"]
        meta = self.meta(finalizers=persistence["finalizers"])
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}

    def service(self) -> dict[str, Any]:
        values = self.values["service"]
        meta = self.meta()
        meta["labels"] = {**self.labels, **values["labels"]}
        if values["annotations"]:
            meta["annotations"] = values["annotations"]
        spec: dict[str, Any] = {
            "type": values["type"],
            "ports": [
                {
                    "name": values["portName"],
                    "port": values["port"],
                    "protocol": "TCP",
                    "targetPort": values["targetPort"],
                }
            ],
            "selector": self.selector,
        }
        if values["type"] == "LoadBalancer" and values["loadBalancerIP"]:
            spec["loadBalancerIP"] = values["loadBalancerIP"]
        return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}

    def service_monitor(self) -> dict[str, Any]:
        values = self.values["serviceMonitor"]
        return {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "ServiceMonitor",
            "metadata": self.meta(),
            "spec": {
                "endpoints": [
                    {
                        "port": self.values["service"]["portName"],
                        "scrapeTimeout": values["scrapeTimeout"],
                        "honorLabels": True,
                        "path": values["path"],
                        "scheme": "http",
                    }
                ],
                "jobLabel": self.release.name,
                "selector": {"matchLabels": self.selector},
                "namespaceSelector": {"matchNames": [self.release.namespace]},
            },
        }

    # -- the workload --------------------------------------------------------------------------------------------

    def deployment(self, config: dict[str, Any], secret: dict[str, Any] | None) -> dict[str, Any]:
        from lab.git.grafana_pod import pod_spec

        annotations = {
            "checksum/config": _checksum(config["data"]),
            "checksum/sc-dashboard-provider-config": _checksum(
                self.dashboard_provider()["data"] if self.sidecar_on("dashboards") else {}
            ),
        }
        if secret:
            annotations["checksum/secret"] = _checksum(secret["data"])
        annotations |= {"kubectl.kubernetes.io/default-container": "grafana", **self.values["podAnnotations"]}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self.meta(),
            "spec": {
                "replicas": self.values["replicas"],
                "revisionHistoryLimit": 10,
                "selector": {"matchLabels": self.selector},
                "strategy": self.values["deploymentStrategy"],
                "template": {
                    "metadata": {
                        "labels": {**self.selector, **self.values["podLabels"]},
                        "annotations": annotations,
                    },
                    "spec": pod_spec(self),
                },
            },
        }


def _ini(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _checksum(data: dict[str, Any]) -> str:
    return hashlib.sha256(dump(data).encode()).hexdigest()
