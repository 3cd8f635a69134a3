"""A pod's status from its containers' states. Pure; the scenario builder uses it for pods that have long settled."""

from __future__ import annotations

import hashlib
import ipaddress

from lab.controllers import meta
from lab.controllers.client import Object
from lab.plain import copied


def container_id(pod: Object, container: str, restart: int) -> str:
    text = f"{meta.uid(pod)}/{container}/{restart}"
    return f"containerd://{hashlib.sha256(text.encode()).hexdigest()}"


def image_id(image: str) -> str:
    repository = image.rpartition(":")[0] or image
    return f"{repository}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def waiting_entry(container: Object, reason: str, message: str = "") -> Object:
    state: Object = {"reason": reason}
    if message:
        state["message"] = message
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "started": False,
        "state": {"waiting": state},
    }


def running_entry(pod: Object, container: Object, started_at: str, restarts: int = 0) -> Object:
    """A container that runs and is ready."""
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": image_id(container["image"]),
        "containerID": container_id(pod, container["name"], restarts),
        "lastState": {},
        "ready": True,
        "restartCount": restarts,
        "started": True,
        "state": {"running": {"startedAt": started_at}},
    }


def completed_entry(pod: Object, container: Object, started_at: str, finished_at: str) -> Object:
    """An init container that has done its work."""
    identity = container_id(pod, container["name"], 0)
    return {
        **running_entry(pod, container, started_at),
        "started": False,
        "state": {
            "terminated": {
                "containerID": identity,
                "exitCode": 0,
                "reason": "Completed",
                "startedAt": started_at,
                "finishedAt": finished_at,
            }
        },
    }


def is_native_sidecar(container: Object) -> bool:
    return container.get("restartPolicy") == "Always"


def quality(pod: Object) -> str:
    """The quality-of-service class."""
    every = [container.get("resources") or {} for container in pod["spec"]["containers"]]
    if not any(entry.get("requests") or entry.get("limits") for entry in every):
        return "BestEffort"
    for entry in every:
        limits = entry.get("limits") or {}
        if not {"cpu", "memory"} <= set(limits):
            return "Burstable"
        asked = {**limits, **(entry.get("requests") or {})}
        if any(meta.quantity(asked[name]) != meta.quantity(limits[name]) for name in ("cpu", "memory")):
            return "Burstable"
    return "Guaranteed"


def pod_address(pod: Object, node: Object, used: set[str]) -> str:
    """The pod's IP: the node's for host network, else a free one of the node's pod range, the same at every try."""
    if pod["spec"].get("hostNetwork"):
        return node_address(node)
    network = ipaddress.ip_network(node["spec"].get("podCIDR") or "10.244.0.0/24")
    hosts = network.num_addresses - 12
    start = int(hashlib.sha256(meta.uid(pod).encode()).hexdigest()[:8], 16)
    for step in range(hosts):
        address = str(network.network_address + 10 + (start + step) % hosts)
        if address not in used:
            return address
    return str(network.network_address + 10)


def node_address(node: Object) -> str:
    for entry in (node.get("status") or {}).get("addresses") or []:
        if entry["type"] == "InternalIP":
            return str(entry["address"])
    return "127.0.0.1"


def status_of(
    pod: Object, init: list[Object], main: list[Object], *, at: str, host: str, address: str, begun: str
) -> Object:
    """The status of a pod on its node: phase, conditions and addresses from the containers' entries."""
    old = pod.get("status") or {}
    initialised = all(_init_done(pod, entry) for entry in init)
    phase = _phase(pod, init, main, initialised)
    finished = phase in ("Succeeded", "Failed")
    ready = (
        initialised and not finished and bool(main) and all(entry["ready"] for entry in [*main, *_native(pod, init)])
    )
    status: Object = {
        "phase": phase,
        "conditions": _conditions(pod, old, initialised, ready, init, main, at, finished),
        "hostIP": host,
        "startTime": old.get("startTime") or begun,
        "containerStatuses": copied(main),
        "qosClass": old.get("qosClass") or quality(pod),
    }
    if init:
        status["initContainerStatuses"] = copied(init)
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    return status


def _native(pod: Object, init: list[Object]) -> list[Object]:
    names = {c["name"] for c in pod["spec"].get("initContainers") or [] if is_native_sidecar(c)}
    return [entry for entry in init if entry["name"] in names]


def _init_done(pod: Object, entry: Object) -> bool:
    if entry in _native(pod, [entry]):
        return bool(entry.get("started"))
    ended = entry["state"].get("terminated")
    return bool(ended and ended["exitCode"] == 0)


def _phase(pod: Object, init: list[Object], main: list[Object], initialised: bool) -> str:
    if pod["spec"].get("restartPolicy", "Always") != "Always":
        failed_init = [e for e in init if (e["state"].get("terminated") or {}).get("exitCode")]
        if failed_init and pod["spec"]["restartPolicy"] == "Never":
            return "Failed"
        ended = [entry["state"].get("terminated") for entry in main]
        if main and all(ended):
            codes = [state["exitCode"] for state in ended if state]
            if not any(codes):
                return "Succeeded"
            if pod["spec"]["restartPolicy"] == "Never":
                return "Failed"
    if not initialised:
        return "Pending"
    begun = all("running" in e["state"] or e["restartCount"] or "terminated" in e["state"] for e in main)
    return "Running" if main and begun else "Pending"


def _conditions(
    pod: Object,
    old: Object,
    initialised: bool,
    ready: bool,
    init: list[Object],
    main: list[Object],
    at: str,
    finished: bool,
) -> list[Object]:
    conditions: list[Object] = list(old.get("conditions") or [])
    waiting = [entry["name"] for entry in main if not entry["ready"]]
    undone = [entry["name"] for entry in init if not _init_done(pod, entry)]
    news: list[Object] = [{"type": "Initialized", "status": "True" if initialised else "False"}]
    if undone:
        news[0] |= {
            "reason": "ContainersNotInitialized",
            "message": f"containers with incomplete status: [{' '.join(undone)}]",
        }
    for kind in ("Ready", "ContainersReady"):
        entry: Object = {"type": kind, "status": "True" if ready else "False"}
        if finished:
            entry["reason"] = "PodCompleted" if not waiting or initialised else "PodFailed"
        elif not ready:
            entry |= {
                "reason": "ContainersNotReady",
                "message": f"containers with unready status: [{' '.join(waiting)}]",
            }
        news.append(entry)
    news.append({"type": "PodScheduled", "status": "True"})
    for new in news:
        conditions = [
            {k: v for k, v in entry.items() if entry["type"] != new["type"] or k not in ("reason", "message")}
            for entry in conditions
        ]
        conditions = meta.set_condition(conditions, {"lastProbeTime": None, **new}, at)
    return conditions
