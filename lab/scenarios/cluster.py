"""The team's cluster below its applications: nodes, system pods, network, storage. Facts of the report's hour."""

from __future__ import annotations

from dataclasses import dataclass

from lab.controllers.client import Object
from lab.scenarios.builder import Builder

DAY = 24 * 60.0
CLUSTER_AGE, PLATFORM_AGE = 41 * DAY, 12 * DAY
NFS_PROVISIONER = "cluster.local/nfs-client-nfs-subdir-external-provisioner"
VERSION = "v1.30.10"


@dataclass(frozen=True)
class Machine:
    name: str
    address: str
    pods: str
    cores: int
    memory_gi: int
    taints: tuple[tuple[str, str], ...] = ()

    @property
    def master(self) -> bool:
        return self.name.startswith("master")


MACHINES = [
    Machine(f"master0{n}", f"10.1.5.17{n}", f"10.244.{n}.0/24", 4, 8, (("node-role.kubernetes.io/control-plane", ""),))
    for n in (1, 2, 3)
]
MACHINES += [Machine(f"worker0{n}", f"10.1.5.17{3 + n}", f"10.244.{3 + n}.0/24", 8, 32) for n in (1, 2, 3)]
MACHINES += [Machine("worker04", "10.1.6.24", "10.244.7.0/24", 4, 16, (("storage", "hdd"), ("metallb", "disabled")))]


def node(machine: Machine, at: str) -> Object:
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": machine.name,
        "kubernetes.io/os": "linux",
    }
    role = "control-plane" if machine.master else "worker"
    labels[f"node-role.kubernetes.io/{role}"] = ""
    if machine.master:
        labels["node.kubernetes.io/exclude-from-external-load-balancers"] = ""
    spec: Object = {"podCIDR": machine.pods, "podCIDRs": [machine.pods]}
    if machine.taints:
        spec["taints"] = [_taint(key, value) for key, value in machine.taints]
    capacity = {
        "cpu": str(machine.cores),
        "ephemeral-storage": "102626232Ki",
        "hugepages-2Mi": "0",
        "memory": f"{machine.memory_gi * 2**20}Ki",
        "pods": "110",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": machine.name, "labels": labels, "annotations": {"node.alpha.kubernetes.io/ttl": "0"}},
        "spec": spec,
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": machine.address},
                {"type": "Hostname", "address": machine.name},
            ],
            "allocatable": dict(capacity),
            "capacity": capacity,
            "conditions": _node_conditions(at),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": "",
                "containerRuntimeVersion": "containerd://1.7.27",
                "kernelVersion": "5.15.0-139-generic",
                "kubeProxyVersion": VERSION,
                "kubeletVersion": VERSION,
                "machineID": "",
                "operatingSystem": "linux",
                "osImage": "Ubuntu 22.04.5 LTS",
                "systemUUID": "",
            },
        },
    }


def _taint(key: str, value: str) -> Object:
    return {"key": key, "effect": "NoSchedule", **({"value": value} if value else {})}


def _node_conditions(at: str) -> list[Object]:
    calm = [
        ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ]
    found = [{"type": kind, "status": "False", "reason": reason, "message": message} for kind, reason, message in calm]
    found.append(
        {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    )
    return [{**entry, "lastHeartbeatTime": at, "lastTransitionTime": at} for entry in found]


def namespace(name: str, labels: dict[str, str] | None = None) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, **(labels or {})}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def account(name: str, where: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": where}}


def container(name: str, image: str, **fields: object) -> Object:
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", **fields}


def workload(kind: str, name: str, where: str, labels: dict[str, str], pod: Object, **spec: object) -> Object:
    """A Deployment, DaemonSet or StatefulSet whose selector is its labels."""
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": where, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **spec,
        },
    }


def service(
    name: str, where: str, selector: dict[str, str], ports: list[tuple[str, int, object]], **spec: object
) -> Object:
    labels = dict(selector)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": where, "labels": labels},
        "spec": {
            "type": "ClusterIP",
            "selector": selector,
            "ports": [
                {"name": port_name, "port": port, "targetPort": target, "protocol": "TCP"}
                for port_name, port, target in ports
            ],
            **spec,
        },
    }


def monitor(name: str, where: str, selector: dict[str, str], port: str) -> Object:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {"name": name, "namespace": where, "labels": {"app": name}},
        "spec": {"selector": {"matchLabels": selector}, "endpoints": [{"port": port}]},
    }


def load(world: Builder) -> None:
    """Nodes, system namespaces and workloads, network, storage, load balancer."""
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        world.add(namespace(name), CLUSTER_AGE, "kube-apiserver")
    for machine in MACHINES:
        at = world.time(CLUSTER_AGE)
        world.add(node(machine, at), CLUSTER_AGE, "kubelet")
    _kubernetes_service(world)
    _system(world)
    _network(world)
    _storage(world)
    _load_balancer(world)


def _kubernetes_service(world: Builder) -> None:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    meta = {"name": "kubernetes", "namespace": "default", "labels": labels}
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]
    spec: Object = {"type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": ports}
    body: Object = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
    world.add(body, CLUSTER_AGE, "kube-apiserver")
    masters = [machine.address for machine in MACHINES if machine.master]
    subset = {
        "addresses": [{"ip": address} for address in masters],
        "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
    }
    endpoints: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": dict(meta), "subsets": [subset]}
    world.add(endpoints, CLUSTER_AGE, "kube-apiserver")
    world.add(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in masters],
            "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
        },
        CLUSTER_AGE,
        "kube-apiserver",
    )


def _system(world: Builder) -> None:
    where = "kube-system"
    for program, port in (("kube-apiserver", 6443), ("kube-controller-manager", 10257), ("kube-scheduler", 10259)):
        for machine in (m for m in MACHINES if m.master):
            world.add(_static_pod(program, port, machine), CLUSTER_AGE, "kubelet")
    dns = {"k8s-app": "kube-dns"}
    coredns = container(
        "coredns",
        "registry.k8s.io/coredns/coredns:v1.11.3",
        ports=[
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
        ],
        readinessProbe={"httpGet": {"path": "/ready", "port": 8181}},
        resources={"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}},
    )
    tolerations = [{"key": "CriticalAddonsOnly", "operator": "Exists"}]
    pod = {"serviceAccountName": "coredns", "containers": [coredns], "tolerations": tolerations}
    world.add(account("coredns", where), CLUSTER_AGE)
    world.add(workload("Deployment", "coredns", where, dns, pod, replicas=2), CLUSTER_AGE)
    world.add(
        service("kube-dns", where, dns, [("dns-tcp", 53, 53), ("metrics", 9153, 9153)], clusterIP="10.96.0.10"),
        CLUSTER_AGE,
    )
    proxy = container("kube-proxy", f"registry.k8s.io/kube-proxy:{VERSION}")
    daemon: Object = {
        "serviceAccountName": "kube-proxy",
        "hostNetwork": True,
        "containers": [proxy],
        "tolerations": [{"operator": "Exists"}],
    }
    world.add(account("kube-proxy", where), CLUSTER_AGE)
    world.add(workload("DaemonSet", "kube-proxy", where, {"k8s-app": "kube-proxy"}, daemon), CLUSTER_AGE)


def _static_pod(program: str, port: int, machine: Machine) -> Object:
    labels = {"component": program, "tier": "control-plane"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{program}-{machine.name}",
            "namespace": "kube-system",
            "labels": labels,
            "annotations": {"kubernetes.io/config.mirror": f"{program}-{machine.name}"},
        },
        "spec": {
            "nodeName": machine.name,
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
            "containers": [
                container(
                    program,
                    f"registry.k8s.io/{program}:{VERSION}",
                    command=[program],
                    resources={"requests": {"cpu": "200m"}},
                    ports=[{"name": "https", "containerPort": port, "protocol": "TCP"}],
                )
            ],
        },
    }


def _network(world: Builder) -> None:
    where = "kube-system"
    labels = {"k8s-app": "calico-node"}
    calico = container(
        "calico-node", "docker.io/calico/node:v3.28.2", ports=[{"name": "metrics", "containerPort": 9091}]
    )
    pod = {
        "serviceAccountName": "calico-node",
        "hostNetwork": True,
        "containers": [calico],
        "tolerations": [{"operator": "Exists"}],
    }
    world.add(account("calico-node", where), CLUSTER_AGE)
    world.add(workload("DaemonSet", "calico-node", where, labels, pod), CLUSTER_AGE)
    controllers = {"k8s-app": "calico-kube-controllers"}
    image = "docker.io/calico/kube-controllers:v3.28.2"
    pod = {"serviceAccountName": "calico-node", "containers": [container("calico-kube-controllers", image)]}
    world.add(workload("Deployment", "calico-kube-controllers", where, controllers, pod, replicas=1), CLUSTER_AGE)
    world.add(service("calico-felix-metrics", where, labels, [("metrics", 9091, 9091)], clusterIP="None"), PLATFORM_AGE)
    world.add(monitor("calico-felix", where, labels, "metrics"), 60.0)


def _storage(world: Builder) -> None:
    for name, provisioner, mode, default in (
        ("nfs-client", NFS_PROVISIONER, "Immediate", True),
        ("openebs-hostpath", "openebs.io/local", "WaitForFirstConsumer", False),
    ):
        notes = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
        world.add(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name, **({"annotations": notes} if notes else {})},
                "provisioner": provisioner,
                "reclaimPolicy": "Delete",
                "volumeBindingMode": mode,
                **({"parameters": {"archiveOnDelete": "true"}} if default else {}),
            },
            PLATFORM_AGE,
        )
    _provisioner(world, "nfs-provisioner", "nfs-client-nfs-subdir-external-provisioner", NFS_PROVISIONER)
    _provisioner(world, "openebs", "openebs-localpv-provisioner", "openebs.io/local")
    labels = {"name": "openebs-ndm-node-exporter"}
    exporter = container(
        "node-exporter",
        "docker.io/openebs/node-disk-exporter:2.1.0",
        ports=[{"name": "metrics", "containerPort": 9101}],
    )
    pod = {"serviceAccountName": "openebs-localpv-provisioner", "containers": [exporter]}
    world.add(workload("DaemonSet", "openebs-ndm-node-exporter", "openebs", labels, pod), PLATFORM_AGE)
    world.add(
        service("openebs-ndm-node-exporter", "openebs", labels, [("metrics", 9101, 9101)], clusterIP="None"),
        PLATFORM_AGE,
    )
    world.add(monitor("openebs-ndm", "openebs", labels, "metrics"), 60.0)


def _provisioner(world: Builder, where: str, name: str, provisioner: str) -> None:
    image = (
        "registry.k8s.io/sig-storage/nfs-subdir-external-provisioner:v4.0.2"
        if "nfs" in name
        else "docker.io/openebs/provisioner-localpv:4.1.1"
    )
    env = [{"name": "PROVISIONER_NAME", "value": provisioner}]
    if "nfs" in name:
        env += [{"name": "NFS_SERVER", "value": "10.1.5.30"}, {"name": "NFS_PATH", "value": "/srv/nfs/kubernetes"}]
    world.add(namespace(where), PLATFORM_AGE)
    world.add(account(name, where), PLATFORM_AGE)
    pod = {"serviceAccountName": name, "containers": [container(name, image, env=env)]}
    world.add(
        workload("Deployment", name, where, {"app": name}, pod, replicas=1, strategy={"type": "Recreate"}), PLATFORM_AGE
    )


def _load_balancer(world: Builder) -> None:
    where = "metallb-system"
    world.add(namespace(where), PLATFORM_AGE)
    for kind, plural in (("IPAddressPool", "ipaddresspools"), ("L2Advertisement", "l2advertisements")):
        world.add(definition("metallb.io", kind, plural, "v1beta1"), PLATFORM_AGE)
    spec: Object = {"addresses": ["10.1.5.184-10.1.5.199"], "autoAssign": True}
    for kind, body in (("IPAddressPool", spec), ("L2Advertisement", {"ipAddressPools": ["platform-pool"]})):
        meta = {"name": "platform-pool", "namespace": where}
        world.add({"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": meta, "spec": body}, PLATFORM_AGE)
    tolerations = [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}]
    for kind, part in (("Deployment", "controller"), ("DaemonSet", "speaker")):
        labels = {"app": "metallb", "component": part}
        world.add(account(part, where), PLATFORM_AGE)
        image = f"quay.io/metallb/{part}:v0.14.9"
        ports = [{"name": "monitoring", "containerPort": 7472, "protocol": "TCP"}]
        pod: Object = {"serviceAccountName": part, "containers": [container(part, image, ports=ports)]}
        if kind == "DaemonSet":
            pod |= {"hostNetwork": True, "tolerations": tolerations}
        extra: Object = {"replicas": 1} if kind == "Deployment" else {}
        world.add(workload(kind, part, where, labels, pod, **extra), PLATFORM_AGE)
        name = f"metallb-{part}-metrics"
        world.add(service(name, where, labels, [("monitoring", 7472, 7472)], clusterIP="None"), PLATFORM_AGE)
        world.add(monitor(f"metallb-{part}", where, labels, "monitoring"), 60.0)


def definition(
    group: str, kind: str, plural: str, version: str, columns: list[tuple[str, str, str]] | None = None
) -> Object:
    """A CustomResourceDefinition without a schema and without a status subresource."""
    served: Object = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    if columns:
        served["additionalPrinterColumns"] = [
            {"name": name, "type": type_, "jsonPath": path} for name, type_, path in columns
        ]
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [served]},
    }
