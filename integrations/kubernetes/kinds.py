"""The Kubernetes resources Phaseboard knows, by the key it uses for them everywhere.

A key is ``plural`` for the core group and ``plural.group`` else (what ``kubectl get`` accepts). A resource may name
several versions, newest first: the reader takes the first that the server serves (``discovery.k8s.io/v1`` is not
served by 1.20, for example).
"""

from __future__ import annotations

from typing import NamedTuple


class Resource(NamedTuple):
    """One resource of the API: where it is served and what its objects are called."""

    group: str
    versions: tuple[str, ...]
    plural: str
    kind: str
    namespaced: bool = True
    #: the source whose age its evidence has: Argo CD is read through its custom resources
    source: str = "kubernetes"

    @property
    def key(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def api_version(self, version: str | None = None) -> str:
        version = version or self.versions[0]
        return f"{self.group}/{version}" if self.group else version

    def path(self, namespace: str = "", name: str = "", version: str | None = None, subresource: str = "") -> str:
        """The URL path of the collection, or of one object when a name is given."""
        root = (
            f"/apis/{self.group}/{version or self.versions[0]}" if self.group else f"/api/{version or self.versions[0]}"
        )
        scope = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        tail = f"/{name}" if name else ""
        return f"{root}{scope}/{self.plural}{tail}{f'/{subresource}' if subresource else ''}"


_ARGO = "argoproj.io"
_OPERATOR = "monitoring.coreos.com"
_RBAC = "rbac.authorization.k8s.io"

RESOURCES: dict[str, Resource] = {
    resource.key: resource
    for resource in (
        Resource("", ("v1",), "namespaces", "Namespace", namespaced=False),
        Resource("", ("v1",), "nodes", "Node", namespaced=False),
        Resource("", ("v1",), "pods", "Pod"),
        Resource("", ("v1",), "services", "Service"),
        Resource("", ("v1",), "configmaps", "ConfigMap"),
        Resource("", ("v1",), "secrets", "Secret"),
        Resource("", ("v1",), "events", "Event"),
        Resource("", ("v1",), "serviceaccounts", "ServiceAccount"),
        Resource("", ("v1",), "persistentvolumeclaims", "PersistentVolumeClaim"),
        Resource("", ("v1",), "persistentvolumes", "PersistentVolume", namespaced=False),
        Resource("apps", ("v1",), "deployments", "Deployment"),
        Resource("apps", ("v1",), "statefulsets", "StatefulSet"),
        Resource("apps", ("v1",), "daemonsets", "DaemonSet"),
        Resource("apps", ("v1",), "replicasets", "ReplicaSet"),
        Resource("batch", ("v1",), "jobs", "Job"),
        Resource("batch", ("v1", "v1beta1"), "cronjobs", "CronJob"),
        Resource("policy", ("v1", "v1beta1"), "poddisruptionbudgets", "PodDisruptionBudget"),
        Resource("autoscaling", ("v2", "v1"), "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
        Resource("networking.k8s.io", ("v1",), "networkpolicies", "NetworkPolicy"),
        Resource("networking.k8s.io", ("v1",), "ingresses", "Ingress"),
        Resource("discovery.k8s.io", ("v1", "v1beta1"), "endpointslices", "EndpointSlice"),
        Resource("networking.k8s.io", ("v1",), "networkpolicies", "NetworkPolicy"),
        Resource("storage.k8s.io", ("v1",), "storageclasses", "StorageClass", namespaced=False),
        Resource(_RBAC, ("v1",), "roles", "Role"),
        Resource(_RBAC, ("v1",), "rolebindings", "RoleBinding"),
        Resource(_RBAC, ("v1",), "clusterroles", "ClusterRole", namespaced=False),
        Resource(_RBAC, ("v1",), "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
        Resource(_ARGO, ("v1alpha1",), "applications", "Application", source="argocd"),
        Resource(_ARGO, ("v1alpha1",), "appprojects", "AppProject", source="argocd"),
        Resource(_OPERATOR, ("v1",), "prometheuses", "Prometheus"),
        Resource(_OPERATOR, ("v1",), "alertmanagers", "Alertmanager"),
        Resource(_OPERATOR, ("v1",), "servicemonitors", "ServiceMonitor"),
        Resource(_OPERATOR, ("v1",), "podmonitors", "PodMonitor"),
        Resource(_OPERATOR, ("v1",), "prometheusrules", "PrometheusRule"),
        Resource(_OPERATOR, ("v1alpha1",), "alertmanagerconfigs", "AlertmanagerConfig"),
    )
}

BY_KIND: dict[tuple[str, str], Resource] = {
    (resource.group, resource.kind): resource for resource in RESOURCES.values()
}
