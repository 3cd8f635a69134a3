"""The family through the engine on a lab: what is planned is what happens, and what is reversible comes back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from deployments.engine import following, requests
from deployments.models import Plan, Run
from deployments.undo import parameters
from tests.deployments.conftest import carry_on
from tests.deployments.dashboards.conftest import Desk, Desks, told
from tests.deployments.workloads import on_the_lab as ours
from tests.lab.world.running import MONITORING, RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
_QUICK = {"hold_seconds": 1}


def succeeded(run: Run) -> Run:
    assert run.state == "succeeded", told(run)
    return run


def unmet(plan: Plan) -> list[str]:
    return [f"{p['sentence']}: {p['evidence']}" for p in plan.preconditions if not p["met"]]


def act(at: Desk, slug: str, name: str, **params: Any) -> Run:
    return succeeded(at.run(slug, namespace=ours.NAMESPACE, name=name, **params))


def undo(at: Desk, run: Run) -> Run:
    return succeeded(at.run("undo-run", **parameters(run)))


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_a_restart_replaces_every_pod(desk: Desks, lab: RunningLab, kind: str) -> None:
    at, name = desk(lab), f"restart-{kind.lower()}"
    ours.workload(lab, name, ours.container("main", "app:1"), kind=kind)
    before = {pod["metadata"]["uid"] for pod in ours.pods(lab, name)}
    act(at, "rollout-restart", name, kind=kind, **_QUICK)
    after = {pod["metadata"]["uid"] for pod in ours.pods(lab, name) if not pod["metadata"].get("deletionTimestamp")}
    assert after and not after & before


def test_a_rollback_brings_back_the_older_template_and_undo_the_newer(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "rollback"
    secret = {"name": "DB_PASSWORD", "value": "canary-hunter2"}
    ours.workload(lab, name, ours.container("main", "app:1", env=[secret]), ours.container("side", "side:1"))
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "app:2"}]}}}}
    lab.patch(f"{ours.APPS}/deployments/{name}", change, "strategic-merge-patch")
    ours.settled(lab, name)

    run = act(at, "rollback-deployment", name, **_QUICK)
    now = ours.deployment(lab, name)
    assert ours.first(now)["image"] == "app:1"
    assert ours.first(now)["env"] == [secret]
    assert len(now["spec"]["template"]["spec"]["containers"]) == 2
    everything = [run.plan.document, run.plan.params, told(run), *(s.pre_image for s in run.steps.all())]
    assert "canary-hunter2" not in str([*everything, *(s.restore for s in run.steps.all())])
    # the template that was in force is the newest revision again: going back once more leads to it
    act(at, "rollback-deployment", name, **_QUICK)
    assert ours.first(ours.deployment(lab, name))["image"] == "app:2"


def test_a_rollback_is_undone_from_its_pre_image(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "rollback-undo"
    ours.workload(lab, name, ours.container("main", "app:1"))
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "app:2"}]}}}}
    lab.patch(f"{ours.APPS}/deployments/{name}", change, "strategic-merge-patch")
    template = ours.settled(lab, name)["spec"]["template"]
    run = act(at, "rollback-deployment", name, **_QUICK)
    undo(at, run)
    assert ours.deployment(lab, name)["spec"]["template"] == template


def test_scaling_up_to_none_and_back(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "scaled"
    ours.workload(lab, name, ours.container("main", "app:1", ports=[{"containerPort": 8080}]))
    ours.service(lab, name)
    act(at, "scale-workload", name, replicas=2, **_QUICK)
    assert len(ours.pods(lab, name)) == 2
    plan = at.plan("scale-workload", namespace=ours.NAMESPACE, name=name, replicas=0)
    assert plan.tier == 2
    assert plan.document["blast"]["endpoints"] == [f"Service {name} (2 ready pods)"]
    run = succeeded(at.carry(plan))
    assert (ours.pods(lab, name), ours.addresses(lab, name)) == ([], [])
    undo(at, run)
    lab.until(lambda: len(ours.addresses(lab, name)) == 2, "two addresses again")


def test_a_paused_rollout_holds_a_new_template_until_it_is_resumed(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "held"
    ours.workload(lab, name, ours.container("main", "app:1"))
    undo(at, act(at, "pause-rollout", name))
    assert not ours.deployment(lab, name)["spec"].get("paused")
    act(at, "pause-rollout", name)
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "app:2"}]}}}}
    lab.patch(f"{ours.APPS}/deployments/{name}", change, "strategic-merge-patch")
    refused = at.plan("rollout-restart", namespace=ours.NAMESPACE, name=name)
    assert [u for u in unmet(refused) if "resume it first" in u]
    assert [ours.first({"spec": {"template": pod}})["image"] for pod in ours.pods(lab, name)] == ["app:1"]
    resumed = act(at, "resume-rollout", name, **_QUICK)
    assert [ours.first({"spec": {"template": pod}})["image"] for pod in ours.pods(lab, name)] == ["app:2"]
    undo(at, resumed)
    assert ours.deployment(lab, name)["spec"]["paused"] is True


def test_the_strategy_becomes_recreate_and_comes_back(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "one-writer"
    ours.workload(lab, name, ours.container("main", "app:1"))
    before = ours.deployment(lab, name)["spec"]["strategy"]
    pods = [pod["metadata"]["uid"] for pod in ours.pods(lab, name)]
    run = act(at, "set-recreate-strategy", name)
    assert ours.deployment(lab, name)["spec"]["strategy"] == {"type": "Recreate"}
    assert [pod["metadata"]["uid"] for pod in ours.pods(lab, name)] == pods
    undo(at, run)
    assert ours.deployment(lab, name)["spec"]["strategy"] == before


def test_another_image_and_other_amounts_roll_out_and_come_back(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "rebuilt"
    ours.workload(lab, name, ours.container("main", "app:1"), ours.container("side", "side:1"))
    before = ours.deployment(lab, name)["spec"]["template"]
    run = act(at, "set-image", name, container="main", image="app:2", **_QUICK)
    assert [c["image"] for c in ours.deployment(lab, name)["spec"]["template"]["spec"]["containers"]] == [
        "app:2",
        "side:1",
    ]
    amounts = act(at, "set-resources", name, container="side", cpu_request="50m", memory_limit="64Mi", **_QUICK)
    (_, side) = ours.deployment(lab, name)["spec"]["template"]["spec"]["containers"]
    assert side["resources"] == {"requests": {"cpu": "50m"}, "limits": {"memory": "64Mi"}}
    undo(at, amounts)
    undo(at, run)
    assert ours.deployment(lab, name)["spec"]["template"] == before


def test_a_sidecar_is_dropped_and_put_back(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "sidecar"
    ours.workload(lab, name, ours.container("main", "app:1"), ours.container("side", "side:1"))
    template = ours.deployment(lab, name)["spec"]["template"]
    run = act(at, "drop-container", name, container="side", **_QUICK)
    assert [c["name"] for c in ours.deployment(lab, name)["spec"]["template"]["spec"]["containers"]] == ["main"]
    assert [len(pod["spec"]["containers"]) for pod in ours.pods(lab, name)] == [1]
    undo(at, run)
    assert ours.deployment(lab, name)["spec"]["template"] == template


def test_a_variable_is_set_from_a_secret_changed_and_removed(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "variable"
    ours.workload(lab, name, ours.container("main", "app:1", env=[{"name": "FIRST", "value": "1"}]))
    meta = {"name": "variable-secret", "namespace": ours.NAMESPACE}
    ours.create(lab, f"{ours.CORE}/secrets", {"kind": "Secret", "metadata": meta, "stringData": {"level": "debug"}})
    where = {"container": "main", "variable": "LEVEL", **_QUICK}

    def env() -> list[Any]:
        return list(ours.first(ours.deployment(lab, name))["env"])

    reference = {"secretKeyRef": {"name": "variable-secret", "key": "level"}}
    act(at, "set-environment-variable", name, value="info", **where)
    assert {"name": "LEVEL", "value": "info"} in env()
    run = act(at, "set-environment-variable", name, secret_name="variable-secret", secret_key="level", **where)
    assert {"name": "LEVEL", "valueFrom": reference} in env()
    undo(at, run)
    assert {"name": "LEVEL", "value": "info"} in env()
    act(at, "set-environment-variable", name, operation="remove", **where)
    assert env() == [{"name": "FIRST", "value": "1"}]


def test_a_secret_that_is_not_there_fails_the_run_with_the_pods_own_words(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "no-secret"
    ours.workload(lab, name, ours.container("main", "app:1"))
    run = at.run(
        "set-environment-variable",
        namespace=ours.NAMESPACE,
        name=name,
        container="main",
        variable="LEVEL",
        secret_name="absent",
        secret_key="level",
        rollout_seconds=5,
    )
    assert run.state == "failed", told(run)
    assert 'secret "absent" not found' in told(run)
    # the old pod was kept by the rolling update, and the change can be taken back
    undo(at, run)
    ours.settled(lab, name)


# -- new pods that never start


def on_one_node(lab: RunningLab, name: str, number: int, **spec: Any) -> None:
    """A workload tied to one of the nodes (each test its own), which has no room for a second of its pods."""
    node = [n for n in lab.items("/api/v1/nodes") if not n["spec"].get("taints")][number]
    half = f"{int(node['status']['allocatable']['cpu']) * 500 + 100}m"
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node["metadata"]["name"]},
            "containers": [ours.container("main", "app:1", resources={"requests": {"cpu": half}})],
        },
    }
    ours.workload(lab, name, template=template, **spec)


def test_an_image_that_nobody_can_pull_fails_and_undoes_itself(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "no-image"
    ours.workload(lab, name, ours.container("main", "app:1"))
    before = ours.deployment(lab, name)["spec"]
    pods = [pod["metadata"]["uid"] for pod in ours.pods(lab, name)]
    image = "registry.invalid/app:2"
    where: dict[str, Any] = {"namespace": ours.NAMESPACE, "name": name, "container": "main"}
    run = at.run("set-image", **where, image=image, rollout_seconds=5, **_QUICK)
    assert run.state == "failed", told(run)
    assert re.search(rf"Pod {name}-\w+-\w+: main waits in (ErrImagePull|ImagePullBackOff): .*{image}", run.sentence)
    undoing = by_itself(at, run)
    assert undoing.state == "succeeded", told(undoing)
    run.refresh_from_db()
    assert run.state == "undone"
    ours.settled(lab, name)
    assert ours.deployment(lab, name)["spec"] == before
    left = [pod["metadata"] for pod in ours.pods(lab, name)]
    assert [one["uid"] for one in left if not one.get("deletionTimestamp")] == pods, "the pod that served serves on"


def by_itself(at: Desk, run: Run) -> Run:
    """The undo that follows a failed run without anybody's click."""
    row = run.follow_ups.get()
    following.carry_on()
    row.refresh_from_db()
    assert row.request_id is not None, row.sentence
    requests.make(row.request_id, opener=lambda: at.cluster)
    following.carry_on()
    row.refresh_from_db()
    assert row.started is not None, row.sentence
    return carry_on(row.started, at.cluster, seconds=120)  # type: ignore[arg-type]  # the real one


def test_replicas_that_no_node_has_room_for_fail_and_say_so(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "too-many"
    on_one_node(lab, name, 0)
    run = at.run("scale-workload", namespace=ours.NAMESPACE, name=name, replicas=3, rollout_seconds=5, **_QUICK)
    assert run.state == "failed", told(run)
    assert "3 replicas there, 1 of 3 ready. Pod too-many-" in run.sentence
    assert "no node takes it" in run.sentence and "Insufficient cpu" in run.sentence
    assert run.sentence.count("1 other pod the same.") == 1
    undo(at, run)
    assert ours.settled(lab, name)["spec"]["replicas"] == 1


def test_a_restart_whose_new_pod_has_no_room_fails_and_the_old_one_serves_on(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "no-room"
    on_one_node(lab, name, 1, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}})
    before = ours.deployment(lab, name)["spec"]["template"]
    old = [pod["metadata"]["uid"] for pod in ours.pods(lab, name)]
    run = at.run("rollout-restart", namespace=ours.NAMESPACE, name=name, rollout_seconds=5, **_QUICK)
    assert run.state == "failed", told(run)
    assert "Insufficient cpu" in run.sentence and f"Pod {name}-" in run.sentence
    ready = [p["metadata"]["uid"] for p in ours.pods(lab, name) if p["status"]["phase"] == "Running"]
    assert ready == old
    # a restart has nothing to undo; the way out is the template before it
    act(at, "rollback-deployment", name, **_QUICK)
    assert ours.settled(lab, name)["spec"]["template"] == before


def test_a_deleted_pod_is_replaced(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "deleted"
    ours.workload(lab, name, ours.container("main", "app:1"))
    pod = ours.pods(lab, name)[0]["metadata"]
    run = act(at, "delete-pod", pod["name"])
    new = [p["metadata"] for p in ours.pods(lab, name)]
    assert [p["uid"] for p in new] != [pod["uid"]]
    assert f"pod {pod['name']}: gone" in told(run)
    assert f"pod {new[0]['name']}: 1/1 ready" in told(run) or "1 of 1 pods ready" in told(run)
    assert "It is the last ready pod" in run.plan.document["blast"]["sentence"]


def test_an_operators_stateful_set_is_left_to_its_operator(desk: Desks, lab: RunningLab) -> None:
    name = "prometheus-kube-prometheus-stack-prometheus"
    plan = desk(lab).plan("rollout-restart", namespace="platform-monitoring", name=name, kind="StatefulSet")
    assert [u for u in unmet(plan) if "spec.podMetadata.annotations of Prometheus kube-prometheus-stack" in u]


def test_what_argo_cd_would_set_back_is_refused_with_a_patch_for_git(desk: Desks, lab: RunningLab) -> None:
    where = {"namespace": "platform-monitoring", "name": "kube-prometheus-stack-grafana"}
    at = desk(lab)
    plan = at.plan("scale-workload", replicas=2, **where)
    assert [u for u in unmet(plan) if "Git names spec.replicas, and Application kube-prometheus-stack" in u]
    assert "+" in plan.document["git_patch"] and "replicas: 2" in plan.document["git_patch"]
    assert "will be reverted" in plan.document["managed_by"]
    # a restart adds what Git does not name: it may run, and it stays
    assert unmet(at.plan("rollout-restart", **where)) == []


def test_a_pod_of_a_lost_node_is_forced_away_and_comes_back_under_its_name(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "lost"
    ours.workload(lab, name, ours.container("main", "app:1"), kind="StatefulSet")
    pod = ours.pods(lab, name)[0]
    node = pod["spec"]["nodeName"]
    refused = at.plan("force-delete-pod", namespace=ours.NAMESPACE, name=f"{name}-0")
    assert [u for u in unmet(refused) if f"node {node} is Ready" in u]
    with silent_node(lab, node):
        plan = at.plan("force-delete-pod", namespace=ours.NAMESPACE, name=f"{name}-0")
        assert (plan.tier, plan.document["confirm"], unmet(plan)) == (3, f"{name}-0", [])
        assert "of StatefulSet lost" in plan.document["blast"]["sentence"]
        run = succeeded(at.carry(plan))
    assert "is not Ready" in told(run)
    again = lab.until(lambda: ours.pods(lab, name), "a pod of the same name")[0]["metadata"]
    assert (again["name"], again["uid"] != pod["metadata"]["uid"]) == (f"{name}-0", True)


@contextmanager
def silent_node(lab: RunningLab, node: str) -> Iterator[None]:
    """The node's kubelet says nothing more, and the node controller has noticed."""
    fault = {"action": "status:500", "resource": "nodes/status", "name": node, "agent": "*kubelet*"}
    struck = lab.http.post("/lab/faults", json=fault).json()

    def says(status: str) -> None:
        body = {"status": {"conditions": [{"type": "Ready", "status": status, "reason": "NodeStatusUnknown"}]}}
        lab.patch(f"/api/v1/nodes/{node}/status", body, "strategic-merge-patch")

    says("Unknown")
    try:
        yield
    finally:
        lab.http.delete(f"/lab/faults/{struck['id']}")
        says("True")


def test_prometheus_is_restarted_by_its_operator(desk: Desks, lab: RunningLab) -> None:
    at, where = desk(lab), f"/api/v1{MONITORING}/pods"
    label = "app.kubernetes.io/name=prometheus"
    before = {pod["metadata"]["uid"] for pod in lab.items(where, labelSelector=label)}
    params: dict[str, Any] = {"namespace": "platform-monitoring", "name": "kube-prometheus-stack-prometheus", **_QUICK}
    run = succeeded(at.run("restart-operator-managed", **params))
    after = {pod["metadata"]["uid"] for pod in lab.items(where, labelSelector=label)}
    assert before and after and not after & before, told(run)
    assert "no alert is evaluated" in run.plan.document["blast"]["sentence"]


@pytest.mark.parametrize("strategy", ["RollingUpdate", "Recreate"])
def test_a_rollout_that_missed_its_deadline_is_rolled_back(desk: Desks, lab: RunningLab, strategy: str) -> None:
    at, name = desk(lab), f"late-{strategy.lower()}"
    ours.workload(lab, name, ours.container("main", "app:1"), strategy={"type": strategy}, progressDeadlineSeconds=200)
    broken = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "registry.invalid/app:2"}]}}}}
    lab.patch(f"{ours.APPS}/deployments/{name}", broken, "strategic-merge-patch")

    def late() -> bool:
        conditions = ours.deployment(lab, name)["status"]["conditions"]
        return any(c.get("reason") == "ProgressDeadlineExceeded" for c in conditions)

    lab.until(late, "the rollout misses its deadline")
    act(at, "rollback-deployment", name, **_QUICK)
    assert ours.first(ours.settled(lab, name))["image"] == "app:1"


# -- evictions


def budget(lab: RunningLab, name: str, least: int, allowed: int) -> None:
    """A disruption budget over a workload's pods, once its controller has counted."""
    path = f"/apis/policy/v1/namespaces/{ours.NAMESPACE}/poddisruptionbudgets"
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": name}}}
    meta = {"name": name, "namespace": ours.NAMESPACE}
    ours.create(lab, path, {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec})

    def counted() -> bool:
        status = lab.get(f"{path}/{name}").get("status") or {}
        return bool(status.get("observedGeneration")) and status.get("disruptionsAllowed") == allowed

    lab.until(counted, f"budget {name} allows {allowed}")


def test_an_eviction_within_the_budget_is_made_and_replaced(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "evicted"
    ours.workload(lab, name, ours.container("main", "app:1"), replicas=2)
    budget(lab, name, least=1, allowed=1)
    pod = ours.pods(lab, name)[0]["metadata"]
    run = act(at, "evict-pod", pod["name"])
    assert "allows 1 disruption now" in run.plan.document["blast"]["budgets"][0]
    left = [p["metadata"]["uid"] for p in ours.pods(lab, name) if not p["metadata"].get("deletionTimestamp")]
    assert (len(left), pod["uid"] in left) == (2, False)


def test_an_eviction_that_the_budget_never_allows_fails_and_the_pod_stays(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "kept"
    ours.workload(lab, name, ours.container("main", "app:1"), replicas=2)
    budget(lab, name, least=2, allowed=0)
    pod = ours.pods(lab, name)[0]["metadata"]
    run = at.run("evict-pod", namespace=ours.NAMESPACE, name=pod["name"], wait_seconds=5)
    assert run.state == "failed", told(run)
    assert "disruption budget" in told(run)
    assert "asks again for up to 5 s" in run.plan.document["blast"]["sentence"]
    assert pod["uid"] in [p["metadata"]["uid"] for p in ours.pods(lab, name)]


# -- Jobs


def job_spec(*command: str, **more: Any) -> dict[str, Any]:
    main = ours.container("main", "app:1", command=list(command), **more)
    return {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [main]}}}


def job(lab: RunningLab, name: str, spec: dict[str, Any]) -> Any:
    """Create a Job and wait until it has failed."""
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": ours.NAMESPACE},
        "spec": spec,
    }
    ours.create(lab, f"{ours.BATCH}/jobs", body)
    return lab.until(lambda: ended(lab, name, "Failed"), f"Job {name} fails")


def ended(lab: RunningLab, name: str, word: str) -> Any:
    found = lab.get(f"{ours.BATCH}/jobs/{name}")
    conditions = (found.get("status") or {}).get("conditions") or []
    return found if any(c["type"] == word and c["status"] == "True" for c in conditions) else None


def test_a_failed_job_is_run_again_once_its_cause_is_gone(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "import"
    reference = {"secretKeyRef": {"name": "import", "key": "mode"}}
    spec = job_spec("sh", "-c", "echo imported", env=[{"name": "MODE", "valueFrom": reference}])
    # ten seconds: the lab's clocks run twenty times faster
    old = job(lab, name, {**spec, "activeDeadlineSeconds": 200})
    meta = {"name": "import", "namespace": ours.NAMESPACE}
    ours.create(lab, f"{ours.CORE}/secrets", {"kind": "Secret", "metadata": meta, "stringData": {"mode": "full"}})
    run = act(at, "recreate-job", name)
    new = ended(lab, name, "Complete")
    assert new["metadata"]["uid"] != old["metadata"]["uid"], told(run)
    assert new["spec"]["activeDeadlineSeconds"] == 200
    assert [step.verb for step in run.steps.order_by("index")] == ["delete", "create"]


def test_a_job_that_fails_again_fails_the_run(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "broken"
    job(lab, name, job_spec("sh", "-c", "exit 3"))
    run = at.run("recreate-job", namespace=ours.NAMESPACE, name=name)
    assert run.state == "failed", told(run)
    assert "BackoffLimitExceeded" in run.sentence


def test_a_cron_job_runs_now_again_and_goes_by_undo(desk: Desks, lab: RunningLab) -> None:
    at, name = desk(lab), "report"
    body = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": ours.NAMESPACE},
        "spec": {
            "schedule": "0 3 * * *",
            "suspend": True,
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"metadata": {"labels": {"app": name}}, "spec": job_spec("sh", "-c", "echo reported")},
        },
    }
    ours.create(lab, f"{ours.BATCH}/cronjobs", body)
    act(at, "run-cronjob-now", name)
    made = ended(lab, "report-manual-1", "Complete")
    assert made["metadata"]["ownerReferences"][0]["name"] == name
    assert made["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    second = act(at, "run-cronjob-now", name)
    assert ended(lab, "report-manual-2", "Complete")
    undo(at, second)
    lab.until(lambda: lab.http.get(f"{ours.BATCH}/jobs/report-manual-2").status_code == 404, "the second Job is gone")
    assert ended(lab, "report-manual-1", "Complete")
