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

from integrations.kubernetes.custom import Application, AppProject, OperatorObject
from integrations.kubernetes.jobs import Autoscaler, Budget, CronJob, Job
from integrations.kubernetes.parts import Condition, KubeObject, LabelSelector, Meta, ObjectReference, Part


class Taint(Part, frozen=True):
    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Part, frozen=True):
    taints: list[Taint] = []
    unschedulable: bool = False


class NodeInfo(Part, frozen=True):
    kubelet_version: str = ""


class NodeStatus(Part, frozen=True):
    conditions: list[Condition] = []
    node_info: NodeInfo = NodeInfo()
    capacity: dict[str, str] = {}
    allocatable: dict[str, str] = {}


class Node(KubeObject, frozen=True):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Terminated(Part, frozen=True):
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Waiting(Part, frozen=True):
    reason: str = ""
    message: str = ""


class Running(Part, frozen=True):
    started_at: datetime | None = None


class ContainerState(Part, frozen=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Part, frozen=True):
    name: str = ""
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class ContainerPort(Part, frozen=True):
    name: str = ""
    container_port: int = 0


class EnvVar(Part, frozen=True):
    name: str = ""
    value: str = ""


class ProbeTarget(Part, frozen=True):
    path: str = ""
    port: int | str = 0


class Probe(Part, frozen=True):
    http_get: ProbeTarget | None = None
    tcp_socket: ProbeTarget | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3


class ResourceAmounts(Part, frozen=True):
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}


class Container(Part, frozen=True):
    name: str = ""
    image: str = ""
    args: list[str] = []
    ports: list[ContainerPort] = []
    env: list[EnvVar] = []
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    resources: ResourceAmounts = ResourceAmounts()


class ClaimSource(Part, frozen=True):
    claim_name: str = ""


class EmptyDir(Part, frozen=True):
    medium: str = ""


class Volume(Part, frozen=True):
    name: str = ""
    persistent_volume_claim: ClaimSource | None = None
    empty_dir: EmptyDir | None = None


class SchedulingGate(Part, frozen=True):
    name: str = ""


class PodSpec(Part, frozen=True):
    node_name: str = ""
    node_selector: dict[str, str] = {}
    service_account_name: str = ""
    termination_grace_period_seconds: int | None = None
    containers: list[Container] = []
    init_containers: list[Container] = []
    volumes: list[Volume] = []
    #: kept raw: only placement reads it, and only in part
    affinity: Any = None
    tolerations: Any = None
    scheduling_gates: list[SchedulingGate] = []


class PodStatus(Part, frozen=True):
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


class PodTemplate(Part, frozen=True):
    metadata: Meta = Meta()
    spec: PodSpec = PodSpec()


class RollingUpdate(Part, frozen=True):
    #: a number, or a percentage as text
    max_unavailable: int | str | None = None
    max_surge: int | str | None = None
    #: of a StatefulSet: pods of a lower ordinal keep the old template
    partition: int | None = None


class Strategy(Part, frozen=True):
    type: str = ""
    rolling_update: RollingUpdate | None = None


class WorkloadSpec(Part, frozen=True):
    replicas: int | None = None
    paused: bool = False
    selector: LabelSelector = LabelSelector()
    template: PodTemplate = PodTemplate()
    #: a Deployment's
    strategy: Strategy = Strategy()
    #: a StatefulSet's or DaemonSet's
    update_strategy: Strategy = Strategy()
    #: a StatefulSet's: what its claims are made of, by name
    volume_claim_templates: list[KubeObject] = []


class WorkloadStatus(Part, frozen=True):
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
    #: a StatefulSet's
    current_revision: str = ""
    update_revision: str = ""
    conditions: list[Condition] = []


class Workload(KubeObject, frozen=True):
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


class ServicePort(Part, frozen=True):
    name: str = ""
    port: int = 0
    target_port: int | str = 0
    protocol: str = "TCP"


class ServiceSpec(Part, frozen=True):
    type: str = ""
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    load_balancer_ip: str = msgspec.field(name="loadBalancerIP", default="")
    selector: dict[str, str] = {}
    ports: list[ServicePort] = []


class Ingress(Part, frozen=True):
    ip: str = ""
    hostname: str = ""


class LoadBalancer(Part, frozen=True):
    ingress: list[Ingress] = []


class ServiceStatus(Part, frozen=True):
    load_balancer: LoadBalancer = LoadBalancer()


class Service(KubeObject, frozen=True):
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class EndpointConditions(Part, frozen=True):
    ready: bool | None = None


class Endpoint(Part, frozen=True):
    addresses: list[str] = []
    conditions: EndpointConditions = EndpointConditions()
    node_name: str = ""
    target_ref: ObjectReference | None = None


class EndpointPort(Part, frozen=True):
    name: str = ""
    port: int = 0


class EndpointSlice(KubeObject, frozen=True):
    endpoints: list[Endpoint] = []
    ports: list[EndpointPort] | None = None


class ClaimSpec(Part, frozen=True):
    access_modes: list[str] = []
    storage_class_name: str | None = None
    resources: ResourceAmounts = ResourceAmounts()
    volume_name: str = ""


class ClaimStatus(Part, frozen=True):
    phase: str = ""
    capacity: dict[str, str] = {}
    #: Resizing, FileSystemResizePending, ControllerResizeError, NodeResizeError
    conditions: list[Condition] = []
    #: by resource name, like ControllerResizeInfeasible (Kubernetes 1.31)
    allocated_resource_statuses: dict[str, str] = {}


class Claim(KubeObject, frozen=True):
    """A PersistentVolumeClaim."""

    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class PersistentVolumeSpec(Part, frozen=True):
    claim_ref: ObjectReference | None = None
    #: kept raw, like a pod's: the nodes it can be mounted on
    node_affinity: Any = None


class PersistentVolume(KubeObject, frozen=True):
    spec: PersistentVolumeSpec = PersistentVolumeSpec()


class StorageClass(KubeObject, frozen=True):
    provisioner: str = ""
    volume_binding_mode: str = ""
    allow_volume_expansion: bool = False


class ConfigMap(KubeObject, frozen=True):
    data: dict[str, str] = {}


class NetworkPolicySpec(Part, frozen=True):
    pod_selector: LabelSelector = LabelSelector()
    #: ``Ingress``, ``Egress``: which way it limits
    policy_types: list[str] = []


class NetworkPolicy(KubeObject, frozen=True):
    spec: NetworkPolicySpec = NetworkPolicySpec()


class Event(KubeObject, frozen=True):
    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int | None = None
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None


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
    "persistentvolumes": PersistentVolume,
    "storageclasses.storage.k8s.io": StorageClass,
    "configmaps": ConfigMap,
    "events": Event,
    "networkpolicies.networking.k8s.io": NetworkPolicy,
    "jobs.batch": Job,
    "cronjobs.batch": CronJob,
    "poddisruptionbudgets.policy": Budget,
    "horizontalpodautoscalers.autoscaling": Autoscaler,
    "applications.argoproj.io": Application,
    "appprojects.argoproj.io": AppProject,
    "prometheuses.monitoring.coreos.com": OperatorObject,
    "alertmanagers.monitoring.coreos.com": OperatorObject,
}


def type_of(resource_key: str) -> type[KubeObject]:
    """The struct that objects of this resource are decoded into."""
    return TYPES.get(resource_key, KubeObject)
