"""The running world: idle when all is well, repaired by cause, governed by Argo CD's rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab.world.running import APPLICATION, GRAFANA, MONITORING, RunningLab, environment_of, healthy, phase

pytestmark = pytest.mark.lab
DEPLOYMENT = {
    "group": "apps",
    "kind": "Deployment",
    "name": "kube-prometheus-stack-grafana",
    "namespace": "platform-monitoring",
}


def ready(lab: RunningLab) -> bool:
    """Whether one Grafana pod is ready and the Service leads to it."""
    pods = lab.grafana_pods()
    conditions = [
        entry["status"] for pod in pods for entry in pod["status"].get("conditions", []) if entry["type"] == "Ready"
    ]
    return conditions == ["True"] and len(lab.ready_addresses()) == 1


def test_a_healthy_world_is_left_alone_for_five_seconds(well: RunningLab) -> None:
    time.sleep(5)
    assert well.writes() == []


def test_the_lab_says_in_one_line_that_it_is_ready_and_where_its_services_are(tmp_path: Path) -> None:
    lab = RunningLab("grafana-broken", tmp_path)
    try:
        assert f"scenario=grafana-broken kubeconfig={lab.kubeconfig}" in lab.ready_line
        environment = environment_of(lab)
        assert Path(environment["PORTAL_GRAFANA_TOKEN_FILE"]).read_text().startswith("glsa_")
        assert environment["PORTAL_LAB_PROMETHEUS_ENGINE"] in ("debian", "embedded")
    finally:
        lab.stop()
    assert lab.process.returncode == 0


def test_a_refresh_is_answered_by_removing_its_annotation(broken: RunningLab) -> None:
    before = broken.app()["status"]["reconciledAt"]
    time.sleep(1.1)  # reconciledAt has whole seconds
    broken.patch(
        APPLICATION + "kube-prometheus-stack",
        {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}},
    )
    broken.until(
        lambda: "argocd.argoproj.io/refresh" not in broken.app()["metadata"]["annotations"], "the refresh was done"
    )
    status = broken.app()["status"]
    assert status["reconciledAt"] > before
    assert status["health"]["status"] == "Missing"


def test_a_partial_sync_brings_grafana_up_and_only_a_full_one_enters_the_history(broken: RunningLab) -> None:
    assert broken.ready_addresses() == []
    broken.sync(DEPLOYMENT)
    broken.until(lambda: ready(broken), "Grafana is ready behind its Service")
    broken.until(lambda: healthy(broken.app()), "the Application is Synced and Healthy")
    app = broken.app()
    assert phase(app) == "Succeeded" and "operation" not in app
    assert [row["name"] for row in app["status"]["operationState"]["syncResult"]["resources"]] == [DEPLOYMENT["name"]]
    assert [entry["id"] for entry in app["status"]["history"]] == [0, 1, 2]
    assert not app["status"].get("conditions")
    broken.sync()
    broken.until(lambda: len(broken.app()["status"]["history"]) == 4, "the full sync is in the history")
    entry = broken.app()["status"]["history"][-1]
    assert (entry["id"], entry["revision"]) == (3, "55.5.0")
    assert entry["initiatedBy"] == {"username": "a-person"}


def test_after_the_failed_sync_nothing_starts_by_itself(broken: RunningLab) -> None:
    time.sleep(2)  # forty seconds of the demo's clock
    app = broken.app()
    assert "operation" not in app and phase(app) == "Failed"
    assert broken.grafana_pods() == []


def test_after_a_success_a_deleted_deployment_comes_back_by_itself(well: RunningLab) -> None:
    uid = well.get(GRAFANA)["metadata"]["uid"]
    well.http.delete(GRAFANA).raise_for_status()

    def back() -> bool:
        answer = well.http.get(GRAFANA)
        return answer.status_code == 200 and answer.json()["metadata"]["uid"] != uid and ready(well)

    well.until(back, "self-heal made the Deployment anew")
    history = well.app()["status"]["history"]
    assert len(history) == 4  # a self-heal is a partial sync
    operation = well.app()["status"]["operationState"]["operation"]
    assert operation["initiatedBy"] == {"automated": True}
    assert [entry["kind"] for entry in operation["sync"]["resources"]] == ["Deployment"]


def test_root_app_reverts_a_live_edit_of_a_childs_spec(lasting: RunningLab) -> None:
    before = lasting.app()["spec"]["source"]["helm"]["values"]
    path = APPLICATION + "kube-prometheus-stack"
    lasting.patch(path, {"spec": {"source": {"helm": {"values": before + "\n# by hand\n"}}}})
    lasting.until(lambda: lasting.app()["spec"]["source"]["helm"]["values"] == before, "root-app restored the values")
    lasting.until(lambda: healthy(lasting.app("root-app")) and healthy(lasting.app()), "all is in sync again")


def test_a_running_operation_can_be_terminated(broken: RunningLab) -> None:
    path = APPLICATION + "kube-prometheus-stack"
    wanted = {"sync": {"syncOptions": [], "revision": ""}, "retry": {"limit": 3}}
    broken.patch(path, {"operation": wanted, "status": {"operationState": {"phase": "Terminating"}}})
    broken.until(lambda: "operation" not in broken.app(), "the operation ended")
    state = broken.app()["status"]["operationState"]
    assert (state["phase"], state["message"]) == ("Failed", "Operation terminated")


def test_a_sync_that_the_server_refuses_is_retried_and_then_failed(broken: RunningLab) -> None:
    broken.http.post(
        "/lab/faults",
        json={"verb": "patch", "resource": "deployments.apps", "action": "status:500", "count": -1, "target": "api"},
    ).raise_for_status()
    operation = {"sync": {"resources": [DEPLOYMENT]}, "retry": {"limit": 1, "backoff": {"duration": "1s"}}}
    body = {"operation": operation, "status": {"operationState": None}}
    broken.patch(APPLICATION + "kube-prometheus-stack", body)
    broken.until(lambda: phase(broken.app()) == "Failed", "the operation failed at its limit")
    state = broken.app()["status"]["operationState"]
    assert state["retryCount"] == 1 and "(retried 1 times)" in state["message"]
    assert state["syncResult"]["resources"][0]["status"] == "SyncFailed"


def test_two_default_datasources_crash_until_git_has_one(two_defaults: RunningLab) -> None:
    lab = two_defaults
    pod = lab.grafana_pods()[0]
    entry = next(e for e in pod["status"]["containerStatuses"] if e["name"] == "grafana")
    assert entry["state"]["waiting"]["reason"] == "CrashLoopBackOff" and lab.ready_addresses() == []
    log = lab.http.get(
        f"/api/v1{MONITORING}/pods/{pod['metadata']['name']}/log", params={"container": "grafana", "previous": "true"}
    ).text
    assert "Only one datasource per organization can be marked as default" in log
    file = Path(f"{lab.kubeconfig}.git/bootstrap/apps/monitoring.yaml")
    head, tail = file.read_text().split("additionalDataSources:", 1)
    file.write_text(head + "additionalDataSources:" + tail.replace("isDefault: true", "isDefault: false", 1))
    lab.patch(APPLICATION + "root-app", {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}})
    lab.until(
        lambda: "isDefault: false" in lab.app()["spec"]["source"]["helm"]["values"], "root-app brought the new values"
    )
    lab.until(lambda: healthy_config(lab), "the ConfigMap has one default")
    lab.http.delete(f"/api/v1{MONITORING}/pods/{pod['metadata']['name']}").raise_for_status()
    lab.until(lambda: ready(lab), "a new pod starts well")
    lab.until(lambda: healthy(lab.app()), "the Application is healthy")


def healthy_config(lab: RunningLab) -> bool:
    data = lab.get(f"/api/v1{MONITORING}/configmaps/kube-prometheus-stack-grafana-datasource")["data"]
    return bool(data["datasource.yaml"].count("isDefault: true") == 1)


def test_a_crash_loop_goes_on_while_the_cause_is_there(two_defaults: RunningLab) -> None:
    name = two_defaults.grafana_pods()[0]["metadata"]["name"]
    two_defaults.http.delete(f"/api/v1{MONITORING}/pods/{name}").raise_for_status()

    def crashed_again() -> bool:
        return any(
            entry["name"] == "grafana" and entry["restartCount"] >= 2
            for pod in two_defaults.grafana_pods()
            for entry in pod["status"].get("containerStatuses", [])
        )

    two_defaults.until(crashed_again, "the new pod crashes as well")
    assert two_defaults.ready_addresses() == []


def test_health_that_never_turns_ok_leaves_the_service_without_a_pod(broken: RunningLab) -> None:
    file = Path(f"{broken.kubeconfig}.git/bootstrap/apps/monitoring.yaml")
    env = "          env:\n            GF_DATABASE_HOST: grafana-db:5432\n          persistence:\n"
    file.write_text(file.read_text().replace("          persistence:\n", env))
    broken.patch(APPLICATION + "root-app", {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}})
    broken.until(broken.grafana_pods, "the changed source was synced")
    time.sleep(2)
    statuses = [entry for pod in broken.grafana_pods() for entry in pod["status"]["containerStatuses"]]
    assert [entry["ready"] for entry in statuses] == [False]
    assert broken.ready_addresses() == []


def test_killing_the_argo_controller_stops_refreshes_until_it_is_back(lasting: RunningLab) -> None:
    path = "/apis/apps/v1/namespaces/argocd/statefulsets/argocd-application-controller"
    lasting.patch(path, {"spec": {"replicas": 0}})
    pods = "/api/v1/namespaces/argocd/pods"
    component = "app.kubernetes.io/component=application-controller"
    lasting.until(lambda: not lasting.items(pods, labelSelector=component), "the controller's pod is gone")
    app = APPLICATION + "infrastructure"
    lasting.patch(app, {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}})
    time.sleep(1)
    assert "argocd.argoproj.io/refresh" in lasting.get(app)["metadata"]["annotations"]
    lasting.patch(path, {"spec": {"replicas": 1}})
    lasting.until(
        lambda: "argocd.argoproj.io/refresh" not in lasting.get(app)["metadata"].get("annotations", {}),
        "the refresh was done by the new pod",
    )


@pytest.mark.kubectl
def test_kubectl_restarts_scales_and_deletes(lasting: RunningLab) -> None:
    where = ("-n", "platform-monitoring")
    operator = "deployment/kube-prometheus-stack-operator"
    lasting.kubectl(*where, "rollout", "restart", operator)
    assert "successfully rolled out" in lasting.kubectl(*where, "rollout", "status", operator, "--timeout=90s")
    sets = json.loads(lasting.kubectl(*where, "get", "rs", "-l", "app=kube-prometheus-stack-operator", "-o", "json"))
    assert sorted(item["spec"]["replicas"] for item in sets["items"]) == [0, 1]
    lasting.kubectl("-n", "kube-system", "scale", "deployment/coredns", "--replicas=3")
    assert "successfully rolled out" in lasting.kubectl(
        "-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=90s"
    )
    name = "prometheus-kube-prometheus-stack-prometheus-0"
    before = lasting.get(f"/api/v1{MONITORING}/pods/{name}")["metadata"]["uid"]
    lasting.kubectl(*where, "delete", "pod", name)

    def again() -> Any:
        answer = lasting.http.get(f"/api/v1{MONITORING}/pods/{name}")
        pod = answer.json() if answer.status_code == 200 else {"metadata": {"uid": before}}
        entries = pod.get("status", {}).get("containerStatuses", [])
        return pod["metadata"]["uid"] != before and entries and all(entry["ready"] for entry in entries)

    lasting.until(again, "the StatefulSet made the pod again and it is ready")
    shown = lasting.kubectl(*where, "logs", name, "-c", "prometheus")
    assert "Server is ready to receive web requests." in shown


@pytest.mark.kubectl
def test_a_cordoned_node_gets_no_pod_and_an_impossible_one_says_why(lasting: RunningLab) -> None:
    for name in ("worker01", "worker02", "worker03"):
        lasting.kubectl("cordon", name)
    pod = lasting.grafana_pods()[0]["metadata"]["name"]
    lasting.kubectl("-n", "platform-monitoring", "delete", "pod", pod)

    def refused() -> Any:
        return [
            entry["message"]
            for found in lasting.grafana_pods()
            for entry in found["status"].get("conditions", [])
            if entry["type"] == "PodScheduled" and entry["status"] == "False"
        ]

    message = lasting.until(refused, "the new pod cannot be scheduled")[0]
    assert message.startswith("0/7 nodes are available: ")
    assert "3 node(s) were unschedulable" in message
    assert "untolerated taint {node-role.kubernetes.io/control-plane: }" in message
    lasting.kubectl("uncordon", "worker02")
    lasting.until(lambda: ready(lasting), "the pod runs on the node that is open again")
    assert lasting.grafana_pods()[0]["spec"]["nodeName"] == "worker02"
    for name in ("worker01", "worker03"):
        lasting.kubectl("uncordon", name)


def test_a_claim_is_bound_by_the_provisioner_and_waits_while_it_is_down(lasting: RunningLab) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    path = "/api/v1/namespaces/dev/persistentvolumeclaims"
    deployment = "/apis/apps/v1/namespaces/nfs-provisioner/deployments/nfs-client-nfs-subdir-external-provisioner"
    lasting.patch(deployment, {"spec": {"replicas": 0}})
    lasting.until(lambda: not lasting.items("/api/v1/namespaces/nfs-provisioner/pods"), "the provisioner is down")
    lasting.http.post(path, json=claim).raise_for_status()
    time.sleep(0.7)
    assert lasting.get(f"{path}/data")["status"]["phase"] == "Pending"
    lasting.patch(deployment, {"spec": {"replicas": 1}})
    lasting.until(lambda: lasting.get(f"{path}/data")["status"]["phase"] == "Bound", "the claim is bound")
    assert lasting.get(f"{path}/data")["spec"]["storageClassName"] == "nfs-client"


def test_a_load_balancer_service_gets_the_address_it_asks_for_or_the_next_free_one(lasting: RunningLab) -> None:
    path = "/api/v1/namespaces/dev/services"
    for name, asked in (("first", None), ("second", "10.1.5.190")):
        spec: dict[str, Any] = {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": "x"}}
        lasting.http.post(
            path, json={"metadata": {"name": name}, "spec": {**spec, **({"loadBalancerIP": asked} if asked else {})}}
        ).raise_for_status()

    def addresses() -> list[str]:
        found = [obj["status"]["loadBalancer"].get("ingress") for obj in lasting.items(path)]
        return sorted(entry[0]["ip"] for entry in found if entry)

    assert lasting.until(lambda: addresses() if len(addresses()) == 2 else [], "both have addresses") == [
        "10.1.5.186",
        "10.1.5.190",
    ]


def test_grafanas_listener_refuses_connections_until_grafana_is_ready(broken: RunningLab) -> None:
    environment = environment_of(broken)
    url = environment["PORTAL_GRAFANA_URL"] + "/api/health"
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    broken.sync(DEPLOYMENT)
    broken.until(lambda: ready(broken), "Grafana is ready")

    def answered() -> bool:
        try:
            return bool(httpx.get(url, trust_env=False).json()["database"] == "ok")
        except httpx.TransportError:
            return False

    broken.until(answered, "the listener answers")


def test_it_refuses_to_start_without_debug_unless_told_so(tmp_path: Path) -> None:
    environment = {**os.environ, "DJANGO_DEBUG": "0"}
    environment.pop("PORTAL_LAB", None)
    run = subprocess.run(
        [sys.executable, "-m", "lab", "--kubeconfig", str(tmp_path / "kubeconfig")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1 and "PORTAL_LAB=1" in run.stderr
    assert not (tmp_path / "kubeconfig").exists()


def test_a_taken_port_is_one_clear_sentence(lasting: RunningLab, tmp_path: Path) -> None:
    port = str(lasting.http.base_url.port)
    run = subprocess.run(
        [sys.executable, "-m", "lab", "--port", port, "--kubeconfig", str(tmp_path / "other")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 1
    assert run.stderr.strip() == f"Port {port} is taken. Choose another with --port."


def test_a_deployment_that_comes_up_with_a_dead_database_stays_unhealthy(tmp_path: Path) -> None:
    lab = RunningLab("grafana-health-never-ok", tmp_path)
    try:
        lab.sync(DEPLOYMENT)
        lab.until(lambda: ready(lab), "the pod is ready by its own probes")
        proxy = f"/api/v1{MONITORING}/services/http:kube-prometheus-stack-grafana:80/proxy/api/health"
        answer = lab.http.get(proxy)
        assert answer.status_code == 503
        assert answer.json()["database"] == "failing"
    finally:
        lab.stop()
