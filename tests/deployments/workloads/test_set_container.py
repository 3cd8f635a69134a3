"""Image and resources of one container: what is written, what is refused, and what the API server would refuse."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import CannotPlan, PlanDraft
from tests.deployments.workloads.scene import Scene, unmet

DIGEST = "sha256:" + "0123456789abcdef" * 4


def image(text: str, scene: Scene | None = None, **more: Any) -> PlanDraft:
    return (scene or Scene()).plan("set-image", name="web", **{"container": "web", "image": text, **more})


def resources(scene: Scene | None = None, **more: Any) -> PlanDraft:
    return (scene or Scene()).plan("set-resources", name="web", **{"container": "web", **more})


def patched(draft: PlanDraft) -> Any:
    (container,) = draft.steps[0].effect.body["spec"]["template"]["spec"]["containers"]  # type: ignore[union-attr]
    return container


@pytest.mark.parametrize("text", [
    "registry.example.org:5000/team/web:4", "web:4", f"web@{DIGEST}", f"docker.io/grafana/grafana:10.2.3@{DIGEST}",
    "ghcr.io/a__b/c-d.e:v1.2-rc_1",
])  # fmt: skip
def test_an_image_with_a_tag_or_a_digest_is_set_and_nothing_else(text: str) -> None:
    draft = image(text)
    assert patched(draft) == {"name": "web", "image": text}
    assert unmet(draft) == []
    assert draft.blast.restarted


@pytest.mark.parametrize("text", [
    "web", "registry.example.org/web", "web:", "user:hunter2@registry/web:1", "https://registry/web:1", "web:1\nweb:2",
    "web:1; rm -rf /", "${run.user}:1", "web@sha256:123", "-web:1", "a" * 600, "web:1 ", "Web:1/..", "\u0000web:1",
])  # fmt: skip
def test_what_is_no_fixed_image_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Parameters are|image"):
        image(text)


@pytest.mark.parametrize("tag", ["latest", "main", "stable"])
def test_a_tag_that_moves_forbids_the_plan(tag: str) -> None:
    assert [u for u in unmet(image(f"web:{tag}")) if "one version" in u and "may run something else" in u]
    assert unmet(image(f"web:{tag}@{DIGEST}")) == []


def test_the_same_image_and_a_container_that_is_not_there() -> None:
    assert [u for u in unmet(image("registry.example.org/web:3")) if "runs another image" in u]
    with pytest.raises(CannotPlan, match="It has web and sidecar"):
        image("web:4", container="absent")


def test_amounts_are_set_taken_out_and_left() -> None:
    scene = Scene()
    scene.raw("deployments.apps", "web")["spec"]["template"]["spec"]["containers"][0]["resources"] = {
        "requests": {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "1Gi"},
        "limits": {"cpu": "1"},
    }
    draft = resources(scene, cpu_request="250m", cpu_limit="none")
    assert patched(draft)["resources"] == {"requests": {"cpu": "250m"}, "limits": {"cpu": None}}
    assert unmet(draft) == []
    evidence = next(p.evidence for p in draft.preconditions if "something else" in p.sentence)
    assert evidence == "requests cpu 100m, ephemeral-storage 1Gi, memory 64Mi; limits cpu 1"
    # the same amount in other words is no change
    assert [u for u in unmet(resources(scene, cpu_request="0.1")) if "something else now" in u]
    assert [u for u in unmet(resources(scene, cpu_request="2")) if "more than it may use" in u]
    assert [u for u in unmet(resources(scene, memory_limit="32Mi")) if "more than it may use" in u]


@pytest.mark.parametrize("given", [
    {}, {"cpu_request": "0"}, {"cpu_request": "-1"}, {"memory_limit": "much"}, {"memory_limit": "1e999999"},
    {"cpu_limit": "9" * 30}, {"memory_request": "NaN"}, {"memory_request": "Infinity"},
])  # fmt: skip
def test_what_is_no_amount_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="amount|at least one|quantity|Parameters are|is no|not a"):
        resources(None, **given)


def test_a_pod_that_no_node_is_large_enough_for_forbids_the_plan() -> None:
    scene = Scene()
    scene.get("nodes", "worker01")["status"]["allocatable"] = {"cpu": "4", "memory": "8Gi"}
    scene.get("nodes", "worker02")["status"]["allocatable"] = {"cpu": "2", "memory": "32Gi"}
    assert unmet(resources(scene, cpu_request="3", memory_request="4Gi")) == []
    (said,) = unmet(resources(scene, cpu_request="3", memory_request="16Gi"))
    assert said.endswith("a pod asks for 3 cores and 16384 MiB, no node has it")
    # of a limit alone the API server makes the request
    assert [u for u in unmet(resources(scene, memory_limit="64Gi")) if "no node has it" in u]


def test_both_undo_themselves_when_they_are_not_verified() -> None:
    assert all(registry.get(slug).undo_on_failure for slug in ("set-image", "set-resources"))
