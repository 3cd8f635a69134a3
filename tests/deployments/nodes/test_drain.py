"""Draining a node: who goes and in which order, who stays, what needs somebody's word, budgets, room elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue.action import Condition, Evict, PlanDraft
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import Missing
from tests.deployments.nodes.scene import MONITORING, Scene, unmet

PROMETHEUS = "prometheus-kube-prometheus-stack-prometheus-0"
BUDGETS = "poddisruptionbudgets.policy"


def drain(scene: Scene, node: str = "worker01", **params: Any) -> PlanDraft:
    """A drain that may lose emptyDirs (Alertmanager has one), unless a test says otherwise."""
    return scene.draft("drain", node=node, **{"empty_dirs": True, **params})


def evicted(drafted: PlanDraft) -> list[str]:
    return [f"{step.namespace}/{step.name}" for step in drafted.steps if isinstance(step.effect, Evict)]


def budget(scene: Scene, labels: dict[str, str], namespace: str, allowed: int = 0, **status: Any) -> dict[str, Any]:
    found: dict[str, Any] = scene.add(
        BUDGETS,
        {
            "metadata": {"name": f"budget-{len(scene.all(BUDGETS))}", "namespace": namespace},
            "spec": {"selector": {"matchLabels": labels}},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, **status},
        },
    )
    return found


# -- who goes, who stays


def test_a_drain_cordons_then_evicts_one_by_one_then_waits() -> None:
    drafted = drain(Scene())
    assert unmet(drafted) == []
    assert [step.verb for step in drafted.steps] == ["cordon", "evict", "evict", "evict", "wait"]
    assert evicted(drafted)[0] == "argocd/argocd-application-controller-0"
    assert evicted(drafted)[1].startswith("kube-system/coredns-")
    assert evicted(drafted)[2] == f"{MONITORING}/alertmanager-kube-prometheus-stack-alertmanager-0"
    first = drafted.steps[1]
    assert first.until is not None
    assert first.until.name == "pod_gone"
    assert first.unless is not None and first.unless.name == "pod_leaving"
    assert first.until.args["uid"] == Scene().pod("argocd-application-controller-0")["metadata"]["uid"]
    assert drafted.steps[-1].until == Condition("node_drained", {"name": "worker01"})
    assert drafted.steps[-1].effect is None


def test_monitoring_moves_last_and_is_named() -> None:
    drafted = drain(Scene(), "worker03")
    monitoring = [name for name in evicted(drafted) if name.startswith(MONITORING)]
    assert evicted(drafted)[-len(monitoring) :] == monitoring
    assert "moves last" in drafted.blast.sentence
    assert "grafana" in drafted.blast.sentence


def test_the_order_of_the_listing_does_not_matter() -> None:
    scene = Scene()
    scene.all("pods").reverse()
    assert drain(scene, "worker03") == drain(Scene(), "worker03")


def test_daemon_sets_and_mirror_pods_stay() -> None:
    scene = Scene()
    drafted = drain(scene, "master01")
    assert [name for name in evicted(drafted) if "kube-apiserver" in name or "calico-node" in name] == []
    assert "Pod kube-system/kube-apiserver-master01" in drafted.blast.unchanged
    assert any("kube-proxy" in name for name in drafted.blast.unchanged)


def test_a_pod_of_a_daemon_set_that_is_gone_counts_as_made_by_nobody() -> None:
    scene = Scene()
    scene.all("daemonsets.apps").remove(scene.get("daemonsets.apps", "openebs-ndm-node-exporter"))
    (reason,) = unmet(drain(scene))
    assert reason.startswith("No pod is evicted that nothing brings back: 1 pod: openebs/openebs-ndm-node-exporter")
    drafted = drain(scene, ownerless=True)
    assert unmet(drafted) == []
    assert any(name.startswith("openebs/") for name in evicted(drafted))
    assert [name for name in drafted.blast.deleted if "openebs" in name]
    assert not [name for name in drafted.blast.restarted if "openebs" in name]


def test_a_pod_that_is_ending_is_not_evicted_again_and_waited_for() -> None:
    scene = Scene()
    pod = scene.pod("argocd-application-controller-0")
    pod["metadata"]["deletionTimestamp"] = "2026-11-27T18:29:00Z"
    drafted = drain(scene)
    assert not any("argocd" in name for name in evicted(drafted))
    assert "Ending already: argocd/argocd-application-controller-0" in drafted.blast.sentence
    assert scene.look("node_drained", name="worker01").outlook == Outlook.NOT_YET


# -- what needs somebody's word


def test_an_empty_dir_is_lost_only_when_accepted() -> None:
    (reason,) = unmet(drain(Scene(), "worker02", empty_dirs=False))
    assert reason == (
        f"No emptyDir is lost that nobody agreed to lose: 1 pod: {MONITORING}/{PROMETHEUS}. "
        "Set empty_dirs to accept it."
    )
    assert unmet(drain(Scene(), "worker02")) == []
    assert unmet(drain(Scene(), "worker02", empty_dirs="true")) == [], "as a form sends it"


def test_a_pod_nobody_made_goes_only_when_accepted() -> None:
    scene = Scene()
    del scene.pod("argocd-application-controller-0")["metadata"]["ownerReferences"]
    (reason,) = unmet(drain(scene))
    assert "1 pod: argocd/argocd-application-controller-0. Set ownerless" in reason
    assert drain(scene, ownerless=True).blast.deleted == ("Pod argocd/argocd-application-controller-0",)


def test_a_finished_pod_may_always_go() -> None:
    scene = Scene()
    pod = scene.pod(PROMETHEUS)
    pod["status"]["phase"] = "Failed"
    del pod["metadata"]["ownerReferences"]
    drafted = drain(scene, "worker02", empty_dirs=False)
    assert unmet(drafted) == []
    assert f"{MONITORING}/{PROMETHEUS}" in evicted(drafted)
    assert drafted.blast.deleted == (f"Pod {MONITORING}/{PROMETHEUS}",)


def test_the_last_worker_is_never_drained() -> None:
    scene = Scene()
    for name in ("worker02", "worker03"):
        scene.node(name)["spec"]["unschedulable"] = True
    assert any(u.startswith("At least one other worker takes ordinary pods") for u in unmet(drain(scene)))


def test_a_node_that_is_being_deleted_is_not_drained() -> None:
    scene = Scene()
    scene.node("worker01")["metadata"]["deletionTimestamp"] = "2026-11-27T18:00:00Z"
    assert unmet(drain(scene))[0] == "worker01 is there to be drained: it is being deleted"


def test_a_cordoned_node_can_be_drained() -> None:
    scene = Scene()
    scene.node("worker01")["spec"]["unschedulable"] = True
    drafted = drain(scene)
    assert unmet(drafted) == []
    assert drafted.preconditions[0].evidence == "cordoned already"
    assert drafted.undo.startswith("The node stays cordoned, as it was before.")
    assert drain(Scene()).undo.startswith("The node is uncordoned.")
    assert drafted.steps[0].unless == Condition("node_cordoned", {"name": "worker01"})


# -- budgets


def test_each_budget_is_shown_with_what_it_allows_now() -> None:
    scene = Scene()
    budget(scene, {"k8s-app": "kube-dns"}, "kube-system", 1, currentHealthy=2)
    drafted = drain(scene)
    assert unmet(drafted) == []
    assert drafted.blast.budgets == (
        "PodDisruptionBudget budget-0 over 1 of these pods: allows 1 disruption now, 2 healthy, needs 1",
    )


def test_a_budget_that_allows_nothing_stops_the_plan_and_names_its_pods() -> None:
    scene = Scene()
    budget(scene, {"k8s-app": "kube-dns"}, "kube-system")
    budget(scene, {"k8s-app": "kube-dns"}, "argocd")
    (reason,) = unmet(drain(scene))
    assert "kube-system/budget-0 allows none (1 healthy, needs 1) and holds coredns-" in reason
    assert "Scale up first" in reason


def test_an_empty_selector_covers_the_namespace_and_none_covers_nothing() -> None:
    scene = Scene()
    budget(scene, {}, "kube-system")
    assert len(unmet(drain(scene))) == 1
    scene.all(BUDGETS)[0]["spec"] = {}
    assert unmet(drain(scene)) == []


@pytest.mark.parametrize(
    ("policy", "healthy", "desired", "asked"),
    [
        ("", 1, 1, False),
        ("", 0, 1, True),
        ("", 0, 0, True),
        ("IfHealthyBudget", 2, 1, False),
        ("IfHealthyBudget", 1, 2, True),
        ("AlwaysAllow", 0, 1, False),
    ],
)
def test_a_broken_pod_passes_where_the_budgets_policy_says_so(
    policy: str, healthy: int, desired: int, asked: bool
) -> None:
    scene = Scene()
    made = budget(scene, {"k8s-app": "kube-dns"}, "kube-system", currentHealthy=healthy, desiredHealthy=desired)
    if policy:
        made["spec"]["unhealthyPodEvictionPolicy"] = policy
    scene.pod("coredns-")["status"]["conditions"][0]["status"] = "False"
    assert (len(unmet(drain(scene))) == 1) is asked


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
def test_a_pod_that_does_not_run_needs_no_budget(phase: str) -> None:
    scene = Scene()
    budget(scene, {"k8s-app": "kube-dns"}, "kube-system")
    scene.pod("coredns-")["status"] = {"phase": phase}
    assert unmet(drain(scene)) == []


def test_two_budgets_over_one_pod_are_refused() -> None:
    scene = Scene()
    for _ in range(2):
        budget(scene, {"k8s-app": "kube-dns"}, "kube-system", 1)
    (reason,) = unmet(drain(scene))
    assert reason.startswith("No pod is covered by two disruption budgets: kube-system/coredns-")


# -- room elsewhere


def test_room_is_counted_by_requests() -> None:
    drafted = drain(Scene())
    room = next(p for p in drafted.preconditions if "room" in p.sentence)
    assert room.met
    assert room.evidence.startswith("3 pods ask for ")
    assert "looked at master01, worker02, worker03 and worker04" in room.evidence


def test_a_pod_no_other_node_has_room_for_is_named() -> None:
    scene = Scene()
    container = scene.pod("coredns-")["spec"]["containers"][0]
    container["resources"] = {"requests": {"memory": "33Gi"}}
    (reason,) = unmet(drain(scene))
    assert reason.startswith("The other nodes have room for these pods: kube-system/coredns-")
    assert reason.endswith("not enough memory on 2 nodes that would take it")


def test_pods_are_placed_beside_what_runs_there_and_beside_each_other() -> None:
    scene = Scene()
    scene.pod("coredns-")["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "4"}}
    other = scene.pod("argocd-application-controller-0")
    other["spec"]["containers"] = [{"name": "a", "resources": {"requests": {"cpu": "4"}}}]
    scene.node("worker02")["status"]["allocatable"]["cpu"] = "6"
    scene.node("worker03")["status"]["allocatable"]["cpu"] = "6"
    assert unmet(drain(scene)) == []
    scene.node("worker03")["spec"]["unschedulable"] = True
    (reason,) = unmet(drain(scene))
    assert "not enough cpu on 1 node" in reason


def test_the_number_of_pods_a_node_takes_counts() -> None:
    scene = Scene()
    for name in ("worker02", "worker03"):
        scene.node(name)["status"]["allocatable"]["pods"] = "3"
    assert any("not enough pods on" in u for u in unmet(drain(scene)))


def test_init_containers_count_by_the_largest() -> None:
    scene = Scene()
    scene.pod("coredns-")["spec"]["initContainers"] = [
        {"name": "a", "resources": {"requests": {"memory": "20Gi"}}},
        {"name": "b", "resources": {"requests": {"memory": "20Gi"}}},
    ]
    assert unmet(drain(scene)) == []
    scene.pod("coredns-")["spec"]["initContainers"][0]["resources"]["requests"]["memory"] = "40Gi"
    assert len(unmet(drain(scene))) == 1


def test_a_resource_only_some_nodes_have_is_looked_for() -> None:
    scene = Scene()
    scene.pod("coredns-")["spec"]["containers"][0]["resources"] = {"requests": {"example.com/gpu": "1"}}
    assert any("not enough example.com/gpu" in u for u in unmet(drain(scene)))
    scene.node("worker03")["status"]["allocatable"]["example.com/gpu"] = "1"
    assert unmet(drain(scene)) == []


def test_taints_selectors_and_affinity_keep_a_pod_off_a_node() -> None:
    scene = Scene()
    scene.pod("coredns-")["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "worker01"}
    (reason,) = unmet(drain(scene))
    assert "no other node takes it (taints, selector, affinity)" in reason


def test_a_volume_that_is_only_here_is_a_reason_of_its_own() -> None:
    scene = Scene()
    claim = "alertmanager-kube-prometheus-stack-alertmanager-db-alertmanager-kube-prometheus-stack-alertmanager-0"
    name = scene.get("persistentvolumeclaims", claim)["spec"]["volumeName"]
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["worker01"]}]}
    volume = scene.get("persistentvolumes", name)
    volume["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    (reason,) = unmet(drain(scene))
    assert reason.startswith("Their volumes can be mounted on another node: platform-monitoring/alertmanager-")
    term["matchExpressions"][0]["values"] = ["worker01", "worker03"]
    assert unmet(drain(scene)) == []


# -- the rest of the plan


def test_services_claims_and_pods_that_are_touched_are_named() -> None:
    blast = drain(Scene()).blast
    assert any(line.startswith("Service kube-prometheus-stack-alertmanager (") for line in blast.endpoints)
    assert not any("kube-dns" in line for line in blast.endpoints), "the other coredns answers"
    assert len(blast.claims) == 1 and "alertmanager" in blast.claims[0]
    assert "Pod argocd/argocd-application-controller-0" in blast.restarted


def test_workloads_that_were_whole_must_be_so_again() -> None:
    scene = Scene()
    names = [check.params["name"] for check in drain(scene).verification.checks]
    assert names == [
        "argocd-application-controller",
        "coredns",
        "alertmanager-kube-prometheus-stack-alertmanager",
    ]
    scene.get("deployments.apps", "coredns")["status"]["readyReplicas"] = 1
    names = [check.params["name"] for check in drain(scene).verification.checks]
    assert "coredns" not in names, "it was broken before, which no drain can mend"


def test_a_long_grace_period_gets_the_time_it_needs() -> None:
    scene = Scene()
    scene.pod("coredns-")["spec"]["terminationGracePeriodSeconds"] = 600
    assert [step.timeout_seconds for step in drain(scene, pod_seconds=100).steps] == [60, 100, 660, 180, 100]
    assert scene.pod("alertmanager-")["spec"]["terminationGracePeriodSeconds"] == 120


@pytest.mark.parametrize("resource", ["pods", BUDGETS, "daemonsets.apps", "persistentvolumes", "replicasets.apps"])
def test_what_was_not_read_starts_no_drain(resource: str) -> None:
    scene = Scene()
    scene.unread(resource)
    with pytest.raises(Missing):
        drain(scene)


def test_a_node_with_nothing_to_evict_is_only_cordoned() -> None:
    drafted = drain(Scene(), "worker04")
    assert [step.verb for step in drafted.steps] == ["cordon", "wait"]
    assert drafted.verification.checks == ()
    assert drafted.verification.hold_seconds == 0


def test_drained_means_only_those_that_stay_are_left() -> None:
    scene = Scene()
    assert scene.look("node_drained", name="worker04").outlook == Outlook.MET
    seen = scene.look("node_drained", name="worker01")
    assert (seen.outlook, len(seen.lines)) == (Outlook.NOT_YET, 1)
    assert "Still on worker01: argocd/argocd-application-controller-0" in seen.sentence
    assert scene.look("node_drained", seen.memory, name="worker01").lines == ()
    for name in ("argocd-application-controller-0", "coredns-", "alertmanager-"):
        scene.pod(name)["spec"]["nodeName"] = "worker02"
    assert scene.look("node_drained", name="worker01").sentence == (
        "No evictable pod is left on worker01; 4 pods stay there."
    )
