"""Applying and deleting a set of objects: the steps, each guard, what is found again and what is never touched."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.catalogue import registry
from deployments.catalogue.action import MARK, Apply, CannotPlan, Condition, Create, Delete, PlanDraft
from deployments.catalogue.nodes import manifest_kinds
from deployments.catalogue.nodes.manifests import SET_LABEL
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import NOT_SERVED, Missing, Objects
from tests.deployments.nodes.scene import CASES, MONITORING, Scene, unmet

PASTED = (CASES / "shop.manifests.yaml").read_text()
LABELS = {"app.kubernetes.io/managed-by": "portal", SET_LABEL: "shop"}
OURS = {"labels": LABELS, "annotations": {MARK: "01ABC.1"}}
#: resource key and name of each object of the set that is not a Secret
OBJECTS = [
    ("serviceaccounts", "shop"),
    ("configmaps", "shop"),
    ("persistentvolumeclaims", "shop-data"),
    ("services", "shop"),
    ("deployments.apps", "shop"),
]


def fresh() -> Scene:
    """Nothing of the set is there; every kind was listed."""
    scene = Scene()
    for resource in manifest_kinds.LISTED:
        scene.all(resource)
    scene.absent = [f"{resource} {MONITORING}/{name}" for resource, name in OBJECTS]
    return scene


def applied() -> Scene:
    """The set is there, with its pods, as a run of this portal left it."""
    scene = fresh()
    scene.absent = []
    for number, (resource, name) in enumerate(OBJECTS):
        meta = {"name": name, "namespace": MONITORING, "uid": f"u{number}", **yaml.safe_load(yaml.safe_dump(OURS))}
        scene.add(resource, {"metadata": meta})
    web = {"app": "shop", "tier": "web"}
    scene.get("services", "shop")["spec"] = {"selector": web}
    scene.get("deployments.apps", "shop")["spec"] = {"replicas": 1, "selector": {"matchLabels": web}}
    owned = [{"kind": "Deployment", "name": "shop", "uid": "u4", "controller": True}]
    made = {"name": "shop-1", "namespace": MONITORING, "uid": "rs"}
    scene.add("replicasets.apps", {"metadata": {**made, "ownerReferences": owned}})
    pod = {"name": "shop-1-a", "namespace": MONITORING, "uid": "p", "labels": web}
    owned = [{"kind": "ReplicaSet", "name": "shop-1", "uid": "rs", "controller": True}]
    scene.add("pods", {"metadata": {**pod, "ownerReferences": owned}, "spec": {}, "status": {"phase": "Running"}})
    endpoint = {"conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": "shop-1-a"}}
    labels = {"kubernetes.io/service-name": "shop"}
    slice_meta = {"name": "shop-x", "namespace": MONITORING, "labels": labels}
    scene.add("endpointslices.discovery.k8s.io", {"metadata": slice_meta, "endpoints": [endpoint]})
    return scene


def apply(scene: Scene, text: str = PASTED, **params: Any) -> PlanDraft:
    return scene.draft("apply-set", set="shop", manifests=text, **{"namespace": MONITORING, **params})


def changed(path: str, value: Any, kind: str = "Deployment") -> str:
    """The pasted manifests with one field of one of them set."""
    bodies = list(yaml.safe_load_all(PASTED))
    for body in bodies:
        body["metadata"].pop("creationTimestamp", None)
        body.pop("status", None)
        if body["kind"] != kind:
            continue
        *parents, last = path.split(".")
        here: Any = body
        for key in parents:
            here = here[int(key)] if key.isdigit() else here.setdefault(key, {})
        here[int(last) if last.isdigit() else last] = value
    return yaml.safe_dump_all(bodies)


# -- apply


def test_each_object_is_applied_marked_under_the_sets_own_manager() -> None:
    drafted = apply(fresh())
    assert unmet(drafted) == []
    assert [(step.verb, step.resource) for step in drafted.steps] == [
        ("apply", "serviceaccounts"),
        ("create", "secrets"),
        ("apply", "configmaps"),
        ("apply", "persistentvolumeclaims"),
        ("apply", "services"),
        ("apply", "deployments.apps"),
    ]
    for step in drafted.steps:
        effect = step.effect
        assert isinstance(effect, Apply | Create)
        assert effect.body["metadata"]["labels"].items() >= LABELS.items()
        assert effect.body["metadata"]["annotations"] == {MARK: "${run.mark}"}
        assert effect.body["metadata"]["namespace"] == MONITORING
        assert not isinstance(effect, Apply) or effect.manager == "shop"


def test_a_secret_is_created_once_and_holds_only_what_is_made_at_the_write() -> None:
    secret = apply(fresh()).steps[1]
    assert isinstance(secret.effect, Create)
    assert secret.effect.body["stringData"] == {"db-password": "${run.secret}"}
    assert secret.until is None, "the reading identity may not read it back"


def test_each_step_waits_for_its_own_effect() -> None:
    steps = apply(fresh(), rollout_seconds=900).steps
    here = {"resource": "configmaps", "namespace": MONITORING, "name": "shop", "mark": "${run.mark}"}
    assert steps[2].until == Condition("object_applied", here)
    rollout = {"kind": "Deployment", "namespace": MONITORING, "name": "shop", "selector": "app=shop,tier=web"}
    assert steps[5].until == Condition("workload_rolled_out", rollout)
    assert [step.timeout_seconds for step in steps] == [60, 60, 60, 60, 60, 900]


def test_workloads_that_want_pods_are_verified() -> None:
    (check,) = apply(fresh(), hold_seconds=20).verification.checks
    assert (check.type, check.params) == (
        "workload_ready",
        {"namespace": MONITORING, "name": "shop", "kind": "Deployment"},
    )
    assert apply(fresh(), changed("spec.replicas", 0)).verification.checks == ()


def test_the_order_of_the_documents_does_not_matter() -> None:
    turned = "\n---\n".join(reversed(PASTED.split("---\n")))
    assert apply(fresh(), turned).steps == apply(fresh()).steps


def test_a_namespace_that_is_not_there_is_said() -> None:
    scene = fresh()
    scene.all("namespaces").remove(scene.get("namespaces", MONITORING))
    assert unmet(apply(scene)) == [f"Namespace {MONITORING} is there: kubectl create namespace {MONITORING}"]
    scene.add("namespaces", {"metadata": {"name": MONITORING, "deletionTimestamp": "2026-11-27T18:00:00Z"}})
    assert unmet(apply(scene)) == [f"Namespace {MONITORING} is there: it is being deleted"]


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "argocd", "gitops"])
def test_no_set_lives_in_a_system_namespace_or_beside_argo_cd(namespace: str) -> None:
    scene = fresh()
    scene.all("namespaces").append({"metadata": {"name": namespace}})
    scene.all("applications.argoproj.io")[0]["metadata"]["namespace"] = "gitops"
    scene.absent = [f"configmaps {namespace}/a"]
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, namespace: {namespace}}}\n"
    (reason,) = unmet(apply(scene, text))
    assert reason.startswith(f"No object is put into a system namespace: {namespace}:")


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("hostNetwork", True, "hostNetwork"),
        ("hostPID", True, "hostPID"),
        ("volumes", [{"name": "root", "hostPath": {"path": "/"}}], "hostPath of volume root"),
        ("containers.0.securityContext", {"privileged": True}, "shop privileged"),
        ("containers.0.securityContext", {"capabilities": {"add": ["SYS_ADMIN"]}}, "shop capability SYS_ADMIN"),
        ("containers.0.securityContext", {"capabilities": {"add": ["CAP_NET_ADMIN"]}}, "capability CAP_NET_ADMIN"),
        ("containers.0.securityContext", {"seccompProfile": {"type": "Unconfined"}}, "seccomp Unconfined"),
        ("containers.0.securityContext", {"procMount": "Unmasked"}, "procMount Unmasked"),
        ("containers.0.ports", [{"containerPort": 80, "hostPort": 80}], "hostPort 80"),
        ("initContainers", [{"name": "i", "securityContext": {"privileged": True}}], "i privileged"),
        ("securityContext", {"seccompProfile": {"type": "Unconfined"}}, "seccomp Unconfined"),
    ],
)
def test_a_pod_that_reaches_out_to_its_node_is_refused(path: str, value: Any, word: str) -> None:
    (reason,) = unmet(apply(fresh(), changed(f"spec.template.spec.{path}", value)))
    assert reason.startswith("No pod of the set reaches out to its node: Deployment") and word in reason


def test_a_cron_jobs_pods_are_looked_at_too() -> None:
    pod = {"containers": [{"name": "a", "image": "a"}], "hostPID": True, "serviceAccountName": "admin"}
    body = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "a"},
        "spec": {"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    }
    scene = fresh()
    scene.absent = [f"cronjobs.batch {MONITORING}/a"]
    reasons = unmet(apply(scene, yaml.safe_dump(body)))
    assert ["hostPID" in reasons[0], "runs as admin" in reasons[1]] == [True, True]


def test_capabilities_of_the_baseline_are_free() -> None:
    value = {"capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}}
    assert unmet(apply(fresh(), changed("spec.template.spec.containers.0.securityContext", value))) == []


@pytest.mark.parametrize("field", ["serviceAccountName", "serviceAccount"])
def test_a_foreign_service_account_is_refused(field: str) -> None:
    text = changed("spec.template.spec.serviceAccountName", None)
    text = text.replace("serviceAccountName: null", f"{field}: kube-prometheus-stack-operator")
    (reason,) = unmet(apply(fresh(), text))
    assert "Deployment platform-monitoring/shop runs as kube-prometheus-stack-operator" in reason
    assert unmet(apply(fresh(), text.replace("kube-prometheus-stack-operator", "default"))) == []


def test_a_service_that_takes_foreign_addresses_is_refused() -> None:
    (reason,) = unmet(apply(fresh(), changed("spec.externalIPs", ["10.1.5.185"], "Service")))
    assert reason == (
        "No Service takes an address that is not its own: Service platform-monitoring/shop names externalIPs"
    )


def test_a_live_service_that_would_send_to_the_sets_pods_is_named() -> None:
    assert "begins to send" not in apply(fresh()).blast.sentence
    labels = {"app": "shop", "tier": "web", "app.kubernetes.io/name": "grafana"}
    text = changed("spec.template.metadata.labels", {**labels, "app.kubernetes.io/instance": "kube-prometheus-stack"})
    assert "Service platform-monitoring/kube-prometheus-stack-grafana begins to send to its pods" in (
        apply(fresh(), text).blast.sentence
    )
    assert "platform-monitoring/shop begins" not in apply(applied()).blast.sentence, "its own Service is meant to"


def test_what_is_there_and_not_the_sets_is_refused() -> None:
    scene = applied()
    del scene.get("configmaps", "shop")["metadata"]["annotations"]
    (reason,) = unmet(apply(scene))
    assert reason == (
        "What is there already belongs to the set: ConfigMap platform-monitoring/shop is there and was not applied "
        "with set shop: rename it in the manifests"
    )


def test_what_is_being_deleted_is_waited_for() -> None:
    scene = applied()
    scene.get("configmaps", "shop")["metadata"]["deletionTimestamp"] = "2026-11-27T18:00:00Z"
    assert "is being deleted: wait until it is gone" in unmet(apply(scene))[0]


def test_applying_again_is_a_change_and_names_what_is_left_over() -> None:
    scene = applied()
    old = scene.add("configmaps", {"metadata": {"name": "old", "namespace": MONITORING, "uid": "o", **OURS}})
    drafted = apply(scene)
    assert unmet(drafted) == []
    assert drafted.blast.created == ("Secret platform-monitoring/shop-db",)
    assert len(drafted.blast.changed) == 5
    assert drafted.blast.unchanged == ("ConfigMap platform-monitoring/old",)
    assert "Still there of an earlier set and left alone: ConfigMap platform-monitoring/old" in drafted.blast.sentence
    assert old["metadata"]["name"] not in [step.name for step in drafted.steps]


def test_what_argo_cd_renders_or_would_take_is_refused() -> None:
    scene = applied()
    notes = scene.get("services", "shop")["metadata"]["annotations"]
    notes["argocd.argoproj.io/tracking-id"] = f"kube-prometheus-stack:/Service:{MONITORING}/shop"
    (reason,) = unmet(apply(scene))
    assert reason == "Argo CD takes none of them for its own: Service platform-monitoring/shop: change it in Git"
    label = changed("metadata.labels", {"app.kubernetes.io/instance": "kube-prometheus-stack"}, "ConfigMap")
    assert "ConfigMap platform-monitoring/shop (label app.kubernetes.io/instance)" in unmet(apply(fresh(), label))[0]
    other = changed("metadata.labels", {"app.kubernetes.io/instance": "shop"}, "ConfigMap")
    assert unmet(apply(fresh(), other)) == []


def test_a_cluster_without_a_kind_has_none_of_it_and_a_silent_one_starts_nothing() -> None:
    scene = fresh()
    kind = "alertmanagerconfigs.monitoring.coreos.com"
    scene.unread(kind, f"{NOT_SERVED} {kind}: its API or CRD is not installed.")
    assert unmet(apply(scene)) == []
    scene = fresh()
    scene.unread(kind)
    with pytest.raises(Missing, match="does not answer"):
        apply(scene)


def test_without_argo_cd_a_set_can_be_applied() -> None:
    scene = fresh()
    kind = "applications.argoproj.io"
    scene.unread(kind, f"{NOT_SERVED} {kind}: its API or CRD is not installed.")
    assert unmet(apply(scene)) == []
    scene.unread("namespaces")
    with pytest.raises(Missing):
        apply(scene)


def test_the_same_through_git_is_a_patch_that_git_takes_without_the_secret(tmp_path: Path) -> None:
    patch = apply(fresh()).git_patch
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=tmp_path, check=True)
    bodies = list(yaml.safe_load_all((tmp_path / "manifests" / "shop.yaml").read_text()))
    kinds = [body["kind"] for body in bodies]
    assert kinds == ["ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "Service", "Deployment"]
    assert all(SET_LABEL not in (body["metadata"].get("labels") or {}) for body in bodies)


@pytest.mark.parametrize("name", ["", "Shop", "shop/x", "a" * 64])
def test_the_name_of_a_set_is_the_value_of_a_label(name: str) -> None:
    with pytest.raises(ValueError, match="set"):
        registry.parse("apply-set", {"set": name, "manifests": PASTED, "namespace": MONITORING})


def test_what_the_manifests_lack_is_said_when_they_are_given() -> None:
    with pytest.raises(ValueError, match="Line 2: Deployment shop names no namespace"):
        registry.parse("apply-set", {"set": "shop", "manifests": PASTED})


# -- delete


def delete(scene: Scene) -> PlanDraft:
    return scene.draft("delete-set", set="shop")


def test_a_set_is_deleted_by_uid_in_the_opposite_order_and_claims_stay() -> None:
    drafted = delete(applied())
    assert unmet(drafted) == []
    assert [(step.resource, step.name) for step in drafted.steps] == [
        ("deployments.apps", "shop"),
        ("services", "shop"),
        ("configmaps", "shop"),
        ("serviceaccounts", "shop"),
    ]
    assert [step.effect for step in drafted.steps] == [Delete("Foreground"), *[Delete("Background")] * 3]
    where = {"resource": "deployments.apps", "namespace": MONITORING, "name": "shop", "uid": "u4"}
    assert drafted.steps[0].until == Condition("object_gone", where)
    assert drafted.confirm == "shop" and registry.get("delete-set").tier == 3
    assert drafted.blast.claims == ("PersistentVolumeClaim platform-monitoring/shop-data: kept",)
    assert drafted.blast.deleted[-1] == "Pod shop-1-a"
    assert drafted.blast.endpoints == ("Service shop (1 ready pod)",)


def test_everything_the_blast_needs_is_asked_for_once_the_set_is_known() -> None:
    action, params = registry.get("delete-set"), registry.parse("delete-set", {"set": "shop"})
    wanted = set(action.needs(applied().snapshot(), params))
    assert {Objects("pods", MONITORING), Objects("replicasets.apps", MONITORING)} <= wanted
    assert Objects("configmaps", "", f"{SET_LABEL}=shop") in wanted
    assert not any(isinstance(need, Objects) and need.resource == "secrets" for need in wanted)


@pytest.mark.parametrize("lost", ["annotations", "labels"])
def test_an_object_that_only_wears_the_label_is_never_deleted(lost: str) -> None:
    scene = applied()
    meta = scene.get("configmaps", "shop")["metadata"]
    if lost == "annotations":
        del meta["annotations"]
    else:
        meta["labels"] = {SET_LABEL: "shop"}
    (reason,) = unmet(delete(scene))
    assert "ConfigMap platform-monitoring/shop has the label and no mark of a run: take the label off it" in reason


def test_what_a_controller_made_goes_with_its_owner() -> None:
    scene = applied()
    owner = [{"kind": "CronJob", "name": "shop", "uid": "c", "controller": True}]
    scene.add("jobs.batch", {"metadata": {"name": "j", "namespace": MONITORING, "ownerReferences": owner, **OURS}})
    assert "jobs.batch" not in [step.resource for step in delete(scene).steps]


def test_what_argo_cd_would_bring_back_is_refused() -> None:
    scene = applied()
    notes = scene.get("services", "shop")["metadata"]["annotations"]
    notes["argocd.argoproj.io/tracking-id"] = f"kube-prometheus-stack:/Service:{MONITORING}/shop"
    assert "Service platform-monitoring/shop: delete it in Git" in unmet(delete(scene))[0]


def test_another_set_is_another_set() -> None:
    scene = applied()
    other = {"labels": {**LABELS, SET_LABEL: "shop-2"}, "annotations": {MARK: "x.1"}}
    scene.add("configmaps", {"metadata": {"name": "two", "namespace": MONITORING, **other}})
    assert "two" not in [step.name for step in delete(scene).steps]


def test_nothing_to_delete_is_a_sentence() -> None:
    with pytest.raises(CannotPlan, match="Nothing in the cluster carries the label of set shop"):
        delete(fresh())


def test_only_claims_left_is_nothing_to_delete() -> None:
    scene = fresh()
    scene.add("persistentvolumeclaims", {"metadata": {"name": "d", "namespace": MONITORING, "uid": "d", **OURS}})
    drafted = delete(scene)
    assert drafted.steps == ()
    assert unmet(drafted) == ["Something of the set can be deleted: 0 to delete, 1 claims kept"]


# -- conditions


def test_applied_means_there_with_the_mark() -> None:
    scene = applied()
    here = {"resource": "configmaps", "namespace": MONITORING, "name": "shop", "mark": "01ABC.1"}
    assert scene.look("object_applied", **here).outlook == Outlook.MET
    assert scene.look("object_applied", **{**here, "mark": "01ABC.2"}).outlook == Outlook.NOT_YET
    scene.get("configmaps", "shop")["metadata"]["deletionTimestamp"] = "2026-11-27T18:00:00Z"
    assert scene.look("object_applied", **here).outlook == Outlook.FAILED
    assert fresh().look("object_applied", **here).outlook == Outlook.NOT_YET


def test_gone_means_this_uid_and_says_what_holds_it() -> None:
    scene = applied()
    here = {"resource": "deployments.apps", "namespace": MONITORING, "name": "shop", "uid": "u4"}
    assert fresh().look("object_gone", **here).outlook == Outlook.MET
    assert scene.look("object_gone", **{**here, "uid": "other"}).outlook == Outlook.MET
    assert scene.look("object_gone", **here).sentence == "Deployment shop is still there."
    meta = scene.get("deployments.apps", "shop")["metadata"]
    meta |= {"deletionTimestamp": "2026-11-27T18:00:00Z", "finalizers": ["foregroundDeletion"]}
    seen = scene.look("object_gone", **here)
    assert (seen.outlook, len(seen.lines)) == (Outlook.NOT_YET, 1)
    assert "foregroundDeletion must let it go" in seen.sentence
    assert scene.look("object_gone", seen.memory, **here).lines == ()
