"""Which resources the API serves: one row per built-in kind, and the kinds that CRDs add at runtime.

Holds no objects. `Resource.key` ("pods", "deployments.apps") is how store, controllers and tests name a resource.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from lab.api.errors import Obj, qualified

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Gvk(NamedTuple):
    """Group, version and kind."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class Custom:
    """What a CRD adds to a resource: schema, columns, scale paths, uid of the CRD."""

    crd_name: str
    schema: Obj | None
    columns: tuple[Obj, ...] = ()
    scale: Obj | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource in one version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    counts_generation: bool = False
    categories: tuple[str, ...] = ()
    singular: str = ""
    verbs: tuple[str, ...] = ALL_VERBS
    list_kind: str = ""
    custom: Custom | None = None
    storage: str = ""  # key of the resource whose objects this one shows in another shape

    @property
    def gvk(self) -> Gvk:
        return Gvk(self.group, self.version, self.kind)

    @property
    def api_version(self) -> str:
        return self.gvk.api_version

    @property
    def key(self) -> str:
        return qualified(self.plural, self.group)

    @property
    def store_key(self) -> str:
        return self.storage or self.key

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources


_POD_FIELDS = (
    "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
    "status.phase", "status.podIP", "status.nominatedNodeName",
)  # fmt: skip
_EVENT_FIELDS = (
    "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
    "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
    "reportingComponent", "source", "type",
)  # fmt: skip
_EVENTS_VIEW_FIELDS = (
    "reason", "regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "reportingController", "type",
)  # fmt: skip

_ALL = ("all",)
_SCALED = ("status", "scale")


def _r(
    group_version: str, plural: str, kind: str, short: str = "", *, ns: bool = True, subs: tuple[str, ...] = (),
    gen: bool = False, fields: tuple[str, ...] = (), categories: tuple[str, ...] = (), storage: str = "",
) -> Resource:  # fmt: skip
    group, _, version = group_version.rpartition("/")
    return Resource(
        group=group, version=version, plural=plural, kind=kind, namespaced=ns, short_names=tuple(short.split()),
        subresources=subs, fields=fields, counts_generation=gen, categories=categories, singular=kind.lower(),
        list_kind=f"{kind}List", storage=storage,
    )  # fmt: skip


BUILT_IN: tuple[Resource, ...] = (
    _r("v1", "namespaces", "Namespace", "ns", ns=False, subs=("status", "finalize"), fields=("status.phase",)),
    _r("v1", "nodes", "Node", "no", ns=False, subs=("status",), fields=("spec.unschedulable",)),
    _r("v1", "pods", "Pod", "po", subs=("status", "log", "eviction", "binding"), fields=_POD_FIELDS, categories=_ALL),
    _r("v1", "services", "Service", "svc", subs=("status", "proxy"), categories=_ALL,
       fields=("spec.clusterIP", "spec.type")),
    _r("v1", "configmaps", "ConfigMap", "cm"),
    _r("v1", "secrets", "Secret", fields=("type",)),
    _r("v1", "events", "Event", "ev", fields=_EVENT_FIELDS),
    _r("v1", "endpoints", "Endpoints", "ep"),
    _r("v1", "persistentvolumeclaims", "PersistentVolumeClaim", "pvc", subs=("status",)),
    _r("v1", "persistentvolumes", "PersistentVolume", "pv", ns=False, subs=("status",)),
    _r("v1", "serviceaccounts", "ServiceAccount", "sa", subs=("token",)),
    _r("v1", "resourcequotas", "ResourceQuota", "quota", subs=("status",)),
    _r("v1", "limitranges", "LimitRange", "limits"),
    _r("apps/v1", "deployments", "Deployment", "deploy", subs=_SCALED, gen=True, categories=_ALL),
    _r("apps/v1", "replicasets", "ReplicaSet", "rs", subs=_SCALED, gen=True, categories=_ALL,
       fields=("status.replicas",)),
    _r("apps/v1", "statefulsets", "StatefulSet", "sts", subs=_SCALED, gen=True, categories=_ALL),
    _r("apps/v1", "daemonsets", "DaemonSet", "ds", subs=("status",), gen=True, categories=_ALL),
    _r("apps/v1", "controllerrevisions", "ControllerRevision"),
    _r("batch/v1", "jobs", "Job", subs=("status",), gen=True, fields=("status.successful",), categories=_ALL),
    _r("batch/v1", "cronjobs", "CronJob", "cj", subs=("status",), gen=True, categories=_ALL),
    _r("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", subs=("status",),
       categories=_ALL),
    _r("autoscaling/v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", subs=("status",),
       categories=_ALL, storage="horizontalpodautoscalers.autoscaling"),
    _r("networking.k8s.io/v1", "ingresses", "Ingress", "ing", subs=("status",), gen=True),
    _r("networking.k8s.io/v1", "ingressclasses", "IngressClass", ns=False, gen=True),
    _r("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", "netpol", gen=True),
    _r("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", subs=("status",), gen=True),
    _r("rbac.authorization.k8s.io/v1", "roles", "Role"),
    _r("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding"),
    _r("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", ns=False),
    _r("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", ns=False),
    _r("storage.k8s.io/v1", "storageclasses", "StorageClass", "sc", ns=False),
    _r("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", "pc", ns=False, gen=True),
    _r("coordination.k8s.io/v1", "leases", "Lease"),
    _r("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", gen=True),
    _r("events.k8s.io/v1", "events", "Event", "ev", fields=_EVENTS_VIEW_FIELDS, storage="events"),
    _r("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", "crd crds", ns=False,
       subs=("status",), gen=True),
)  # fmt: skip

# Review kinds are answered, never stored.
REVIEWS: dict[tuple[str, str], tuple[str, bool]] = {
    ("authorization.k8s.io", "selfsubjectaccessreviews"): ("SelfSubjectAccessReview", False),
    ("authorization.k8s.io", "selfsubjectrulesreviews"): ("SelfSubjectRulesReview", False),
    ("authorization.k8s.io", "subjectaccessreviews"): ("SubjectAccessReview", False),
    ("authorization.k8s.io", "localsubjectaccessreviews"): ("LocalSubjectAccessReview", True),
    ("authentication.k8s.io", "selfsubjectreviews"): ("SelfSubjectReview", False),
    ("authentication.k8s.io", "tokenreviews"): ("TokenReview", False),
}


@dataclass(slots=True)
class Registry:
    """All served resources. CRD versions are added and removed while the server runs."""

    _by_path: dict[tuple[str, str, str], Resource] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for resource in BUILT_IN:
            self.add(resource)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_path.values())

    def add(self, resource: Resource) -> None:
        self._by_path[(resource.group, resource.version, resource.plural)] = resource

    def remove_crd(self, crd_name: str) -> None:
        for path, resource in list(self._by_path.items()):
            if resource.custom and resource.custom.crd_name == crd_name:
                del self._by_path[path]

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_path.get((group, version, plural))

    def by_key(self, key: str) -> Resource | None:
        """The resource stored under `key`, in its first served version; views are not found by it."""
        return next((each for each in self if each.key == key and not each.storage), None)

    def by_kind(self, group: str, kind: str) -> Resource | None:
        return next((each for each in self if each.group == group and each.kind == kind and not each.storage), None)

    def stored(self) -> list[Resource]:
        """One resource per key of the store."""
        seen: dict[str, Resource] = {}
        for resource in self:
            if not resource.storage:
                seen.setdefault(resource.key, resource)
        return list(seen.values())

    def group_versions(self) -> dict[str, list[str]]:
        """Group → its versions, core excluded, in the order of first registration."""
        found: dict[str, list[str]] = {}
        for resource in self:
            if resource.group:
                versions = found.setdefault(resource.group, [])
                if resource.version not in versions:
                    versions.append(resource.version)
        for group, _plural in REVIEWS:
            found.setdefault(group, ["v1"])
        return found
