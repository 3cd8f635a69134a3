"""What the end of pods touches, and the conditions that wait for pods and rollouts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from deployments.catalogue.seen import Outlook
from deployments.catalogue.workloads import pods, targets
from integrations.kubernetes.objects import Pod
from integrations.kubernetes.parts import LabelRequirement, LabelSelector
from monitoring.snapshot import Missing, Snapshot
from tests.deployments.workloads.scene import NOW, Scene


def of(snapshot: Snapshot, *names: str) -> list[Pod]:
    return [pod for pod in snapshot.objects("pods", "shop") if pod.metadata.name in names]


# -- selectors


@pytest.mark.parametrize(
    ("chosen", "matches"),
    [
        (None, False),
        (LabelSelector(), True),
        (LabelSelector({"app": "web"}), True),
        (LabelSelector({"app": "web", "tier": "front"}), False),
        (LabelSelector({}, [LabelRequirement("app", "In", ["web", "db"])]), True),
        (LabelSelector({}, [LabelRequirement("app", "In", ["db"])]), False),
        (LabelSelector({}, [LabelRequirement("tier", "NotIn", ["back"])]), True),
        (LabelSelector({}, [LabelRequirement("app", "NotIn", ["web"])]), False),
        (LabelSelector({}, [LabelRequirement("app", "Exists")]), True),
        (LabelSelector({}, [LabelRequirement("app", "DoesNotExist")]), False),
        (LabelSelector({}, [LabelRequirement("app", "Greater", ["1"])]), False),
    ],
)
def test_a_label_selector_matches_as_the_api_says(chosen: LabelSelector | None, matches: bool) -> None:
    assert targets.selects(chosen, {"app": "web"}) is matches


def test_a_deployments_pods_are_found_through_its_replica_sets() -> None:
    scene = Scene()
    stranger = {"metadata": {"name": "stranger", "namespace": "shop", "uid": "x", "labels": {"app": "web"}}}
    scene.add("pods", stranger)
    item = targets.find(scene.snapshot, "Deployment", "shop", "web")
    names = [pod.metadata.name for pod in targets.pods_of(scene.snapshot, "Deployment", item)]
    assert names == ["web-3-aaaaa", "web-3-bbbbb"]


# -- blast radius


def test_a_budget_is_shown_with_what_it_allows_now() -> None:
    snapshot = Scene().snapshot
    found = pods.budgets(snapshot, of(snapshot, "web-3-aaaaa", "web-3-bbbbb", "db-0"))
    assert found == ("PodDisruptionBudget web over 2 of these pods: allows 1 disruption now, 2 healthy, needs 1",)


def test_a_budget_without_a_selector_covers_nothing_and_an_empty_one_everything() -> None:
    scene = Scene()
    assert pods.budgets(scene.snapshot, of(scene.snapshot, "db-0")) == ()
    scene.get("poddisruptionbudgets.policy", "none")["spec"] = {"selector": {}}
    assert len(pods.budgets(scene.snapshot, of(scene.snapshot, "db-0"))) == 1


@pytest.mark.parametrize(
    ("names", "at_once", "lost"),
    [
        (("lonely-1-ccccc",), None, ("Service lonely (1 ready pod)",)),
        (("web-3-aaaaa",), None, ()),
        (("web-3-aaaaa", "web-3-bbbbb"), None, ("Service web (2 ready pods)",)),
        (("web-3-aaaaa", "web-3-bbbbb"), 1, ()),
        (("web-3-aaaaa", "web-3-bbbbb", "lonely-1-ccccc"), 1, ("Service lonely (1 ready pod)",)),
    ],
)
def test_a_service_loses_its_endpoints_when_all_ready_ones_are_of_these_pods(
    names: tuple[str, ...], at_once: int | None, lost: tuple[str, ...]
) -> None:
    snapshot = Scene().snapshot
    assert pods.endpoints_lost(snapshot, of(snapshot, *names), at_once) == lost


def test_a_pod_that_is_not_ready_keeps_no_service_alive() -> None:
    scene = Scene()
    scene.get("endpointslices.discovery.k8s.io", "web-abc")["endpoints"][1]["conditions"]["ready"] = False
    assert pods.endpoints_lost(scene.snapshot, of(scene.snapshot, "web-3-aaaaa")) == ("Service web (1 ready pod)",)


def test_a_pod_that_is_ending_keeps_no_service_alive_and_is_not_lost_by_the_plan() -> None:
    scene = Scene()
    scene.get("pods", "web-3-bbbbb")["metadata"]["deletionTimestamp"] = NOW
    one, both = of(scene.snapshot, "web-3-aaaaa"), of(scene.snapshot, "web-3-aaaaa", "web-3-bbbbb")
    assert pods.endpoints_lost(scene.snapshot, one) == ("Service web (1 ready pod)",)
    assert pods.endpoints_lost(scene.snapshot, both) == ("Service web (1 ready pod)",)
    assert pods.endpoints_lost(scene.snapshot, of(scene.snapshot, "web-3-bbbbb")) == ()


def test_what_was_not_read_is_not_taken_for_nothing() -> None:
    scene = Scene()
    del scene.case["objects"]["endpointslices.discovery.k8s.io"]
    with pytest.raises(Missing):
        pods.endpoints_lost(scene.snapshot, of(scene.snapshot, "web-3-aaaaa"))


def test_claims_are_named_once() -> None:
    snapshot = Scene().snapshot
    found = of(snapshot, "lonely-1-ccccc", "db-0")
    assert pods.claims([*found, *found]) == ("PersistentVolumeClaim lonely-data",)


# -- pod_gone


def test_a_pod_of_the_same_name_and_another_uid_is_not_the_one_that_was_meant() -> None:
    assert Scene().look("pod_gone", name="db-0", uid="older").outlook is Outlook.MET


def test_a_pod_that_is_ending_or_gone_leaves_nothing_to_do() -> None:
    scene = Scene()
    meta = scene.get("pods", "db-0")["metadata"]
    assert scene.look("pod_leaving", name="db-0", uid=meta["uid"]).outlook is Outlook.NOT_YET
    assert scene.look("pod_leaving", name="db-0", uid="older").outlook is Outlook.MET
    meta["deletionTimestamp"] = NOW
    seen = scene.look("pod_leaving", name="db-0", uid=meta["uid"])
    assert (seen.outlook, seen.sentence) == (Outlook.MET, "pod db-0 is ending already")


def test_a_pod_that_is_there_is_not_gone() -> None:
    assert Scene().look("pod_gone", name="db-0", uid="pod-db-0").outlook is Outlook.NOT_YET


@pytest.mark.parametrize(
    ("until", "finalizers", "said"),
    [
        (NOW + timedelta(seconds=10), [], "its grace period is over at 12:00:10"),
        (NOW - timedelta(seconds=10), [], "does node worker02 still answer"),
        (NOW - timedelta(seconds=10), ["example.org/hold"], "the finalizer example.org/hold holds it"),
    ],
)
def test_a_pod_that_ends_says_what_it_waits_for(until: datetime, finalizers: list[str], said: str) -> None:
    scene = Scene()
    scene.get("pods", "db-0")["metadata"] |= {"deletionTimestamp": until, "finalizers": finalizers}
    seen = scene.look("pod_gone", name="db-0", uid="pod-db-0")
    assert seen.outlook is Outlook.NOT_YET
    assert said in seen.sentence


def test_that_a_pod_is_ending_is_logged_once() -> None:
    scene = Scene()
    scene.get("pods", "db-0")["metadata"]["deletionTimestamp"] = NOW
    first = scene.look("pod_gone", name="db-0", uid="pod-db-0")
    assert len(first.lines) == 1
    assert scene.look("pod_gone", first.memory, name="db-0", uid="pod-db-0").lines == ()


# -- pod_replaced


def args(name: str) -> dict[str, Any]:
    snapshot = Scene().snapshot
    return pods.owner_args(of(snapshot, name)[0])


def test_a_pod_of_a_replica_set_is_replaced_when_as_many_are_ready_as_are_wanted() -> None:
    scene = Scene()
    scene.drop("pods", "web-3-aaaaa")
    seen = scene.look("pod_replaced", **args("web-3-aaaaa"))
    assert seen.outlook is Outlook.NOT_YET
    assert "1 of 2" in seen.sentence
    scene.get("replicasets.apps", "web-3")["spec"]["replicas"] = 1
    assert scene.look("pod_replaced", **args("web-3-aaaaa")).outlook is Outlook.MET


def test_a_pod_in_its_place_that_does_not_start_says_why() -> None:
    scene = Scene()
    young = scene.get("pods", "web-3-aaaaa")
    young["metadata"] |= {"name": "web-3-young", "uid": "young", "creationTimestamp": NOW}
    why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available."}
    young["status"] = {"phase": "Pending", "conditions": [why]}
    seen = scene.look("pod_replaced", **args("web-3-aaaaa"))
    assert seen.sentence.endswith("are ready. Pod web-3-young: no node takes it: 0/3 nodes are available.")


def test_a_younger_ready_pod_is_enough_where_a_sibling_is_broken() -> None:
    scene = Scene()
    pod = scene.get("pods", "web-3-aaaaa")
    pod["metadata"] |= {"name": "web-3-young", "uid": "young", "creationTimestamp": NOW}
    scene.get("pods", "web-3-bbbbb")["status"]["conditions"][0]["status"] = "False"
    memory = {"effect_at": (NOW + timedelta(milliseconds=400)).isoformat()}
    seen = scene.look("pod_replaced", memory, **args("web-3-aaaaa"))
    assert (seen.outlook, "web-3-young" in seen.sentence) == (Outlook.MET, True)
    pod["metadata"]["creationTimestamp"] = NOW - timedelta(minutes=5)
    assert scene.look("pod_replaced", memory, **args("web-3-aaaaa")).outlook is Outlook.NOT_YET


def test_a_stateful_pod_is_replaced_by_its_namesake() -> None:
    scene = Scene()
    pod = scene.get("pods", "db-0")
    pod["metadata"]["uid"] = "next"
    assert scene.look("pod_replaced", **args("db-0")).outlook is Outlook.MET
    pod["status"]["conditions"][0]["status"] = "False"
    assert scene.look("pod_replaced", **args("db-0")).outlook is Outlook.NOT_YET


def test_a_daemon_pod_is_replaced_by_one_on_its_node() -> None:
    scene = Scene()
    scene.get("pods", "agent-x")["metadata"] |= {"name": "agent-y", "uid": "next"}
    assert scene.look("pod_replaced", **args("agent-x")).outlook is Outlook.MET
    scene.get("pods", "agent-y")["spec"]["nodeName"] = "worker02"
    assert scene.look("pod_replaced", **args("agent-x")).outlook is Outlook.NOT_YET


def test_without_its_controller_nothing_replaces_a_pod() -> None:
    scene = Scene()
    scene.drop("pods", "web-3-aaaaa")
    scene.drop("replicasets.apps", "web-3")
    assert scene.look("pod_replaced", **args("web-3-aaaaa")).outlook is Outlook.FAILED


def test_a_replica_set_that_wants_none_needs_no_pod_in_its_place() -> None:
    scene = Scene()
    scene.drop("pods", "web-3-aaaaa")
    scene.drop("pods", "web-3-bbbbb")
    scene.get("replicasets.apps", "web-3")["spec"]["replicas"] = 0
    assert scene.look("pod_replaced", **args("web-3-aaaaa")).outlook is Outlook.MET


# -- workload_rolled_out


def rolled(scene: Scene, kind: str, name: str) -> Outlook:
    return scene.look("workload_rolled_out", kind=kind, name=name).outlook


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "web"), ("StatefulSet", "db"), ("DaemonSet", "agent")])
def test_a_settled_workload_is_rolled_out(kind: str, name: str) -> None:
    assert rolled(Scene(), kind, name) is Outlook.MET


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [
        ("Deployment", "web", {"observedGeneration": 6}),
        ("Deployment", "web", {"updatedReplicas": 1}),
        ("Deployment", "web", {"replicas": 3}),
        ("Deployment", "web", {"availableReplicas": 1}),
        ("StatefulSet", "db", {"observedGeneration": 1}),
        ("StatefulSet", "db", {"updateRevision": "db-2"}),
        ("StatefulSet", "db", {"readyReplicas": 0}),
        ("DaemonSet", "agent", {"observedGeneration": 2}),
        ("DaemonSet", "agent", {"updatedNumberScheduled": 1}),
        ("DaemonSet", "agent", {"numberAvailable": 1}),
    ],
)
def test_a_rollout_that_is_under_way_is_not_done(kind: str, name: str, status: dict[str, Any]) -> None:
    scene = Scene()
    scene.get(targets.KINDS[kind], name)["status"] |= status
    assert rolled(scene, kind, name) is Outlook.NOT_YET


def test_with_a_partition_only_the_upper_ordinals_must_be_new() -> None:
    scene = Scene()
    item = scene.get("statefulsets.apps", "db")
    item["spec"] |= {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}
    item["status"] |= {"readyReplicas": 3, "replicas": 3, "updatedReplicas": 1, "updateRevision": "db-2"}
    assert rolled(scene, "StatefulSet", "db") is Outlook.MET
    item["status"]["updatedReplicas"] = 0
    assert rolled(scene, "StatefulSet", "db") is Outlook.NOT_YET


def test_a_rollout_past_its_deadline_has_failed() -> None:
    scene = Scene()
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}
    scene.get("deployments.apps", "web")["status"]["conditions"] = [condition]
    assert rolled(scene, "Deployment", "web") is Outlook.FAILED


@pytest.mark.parametrize(
    ("ago", "outlook"), [(timedelta(minutes=5), Outlook.NOT_YET), (timedelta(seconds=-30), Outlook.FAILED)]
)
def test_the_deadline_that_an_older_rollout_missed_is_not_this_ones(ago: timedelta, outlook: Outlook) -> None:
    """The controller keeps the condition until the first pod of the new rollout makes progress."""
    scene = Scene()
    item = scene.get("deployments.apps", "web")
    at = NOW - ago
    item["status"]["updatedReplicas"] = 0
    item["status"]["conditions"] = [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "lastTransitionTime": at}
    ]
    memory = {"effect_at": (NOW + timedelta(milliseconds=300)).isoformat()}
    assert scene.look("workload_rolled_out", memory, kind="Deployment", name="web").outlook is outlook


def test_a_workload_that_is_being_deleted_never_rolls_out() -> None:
    scene = Scene()
    scene.get("deployments.apps", "web")["metadata"]["deletionTimestamp"] = NOW
    assert rolled(scene, "Deployment", "web") is Outlook.FAILED


@pytest.mark.parametrize(
    ("is_paused", "wanted", "observed", "outlook"),
    [
        (True, True, 7, Outlook.MET),
        (True, True, 6, Outlook.NOT_YET),
        (False, True, 7, Outlook.FAILED),
        (False, False, 7, Outlook.MET),
    ],
)
def test_a_pause_is_done_when_the_controller_has_seen_it(
    is_paused: bool, wanted: bool, observed: int, outlook: Outlook
) -> None:
    scene = Scene()
    item = scene.get("deployments.apps", "web")
    item["spec"]["paused"], item["status"]["observedGeneration"] = is_paused, observed
    assert scene.look("rollout_paused", name="web", paused=wanted).outlook is outlook
