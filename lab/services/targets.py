"""Which targets a Prometheus has, by its custom resource alone: ServiceMonitors × Endpoints, and static addresses.

The labels, pools and addresses are those that the operator's generated configuration gives. Pure over the cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lab.controllers import meta
from lab.controllers.operator_config import additional_scrape_configs, selected_monitors, selected_pod_monitors
from lab.services.cluster import ENDPOINTS, NODES, PODS, SERVICES, Cluster, Obj, container_status, node_ready, seconds
from lab.services.promql import Labels, duration


@dataclass(frozen=True)
class Target:
    """One address to scrape. `pod` and `node` are the objects behind it, as far as there are any."""

    pool: str
    labels: Labels
    scheme: str
    address: str
    path: str
    interval: float
    timeout: float
    honor_labels: bool
    error: str = ""
    since: float | None = None
    pod: Obj | None = field(default=None, compare=False)
    container: str = ""
    node: Obj | None = field(default=None, compare=False)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}{self.path}"

    @property
    def up(self) -> bool:
        return not self.error


def discover(owner: Obj, cluster: Cluster) -> list[Target]:
    """Every target of a Prometheus resource, up or not."""
    found: list[Target] = []
    for monitor in selected_monitors(owner, cluster):
        for index, endpoint in enumerate(monitor["spec"].get("endpoints") or []):
            found += _monitored(owner, monitor, index, endpoint, cluster)
    for monitor in selected_pod_monitors(owner, cluster):
        for index, endpoint in enumerate(monitor["spec"].get("podMetricsEndpoints") or []):
            found += _of_pods(owner, monitor, index, endpoint, cluster)
    for config in additional_scrape_configs(owner, cluster):
        found += _static(owner, config, cluster)
    return found


def _monitored(owner: Obj, monitor: Obj, index: int, endpoint: Obj, cluster: Cluster) -> Iterator[Target]:
    namespace, name = meta.key_of(monitor)
    pool = f"serviceMonitor/{namespace}/{name}/{index}"
    for where in _where(monitor):
        for service in cluster.list(SERVICES, where, monitor["spec"].get("selector") or {}):
            yield from _of_service(owner, monitor, pool, endpoint, service, cluster)


def _where(monitor: Obj) -> list[str | None]:
    """The namespaces that a monitor looks into; None for all of them."""
    wanted = monitor["spec"].get("namespaceSelector") or {}
    own = monitor["metadata"]["namespace"]
    return [None] if wanted.get("any") else list(wanted.get("matchNames") or [own])


def _of_pods(owner: Obj, monitor: Obj, index: int, endpoint: Obj, cluster: Cluster) -> Iterator[Target]:
    """A PodMonitor's endpoint: every pod that matches and has a container port of that name."""
    namespace, name = meta.key_of(monitor)
    scheme, path = str(endpoint.get("scheme") or "http"), str(endpoint.get("path") or "/metrics")
    interval = duration(str(endpoint.get("interval") or owner["spec"].get("scrapeInterval") or "30s"))
    timeout = min(duration(str(endpoint.get("scrapeTimeout") or "10s")), interval)
    for where in _where(monitor):
        for pod in cluster.list(PODS, where, monitor["spec"].get("selector") or {}):
            address = (pod.get("status") or {}).get("podIP")
            ports = [
                (str(container["name"]), port)
                for container in pod["spec"].get("containers") or []
                for port in container.get("ports") or []
                if port.get("name") == endpoint.get("port")
            ]
            if not address or not ports or meta.pod_finished(pod):
                continue
            container_name, port = ports[0]
            instance = f"{address}:{port['containerPort']}"
            labels = {
                "job": f"{namespace}/{name}",
                "instance": instance,
                "namespace": pod["metadata"]["namespace"],
                "pod": pod["metadata"]["name"],
                "container": container_name,
                "endpoint": str(endpoint.get("port") or ""),
            }
            labels = _relabelled(labels, endpoint, path)
            node = cluster.get(NODES, None, str(pod["spec"].get("nodeName")))
            error, since = _reachable(f"{scheme}://{instance}{path}", instance, pod, container_name, node)
            yield Target(
                f"podMonitor/{namespace}/{name}/{index}", labels, scheme, instance, path, interval, timeout,
                bool(endpoint.get("honorLabels")), error, since, pod, container_name, node,
            )  # fmt: skip


def _of_service(owner: Obj, monitor: Obj, pool: str, endpoint: Obj, service: Obj, cluster: Cluster) -> Iterator[Target]:
    namespace, name = meta.key_of(service)
    subsets = (cluster.get(ENDPOINTS, namespace, name) or {}).get("subsets") or []
    interval = duration(str(endpoint.get("interval") or owner["spec"].get("scrapeInterval") or "30s"))
    for subset in subsets:
        for port in subset.get("ports") or []:
            if port.get("name") != endpoint.get("port"):
                continue
            for address in [*(subset.get("addresses") or []), *(subset.get("notReadyAddresses") or [])]:
                target = address.get("targetRef") or {}
                pod = cluster.get(PODS, namespace, str(target.get("name"))) if target.get("kind") == "Pod" else None
                node = cluster.get(NODES, None, str(address.get("nodeName"))) if address.get("nodeName") else None
                container = _container(pod, port.get("port"))
                where = f"{address['ip']}:{port['port']}"
                path = str(endpoint.get("path") or "/metrics")
                labels = _labels(monitor, endpoint, service, where, pod, container)
                if target.get("kind") == "Node":
                    labels["node"] = str(target.get("name"))
                labels = _relabelled(labels, endpoint, path)
                scheme = str(endpoint.get("scheme") or "http")
                error, since = _reachable(f"{scheme}://{where}{path}", where, pod, container, node)
                timeout = duration(str(endpoint.get("scrapeTimeout") or "10s"))
                yield Target(
                    pool, labels, scheme, where, path, interval, min(timeout, interval),
                    bool(endpoint.get("honorLabels")), error, since, pod, container, node,
                )  # fmt: skip


def _container(pod: Obj | None, port: object) -> str:
    for container in ((pod or {}).get("spec") or {}).get("containers") or []:
        if any(each.get("containerPort") == port for each in container.get("ports") or []):
            return str(container["name"])
    return ""


def _labels(monitor: Obj, endpoint: Obj, service: Obj, where: str, pod: Obj | None, container: str) -> Labels:
    job_label = monitor["spec"].get("jobLabel") or ""
    labels = {
        "job": meta.labels(service).get(job_label) or service["metadata"]["name"],
        "instance": where,
        "namespace": service["metadata"]["namespace"],
        "service": service["metadata"]["name"],
        "endpoint": str(endpoint.get("port") or ""),
    }
    if pod is not None:
        labels["pod"] = pod["metadata"]["name"]
        if container:
            labels["container"] = container
    return labels


def _relabelled(labels: Labels, endpoint: Obj, path: str) -> Labels:
    """The `relabelings` of an endpoint that copy one label into another (action replace)."""
    source = {**labels, "__metrics_path__": path, "__address__": labels["instance"]}
    for rule in endpoint.get("relabelings") or []:
        if rule.get("action", "replace").lower() != "replace" or not rule.get("targetLabel"):
            continue
        text = str(rule.get("separator", ";")).join(source.get(name, "") for name in rule.get("sourceLabels") or [])
        match = re.fullmatch(str(rule.get("regex") or "(.*)"), text)
        if match:
            template = re.sub(r"\$\{?(\w+)\}?", r"\\g<\1>", str(rule.get("replacement") or "$1"))
            labels[rule["targetLabel"]] = source[rule["targetLabel"]] = match.expand(template)
    return labels


def _reachable(url: str, where: str, pod: Obj | None, container: str, node: Obj | None) -> tuple[str, float | None]:
    """Why a scrape fails (empty: it does not), and since when it has been like this."""
    if node is not None and not node_ready(node):
        changed = (meta.condition(node, "Ready") or {}).get("lastTransitionTime")
        return f'Get "{url}": context deadline exceeded', seconds(changed)
    if pod is None:
        return "", None
    status = container_status(pod, container)
    running = "running" in (status.get("state") or {})
    listening = running and bool(status.get("ready")) if container else meta.pod_ready(pod)
    since = seconds(
        (meta.condition(pod, "ContainersReady") or meta.condition(pod, "Ready") or {}).get("lastTransitionTime")
    )
    if listening:
        return "", since
    return f'Get "{url}": dial tcp {where}: connect: connection refused', since


def _static(owner: Obj, config: Obj, cluster: Cluster) -> Iterator[Target]:
    """`static_configs` of additional scrape configurations; names are resolved as the cluster's DNS would."""
    job = str(config.get("job_name") or "")
    interval = duration(str(config.get("scrape_interval") or owner["spec"].get("scrapeInterval") or "30s"))
    path = str(config.get("metrics_path") or "/metrics")
    scheme = str(config.get("scheme") or "http")
    for group in config.get("static_configs") or []:
        for address in group.get("targets") or []:
            labels = {"job": job, "instance": str(address), **(group.get("labels") or {})}
            error, since, pod, container = _resolved(f"{scheme}://{address}{path}", str(address), owner, cluster)
            yield Target(
                job, labels, scheme, str(address), path, interval, min(10.0, interval),
                bool(config.get("honor_labels")), error, since, pod, container,
            )  # fmt: skip


def _resolved(url: str, address: str, owner: Obj, cluster: Cluster) -> tuple[str, float | None, Obj | None, str]:
    host, _, port = address.rpartition(":")
    name, _, rest = host.partition(".")
    namespace = rest.partition(".")[0] or owner["metadata"]["namespace"]
    if cluster.get(SERVICES, namespace, name) is None:
        return f'Get "{url}": dial tcp: lookup {host} on 10.96.0.10:53: no such host', None, None, ""
    backends = cluster.backends(namespace, name, port)
    if not backends:
        return f'Get "{url}": dial tcp {address}: connect: connection refused', None, None, ""
    pod, container, _number = backends[0]
    error, since = _reachable(url, address, pod, container["name"], None)
    return error, since, pod, str(container["name"])
