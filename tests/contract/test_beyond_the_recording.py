"""What the recorded server was not asked, or is too old for: kubectl and the official client by the sources of 1.30.

Each expectation names where it stands in Kubernetes' sources; nothing here was recorded.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from tests.lab.api_server import RunningApi

pytestmark = [pytest.mark.lab, pytest.mark.kubectl]
Run = Callable[..., tuple[int, str, str]]
WHERE = "beyond"
RBAC = "rbac.authorization.k8s.io"


@pytest.fixture(scope="module")
def lab_api() -> Iterator[RunningApi]:
    api = RunningApi().start()
    with api.client() as admin:
        admin.post("/api/v1/namespaces", json={"metadata": {"name": WHERE}}).raise_for_status()
        _rights(admin)
    yield api
    api.stop()


def _rights(admin: Any) -> None:
    """A ServiceAccount that may evict pods and read one ConfigMap here, and is bound to a ClusterRole that is gone."""
    admin.post(f"/api/v1/namespaces/{WHERE}/serviceaccounts", json={"metadata": {"name": "bot"}}).raise_for_status()
    rules = [
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get"]},
    ]
    base = f"/apis/{RBAC}/v1"
    role = {"metadata": {"name": "evictor"}, "rules": rules}
    admin.post(f"{base}/namespaces/{WHERE}/roles", json=role).raise_for_status()
    subject = {"kind": "ServiceAccount", "name": "bot", "namespace": WHERE}
    reference = {"apiGroup": RBAC, "kind": "Role", "name": "evictor"}
    binding = {"metadata": {"name": "evictors"}, "roleRef": reference, "subjects": [subject]}
    admin.post(f"{base}/namespaces/{WHERE}/rolebindings", json=binding).raise_for_status()
    lost = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "gone"}
    dangling = {"metadata": {"name": "dangling"}, "roleRef": lost, "subjects": [subject]}
    admin.post(f"{base}/clusterrolebindings", json=dangling).raise_for_status()


@pytest.fixture
def kubectl(lab_api: RunningApi) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        command = ["kubectl", "--kubeconfig", str(lab_api.kubeconfig), "-n", WHERE, *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return ran.returncode, ran.stdout, ran.stderr

    return run


@pytest.fixture
def api(lab_api: RunningApi) -> Iterator[Any]:
    made = config.new_client_from_config(str(lab_api.kubeconfig))
    yield made
    made.close()


BOT = f"--as=system:serviceaccount:{WHERE}:bot"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (("create", "pods", "--subresource=eviction"), "yes"),
        (("create", "pods"), "no"),
        (("get", "configmaps/one"), "yes"),
        (("get", "configmaps/two"), "no"),
        (("get", "configmaps"), "no"),
        (("delete", "nodes"), "no"),
        (("get", "/healthz"), "yes"),
        (("get", "/metrics"), "no"),
    ],
)
def test_can_i_by_the_roles_of_the_account(kubectl: Run, question: tuple[str, ...], answer: str) -> None:
    code, text, _ = kubectl("auth", "can-i", *question, BOT)
    assert (text.split()[0], code) == (answer, 0 if answer == "yes" else 1)


def test_can_i_lists_the_rules_with_their_subresources_and_names(kubectl: Run) -> None:
    code, text, _ = kubectl("auth", "can-i", "--list", BOT)
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert code == 0
    assert "[create]" in lines["pods/eviction"]
    assert "[one]" in lines["configmaps"] and "[get]" in lines["configmaps"]


def test_a_review_says_which_binding_allows(api: Any) -> None:
    """plugin/pkg/auth/authorizer/rbac/rbac.go: roleBindingDescriber."""
    asked = {"verb": "create", "resource": "pods", "subresource": "eviction", "namespace": WHERE}
    spec = {"resourceAttributes": asked, "user": f"system:serviceaccount:{WHERE}:bot"}
    status = client.AuthorizationV1Api(api).create_subject_access_review({"spec": spec}).status
    assert status.allowed is True
    assert (
        status.reason
        == f'RBAC: allowed by RoleBinding "evictors/{WHERE}" of Role "evictor" to ServiceAccount "bot/{WHERE}"'
    )


def test_a_refusal_names_the_role_that_a_binding_has_lost(api: Any, kubectl: Run) -> None:
    """rbac.go: RBACAuthorizer.Authorize gives the resolver's errors as the reason of no opinion."""
    lost = 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'
    asked = {"verb": "list", "resource": "secrets", "namespace": WHERE}
    spec = {"resourceAttributes": asked, "user": f"system:serviceaccount:{WHERE}:bot"}
    status = client.AuthorizationV1Api(api).create_subject_access_review({"spec": spec}).status
    assert (status.allowed, status.reason) == (False, lost)
    code, _, problem = kubectl("get", "secrets", BOT)
    assert code == 1
    assert f'cannot list resource "secrets" in API group "" in the namespace "{WHERE}": {lost}' in problem


@pytest.mark.parametrize(
    "spec", [{}, {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"verb": "get"}}]
)
def test_a_review_asks_exactly_one_thing(api: Any, spec: dict[str, Any]) -> None:
    """pkg/apis/authorization/validation/validation.go."""
    with pytest.raises(ApiException) as refused:
        client.AuthorizationV1Api(api).create_self_subject_access_review({"spec": spec})
    assert refused.value.status == 422
    assert "exactly one of nonResourceAttributes or resourceAttributes must be specified" in refused.value.body


def test_the_official_client_reads_the_cause_of_a_refused_eviction(api: Any) -> None:
    """pkg/registry/core/pod/storage/eviction.go: checkAndDecrement."""
    core, policy = client.CoreV1Api(api), client.PolicyV1Api(api)
    spec = {"nodeName": "worker01", "containers": [{"name": "c", "image": "i"}]}
    core.create_namespaced_pod(WHERE, {"metadata": {"name": "held", "labels": {"app": "held"}}, "spec": spec})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    core.patch_namespaced_pod_status("held", WHERE, {"status": ready})
    budget = {"metadata": {"name": "held"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "held"}}}}
    policy.create_namespaced_pod_disruption_budget(WHERE, budget)
    counts = {
        "observedGeneration": 1,
        "disruptionsAllowed": 0,
        "currentHealthy": 1,
        "desiredHealthy": 1,
        "expectedPods": 1,
    }
    policy.patch_namespaced_pod_disruption_budget_status("held", WHERE, {"status": counts})
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="held", namespace=WHERE))
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_pod_eviction("held", WHERE, eviction)
    assert refused.value.status == 429
    causes = json.loads(refused.value.body)["details"]["causes"]
    text = "The disruption budget held needs 1 healthy pods and has 1 currently"
    assert causes == [{"reason": "DisruptionBudget", "message": text}]


def test_an_autoscaler_of_one_version_is_one_of_the_other(api: Any, kubectl: Run) -> None:
    """pkg/apis/autoscaling/v1/conversion.go; kubectl 1.32 creates v1 and reads v2."""
    kubectl("create", "deployment", "web", "--image=nginx")
    assert kubectl("autoscale", "deployment", "web", "--min=2", "--max=4", "--cpu-percent=70")[0] == 0
    newer = client.AutoscalingV2Api(api).read_namespaced_horizontal_pod_autoscaler("web", WHERE)
    assert newer.spec.metrics[0].resource.target.average_utilization == 70
    older = client.AutoscalingV1Api(api).patch_namespaced_horizontal_pod_autoscaler(
        "web", WHERE, {"spec": {"targetCPUUtilizationPercentage": 60}}
    )
    assert older.spec.target_cpu_utilization_percentage == 60
    newer = client.AutoscalingV2Api(api).read_namespaced_horizontal_pod_autoscaler("web", WHERE)
    assert (newer.spec.metrics[0].resource.target.average_utilization, newer.spec.max_replicas) == (60, 4)


def test_a_jobs_selector_is_its_own(api: Any, kubectl: Run) -> None:
    """pkg/registry/batch/job/strategy.go: generateSelector and DefaultGarbageCollectionPolicy."""
    batch = client.BatchV1Api(api)
    assert kubectl("create", "job", "one", "--image=busybox")[0] == 0
    made = batch.read_namespaced_job("one", WHERE)
    assert made.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": made.metadata.uid}
    labels = made.spec.template.metadata.labels
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "one"
    assert kubectl("create", "cronjob", "tick", "--image=busybox", "--schedule=*/5 * * * *")[0] == 0
    assert kubectl("create", "job", "--from=cronjob/tick", "two")[0] == 0
    owner = batch.read_namespaced_job("two", WHERE).metadata.owner_references[0]
    assert (owner.kind, owner.name, owner.controller) == ("CronJob", "tick", True)
    batch.delete_namespaced_job("one", WHERE, propagation_policy="Background")


def test_an_event_may_be_written_in_its_newer_shape(api: Any) -> None:
    """events.k8s.io/v1 is what newer recorders write; kubectl reads core/v1."""
    body = {
        "metadata": {"name": "noted"},
        "eventTime": "2025-11-23T15:52:00.000000Z",
        "regarding": {"kind": "Pod", "name": "held", "namespace": WHERE},
        "reason": "Noted",
        "note": "in the newer shape",
        "type": "Normal",
        "action": "Note",
        "reportingController": "test",
        "reportingInstance": "test-1",
    }
    client.EventsV1Api(api).create_namespaced_event(WHERE, body)
    core = client.CoreV1Api(api).read_namespaced_event("noted", WHERE)
    assert (core.message, core.involved_object.name) == ("in the newer shape", "held")
