"""What an item's diagnosis is about follows from what its checks look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from portal.checklists.subjects import subject_of

ROOT = Path(__file__).resolve().parents[2]
DEFINITION = yaml.safe_load((ROOT / "projects" / "platform-services.yaml").read_text(encoding="utf-8"))
ITEMS = {item["key"]: item for phase in DEFINITION["phases"] for item in phase["items"]}
#: the kinds of subject of each item of the shipped project, the first first; none: a person's word, or a number
KINDS = {
    "cluster-nodes": ["nodes"],
    "api-server": ["nodes"],
    "default-storage-class": ["storage_class"],
    "team-namespaces": ["objects"],
    "argocd-running": ["workload", "workload", "workload"],
    "load-balancer": ["service"],
    "app-of-apps": ["application"],
    "platform-accounts": ["objects"],
    "grafana-deployed": ["grafana"],
    "grafana-datasources": ["grafana"],
    "dora-dashboards": ["grafana"],
    "alert-channels": ["alertmanager"],
    "dashboard-access": ["grafana"],
    "monitoring-application": ["application"],
    "prometheus": ["prometheus", "claims"],
    "alertmanager": ["alertmanager", "claims"],
    "node-exporter": ["workload", "targets"],
    "kube-state-metrics": ["workload", "targets"],
    "prometheus-operator": ["workload"],
    "nfs-storage": ["storage_class", "claims"],
    "stateful-placement": ["placement"],
    "worker04-taints": ["nodes"],
    "argocd-metrics": ["targets"],
    "gitops": ["application", "application"],
    "monitoring-services": ["service", "service"],
    "grafana-address": ["address"],
    "scrape-targets": ["targets"],
    "sample-application": ["workload"],
    "ci-pipeline": [],
    "dora-metrics": [],
    "promotion-workflow": ["workload", "workload"],
}


def _subject(key: str) -> dict[str, Any]:
    checks = [(slug, params or {}) for check in ITEMS[key]["checks"] for slug, params in check.items()]
    return subject_of(key, checks)


@pytest.mark.parametrize("key", ITEMS)
def test_every_item_of_the_shipped_project_has_its_subjects(key: str) -> None:
    subject = _subject(key)
    kinds = [part["kind"] for part in (subject, *subject.get("parts", ()))]
    assert [kind for kind in kinds if kind] == KINDS[key]
    assert subject["item"] == key


def test_the_workload_of_an_item_is_its_subject() -> None:
    subject = _subject("kube-state-metrics")
    assert (subject["kind"], subject["namespace"]) == ("workload", "platform-monitoring")
    assert subject["selector"] == "app.kubernetes.io/name=kube-state-metrics"
    assert subject["parts"][0]["selector"] == 'job="kube-state-metrics"'


def test_grafanas_checks_are_about_one_grafana_and_its_application() -> None:
    subject = _subject("grafana-deployed")
    assert subject["application"] == {"namespace": "argocd", "name": "kube-prometheus-stack"}
    assert "grafana_health" in subject["asks"]
    assert "parts" not in subject


def test_who_has_an_address_needs_no_ready_pod_for_it() -> None:
    assert _subject("grafana-address")["address"] == "10.1.5.185"
    assert _subject("dashboard-access")["kind"] == "grafana"


def test_a_selector_of_time_series_names_no_object() -> None:
    subject = subject_of("argocd-metrics", [("target_up", {"selector": 'job=~"argocd.*"', "minimum": 3})])
    assert (subject["kind"], subject["selector"]) == ("targets", 'job=~"argocd.*"')
    assert subject["namespace"] == ""
