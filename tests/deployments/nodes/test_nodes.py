"""Cordon, uncordon, taint and untaint, from a recorded cluster: what is written, each guard, each condition."""

from __future__ import annotations

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import MARK, CannotPlan, Condition, Patch
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import Missing
from tests.deployments.nodes.scene import Scene, body, unmet

UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


# -- cordon and uncordon


def test_cordon_is_one_marked_patch_and_a_wait() -> None:
    drafted = Scene().draft("cordon", node="worker01")
    (step,) = drafted.steps
    assert step.effect == Patch(
        "strategic", {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"unschedulable": True}}
    )
    assert step.until == Condition("node_unschedulable", {"name": "worker01"})
    assert unmet(drafted) == []
    assert drafted.preconditions[-1].evidence == "worker02 and worker03 stay"
    assert drafted.blast.changed == ("Node worker01",)
    assert "7 pods on worker01 keep running" in drafted.blast.sentence


def test_a_cordoned_node_is_not_cordoned_again() -> None:
    scene = Scene()
    scene.node("worker01")["spec"]["unschedulable"] = True
    assert unmet(scene.draft("cordon", node="worker01")) == ["worker01 is not cordoned yet: spec.unschedulable: true"]


def test_the_last_worker_that_takes_pods_is_never_cordoned() -> None:
    scene = Scene()
    scene.node("worker02")["spec"]["unschedulable"] = True
    scene.node("worker03")["status"]["conditions"][0]["status"] = "Unknown"
    (left,) = unmet(scene.draft("cordon", node="worker01"))
    assert left == (
        "At least one other worker takes ordinary pods: worker02 is cordoned, worker03 is not ready and "
        "worker04 has taint storage=hdd:NoSchedule"
    )


def test_a_preferred_taint_is_no_reason_against_a_worker() -> None:
    scene = Scene()
    for name in ("worker02", "worker03"):
        scene.node(name)["spec"]["taints"] = [{"key": "a", "effect": "PreferNoSchedule"}]
    assert unmet(scene.draft("cordon", node="worker01")) == []
    for name in ("worker02", "worker03"):
        scene.node(name)["spec"]["taints"] = [{"key": "a", "effect": "NoExecute"}]
    assert len(unmet(scene.draft("cordon", node="worker01"))) == 1


def test_an_untainted_master_does_not_count_while_there_are_workers() -> None:
    scene = Scene()
    del scene.node("master01")["spec"]["taints"]
    for name in ("worker02", "worker03"):
        scene.node(name)["spec"]["unschedulable"] = True
    assert len(unmet(scene.draft("cordon", node="worker01"))) == 1
    only = [node for node in scene.all("nodes") if node["metadata"]["name"].startswith("master")]
    other = Scene().node("master01")
    other["metadata"]["name"] = "master09"
    other["spec"]["taints"] = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    scene.case["objects"]["nodes"] = [*only, other]
    assert unmet(scene.draft("cordon", node="master09")) == []


def test_no_such_node_is_a_sentence_with_those_that_are_there() -> None:
    with pytest.raises(CannotPlan, match="There is no node worker09. There are master01, worker01"):
        Scene().draft("cordon", node="worker09")


@pytest.mark.parametrize("resource", ["nodes", "pods"])
def test_what_was_not_read_starts_nothing(resource: str) -> None:
    scene = Scene()
    scene.unread(resource)
    with pytest.raises(Missing, match="does not answer"):
        scene.draft("cordon", node="worker01")


def test_uncordon_sets_the_field_back_and_says_who_may_come() -> None:
    scene = Scene()
    scene.node("worker04")["spec"] |= {"unschedulable": True}
    scene.node("worker04")["spec"]["taints"].append(UNSCHEDULABLE)
    drafted = scene.draft("uncordon", node="worker04")
    assert body(drafted)["spec"] == {"unschedulable": None}
    assert drafted.steps[0].guards == (Condition("node_cordoned", {"name": "worker04"}),)
    assert unmet(drafted) == []
    assert "storage=hdd:NoSchedule and metallb=disabled:NoSchedule still stay off" in drafted.blast.sentence


def test_uncordon_wants_a_cordoned_and_ready_node() -> None:
    scene = Scene()
    scene.node("worker01")["status"]["conditions"] = []
    first, second = unmet(scene.draft("uncordon", node="worker01"))
    assert first == "worker01 is cordoned: spec.unschedulable: false"
    assert "does not report Ready" in second


def test_cordoned_means_the_field_and_the_controllers_taint() -> None:
    scene = Scene()
    node = scene.node("worker01")
    assert scene.look("node_unschedulable", name="worker01").outlook == Outlook.NOT_YET
    assert scene.look("node_schedulable", name="worker01").outlook == Outlook.MET
    assert scene.look("node_cordoned", name="worker01").outlook == Outlook.REFUSED
    node["spec"]["unschedulable"] = True
    waiting = scene.look("node_unschedulable", name="worker01")
    assert (waiting.outlook, "waiting for the taint" in waiting.sentence) == (Outlook.NOT_YET, True)
    assert scene.look("node_schedulable", name="worker01").outlook == Outlook.NOT_YET
    node["spec"]["taints"] = [UNSCHEDULABLE]
    assert scene.look("node_unschedulable", name="worker01").outlook == Outlook.MET
    assert scene.look("node_cordoned", name="worker01").outlook == Outlook.MET
    node["spec"]["unschedulable"] = False
    assert "to go" in scene.look("node_schedulable", name="worker01").sentence


@pytest.mark.parametrize("name", ["node_unschedulable", "node_schedulable", "node_taints"])
def test_a_node_that_went_away_fails_the_step(name: str) -> None:
    assert Scene().look(name, name="worker09").outlook == Outlook.FAILED


# -- taints


def test_the_list_of_taints_is_sent_whole_with_what_was_on_it() -> None:
    scene = Scene()
    timed = {"key": "example.com/slow", "effect": "NoExecute", "timeAdded": "2026-11-27T18:00:00Z"}
    scene.node("worker04")["spec"]["taints"].append(timed)
    drafted = scene.draft("taint", node="worker04", key="backup", value="only", effect="PreferNoSchedule")
    assert unmet(drafted) == []
    assert body(drafted)["spec"]["taints"] == [
        {"effect": "NoSchedule", "key": "storage", "value": "hdd"},
        {"effect": "NoSchedule", "key": "metallb", "value": "disabled"},
        timed,
        {"key": "backup", "effect": "PreferNoSchedule", "value": "only"},
    ]
    assert drafted.steps[0].until == Condition(
        "node_taints",
        {
            "name": "worker04",
            "present": [
                "storage=hdd:NoSchedule",
                "metallb=disabled:NoSchedule",
                "example.com/slow:NoExecute",
                "backup=only:PreferNoSchedule",
            ],
            "absent": [],
        },
    )
    (check,) = drafted.verification.checks
    assert (check.type, check.params["node"], len(check.params["taints"])) == ("node_taints", "worker04", 4)


def test_a_hard_taint_keeps_one_worker_and_a_soft_one_does_not_ask() -> None:
    scene = Scene()
    for name in ("worker02", "worker03"):
        scene.node(name)["spec"]["unschedulable"] = True
    assert [u.partition(":")[0] for u in unmet(scene.draft("taint", node="worker01", key="a"))] == [
        "At least one other worker takes ordinary pods"
    ]
    assert unmet(scene.draft("taint", node="worker01", key="a", effect="PreferNoSchedule")) == []


def test_noexecute_is_refused_with_the_pods_it_would_delete() -> None:
    drafted = Scene().draft("taint", node="worker01", key="a", effect="NoExecute")
    (reason,) = unmet(drafted)
    assert "would delete 5 pods at once" in reason
    assert "Drain the node instead" in reason
    assert "Pod platform-monitoring/alertmanager-kube-prometheus-stack-alertmanager-0" in drafted.blast.restarted
    assert not any("calico-node" in pod for pod in drafted.blast.restarted), "it tolerates everything"


def test_a_pod_that_is_ending_is_not_thrown_off() -> None:
    scene = Scene()
    before = scene.draft("taint", node="worker01", key="a", effect="NoExecute").blast.restarted
    name = before[0].rpartition("/")[2]
    scene.pod(name)["metadata"]["deletionTimestamp"] = "2026-11-27T18:29:00Z"
    assert scene.draft("taint", node="worker01", key="a", effect="NoExecute").blast.restarted == before[1:]


def test_another_value_of_a_protected_taint_is_refused() -> None:
    scene = Scene()
    (reason,) = unmet(scene.draft("taint", node="worker04", key="storage", value="ssd"))
    assert reason == "No protected taint is removed: storage=hdd:NoSchedule is protected by the parameter protected"
    drafted = scene.draft("taint", node="worker04", key="storage", value="ssd", protected=["metallb"])
    assert unmet(drafted) == []
    assert drafted.steps[0].until is not None
    assert drafted.steps[0].until.args["absent"] == ["storage=hdd:NoSchedule"]


def test_the_same_taint_again_is_refused() -> None:
    assert [u for u in unmet(Scene().draft("taint", node="worker04", key="storage", value="hdd")) if "yet" in u]


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        ("node.kubernetes.io/unschedulable", "Kubernetes. Use cordon"),
        ("node-role.kubernetes.io/control-plane", "Kubernetes"),
        ("argocd.argoproj.io/x", "Argo CD"),
    ],
)
def test_reserved_keys_are_refused(key: str, owner: str) -> None:
    assert [u for u in unmet(Scene().draft("taint", node="worker01", key=key)) if f"reserved for {owner}" in u]
    assert [u for u in unmet(Scene().draft("untaint", node="master01", key=key)) if f"reserved for {owner}" in u]


@pytest.mark.parametrize("slug", ["taint", "untaint"])
@pytest.mark.parametrize("key", ["a b", "-a", "Example.com/x", "a/b/c", "x" * 64, "a/", "ü"])
def test_a_key_that_is_none_is_said_before_there_is_a_plan(slug: str, key: str) -> None:
    with pytest.raises(ValueError, match="is no key"):
        registry.parse(slug, {"node": "worker01", "key": key})


def test_worker04_keeps_its_taints() -> None:
    for key in ("storage", "metallb"):
        (reason,) = unmet(Scene().draft("untaint", node="worker04", key=key))
        assert reason.startswith("No protected taint is removed")


def test_untaint_takes_one_key_and_leaves_the_rest_in_place() -> None:
    scene = Scene()
    taints = scene.node("worker04")["spec"]["taints"]
    taints.insert(1, {"key": "work", "effect": "NoSchedule"})
    taints.append({"key": "work", "effect": "PreferNoSchedule", "value": "x"})
    drafted = scene.draft("untaint", node="worker04", key="work")
    assert unmet(drafted) == []
    assert [t["key"] for t in body(drafted)["spec"]["taints"]] == ["storage", "metallb"]
    assert drafted.steps[0].until is not None
    assert drafted.steps[0].until.args["absent"] == ["work:NoSchedule", "work=x:PreferNoSchedule"]
    one = scene.draft("untaint", node="worker04", key="work", effect="NoSchedule")
    assert [t["key"] for t in body(one)["spec"]["taints"]] == ["storage", "metallb", "work"]


def test_the_last_taint_removes_the_list() -> None:
    scene = Scene()
    scene.node("worker01")["spec"]["taints"] = [{"key": "work", "effect": "NoSchedule"}]
    drafted = scene.draft("untaint", node="worker01", key="work")
    assert body(drafted)["spec"] == {"taints": None}
    assert drafted.verification.checks == ()


def test_a_taint_that_is_not_there_cannot_be_removed() -> None:
    (reason,) = unmet(Scene().draft("untaint", node="worker01", key="work"))
    assert reason == "worker01 has taint work: taints: none"


def test_taints_are_as_written_when_all_are_there_and_the_removed_ones_gone() -> None:
    scene = Scene()
    here = {"name": "worker04", "present": ["storage=hdd:NoSchedule"], "absent": ["work:NoSchedule"]}
    assert scene.look("node_taints", **here).outlook == Outlook.MET
    scene.node("worker04")["spec"]["taints"].append({"key": "work", "effect": "NoSchedule"})
    assert "still has work:NoSchedule" in scene.look("node_taints", **here).sentence
    scene.node("worker04")["spec"]["taints"] = []
    seen = scene.look("node_taints", **here)
    assert (seen.outlook, seen.sentence) == (Outlook.NOT_YET, "worker04 lacks storage=hdd:NoSchedule.")
