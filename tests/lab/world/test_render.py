"""The chart: which objects the values give, and what Grafana's keys change."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from lab.git import ChartError, Repository, SourceError, render
from lab.git.repository import helm_values, shipped_files

CHART, VERSION = "kube-prometheus-stack", "55.5.0"


def objects(values: dict[str, Any] | None = None) -> dict[tuple[str, str], Any]:
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in render(CHART, VERSION, values or {})}


def grafana(values: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return objects({"grafana": values})


def deployment(values: dict[str, Any]) -> Any:
    return grafana(values)["Deployment", "kube-prometheus-stack-grafana"]


def containers(values: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry for entry in deployment(values)["spec"]["template"]["spec"]["containers"]}


def team_values() -> dict[str, Any]:
    app = yaml.safe_load(shipped_files()["bootstrap/apps/monitoring.yaml"])
    return helm_values(app["spec"]["source"]["helm"])


def test_the_chart_has_the_images_of_its_time() -> None:
    found = objects()
    images = {
        container["image"]
        for obj in found.values()
        if obj["kind"] in ("Deployment", "DaemonSet")
        for container in obj["spec"]["template"]["spec"]["containers"]
    }
    assert {
        "docker.io/grafana/grafana:10.2.2",
        "registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.10.1",
        "quay.io/prometheus/node-exporter:v1.7.0",
        "quay.io/prometheus-operator/prometheus-operator:v0.70.0",
    } <= images
    assert found["Prometheus", "kube-prometheus-stack-prometheus"]["spec"]["image"].endswith(":v2.48.1")
    assert found["Alertmanager", "kube-prometheus-stack-alertmanager"]["spec"]["image"].endswith(":v0.26.0")


def test_the_teams_values_reach_the_prometheus_resource() -> None:
    spec = objects(team_values())["Prometheus", "kube-prometheus-stack-prometheus"]["spec"]
    assert (spec["retention"], spec["scrapeInterval"], spec["evaluationInterval"]) == ("15d", "30s", "30s")
    claim = spec["storage"]["volumeClaimTemplate"]["spec"]
    assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("nfs-client", "20Gi")
    assert spec["serviceMonitorSelector"] == {} and spec["ruleSelector"] == {}
    assert spec["probeSelector"] == {"matchLabels": {"release": "kube-prometheus-stack"}}


def test_additional_scrape_configs_become_the_secret_the_operator_reads() -> None:
    secret = objects(team_values())["Secret", "kube-prometheus-stack-prometheus-scrape-confg"]
    jobs = yaml.safe_load(base64.b64decode(secret["data"]["additional-scrape-configs.yaml"]))
    assert [job["job_name"] for job in jobs] == ["argocd-metrics", "argocd-server-metrics", "argocd-repo-server"]
    assert ("Secret", "kube-prometheus-stack-prometheus-scrape-confg") not in objects()


def test_grafana_disabled_renders_no_grafana_at_all() -> None:
    left = [key for key in grafana({"enabled": False}) if "grafana" in key[1]]
    assert left == []


def test_the_sidecars_are_containers_only_when_enabled() -> None:
    off = {"sidecar": {"dashboards": {"enabled": False}, "datasources": {"enabled": False}}}
    assert set(containers(off)) == {"grafana"}
    assert set(containers({})) == {"grafana", "grafana-sc-dashboard", "grafana-sc-datasources"}
    assert grafana(off)["ClusterRole", "kube-prometheus-stack-grafana-clusterrole"]["rules"] == []
    assert ("ConfigMap", "kube-prometheus-stack-grafana-datasource") not in grafana(off)


def test_persistence_brings_a_claim_a_volume_and_the_chown() -> None:
    with_disk = {"persistence": {"enabled": True, "size": "10Gi", "storageClassName": "nfs-client"}}
    pod = deployment(with_disk)["spec"]["template"]["spec"]
    assert {"name": "storage", "persistentVolumeClaim": {"claimName": "kube-prometheus-stack-grafana"}} in pod[
        "volumes"
    ]
    assert [entry["name"] for entry in pod["initContainers"]] == ["init-chown-data"]
    claim = grafana(with_disk)["PersistentVolumeClaim", "kube-prometheus-stack-grafana"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    assert "initContainers" not in deployment({})["spec"]["template"]["spec"]


def test_additional_datasources_are_listed_after_the_charts_own() -> None:
    extra = {"name": "Other", "type": "prometheus", "isDefault": True}
    text = grafana({"additionalDataSources": [extra]})["ConfigMap", "kube-prometheus-stack-grafana-datasource"]["data"]
    entries = yaml.safe_load(text["datasource.yaml"])["datasources"]
    assert [entry["name"] for entry in entries] == ["Prometheus", "Alertmanager", "Other"]
    assert [entry["name"] for entry in entries if entry.get("isDefault")] == ["Prometheus", "Other"]


def test_a_default_datasource_can_be_switched_off() -> None:
    found = grafana({"sidecar": {"datasources": {"isDefaultDatasource": False}}})
    text = found["ConfigMap", "kube-prometheus-stack-grafana-datasource"]["data"]["datasource.yaml"]
    assert [entry["isDefault"] for entry in yaml.safe_load(text)["datasources"] if "isDefault" in entry] == [False]


def test_datasources_in_values_are_mounted_as_a_file() -> None:
    values = {"datasources": {"datasources.yaml": {"apiVersion": 1, "datasources": [{"name": "P"}]}}}
    mounts = containers(values)["grafana"]["volumeMounts"]
    path = "/etc/grafana/provisioning/datasources/datasources.yaml"
    assert {"name": "config", "mountPath": path, "subPath": "datasources.yaml"} in mounts
    data = grafana(values)["ConfigMap", "kube-prometheus-stack-grafana"]["data"]
    assert yaml.safe_load(data["datasources.yaml"])["datasources"] == [{"name": "P"}]


def test_an_existing_secret_replaces_the_charts_own() -> None:
    values = {"admin": {"existingSecret": "grafana-admin", "userKey": "user", "passwordKey": "pass"}}
    env = {entry["name"]: entry for entry in containers(values)["grafana"]["env"]}
    assert env["GF_SECURITY_ADMIN_PASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": "grafana-admin", "key": "pass"}
    assert ("Secret", "kube-prometheus-stack-grafana") not in grafana(values)
    assert "checksum/secret" not in deployment(values)["spec"]["template"]["metadata"]["annotations"]


def test_the_admin_password_changes_the_secret_and_the_pod_template() -> None:
    one, two = grafana({"adminPassword": "one"}), grafana({"adminPassword": "two"})
    key = ("Deployment", "kube-prometheus-stack-grafana")
    assert base64.b64decode(one["Secret", "kube-prometheus-stack-grafana"]["data"]["admin-password"]) == b"one"
    assert one[key]["spec"]["template"]["metadata"] != two[key]["spec"]["template"]["metadata"]


def test_this_chart_does_not_know_a_startup_probe() -> None:
    probe = {"httpGet": {"path": "/api/health", "port": 3000}, "failureThreshold": 60}
    assert deployment({"startupProbe": probe}) == deployment({})


def test_liveness_strategy_service_env_and_resources_follow_the_values() -> None:
    values = {
        "livenessProbe": {"initialDelaySeconds": 300},
        "deploymentStrategy": {"type": "Recreate"},
        "service": {"type": "LoadBalancer", "loadBalancerIP": "10.1.5.185"},
        "env": {"GF_DATABASE_HOST": "db"},
        "resources": {"limits": {"cpu": "100m"}},
    }
    main = containers(values)["grafana"]
    assert main["livenessProbe"]["initialDelaySeconds"] == 300 and main["livenessProbe"]["failureThreshold"] == 10
    assert {"name": "GF_DATABASE_HOST", "value": "db"} in main["env"]
    assert main["resources"] == {"limits": {"cpu": "100m"}}
    assert deployment(values)["spec"]["strategy"] == {"type": "Recreate"}
    service = grafana(values)["Service", "kube-prometheus-stack-grafana"]["spec"]
    assert (service["type"], service["loadBalancerIP"]) == ("LoadBalancer", "10.1.5.185")


def test_rendering_gives_fresh_objects_every_time() -> None:
    first = render(CHART, VERSION, {})
    first[0]["metadata"]["name"] = "changed"
    assert render(CHART, VERSION, {})[0]["metadata"]["name"] != "changed"


def test_an_unknown_version_and_values_of_a_wrong_type_are_chart_errors() -> None:
    with pytest.raises(ChartError, match="not found"):
        render(CHART, "1.2.3", {})
    with pytest.raises(ChartError):
        render(CHART, VERSION, {"grafana": {"sidecar": "off"}})


def test_a_values_object_makes_the_values_string_ignored_and_parameters_win() -> None:
    helm = {"values": "a: 1\nb: 1", "valuesObject": {"b": 2}, "parameters": [{"name": "c.d", "value": "3"}]}
    assert helm_values(helm) == {"b": 2, "c": {"d": 3}}
    assert helm_values({"values": "a: 1"}) == {"a": 1}


def test_a_commit_changes_the_revision_and_what_the_path_holds() -> None:
    repository = Repository(shipped_files())
    before = repository.head
    after = repository.commit(
        "platform-services/extra.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: extra}\n"
    )
    source = {"path": "platform-services", "targetRevision": "main"}
    names = [obj["metadata"]["name"] for obj in repository.manifests(source, "argocd", "platform-services")]
    assert after != before and repository.revision(source) == after
    assert "extra" in names
    with pytest.raises(SourceError, match="does not exist"):
        repository.manifests({"path": "nowhere"}, "argocd", "x")


def test_the_init_container_of_this_chart_collects_once_whatever_the_watch_method_says() -> None:
    """Chart 7.0.x; from 10.2 on it follows watchMethod, which is why WATCH alone hangs newer pods."""
    values = {"sidecar": {"datasources": {"enabled": True, "initDatasources": True, "watchMethod": "WATCH"}}}
    [init] = deployment(values)["spec"]["template"]["spec"]["initContainers"]
    assert {"name": "METHOD", "value": "LIST"} in init["env"]
    main = containers(values)["grafana-sc-datasources"]
    assert {"name": "METHOD", "value": "WATCH"} in main["env"]
