"""The scenarios' objects against the facts of the team's cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from lab.controllers import meta
from lab.git.repository import shipped_files
from lab.scenarios import NAMES, Built, build
from lab.scenarios.world import MONITORING_FILE

NOW = datetime(2025, 11, 23, 13, 52, tzinfo=UTC)
WHERE = "platform-monitoring"
GRAFANA = "kube-prometheus-stack-grafana"


@pytest.fixture(scope="module")
def worlds() -> dict[str, Built]:
    return {name: build(name, NOW) for name in NAMES}


def of_kind(world: Built, kind: str, namespace: str | None = None) -> list[Any]:
    return [
        obj
        for obj in world.objects
        if obj["kind"] == kind and namespace in (None, obj["metadata"].get("namespace", ""))
    ]


def one(world: Built, kind: str, name: str) -> Any:
    return next(obj for obj in of_kind(world, kind) if obj["metadata"]["name"] == name)


def test_the_nodes_are_those_of_the_team(worlds: dict[str, Built]) -> None:
    nodes = {node["metadata"]["name"]: node for node in of_kind(worlds["healthy"], "Node")}
    assert set(nodes) == {*(f"master0{n}" for n in (1, 2, 3)), *(f"worker0{n}" for n in (1, 2, 3, 4))}
    assert {node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes.values()} == {"v1.30.10"}
    taints = {(taint["key"], taint["value"], taint["effect"]) for taint in nodes["worker04"]["spec"]["taints"]}
    assert taints == {("storage", "hdd", "NoSchedule"), ("metallb", "disabled", "NoSchedule")}
    assert nodes["master01"]["spec"]["taints"][0]["key"] == "node-role.kubernetes.io/control-plane"
    assert "taints" not in nodes["worker01"]["spec"]


def test_twelve_monitoring_pods_run_when_all_is_well_and_eleven_in_the_reports_hour(worlds: dict[str, Built]) -> None:
    for name, count in (("healthy", 12), ("grafana-broken", 11)):
        pods = of_kind(worlds[name], "Pod", WHERE)
        assert len(pods) == count
        assert all(meta.pod_ready(pod) for pod in pods)


def test_node_exporter_runs_on_all_seven_nodes_and_stateful_pods_never_on_worker04(worlds: dict[str, Built]) -> None:
    world = worlds["healthy"]
    status = one(world, "DaemonSet", "kube-prometheus-stack-prometheus-node-exporter")["status"]
    assert (status["desiredNumberScheduled"], status["numberReady"]) == (7, 7)
    for pod in of_kind(world, "Pod", WHERE):
        if meta.labels(pod).get("app.kubernetes.io/name") in ("prometheus", "alertmanager", "grafana"):
            assert pod["spec"]["nodeName"] in ("worker01", "worker02", "worker03")


def test_the_stateful_pods_are_two_of_two_and_their_claims_bound(worlds: dict[str, Built]) -> None:
    world = worlds["grafana-broken"]
    for kind in ("prometheus", "alertmanager"):
        pod = one(world, "Pod", f"{kind}-kube-prometheus-stack-{kind}-0")
        assert [entry["ready"] for entry in pod["status"]["containerStatuses"]] == [True, True]
    claims = {claim["metadata"]["name"]: claim for claim in of_kind(world, "PersistentVolumeClaim")}
    sizes = {name.partition("-")[0]: claim["status"]["capacity"]["storage"] for name, claim in claims.items()}
    assert sizes == {"prometheus": "20Gi", "alertmanager": "5Gi"}
    volumes = {volume["metadata"]["name"]: volume for volume in of_kind(world, "PersistentVolume")}
    for name, claim in claims.items():
        assert claim["status"]["phase"] == "Bound"
        assert volumes[claim["spec"]["volumeName"]]["spec"]["claimRef"]["name"] == name


def test_storage_classes_have_one_default(worlds: dict[str, Built]) -> None:
    classes = {entry["metadata"]["name"]: entry for entry in of_kind(worlds["healthy"], "StorageClass")}
    assert set(classes) == {"nfs-client", "openebs-hostpath"}
    assert meta.notes(classes["nfs-client"])["storageclass.kubernetes.io/is-default-class"] == "true"
    assert classes["openebs-hostpath"]["volumeBindingMode"] == "WaitForFirstConsumer"


def test_argo_cd_has_five_pods_an_address_and_its_metrics_services(worlds: dict[str, Built]) -> None:
    world = worlds["grafana-broken"]
    assert len(of_kind(world, "Pod", "argocd")) == 5
    server = one(world, "Service", "argocd-server")
    assert server["status"]["loadBalancer"]["ingress"][0]["ip"] == "10.1.5.184"
    ports = {
        name: [port["port"] for port in one(world, "Service", name)["spec"]["ports"]]
        for name in ("argocd-metrics", "argocd-server-metrics", "argocd-repo-server")
    }
    assert ports["argocd-metrics"] == [8082] and ports["argocd-server-metrics"] == [8083]
    assert 8084 in ports["argocd-repo-server"]


def test_the_monitoring_application_is_as_the_team_wrote_it(worlds: dict[str, Built]) -> None:
    app = one(worlds["grafana-broken"], "Application", "kube-prometheus-stack")
    assert app["metadata"]["labels"] == {"managed-by": "gitops", "component": "monitoring"}
    assert app["metadata"]["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]
    spec = app["spec"]
    assert isinstance(spec["source"]["helm"]["values"], str) and "valuesObject" not in spec["source"]["helm"]
    assert spec["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    assert spec["syncPolicy"]["retry"]["limit"] == 5
    assert set(spec["syncPolicy"]["syncOptions"]) == {"CreateNamespace=true", "ServerSideApply=true"}
    assert spec["ignoreDifferences"][0]["jsonPointers"] == ["/spec/volumeClaimTemplates"]
    root = one(worlds["grafana-broken"], "Application", "root-app")["spec"]
    assert root["syncPolicy"]["automated"] == {"prune": False, "selfHeal": True}
    assert root["source"]["path"] == "bootstrap/apps"


def test_in_the_reports_hour_the_application_is_stuck_after_a_failed_sync(worlds: dict[str, Built]) -> None:
    status = one(worlds["grafana-broken"], "Application", "kube-prometheus-stack")["status"]
    assert (status["sync"]["status"], status["health"]["status"]) == ("OutOfSync", "Missing")
    state = status["operationState"]
    assert (state["phase"], state["retryCount"]) == ("Failed", 5)
    assert state["syncResult"]["source"] == status["sync"]["comparedTo"]["source"]
    assert [entry["type"] for entry in status["conditions"]] == ["SyncError"]
    assert status["conditions"][0]["message"].startswith("Failed last sync attempt to [55.5.0]: ")
    assert [entry["id"] for entry in status["history"]] == [0, 1, 2]
    missing = [row["name"] for row in status["resources"] if row.get("health", {}).get("status") == "Missing"]
    assert missing == [GRAFANA]


def test_the_grafana_service_keeps_its_address_without_a_pod_behind_it(worlds: dict[str, Built]) -> None:
    world = worlds["grafana-broken"]
    assert not [obj for obj in of_kind(world, "Deployment") if obj["metadata"]["name"] == GRAFANA]
    service = one(world, "Service", GRAFANA)
    assert service["status"]["loadBalancer"]["ingress"][0]["ip"] == "10.1.5.185"
    pieces = [
        obj for obj in of_kind(world, "EndpointSlice") if meta.labels(obj)["kubernetes.io/service-name"] == GRAFANA
    ]
    assert [piece["endpoints"] for piece in pieces] == [[]]


def test_all_applications_are_well_in_the_healthy_world(worlds: dict[str, Built]) -> None:
    words = {
        app["metadata"]["name"]: (app["status"]["sync"]["status"], app["status"]["health"]["status"])
        for app in of_kind(worlds["healthy"], "Application")
    }
    assert set(words) == {"root-app", "infrastructure", "platform-services", "kube-prometheus-stack"}
    assert set(words.values()) == {("Synced", "Healthy")}


def test_only_the_healthy_world_departs_from_the_teams_values_by_an_alertmanager_datasource(
    worlds: dict[str, Built],
) -> None:
    team = shipped_files()[MONITORING_FILE]
    assert worlds["grafana-broken"].files[MONITORING_FILE] == team
    changed = worlds["healthy"].files[MONITORING_FILE]
    assert [line for line in team.splitlines() if line not in changed.splitlines()] == []

    def sources(world: Built) -> list[tuple[str, str, bool]]:
        values = one(world, "Application", "kube-prometheus-stack")["spec"]["source"]["helm"]["values"]
        found = yaml.safe_load(values)["grafana"]["datasources"]["datasources.yaml"]["datasources"]
        return [(each["type"], each["uid"], each.get("isDefault", False)) for each in found]

    assert sources(worlds["grafana-broken"]) == [("prometheus", "prometheus", True)]
    assert sources(worlds["healthy"]) == [("prometheus", "prometheus", True), ("alertmanager", "alertmanager", False)]


def test_two_default_datasources_leave_grafana_in_a_crash_loop_with_the_cause_in_its_log(
    worlds: dict[str, Built],
) -> None:
    world = worlds["grafana-two-default-datasources"]
    pod = next(p for p in of_kind(world, "Pod", WHERE) if "grafana" in p["metadata"]["name"])
    entries = {entry["name"]: entry for entry in pod["status"]["containerStatuses"]}
    assert entries["grafana"]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert entries["grafana"]["lastState"]["terminated"]["exitCode"] == 1
    assert entries["grafana"]["restartCount"] > 5
    assert entries["grafana-sc-dashboard"]["ready"] and entries["grafana-sc-datasources"]["ready"]
    _, previous = world.logs[WHERE, pod["metadata"]["name"], "grafana"]
    assert any("Only one datasource per organization can be marked as default" in text for _, text in previous)
    sidecar, _ = world.logs[WHERE, pod["metadata"]["name"], "grafana-sc-datasources"]
    assert any("port=3000" in text and "Connection refused" in text for _, text in sidecar)


def test_namespaces_policies_quota_and_accounts_are_there(worlds: dict[str, Built]) -> None:
    world = worlds["healthy"]
    names = {obj["metadata"]["name"] for obj in of_kind(world, "Namespace")}
    team = {"dev", "stage", "prod", "is-team-dev", "is-team-stage", "is-team-prod"}
    assert team | {"platform-monitoring", "platform-logging", "argocd"} <= names
    assert len(of_kind(world, "NetworkPolicy")) == 6
    assert [obj["metadata"]["namespace"] for obj in of_kind(world, "ResourceQuota")] == ["is-team-dev"]
    accounts = {obj["metadata"]["name"] for obj in of_kind(world, "ServiceAccount", "argocd")}
    assert {"platform-admin", "is-team-developer"} <= accounts


def test_everything_argo_cd_deploys_says_so(worlds: dict[str, Built]) -> None:
    service = one(worlds["healthy"], "Service", GRAFANA)
    expected = f"kube-prometheus-stack:/Service:{WHERE}/{GRAFANA}"
    assert meta.notes(service)["argocd.argoproj.io/tracking-id"] == expected
    assert [entry["manager"] for entry in service["metadata"]["managedFields"]] == ["argocd-controller"]


def test_the_empty_world_has_nothing(worlds: dict[str, Built]) -> None:
    assert worlds["empty"].objects == []


def test_the_same_seed_gives_the_same_world(worlds: dict[str, Built]) -> None:
    assert build("healthy", NOW).objects == worlds["healthy"].objects
    assert build("healthy", NOW, seed=2).objects != worlds["healthy"].objects


def test_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(KeyError):
        build("nonsense", NOW)


def test_a_slow_first_start_is_killed_by_its_liveness_probe_again_and_again(worlds: dict[str, Built]) -> None:
    world = worlds["grafana-slow-start"]
    pod = next(p for p in of_kind(world, "Pod", WHERE) if "grafana" in p["metadata"]["name"])
    entry = pod["status"]["containerStatuses"][0]
    assert entry["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert entry["lastState"]["terminated"]["exitCode"] == 137
    claim = one(world, "PersistentVolumeClaim", GRAFANA)
    assert (claim["status"]["phase"], claim["spec"]["storageClassName"]) == ("Bound", "nfs-client")


def test_every_world_but_the_empty_one_has_the_same_cluster_below(worlds: dict[str, Built]) -> None:
    counts = {name: len(of_kind(world, "Node")) for name, world in worlds.items() if name != "empty"}
    assert set(counts.values()) == {7}
