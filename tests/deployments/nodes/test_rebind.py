"""A Released volume for a claim that waits: what is written, each guard, each condition."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import MARK, CannotPlan, Condition, PlanDraft
from deployments.catalogue.conditions import look
from deployments.catalogue.seen import Outlook, Seen
from tests.deployments.nodes.scene import MONITORING, Scene, body, unmet

VOLUMES, CLAIMS = "persistentvolumes", "persistentvolumeclaims"
OLD = {"kind": "PersistentVolumeClaim", "namespace": "dev", "name": "lost", "uid": "uid-of-old"}
GIVEN = {"volume": "old", "namespace": MONITORING, "claim": "again"}


class World(Scene):
    """A Released volume, and a claim that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.volume: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "old", "uid": "uid-volume", "resourceVersion": "7"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "5Gi"},
                "claimRef": dict(OLD),
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": "nfs-client",
            },
            "status": {"phase": "Released"},
        }
        self.claim: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "again", "namespace": MONITORING, "uid": "uid-claim", "resourceVersion": "8"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "5Gi"}},
                "storageClassName": "nfs-client",
            },
            "status": {"phase": "Pending"},
        }
        self.case.setdefault("raws", {})
        self.case["raws"][f"{VOLUMES} /old"] = self.volume
        self.case["raws"][f"{CLAIMS} {MONITORING}/again"] = self.claim

    def plan(self) -> PlanDraft:
        return self.draft("rebind-volume", **GIVEN)

    def sees(self, name: str) -> Seen:
        return look(Condition(name, GIVEN), self.snapshot(), {})


def test_it_is_kept_and_reserved_for_the_one_claim_by_name() -> None:
    drafted = World().plan()
    assert unmet(drafted) == []
    assert body(drafted) == {
        "metadata": {"annotations": {MARK: "${run.mark}"}},
        "spec": {
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": MONITORING, "name": "again",
                "uid": None, "resourceVersion": None, "fieldPath": None,
            },
        },
    }  # fmt: skip
    assert drafted.confirm == "old" and registry.get("rebind-volume").tier == 3
    assert "which was of dev/lost" in drafted.blast.sentence and "(Retain)" in drafted.blast.sentence


@pytest.mark.parametrize(
    ("which", "change", "said"),
    [
        ("volume", {"status": {"phase": "Bound"}}, "no claim has it: phase Bound"),
        (
            "volume",
            {"metadata": {"name": "old", "uid": "u", "deletionTimestamp": "2026-01-10T12:00:00Z"}},
            "it is being deleted",
        ),
        ("claim", {"status": {"phase": "Bound"}}, "waits for a volume, and for no other: phase Bound"),
        ("claim", {"spec.volumeName": "another"}, "names volume another"),
        ("claim", {"spec.storageClassName": "openebs-hostpath"}, "same class: volume nfs-client, claim openebs-host"),
        ("claim", {"spec.storageClassName": None}, "claim not chosen yet"),
        ("claim", {"spec.resources": {"requests": {"storage": "6Gi"}}}, "it has 5Gi, 6Gi are asked for"),
        ("claim", {"spec.resources": {"requests": {"storage": "much"}}}, "large enough"),
        ("claim", {"spec.accessModes": ["ReadWriteMany"]}, "claim ReadWriteMany Filesystem"),
        ("volume", {"spec.volumeMode": "Block"}, "ReadWriteOnce Block"),
    ],
)
def test_each_thing_that_forbids_it_is_said(which: str, change: dict[str, Any], said: str) -> None:
    world = World()
    item = getattr(world, which)
    for path, value in change.items():
        head, _, rest = path.partition(".")
        if rest:
            item[head][rest] = value
        else:
            item[head] = value
    (found,) = unmet(world.plan())
    assert said in found


@pytest.mark.parametrize("gone", ["old", "again"])
def test_what_is_not_there_is_said_with_what_to_do(gone: str) -> None:
    world = World()
    key = f"{VOLUMES} /old" if gone == "old" else f"{CLAIMS} {MONITORING}/again"
    world.case["raws"][key] = None
    with pytest.raises(CannotPlan, match=gone):
        world.plan()


@pytest.mark.parametrize("name", ["../../nodes", "a b", "A", "${run.user}", "x" * 300, "old;id"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Parameters are"):
        registry.parse("rebind-volume", {**GIVEN, "volume": name})


def test_the_wait_knows_its_own_claim_from_others() -> None:
    world = World()
    mine = {"namespace": MONITORING, "name": "again"}
    world.volume["spec"]["claimRef"], world.volume["status"]["phase"] = dict(mine), "Available"
    assert world.sees("volume_bound").outlook is Outlook.NOT_YET
    world.volume["spec"]["claimRef"], world.volume["status"]["phase"] = {**mine, "uid": "uid-claim"}, "Bound"
    assert world.sees("volume_bound").outlook is Outlook.MET
    world.volume["spec"]["claimRef"] = {**OLD, "name": "thief"}
    assert "reserved for dev/thief by somebody" in world.sees("volume_bound").sentence
    world.volume["spec"]["claimRef"], world.volume["status"]["phase"] = dict(mine), "Failed"
    assert world.sees("volume_bound").outlook is Outlook.FAILED
    world.case["raws"][f"{VOLUMES} /old"] = None
    assert world.sees("volume_bound").outlook is Outlook.FAILED
