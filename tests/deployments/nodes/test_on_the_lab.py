"""The nodes family through the engine on a lab: what is planned is what happens, and what is made can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.engine.cluster import RealCluster
from deployments.models import Plan, Run
from deployments.undo import parameters
from tests.deployments.dashboards.conftest import Desk, Desks, told
from tests.deployments.nodes.scene import CASES
from tests.lab.world.running import MONITORING, RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

NODE = "/api/v1/nodes/"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
CLAIMS = f"/api/v1{MONITORING}/persistentvolumeclaims"
PAIR = f"/apis/apps/v1{MONITORING}/deployments/pair"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


def succeeded(run: Run) -> Run:
    assert run.state == "succeeded", told(run)
    return run


def undone(at: Desk, run: Run) -> Run:
    return succeeded(at.run("undo-run", **parameters(run)))


def unmet(plan: Plan) -> list[str]:
    return [p["sentence"] for p in plan.preconditions if not p["met"]]


def taints(lab: RunningLab, node: str) -> set[str]:
    return {taint["key"] for taint in lab.get(NODE + node)["spec"].get("taints") or []}


def default_classes(lab: RunningLab) -> list[str]:
    key = "storageclass.kubernetes.io/is-default-class"
    return [
        item["metadata"]["name"]
        for item in lab.items(CLASSES)
        if (item["metadata"].get("annotations") or {}).get(key) == "true"
    ]


def test_cordon_is_seen_in_field_and_taint_and_undone(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    run = succeeded(at.run("cordon", node="worker02"))
    assert lab.get(NODE + "worker02")["spec"]["unschedulable"] is True
    assert UNSCHEDULABLE in taints(lab, "worker02")
    assert unmet(at.plan("cordon", node="worker02")) == ["worker02 is not cordoned yet"]
    undone(at, run)
    assert "unschedulable" not in lab.get(NODE + "worker02")["spec"]
    lab.until(lambda: UNSCHEDULABLE not in taints(lab, "worker02"), "the taint goes with the cordon")


def test_uncordon_takes_back_what_somebody_cordoned(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    lab.patch(NODE + "worker02", {"spec": {"unschedulable": True}})
    lab.until(lambda: UNSCHEDULABLE in taints(lab, "worker02"), "the taint comes with the cordon")
    run = succeeded(at.run("uncordon", node="worker02"))
    assert UNSCHEDULABLE not in taints(lab, "worker02")
    undone(at, run)
    assert lab.get(NODE + "worker02")["spec"]["unschedulable"] is True
    lab.patch(NODE + "worker02", {"spec": {"unschedulable": None}})


def test_taints_come_and_go_and_worker04_keeps_its_own(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    run = succeeded(at.run("taint", node="worker04", key="backup", value="only"))
    assert taints(lab, "worker04") == {"storage", "metallb", "backup"}
    undone(at, run)
    assert taints(lab, "worker04") == {"storage", "metallb"}
    succeeded(at.run("taint", node="worker04", key="backup", effect="PreferNoSchedule"))
    succeeded(at.run("untaint", node="worker04", key="backup"))
    assert taints(lab, "worker04") == {"storage", "metallb"}
    assert unmet(at.plan("untaint", node="worker04", key="storage")) == ["No protected taint is removed"]


def test_a_taint_somebody_set_meanwhile_refuses_the_run(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    plan = at.plan("taint", node="worker03", key="mine", effect="PreferNoSchedule")
    theirs = [{"key": "theirs", "effect": "PreferNoSchedule"}]
    lab.patch(NODE + "worker03", {"spec": {"taints": theirs}})
    try:
        run = at.carry(plan)
        assert run.state == "refused", told(run)
        assert taints(lab, "worker03") == {"theirs"}
    finally:
        lab.patch(NODE + "worker03", {"spec": {"taints": None}})


def test_labels_of_a_node_and_of_what_argo_cd_renders(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    run = succeeded(at.run("set-label", kind="Node", name="worker04", key="storage", value="hdd"))
    assert lab.get(NODE + "worker04")["metadata"]["labels"]["storage"] == "hdd"
    undone(at, run)
    assert "storage" not in lab.get(NODE + "worker04")["metadata"]["labels"]
    rendered: dict[str, Any] = {
        "kind": "Service",
        "namespace": "platform-monitoring",
        "name": "kube-prometheus-stack-prometheus",
    }
    assert "Argo CD does not set it back at once" in unmet(at.plan("set-label", **rendered, key="chart", value="x")), (
        "Git names this label"
    )
    succeeded(at.run("set-label", **rendered, key="team", value="platform"))
    succeeded(at.run("remove-label", **rendered, key="team"))


def test_the_default_class_moves_and_comes_back(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    assert default_classes(lab) == ["nfs-client"]
    run = succeeded(at.run("set-default-storage-class", name="openebs-hostpath", hold_seconds=1))
    assert default_classes(lab) == ["openebs-hostpath"]
    undone(at, run)
    assert default_classes(lab) == ["nfs-client"]


def test_a_claim_without_a_class_is_bound_once_there_is_a_default(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    key = "storageclass.kubernetes.io/is-default-class"
    lab.patch(f"{CLASSES}/nfs-client", {"metadata": {"annotations": {key: None}}})
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    lab.http.post(CLAIMS, json={"metadata": {"name": "waiting"}, "spec": spec}).raise_for_status()
    lab.until(lambda: lab.get(f"{CLAIMS}/waiting")["status"]["phase"] == "Pending", "it waits")
    plan = at.plan("set-default-storage-class", name="nfs-client", hold_seconds=1)
    assert plan.document["blast"]["claims"] == ["PersistentVolumeClaim platform-monitoring/waiting"]
    succeeded(at.carry(plan))
    lab.until(lambda: lab.get(f"{CLAIMS}/waiting")["status"]["phase"] == "Bound", "the claim is bound")
    lab.http.delete(f"{CLAIMS}/waiting").raise_for_status()


def test_a_released_volume_goes_to_the_claim_that_waits_and_to_no_other(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand"}
    lost = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "dev", "name": "lost", "uid": "gone"}
    made = {**spec, "capacity": {"storage": "1Gi"}, "claimRef": lost, "persistentVolumeReclaimPolicy": "Retain"}
    volume = {"metadata": {"name": "kept"}, "spec": {**made, "nfs": {"server": "10.1.5.30", "path": "/kept"}}}
    lab.http.post("/api/v1/persistentvolumes", json=volume).raise_for_status()
    lab.until(lambda: lab.get("/api/v1/persistentvolumes/kept")["status"].get("phase") == "Released", "it is Released")
    for name in ("mine", "theirs"):
        body = {"metadata": {"name": name}, "spec": {**spec, "resources": {"requests": {"storage": "1Gi"}}}}
        lab.http.post(CLAIMS, json=body).raise_for_status()
    given = {"volume": "kept", "namespace": "platform-monitoring"}
    lab.until(lambda: lab.get(f"{CLAIMS}/mine").get("status", {}).get("phase") == "Pending", "it waits")
    plan = at.plan("rebind-volume", **given, claim="mine")
    assert (unmet(plan), plan.tier, plan.document["confirm"]) == ([], 3, "kept")
    other = at.plan("rebind-volume", **given, claim="theirs")
    succeeded(at.carry(plan))
    late = at.carry(other)
    assert late.state == "refused" and "claimRef" in late.sentence, told(late)
    claim = lab.get(f"{CLAIMS}/mine")
    assert (claim["status"]["phase"], claim["spec"]["volumeName"]) == ("Bound", "kept")
    assert lab.get(f"{CLAIMS}/theirs")["status"]["phase"] == "Pending"
    assert unmet(at.plan("rebind-volume", **given, claim="theirs")) == ["The volume is Released: no claim has it"]
    for name in ("mine", "theirs"):
        lab.http.delete(f"{CLAIMS}/{name}").raise_for_status()


def test_a_claim_grows_only_where_its_class_can(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    theirs = lab.items(CLAIMS)[0]["metadata"]["name"]
    where: dict[str, Any] = {"namespace": "platform-monitoring"}
    plan = at.plan("expand-claim", **where, name=theirs, size="100Gi")
    assert unmet(plan)[:2] == ["Its StorageClass can expand a volume", "No operator keeps its size"]
    assert any("dry run" in sentence for sentence in unmet(plan)), "the API server says so too"
    _disk_provisioner(lab)
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "disk",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    lab.http.post(CLAIMS, json={"metadata": {"name": "grows"}, "spec": spec}).raise_for_status()
    lab.until(lambda: lab.get(f"{CLAIMS}/grows")["status"]["phase"] == "Bound", "the claim is bound")
    run = succeeded(at.run("expand-claim", **where, name="grows", size="2Gi"))
    step = run.steps.get()
    assert step.irreversible
    assert "its file system does with the next pod" in step.sentence, "nobody mounts it"
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "grows"}}
    body = {"metadata": {"name": "mounts"}, "spec": {"volumes": [volume], "containers": [{"name": "a", "image": "a"}]}}
    lab.http.post(f"/api/v1{MONITORING}/pods", json=body).raise_for_status()
    lab.until(lambda: lab.get(f"{CLAIMS}/grows")["status"]["capacity"]["storage"] == "2Gi", "the file system grows")
    run = succeeded(at.run("expand-claim", **where, name="grows", size="3Gi"))
    assert run.steps.get().sentence == "grows has 3Gi."
    assert [check["word"] for check in run.now] == ["verified"]
    pod = f"/api/v1{MONITORING}/pods/mounts"
    lab.http.delete(pod).raise_for_status()
    lab.until(lambda: lab.http.get(pod).status_code == 404, "the pod is gone")


def _disk_provisioner(lab: RunningLab) -> None:
    """A class that can expand, and a pod that provisions it."""
    body = {"metadata": {"name": "disk"}, "provisioner": "example.com/disk", "allowVolumeExpansion": True}
    lab.http.post(CLASSES, json=body).raise_for_status()
    env = [{"name": "PROVISIONER_NAME", "value": "example.com/disk"}]
    pod = {"containers": [{"name": "disk", "image": "example.com/disk:1", "env": env}]}
    spec = {
        "selector": {"matchLabels": {"app": "disk"}},
        "template": {"metadata": {"labels": {"app": "disk"}}, "spec": pod},
    }
    path = f"/apis/apps/v1{MONITORING}/deployments"
    lab.http.post(path, json={"metadata": {"name": "disk"}, "spec": spec}).raise_for_status()
    lab.until(lambda: lab.get(f"{path}/disk").get("status", {}).get("readyReplicas"), "the provisioner runs")


# -- draining


def evictable(lab: RunningLab, node: str) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in lab.items("/api/v1/pods", fieldSelector=f"spec.nodeName={node}")
        if "kubernetes.io/config.mirror" not in pod["metadata"].get("annotations", {})
        and not any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", []))
    ]


def test_a_drain_empties_the_node_and_its_undo_only_uncordons(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    before = evictable(lab, "worker01")
    assert before
    assert unmet(at.plan("drain", node="worker01")) == ["No emptyDir is lost that nobody agreed to lose"]
    run = succeeded(at.run("drain", node="worker01", empty_dirs=True, hold_seconds=1))
    assert evictable(lab, "worker01") == []
    assert [s.verb for s in run.steps.order_by("index")] == ["cordon", *["evict"] * len(before), "wait"]
    assert sorted(evictions(lab)) == sorted(before), "each pod was evicted once"
    assert UNSCHEDULABLE in taints(lab, "worker01")
    plan = at.plan("undo-run", **parameters(run))
    assert "Not brought back: Evict" in plan.document["blast"]["sentence"]
    succeeded(at.carry(plan))
    assert "unschedulable" not in lab.get(NODE + "worker01")["spec"]


def evictions(lab: RunningLab) -> list[str]:
    """The pods whose eviction the API server accepted, dry runs left out."""
    return [e["name"] for e in lab.writes() if e["subresource"] == "eviction" and not e["dry_run"]]


@contextmanager
def dns_budget(lab: RunningLab, at_least: int) -> Iterator[str]:
    """A budget over both DNS pods, once it is counted; its path."""
    path = "/apis/policy/v1/namespaces/kube-system/poddisruptionbudgets"
    spec = {"minAvailable": at_least, "selector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    lab.http.post(path, json={"metadata": {"name": "dns"}, "spec": spec}).raise_for_status()
    try:
        lab.until(lambda: lab.get(f"{path}/dns").get("status", {}).get("currentHealthy") == 2, "the budget is counted")
        yield f"{path}/dns"
    finally:
        lab.http.delete(f"{path}/dns").raise_for_status()


def test_a_budget_that_allows_nothing_stops_the_drain_before_it_begins(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    with dns_budget(lab, 2) as budget:
        node = dns_pods(lab)[0]["spec"]["nodeName"]
        plan = at.plan("drain", node=node, empty_dirs=True)
        assert unmet(plan) == ["Every disruption budget allows an eviction now"]
        assert any("allows 0 disruptions now, 2 healthy, needs 2" in line for line in plan.document["blast"]["budgets"])
        lab.patch(budget, {"spec": {"minAvailable": 1}})
        lab.until(lambda: lab.get(budget)["status"]["disruptionsAllowed"] == 1, "the budget allows one")
        undone(at, succeeded(at.run("drain", node=node, empty_dirs=True, hold_seconds=1)))


def test_an_eviction_the_budget_forbids_waits_until_the_other_pod_is_ready_again(desk: Desks, lab: RunningLab) -> None:
    """Two pods of a workload on the node, one disruption allowed: the second eviction is answered with 429."""
    at = desk(lab)
    _pair_on(lab, "worker02")
    path = f"/apis/policy/v1{MONITORING}/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "pair"}}}
    lab.http.post(path, json={"metadata": {"name": "pair"}, "spec": spec}).raise_for_status()
    lab.until(lambda: lab.get(f"{path}/pair").get("status", {}).get("disruptionsAllowed") == 1, "one may go")
    run = succeeded(at.run("drain", node="worker02", empty_dirs=True, hold_seconds=1))
    assert "Cannot evict pod as it would violate the pod's disruption budget" in told(run)
    pair = [name for name in evictions(lab) if name.startswith("pair-")]
    assert len(pair) == len(set(pair)) == 2
    assert lab.get(PAIR)["status"]["readyReplicas"] == 2
    undone(at, run)


def _pair_on(lab: RunningLab, node: str) -> None:
    """A workload with both its pods on one node, slow to become ready."""
    others = [name for name in ("worker01", "worker02", "worker03") if name != node]
    for name in others:
        lab.patch(NODE + name, {"spec": {"unschedulable": True}})
    probe = {"httpGet": {"path": "/", "port": 80}, "initialDelaySeconds": 60}
    pod = {"containers": [{"name": "pair", "image": "example.com/pair:1", "readinessProbe": probe}]}
    template = {"metadata": {"labels": {"app": "pair"}}, "spec": pod}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "pair"}}, "template": template}
    lab.http.post(PAIR.rpartition("/")[0], json={"metadata": {"name": "pair"}, "spec": spec}).raise_for_status()
    lab.until(lambda: lab.get(PAIR).get("status", {}).get("readyReplicas") == 2, "both are ready")
    for name in others:
        lab.patch(NODE + name, {"spec": {"unschedulable": None}})


def dns_pods(lab: RunningLab) -> list[Any]:
    """Both pods of the cluster's DNS, ready, by name."""

    def ready() -> list[Any]:
        pods = lab.items("/api/v1/namespaces/kube-system/pods", labelSelector="k8s-app=kube-dns")
        fit = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        return sorted(fit, key=lambda pod: str(pod["metadata"]["name"])) if len(fit) == 2 else []

    return lab.until(ready, "there are two")


# -- with no more rights than deploy/rbac.yaml grants


@pytest.fixture
def bound(desk: Desks, lab: RunningLab, settings: Any, tmp_path: Path) -> Desk:
    """A desk that reads as portal-observer and writes as portal-operator, by tokens of their own."""
    at = desk(lab)
    for setting, account in (("PORTAL_KUBECONFIG", "portal-observer"), ("PORTAL_WRITE_KUBECONFIG", "portal-operator")):
        path = f"/api/v1/namespaces/phaseboard/serviceaccounts/{account}/token"
        answer = lab.http.post(
            path, json={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        )
        config = yaml.safe_load(lab.kubeconfig.read_text())
        user = next(c["context"]["user"] for c in config["contexts"] if c["name"] == config["current-context"])
        for entry in config["users"]:
            if entry["name"] == user:
                entry["user"] = {"token": answer.json()["status"]["token"]}
        (tmp_path / account).write_text(yaml.safe_dump(config))
        setattr(settings, setting, str(tmp_path / account))
    at.cluster = RealCluster()
    assert at.cluster.identity() == "system:serviceaccount:phaseboard:portal-operator"
    return at


def test_the_shipped_rights_are_enough_for_the_whole_family(bound: Desk, lab: RunningLab) -> None:
    where: dict[str, Any] = {"set": "rights", "namespace": "platform-monitoring", "hold_seconds": 1}
    undone(bound, succeeded(bound.run("drain", node="worker03", empty_dirs=True, hold_seconds=1)))
    undone(bound, succeeded(bound.run("taint", node="worker03", key="mine")))
    undone(bound, succeeded(bound.run("set-label", kind="Node", name="worker03", key="mine")))
    undone(bound, succeeded(bound.run("set-default-storage-class", name="openebs-hostpath", hold_seconds=1)))
    succeeded(bound.run("apply-set", manifests=manifests(secret=False), **where))
    succeeded(bound.carry(bound.plan("delete-set", set="rights")))
    lab.http.delete(f"{CLAIMS}/shop-data").raise_for_status()


def test_a_right_that_is_missing_is_named_with_its_rule_and_nothing_is_written(bound: Desk, lab: RunningLab) -> None:
    before = len(_written_by_the_operator(lab))
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: '1'}\n"
    plan = bound.plan("apply-set", set="elsewhere", namespace="stage", manifests=body)
    refused = [p for p in plan.preconditions if not p["met"]]
    assert "The writing identity may do this" in [p["sentence"] for p in refused]
    assert any("portal-operator may not" in p["evidence"] for p in refused)
    assert any("configmaps" in row["rule"] for row in plan.rights)
    assert _written_by_the_operator(lab)[before:] == []


def _written_by_the_operator(lab: RunningLab) -> list[Any]:
    return [entry for entry in lab.writes() if "portal-operator" in entry["user"] and not entry["dry_run"]]


# -- sets


def manifests(*, secret: bool = True) -> str:
    """The pasted set, without the line that every redaction takes for a credential: such text is not kept for undo."""
    text = (CASES / "shop.manifests.yaml").read_text().replace("    password = ${DB_PASSWORD}\n", "    name = shop\n")
    documents = text.split("---\n")
    return "---\n".join(part for part in documents if secret or "kind: Secret" not in part)


def test_a_set_is_applied_applied_again_and_deleted(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    where: dict[str, Any] = {"set": "shop", "namespace": "platform-monitoring", "hold_seconds": 1}
    succeeded(at.run("apply-set", manifests=manifests(), **where))
    deployment = lab.get(f"/apis/apps/v1{MONITORING}/deployments/shop")
    assert deployment["status"]["readyReplicas"] == 2
    managers = {entry["manager"] for entry in deployment["metadata"]["managedFields"]}
    assert "portal-remediation/shop" in managers
    secret = lab.get(f"/api/v1{MONITORING}/secrets/shop-db")
    assert len(secret["data"]["db-password"]) >= 32
    assert secret["data"]["db-password"] not in str(Plan.objects.values_list("document"))

    smaller = manifests(secret=False).replace("replicas: 2", "replicas: 1")
    again = succeeded(at.run("apply-set", manifests=smaller, **where))
    assert lab.get(f"/apis/apps/v1{MONITORING}/deployments/shop")["spec"]["replicas"] == 1
    undone(at, again)
    assert lab.get(f"/apis/apps/v1{MONITORING}/deployments/shop")["spec"]["replicas"] == 2

    plan = at.plan("delete-set", set="shop")
    assert plan.tier == 3 and plan.document["confirm"] == "shop"
    run = succeeded(at.carry(plan))
    assert lab.http.get(f"/apis/apps/v1{MONITORING}/deployments/shop").status_code == 404
    assert lab.items(f"/api/v1{MONITORING}/pods", labelSelector="app=shop") == []
    assert lab.get(f"{CLAIMS}/shop-data")["metadata"]["name"] == "shop-data", "data stays"
    assert lab.get(f"/api/v1{MONITORING}/secrets/shop-db")["metadata"]["name"] == "shop-db"

    undone(at, run)
    lab.until(
        lambda: lab.get(f"/apis/apps/v1{MONITORING}/deployments/shop").get("status", {}).get("readyReplicas") == 2,
        "the workload is there again",
    )
    succeeded(at.carry(at.plan("delete-set", set="shop")))


def test_a_set_can_be_applied_again_after_another_action_and_after_an_undo(desk: Desks, lab: RunningLab) -> None:
    """The mark belongs to the portal's last action, what was set back to the undo: neither is worth stopping for."""
    at = desk(lab)
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: marked}\ndata: {a: '%s'}\n"
    where: dict[str, Any] = {"set": "marked", "namespace": "platform-monitoring"}
    succeeded(at.run("apply-set", manifests=body % 1, **where))
    one: dict[str, Any] = {"kind": "ConfigMap", "namespace": "platform-monitoring", "name": "marked"}
    succeeded(at.run("set-label", **one, key="team", value="platform"))
    second = succeeded(at.run("apply-set", manifests=body % 2, **where))
    undone(at, second)
    assert lab.get(f"/api/v1{MONITORING}/configmaps/marked")["data"] == {"a": "1"}
    succeeded(at.run("apply-set", manifests=body % 3, **where))
    found = lab.get(f"/api/v1{MONITORING}/configmaps/marked")
    assert found["data"] == {"a": "3"}
    assert found["metadata"]["labels"]["team"] == "platform", "what the other action wrote stays"


def test_what_belongs_to_another_manager_is_a_conflict_that_stops_the_plan(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    where: dict[str, Any] = {"set": "conflict", "namespace": "platform-monitoring"}
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conflict}\ndata: {a: '1'}\n"
    succeeded(at.run("apply-set", manifests=body, **where))
    path = f"/api/v1{MONITORING}/configmaps/conflict"
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conflict"}, "data": {"a": "2"}}
    answer = lab.http.patch(
        path,
        params={"fieldManager": "somebody", "force": "true"},
        json=theirs,
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    answer.raise_for_status()
    plan = at.plan("apply-set", manifests=body, **where)
    (refused,) = [p for p in plan.preconditions if not p["met"]]
    assert "dry run" in refused["sentence"] and "somebody" in refused["evidence"]
    assert lab.get(path)["data"] == {"a": "2"}


def test_an_object_of_somebody_else_is_never_taken_into_a_set(desk: Desks, lab: RunningLab) -> None:
    at = desk(lab)
    path = f"/api/v1{MONITORING}/configmaps"
    lab.http.post(path, json={"metadata": {"name": "theirs"}, "data": {"a": "1"}}).raise_for_status()
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs}\ndata: {b: '1'}\n"
    plan = at.plan("apply-set", set="grab", namespace="platform-monitoring", manifests=body)
    assert unmet(plan) == ["What is there already belongs to the set"]
