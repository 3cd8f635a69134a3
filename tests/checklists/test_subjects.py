"""What an item's diagnosis is about follows from what its checks look at."""

from __future__ import annotations

from portal.checklists.subjects import subject_of


def test_the_workload_of_an_item_is_its_subject() -> None:
    checks = [
        ("target_up", {"selector": 'job="kube-state-metrics"'}),
        ("workload_ready", {"namespace": "monitoring", "selector": "app.kubernetes.io/name=kube-state-metrics"}),
    ]
    subject = subject_of("kube-state-metrics", checks)
    assert (subject["kind"], subject["namespace"]) == ("workload", "monitoring")
    assert subject["selector"] == "app.kubernetes.io/name=kube-state-metrics"


def test_a_selector_of_time_series_names_no_object() -> None:
    subject = subject_of("argocd-metrics", [("target_up", {"selector": 'job=~"argocd.*"', "minimum": 3})])
    assert subject == {"kind": "", "namespace": "", "name": "", "item": "argocd-metrics"}
