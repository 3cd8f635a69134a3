"""The default StorageClass and larger claims: what is written, each guard, each condition."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import MARK, CannotPlan, PlanDraft
from deployments.catalogue.nodes.classes import DEFAULT, OLD_DEFAULT
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import Missing
from tests.deployments.nodes.scene import CLAIM, MONITORING, Scene, body, unmet

CLASSES = "storageclasses.storage.k8s.io"
CLAIMS = "persistentvolumeclaims"
LOCAL = "openebs-hostpath"
FREE = f'kubelet_volume_stats_available_bytes{{namespace="{MONITORING}",persistentvolumeclaim="{CLAIM}"}}'


# -- the default class


def test_the_old_default_loses_the_mark_before_the_new_one_gets_it() -> None:
    drafted = Scene().draft("set-default-storage-class", name=LOCAL)
    assert unmet(drafted) == []
    assert [(s.name, s.until.name if s.until else "") for s in drafted.steps] == [
        ("nfs-client", "class_not_default"),
        (LOCAL, "one_default_class"),
    ]
    assert body(drafted, 0) == {"metadata": {"annotations": {MARK: "${run.mark}", DEFAULT: "false"}}}
    assert body(drafted, 1) == {"metadata": {"annotations": {MARK: "${run.mark}", DEFAULT: "true"}}}
    (check,) = drafted.verification.checks
    assert (check.type, check.params) == ("storage_class", {"name": LOCAL, "default": True})


def test_without_a_default_one_patch_is_enough_and_waiting_claims_are_named() -> None:
    scene = Scene()
    scene.get(CLASSES, "nfs-client")["metadata"]["annotations"] = {}
    claim = scene.get(CLAIMS, CLAIM)
    del claim["spec"]["storageClassName"]
    claim["status"]["phase"] = "Pending"
    drafted = scene.draft("set-default-storage-class", name="nfs-client")
    assert [s.name for s in drafted.steps] == ["nfs-client"]
    assert drafted.blast.claims == (f"PersistentVolumeClaim {MONITORING}/{CLAIM}",)
    assert "1 claim without a class gets it now" in drafted.blast.sentence
    claim["spec"]["storageClassName"] = ""
    assert scene.draft("set-default-storage-class", name="nfs-client").blast.claims == (), "it asks for no class"


def test_the_old_annotation_counts_too_and_is_taken_back() -> None:
    scene = Scene()
    scene.get(CLASSES, "nfs-client")["metadata"]["annotations"] = {OLD_DEFAULT: "true"}
    assert body(scene.draft("set-default-storage-class", name=LOCAL))["metadata"]["annotations"] == {
        MARK: "${run.mark}",
        DEFAULT: "false",
        OLD_DEFAULT: "false",
    }


def test_two_defaults_become_one() -> None:
    scene = Scene()
    scene.get(CLASSES, LOCAL)["metadata"]["annotations"] = {DEFAULT: "true"}
    drafted = scene.draft("set-default-storage-class", name="nfs-client")
    assert unmet(drafted) == []
    assert drafted.preconditions[0].evidence == "default: nfs-client and openebs-hostpath"
    assert [s.name for s in drafted.steps] == [LOCAL, "nfs-client"]


def test_the_one_default_is_not_set_again() -> None:
    assert unmet(Scene().draft("set-default-storage-class", name="nfs-client")) == [
        "nfs-client is not the one default yet: default: nfs-client"
    ]


def test_a_class_that_is_being_deleted_becomes_no_default() -> None:
    scene = Scene()
    scene.get(CLASSES, LOCAL)["metadata"]["deletionTimestamp"] = "2026-11-27T18:00:00Z"
    assert unmet(scene.draft("set-default-storage-class", name=LOCAL)) == [
        "Exactly one class is the default afterwards: openebs-hostpath is being deleted"
    ]


def test_no_such_class_names_those_that_are_there() -> None:
    with pytest.raises(CannotPlan, match="no StorageClass fast. Classes are: nfs-client and openebs-hostpath"):
        Scene().draft("set-default-storage-class", name="fast")


def test_classes_that_were_not_read_start_nothing() -> None:
    scene = Scene()
    scene.unread(CLASSES)
    with pytest.raises(Missing):
        scene.draft("set-default-storage-class", name=LOCAL)


def test_a_mark_that_git_names_is_refused_while_argo_cd_heals() -> None:
    scene = Scene()
    meta = scene.get(CLASSES, "nfs-client")["metadata"]
    meta["annotations"]["argocd.argoproj.io/tracking-id"] = (
        "kube-prometheus-stack:storage.k8s.io/StorageClass:/nfs-client"
    )
    meta["managedFields"] = [
        {"manager": "argocd-controller", "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{DEFAULT}": {}}}}}
    ]
    drafted = scene.draft("set-default-storage-class", name=LOCAL)
    (reason,) = unmet(drafted)
    assert reason.startswith("Argo CD does not set it back at once on nfs-client: Git names metadata.annotations.")
    assert drafted.managed_by.startswith("nfs-client: Managed by Argo CD app kube-prometheus-stack, selfHeal on")
    assert [lock.name for lock in drafted.locks] == ["kube-prometheus-stack"]


def test_one_default_class_means_this_one_and_no_other() -> None:
    scene = Scene()
    assert scene.look("one_default_class", name="nfs-client").outlook == Outlook.MET
    assert scene.look("class_not_default", name="nfs-client").outlook == Outlook.NOT_YET
    scene.get(CLASSES, LOCAL)["metadata"]["annotations"] = {DEFAULT: "true"}
    seen = scene.look("one_default_class", name="nfs-client")
    assert (seen.outlook, seen.sentence) == (Outlook.NOT_YET, "Default now: nfs-client and openebs-hostpath.")
    scene.get(CLASSES, "nfs-client")["metadata"]["annotations"][DEFAULT] = "false"
    assert scene.look("class_not_default", name="nfs-client").outlook == Outlook.MET
    assert scene.look("one_default_class", name=LOCAL).outlook == Outlook.MET


# -- larger claims


def expandable() -> Scene:
    """The claim of a class that can, made by nobody."""
    scene = Scene()
    scene.get(CLASSES, LOCAL)["allowVolumeExpansion"] = True
    scene.get(CLAIMS, CLAIM)["spec"]["storageClassName"] = LOCAL
    scene.get("statefulsets.apps", "prometheus-")["metadata"].pop("ownerReferences", None)
    return scene


def expand(scene: Scene, size: str = "40Gi", **params: Any) -> PlanDraft:
    return scene.draft("expand-claim", namespace=MONITORING, name=CLAIM, size=size, **params)


def test_a_larger_claim_is_one_patch_and_cannot_be_taken_back() -> None:
    drafted = expand(expandable())
    assert unmet(drafted) == []
    (step,) = drafted.steps
    assert body(drafted)["spec"] == {"resources": {"requests": {"storage": "40Gi"}}}
    assert step.irreversible and not registry.get("expand-claim").undoable
    assert drafted.undo.startswith("Irreversible")
    assert drafted.blast.claims == (f"PersistentVolumeClaim {CLAIM}: 20Gi → 40Gi",)
    assert "Mounted by prometheus-kube-prometheus-stack-prometheus-0" in drafted.blast.sentence
    assert "still makes new claims of the old size" in drafted.blast.sentence


def test_the_check_looks_at_this_claim_and_at_no_other_that_begins_so() -> None:
    scene = expandable()
    assert [check.type for check in expand(scene).verification.checks] == ["pvc_bound"]
    small = {"spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Bound"}}
    scene.add(CLAIMS, {"metadata": {"name": f"{CLAIM}-old", "namespace": MONITORING}, **small})
    (check,) = expand(scene).verification.checks
    assert (check.params["name"], check.params.get("prefix", "")) == (CLAIM, "")
    scene = expandable()
    scene.pod("prometheus-kube-prometheus-stack-prometheus-0")["spec"]["volumes"] = []
    assert expand(scene).verification.checks == (), "nobody mounts it"


@pytest.mark.parametrize("size", ["20Gi", "19Gi", "20480Mi", "1"])
def test_a_claim_only_grows(size: str) -> None:
    (reason,) = unmet(expand(expandable(), size))
    assert reason == f"{size} is larger than it is now: asks for 20Gi, has 20Gi; a claim cannot shrink"


def test_a_resize_that_is_under_way_counts_by_what_was_asked_for() -> None:
    scene = expandable()
    scene.get(CLAIMS, CLAIM)["spec"]["resources"]["requests"]["storage"] = "60Gi"
    assert len(unmet(expand(scene, "40Gi"))) == 1


def test_nfs_client_cannot_expand_whatever_its_class_says_and_the_free_space_is_named() -> None:
    scene = Scene()
    scene.get(CLASSES, "nfs-client")["allowVolumeExpansion"] = True
    scene.case["queries"] = {FREE: [{"metric": {}, "value": [0, str(31.25 * 2**30)]}]}
    reasons = unmet(expand(scene))
    assert "cannot expand and does not enforce sizes" in reasons[0]
    assert "free on the export (31.2 GiB now)" in reasons[0]


@pytest.mark.parametrize(
    "answer", [[], {"status": 0, "error": "Prometheus does not answer."}, {"body": None}, {"body": [{"value": ["x"]}]}]
)
def test_free_space_nobody_knows_is_left_out(answer: Any) -> None:
    scene = Scene()
    scene.case["queries"] = {FREE: answer}
    assert "free on the export. Make room there" in unmet(expand(scene))[0]


def test_a_class_that_does_not_allow_it_says_what_to_do() -> None:
    scene = expandable()
    scene.get(CLASSES, LOCAL)["allowVolumeExpansion"] = False
    (reason,) = unmet(expand(scene))
    assert "allowVolumeExpansion of openebs-hostpath is not true. If openebs.io/local can expand" in reason


@pytest.mark.parametrize(("name", "reason"), [("gone", "is not there any more"), ("", "it has no class")])
def test_a_claim_without_its_class_is_not_expanded(name: str, reason: str) -> None:
    scene = expandable()
    scene.get(CLAIMS, CLAIM)["spec"]["storageClassName"] = name
    assert reason in unmet(expand(scene))[0]


def test_an_operators_claim_is_refused_with_the_three_steps() -> None:
    scene = expandable()
    owner = {"kind": "Prometheus", "name": "kube-prometheus-stack-prometheus", "uid": "u", "controller": True}
    scene.get("statefulsets.apps", "prometheus-")["metadata"]["ownerReferences"] = [owner]
    (reason,) = unmet(expand(scene))
    assert "is made by Prometheus kube-prometheus-stack-prometheus: its operator keeps the size" in reason
    assert "--cascade=orphan" in reason


def test_a_claim_that_is_not_bound_is_not_expanded() -> None:
    scene = expandable()
    scene.get(CLAIMS, CLAIM)["status"]["phase"] = "Pending"
    assert "phase Pending" in unmet(expand(scene))[0]
    scene = expandable()
    scene.get(CLAIMS, CLAIM)["metadata"]["deletionTimestamp"] = "2026-11-27T18:00:00Z"
    assert "it is being deleted" in unmet(expand(scene))[0]


def test_no_such_claim_is_a_sentence() -> None:
    scene = Scene()
    scene.absent = [f"{CLAIMS} {MONITORING}/none"]
    with pytest.raises(CannotPlan, match="no PersistentVolumeClaim none in namespace platform-monitoring"):
        scene.draft("expand-claim", namespace=MONITORING, name="none", size="40Gi")


@pytest.mark.parametrize("size", ["lots", "0", "-1Gi", "40 GB"])
def test_a_size_that_is_none_is_said_before_there_is_a_plan(size: str) -> None:
    with pytest.raises(ValueError, match="is no size|is not a quantity"):
        registry.parse("expand-claim", {"namespace": "a", "name": "b", "size": size})


def test_a_namespace_cannot_break_out_of_the_query() -> None:
    with pytest.raises(ValueError, match="namespace"):
        registry.parse("expand-claim", {"namespace": 'a"}', "name": "b", "size": "1Gi"})


def test_resized_means_the_capacity_is_there() -> None:
    scene = expandable()
    here = {"namespace": MONITORING, "name": CLAIM, "size": "40Gi"}
    status = scene.get(CLAIMS, CLAIM)["status"]
    assert scene.look("claim_resized", **here).sentence == f"{CLAIM} has 20Gi yet, 40Gi asked for."
    status["capacity"]["storage"] = "41Gi"
    assert scene.look("claim_resized", **here).outlook == Outlook.MET


def test_a_file_system_that_waits_for_a_pod_is_enough_when_none_mounts_it() -> None:
    scene = expandable()
    here = {"namespace": MONITORING, "name": CLAIM, "size": "40Gi"}
    status = scene.get(CLAIMS, CLAIM)["status"]
    status["conditions"] = [{"type": "FileSystemResizePending", "status": "True", "message": "Waiting for user"}]
    seen = scene.look("claim_resized", **here)
    assert seen.outlook == Outlook.NOT_YET
    assert [line.text for line in seen.lines] == [f"claim {CLAIM}: Waiting for user"]
    assert scene.look("claim_resized", seen.memory, **here).lines == ()
    scene.pod("prometheus-kube-prometheus-stack-prometheus-0")["status"]["phase"] = "Pending"
    assert scene.look("claim_resized", **here).outlook == Outlook.MET


@pytest.mark.parametrize(
    "change",
    [
        {"allocatedResourceStatuses": {"storage": "ControllerResizeInfeasible"}},
        {"conditions": [{"type": "ControllerResizeError", "status": "True", "message": "quota"}]},
    ],
)
def test_a_resize_the_provisioner_refuses_fails(change: dict[str, Any]) -> None:
    scene = expandable()
    scene.get(CLAIMS, CLAIM)["status"] |= change
    assert scene.look("claim_resized", namespace=MONITORING, name=CLAIM, size="40Gi").outlook == Outlook.FAILED


def test_a_claim_that_went_away_fails_the_step() -> None:
    assert Scene().look("claim_resized", namespace=MONITORING, name="none", size="1Gi").outlook == Outlook.FAILED
