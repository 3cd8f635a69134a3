"""Which kinds a set may hold, in the order in which they are applied, and why others are refused."""

from __future__ import annotations

from integrations.kubernetes.kinds import BY_KIND, RESOURCES, Resource

CLAIMS = "persistentvolumeclaims"
SECRETS = "secrets"
#: what others need comes first; a set is deleted in the opposite order
ORDER: tuple[str, ...] = (
    "serviceaccounts",
    SECRETS,
    "configmaps",
    CLAIMS,
    "services",
    "networkpolicies.networking.k8s.io",
    "poddisruptionbudgets.policy",
    "statefulsets.apps",
    "daemonsets.apps",
    "deployments.apps",
    "horizontalpodautoscalers.autoscaling",
    "jobs.batch",
    "cronjobs.batch",
    "ingresses.networking.k8s.io",
    "servicemonitors.monitoring.coreos.com",
    "podmonitors.monitoring.coreos.com",
    "prometheusrules.monitoring.coreos.com",
    "alertmanagerconfigs.monitoring.coreos.com",
)
#: kinds whose pods a plan waits for
WORKLOADS: dict[str, str] = {
    "deployments.apps": "Deployment",
    "statefulsets.apps": "StatefulSet",
    "daemonsets.apps": "DaemonSet",
}
#: members of a set that the portal finds again: Secrets it may not list
LISTED = tuple(key for key in ORDER if key != SECRETS)

_ALLOWED = {key: RESOURCES[key] for key in ORDER}
_RIGHTS = "it hands out rights, which no plan of objects may do; a cluster admin applies it"
_MADE = "it is made by a controller; write the {} that makes it"
_WHY_NOT = {
    "Namespace": "deleting a set would take away all that is in it; create it with kubectl create namespace",
    "CustomResourceDefinition": "it changes the API for the whole cluster; install it with its operator, through Git",
    "Application": "Argo CD writes its status and operation in the same object; change it in Git or patch it",
    "ApplicationSet": "it makes Applications; change it in Git",
    "AppProject": "it hands out rights in Argo CD; change it in Git",
    "Role": _RIGHTS,
    "RoleBinding": _RIGHTS,
    "ClusterRole": _RIGHTS,
    "ClusterRoleBinding": _RIGHTS,
    "Pod": _MADE.format("Deployment or Job"),
    "ReplicaSet": _MADE.format("Deployment"),
    "EndpointSlice": _MADE.format("Service"),
    "Event": "it only tells what happened",
    "Node": "it is a machine; use cordon, taint or set-label",
    "PersistentVolume": "it is data of the whole cluster; ask for a PersistentVolumeClaim",
    "StorageClass": "it is the whole cluster's; change it in Git",
    "Prometheus": "its chart makes it; change the values in Git",
    "Alertmanager": "its chart makes it; change the values in Git",
    "List": "write its objects as documents, one after the other",
}
_ALL = {known.kind for known in _ALLOWED.values()}


def allowed(api_version: str, kind: str) -> Resource:
    """The resource of a manifest. :raises ValueError: a set may not hold it, and why."""
    group, slash, _ = api_version.rpartition("/")
    found = BY_KIND.get((group if slash else "", kind))
    if found is None or found.key not in _ALLOWED:
        why = _WHY_NOT.get(kind, f"this portal knows {', '.join(sorted(_ALL))}")
        raise ValueError(f"a set cannot hold {kind} of {api_version}: {why}")
    if api_version != found.api_version():
        raise ValueError(f"write {kind} as apiVersion {found.api_version()}, not {api_version}")
    return found
