"""The lab's Prometheus: what it finds, what it answers, and how that follows from the objects."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from lab.services.rules import expand
from tests.lab.services.conftest import MONITORING, Desk


def test_a_healthy_cluster_has_73_targets_up_each_with_labels_of_its_own(healthy: Desk) -> None:
    targets = healthy.prometheus("targets")["activeTargets"]
    assert [target["health"] for target in targets] == ["up"] * 73
    assert healthy.value("count(up == 1)") == 73
    assert len({tuple(sorted(target["labels"].items())) for target in targets}) == 73


def test_without_a_grafana_pod_its_target_is_not_there_and_nothing_is_down(broken: Desk) -> None:
    assert broken.value("count(up)") == 72
    assert broken.query("up == 0") == []
    assert broken.query('up{service="kube-prometheus-stack-grafana"}') == []


def test_a_pod_that_does_not_listen_is_a_target_that_is_down_and_says_why(healthy: Desk) -> None:
    pod = next(p for p in healthy.store.list("pods", MONITORING) if "kube-state-metrics" in p["metadata"]["name"])

    def crash(found: Any) -> None:
        found["status"]["containerStatuses"][0] |= {
            "ready": False,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        }

    healthy.store.change("pods", MONITORING, pod["metadata"]["name"], crash)
    down = [each for each in healthy.prometheus("targets?state=active")["activeTargets"] if each["health"] == "down"]
    assert [target["labels"]["job"] for target in down] == ["kube-state-metrics"]
    assert "connection refused" in down[0]["lastError"]
    assert healthy.query("kube_pod_info") == []
    assert healthy.value("count(up == 0)") == 1


def test_a_node_that_is_not_ready_takes_its_kubelet_with_it(healthy: Desk) -> None:
    def fail(node: Any) -> None:
        for condition in node["status"]["conditions"]:
            if condition["type"] == "Ready":
                condition["status"] = "Unknown"

    healthy.store.change("nodes", None, "worker02", fail)
    assert healthy.value('count(up{job="kubelet",node="worker02"} == 0)') == 3
    assert healthy.value('kube_node_status_condition{node="worker02",condition="Ready",status="unknown"}') == 1


def test_the_application_reads_in_argo_cds_metric_as_in_its_status(broken: Desk) -> None:
    (found,) = broken.query('argocd_app_info{name="kube-prometheus-stack"}')
    labels = found[0]
    assert (labels["sync_status"], labels["health_status"]) == ("OutOfSync", "Missing")
    assert (labels["project"], labels["dest_namespace"]) == ("infrastructure", MONITORING)

    def heal(app: Any) -> None:
        app["status"]["sync"]["status"] = "Synced"
        app["status"]["health"]["status"] = "Healthy"

    broken.store.change("applications.argoproj.io", "argocd", "kube-prometheus-stack", heal)
    broken.later(2)
    assert broken.query('argocd_app_info{sync_status="OutOfSync"}') == []
    # what it was before is still there a minute ago
    broken.later(60)
    assert len(broken.query('argocd_app_info{sync_status="OutOfSync"} offset 90s')) == 1


def test_alerts_follow_the_state_and_its_duration(broken: Desk, healthy: Desk) -> None:
    def firing(desk: Desk) -> set[str]:
        return {a["labels"]["alertname"] for a in desk.prometheus("alerts")["alerts"] if a["state"] == "firing"}

    assert firing(healthy) == {"Watchdog"}
    assert firing(broken) == {"Watchdog", "ArgoAppOutOfSync", "ArgoAppUnhealthy"}
    assert broken.value('ALERTS{alertname="ArgoAppOutOfSync",alertstate="firing"}') == 1


def test_an_alert_is_pending_until_its_time_has_come(healthy: Desk) -> None:
    assert healthy.value("count(kube_deployment_spec_replicas)") > 0

    def scale(deployment: Any) -> None:
        deployment["spec"]["replicas"] = 5

    healthy.store.change("deployments.apps", MONITORING, "kube-prometheus-stack-kube-state-metrics", scale)

    def state() -> list[str]:
        alerts = healthy.prometheus("alerts")["alerts"]
        return [a["state"] for a in alerts if a["labels"]["alertname"] == "KubeDeploymentReplicasMismatch"]

    healthy.later(1)
    assert state() == ["pending"]
    healthy.later(16 * 60)
    assert state() == ["firing"]
    healthy.store.change(
        "deployments.apps",
        MONITORING,
        "kube-prometheus-stack-kube-state-metrics",
        lambda found: found["spec"].update(replicas=1),
    )
    healthy.later(1)
    assert state() == []


def test_every_shipped_rule_can_be_read(healthy: Desk) -> None:
    rules = [rule for group in healthy.prometheus("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 30
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
    kinds = {rule["type"] for group in healthy.prometheus("rules?type=alert")["groups"] for rule in group["rules"]}
    assert kinds == {"alerting"}


def test_recording_rules_can_be_asked_for(healthy: Desk) -> None:
    assert sum(value for _, value in healthy.query("count:up1")) == 73


def test_status_pages_say_what_the_custom_resource_says(healthy: Desk) -> None:
    assert healthy.prometheus("status/runtimeinfo")["storageRetention"] == "15d"
    assert healthy.prometheus("status/flags")["storage.tsdb.retention.time"] == "15d"
    assert "scrape_interval: 30s" in healthy.prometheus("status/config")["yaml"]
    assert healthy.prometheus("status/buildinfo")["engine"] == healthy.services.engine == "embedded"
    assert healthy.prometheus("status/tsdb")["headStats"]["numSeries"] > 1_000
    assert len(healthy.prometheus("alertmanagers")["activeAlertmanagers"]) == 1
    assert "kubelet" in healthy.prometheus("label/job/values")
    assert healthy.ask("prometheus", "GET", "/-/ready") == (200, "Prometheus Server is Ready.\n")


def test_fifteen_days_of_history_can_be_plotted(healthy: Desk) -> None:
    end = healthy.now.timestamp()
    path = f"query_range?query=sum(up)&start={end - 12 * 86400}&end={end}&step=1h"
    (series,) = healthy.prometheus(path)["result"]
    assert len(series["values"]) == 12 * 24 + 1
    assert float(series["values"][-1][1]) == 73
    load = quote('avg(rate(node_cpu_seconds_total{mode="user"}[5m]))')
    path = f"query_range?query={load}&start={end - 86400}&end={end}&step=3600"
    busy = healthy.prometheus(path)["result"][0]["values"]
    assert len({value for _, value in busy}) > 20, "the load follows the day"


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("query?query=up%7B", 400, "bad_data"),
        ("query?query=frobnicate(up)", 400, "bad_data"),
        ("query?query=up&time=yesterday", 400, "bad_data"),
        ("query?query=up%20%2B%20on(job)%20up", 422, "execution"),
        ("query_range?query=up&start=1&end=2&step=0", 400, "bad_data"),
        ("query_range?query=up&start=0&end=100000&step=1", 400, "bad_data"),
        ("query_range?query=up&start=9&end=2&step=1", 400, "bad_data"),
        ("series", 400, "bad_data"),
    ],
)
def test_bad_questions_get_prometheus_own_errors(healthy: Desk, path: str, status: int, kind: str) -> None:
    code, body = healthy.ask("prometheus", "GET", f"/api/v1/{path}")
    assert (code, body["status"], body["errorType"]) == (status, "error", kind)
    assert body["error"]


def test_an_unknown_path_is_404(healthy: Desk) -> None:
    assert healthy.ask("prometheus", "GET", "/api/v1/nothing")[0] == 404
    assert healthy.ask("prometheus", "DELETE", "/api/v1/query")[0] == 405


def test_nothing_answers_when_no_pod_is_ready_behind_the_service(broken: Desk) -> None:
    with pytest.raises(ConnectionRefusedError):
        broken.ask("grafana", "GET", "/api/health")


def test_storage_and_restarts_read_as_the_objects_do(healthy: Desk) -> None:
    claims = healthy.query('kube_persistentvolumeclaim_info{storageclass="nfs-client"}')
    assert len(claims) == 2
    sizes = healthy.query("kube_persistentvolumeclaim_resource_requests_storage_bytes / 2^30")
    assert sorted(value for _, value in sizes) == [5, 20]
    assert all(
        0 < v < 1 for _, v in healthy.query("kubelet_volume_stats_used_bytes / kubelet_volume_stats_capacity_bytes")
    )
    name = next(
        p["metadata"]["name"] for p in healthy.store.list("pods", MONITORING) if "operator" in p["metadata"]["name"]
    )

    def restart(pod: Any) -> None:
        ended = {"finishedAt": "2025-11-23T13:51:30Z", "reason": "Error", "exitCode": 1}
        pod["status"]["containerStatuses"][0] |= {"restartCount": 1, "lastState": {"terminated": ended}}

    assert healthy.value(f'kube_pod_container_status_restarts_total{{pod="{name}"}}') == 0
    healthy.store.change("pods", MONITORING, name, restart)
    healthy.later(60)
    assert healthy.value(f'increase(kube_pod_container_status_restarts_total{{pod="{name}"}}[5m]) > bool 0') == 1


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{ $labels.name }} is down", "x is down"),
        ("{{ $value }}", "0.5"),
        ('{{ printf "%.1f" $value }}%', "0.5%"),
        ("{{ $value | humanizePercentage }}", "50%"),
        ("{{ $labels.missing }}!", "!"),
        ("{{ query `up` }}", "{{ query `up` }}"),
    ],
)
def test_annotations_are_filled_in(text: str, result: str) -> None:
    assert expand(text, {"name": "x"}, 0.5) == result
