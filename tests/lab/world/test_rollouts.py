"""Rollout history and undo by the real kubectl, of all three kinds of workloads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.world.running import RunningLab

pytestmark = pytest.mark.lab
APPS = "/apis/apps/v1/namespaces/shop"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A well lab with an empty namespace shop."""
    lab = RunningLab("healthy", tmp_path_factory.mktemp("rollouts"))
    lab.kubectl("create", "namespace", "shop")
    yield lab
    lab.stop()


def workload(kind: str) -> dict[str, Any]:
    labels = {"app": kind.lower()}
    pod = {"containers": [{"name": "web", "image": "nginx:1", "env": [{"name": "A", "value": "1"}]}]}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    if kind != "DaemonSet":
        spec["replicas"] = 2
    if kind == "StatefulSet":
        spec["serviceName"] = "web"
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": spec}


def test_a_paused_deployment_is_scaled_and_starts_no_new_template(shop: RunningLab) -> None:
    body = workload("Deployment")
    body["metadata"]["name"] = "paused"
    body["spec"] |= {"selector": {"matchLabels": {"app": "paused"}}}
    body["spec"]["template"]["metadata"] = {"labels": {"app": "paused"}}
    shop.http.post(f"{APPS}/deployments", json=body).raise_for_status()
    shop.kubectl("-n", "shop", "rollout", "status", "deployment/paused", "--timeout=60s")
    shop.kubectl("-n", "shop", "rollout", "pause", "deployment/paused")
    shop.kubectl("-n", "shop", "set", "image", "deployment/paused", "web=nginx:2")
    shop.kubectl("-n", "shop", "scale", "deployment/paused", "--replicas=3")

    def images() -> list[str]:
        pods = shop.items("/api/v1/namespaces/shop/pods", labelSelector="app=paused")
        return [pod["spec"]["containers"][0]["image"] for pod in pods]

    shop.until(lambda: images() == ["nginx:1"] * 3, "three pods of the old template")
    shop.kubectl("-n", "shop", "rollout", "resume", "deployment/paused")
    shop.until(lambda: images() == ["nginx:2"] * 3, "three pods of the new one")


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_history_and_undo(shop: RunningLab, kind: str) -> None:
    plural = f"{kind.lower()}s"
    target = f"{kind.lower()}/web"
    shop.http.post(f"{APPS}/{plural}", json=workload(kind)).raise_for_status()
    shop.kubectl("-n", "shop", "rollout", "status", target, "--timeout=60s")
    shop.kubectl("-n", "shop", "set", "image", target, "web=nginx:2")
    shop.kubectl("-n", "shop", "set", "env", target, "B=2")
    shop.kubectl("-n", "shop", "annotate", target, "kubernetes.io/change-cause=two changes")
    shop.kubectl("-n", "shop", "rollout", "status", target, "--timeout=60s")

    def numbers() -> list[str]:
        lines = shop.kubectl("-n", "shop", "rollout", "history", target).splitlines()
        return [line.split()[0] for line in lines if line[:1].isdigit()]

    assert numbers() == ["1", "2", "3"]
    assert "nginx:2" in shop.kubectl("-n", "shop", "rollout", "history", target, "--revision=2")
    shop.kubectl("-n", "shop", "rollout", "undo", target, "--to-revision=1")
    shop.kubectl("-n", "shop", "rollout", "status", target, "--timeout=60s")
    live = shop.get(f"{APPS}/{plural}/web")["spec"]["template"]["spec"]["containers"]
    assert [(each["image"], each["env"]) for each in live] == [("nginx:1", [{"name": "A", "value": "1"}])]
    shop.until(lambda: numbers() == ["2", "3", "4"], "the first revision is the newest now")
    pods = json.loads(shop.kubectl("-n", "shop", "get", "pods", "-l", f"app={kind.lower()}", "-o", "json"))["items"]
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert {pod["spec"]["containers"][0]["image"] for pod in alive} == {"nginx:1"}
    shop.kubectl("-n", "shop", "rollout", "undo", target)
    shop.kubectl("-n", "shop", "rollout", "status", target, "--timeout=60s")
    live = shop.get(f"{APPS}/{plural}/web")["spec"]["template"]["spec"]["containers"]
    assert [(each["image"], each["env"][-1]["name"]) for each in live] == [("nginx:2", "B")]
    shop.kubectl("-n", "shop", "delete", target)


def test_the_history_is_cut_to_its_limit(shop: RunningLab) -> None:
    body = workload("StatefulSet")
    body["metadata"]["name"] = "short"
    body["spec"] |= {"revisionHistoryLimit": 1, "replicas": 1}
    shop.http.post(f"{APPS}/statefulsets", json=body).raise_for_status()
    for tag in ("2", "3", "4"):
        shop.kubectl("-n", "shop", "rollout", "status", "statefulset/short", "--timeout=60s")
        shop.kubectl("-n", "shop", "set", "image", "statefulset/short", f"web=nginx:{tag}")

    def kept() -> list[int]:
        found = shop.items(f"{APPS}/controllerrevisions")
        return sorted(each["revision"] for each in found if each["metadata"]["name"].startswith("short-"))

    shop.until(lambda: kept() == [3, 4], "the present revision and one before it")


def test_the_settled_workloads_have_their_revision_from_the_start(shop: RunningLab) -> None:
    history = shop.kubectl(
        "-n", "platform-monitoring", "rollout", "history",
        "daemonset/kube-prometheus-stack-prometheus-node-exporter",
    )  # fmt: skip
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1"]
    assert not [
        each for each in shop.writes() if each["resource"] == "controllerrevisions.apps" and each["ns"] != "shop"
    ]
