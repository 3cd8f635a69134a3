"""What a fresh cluster holds before anyone creates anything: namespaces and the roles every cluster has."""

from __future__ import annotations

import random

from lab.api import metadata
from lab.api.errors import Obj
from lab.api.rbac import RBAC
from lab.api.registry import Registry
from lab.api.store import Store

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_VIEWED = (
    ("", ["configmaps", "endpoints", "events", "limitranges", "namespaces", "namespaces/status",
          "persistentvolumeclaims", "persistentvolumeclaims/status", "pods", "pods/log", "pods/status",
          "resourcequotas", "resourcequotas/status", "serviceaccounts", "services", "services/status"]),
    ("apps", ["controllerrevisions", "daemonsets", "daemonsets/status", "deployments", "deployments/scale",
              "deployments/status", "replicasets", "replicasets/scale", "replicasets/status", "statefulsets",
              "statefulsets/scale", "statefulsets/status"]),
    ("autoscaling", ["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
    ("batch", ["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    ("discovery.k8s.io", ["endpointslices"]),
    ("networking.k8s.io", ["ingresses", "ingresses/status", "networkpolicies"]),
    ("policy", ["poddisruptionbudgets", "poddisruptionbudgets/status"]),
)  # fmt: skip
_EDITED = (
    ("", ["configmaps", "events", "persistentvolumeclaims", "pods", "pods/eviction", "secrets", "serviceaccounts",
          "services", "services/proxy"]),
    ("apps", ["daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets",
              "statefulsets/scale"]),
    ("autoscaling", ["horizontalpodautoscalers"]),
    ("batch", ["cronjobs", "jobs"]),
    ("networking.k8s.io", ["ingresses", "networkpolicies"]),
    ("policy", ["poddisruptionbudgets"]),
)  # fmt: skip
_SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": _READ}
_SELF_REVIEWS = [
    {"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
     "verbs": ["create"]},
    {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
]  # fmt: skip
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz",
              "/version", "/version/"]  # fmt: skip
_PUBLIC = ["/healthz", "/livez", "/readyz", "/version", "/version/"]


def _rules(rows: tuple[tuple[str, list[str]], ...], verbs: list[str]) -> list[Obj]:
    return [{"apiGroups": [group], "resources": resources, "verbs": verbs} for group, resources in rows]


def _roles() -> dict[str, list[Obj]]:
    view = _rules(_VIEWED, _READ)
    edit = [*view, *_rules(_EDITED, _WRITE), _SECRETS]
    roles = [{"apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": [*_READ, *_WRITE]}]
    return {
        "cluster-admin": [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ],
        "admin": [*edit, *roles],
        "edit": edit,
        "view": view,
        "system:basic-user": _SELF_REVIEWS,
        "system:discovery": [{"nonResourceURLs": _DISCOVERY, "verbs": ["get"]}],
        "system:public-info-viewer": [{"nonResourceURLs": _PUBLIC, "verbs": ["get"]}],
    }


_BINDINGS = {
    "cluster-admin": ["system:masters"],
    "system:basic-user": ["system:authenticated"],
    "system:discovery": ["system:authenticated"],
    "system:public-info-viewer": ["system:authenticated", "system:unauthenticated"],
}


def _bodies() -> list[Obj]:
    bodies: list[Obj] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES]
    label = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    for name, rules in _roles().items():
        meta = {"name": name, "labels": dict(label)}
        bodies.append({"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules})
    for name, groups in _BINDINGS.items():
        bodies.append(
            {
                "apiVersion": f"{RBAC}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name, "labels": dict(label)},
                "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group} for group in groups],
            }
        )
    return bodies


def load(store: Store, registry: Registry, rng: random.Random, now: str) -> None:
    """Put the bootstrap objects into an empty store."""
    for body in _bodies():
        group = body["apiVersion"].rpartition("/")[0]
        resource = registry.by_kind(group, body["kind"])
        assert resource is not None
        metadata.stamp_new(resource, body["metadata"], now, rng)
        if resource.kind == "Namespace":
            body["metadata"]["labels"] = {"kubernetes.io/metadata.name": body["metadata"]["name"]}
            body |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        store.put(resource.key, body)
