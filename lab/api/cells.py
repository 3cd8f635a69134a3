"""What stands in the cells of `kubectl get`: functions (object, now) -> value, by the rules of kube-apiserver's
printers. Pure; `now` is RFC 3339 in UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

Obj = dict[str, Any]
NONE = "<none>"
_DAY = 86_400


def age(since: Any, now: str) -> str:
    """How long ago, as kubectl says it: 5s, 3m10s, 2d4h, 14d."""
    try:
        began = datetime.fromisoformat(str(since))
        seconds = int((datetime.fromisoformat(now) - began).total_seconds())
    except ValueError:
        return "<unknown>"
    return human(seconds)


def human(seconds: int) -> str:
    """apimachinery's duration.HumanDuration."""
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // _DAY
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m" + (f"{seconds % 60}s" if seconds % 60 else "")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h" + (f"{minutes % 60}m" if minutes % 60 else "")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d" + (f"{hours % 24}h" if hours % 24 else "")
    if days < 730:
        return f"{days}d"
    years, rest = divmod(days, 365)
    return f"{years}y{rest}d" if rest and years < 8 else f"{years}y"


# -- reading --


def at(obj: Any, path: str, default: Any = None) -> Any:
    for name in path.split("."):
        obj = obj.get(name) if isinstance(obj, dict) else None
    return default if obj is None else obj


def field(path: str, default: Any = NONE) -> Callable[[Obj, str], Any]:
    return lambda obj, _now: at(obj, path, default)


def joined(values: Any) -> str:
    return ",".join(str(value) for value in values or []) or NONE


def labels_of(labels: Any) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def object_age(obj: Obj, now: str) -> str:
    return age(at(obj, "metadata.creationTimestamp"), now)


def containers(path: str, field: str) -> Callable[[Obj, str], Any]:
    return lambda obj, _now: joined(each.get(field) for each in at(obj, f"{path}.containers", []))


# -- pods --


def pod_status(pod: Obj, _now: str = "") -> str:
    """The word in the STATUS column, by the rules of kubectl's printer."""
    reason = at(pod, "status.reason") or at(pod, "status.phase", "")
    starting = False
    inits = at(pod, "status.initContainerStatuses", [])
    total = len(at(pod, "spec.initContainers", []))
    for index, status in enumerate(inits):
        state = status.get("state") or {}
        ended = state.get("terminated")
        if ended and ended.get("exitCode") == 0:
            continue
        starting = True
        waiting = (state.get("waiting") or {}).get("reason")
        if ended:
            reason = "Init:" + (ended.get("reason") or f"ExitCode:{ended.get('exitCode')}")
        elif waiting and waiting != "PodInitializing":
            reason = f"Init:{waiting}"
        else:
            reason = f"Init:{index}/{total}"
        break
    if not starting:
        reason = container_reason(pod, str(reason))
    if at(pod, "metadata.deletionTimestamp"):
        return "Terminating"
    return str(reason)


def container_reason(pod: Obj, reason: str) -> str:
    running = False
    for status in reversed(at(pod, "status.containerStatuses", [])):
        state = status.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif state.get("terminated"):
            ended = state["terminated"]
            signal = ended.get("signal")
            fallback = f"Signal:{signal}" if signal else f"ExitCode:{ended.get('exitCode')}"
            reason = ended.get("reason") or fallback
        elif status.get("ready") and state.get("running"):
            running = True
    if reason == "Completed" and running:
        ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in at(pod, "status.conditions", []))
        return "Running" if ready else "NotReady"
    return reason


def pod_ready(pod: Obj, _now: str) -> str:
    statuses = at(pod, "status.containerStatuses", [])
    return f"{sum(bool(s.get('ready')) for s in statuses)}/{len(at(pod, 'spec.containers', []))}"


def pod_restarts(pod: Obj, now: str) -> str:
    statuses = at(pod, "status.containerStatuses", [])
    restarts = sum(int(status.get("restartCount") or 0) for status in statuses)
    ends = [at(status, "lastState.terminated.finishedAt", "") for status in statuses]
    last = max((end for end in ends if end), default="")
    return f"{restarts} ({age(last, now)} ago)" if restarts and last else str(restarts)


# -- nodes, services, storage --


def node_status(node: Obj, _now: str) -> str:
    ready = next((c for c in at(node, "status.conditions", []) if c.get("type") == "Ready"), None)
    word = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{word},SchedulingDisabled" if at(node, "spec.unschedulable") else word


def node_roles(node: Obj, _now: str) -> str:
    prefix = "node-role.kubernetes.io/"
    return joined(sorted(key.removeprefix(prefix) for key in at(node, "metadata.labels", {}) if key.startswith(prefix)))


def node_address(kind: str) -> Callable[[Obj, str], Any]:
    def cell(node: Obj, _now: str) -> str:
        addresses = at(node, "status.addresses", [])
        return next((str(a.get("address")) for a in addresses if a.get("type") == kind), NONE)

    return cell


def external_address(service: Obj, _now: str) -> str:
    spec = service.get("spec") or {}
    if spec.get("type") == "LoadBalancer":
        ingress = at(service, "status.loadBalancer.ingress", [])
        found = [str(each.get("ip") or each.get("hostname")) for each in ingress] + list(spec.get("externalIPs") or [])
        return ",".join(found) or "<pending>"
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName"))
    return joined(spec.get("externalIPs"))


def ports(service: Obj, _now: str) -> str:
    return joined(
        f"{p.get('port')}:{p['nodePort']}/{p.get('protocol', 'TCP')}"
        if p.get("nodePort")
        else f"{p.get('port')}/{p.get('protocol', 'TCP')}"
        for p in at(service, "spec.ports", [])
    )


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def modes(obj: Obj, _now: str) -> str:
    modes = at(obj, "status.accessModes") or (
        at(obj, "spec.accessModes", []) if obj.get("kind") != "PersistentVolumeClaim" else []
    )
    return ",".join(_MODES.get(mode, mode) for mode in modes)


def claim_status(claim: Obj, _now: str) -> str:
    return "Terminating" if at(claim, "metadata.deletionTimestamp") else str(at(claim, "status.phase", ""))


def volume_claim(volume: Obj, _now: str) -> str:
    ref = at(volume, "spec.claimRef")
    return f"{ref.get('namespace')}/{ref.get('name')}" if ref else ""


def class_name(obj: Obj, _now: str) -> str:
    marked = at(obj, "metadata.annotations", {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    return f"{at(obj, 'metadata.name')} (default)" if marked else str(at(obj, "metadata.name"))


# -- workloads, batch, events --


def ready_of(obj: Obj, _now: str) -> str:
    return f"{at(obj, 'status.readyReplicas', 0)}/{at(obj, 'spec.replicas', 0)}"


def job_completions(job: Obj, _now: str) -> str:
    wanted = at(job, "spec.completions")
    return f"{at(job, 'status.succeeded', 0)}/{1 if wanted is None else wanted}"


def job_status(job: Obj, _now: str) -> str:
    met = {c.get("type") for c in at(job, "status.conditions", []) if c.get("status") == "True"}
    return next((word for word in ("Complete", "Failed", "Suspended") if word in met), "Running")


def job_duration(job: Obj, now: str) -> str:
    began = at(job, "status.startTime")
    return age(began, at(job, "status.completionTime") or now) if began else ""


def event_object(event: Obj, _now: str) -> str:
    ref = event.get("involvedObject") or event.get("regarding") or {}
    return f"{str(ref.get('kind', '')).lower()}/{ref.get('name', '')}"


def event_age(event: Obj, now: str) -> str:
    last = event.get("lastTimestamp") or event.get("eventTime") or at(event, "metadata.creationTimestamp")
    return age(last, now)


def subset_addresses(endpoints_: Obj, _now: str) -> str:
    """The ENDPOINTS column of Endpoints: the ready addresses of every port, three of them written out."""
    subsets = endpoints_.get("subsets") or []
    found = [
        _host_port(str(address.get("ip")), port)
        for subset in subsets
        for port in subset.get("ports") or [None]
        for address in subset.get("addresses") or []
    ]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return ",".join(found[:3]) + more if subsets else NONE


def _host_port(host: str, port: Obj | None) -> str:
    if port is None:
        return host
    return f"[{host}]:{port.get('port')}" if ":" in host else f"{host}:{port.get('port')}"


def endpoints(slice_: Obj, _now: str) -> str:
    found = [address for each in slice_.get("endpoints") or [] for address in each.get("addresses") or []]
    return ",".join(found[:3]) + (f" + {len(found) - 3} more..." if len(found) > 3 else "") if found else "<unset>"


def counted(*fields: str) -> Callable[[Obj, str], Any]:
    return lambda obj, _now: sum(len(obj.get(field) or {}) for field in fields)


def first_seen(event: Obj, now: str) -> str:
    return age(event.get("firstTimestamp") or at(event, "metadata.creationTimestamp"), now)


def last_schedule(job: Obj, now: str) -> str:
    last = at(job, "status.lastScheduleTime")
    return age(last, now) if last else NONE


# -- autoscalers --


def scale_target(obj: Obj, _now: str) -> str:
    return f"{at(obj, 'spec.scaleTargetRef.kind', '')}/{at(obj, 'spec.scaleTargetRef.name', '')}"


def scale_metrics(obj: Obj, _now: str) -> str:
    """Current against wanted of each resource metric; nothing measures them in the lab, so they are unknown."""
    wanted = [
        f"{at(each, 'resource.name', '')}: <unknown>/{_target(at(each, 'resource.target', {}))}"
        for each in at(obj, "spec.metrics", [])
        if each.get("type") == "Resource"
    ]
    return ", ".join(wanted) or NONE


def _target(target: Obj) -> str:
    return f"{target['averageUtilization']}%" if "averageUtilization" in target else str(target.get("averageValue", ""))
