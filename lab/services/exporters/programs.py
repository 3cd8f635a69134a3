"""Prometheus, Alertmanager, Argo CD, Grafana and the control plane: what their own /metrics say. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from lab.controllers.kubelet.behaviour import split_image
from lab.services.cluster import APPLICATIONS, Backend, Cluster, Obj, container_status, created, seconds
from lab.services.curves import Counter, Steps, Wave
from lab.services.exporters.sample import Samples, gauge


class Moments(Protocol):
    """When something was counted, of one integration."""

    @property
    def sent(self) -> Sequence[float]: ...

    @property
    def failed(self) -> Sequence[float]: ...

    @property
    def requests(self) -> Sequence[float]: ...

    @property
    def requests_failed(self) -> Sequence[float]: ...


class Notifications(Protocol):
    """What the lab's Alertmanager says of itself."""

    reloaded: bool

    def counts(self) -> Mapping[str, Moments]: ...

    def active(self) -> int: ...

    def silences(self) -> int: ...

    def config_hash(self) -> float: ...


def process(pod: Obj | None, container: str) -> Samples:
    """What every Go program says."""
    began = _started(pod, container)
    if began is None:
        return
    seed = f"{(pod or {}).get('metadata', {}).get('name')}/{container}"
    yield gauge("process_start_time_seconds", began, began)
    yield gauge("process_cpu_seconds_total", Counter(began, 0.02, seed), began)
    yield gauge("process_resident_memory_bytes", Wave(60e6, 4e6, seed), began)
    yield gauge("go_goroutines", 120, began)


def _started(pod: Obj | None, container: str) -> float | None:
    if pod is None:
        return None
    state = container_status(pod, container).get("state") or {}
    return seconds((state.get("running") or {}).get("startedAt")) or created(pod)


def alertmanagers_behind(reference: Obj, cluster: Cluster) -> list[Backend]:
    """The ready pods behind an entry of a Prometheus resource's `alerting.alertmanagers`."""
    return cluster.backends(
        str(reference.get("namespace") or ""), str(reference.get("name") or ""), str(reference.get("port") or "")
    )


def prometheus(pod: Obj, owner: Obj | None, cluster: Cluster, head_series: int) -> Samples:
    """The server's view of itself."""
    began = _started(pod, "prometheus") or 0.0
    born = created(owner) if owner else began
    version = str((owner or {}).get("spec", {}).get("version") or "").removeprefix("v")
    alerting = ((owner or {}).get("spec", {}).get("alerting") or {}).get("alertmanagers") or []
    series = max(head_series, 1)
    reached = sum(
        len(cluster.backends(str(each.get("namespace")), str(each.get("name")), str(each.get("port") or "")))
        for each in alerting
    )
    yield gauge("prometheus_build_info", 1, began, version=version)
    yield gauge("prometheus_ready", 1, began)
    yield gauge("prometheus_config_last_reload_successful", 1, began)
    yield gauge("prometheus_config_last_reload_success_timestamp_seconds", began, began)
    yield gauge("prometheus_notifications_alertmanagers_discovered", reached, began)
    yield gauge("prometheus_notifications_dropped_total", 0, began)
    yield gauge("prometheus_tsdb_head_series", series, began)
    yield gauge("prometheus_tsdb_head_samples_appended_total", Counter(began, series / 30, "append"), began)
    yield gauge("prometheus_tsdb_storage_blocks_bytes", Wave(4.1e9, 2e8, "blocks"), began)
    yield gauge("prometheus_tsdb_wal_corruptions_total", 0, began)
    yield gauge("prometheus_tsdb_compactions_failed_total", 0, began)
    yield gauge("prometheus_tsdb_lowest_timestamp_seconds", born or began, began)
    yield gauge("prometheus_rule_evaluation_failures_total", 0, began)
    for quantile in ("0.5", "0.9", "0.99"):
        yield gauge("prometheus_target_interval_length_seconds", 30, began, quantile=quantile, interval="30s")


def reloader(pod: Obj) -> Samples:
    began = _started(pod, "config-reloader")
    yield gauge("reloader_last_reload_successful", 1, began)
    yield gauge("reloader_last_reload_success_timestamp_seconds", began or 0.0, began)


def alertmanager(pod: Obj, owner: Obj | None, notifications: Notifications) -> Samples:
    began = _started(pod, "alertmanager")
    version = str((owner or {}).get("spec", {}).get("version") or "").removeprefix("v")
    yield gauge("alertmanager_build_info", 1, began, version=version)
    yield gauge("alertmanager_config_last_reload_successful", notifications.reloaded, began)
    yield gauge("alertmanager_config_last_reload_success_timestamp_seconds", began or 0.0, began)
    yield gauge("alertmanager_config_hash", notifications.config_hash())
    yield gauge("alertmanager_alerts", notifications.active(), state="active")
    yield gauge("alertmanager_silences", notifications.silences(), state="active")
    for integration, counts in sorted(notifications.counts().items()):
        for name, moments in (
            ("notifications_total", counts.sent),
            ("notifications_failed_total", counts.failed),
            ("notification_requests_total", counts.requests),
            ("notification_requests_failed_total", counts.requests_failed),
        ):
            curve = Steps(tuple(sorted(moments)))
            yield gauge(f"alertmanager_{name}", curve, began, integration=integration)


def argocd_controller(cluster: Cluster) -> Samples:
    """Argo CD's application controller: one argocd_app_info per Application."""
    for app in cluster.list(APPLICATIONS):
        yield from _application(app)
    yield gauge("argocd_cluster_connection_status", 1, server="https://kubernetes.default.svc")


def _application(app: Obj) -> Samples:
    spec, status = app.get("spec") or {}, app.get("status") or {}
    source: Obj = spec.get("source") or next(iter(spec.get("sources") or []), {})
    destination = spec.get("destination") or {}
    key = {
        "name": app["metadata"]["name"],
        "namespace": app["metadata"]["namespace"],
        "project": str(spec.get("project") or "default"),
        "dest_server": str(destination.get("server") or ""),
    }
    operation = status.get("operationState") or {}
    running = app.get("operation") or (operation if operation.get("phase") == "Running" else None)
    yield gauge(
        "argocd_app_info",
        1,
        _state_since(status),
        **key,
        repo=str(source.get("repoURL") or "").removesuffix(".git"),
        dest_namespace=str(destination.get("namespace") or ""),
        autosync_enabled=str("automated" in (spec.get("syncPolicy") or {})).lower(),
        sync_status=str((status.get("sync") or {}).get("status") or "Unknown"),
        health_status=str((status.get("health") or {}).get("status") or "Unknown"),
        operation="sync" if running else "",
    )
    done = sorted(m for m in (seconds(each.get("deployedAt")) for each in status.get("history") or []) if m is not None)
    yield gauge("argocd_app_sync_total", Steps(tuple(done)), created(app), phase="Succeeded", dry_run="false", **key)
    finished = seconds(operation.get("finishedAt"))
    if operation.get("phase") in ("Failed", "Error") and finished is not None:
        retries = float(operation.get("retryCount") or 0)
        phase = str(operation["phase"])
        yield gauge(
            "argocd_app_sync_total", Steps((finished,), retries), created(app), phase=phase, dry_run="false", **key
        )


def _state_since(status: Obj) -> float | None:
    """Since when both sync and health have read as they do, as far as the object says."""
    health = seconds((status.get("health") or {}).get("lastTransitionTime"))
    finished = seconds((status.get("operationState") or {}).get("finishedAt"))
    known = [moment for moment in (health, finished) if moment is not None]
    return max(known) if known else None


def grafana(pod: Obj, container: str) -> Samples:
    began = _started(pod, container)
    image = next((each["image"] for each in pod["spec"]["containers"] if each["name"] == container), "")
    yield gauge("grafana_build_info", 1, began, version=split_image(image)[1].partition("-")[0], edition="oss")
    yield gauge("grafana_stat_totals_dashboard", 26, began)
    yield gauge("grafana_http_request_duration_seconds_count", Counter(began or 0.0, 0.4, "grafana"), began)


def control_plane(job: str, instance: str, origin: float) -> Samples:
    """API server, etcd, scheduler, controller manager, CoreDNS: what their alerts look at."""
    match job:
        case "apiserver":
            for verb, rate in (("GET", 30.0), ("LIST", 4.0), ("WATCH", 6.0), ("PATCH", 3.0)):
                name = "apiserver_request_total"
                yield gauge(name, Counter(origin, rate, instance + verb), origin, verb=verb, code="200")
        case "kube-etcd":
            leader = zlib.crc32(instance.encode()) % 3 == 0
            yield gauge("etcd_server_has_leader", 1, origin)
            yield gauge("etcd_server_is_leader", leader, origin)
            yield gauge("etcd_mvcc_db_total_size_in_bytes", Wave(9e7, 3e6, instance), origin)
        case "coredns":
            yield gauge("coredns_dns_requests_total", Counter(origin, 12.0, instance), origin)
        case _:
            return


def operator(pod: Obj, container: str) -> Samples:
    began = _started(pod, container)
    for controller in ("alertmanager", "prometheus", "thanos"):
        yield gauge("prometheus_operator_ready", 1, began, controller=controller)
        yield gauge("prometheus_operator_reconcile_errors_total", 0, began, controller=controller)
