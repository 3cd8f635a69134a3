"""Strategic merge patch: recorded answers, the directives, and kubectl's own implementation beside ours."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.api.patching import PatchError, strategic_merge

DEPLOYMENT = ("apps", "v1", "Deployment")


def deployment(**pod: Any) -> dict[str, Any]:
    spec = {
        "containers": [
            {"name": "a", "image": "nginx:1", "env": [{"name": "X", "value": "1"}]},
            {"name": "b", "image": "side:1"},
        ],
        **pod,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d1", "labels": {"app": "d1"}, "finalizers": ["x/one", "x/two"]},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "selector": {"matchLabels": {"app": "d1"}},
            "template": {"metadata": {"labels": {"app": "d1"}}, "spec": spec},
        },
    }


def pod_patch(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


def pod_spec(doc: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = doc["spec"]["template"]["spec"]
    return spec


THREE = [{"name": name, "image": f"{name}:1"} for name in "abc"]
VOLUMES = [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "c"}}]
PORTS = [{"containerPort": 80, "name": "web"}, {"containerPort": 81}]
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a container merges by name": (deployment(), pod_patch(containers=[{"name": "b", "image": "side:2"}])),
    "$patch delete": (deployment(), pod_patch(containers=[{"name": "b", "$patch": "delete"}])),
    "env merges by name, the patch's first": (
        deployment(),
        pod_patch(containers=[{"name": "a", "env": [{"name": "Y", "value": "2"}]}]),
    ),
    "$patch replace of a list": (
        deployment(),
        pod_patch(containers=[{"$patch": "replace"}, {"name": "only", "image": "x"}]),
    ),
    "$patch replace of a map": (
        deployment(),
        {"metadata": {"labels": {"$patch": "replace", "other": "1"}}},
    ),
    "$setElementOrder alone reorders": (
        deployment(containers=THREE),
        pod_patch(**{"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}),
    ),
    "$setElementOrder with a new item": (
        deployment(containers=THREE),
        pod_patch(
            **{
                "$setElementOrder/containers": [{"name": "n"}, {"name": "a"}, {"name": "c"}],
                "containers": [{"name": "n", "image": "n:1"}],
            }
        ),
    ),
    "a list without merge key replaces": (
        deployment(tolerations=[{"key": "a", "operator": "Exists"}]),
        pod_patch(tolerations=[{"key": "b", "operator": "Exists"}]),
    ),
    "finalizers merge as a set": (deployment(), {"metadata": {"finalizers": ["x/three", "x/one"]}}),
    "$deleteFromPrimitiveList": (
        deployment(),
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/one"]}},
    ),
    "$retainKeys of the strategy": (
        deployment(),
        {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
    ),
    "$retainKeys of a volume": (
        deployment(volumes=VOLUMES),
        pod_patch(volumes=[{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "n"}}]),
    ),
    "ports merge by containerPort": (
        deployment(containers=[{"name": "a", "image": "i", "ports": PORTS}]),
        pod_patch(containers=[{"name": "a", "ports": [{"containerPort": 81, "name": "two"}]}]),
    ),
    "null removes a field": (deployment(), {"spec": {"strategy": None}, "metadata": {"labels": {"app": None}}}),
    "the patch's order wins between its own": (
        deployment(containers=THREE),
        pod_patch(containers=[{"name": "c", "image": "c:2"}, {"name": "a", "image": "a:2"}]),
    ),
    "$patch replace of a template, as an undo sends it": (
        deployment(volumes=VOLUMES),
        {"spec": {"template": {"$patch": "replace", "spec": {"containers": [{"name": "z", "image": "z:1"}]}}}},
    ),
    "$patch replace of an item": (
        deployment(),
        pod_patch(containers=[{"name": "a", "$patch": "replace", "image": "a:9"}]),
    ),
    "$patch delete of an environment variable": (
        deployment(),
        pod_patch(containers=[{"name": "a", "env": [{"name": "X", "$patch": "delete"}]}]),
    ),
    "$patch replace where no list was": (
        deployment(),
        pod_patch(initContainers=[{"$patch": "replace"}, {"name": "i", "image": "i:1"}]),
    ),
    "$patch replace of a list within an item": (
        deployment(),
        pod_patch(containers=[{"name": "b", "env": [{"$patch": "replace"}, {"name": "Q", "value": "3"}]}]),
    ),
    "$patch replace where no map was": (deployment(), {"metadata": {"annotations": {"$patch": "replace", "c": "3"}}}),
    "$patch delete of a map": (deployment(), {"metadata": {"labels": {"$patch": "delete"}}}),
    "$patch delete of what is not there": (deployment(), pod_patch(containers=[{"name": "no", "$patch": "delete"}])),
    "$patch merge where no list was": (
        deployment(),
        pod_patch(initContainers=[{"name": "i", "image": "x", "$patch": "merge"}]),
    ),
    "a directive in a list that replaces is none": (
        deployment(tolerations=[{"key": "a", "operator": "Exists"}]),
        pod_patch(tolerations=[{"$patch": "replace"}, {"key": "b", "operator": "Exists"}]),
    ),
    "labels of the selector merge": (deployment(), {"spec": {"selector": {"matchLabels": {"x": "y"}}}}),
}


def test_the_recorded_answers_of_a_real_server() -> None:
    result = strategic_merge(DEPLOYMENT, *CASES["a container merges by name"])
    assert [(c["name"], c["image"]) for c in pod_spec(result)["containers"]] == [("a", "nginx:1"), ("b", "side:2")]
    assert [c["name"] for c in pod_spec(strategic_merge(DEPLOYMENT, *CASES["$patch delete"]))["containers"]] == ["a"]
    env = pod_spec(strategic_merge(DEPLOYMENT, *CASES["env merges by name, the patch's first"]))["containers"][0]["env"]
    assert env == [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]


@pytest.mark.kubectl
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")
@pytest.mark.parametrize("case", CASES)
def test_kubectl_patches_to_the_same_document(case: str, tmp_path: Path) -> None:
    doc, patch = CASES[case]
    (tmp_path / "doc.json").write_text(json.dumps(doc))
    command = ["kubectl", "patch", "--local", "-f", str(tmp_path / "doc.json"), "--type", "strategic"]
    answer = subprocess.run([*command, "-p", json.dumps(patch), "-o", "json"], capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr.decode()
    assert without_empties(strategic_merge(DEPLOYMENT, doc, patch)) == without_empties(json.loads(answer.stdout))


def without_empties(value: Any) -> Any:
    """Neither null nor empty: kubectl's typed round trip adds creationTimestamp null, resources {}, status {}."""
    if isinstance(value, dict):
        kept = {key: without_empties(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (None, {}, [])}
    if isinstance(value, list):
        return [without_empties(item) for item in value]
    return value


@pytest.mark.parametrize(
    "patch",
    [
        pod_patch(containers=[{"image": "nameless"}]),
        {"metadata": {"$patch": "frobnicate"}},
        {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}},
        {"spec": {"strategy": {"$retainKeys": "type"}}},
        pod_patch(
            **{
                "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}],
            }
        ),
    ],
)
def test_a_malformed_directive_is_refused(patch: dict[str, Any]) -> None:
    with pytest.raises(PatchError):
        strategic_merge(DEPLOYMENT, deployment(), patch)


def test_the_inputs_stay_as_they_were() -> None:
    doc, patch = CASES["$setElementOrder with a new item"]
    before = json.dumps([doc, patch])
    strategic_merge(DEPLOYMENT, doc, patch)
    assert json.dumps([doc, patch]) == before
