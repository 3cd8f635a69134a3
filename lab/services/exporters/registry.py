"""Which exporter answers for which target. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.controllers import meta
from lab.services.cluster import ALERTMANAGERS, PROMETHEUSES, Cluster, created
from lab.services.curves import Wave
from lab.services.exporters import programs
from lab.services.exporters.kube_state import kube_state_metrics
from lab.services.exporters.nodes import cadvisor, kubelet, node_exporter
from lab.services.exporters.sample import labelled
from lab.services.promql import Labels
from lab.services.storage import Series
from lab.services.targets import Target


@dataclass(frozen=True)
class Context:
    """What exporters look at."""

    cluster: Cluster
    notifications: programs.Notifications
    head_series: int = 0


def exposition(target: Target, context: Context) -> list[Series]:
    """The target's own series, with the labels it gives them itself; nothing when it is down."""
    if not target.up:
        return []
    found = list(_of_image(target, context))
    return found or list(_of_job(target, context))


def _image(target: Target) -> str:
    containers = ((target.pod or {}).get("spec") or {}).get("containers") or []
    return next((str(each["image"]) for each in containers if each["name"] == target.container), "")


def _of_image(target: Target, context: Context) -> Iterator[Series]:
    """By the program in the container."""
    image, pod, cluster = _image(target), target.pod, context.cluster
    if pod is None or not image:
        return
    yield from programs.process(pod, target.container)
    if "kube-state-metrics" in image:
        yield from kube_state_metrics(cluster)
    elif "node-exporter" in image and target.node is not None:
        yield from node_exporter(target.node)
    elif "prometheus-operator/prometheus-operator" in image:
        yield from programs.operator(pod, target.container)
    elif "config-reloader" in image:
        yield from programs.reloader(pod)
    elif image.partition(":")[0].endswith("prometheus/prometheus"):
        yield from programs.prometheus(pod, cluster.owner(PROMETHEUSES, pod), cluster, context.head_series)
    elif "alertmanager" in image:
        yield from programs.alertmanager(pod, cluster.owner(ALERTMANAGERS, pod), context.notifications)
    elif image.partition(":")[0].endswith("grafana/grafana"):
        yield from programs.grafana(pod, target.container)
    elif "argocd" in image and "application-controller" in meta.labels(pod).get("app.kubernetes.io/name", ""):
        yield from programs.argocd_controller(cluster)
    else:
        yield from programs.control_plane(target.labels.get("job", ""), target.address, created(pod) or 0.0)


def _of_job(target: Target, context: Context) -> Iterator[Series]:
    """Targets that are no pods: kubelets and machines outside the cluster."""
    if target.labels.get("job") == "kubelet" and target.node is not None:
        if target.path.endswith("/cadvisor"):
            yield from cadvisor(target.node, context.cluster)
        elif not target.path.endswith("/probes"):
            yield from kubelet(target.node, context.cluster)
        return
    oldest = min((created(node) or 0.0 for node in context.cluster.list("nodes")), default=0.0)
    yield from programs.control_plane(target.labels.get("job", ""), target.address, oldest)


def scraped(target: Target, series: list[Series]) -> list[Series]:
    """The series as Prometheus stores them: with the target's labels, and `up` with its companions beside them."""
    found = [Series(_merged(target, one.labels), one.curve, one.since) for one in series]
    found.append(labelled("up", target.up, target.labels, target.since))
    found.append(labelled("scrape_samples_scraped", len(series), target.labels, target.since))
    found.append(labelled("scrape_duration_seconds", Wave(0.02, 0.01, target.url), target.labels, target.since))
    return found


def _merged(target: Target, own: Labels) -> Labels:
    """honor_labels: the series' own labels win; else they are kept as exported_<name>."""
    result = dict(target.labels)
    for name, value in own.items():
        if name in result and not target.honor_labels:
            result[f"exported_{name}"] = value
        else:
            result[name] = value
    return result
