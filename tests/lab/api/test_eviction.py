"""The eviction subresource by the rules of kube-apiserver 1.30 (pkg/registry/core/pod/storage/eviction.go)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.lab.api.test_writes import MERGE, Json

pytestmark = pytest.mark.lab
NODE = {"nodeName": "worker01", "containers": [{"name": "c", "image": "i"}]}


class Pods:
    """Pods and budgets of one namespace, whose statuses the test writes as controllers would."""

    def __init__(self, admin: httpx.Client, namespace: str) -> None:
        self.http, self.namespace = admin, namespace
        self.pods = f"/api/v1/namespaces/{namespace}/pods"
        self.budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"

    def pod(self, name: str, *, ready: bool = True, phase: str = "Running") -> Json:
        meta = {"name": name, "labels": {"app": "web"}}
        self.http.post(self.pods, json={"metadata": meta, "spec": NODE}).raise_for_status()
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        status = {"status": {"phase": phase, "conditions": [condition]}}
        made: Json = self.http.patch(f"{self.pods}/{name}/status", json=status, headers=MERGE).json()
        return made

    def budget(self, name: str = "web", *, observed: int = 1, spec: Json | None = None, **status: Any) -> None:
        body = {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": "web"}}, **(spec or {})}}
        self.http.post(self.budgets, json=body).raise_for_status()
        patch = {"status": {"observedGeneration": observed, **status}}
        self.http.patch(f"{self.budgets}/{name}/status", json=patch, headers=MERGE).raise_for_status()

    def evict(self, name: str, **options: Any) -> httpx.Response:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options}
        return self.http.post(f"{self.pods}/{name}/eviction", json=body)

    def left(self, name: str = "web") -> Json:
        found: Json = self.http.get(f"{self.budgets}/{name}").json()["status"]
        return found


@pytest.fixture
def here(admin: httpx.Client, namespace: str) -> Pods:
    return Pods(admin, namespace)


def test_a_spent_budget_refuses_in_the_real_servers_words(here: Pods) -> None:
    here.pod("a")
    here.budget(disruptionsAllowed=0, currentHealthy=1, desiredHealthy=1, expectedPods=1)
    answer = here.evict("a")
    assert answer.status_code == 429
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "reason": "TooManyRequests",
        "details": {
            "causes": [
                {
                    "reason": "DisruptionBudget",
                    "message": "The disruption budget web needs 1 healthy pods and has 1 currently",
                }
            ]
        },
        "code": 429,
    }
    assert "Retry-After" not in answer.headers


def test_an_eviction_takes_one_disruption_and_says_why_the_pod_goes(here: Pods) -> None:
    here.pod("a")
    here.pod("b")
    here.budget(disruptionsAllowed=1, currentHealthy=2, desiredHealthy=1, expectedPods=2)
    assert here.evict("a").json()["status"] == "Success"
    status = here.left()
    assert (status["disruptionsAllowed"], list(status["disruptedPods"])) == (0, ["a"])
    going = here.http.get(f"{here.pods}/a").json()
    assert going["metadata"]["deletionTimestamp"]
    target = next(each for each in going["status"]["conditions"] if each["type"] == "DisruptionTarget")
    assert (target["status"], target["reason"]) == ("True", "EvictionByEvictionAPI")
    assert here.evict("b").status_code == 429


def test_a_dry_run_asks_the_budget_and_spends_nothing(here: Pods) -> None:
    here.pod("a")
    here.budget(disruptionsAllowed=1, currentHealthy=1, desiredHealthy=0, expectedPods=1)
    before = here.http.get(f"{here.pods}/a").json()
    assert here.evict("a", dryRun=["All"]).status_code == 201
    assert here.left()["disruptionsAllowed"] == 1
    assert here.http.get(f"{here.pods}/a").json() == before


def test_a_budget_that_the_controller_has_not_seen_yet_refuses(here: Pods) -> None:
    here.pod("a")
    here.budget(observed=0, disruptionsAllowed=1, currentHealthy=1, desiredHealthy=0, expectedPods=1)
    answer = here.evict("a")
    assert answer.status_code == 429
    cause = answer.json()["details"]["causes"][0]["message"]
    assert cause == "The disruption budget web is still being processed by the server."


def test_two_budgets_of_one_pod_are_an_error_of_the_server(here: Pods) -> None:
    here.pod("a")
    for name in ("one", "two"):
        here.budget(name, disruptionsAllowed=1, currentHealthy=1, desiredHealthy=0, expectedPods=1)
    answer = here.evict("a")
    assert answer.status_code == 500
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        "code": 500,
    }


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
def test_pods_that_have_nothing_to_disrupt_pass_a_spent_budget(here: Pods, phase: str) -> None:
    here.pod("a", phase=phase)
    here.budget(disruptionsAllowed=0, currentHealthy=0, desiredHealthy=1, expectedPods=1)
    assert here.evict("a").status_code == 201


def test_a_pod_that_is_going_already_passes_and_takes_nothing_more(here: Pods) -> None:
    here.pod("a")
    here.http.delete(f"{here.pods}/a").raise_for_status()
    here.budget(disruptionsAllowed=0, currentHealthy=0, desiredHealthy=1, expectedPods=1)
    assert here.evict("a").status_code == 201
    assert "disruptedPods" not in here.left()


def test_a_pod_that_is_not_ready_passes_while_its_budget_is_met(here: Pods) -> None:
    here.pod("a", ready=False)
    here.budget(disruptionsAllowed=0, currentHealthy=2, desiredHealthy=2, expectedPods=3)
    assert here.evict("a").status_code == 201
    assert "disruptedPods" not in here.left()


@pytest.mark.parametrize(("policy", "code"), [(None, 429), ("IfHealthyBudget", 429), ("AlwaysAllow", 201)])
def test_a_pod_that_is_not_ready_under_a_broken_budget_goes_by_its_policy(
    here: Pods, policy: str | None, code: int
) -> None:
    here.pod("a", ready=False)
    spec = {"unhealthyPodEvictionPolicy": policy} if policy else {}
    here.budget(spec=spec, disruptionsAllowed=0, currentHealthy=1, desiredHealthy=2, expectedPods=2)
    assert here.evict("a").status_code == code


def test_another_uid_than_the_live_one_is_a_conflict(here: Pods) -> None:
    uid = here.pod("a")["metadata"]["uid"]
    answer = here.evict("a", preconditions={"uid": "not-this-one"})
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert "Precondition failed: UID in precondition: not-this-one, UID in object meta: " + uid in answer.text
    assert "deletionTimestamp" not in here.http.get(f"{here.pods}/a").json()["metadata"]
    assert here.evict("a", preconditions={"uid": uid}).status_code == 201


def test_an_eviction_is_one_effect_with_the_pods_uid(here: Pods) -> None:
    pod = here.pod("a")
    since = here.http.get("/lab/ledger").json()["last"]
    here.evict("a", dryRun=["All"]).raise_for_status()
    here.evict("a").raise_for_status()
    effects = here.http.get("/lab/ledger", params={"since": str(since)}).json()["entries"]
    found = [(each["verb"], each["resource"], each["subresource"], each["name"], each["uid"]) for each in effects]
    assert found == [("create", "pods", "eviction", "a", pod["metadata"]["uid"])]
    assert effects[0]["before"] == pod["metadata"]["resourceVersion"] != effects[0]["after"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"minAvailable": 1, "maxUnavailable": 1}, "spec"),
        ({"minAvailable": "half"}, "spec.minAvailable"),
        ({"maxUnavailable": "120%"}, "spec.maxUnavailable"),
        ({"minAvailable": -1}, "spec.minAvailable"),
    ],
)
def test_a_budget_that_makes_no_sense_is_invalid(here: Pods, spec: Json, field: str) -> None:
    answer = here.http.post(here.budgets, json={"metadata": {"name": "b"}, "spec": spec})
    assert answer.status_code == 422
    assert [cause["field"] for cause in answer.json()["details"]["causes"]] == [field]
