"""The real kubectl works against the lab's API server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.lab.api_server import RunningApi

pytestmark = [pytest.mark.lab, pytest.mark.kubectl]
KUBECTL = shutil.which("kubectl")
Run = Callable[..., str]

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "image": "nginx:1"}]},
        },
    },
}


class KubectlFailed(Exception):  # noqa: N818 - reads as the sentence it is
    """kubectl exited with another code than 0."""


@pytest.fixture
def command(lab_api: RunningApi, namespace: str, tmp_path: Path) -> Callable[..., list[str]]:
    if KUBECTL is None:
        pytest.skip("kubectl is not installed")

    def build(*arguments: str) -> list[str]:
        assert KUBECTL is not None
        cache = f"--cache-dir={tmp_path / 'cache'}"
        return [KUBECTL, "--kubeconfig", str(lab_api.kubeconfig), cache, "-n", namespace, *arguments]

    return build


@pytest.fixture
def kubectl(command: Callable[..., list[str]]) -> Run:
    """Runs kubectl in the test's namespace and returns its output."""

    def run(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            command(*arguments), input=stdin, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise KubectlFailed(done.stderr + done.stdout)
        return done.stdout

    return run


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[str], str]:
    """Writes the Deployment with the given image; returns the file's name."""

    def write(image: str) -> str:
        body = json.loads(json.dumps(DEPLOYMENT))
        body["spec"]["template"]["spec"]["containers"][0]["image"] = image
        path = tmp_path / "web.yaml"
        path.write_text(yaml.safe_dump(body))
        return str(path)

    return write


def image_of(kubectl: Run) -> str:
    return kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")


def test_apply_creates_then_leaves_alone_then_configures(kubectl: Run, manifest: Callable[[str], str]) -> None:
    assert kubectl("apply", "-f", manifest("nginx:1")) == "deployment.apps/web created\n"
    assert kubectl("apply", "-f", manifest("nginx:1")) == "deployment.apps/web unchanged\n"
    assert kubectl("apply", "-f", manifest("nginx:2")) == "deployment.apps/web configured\n"
    assert image_of(kubectl) == "nginx:2"


def test_apply_refuses_a_field_that_the_kind_does_not_have(kubectl: Run) -> None:
    body = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicaz": 3}}  # type: ignore[dict-item]
    with pytest.raises(KubectlFailed, match='unknown field "spec.replicaz"'):
        kubectl("apply", "-f", "-", stdin=json.dumps(body))


def test_diff_shows_what_an_apply_would_change_and_changes_nothing(
    kubectl: Run, manifest: Callable[[str], str]
) -> None:
    kubectl("apply", "-f", manifest("nginx:1"))
    with pytest.raises(KubectlFailed) as problem:
        kubectl("diff", "-f", manifest("nginx:2"))
    assert "+      - image: nginx:2" in str(problem.value)
    assert image_of(kubectl) == "nginx:1"


def test_server_side_apply_conflicts_with_another_manager_until_forced(
    kubectl: Run, manifest: Callable[[str], str]
) -> None:
    kubectl("apply", "--server-side", "--field-manager=first", "-f", manifest("nginx:1"))
    with pytest.raises(KubectlFailed, match='conflict with "first".*containers\\[name="app"\\].image'):
        kubectl("apply", "--server-side", "--field-manager=second", "-f", manifest("nginx:2"))
    kubectl("apply", "--server-side", "--field-manager=second", "--force-conflicts", "-f", manifest("nginx:2"))
    assert image_of(kubectl) == "nginx:2"


def test_a_server_dry_run_shows_the_result_and_keeps_nothing(kubectl: Run, manifest: Callable[[str], str]) -> None:
    assert "nginx:1" in kubectl("apply", "--dry-run=server", "-f", manifest("nginx:1"), "-o", "yaml")
    with pytest.raises(KubectlFailed, match=r'deployments.apps "web" not found'):
        kubectl("get", "deployment", "web")


@pytest.mark.parametrize(
    ("kind", "patch", "expected"),
    [
        ("json", '[{"op": "replace", "path": "/spec/replicas", "value": 5}]', "5 nginx:1"),
        ("merge", '{"spec": {"replicas": 6}}', "6 nginx:1"),
        ("strategic", '{"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "x"}]}}}}', "2 x"),
    ],
)
def test_every_patch_type_changes_what_it_names(
    kubectl: Run, manifest: Callable[[str], str], kind: str, patch: str, expected: str
) -> None:
    kubectl("apply", "-f", manifest("nginx:1"))
    kubectl("patch", "deployment", "web", "--type", kind, "-p", patch)
    path = "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}"
    assert kubectl("get", "deployment", "web", "-o", path) == expected


def test_scale_sets_the_replicas(kubectl: Run, manifest: Callable[[str], str]) -> None:
    kubectl("apply", "-f", manifest("nginx:1"))
    assert kubectl("scale", "deployment", "web", "--replicas=4") == "deployment.apps/web scaled\n"
    assert "0/4" in kubectl("get", "deployment", "web")


def test_rollout_restart_stamps_the_template_and_status_waits(
    kubectl: Run, manifest: Callable[[str], str], admin: httpx.Client, namespace: str
) -> None:
    kubectl("apply", "-f", manifest("nginx:1"))
    assert kubectl("rollout", "restart", "deployment/web") == "deployment.apps/web restarted\n"
    stamp = "jsonpath={.spec.template.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt}"
    assert kubectl("get", "deployment", "web", "-o", stamp)
    with pytest.raises(KubectlFailed, match="timed out waiting"):
        kubectl("rollout", "status", "deployment/web", "--timeout=1s")
    generation = int(kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.generation}"))
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 2)
    done = {"status": {"observedGeneration": generation, **counts}}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web/status"
    admin.patch(path, json=done, headers={"Content-Type": "application/merge-patch+json"}).raise_for_status()
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/web", "--timeout=60s")


def test_rollout_history_lists_the_revisions_of_owned_replicasets(
    kubectl: Run, manifest: Callable[[str], str], admin: httpx.Client, namespace: str
) -> None:
    kubectl("apply", "-f", manifest("nginx:1"))
    owner = json.loads(kubectl("get", "deployment", "web", "-o", "json"))
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": True}
    annotations = {"deployment.kubernetes.io/revision": "7"}
    meta = {
        "name": "web-1",
        "labels": {"app": "web"},
        "annotations": annotations,
        "ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}],
    }
    spec = {"replicas": 0, "selector": owner["spec"]["selector"], "template": owner["spec"]["template"]}
    path = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
    admin.post(path, json={"metadata": meta, "spec": spec}).raise_for_status()
    assert "7         <none>" in kubectl("rollout", "history", "deployment/web")


def test_get_prints_the_columns_of_the_kind(kubectl: Run) -> None:
    kubectl("run", "one", "--image=busybox")
    header, row = kubectl("get", "pods").splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row.split()[:4] == ["one", "0/1", "Pending", "0"]


def test_describe_names_image_and_events(kubectl: Run) -> None:
    kubectl("run", "one", "--image=busybox")
    text = kubectl("describe", "pod", "one")
    assert "Image:        busybox" in text
    assert "Events:" in text


@pytest.fixture
def watching(command: Callable[..., list[str]]) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command("get", "configmaps", "-w", "-o", "name"), stdout=subprocess.PIPE, text=True, env=environment
    )
    yield process
    process.kill()
    process.wait()


def test_get_with_watch_prints_changes_as_they_come(kubectl: Run, watching: subprocess.Popen[str]) -> None:
    assert watching.stdout is not None
    assert watching.stdout.readline() == "configmap/kube-root-ca.crt\n"
    kubectl("create", "configmap", "later", "--from-literal=a=b")
    started = time.monotonic()
    assert watching.stdout.readline() == "configmap/later\n"
    assert time.monotonic() - started < 5


def test_create_commands_send_protobuf_and_are_understood(kubectl: Run) -> None:
    assert kubectl("create", "namespace", "from-protobuf") == "namespace/from-protobuf created\n"
    assert kubectl("create", "configmap", "settings", "--from-literal=key=value") == "configmap/settings created\n"
    assert kubectl("get", "configmap", "settings", "-o", "jsonpath={.data.key}") == "value"
    kubectl("create", "secret", "generic", "hidden", "--from-literal=key=value")
    assert kubectl("get", "secret", "hidden", "-o", "jsonpath={.data.key}") == "dmFsdWU="
    kubectl("delete", "namespace", "from-protobuf")


def test_delete_waits_until_the_object_is_gone(kubectl: Run, manifest: Callable[[str], str]) -> None:
    kubectl("apply", "-f", manifest("nginx:1"))
    kubectl("delete", "deployment", "web", "--timeout=60s")
    with pytest.raises(KubectlFailed, match="not found"):
        kubectl("get", "deployment", "web")


def test_logs_prints_the_lines_of_the_container(kubectl: Run, admin: httpx.Client, namespace: str) -> None:
    overrides = json.dumps({"spec": {"nodeName": "worker01"}})
    kubectl("run", "one", "--image=busybox", "--overrides", overrides)
    lines = [{"time": f"2025-11-23T15:52:0{second}Z", "text": f"line {second}"} for second in range(5)]
    admin.put(f"/lab/logs/{namespace}/one/one", json={"lines": lines}).raise_for_status()
    assert kubectl("logs", "one", "--tail=2") == "line 3\nline 4\n"
    assert kubectl("logs", "one", "--timestamps", "--tail=1") == "2025-11-23T15:52:04Z line 4\n"
    with pytest.raises(KubectlFailed, match='previous terminated container "one" in pod "one" not found'):
        kubectl("logs", "one", "--previous")


def test_auth_can_i_answers_by_role(kubectl: Run, command: Callable[..., list[str]]) -> None:
    assert kubectl("auth", "can-i", "delete", "pods") == "yes\n"
    denied = subprocess.run(
        command("--context", "viewer", "auth", "can-i", "delete", "pods"), capture_output=True, text=True, check=False
    )
    assert (denied.returncode, denied.stdout) == (1, "no\n")


def test_a_viewer_reads_why_it_is_forbidden(kubectl: Run, namespace: str) -> None:
    with pytest.raises(KubectlFailed, match=f'User "viewer" cannot list resource "pods".*namespace "{namespace}"'):
        kubectl("--context", "viewer", "get", "pods")


def test_cordon_and_uncordon_mark_the_node(kubectl: Run, admin: httpx.Client) -> None:
    admin.post("/api/v1/nodes", json={"metadata": {"name": "worker09"}}).raise_for_status()
    assert kubectl("cordon", "worker09") == "node/worker09 cordoned\n"
    assert "SchedulingDisabled" in kubectl("get", "node", "worker09")
    assert kubectl("uncordon", "worker09") == "node/worker09 uncordoned\n"


def test_drain_evicts_the_pods_of_the_node(kubectl: Run, admin: httpx.Client, namespace: str) -> None:
    admin.post("/api/v1/nodes", json={"metadata": {"name": "worker08"}}).raise_for_status()
    overrides = json.dumps({"spec": {"nodeName": "worker08", "terminationGracePeriodSeconds": 0}})
    kubectl("run", "one", "--image=busybox", "--overrides", overrides)
    assert "node/worker08 drained" in kubectl("drain", "worker08", "--force", "--timeout=60s")
    assert admin.get(f"/api/v1/namespaces/{namespace}/pods/one").status_code == 404


def test_api_resources_lists_short_names_and_scopes(kubectl: Run) -> None:
    rows = {line.split()[0]: line.split() for line in kubectl("api-resources").splitlines()}
    assert rows["deployments"] == ["deployments", "deploy", "apps/v1", "true", "Deployment"]
    assert rows["nodes"][-2:] == ["false", "Node"]


def test_custom_resources_are_served_as_soon_as_their_definition_is_established(kubectl: Run) -> None:
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                        }
                    },
                    "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                }
            ],
        },
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(crd))
    kubectl("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=60s")
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}}
    kubectl("apply", "-f", "-", stdin=json.dumps(widget))
    assert kubectl("get", "widgets").split() == ["NAME", "SIZE", "w", "3"]
    kubectl("patch", "widget", "w", "--type=merge", "-p", '{"spec": {"size": 4}}')
    assert kubectl("get", "widget", "w", "-o", "jsonpath={.spec.size} {.metadata.generation}") == "4 2"
    kubectl("delete", "crd", "widgets.example.com", "--timeout=60s")
