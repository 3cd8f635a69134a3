"""The scenarios beyond the report's: each world as the facts describe it, and the repair that heals it by its cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.controllers import meta
from lab.scenarios import Built, build
from tests.lab.world.running import APPLICATION, GRAFANA, MONITORING, RunningLab, healthy, phase
from tests.lab.world.test_scenarios import GRAFANA as NAME
from tests.lab.world.test_scenarios import NOW, WHERE, of_kind, one

pytestmark = pytest.mark.lab
Start = Callable[[str], RunningLab]
FILE = "bootstrap/apps/monitoring.yaml"
CREATE = "kube-prometheus-stack-admission-create"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a lab with a scenario; stopped at the end."""
    running: list[RunningLab] = []

    def begin(scenario: str) -> RunningLab:
        lab = RunningLab(scenario, tmp_path)
        running.append(lab)
        return lab

    yield begin
    for lab in running:
        lab.stop()


def world(name: str) -> Built:
    return build(name, NOW)


def app_of(built: Built) -> Any:
    return one(built, "Application", "kube-prometheus-stack")


def grafana_pods(built: Built) -> list[Any]:
    return [pod for pod in of_kind(built, "Pod", WHERE) if pod["metadata"]["name"].startswith(NAME)]


def events(built: Built) -> set[str]:
    return {event["reason"] for event in of_kind(built, "Event")}


def git(lab: RunningLab, change: Callable[[str], str]) -> None:
    """Commit a change of the monitoring Application's file, and let root-app see it."""
    path = Path(f"{lab.kubeconfig}.git") / FILE
    before = path.read_text()
    after = change(before)
    assert after != before
    path.write_text(after)
    refresh(lab, "root-app")


def refresh(lab: RunningLab, name: str) -> None:
    lab.patch(APPLICATION + name, {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard"}}})


def well(lab: RunningLab) -> bool:
    """Synced and healthy by an operation that succeeded. An Application that is being made anew is not."""
    answer = lab.http.get(f"{APPLICATION}kube-prometheus-stack")
    if answer.status_code != 200 or "status" not in answer.json():
        return False
    app = answer.json()
    return "operation" not in app and phase(app) == "Succeeded" and healthy(app)


# -- G3


def test_g3_two_grafanas_on_one_sqlite_file_on_nfs() -> None:
    built = world("grafana-sqlite-on-nfs")
    pods = {meta.pod_ready(pod): pod for pod in grafana_pods(built)}
    assert set(pods) == {True, False} and len(grafana_pods(built)) == 2
    claim = one(built, "PersistentVolumeClaim", NAME)
    volume = one(built, "PersistentVolume", claim["spec"]["volumeName"])
    assert "nfs" in volume["spec"] and claim["spec"]["storageClassName"] == "nfs-client"
    locked = pods[False]
    entry = locked["status"]["containerStatuses"][0]
    assert entry["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert entry["lastState"]["terminated"]["exitCode"] == 137 and entry["restartCount"] > 2
    _, previous = built.logs[WHERE, locked["metadata"]["name"], "grafana"]
    texts = [text for _, text in previous]
    assert any("Starting DB migrations" in text for text in texts)
    assert any("database is locked" in text for text in texts)
    assert not any("HTTP Server Listen" in text for text in texts)
    assert {"Unhealthy", "Killing", "BackOff"} <= events(built)
    deployment = one(built, "Deployment", NAME)
    assert deployment["spec"]["strategy"]["type"] == "RollingUpdate"
    assert meta.condition(deployment, "Progressing")["reason"] == "ProgressDeadlineExceeded"  # type: ignore[index]
    status = app_of(built)["status"]
    assert (status["sync"]["status"], status["health"]["status"]) == ("Synced", "Degraded")
    assert status["operationState"]["phase"] == "Failed"


def test_g3_goes_on_while_the_old_pod_holds_the_lock(start: Start) -> None:
    lab = start("grafana-sqlite-on-nfs")
    assert [each for each in lab.writes() if "kubelet" not in each["user"]] == []  # the world was settled

    def restarts() -> int:
        return max(int(pod["status"]["containerStatuses"][0]["restartCount"]) for pod in lab.grafana_pods())

    first = restarts()
    lab.until(lambda: restarts() > first, "the new pod is started again")
    assert len(lab.ready_addresses()) == 1


def test_g3_heals_without_the_volume(start: Start) -> None:
    lab = start("grafana-sqlite-on-nfs")
    disk = "            enabled: true\n            storageClassName: nfs-client\n            size: 10Gi\n"
    git(lab, lambda text: text.replace(disk, "            enabled: false\n"))
    lab.until(lambda: well(lab), "the sync succeeds and everything is healthy")
    assert [meta.pod_ready(pod) for pod in lab.grafana_pods() if not meta.deleting(pod)] == [True]
    lab.until(lambda: NAME not in claims(lab), "the claim is pruned")


def claims(lab: RunningLab) -> set[str]:
    return {claim["metadata"]["name"] for claim in lab.items(f"/api/v1{MONITORING}/persistentvolumeclaims")}


def test_g3_heals_with_one_pod_at_a_time_and_keeps_the_volume(start: Start) -> None:
    """Applying Recreate alone is refused, there and here: what rollingUpdate was defaulted to must go with it."""
    lab = start("grafana-sqlite-on-nfs")
    wanted = "          deploymentStrategy:\n            type: Recreate\n"
    git(lab, lambda text: text.replace("          persistence:\n", f"{wanted}          persistence:\n"))
    refused = "spec.strategy.rollingUpdate: Forbidden"
    lab.until(lambda: refused in lab.app()["status"]["operationState"].get("message", ""), "the apply is refused")
    lab.patch(GRAFANA, {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}, "strategic-merge-patch")
    lab.until(lambda: well(lab), "a retry of the sync succeeds and everything is healthy")
    assert [meta.pod_ready(pod) for pod in lab.grafana_pods() if not meta.deleting(pod)] == [True]
    assert NAME in claims(lab)


# -- G8


def test_g8_the_log_ends_in_the_migrations_that_the_liveness_probe_cuts_off() -> None:
    built = world("grafana-slow-start")
    (pod,) = grafana_pods(built)
    _, previous = built.logs[WHERE, pod["metadata"]["name"], "grafana"]
    assert "Starting DB migrations" in previous[-1][1]
    assert {"Unhealthy", "Killing"} <= events(built)
    assert app_of(built)["status"]["sync"]["status"] == "Synced"


@pytest.mark.parametrize("remedy", ["patience", "cpu"])
def test_g8_heals_with_the_allowance_that_the_team_found_or_with_more_cpu(start: Start, remedy: str) -> None:
    """What the cluster did next: 30 s and 30 x 10 s for the start (facts/team.md). This chart knows no startupProbe."""
    lab = start("grafana-slow-start")
    patience = (
        "          livenessProbe:\n            httpGet:\n              path: /api/health\n              port: 3000\n"
        "            initialDelaySeconds: 30\n            periodSeconds: 10\n            failureThreshold: 30\n"
    )
    if remedy == "patience":
        git(lab, lambda text: text.replace("          persistence:\n", f"{patience}          persistence:\n"))
    else:
        slow = "              cpu: 100m\n              memory: 1Gi\n"
        git(lab, lambda text: text.replace(slow, slow.replace("100m", "500m")))
    lab.until(lambda: well(lab), "the sync succeeds and everything is healthy")
    assert len(lab.ready_addresses()) == 1


def test_g8_a_deployment_of_ones_own_needs_the_startup_probe_too(start: Start) -> None:
    lab = start("grafana-slow-start")
    own = lab.get(GRAFANA)
    labels = {"app": "own-grafana"}
    spec = own["spec"]["template"]["spec"]
    probe = {"httpGet": {"path": "/api/health", "port": 3000}}
    container = next(each for each in spec["containers"] if each["name"] == "grafana")
    container["livenessProbe"] = probe
    body: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "own-grafana", "namespace": WHERE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {**spec, "containers": [container]}},
        },
    }
    path = f"/apis/apps/v1{MONITORING}/deployments"
    lab.http.post(path, json=body).raise_for_status()

    def pods() -> list[Any]:
        return lab.items(f"/api/v1{MONITORING}/pods", labelSelector="app=own-grafana")

    lab.until(
        lambda: any(e["restartCount"] for p in pods() for e in p["status"].get("containerStatuses", [])), "killed"
    )
    startup = {**probe, "initialDelaySeconds": 30, "periodSeconds": 10, "failureThreshold": 30}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "grafana", "startupProbe": startup}]}}}}
    lab.patch(f"{path}/own-grafana", patch, "strategic-merge-patch")
    lab.until(lambda: any(meta.pod_ready(pod) for pod in pods()), "it stays up with the startup probe")


# -- A3


def test_a3_a_sync_waits_for_a_job_that_is_no_more() -> None:
    built = world("argo-hook-stuck")
    app = app_of(built)
    state = app["status"]["operationState"]
    assert app["operation"]["initiatedBy"] == {"automated": True}
    assert (state["phase"], state["message"]) == ("Running", f"waiting for completion of hook batch/Job/{CREATE}")
    assert "finishedAt" not in state
    rows = {(row["kind"], row["hookPhase"]) for row in state["syncResult"]["resources"]}
    assert ("Job", "Running") in rows and ("ServiceAccount", "Succeeded") in rows
    assert not of_kind(built, "Job")
    assert (app["status"]["sync"]["status"], app["status"]["health"]["status"]) == ("OutOfSync", "Healthy")
    different = [row["kind"] for row in app["status"]["resources"] if row["status"] == "OutOfSync"]
    assert different == ["Prometheus"]


def test_a3_stays_stuck_and_heals_by_terminating_and_one_sync(start: Start) -> None:
    lab = start("argo-hook-stuck")
    refresh(lab, "kube-prometheus-stack")
    lab.until(
        lambda: "argocd.argoproj.io/refresh" not in lab.app()["metadata"].get("annotations", {}), "Argo CD has looked"
    )
    before = lab.app()
    assert before["status"]["operationState"]["message"] == f"waiting for completion of hook batch/Job/{CREATE}"
    assert [each for each in lab.writes() if each["no_op"]] == []  # it waits without writing
    terminate = {"status": {"operationState": {"phase": "Terminating"}}}
    lab.patch(f"{APPLICATION}kube-prometheus-stack", terminate)
    lab.until(lambda: "operation" not in lab.app(), "the operation is over")
    state = lab.app()["status"]["operationState"]
    assert (state["phase"], state["message"]) == ("Failed", "Operation terminated")
    lab.until(lambda: [c["type"] for c in lab.app()["status"]["conditions"]] == ["SyncError"], "no sync by itself")
    lab.sync()
    lab.until(lambda: well(lab), "the sync succeeds")
    prometheus = "/apis/monitoring.coreos.com/v1/namespaces/platform-monitoring/prometheuses"
    assert lab.items(prometheus)[0]["spec"]["retention"] == "30d"
    done = [
        (row["name"], row["hookPhase"])
        for row in lab.app()["status"]["operationState"]["syncResult"]["resources"]
        if row["kind"] == "Job"
    ]
    assert done == [(CREATE, "Succeeded"), (CREATE.replace("create", "patch"), "Succeeded")]
    lab.until(lambda: not lab.items(f"/apis/batch/v1{MONITORING}/jobs"), "succeeded hooks are deleted")


def test_a3_an_image_that_does_not_exist_holds_the_hook_until_git_has_another(start: Start) -> None:
    lab = start("argo-hook-image")
    (pod,) = lab.items(f"/api/v1{MONITORING}/pods", labelSelector=f"job-name={CREATE}")
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] in ("ImagePullBackOff", "ErrImagePull")
    assert phase(lab.app()) == "Running"
    lab.patch(f"{APPLICATION}kube-prometheus-stack", {"status": {"operationState": {"phase": "Terminating"}}})
    lab.until(lambda: phase(lab.app()) == "Failed", "terminated")
    lab.until(lambda: not lab.items(f"/apis/batch/v1{MONITORING}/jobs"), "the running hook went with it")
    lab.sync()
    waiting = f"waiting for completion of hook batch/Job/{CREATE}"
    lab.until(lambda: (lab.app()["status"].get("operationState") or {}).get("message") == waiting, "it is stuck again")
    lab.patch(f"{APPLICATION}kube-prometheus-stack", {"status": {"operationState": {"phase": "Terminating"}}})
    lab.until(lambda: phase(lab.app()) == "Failed", "terminated once more")
    git(lab, lambda text: text.replace("v1.44.0-typo", "v1.4.4"))
    lab.until(lambda: "v1.4.4" in lab.app()["spec"]["source"]["helm"]["values"], "root-app has brought it")
    lab.sync()
    lab.until(lambda: well(lab), "the sync succeeds")


# -- no default class


def test_claims_without_a_class_stay_pending_while_there_is_no_default() -> None:
    built = world("pvc-pending-no-default-class")
    assert not any("is-default-class" in key for each in of_kind(built, "StorageClass") for key in meta.notes(each))
    claims = {claim["metadata"]["name"]: claim for claim in of_kind(built, "PersistentVolumeClaim", WHERE)}
    assert len(claims) == 2
    assert {claim["status"]["phase"] for claim in claims.values()} == {"Pending"}
    assert not any("storageClassName" in claim["spec"] for claim in claims.values())
    for kind in ("prometheus", "alertmanager"):
        pod = one(built, "Pod", f"{kind}-kube-prometheus-stack-{kind}-0")
        condition = meta.condition(pod, "PodScheduled")
        assert pod["status"]["phase"] == "Pending" and condition is not None
        assert condition["message"] == "0/7 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    assert {"FailedBinding", "FailedScheduling"} <= events(built)
    assert app_of(built)["status"]["health"]["status"] == "Degraded"


def test_claims_without_a_class_bind_once_a_class_is_the_default(start: Start) -> None:
    lab = start("pvc-pending-no-default-class")
    assert lab.writes() == []  # the world was settled
    mark = {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
    lab.patch("/apis/storage.k8s.io/v1/storageclasses/nfs-client", mark)
    claims = f"/api/v1{MONITORING}/persistentvolumeclaims"
    lab.until(lambda: {c["status"]["phase"] for c in lab.items(claims)} == {"Bound"}, "the claims are bound")
    assert {claim["spec"]["storageClassName"] for claim in lab.items(claims)} == {"nfs-client"}
    sets = f"/apis/apps/v1{MONITORING}/statefulsets"
    lab.until(
        lambda: all(s["status"].get("readyReplicas") == 1 for s in lab.items(sets)), "Prometheus and Alertmanager run"
    )
    lab.until(lambda: healthy(lab.app()), "the Application is healthy")


# -- nobody is told


def test_alerts_fire_and_reach_nobody(start: Start) -> None:
    lab = start("alertmanager-null-receiver")
    proxy = f"/api/v1{MONITORING}/services/kube-prometheus-stack-alertmanager:9093/proxy/api/v2"
    assert [each["name"] for each in lab.get(f"{proxy}/receivers")] == ["null"]
    broken = lab.until(
        lambda: [a for a in lab.get(f"{proxy}/alerts") if a["labels"].get("namespace") == "prod"], "an alert is there"
    )
    assert {receiver["name"] for alert in broken for receiver in alert["receivers"]} == {"null"}
    secret = {"metadata": {"name": "ops-hook"}, "stringData": {"url": "http://127.0.0.1:9/hook"}}
    lab.http.post(f"/api/v1{MONITORING}/secrets", json=secret).raise_for_status()
    hook = {"urlSecret": {"name": "ops-hook", "key": "url"}, "sendResolved": True}
    config = {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": {"name": "ops", "namespace": WHERE},
        "spec": {
            "route": {"receiver": "ops", "groupWait": "1s"},
            "receivers": [{"name": "ops", "webhookConfigs": [hook]}],
        },
    }
    lab.http.post(
        f"/apis/monitoring.coreos.com/v1alpha1{MONITORING}/alertmanagerconfigs", json=config
    ).raise_for_status()
    name = f"{WHERE}/ops/ops"
    lab.until(lambda: name in [each["name"] for each in lab.get(f"{proxy}/receivers")], "the receiver is configured")
    strategy = {"spec": {"alertmanagerConfigMatcherStrategy": {"type": "None"}}}
    manager = f"/apis/monitoring.coreos.com/v1{MONITORING}/alertmanagers/kube-prometheus-stack-alertmanager"
    lab.patch(manager, strategy)
    lab.until(
        lambda: any(
            name in [receiver["name"] for receiver in alert["receivers"]]
            for alert in lab.get(f"{proxy}/alerts")
            if alert["labels"].get("namespace") == "prod"
        ),
        "production's alerts are routed to somebody",
    )


def test_the_broken_workload_is_broken_by_its_image(start: Start) -> None:
    lab = start("alertmanager-null-receiver")
    pods = lab.items("/api/v1/namespaces/prod/pods", labelSelector="app.kubernetes.io/name=checkout")
    reasons = {entry["state"]["waiting"]["reason"] for pod in pods for entry in pod["status"]["containerStatuses"]}
    assert reasons <= {"ImagePullBackOff", "ErrImagePull"} and len(pods) == 2
    lab.kubectl("-n", "prod", "set", "image", "deployment/checkout", "checkout=docker.io/shop/checkout:2025.11.2")
    lab.kubectl("-n", "prod", "rollout", "status", "deployment/checkout", "--timeout=60s")


# -- half deleted


def test_a_half_deleted_application_has_lost_grafanas_rights() -> None:
    built = world("app-half-deleted")
    app = app_of(built)
    assert app["metadata"]["deletionTimestamp"]
    assert app["metadata"]["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]
    roles = {obj["metadata"]["name"] for kind in ("ClusterRole", "ClusterRoleBinding") for obj in of_kind(built, kind)}
    assert not {f"{NAME}-clusterrole", f"{NAME}-clusterrolebinding"} & roles
    (pod,) = grafana_pods(built)
    entries = {entry["name"]: entry for entry in pod["status"]["containerStatuses"]}
    assert entries["grafana"]["ready"] is True
    for sidecar in ("grafana-sc-dashboard", "grafana-sc-datasources"):
        assert entries[sidecar]["lastState"]["terminated"]["exitCode"] == 1
        _, previous = built.logs[WHERE, pod["metadata"]["name"], sidecar]
        assert any("(403)" in text and "is forbidden" in text for _, text in previous)
    missing = {row["name"] for row in app["status"]["resources"] if row.get("health", {}).get("status") == "Missing"}
    assert missing == {f"{NAME}-clusterrole", f"{NAME}-clusterrolebinding"}


def test_a_half_deleted_application_heals_without_the_cascade(start: Start) -> None:
    lab = start("app-half-deleted")
    uid = lab.app()["metadata"]["uid"]
    since = lab.get("/lab/ledger", since="0")["last"]
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{WHERE}:{NAME}",
            "resourceAttributes": {"verb": "list", "resource": "secrets"},
        },
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert lab.http.post(path, json=review).json()["status"]["allowed"] is False
    lab.patch(f"{APPLICATION}kube-prometheus-stack", {"metadata": {"finalizers": None}})

    def again() -> bool:
        answer = lab.http.get(f"{APPLICATION}kube-prometheus-stack")
        return answer.status_code == 200 and answer.json()["metadata"]["uid"] != uid

    lab.until(again, "root-app has made the child anew")
    lab.until(lambda: well(lab), "it has synced")
    assert lab.http.post(path, json=review).json()["status"]["allowed"] is True
    lab.until(lambda: len(lab.ready_addresses()) == 1, "Grafana and its sidecars are ready")
    assert [entry["id"] for entry in lab.app()["status"]["history"]] == [0]
    gone = {
        (each["resource"], each["name"])
        for each in lab.get("/lab/ledger", since=str(since))["entries"]
        if each["gone"] and each["resource"] not in ("events", "pods", "replicasets.apps", "jobs.batch")
    }
    assert {name for kind, name in gone if "admission" not in name} == {"kube-prometheus-stack"}


def test_a_half_deleted_application_takes_the_rest_with_it_when_it_is_let_go_on(start: Start) -> None:
    lab = start("app-half-deleted")
    lab.patch(
        f"{APPLICATION}kube-prometheus-stack",
        {"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": None}}},
    )
    lab.until(lambda: lab.http.get(GRAFANA).status_code == 404, "Grafana's Deployment is deleted too")
    uid = lab.until(
        lambda: lab.http.get(f"{APPLICATION}kube-prometheus-stack").json()["metadata"].get("uid"), "made anew"
    )
    assert uid
    lab.until(lambda: well(lab), "and everything comes back by root-app")
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/prometheuses.monitoring.coreos.com"
    assert "deletionTimestamp" not in lab.get(crds)["metadata"]


def test_a_cascade_that_is_refused_says_so_and_goes_on_when_it_may(start: Start) -> None:
    lab = start("healthy")
    fault = {
        "action": "status:403",
        "verb": "delete",
        "resource": "deployments.apps",
        "user": "*application-controller",
    }
    number = lab.http.post("/lab/faults", json=fault).json()["id"]
    uid = lab.app("platform-services")["metadata"]["uid"]
    tracked = {"argocd.argoproj.io/tracking-id": "platform-services:apps/Deployment:argocd/extra"}
    labels = {"app": "extra"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    body = {
        "metadata": {"name": "extra", "annotations": tracked},
        "spec": {"selector": {"matchLabels": labels}, "template": pod},
    }
    lab.http.post("/apis/apps/v1/namespaces/argocd/deployments", json=body).raise_for_status()
    finalizer = {"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io/background"]}}
    lab.patch(f"{APPLICATION}platform-services", finalizer)
    lab.http.delete(f"{APPLICATION}platform-services").raise_for_status()

    def errors() -> list[str]:
        conditions = lab.app("platform-services").get("status", {}).get("conditions") or []
        return [each["message"] for each in conditions if each["type"] == "DeletionError"]

    assert "cannot delete resource" in lab.until(errors, "the condition says why")[0]
    assert lab.app("platform-services")["metadata"]["uid"] == uid
    lab.http.delete(f"/lab/faults/{number}").raise_for_status()

    def again() -> bool:
        answer = lab.http.get(f"{APPLICATION}platform-services")
        return answer.status_code == 200 and answer.json()["metadata"]["uid"] != uid

    lab.until(again, "gone, and made anew by root-app")
    assert lab.http.get("/apis/apps/v1/namespaces/argocd/deployments/extra").status_code == 404


# -- Argo CD's other promises


def test_rollback_to_an_id_replays_the_recorded_source(start: Start) -> None:
    lab = start("healthy")
    lab.patch(f"{APPLICATION}root-app", {"spec": {"syncPolicy": {"automated": None}}})
    lab.patch(f"{APPLICATION}kube-prometheus-stack", {"spec": {"syncPolicy": {"automated": None}}})
    history = lab.app()["status"]["history"]
    chosen = next(entry for entry in history if entry["id"] == 2)
    sync = {"revision": chosen["revision"], "source": chosen["source"], "prune": False, "syncStrategy": {"apply": {}}}
    sync["syncOptions"] = ["ServerSideApply=true"]
    body = {"operation": {"initiatedBy": {"username": "me"}, "sync": sync}, "status": {"operationState": None}}
    lab.patch(f"{APPLICATION}kube-prometheus-stack", body)
    lab.until(lambda: len(lab.app()["status"]["history"]) == len(history) + 1, "entered into the history")
    app = lab.app()
    assert app["status"]["history"][-1]["source"] == chosen["source"]
    assert app["spec"]["source"] != chosen["source"]
    lab.until(lambda: lab.app()["status"]["sync"]["status"] == "OutOfSync", "Git is ahead")
    containers = [each["name"] for each in lab.get(GRAFANA)["spec"]["template"]["spec"]["containers"]]
    assert containers == ["grafana-sc-dashboard", "grafana-sc-datasources", "grafana"]


def test_what_git_no_longer_has_goes_only_with_prune(start: Start) -> None:
    lab = start("healthy")
    name = "platform-services"
    labels = {"argocd.argoproj.io/tracking-id": f"{name}:/ConfigMap:argocd/left-over"}
    body = {"metadata": {"name": "left-over", "annotations": labels}, "data": {"a": "1"}}
    lab.patch(f"{APPLICATION}root-app", {"spec": {"syncPolicy": {"automated": None}}})
    lab.patch(f"{APPLICATION}{name}", {"spec": {"syncPolicy": {"automated": None}}})
    lab.http.post("/api/v1/namespaces/argocd/configmaps", json=body).raise_for_status()

    def row() -> Any:
        rows = lab.app(name)["status"]["resources"]
        return next((each for each in rows if each["name"] == "left-over"), None)

    lab.until(lambda: (row() or {}).get("requiresPruning"), "shown as to be pruned")

    def result(*, prune: bool) -> str:
        operation = {"initiatedBy": {"username": "me"}, "sync": {"prune": prune}}
        lab.patch(APPLICATION + name, {"operation": operation, "status": {"operationState": None}})
        lab.until(lambda: "operation" not in lab.app(name), "the sync is over")
        rows = lab.app(name)["status"]["operationState"]["syncResult"]["resources"]
        return str(next(each["status"] for each in rows if each["name"] == "left-over"))

    assert result(prune=False) == "PruneSkipped"
    assert lab.http.get("/api/v1/namespaces/argocd/configmaps/left-over").status_code == 200
    assert result(prune=True) == "Pruned"
    lab.until(lambda: lab.http.get("/api/v1/namespaces/argocd/configmaps/left-over").status_code == 404, "it is gone")


def test_a_degraded_workload_fails_a_whole_sync(start: Start) -> None:
    """With hooks in the chart a sync has several steps, and each waits for health: the report's own message."""
    lab = start("grafana-slow-start")
    lab.sync()
    lab.until(lambda: "operation" not in lab.app(), "the sync is over")
    state = lab.app()["status"]["operationState"]
    assert (state["phase"], state["message"]) == (
        "Failed",
        "one or more synchronization tasks completed unsuccessfully",
    )
    row = next(
        each for each in state["syncResult"]["resources"] if each["kind"] == "Deployment" and "grafana" in each["name"]
    )
    assert (row["hookPhase"], row["message"]) == ("Failed", f'Deployment "{NAME}" exceeded its progress deadline')
