"""P9: the identity that web, observer and planning read with can change nothing, by its role and by the API server."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from deployments.catalogue import registry
from tests.deployments.nodes.test_rights import RBAC
from tests.faults import identities
from tests.faults.conftest import Site

#: what an alert channel refers to; it is looked whether they have the key
SECRETS = {"portal-alert-hook", "portal-alert-smtp"}
READING = {"get", "list", "watch"}
#: questions that the API server answers and that change nothing
_ASKS = {"subjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}
_NAMESPACE = "platform-monitoring"
_APPS = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments/kube-prometheus-stack-kube-state-metrics"
_PODS = f"/api/v1/namespaces/{_NAMESPACE}/pods"
_MERGE = {"Content-Type": "application/merge-patch+json"}


def test_the_shipped_role_of_the_reader_only_reads_and_no_secret_but_the_two_of_the_alert_channel() -> None:
    bound = {
        (b["roleRef"]["kind"], b["roleRef"]["name"])
        for b in RBAC
        if b["kind"].endswith("Binding") and any(s["name"] == identities.READS for s in b["subjects"])
    }
    roles = [r for r in RBAC if (r["kind"], r["metadata"]["name"]) in bound]
    assert len(roles) == len(bound) >= 2
    for rule in (rule for role in roles for rule in role["rules"]):
        asks = set(rule["resources"]) <= _ASKS
        assert set(rule["verbs"]) <= ({"create"} if asks else READING), rule
        if "secrets" in rule["resources"]:
            assert set(rule["resourceNames"]) == SECRETS and rule["verbs"] == ["get"], rule
        assert not ({"", "*"} & set(rule["apiGroups"]) and "*" in rule["resources"]), rule


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.redis
@pytest.mark.timeout(400)
class TestOnTheServer:
    @pytest.fixture
    def reader(self, site: Site) -> Iterator[httpx.Client]:
        """The reading identity, as ``deploy/rbac.yaml`` makes it."""
        bearer = identities.token(site.stage.api, identities.READS)
        headers = {"Authorization": f"Bearer {bearer}"}
        base = site.stage.api.base_url
        with httpx.Client(base_url=base, headers=headers, verify=False, trust_env=False, timeout=30) as client:
            yield client

    def test_no_right_that_a_remedy_needs_for_writing_is_the_readers(self, reader: httpx.Client) -> None:
        needed = {
            (rule.group, rule.resource, verb)
            for action in registry.all_actions()
            for rule in action.rules
            for verb in rule.verbs
            if verb not in READING and rule.resource not in _ASKS
        }
        assert len(needed) > 20
        allowed = []
        for group, resource, verb in sorted(needed):
            plural, _, subresource = resource.partition("/")
            attributes = {"group": group, "resource": plural, "subresource": subresource, "verb": verb}
            attributes["namespace"] = _NAMESPACE
            body = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            }
            answer = reader.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=body)
            if answer.raise_for_status().json()["status"]["allowed"]:
                allowed.append((group, resource, verb))
        assert allowed == []

    def test_what_it_tries_all_the_same_is_refused_and_changes_nothing(self, site: Site, reader: httpx.Client) -> None:
        listed = reader.get(_PODS, params={"labelSelector": "app.kubernetes.io/name=kube-state-metrics"})
        pod = listed.raise_for_status().json()["items"][0]["metadata"]["name"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "reader"}}
        since = site.stage.last_seq()
        answers = [
            reader.patch(_APPS, json={"metadata": {"labels": {"a": "b"}}}, headers=_MERGE),
            reader.patch(f"{_APPS}/scale", json={"spec": {"replicas": 0}}, headers=_MERGE),
            reader.delete(_APPS),
            reader.delete(f"{_PODS}/{pod}"),
            reader.post(f"{_PODS}/{pod}/eviction", json=eviction),
            reader.post(_PODS.replace("/pods", "/configmaps"), json=config),
            reader.get(_PODS.replace("/pods", "/secrets")),
        ]
        assert [answer.status_code for answer in answers] == [403] * len(answers)
        assert site.stage.last_seq() == since
