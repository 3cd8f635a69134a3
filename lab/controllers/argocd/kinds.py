"""Kinds that Applications deploy: their resource keys, scopes and the order in which Argo CD applies them. Pure."""

from __future__ import annotations

from lab.controllers import meta
from lab.controllers.client import Object

TRACKING = "argocd.argoproj.io/tracking-id"
MANAGER = "argocd-controller"
_RBAC = "rbac.authorization.k8s.io"
_MONITORING = "monitoring.coreos.com"

# (group, kind) -> resource key
RESOURCES: dict[tuple[str, str], str] = {
    ("", "Namespace"): "namespaces",
    ("", "ResourceQuota"): "resourcequotas",
    ("", "ServiceAccount"): "serviceaccounts",
    ("", "Secret"): "secrets",
    ("", "ConfigMap"): "configmaps",
    ("", "Service"): "services",
    ("", "PersistentVolumeClaim"): "persistentvolumeclaims",
    ("networking.k8s.io", "NetworkPolicy"): "networkpolicies.networking.k8s.io",
    ("storage.k8s.io", "StorageClass"): "storageclasses.storage.k8s.io",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "customresourcedefinitions.apiextensions.k8s.io",
    (_RBAC, "ClusterRole"): f"clusterroles.{_RBAC}",
    (_RBAC, "ClusterRoleBinding"): f"clusterrolebindings.{_RBAC}",
    (_RBAC, "Role"): f"roles.{_RBAC}",
    (_RBAC, "RoleBinding"): f"rolebindings.{_RBAC}",
    ("apps", "Deployment"): "deployments.apps",
    ("apps", "StatefulSet"): "statefulsets.apps",
    ("apps", "DaemonSet"): "daemonsets.apps",
    ("", "Pod"): "pods",
    ("batch", "Job"): "jobs.batch",
    ("batch", "CronJob"): "cronjobs.batch",
    ("policy", "PodDisruptionBudget"): "poddisruptionbudgets.policy",
    ("autoscaling", "HorizontalPodAutoscaler"): "horizontalpodautoscalers.autoscaling",
    ("argoproj.io", "Application"): "applications.argoproj.io",
    (_MONITORING, "Prometheus"): f"prometheuses.{_MONITORING}",
    (_MONITORING, "Alertmanager"): f"alertmanagers.{_MONITORING}",
    (_MONITORING, "ServiceMonitor"): f"servicemonitors.{_MONITORING}",
    (_MONITORING, "PrometheusRule"): f"prometheusrules.{_MONITORING}",
    (_MONITORING, "AlertmanagerConfig"): f"alertmanagerconfigs.{_MONITORING}",
}
CLUSTER_SCOPED = {
    "Namespace",
    "StorageClass",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "PersistentVolume",
}
_ORDER = [
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicaSet",
    "Deployment",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "Job",
    "CronJob",
]


def resource_key(obj: Object) -> str | None:
    """The cache's resource key of an object's kind, or None when Applications of the lab do not deploy it."""
    return RESOURCES.get((meta.group_of(obj), str(obj["kind"])))


def apply_order(obj: Object) -> tuple[int, int, str]:
    """Sync wave, then kind, then name."""
    wave = meta.notes(obj).get("argocd.argoproj.io/sync-wave", "0")
    number = int(wave) if wave.lstrip("-").isdigit() else 0
    kind = str(obj["kind"])
    return number, _ORDER.index(kind) if kind in _ORDER else len(_ORDER), str(obj["metadata"]["name"])


def prepared(manifests: list[Object], app: str, namespace: str) -> list[Object]:
    """Manifests as Argo CD applies them: with a namespace and the tracking annotation."""
    found = []
    for manifest in manifests:
        source = manifest["metadata"]
        where = source.get("namespace") or namespace
        group, kind, name = meta.group_of(manifest), manifest["kind"], source["name"]
        annotations = {**(source.get("annotations") or {}), TRACKING: f"{app}:{group}/{kind}:{where}/{name}"}
        changed = {**source, "annotations": annotations}
        if kind in CLUSTER_SCOPED:
            changed.pop("namespace", None)
        else:
            changed["namespace"] = where
        found.append({**manifest, "metadata": changed})
    return found


def tracked_by(obj: Object) -> str:
    """The Application that an object belongs to by its annotation, or an empty text."""
    return meta.notes(obj).get(TRACKING, "").partition(":")[0]


def identity(obj: Object) -> tuple[str, str, str, str]:
    namespace, name = meta.key_of(obj)
    return meta.group_of(obj), str(obj["kind"]), namespace, name
