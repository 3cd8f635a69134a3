"""The few fields of Kubernetes objects that Phaseboard reads, as msgspec structs.

Decoding only these out of a list or watch is what makes reading cheap (facts: 19 times cheaper than any dict decoder);
a field is added here when a check, a diagnosis or a plan needs it. Every field has a default: a server that leaves one
out must not break reading. Structs are frozen and untracked by the garbage collector: they hold no cycles.

Source of the fields: the Kubernetes API reference 1.30, Argo CD's ``application-crd.yaml`` and prometheus-operator's
API reference.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class _Part(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A piece of an object; unknown fields are ignored."""


class OwnerReference(_Part, frozen=True):
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Meta(_Part, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []


class KubeObject(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Any object: what every check may ask of it."""

    metadata: Meta = Meta()


class Condition(_Part, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class Taint(_Part, frozen=True):
    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(_Part, frozen=True):
    taints: list[Taint] = []
    unschedulable: bool = False


class NodeInfo(_Part, frozen=True):
    kubelet_version: str = ""


class NodeStatus(_Part, frozen=True):
    conditions: list[Condition] = []
    node_info: NodeInfo = NodeInfo()
    capacity: dict[str, str] = {}
    allocatable: dict[str, str] = {}


class Node(KubeObject, frozen=True):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Terminated(_Part, frozen=True):
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Waiting(_Part, frozen=True):
    reason: str = ""
    message: str = ""


class Running(_Part, frozen=True):
    started_at: datetime | None = None


class ContainerState(_Part, frozen=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Part, frozen=True):
    name: str = ""
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class ContainerPort(_Part, frozen=True):
    name: str = ""
    container_port: int = 0


class EnvVar(_Part, frozen=True):
    name: str = ""
    value: str = ""


class Probe(_Part, frozen=True):
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3


class ResourceAmounts(_Part, frozen=True):
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}


class Container(_Part, frozen=True):
    name: str = ""
    image: str = ""
    args: list[str] = []
    ports: list[ContainerPort] = []
    env: list[EnvVar] = []
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    resources: ResourceAmounts = ResourceAmounts()


class ClaimSource(_Part, frozen=True):
    claim_name: str = ""


class Volume(_Part, frozen=True):
    name: str = ""
    persistent_volume_claim: ClaimSource | None = None


class PodSpec(_Part, frozen=True):
    node_name: str = ""
    service_account_name: str = ""
    containers: list[Container] = []
    init_containers: list[Container] = []
    volumes: list[Volume] = []
    #: kept raw: only placement reads it, and only in part
    affinity: Any = None
    tolerations: Any = None


class PodStatus(_Part, frozen=True):
    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    start_time: datetime | None = None
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []
    init_container_statuses: list[ContainerStatus] = []


class Pod(KubeObject, frozen=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class LabelSelector(_Part, frozen=True):
    match_labels: dict[str, str] = {}


class PodTemplate(_Part, frozen=True):
    metadata: Meta = Meta()
    spec: PodSpec = PodSpec()


class Strategy(_Part, frozen=True):
    type: str = ""


class WorkloadSpec(_Part, frozen=True):
    replicas: int | None = None
    paused: bool = False
    selector: LabelSelector = LabelSelector()
    template: PodTemplate = PodTemplate()
    strategy: Strategy = Strategy()


class WorkloadStatus(_Part, frozen=True):
    """Deployment, StatefulSet, ReplicaSet and DaemonSet status in one: each fills its own fields."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    desired_number_scheduled: int = 0
    number_ready: int = 0
    number_available: int = 0
    updated_number_scheduled: int = 0
    conditions: list[Condition] = []


class Workload(KubeObject, frozen=True):
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


class ServicePort(_Part, frozen=True):
    name: str = ""
    port: int = 0
    target_port: int | str = 0
    protocol: str = "TCP"


class ServiceSpec(_Part, frozen=True):
    type: str = ""
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    load_balancer_ip: str = msgspec.field(name="loadBalancerIP", default="")
    selector: dict[str, str] = {}
    ports: list[ServicePort] = []


class Ingress(_Part, frozen=True):
    ip: str = ""
    hostname: str = ""


class LoadBalancer(_Part, frozen=True):
    ingress: list[Ingress] = []


class ServiceStatus(_Part, frozen=True):
    load_balancer: LoadBalancer = LoadBalancer()


class Service(KubeObject, frozen=True):
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class EndpointConditions(_Part, frozen=True):
    ready: bool | None = None


class ObjectReference(_Part, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    field_path: str = ""


class Endpoint(_Part, frozen=True):
    addresses: list[str] = []
    conditions: EndpointConditions = EndpointConditions()
    node_name: str = ""
    target_ref: ObjectReference | None = None


class EndpointPort(_Part, frozen=True):
    name: str = ""
    port: int = 0


class EndpointSlice(KubeObject, frozen=True):
    endpoints: list[Endpoint] = []
    ports: list[EndpointPort] | None = None


class ClaimSpec(_Part, frozen=True):
    access_modes: list[str] = []
    storage_class_name: str | None = None
    resources: ResourceAmounts = ResourceAmounts()
    volume_name: str = ""


class ClaimStatus(_Part, frozen=True):
    phase: str = ""
    capacity: dict[str, str] = {}


class Claim(KubeObject, frozen=True):
    """A PersistentVolumeClaim."""

    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class StorageClass(KubeObject, frozen=True):
    provisioner: str = ""
    volume_binding_mode: str = ""
    allow_volume_expansion: bool = False


class ConfigMap(KubeObject, frozen=True):
    data: dict[str, str] = {}


class Event(KubeObject, frozen=True):
    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int | None = None
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None


class HelmSource(_Part, frozen=True):
    release_name: str = ""
    values: str = ""
    values_object: Any = None
    parameters: Any = None


class AppSource(_Part, frozen=True):
    repo_url: str = msgspec.field(name="repoURL", default="")
    path: str = ""
    chart: str = ""
    target_revision: str = ""
    helm: HelmSource | None = None


class Automated(_Part, frozen=True):
    prune: bool = False
    self_heal: bool = False
    enabled: bool | None = None


class Backoff(_Part, frozen=True):
    duration: str = ""
    factor: int | None = None
    max_duration: str = ""


class Retry(_Part, frozen=True):
    limit: int | None = None
    backoff: Backoff | None = None


class SyncPolicy(_Part, frozen=True):
    automated: Automated | None = None
    sync_options: list[str] = []
    retry: Retry | None = None


class Destination(_Part, frozen=True):
    server: str = ""
    name: str = ""
    namespace: str = ""


class AppSpec(_Part, frozen=True):
    project: str = ""
    source: AppSource | None = None
    sources: list[AppSource] | None = None
    destination: Destination = Destination()
    sync_policy: SyncPolicy = SyncPolicy()


class SyncStatus(_Part, frozen=True):
    status: str = ""
    revision: str = ""


class HealthStatus(_Part, frozen=True):
    status: str = ""
    message: str = ""


class AppResource(_Part, frozen=True):
    group: str = ""
    version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    status: str = ""
    health: HealthStatus | None = None
    requires_pruning: bool = False
    hook: bool = False


class SyncResultResource(_Part, frozen=True):
    group: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    status: str = ""
    message: str = ""
    hook_type: str = ""
    hook_phase: str = ""


class SyncResult(_Part, frozen=True):
    revision: str = ""
    resources: list[SyncResultResource] | None = None


class OperationState(_Part, frozen=True):
    phase: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    retry_count: int = 0
    sync_result: SyncResult | None = None
    operation: Any = None


class AppCondition(_Part, frozen=True):
    type: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class HistoryEntry(_Part, frozen=True):
    id: int = 0
    revision: str = ""
    deployed_at: datetime | None = None
    deploy_started_at: datetime | None = None


class AppStatus(_Part, frozen=True):
    sync: SyncStatus = SyncStatus()
    health: HealthStatus = HealthStatus()
    operation_state: OperationState | None = None
    conditions: list[AppCondition] = []
    resources: list[AppResource] = []
    history: list[HistoryEntry] = []
    reconciled_at: datetime | None = None


class Application(KubeObject, frozen=True):
    spec: AppSpec = AppSpec()
    operation: Any = None
    status: AppStatus = AppStatus()


class SyncWindow(_Part, frozen=True):
    kind: str = ""
    schedule: str = ""
    duration: str = ""
    applications: list[str] = []
    manual_sync: bool = False


class AppProjectSpec(_Part, frozen=True):
    sync_windows: list[SyncWindow] = []


class AppProject(KubeObject, frozen=True):
    spec: AppProjectSpec = AppProjectSpec()


class OperatorSpec(_Part, frozen=True):
    """Prometheus and Alertmanager custom resources: what the report's claims are about."""

    replicas: int | None = None
    version: str = ""
    retention: str = ""
    scrape_interval: str = ""
    evaluation_interval: str = ""
    storage: Any = None
    affinity: Any = None
    config_secret: str = ""
    service_monitor_selector: Any = None
    rule_selector: Any = None
    alertmanager_config_selector: Any = None


class OperatorObject(KubeObject, frozen=True):
    spec: OperatorSpec = OperatorSpec()


class JobStatus(_Part, frozen=True):
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    conditions: list[Condition] = []


class Job(KubeObject, frozen=True):
    status: JobStatus = JobStatus()


#: what a list or watch of a resource is decoded into; everything else is decoded as KubeObject (metadata only)
TYPES: dict[str, type[KubeObject]] = {
    "nodes": Node,
    "pods": Pod,
    "deployments.apps": Workload,
    "statefulsets.apps": Workload,
    "daemonsets.apps": Workload,
    "replicasets.apps": Workload,
    "services": Service,
    "endpointslices.discovery.k8s.io": EndpointSlice,
    "persistentvolumeclaims": Claim,
    "storageclasses.storage.k8s.io": StorageClass,
    "configmaps": ConfigMap,
    "events": Event,
    "jobs.batch": Job,
    "applications.argoproj.io": Application,
    "appprojects.argoproj.io": AppProject,
    "prometheuses.monitoring.coreos.com": OperatorObject,
    "alertmanagers.monitoring.coreos.com": OperatorObject,
}


def type_of(resource_key: str) -> type[KubeObject]:
    """The struct that objects of this resource are decoded into."""
    return TYPES.get(resource_key, KubeObject)
