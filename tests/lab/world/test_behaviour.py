"""The kubelet's rules: the same pod behaves otherwise when an object it depends on is otherwise."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from lab.controllers import daemonset
from lab.controllers.kubelet import grafana
from lab.controllers.kubelet.behaviour import Behaviour, decide
from lab.controllers.kubelet.podstatus import running_entry, waiting_entry
from lab.controllers.kubelet.runtime import Life, Run, backoff
from lab.git import render
from lab.scenarios import argocd, cluster, monitoring
from lab.scenarios.builder import Builder

WHERE = "platform-monitoring"


def world_with(values: dict[str, Any]) -> tuple[Builder, Any]:
    """A view with the chart's objects for these values, and a Grafana pod of it."""
    world = Builder(datetime.now(UTC))
    cluster.load(world)
    found = render("kube-prometheus-stack", "55.5.0", {"grafana": values})
    for obj in found:
        world.add(obj, 1.0)
    deployment = world.get("deployments.apps", WHERE, monitoring.GRAFANA)
    assert deployment
    template = copy.deepcopy(deployment["spec"]["template"])
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "grafana-0", "namespace": WHERE, "uid": "u"},
        "spec": template["spec"],
        "status": {"podIP": "10.0.0.1"},
    }
    return world, pod


def behaviour(world: Builder, pod: Any, name: str = "grafana") -> Behaviour:
    container = next(entry for entry in pod["spec"]["containers"] if entry["name"] == name)
    return decide(pod, container, world)


def test_grafana_runs_with_the_charts_defaults() -> None:
    found = behaviour(*world_with({}))
    assert found.exit is None and found.waiting is None
    assert any("HTTP Server Listen" in text for _, text in found.log)


def test_a_second_default_datasource_ends_grafana_with_the_exact_message() -> None:
    world, pod = world_with({"additionalDataSources": [{"name": "Other", "type": "prometheus", "isDefault": True}]})
    found = behaviour(world, pod)
    assert found.exit and found.exit.code == 1
    assert grafana.TOO_MANY_DEFAULTS in found.log[-1][1]


def test_a_labelled_configmap_of_another_team_counts_too() -> None:
    world, pod = world_with({})
    text = "apiVersion: 1\ndatasources:\n- {name: Theirs, type: loki, isDefault: true}\n"
    labels = {"grafana_datasource": "1"}
    extra = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "theirs", "namespace": WHERE, "labels": labels},
    }
    world.add({**extra, "data": {"theirs.yaml": text}}, 1.0)
    assert behaviour(world, pod).exit
    world.remove("configmaps", WHERE, "theirs")
    assert behaviour(world, pod).exit is None


def test_defaults_of_two_organisations_do_not_clash() -> None:
    files = {"a.yaml": "datasources: [{isDefault: true, orgId: 1}, {isDefault: true, orgId: 2}]"}
    assert grafana.offending_file(files) == ""


def test_without_the_role_a_new_sidecar_exits_and_an_old_one_keeps_complaining() -> None:
    for tag, exits in (("1.25.2", False), ("2.10.1", True)):
        world, pod = world_with({"sidecar": {"image": {"tag": tag}}})
        assert behaviour(world, pod, "grafana-sc-datasources").exit is None
        world.remove("clusterroles.rbac.authorization.k8s.io", None, "kube-prometheus-stack-grafana-clusterrole")
        found = behaviour(world, pod, "grafana-sc-datasources")
        assert bool(found.exit) is exits
        assert any("(403)" in text and "is forbidden" in text for _, text in found.log)


def test_a_sidecar_never_exits_because_grafana_refuses_connections() -> None:
    world, pod = world_with({"additionalDataSources": [{"name": "Other", "isDefault": True}]})
    found = behaviour(world, pod, "grafana-sc-dashboard")
    assert found.exit is None
    assert any("Connection refused" in text for _, text in found.log)


def test_a_missing_secret_or_key_keeps_the_container_from_starting() -> None:
    world, pod = world_with({"admin": {"existingSecret": "grafana-admin"}})
    assert behaviour(world, pod).waiting == ("CreateContainerConfigError", 'secret "grafana-admin" not found')
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "grafana-admin", "namespace": WHERE}}
    world.add({**secret, "data": {"admin-user": "YQ=="}}, 1.0)
    waiting = behaviour(world, pod).waiting
    assert waiting and "couldn't find key admin-password" in waiting[1]
    world.add({**secret, "data": {"admin-user": "YQ==", "admin-password": "Yg=="}}, 1.0)
    assert behaviour(world, pod).waiting is None


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"tag": "10.2.2-typo"}},
        {"image": {"registry": "registry.invalid"}},
    ],
)
def test_an_image_that_does_not_exist_is_not_pulled(values: dict[str, Any]) -> None:
    waiting = behaviour(*world_with(values)).waiting
    assert waiting and waiting[0] == "ErrImagePull"


def test_too_little_memory_is_an_oom_kill() -> None:
    found = behaviour(*world_with({"resources": {"limits": {"memory": "50Mi"}}}))
    assert found.exit and (found.exit.code, found.exit.reason) == (137, "OOMKilled")


def test_a_database_nobody_serves_leaves_grafana_up_but_unhealthy() -> None:
    world, pod = world_with({"env": {"GF_DATABASE_TYPE": "postgres", "GF_DATABASE_HOST": "grafana-db:5432"}})
    found = behaviour(world, pod)
    assert found.exit is None
    assert "/api/health" in found.unhealthy_paths


def test_first_start_takes_longer_with_less_cpu_and_on_a_network_disk() -> None:
    def seconds(values: dict[str, Any], bound: bool = False) -> float:
        world, pod = world_with(values)
        if bound:
            claim = world.get("persistentvolumeclaims", WHERE, monitoring.GRAFANA)
            assert claim
            claim["spec"]["volumeName"] = "v"
            meta = {"name": "v"}
            world.add({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": {"nfs": {}}}, 1.0)
        container = pod["spec"]["containers"][-1]
        return grafana.first_start_seconds(pod, container, world)

    little = {"resources": {"limits": {"cpu": "100m"}}}
    assert seconds({}) < seconds(little) < seconds({**little, "persistence": {"enabled": True}}, bound=True)


# -- the life of a container


def live(spec: dict[str, Any], found: Behaviour, until: float, step: float = 1.0) -> tuple[Run, list[str]]:
    """Run a container for `until` demo seconds; returns it and the reasons of its Events."""
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [spec]}, "status": {}}
    run = Run(spec, waiting_entry(spec, "ContainerCreating"))
    reasons: list[str] = []
    now = 0.0
    while now <= until:
        life = Life(pod, run, Builder(datetime.now(UTC)), now, rules=lambda *_: found)
        life.advance()
        reasons += [happening.reason for happening in life.happenings]
        now += step
    return run, reasons


def probe(**fields: int) -> dict[str, Any]:
    return {"httpGet": {"path": "/api/health", "port": 3000}, **fields}


def test_a_slow_start_is_killed_by_a_short_liveness_probe_and_survives_with_a_startup_probe() -> None:
    spec = {"name": "c", "image": "i", "livenessProbe": probe(initialDelaySeconds=60, failureThreshold=10)}
    slow = Behaviour(listens_after=200.0)
    run, reasons = live(spec, slow, 400)
    assert run.entry["restartCount"] >= 1 and "Killing" in reasons and "Unhealthy" in reasons
    patient = {**spec, "startupProbe": probe(initialDelaySeconds=30, failureThreshold=30)}
    run, reasons = live(patient, slow, 400)
    assert run.entry["restartCount"] == 0 and run.entry["ready"]


def test_health_that_never_turns_ok_never_reads_ready() -> None:
    spec = {"name": "c", "image": "i", "readinessProbe": probe()}
    run, _ = live(spec, Behaviour(listens_after=1.0, unhealthy_paths=frozenset({"/api/health"})), 60)
    assert run.running and run.entry["ready"] is False and run.entry["restartCount"] == 0


def test_crashes_back_off_exponentially_up_to_five_minutes() -> None:
    assert [backoff(n) for n in range(1, 8)] == [0, 10, 20, 40, 80, 160, 300]


def test_a_crashing_container_waits_in_back_off_with_its_last_state() -> None:
    from lab.controllers.kubelet.behaviour import Exit

    run, reasons = live({"name": "c", "image": "i"}, Behaviour(exit=Exit(1, 2.0)), 20)
    assert run.entry["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert run.entry["lastState"]["terminated"]["exitCode"] == 1
    assert run.entry["restartCount"] >= 1 and "BackOff" in reasons


def test_a_container_found_running_keeps_its_entry() -> None:
    spec = {"name": "c", "image": "i", "readinessProbe": probe()}
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": [spec]}, "status": {}}
    entry = running_entry(pod, spec, "2025-11-23T12:00:00Z")
    from lab.controllers.kubelet.runtime import adopted

    world = Builder(datetime.now(UTC))
    run = adopted(pod, spec, entry, world, 5.0, 1.0)
    Life(pod, run, world, 6.0).advance()
    assert run.entry == entry


def test_argo_cds_own_pods_are_known_programs() -> None:
    spec = {"name": "argocd-server", "image": argocd.IMAGE}
    pod = {"metadata": {"name": "p", "namespace": "argocd"}, "spec": {"containers": [spec]}}
    assert decide(pod, spec, Builder(datetime.now(UTC))).log


def test_a_taint_keeps_new_daemon_pods_away_and_only_noexecute_removes_those_that_run() -> None:
    nodes = [
        {"metadata": {"name": effect, "labels": {}}, "spec": {"taints": [{"key": "a", "value": "b", "effect": effect}]}}
        for effect in ("NoSchedule", "NoExecute")
    ]
    daemon_set: dict[str, Any] = {"spec": {"template": {"spec": {"containers": []}}}}
    assert daemonset.eligible(daemon_set, nodes) == []
    assert daemonset.eligible(daemon_set, nodes, daemonset.EVICTING) == ["NoSchedule"]
