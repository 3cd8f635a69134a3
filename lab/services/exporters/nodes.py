"""node-exporter, the kubelet and cAdvisor: loads that follow a node's size and what runs on it. Pure."""

from __future__ import annotations

from lab.controllers import meta
from lab.services.cluster import Cluster, Obj, container_status, created, seconds
from lab.services.curves import Counter, Wave
from lab.services.exporters.sample import Samples, gauge

_GIB = 2.0**30
# share of each core's time by mode; they add up to one
_MODES = {"idle": 0.80, "user": 0.12, "system": 0.05, "iowait": 0.02, "nice": 0.002, "softirq": 0.007, "steal": 0.001}
_BACKGROUND = 0.03  # of a core, what a container without requests uses
_SMALL = 60.0 * 2**20  # bytes, the same


def _capacity(node: Obj, resource: str, default: float) -> float:
    return meta.quantity(((node.get("status") or {}).get("capacity") or {}).get(resource)) or default


def node_exporter(node: Obj) -> Samples:
    """The machine: processor, memory, disks, network."""
    name, origin = node["metadata"]["name"], created(node) or 0.0
    for core in range(int(_capacity(node, "cpu", 4))):
        for mode, share in _MODES.items():
            seed = f"{name}/{mode}" if mode != "idle" else ""
            yield gauge("node_cpu_seconds_total", Counter(origin, share, seed), origin, cpu=str(core), mode=mode)
    memory = _capacity(node, "memory", 16 * _GIB)
    yield gauge("node_memory_MemTotal_bytes", memory, origin)
    yield gauge("node_memory_MemAvailable_bytes", Wave(0.55 * memory, 0.06 * memory, f"{name}/available"), origin)
    yield gauge("node_memory_MemFree_bytes", Wave(0.25 * memory, 0.05 * memory, f"{name}/free"), origin)
    disk = _capacity(node, "ephemeral-storage", 100 * _GIB)
    where = {"device": "/dev/sda1", "fstype": "ext4", "mountpoint": "/"}
    yield gauge("node_filesystem_size_bytes", disk, origin, **where)
    yield gauge("node_filesystem_avail_bytes", Wave(0.62 * disk, 0.01 * disk, f"{name}/disk"), origin, **where)
    yield gauge("node_filesystem_free_bytes", Wave(0.67 * disk, 0.01 * disk, f"{name}/disk"), origin, **where)
    yield gauge("node_filesystem_readonly", 0, origin, **where)
    for minutes, mean in (("1", 0.9), ("5", 0.85), ("15", 0.8)):
        yield gauge(f"node_load{minutes}", Wave(mean, 0.4, f"{name}/load{minutes}"), origin)
    yield gauge("node_boot_time_seconds", origin, origin)
    yield gauge("node_network_up", 1, origin, device="eth0")
    for word, rate in (("receive", 400_000.0), ("transmit", 250_000.0)):
        yield gauge(f"node_network_{word}_bytes_total", Counter(origin, rate, f"{name}/{word}"), origin, device="eth0")
    info = (node.get("status") or {}).get("nodeInfo") or {}
    release = str(info.get("kernelVersion") or "")
    yield gauge("node_uname_info", 1, origin, nodename=name, release=release, sysname="Linux")


def kubelet(node: Obj, cluster: Cluster) -> Samples:
    """The kubelet's own metrics, and how full the volumes on its node are."""
    name, origin = node["metadata"]["name"], created(node)
    pods = [pod for pod in cluster.list("pods") if pod["spec"].get("nodeName") == name]
    yield gauge("kubelet_running_pods", sum((p.get("status") or {}).get("phase") == "Running" for p in pods))
    yield gauge("kubelet_node_name", 1, origin, node=name)
    version = str(((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion") or "")
    yield gauge("kubernetes_build_info", 1, origin, git_version=version)
    seen: set[tuple[str, str]] = set()
    for pod in pods:
        namespace = pod["metadata"]["namespace"]
        for volume in pod["spec"].get("volumes") or []:
            claim = str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "")
            found = cluster.get("persistentvolumeclaims", namespace, claim) if claim else None
            if found is not None and (namespace, claim) not in seen:
                seen.add((namespace, claim))
                yield from _volume(found)


def _volume(claim: Obj) -> Samples:
    status = claim.get("status") or {}
    wanted = (claim["spec"].get("resources") or {}).get("requests") or {}
    size = meta.quantity((status.get("capacity") or wanted).get("storage"))
    if status.get("phase") != "Bound" or not size:
        return
    key = {"namespace": claim["metadata"]["namespace"], "persistentvolumeclaim": claim["metadata"]["name"]}
    used = Wave(0.31 * size, 0.02 * size, "/".join(key.values()))
    free = Wave(0.69 * size, 0.02 * size, "/".join(key.values()))
    yield gauge("kubelet_volume_stats_capacity_bytes", size, created(claim), **key)
    yield gauge("kubelet_volume_stats_used_bytes", used, created(claim), **key)
    yield gauge("kubelet_volume_stats_available_bytes", free, created(claim), **key)


def cadvisor(node: Obj, cluster: Cluster) -> Samples:
    """What each running container of the node uses."""
    for pod in cluster.list("pods"):
        if pod["spec"].get("nodeName") != node["metadata"]["name"]:
            continue
        for container in pod["spec"].get("containers") or []:
            running = (container_status(pod, container["name"]).get("state") or {}).get("running")
            if running:
                yield from _usage(pod, container, seconds(running.get("startedAt")) or created(pod) or 0.0)


def _usage(pod: Obj, container: Obj, began: float) -> Samples:
    requests = (container.get("resources") or {}).get("requests") or {}
    key = {
        "namespace": pod["metadata"]["namespace"],
        "pod": pod["metadata"]["name"],
        "container": container["name"],
        "image": container["image"],
    }
    seed = "/".join((key["namespace"], key["pod"], key["container"]))
    memory = meta.quantity(requests.get("memory")) * 0.7 or _SMALL
    cores = meta.quantity(requests.get("cpu")) * 0.4 or _BACKGROUND
    yield gauge("container_cpu_usage_seconds_total", Counter(began, cores, seed), began, cpu="total", **key)
    yield gauge("container_memory_working_set_bytes", Wave(memory, 0.05 * memory, seed), began, **key)
    yield gauge("container_memory_rss", Wave(0.8 * memory, 0.04 * memory, seed), began, **key)
    yield gauge("container_start_time_seconds", began, began, **key)
