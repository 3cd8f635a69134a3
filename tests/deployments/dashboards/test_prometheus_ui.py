"""*Use Prometheus's own UI*: writes nothing, and says how a person opens it."""

from __future__ import annotations

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import CannotPlan
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import Missing
from tests.deployments.dashboards.world import NAMESPACE, SERVICES, case, draft, look, named, unmet, without

SLUG = "use-prometheus-ui"
SERVICE = "kube-prometheus-stack-prometheus"
READY = f"{NAMESPACE}/{SERVICE}:http-web/-/ready"
ASKED = {"namespace": NAMESPACE, "name": SERVICE, "port": "http-web"}


def test_it_writes_nothing() -> None:
    drafted = draft(SLUG, case())
    assert unmet(drafted) == []
    assert [step.effect for step in drafted.steps] == [None]
    assert registry.get(SLUG).tier == 0
    assert registry.get(SLUG).rules == ()


def test_it_shows_the_port_forward_and_a_published_address_first() -> None:
    line = f"kubectl -n {NAMESPACE} port-forward service/{SERVICE} 9090:9090"
    assert line in draft(SLUG, case()).blast.sentence
    loaded = case()
    named(loaded, SERVICES, SERVICE)["status"] = {"loadBalancer": {"ingress": [{"ip": "10.1.5.190"}]}}
    title = draft(SLUG, loaded).steps[0].title
    assert "http://10.1.5.190:9090/graph" in title


def test_the_headless_twin_of_the_operator_is_not_what_people_open() -> None:
    assert draft(SLUG, case()).steps[0].name == SERVICE


def test_no_ready_prometheus_is_unmet() -> None:
    loaded = case()
    loaded["objects"]["endpointslices.discovery.k8s.io"] = []
    assert any("0 ready" in u for u in unmet(draft(SLUG, loaded)))


def test_no_prometheus_and_several_are_sentences() -> None:
    loaded = case()
    second = {**named(loaded, SERVICES, SERVICE), "metadata": {"name": "p", "namespace": "other"}}
    loaded["objects"][SERVICES].append(second)
    with pytest.raises(CannotPlan, match="name one by --param namespace"):
        draft(SLUG, loaded)
    assert draft(SLUG, loaded, namespace="other").steps[0].name == "p"
    for name in (SERVICE, "prometheus-operated", "p"):
        without(loaded, SERVICES, name)
    with pytest.raises(CannotPlan, match="No Service leads to a Prometheus"):
        draft(SLUG, loaded)


def test_it_answers_when_it_is_ready_through_the_proxy() -> None:
    loaded = case() | {
        "links": {READY: {"status": 200}},
        "queries": {"count(up)": [{"metric": {}, "value": [1, "73"]}]},
    }
    seen = look(loaded, "prometheus_answers", **ASKED)
    assert (seen.outlook, seen.sentence) == (Outlook.MET, "Prometheus answers and knows 73 targets.")
    assert any("port-forward" in line.text for line in seen.lines)


def test_while_it_replays_its_log_it_is_not_yet_ready() -> None:
    loaded = case() | {"links": {READY: {"status": 503, "error": "Service Unavailable"}}}
    seen = look(loaded, "prometheus_answers", **ASKED)
    assert seen.outlook == Outlook.NOT_YET


def test_without_an_answer_nobody_can_tell() -> None:
    with pytest.raises(Missing):
        look(case(), "prometheus_answers", **ASKED)
