"""Disruption budgets as the controller keeps them, and a drain by the real kubectl that has to respect them."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.controllers.disruption import status_of
from lab.scenarios.builder import Builder
from tests.lab.world.running import RunningLab
from tests.lab.world.test_scenarios import NOW

pytestmark = pytest.mark.lab
WHERE = "/namespaces/shop"


# -- the controller's arithmetic


def _world(pods: int, ready: int, replicas: int) -> Builder:
    world = Builder(NOW)
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    meta = {"name": "web", "namespace": "shop"}
    owner = world.add({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": spec}, 5)
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": owner["metadata"]["uid"]}
    for number in range(pods):
        own = {
            "name": f"web-{number}",
            "namespace": "shop",
            "labels": {"app": "web"},
            "ownerReferences": [{**reference, "controller": True}],
        }
        word = "True" if number < ready else "False"
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": word}]}
        world.add({"apiVersion": "v1", "kind": "Pod", "metadata": own, "spec": template["spec"], "status": status}, 5)
    return world


def _status(world: Builder, **spec: Any) -> dict[str, Any]:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "shop", "generation": 3},
        "spec": {"selector": {}, **spec},
    }
    return status_of(budget, world.list("pods", "shop"), world)


@pytest.mark.parametrize(
    ("pods", "ready", "replicas", "spec", "counts"),
    [
        # allowed, healthy, desired, expected
        (3, 3, 3, {"minAvailable": 2}, (1, 3, 2, 3)),
        (3, 2, 3, {"minAvailable": 2}, (0, 2, 2, 3)),
        (3, 1, 3, {"minAvailable": 2}, (0, 1, 2, 3)),
        (2, 2, 4, {"minAvailable": 1}, (1, 2, 1, 2)),  # a number counts the pods that are there
        (2, 2, 4, {"minAvailable": "50%"}, (0, 2, 2, 4)),  # a share counts what the owner is told to run
        (3, 3, 3, {"minAvailable": "50%"}, (1, 3, 2, 3)),  # rounded up
        (3, 3, 3, {"maxUnavailable": 1}, (1, 3, 2, 3)),
        (3, 3, 3, {"maxUnavailable": "34%"}, (2, 3, 1, 3)),  # rounded up too, in favour of the drain
        (3, 3, 3, {"maxUnavailable": "100%"}, (3, 3, 0, 3)),
        (3, 3, 3, {"maxUnavailable": 0}, (0, 3, 3, 3)),
        (0, 0, 0, {"minAvailable": 0}, (0, 0, 0, 0)),
    ],
)
def test_the_numbers_of_a_budget(
    pods: int, ready: int, replicas: int, spec: dict[str, Any], counts: tuple[int, ...]
) -> None:
    found = _status(_world(pods, ready, replicas), **spec)
    names = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    assert tuple(found[name] for name in names) == counts
    assert found["observedGeneration"] == 3
    condition = found["conditions"][0]
    expected = ("True", "SufficientPods") if counts[0] else ("False", "InsufficientPods")
    assert (condition["type"], condition["status"], condition["reason"]) == ("DisruptionAllowed", *expected)


def test_a_share_of_pods_whose_owner_cannot_be_scaled_fails_closed() -> None:
    world = _world(1, 1, 1)
    pod = world.list("pods", "shop")[0]
    pod["metadata"]["ownerReferences"][0] |= {"kind": "DaemonSet"}
    found = _status(world, maxUnavailable=1)
    assert found["disruptionsAllowed"] == 0
    assert found["conditions"][0]["reason"] == "SyncFailed"
    assert found["conditions"][0]["message"] == "daemonsets.apps does not implement the scale subresource"


# -- a drain


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A well lab with a Deployment of three in namespace shop."""
    folder: Path = tmp_path_factory.mktemp("shop")
    lab = RunningLab("healthy", folder)
    try:
        lab.kubectl("create", "namespace", "shop")
        lab.kubectl("-n", "shop", "create", "deployment", "web", "--image=nginx", "--replicas=3")
        lab.kubectl("-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s")
        yield lab
    finally:
        lab.stop()


def _pods(lab: RunningLab) -> dict[str, str]:
    items = lab.items(f"/api/v1{WHERE}/pods", labelSelector="app=web")
    return {each["metadata"]["name"]: each["spec"].get("nodeName", "") for each in items}


def test_replicas_are_spread_over_the_workers(shop: RunningLab) -> None:
    assert sorted(_pods(shop).values()) == ["worker01", "worker02", "worker03"]


def test_drain_waits_for_the_budget_and_the_pods_come_back_elsewhere(shop: RunningLab) -> None:
    shop.kubectl("-n", "shop", "create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=2")
    path = f"/apis/policy/v1{WHERE}/poddisruptionbudgets/web"
    shop.until(lambda: shop.get(path)["status"]["disruptionsAllowed"] == 1, "one may go")
    shop.kubectl("cordon", "worker02")
    gone = [name for name, node in _pods(shop).items() if node == "worker02"]
    shop.kubectl("-n", "shop", "delete", "pod", *gone)
    shop.until(lambda: "worker02" not in _pods(shop).values() and len(_pods(shop)) == 3, "nothing new on worker02")
    shop.kubectl("-n", "shop", "rollout", "status", "deployment/web", "--timeout=60s")
    healthy: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            pods = shop.items(f"/api/v1{WHERE}/pods", labelSelector="app=web")
            ready = [
                pod
                for pod in pods
                if "deletionTimestamp" not in pod["metadata"]
                and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
            ]
            healthy.append(len(ready))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        text = shop.kubectl("drain", "worker01", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
    finally:
        over.set()
        thread.join()
    assert "node/worker01 drained" in text
    assert min(healthy) >= 2
    assert set(_pods(shop).values()) == {"worker03"}
    taints = shop.get("/api/v1/nodes/worker01")["spec"]["taints"]
    assert [(each["key"], each["effect"]) for each in taints] == [("node.kubernetes.io/unschedulable", "NoSchedule")]
    left = shop.items("/api/v1/pods", fieldSelector="spec.nodeName=worker01")
    assert {each["metadata"]["ownerReferences"][0]["kind"] for each in left} == {"DaemonSet"}
    shop.kubectl("uncordon", "worker01", "worker02")
    shop.until(lambda: "taints" not in shop.get("/api/v1/nodes/worker01")["spec"], "no taint without a cordon")


def test_a_budget_that_nothing_can_meet_holds_the_drain(shop: RunningLab) -> None:
    shop.kubectl("-n", "shop", "create", "deployment", "one", "--image=nginx")
    shop.kubectl("-n", "shop", "rollout", "status", "deployment/one", "--timeout=60s")
    shop.kubectl("-n", "shop", "create", "poddisruptionbudget", "one", "--selector=app=one", "--min-available=100%")
    path = f"/apis/policy/v1{WHERE}/poddisruptionbudgets/one"
    shop.until(lambda: shop.get(path)["status"]["desiredHealthy"] == 1, "the controller has looked")
    pod = shop.items(f"/api/v1{WHERE}/pods", labelSelector="app=one")[0]
    node = pod["spec"]["nodeName"]
    ran = subprocess.run(
        ["kubectl", "--kubeconfig", str(shop.kubeconfig), "drain", node, "--ignore-daemonsets",
         "--delete-emptydir-data", "--timeout=2s", "--pod-selector=app=one"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget." in ran.stderr
    again = shop.get(f"/api/v1{WHERE}/pods/{pod['metadata']['name']}")
    assert "deletionTimestamp" not in again["metadata"]
    shop.kubectl("uncordon", node)


# -- autoscalers


def test_an_autoscaler_holds_its_bounds_and_says_that_it_knows_no_metric(shop: RunningLab) -> None:
    shop.kubectl("-n", "shop", "create", "deployment", "scaled", "--image=nginx", "--replicas=1")
    shop.kubectl("-n", "shop", "autoscale", "deployment", "scaled", "--min=2", "--max=3", "--cpu-percent=70")
    deployment = f"/apis/apps/v1{WHERE}/deployments/scaled"
    shop.until(lambda: shop.get(deployment)["spec"]["replicas"] == 2, "brought up to the least number")
    shop.kubectl("-n", "shop", "scale", "deployment/scaled", "--replicas=9")
    shop.until(lambda: shop.get(deployment)["spec"]["replicas"] == 3, "brought down to the most")
    path = f"/apis/autoscaling/v2{WHERE}/horizontalpodautoscalers/scaled"
    shop.until(lambda: shop.get(path)["status"].get("currentReplicas") == 3, "counted")
    scaler = shop.get(path)
    assert scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    words = {each["type"]: (each["status"], each["reason"]) for each in scaler["status"]["conditions"]}
    assert words == {
        "AbleToScale": ("True", "SucceededGetScale"),
        "ScalingActive": ("False", "FailedGetResourceMetric"),
    }
    older = shop.get(f"/apis/autoscaling/v1{WHERE}/horizontalpodautoscalers/scaled")
    assert older["spec"]["targetCPUUtilizationPercentage"] == 70 and "metrics" not in older["spec"]
    listed = json.loads(shop.kubectl("-n", "shop", "get", "hpa", "-o", "json"))["items"]
    assert listed[0]["apiVersion"] == "autoscaling/v2"
    writes = [each for each in shop.writes() if each["resource"] == "horizontalpodautoscalers.autoscaling"]
    assert writes and not any(each["no_op"] for each in writes)
