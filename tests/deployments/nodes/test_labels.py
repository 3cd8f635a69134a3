"""Labels: what is written, whose keys are left alone, who finds a pod by them, what Git says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import MARK, CannotPlan, Condition
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import Missing
from tests.deployments.nodes.scene import MONITORING, Scene, body, unmet

SERVICE = "kube-prometheus-stack-grafana"


def on_pod(scene: Scene, slug: str, pod: str, **params: Any) -> Any:
    found = scene.pod(pod)["metadata"]
    return scene.draft(slug, kind="Pod", namespace=found["namespace"], name=found["name"], **params)


def test_a_label_is_one_marked_merge_patch() -> None:
    drafted = Scene().draft("set-label", kind="Node", name="worker04", key="storage", value="hdd")
    assert unmet(drafted) == []
    assert body(drafted) == {"metadata": {"annotations": {MARK: "${run.mark}"}, "labels": {"storage": "hdd"}}}
    where = {"resource": "nodes", "namespace": "", "name": "worker04", "key": "storage"}
    assert drafted.steps[0].until == Condition("label_is", {**where, "value": "hdd"})
    assert drafted.params["kind"] == "nodes"


@pytest.mark.parametrize("kind", ["Node", "node", "nodes", "NODES"])
def test_a_kind_may_be_written_as_kubectl_takes_it(kind: str) -> None:
    assert Scene().draft("set-label", kind=kind, name="worker04", key="a").steps[0].resource == "nodes"


def test_removing_is_a_null() -> None:
    scene = Scene()
    scene.node("worker04")["metadata"]["labels"]["storage"] = "hdd"
    drafted = scene.draft("remove-label", kind="Node", name="worker04", key="storage")
    assert unmet(drafted) == []
    assert body(drafted)["metadata"]["labels"] == {"storage": None}
    assert drafted.preconditions[0].evidence == "storage=hdd"


def test_what_changes_nothing_is_refused() -> None:
    scene = Scene()
    scene.node("worker04")["metadata"]["labels"]["storage"] = "hdd"
    assert len(unmet(scene.draft("set-label", kind="Node", name="worker04", key="storage", value="hdd"))) == 1
    (reason,) = unmet(scene.draft("remove-label", kind="Node", name="worker04", key="backup"))
    assert reason.startswith("worker04 has the label backup: labels: beta.kubernetes.io/arch")


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        ("node-role.kubernetes.io/control-plane", "Kubernetes"),
        ("pod-security.kubernetes.io/enforce", "Kubernetes"),
        ("rbac.authorization.k8s.io/aggregate-to-admin", "Kubernetes"),
        ("app.kubernetes.io/instance", "Argo CD"),
        ("argocd.argoproj.io/instance", "Argo CD"),
        ("portal.remediation/set", "this portal"),
    ],
)
def test_reserved_keys_are_refused(key: str, owner: str) -> None:
    drafted = Scene().draft("set-label", kind="Node", name="worker01", key=key, value="x")
    assert unmet(drafted) == [f"The key is no one else's: {key} is reserved for {owner}"]


@pytest.mark.parametrize("key", ["my-kubernetes.io.example/x", "notk8s.io/x", "team"])
def test_keys_that_only_look_reserved_are_not(key: str) -> None:
    assert unmet(Scene().draft("set-label", kind="Node", name="worker01", key=key)) == []


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        (
            {"kind": "Gizmo", "name": "x", "key": "a"},
            "kind 'Gizmo' is not known here. Known are: Alertmanager, AlertmanagerConfig",
        ),
        ({"kind": "Secret", "name": "x", "namespace": "a", "key": "a"}, "is not known here"),
        ({"kind": "ClusterRole", "name": "x", "key": "a"}, "is not known here"),
        ({"kind": "Pod", "name": "x", "key": "a"}, "Pod lives in a namespace: name it"),
        ({"kind": "Node", "name": "x", "namespace": "a", "key": "a"}, "Node lives in no namespace"),
        ({"kind": "Node", "name": "x", "key": "a b"}, "'a b' is no key"),
        ({"kind": "Node", "name": "x", "key": "a", "value": "a b"}, "'a b' is no value"),
        ({"kind": "Node", "name": "../x", "key": "a"}, "name"),
    ],
)
def test_what_cannot_be_is_said_before_there_is_a_plan(params: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        registry.parse("set-label", params)


def test_no_such_object_is_a_sentence() -> None:
    scene = Scene()
    scene.absent = [f"pods {MONITORING}/nobody"]
    with pytest.raises(CannotPlan, match="There is no Pod nobody in namespace platform-monitoring"):
        scene.draft("set-label", kind="Pod", namespace=MONITORING, name="nobody", key="a")


def test_an_object_that_was_not_read_starts_nothing() -> None:
    with pytest.raises(Missing):
        Scene().draft("set-label", kind="Pod", namespace=MONITORING, name="nobody", key="a")


# -- pods: who finds them


def test_a_pod_is_not_taken_away_from_its_controller() -> None:
    drafted = on_pod(Scene(), "set-label", "coredns", key="k8s-app", value="other")
    (reason,) = unmet(drafted)
    assert "finds its pods by k8s-app: it would leave this one alone and make another" in reason
    assert "Service kube-dns" in drafted.blast.sentence and "stops sending to it" in drafted.blast.sentence


def test_a_label_no_controller_selects_by_is_free_and_services_are_told() -> None:
    scene = Scene()
    service = scene.get("services", SERVICE)
    service["spec"]["selector"] = {**service["spec"]["selector"], "track": "stable"}
    drafted = on_pod(scene, "set-label", "kube-prometheus-stack-grafana", key="track", value="stable")
    assert unmet(drafted) == []
    assert drafted.blast.sentence.startswith(f"Service {SERVICE} begins to send to it")
    other = on_pod(scene, "set-label", "kube-prometheus-stack-grafana", key="colour", value="green")
    assert other.blast.sentence == "No Service finds or loses the pod. The pod does not restart."


# -- Git


def test_what_git_names_is_refused_while_argo_cd_heals() -> None:
    scene = Scene()
    name = {"kind": "Service", "namespace": MONITORING, "name": SERVICE, "key": "release", "value": "other"}
    meta = scene.get("services", SERVICE)["metadata"]
    free = scene.draft("set-label", **name)
    assert unmet(free) == []
    assert "Git does not name what changes" in free.managed_by
    assert [lock.name for lock in free.locks] == ["kube-prometheus-stack"]
    meta["managedFields"] = [
        {"manager": "argocd-controller", "fieldsV1": {"f:metadata": {"f:labels": {"f:release": {}}}}}
    ]
    (reason,) = unmet(scene.draft("set-label", **name))
    assert "Git names metadata.labels.release, and app kube-prometheus-stack has selfHeal on" in reason
    scene.all("applications.argoproj.io")[0]["spec"]["syncPolicy"]["automated"]["selfHeal"] = False
    drafted = scene.draft("set-label", **name)
    assert unmet(drafted) == []
    assert "until the next sync" in drafted.managed_by
    assert drafted.git_way == f"In Git: set metadata.labels of Service {SERVICE} in the manifest."


@pytest.mark.parametrize("applied", [json.dumps({"metadata": {"labels": {"release": "x"}}}), "{not json"])
def test_client_side_apply_names_fields_too_and_what_cannot_be_told_counts_as_gits(applied: str) -> None:
    scene = Scene()
    meta = scene.get("services", SERVICE)["metadata"]
    meta["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = applied
    drafted = scene.draft("set-label", kind="Service", namespace=MONITORING, name=SERVICE, key="release", value="o")
    assert len(unmet(drafted)) == 1


def test_the_label_reads_so_or_not_yet() -> None:
    scene = Scene()
    here = {"resource": "nodes", "namespace": "", "name": "worker04", "key": "storage"}
    assert scene.look("label_is", **here, value=None).outlook == Outlook.MET
    assert scene.look("label_is", **here, value="hdd").sentence == "The label storage of worker04 is not there."
    scene.node("worker04")["metadata"]["labels"]["storage"] = "ssd"
    assert scene.look("label_is", **here, value="hdd").outlook == Outlook.NOT_YET
    assert scene.look("label_is", **here, value=None).outlook == Outlook.NOT_YET
    assert scene.look("label_is", **here, value="ssd").outlook == Outlook.MET
    scene.absent = ["nodes /worker09"]
    assert scene.look("label_is", **{**here, "name": "worker09"}, value="ssd").outlook == Outlook.FAILED
