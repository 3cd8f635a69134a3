"""Every world of the lab, read over HTTPS as the portal reads a cluster: the cause of each item that is not well."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from common import clock
from monitoring import collect, diagnosis
from monitoring.verdict import Finding
from portal.checklists.subjects import subject_of
from tests.lab.world.running import MONITORING, RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
PROJECT = yaml.safe_load((ROOT / "projects" / "platform-services.yaml").read_text(encoding="utf-8"))
ITEMS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    item["key"]: [(kind, params or {}) for check in item["checks"] for kind, params in check.items()]
    for phase in PROJECT["phases"]
    for item in phase["items"]
}
#: in seconds, until a world has fallen ill
_PATIENCE = 90.0

# world: item: id, cause, first remedy
EXPECTED: dict[str, dict[str, tuple[str, str, str]]] = {
    "grafana-broken": {
        "grafana-deployed": ("A2", "sync_failed_at_retry_limit", "repair-grafana-in-place"),
        "dashboard-access": ("A2", "sync_failed_at_retry_limit", "repair-grafana-in-place"),
        "monitoring-application": ("A2", "sync_failed_at_retry_limit", "repair-grafana-in-place"),
    },
    "grafana-two-default-datasources": {
        "grafana-deployed": ("G2", "two_default_datasources", "fix-duplicate-default-datasource"),
    },
    "grafana-sqlite-on-nfs": {
        "grafana-deployed": ("G3", "sqlite_on_network_volume", "repair-grafana-in-place"),
        "grafana-datasources": ("G3", "sqlite_on_network_volume", "repair-grafana-in-place"),
        "scrape-targets": ("G3", "sqlite_on_network_volume", "repair-grafana-in-place"),
    },
    "argo-hook-image": {
        "monitoring-application": ("G7", "image_not_found", "clear-stuck-hook"),
        "grafana-deployed": ("G7", "image_not_found", "clear-stuck-hook"),
    },
    "argo-hook-stuck": {"monitoring-application": ("A3", "hook_does_not_end", "clear-stuck-hook")},
    "pvc-pending-no-default-class": {
        "default-storage-class": ("S1", "no_default_class", "set-default-storage-class"),
        "prometheus": ("W6", "no_default_class", "set-default-storage-class"),
        "alertmanager": ("W6", "no_default_class", "set-default-storage-class"),
        "grafana-deployed": ("W6", "no_default_class", "set-default-storage-class"),
        "grafana-datasources": ("W6", "no_default_class", "set-default-storage-class"),
        "scrape-targets": ("W6", "no_default_class", "set-default-storage-class"),
    },
    "alertmanager-null-receiver": {
        "alert-channels": ("M1", "alerts_fire_unheard", "create-notification-channel"),
    },
    "app-half-deleted": {
        "grafana-deployed": ("G9", "sidecar_forbidden", "stop-cascading-deletion"),
        "app-of-apps": ("G9", "sidecar_forbidden", "stop-cascading-deletion"),
    },
}


@pytest.fixture
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningLab]:
    lab = RunningLab(request.param, tmp_path)
    yield lab
    lab.stop()


@pytest.fixture
def world(running: RunningLab, tmp_path: Path) -> collect.Readers:
    written = (tmp_path / "kubeconfig.env").read_text(encoding="utf-8").splitlines()
    given = {key: value.strip('"') for key, _, value in (line.partition("=") for line in written)}
    named = ("PORTAL_KUBE_CONTEXT", "PORTAL_PROMETHEUS_URL", "PORTAL_ALERTMANAGER_URL", "PORTAL_GRAFANA_URL")
    config = SimpleNamespace(
        PORTAL_CLUSTER="demo",
        PORTAL_KUBECONFIG=str(running.kubeconfig),
        PORTAL_GRAFANA_TOKEN_FILE=given.get("PORTAL_GRAFANA_TOKEN_FILE", ""),
        PORTAL_GITHUB_URL="",
        PORTAL_GITHUB_TOKEN_FILE="",
        PORTAL_GITHUB_HOST="",
        **{name: given.get(name, "") for name in named},
    )
    return collect.open_readers(cast(collect.Config, config))


def why(readers: collect.Readers, item: str) -> list[Finding]:
    subject = subject_of(item, ITEMS[item])
    snapshot = collect.once(readers, lambda seen: diagnosis.needs(seen, subject))
    return diagnosis.diagnose(snapshot, subject, clock.now())


def _first(readers: collect.Readers, item: str) -> tuple[str, str, str]:
    found = why(readers, item)
    return (found[0].id, found[0].cause, next(iter(found[0].remedies), "")) if found else ("", "", "")


@pytest.mark.parametrize(("running", "expected"), list(EXPECTED.items()), ids=list(EXPECTED), indirect=["running"])
def test_the_cause_is_found(world: collect.Readers, expected: dict[str, tuple[str, str, str]]) -> None:
    """A world takes a while to fall ill, and each item of it has to come to its cause."""
    for item, cause in expected.items():
        _comes(world, item, cause)


@pytest.mark.parametrize("running", ["healthy"], indirect=True)
def test_nothing_is_found_where_nothing_is_wrong(world: collect.Readers) -> None:
    for item in ITEMS:
        assert why(world, item) == [], item


_DEPLOYMENT = f"/apis/apps/v1{MONITORING}/deployments/kube-prometheus-stack-grafana"
_SERVICE = f"/api/v1{MONITORING}/services/kube-prometheus-stack-grafana"
_PROJECT = "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects/infrastructure"


_NO_KEY = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "kube-prometheus-stack-grafana", "key": "nope"}}}
_WINDOW = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["kube-prometheus-stack"]}


def _container(**fields: Any) -> Any:
    return {"spec": {"template": {"spec": {"containers": [{"name": "grafana", **fields}]}}}}


def _port(target: str) -> Any:
    return {"spec": {"ports": [{"name": "http-web", "port": 80, "targetPort": target}]}}


# what a person does with kubectl and no scenario does, in turn: path, patch, item; id, cause, first remedy
BROKEN: tuple[tuple[str, Any, str, tuple[str, str, str]], ...] = (
    (_SERVICE, _port("nope"), "dashboard-access", ("W19", "service_port_missing", "sync-selected-resources")),
    (
        _SERVICE,
        {"spec": {"selector": {"app.kubernetes.io/name": "grafanna"}}},
        "dashboard-access",
        ("W19", "service_selects_nothing", "sync-selected-resources"),
    ),
    (
        _DEPLOYMENT,
        _container(image="docker.io/grafana/grafana:99.9"),
        "grafana-deployed",
        ("G7", "image_not_found", "rollback-deployment"),
    ),
    (
        _DEPLOYMENT,
        _container(image="docker.io/grafana/grafana:10.2.2", env=[_NO_KEY]),
        "grafana-deployed",
        ("G6", "missing_configuration", "repair-grafana-in-place"),
    ),
)


@pytest.mark.parametrize("running", ["healthy"], indirect=True)
def test_what_a_person_breaks_by_hand_is_named(running: RunningLab, world: collect.Readers) -> None:
    """One stack, broken again and again while a sync window holds Argo CD back, which is told beside the cause."""
    running.patch(_PROJECT, {"spec": {"syncWindows": [_WINDOW]}})
    running.patch(_SERVICE, _port("nope"), "strategic-merge-patch")
    _comes(world, "monitoring-application", BROKEN[0][3])
    assert [found.cause for found in why(world, "monitoring-application")] == ["service_port_missing", "sync_window"]
    for path, body, item, expected in BROKEN:
        if expected[0] == "G7":
            # once the window is gone Argo CD heals what came before
            running.patch(_PROJECT, {"spec": {"syncWindows": []}})
            _comes(world, "dashboard-access", ("", "", ""))
            running.patch(_PROJECT, {"spec": {"syncWindows": [_WINDOW]}})
        running.patch(path, body, "strategic-merge-patch")
        _comes(world, item, expected)


def _comes(readers: collect.Readers, item: str, cause: tuple[str, str, str]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while (found := _first(readers, item)) != cause and time.monotonic() < deadline:
        time.sleep(0.5)
    assert found == cause, item
