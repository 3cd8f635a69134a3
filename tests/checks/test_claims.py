"""Sentences of a hand-written report become checks, and what nobody can check becomes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.checks import registry
from monitoring.checks.claims import Claim, ClaimContext
from monitoring.verdict import Verdict, Word

NS = "platform-monitoring"
PROMETHEUS = "- **Prometheus**: Metrics collection and storage (20Gi NFS storage)"


def _claims(text: str, *parents: str) -> list[tuple[str, dict[str, Any]]]:
    context = ClaimContext(text, parents, namespace=NS, application="kube-prometheus-stack")
    return [(claim.slug, claim.params) for claim in registry.read_claims(context)]


@pytest.mark.parametrize(
    ("text", "parents", "slug", "some"),
    [
        (
            "  - Pod: `prometheus-kube-prometheus-stack-prometheus-0` (2/2 Running)",
            (PROMETHEUS,),
            "workload_ready",
            {"name": "prometheus-kube-prometheus-stack-prometheus", "kind": "StatefulSet", "containers": 2},
        ),
        ("  - Retention: 15 days", (PROMETHEUS,), "prometheus_config", {"retention": "15d"}),
        ("  - Retention: 120h", ("- **AlertManager**: routing",), "alertmanager_config", {"retention": "120h"}),
        ("  - Scrape interval: 30s", (PROMETHEUS,), "prometheus_config", {"scrape_interval": "30s"}),
        (
            "  - Storage: nfs-client (20Gi)",
            (PROMETHEUS,),
            "pvc_bound",
            {"size": "20Gi", "storage_class": "nfs-client", "exact": True},
        ),
        (
            "- **Node Exporter**: Node-level metrics (7 DaemonSet pods)",
            (),
            "workload_ready",
            {"kind": "DaemonSet", "exactly": 7},
        ),
        (
            "  - Running on ALL 7 nodes (3 masters, 4 workers including worker04)",
            ("- **Node Exporter**: x",),
            "nodes",
            {"count": 7, "exact": True, "roles": {"control-plane": 3, "worker": 4}},
        ),
        ("- ✅ NFS storage class configured and working", (), "storage_class", {"provisioner": "nfs"}),
        ("- ✅ Node affinity excluding worker04 for stateful workloads", (), "placement", {"avoid": ["worker04"]}),
        ("- ✅ ArgoCD metrics scraping configured", (), "target_up", {"selector": 'job=~"argocd.*"'}),
        ("- LoadBalancer service exists: 10.1.5.185", (), "load_balancer_address", {"address": "10.1.5.185"}),
        (
            "- LoadBalancer: kube-prometheus-stack-grafana (10.1.5.185)",
            (),
            "load_balancer_address",
            {"name": "kube-prometheus-stack-grafana", "address": "10.1.5.185"},
        ),
        (
            "  - Taints: `storage=hdd:NoSchedule`, `metallb=disabled:NoSchedule`",
            ("- **Worker04**: Excluded",),
            "node_taints",
            {"node": "worker04", "taints": ["storage=hdd:NoSchedule", "metallb=disabled:NoSchedule"]},
        ),
        (
            "- alertmanager-kube-prometheus-stack-alertmanager-db (5Gi, Bound)",
            ("**PVCs:**",),
            "pvc_bound",
            {
                "name": "alertmanager-kube-prometheus-stack-alertmanager-db",
                "prefix": "alertmanager-kube-prometheus-stack-alertmanager-db",
                "size": "5Gi",
            },
        ),
        ("- data-loki-0 (5Gi, Bound)", ("**PVCs:**",), "pvc_bound", {"name": "data-loki-0", "size": "5Gi"}),
        (
            "- ClusterIP: kube-prometheus-stack-prometheus (9090)",
            (),
            "service_has_endpoints",
            {"name": "kube-prometheus-stack-prometheus"},
        ),
        ("- platform-monitoring", ("**Namespaces:**",), "objects_present", {"names": ["platform-monitoring"]}),
        ("  - Managing ServiceMonitors, PodMonitors, PrometheusRules", (), "operator_objects", {"servicemonitors": 1}),
        ("  - argocd-server-metrics:8083", (), "target_up", {}),
    ],
)
def test_a_claim_becomes_the_check_that_proves_it(
    text: str, parents: tuple[str, ...], slug: str, some: dict[str, Any]
) -> None:
    found = [params for name, params in _claims(text, *parents) if name == slug]
    assert found, _claims(text, *parents)
    assert some.items() <= found[0].items()


@pytest.mark.parametrize(
    ("text", "slug", "some"),
    [
        ("Prometheus retention 30 days", "prometheus_config", {"retention": "30d"}),
        ("- **Prometheus** runs, **retention** is 30d", "prometheus_config", {"retention": "30d"}),
        ("* Prometheus has 15-day retention", "prometheus_config", {"retention": "15d"}),
        ("prometheus keeps metrics for 2 weeks", "prometheus_config", {"retention": "2w"}),
        ("1. Prometheus scrapes every 15s", "prometheus_config", {"scrape_interval": "15s"}),
        ("Alertmanager: 2/2 Running", "workload_ready", {"containers": 2, "kind": "StatefulSet"}),
        (
            "prometheus ready (2/2), grafana is broken",
            "workload_ready",
            {"selector": "app.kubernetes.io/name=prometheus"},
        ),
        ("Node exporter 7/7 ready", "workload_ready", {"exactly": 7, "kind": "DaemonSet"}),
        ("Alertmanager has 5Gi of storage", "pvc_bound", {"size": "5Gi"}),
        ("Prometheus volume is 20Gi", "pvc_bound", {"size": "20Gi"}),
        ("Nodes: 5", "nodes", {"count": 5, "exact": True}),
        ("We run Kubernetes v1.29", "nodes", {"version": "v1.29"}),
        ("Default StorageClass: openebs-hostpath", "storage_class", {"name": "openebs-hostpath", "default": True}),
        ("nfs-client is the default StorageClass", "storage_class", {"name": "nfs-client", "default": True}),
        ("Grafana LoadBalancer at 10.1.5.185", "load_balancer_address", {"address": "10.1.5.185"}),
        ("Grafana is reachable at http://10.1.5.186", "load_balancer_address", {"address": "10.1.5.186"}),
        ("kube-prometheus-stack is Synced and Healthy", "argocd_application", {"name": "kube-prometheus-stack"}),
    ],
)
def test_other_teams_say_it_in_other_words(text: str, slug: str, some: dict[str, Any]) -> None:
    (found,) = _claims(text)
    assert found[0] == slug
    assert some.items() <= found[1].items()


@pytest.mark.parametrize(
    "text",
    [
        "The cluster should grow to 9 nodes",
        "Prometheus does not keep retention: 15 days",
        "- We plan Prometheus retention 90 days",
        "Prometheus might need a volume of 100Gi",
        "kube-prometheus-stack isn't Synced",
        "Nodes: 3 masters, 4 workers",
    ],
)
def test_what_is_wished_planned_or_denied_is_no_claim(text: str) -> None:
    assert _claims(text) == []


def test_a_wish_in_one_sentence_leaves_the_next_alone() -> None:
    assert [slug for slug, _ in _claims("It should be faster. Prometheus retention is 15d.")] == ["prometheus_config"]


@pytest.mark.parametrize(
    "text",
    [
        "We had a great week and everybody is happy.",
        "- Grafana datasource configs",
        "1. **Helm Sidecar Complexity**: default sidecars add complexity",
        "Retention: forever",
        "- Deployment is hard",
        "",
    ],
)
def test_what_no_check_can_prove_becomes_nothing(text: str) -> None:
    assert _claims(text) == []


def test_a_line_that_names_no_component_takes_the_nearest_above() -> None:
    claims = _claims("  - Retention: 5d", "- **AlertManager**: Alert routing", "**Prometheus and friends**")
    assert claims == [("alertmanager_config", {"namespace": NS, "retention": "5d"})]


def test_a_removed_deployment_is_right_only_while_it_is_not_there() -> None:
    context = ClaimContext("- Deployment removed, pending clean recreation", ("### Grafana UI - In Progress",), NS)
    (claim,) = registry.read_claims(context)
    assert claim.slug == "workload_ready"
    assert claim.holds(Verdict(Word.FAILING, "", cause="no_deployment")) is True
    assert claim.holds(Verdict(Word.FAILING, "", cause="crash_loop_back_off")) is False
    assert claim.holds(Verdict(Word.VERIFIED, "")) is False
    assert claim.holds(Verdict(Word.UNKNOWN, "")) is None


def test_a_claim_holds_by_evidence_alone() -> None:
    claim = Claim("nodes", {"count": 7}, "7 nodes")
    assert [claim.holds(Verdict(word, "")) for word in Word] == [True, False, False, None]


@given(st.text(max_size=700), st.lists(st.text(max_size=80), max_size=3))
def test_no_report_breaks_the_patterns(text: str, parents: list[str]) -> None:
    for claim in registry.read_claims(ClaimContext(text, tuple(parents), namespace=NS)):
        registry.parse(claim.slug, claim.params)


@pytest.mark.parametrize("line", ["a" * 600, "- " + "a-" * 290, "(" * 600, "storage:" * 75, "1" * 600, "`-" * 300])
@pytest.mark.timeout(5)
def test_a_line_made_to_be_slow_is_not(line: str) -> None:
    assert registry.read_claims(ClaimContext(line, (line,), namespace=NS)) == []
