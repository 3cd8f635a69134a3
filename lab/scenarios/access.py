"""Who may do what besides the cluster's own roles: the demo's viewer, and the portal's two identities."""

from __future__ import annotations

from lab.controllers.client import Object
from lab.scenarios.builder import Builder
from lab.scenarios.cluster import DAY, account, namespace

_GROUP = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]
_CORE = [
    "nodes", "namespaces", "pods", "pods/log", "services", "endpoints", "events", "configmaps", "persistentvolumes",
    "persistentvolumeclaims", "serviceaccounts", "resourcequotas", "limitranges",
]  # fmt: skip


def _rule(groups: list[str], resources: list[str], verbs: list[str], names: list[str] | None = None) -> Object:
    rule: Object = {"apiGroups": groups, "resources": resources, "verbs": verbs}
    return {**rule, "resourceNames": names} if names else rule


OBSERVER = [
    _rule([""], _CORE, _READ),
    _rule(["apps"], ["deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions"], _READ),
    _rule(["batch"], ["jobs", "cronjobs"], _READ),
    _rule(["policy"], ["poddisruptionbudgets"], _READ),
    _rule(["autoscaling"], ["horizontalpodautoscalers"], _READ),
    _rule(["storage.k8s.io"], ["storageclasses", "volumeattachments"], _READ),
    _rule(["discovery.k8s.io", "networking.k8s.io"], ["*"], _READ),
    _rule([_GROUP], ["roles", "rolebindings", "clusterroles", "clusterrolebindings"], _READ),
    _rule(["apiextensions.k8s.io"], ["customresourcedefinitions"], _READ),
    _rule(["argoproj.io"], ["applications", "applicationsets", "appprojects"], _READ),
    _rule(["monitoring.coreos.com", "metallb.io"], ["*"], _READ),
]


#: what the portal's actions on workloads, pods and Jobs need, as deploy/rbac.yaml grants it
WORKLOADS = [
    _rule(["apps"], ["deployments", "statefulsets", "daemonsets"], ["get", "patch"]),
    _rule(["monitoring.coreos.com"], ["prometheuses", "alertmanagers"], ["get", "patch"]),
    _rule([""], ["pods"], ["get", "delete"]),
    _rule([""], ["pods/eviction"], ["create"]),
    _rule(["batch"], ["jobs"], ["get", "create", "delete"]),
    _rule(["batch"], ["cronjobs"], ["get"]),
]

#: … on nodes and on storage, cluster-wide
NODES = [
    _rule([""], ["nodes"], ["get", "patch"]),
    _rule([""], ["pods"], ["get"]),
    _rule([""], ["pods/eviction"], ["create"]),
]
STORAGE = [
    _rule(["storage.k8s.io"], ["storageclasses"], ["get", "patch"]),
    _rule([""], ["persistentvolumeclaims", "persistentvolumes"], ["get", "patch"]),
]
_APPLY = ["get", "patch", "create", "delete"]
#: … on manifest sets, in one namespace
SETS = [
    _rule([""], ["serviceaccounts", "configmaps", "persistentvolumeclaims", "services"], _APPLY),
    _rule(["apps"], ["statefulsets", "daemonsets", "deployments"], _APPLY),
    _rule(["batch"], ["jobs", "cronjobs"], _APPLY),
    _rule(["autoscaling"], ["horizontalpodautoscalers"], _APPLY),
    _rule(["policy"], ["poddisruptionbudgets"], _APPLY),
    _rule(["networking.k8s.io"], ["networkpolicies", "ingresses"], _APPLY),
    _rule(
        ["monitoring.coreos.com"], ["servicemonitors", "podmonitors", "prometheusrules", "alertmanagerconfigs"], _APPLY
    ),
]


#: as deploy/rbac.yaml grants it
GRAFANA = [
    _rule([""], ["secrets"], ["create"]),
    _rule([""], ["secrets"], ["get", "delete"], ["grafana-admin"]),
    _rule([""], ["configmaps", "services"], ["get", "patch", "create"]),
    _rule(
        [""],
        ["configmaps"],
        ["delete"],
        [
            "grafana-standalone-provisioning",
            "grafana-standalone-dashboards",
            "portal-dashboards-dora",
            "portal-datasources",
        ],
    ),
    _rule([""], ["services"], ["delete"], ["grafana-standalone"]),
    _rule(["apps"], ["deployments"], ["get", "patch", "create"]),
    _rule(["apps"], ["deployments"], ["delete"], ["grafana-standalone"]),
    _rule([""], ["persistentvolumeclaims"], ["get", "patch"], ["kube-prometheus-stack-grafana"]),
]


#: as deploy/rbac.yaml grants it, in argocd and for hooks in the monitoring namespace
ARGO = [
    _rule(["argoproj.io"], ["applications"], ["get", "patch"], ["kube-prometheus-stack", "root-app"]),
    _rule(["argoproj.io"], ["applications"], ["delete"], ["kube-prometheus-stack"]),
]
HOOKS = [
    _rule(["batch"], ["jobs"], ["get", "patch", "delete"]),
    _rule([""], ["pods"], ["get", "patch", "delete"]),
]


#: as deploy/rbac.yaml grants it, and what the reading identity may look for
ALERTS = [
    _rule(
        ["monitoring.coreos.com"], ["alertmanagerconfigs", "servicemonitors", "podmonitors", "prometheusrules"], _APPLY
    ),
    _rule(["monitoring.coreos.com"], ["alertmanagers"], ["get", "patch"]),
    _rule([""], ["services/proxy"], ["create", "delete"], ["kube-prometheus-stack-alertmanager:http-web"]),
]
ALERT_SECRETS = [_rule([""], ["secrets"], ["get"], ["portal-alert-hook", "portal-alert-smtp"])]


def _role(kind: str, name: str, rules: list[Object], where: str = "") -> Object:
    meta = {"name": name, **({"namespace": where} if where else {})}
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": meta, "rules": rules}


def _binding(kind: str, name: str, role_kind: str, role: str, subjects: list[Object], where: str = "") -> Object:
    meta = {"name": name, **({"namespace": where} if where else {})}
    reference = {"apiGroup": _GROUP, "kind": role_kind, "name": role}
    return {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": meta, "roleRef": reference, "subjects": subjects}


def load(world: Builder) -> None:
    """The group `viewers`, and ServiceAccounts `portal-observer` and `portal-operator` in namespace `phaseboard`."""
    age, home = 2 * DAY, "phaseboard"
    viewers: list[Object] = [{"apiGroup": _GROUP, "kind": "Group", "name": "viewers"}]
    world.add(_role("ClusterRole", "platform-viewer", OBSERVER), age)
    world.add(_binding("ClusterRoleBinding", "platform-viewers", "ClusterRole", "platform-viewer", viewers), age)
    world.add(namespace(home), age)
    observer: Object = {"kind": "ServiceAccount", "name": "portal-observer", "namespace": home}
    operator: Object = {"kind": "ServiceAccount", "name": "portal-operator", "namespace": home}
    both = [observer, operator]
    for subject in both:
        world.add(account(subject["name"], home), age)
    world.add(_role("ClusterRole", "portal-observer", OBSERVER), age)
    world.add(_binding("ClusterRoleBinding", "portal-observer", "ClusterRole", "portal-observer", both), age)
    monitoring = "platform-monitoring"
    proxy = [_rule([""], ["services/proxy"], ["get"])]
    world.add(_role("Role", "portal-proxy", proxy, monitoring), age)
    world.add(_binding("RoleBinding", "portal-proxy", "Role", "portal-proxy", [*both, *viewers], monitoring), age)
    world.add(_role("Role", "portal-argo-operate", ARGO, "argocd"), age)
    world.add(_binding("RoleBinding", "portal-argo-operate", "Role", "portal-argo-operate", [operator], "argocd"), age)
    world.add(_role("Role", "portal-argo-hooks", HOOKS, monitoring), age)
    world.add(_binding("RoleBinding", "portal-argo-hooks", "Role", "portal-argo-hooks", [operator], monitoring), age)
    world.add(_role("Role", "portal-grafana", GRAFANA, monitoring), age)
    world.add(_binding("RoleBinding", "portal-grafana", "Role", "portal-grafana", [operator], monitoring), age)
    for name, rules, subject in (
        ("portal-alerts", ALERTS, operator),
        ("portal-alert-secrets", ALERT_SECRETS, observer),
    ):
        world.add(_role("Role", name, rules, monitoring), age)
        world.add(_binding("RoleBinding", name, "Role", name, [subject], monitoring), age)
    world.add(_role("ClusterRole", "portal-workloads", WORKLOADS), age)
    bundle = "portal-workloads"
    world.add(_binding("RoleBinding", bundle, "ClusterRole", bundle, [operator], monitoring), age)
    for name, rules in (("portal-nodes", NODES), ("portal-storage", STORAGE)):
        world.add(_role("ClusterRole", name, rules), age)
        world.add(_binding("ClusterRoleBinding", name, "ClusterRole", name, [operator]), age)
    world.add(_role("Role", "portal-sets", SETS, monitoring), age)
    world.add(_binding("RoleBinding", "portal-sets", "Role", "portal-sets", [operator], monitoring), age)
