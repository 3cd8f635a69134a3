"""The embedded engine beside Debian's Prometheus: the same world, the same expressions, the same answers."""

from __future__ import annotations

import asyncio
import json
import math
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from lab.scenarios.world import build
from lab.services import Services
from lab.services.debian import PROGRAMS, resolve
from lab.services.promql import Vector
from tests.lab.services.conftest import MONITORING, Store

present = all(shutil.which(name) for name in PROGRAMS)
# what a program says of itself differs between the two, and so do counts of samples while one of them is young
_OWN = re.compile(r"\b(prometheus_|alertmanager_|process_|go_|ALERTS|reloader_|_over_time\(.*\[(1h|30d|1d))")
_SHIPPED = [
    "up",
    "count(up == 1)",
    "up == 0",
    'sum by (job) (up{namespace="platform-monitoring"})',
    "argocd_app_info",
    'argocd_app_info{sync_status="OutOfSync"} == 1',
    'max_over_time(argocd_app_info{health_status=~"Degraded|Missing"}[1m])',
    "kube_persistentvolumeclaim_info * on(namespace, persistentvolumeclaim) "
    "group_left() kube_persistentvolumeclaim_resource_requests_storage_bytes",
    "sum by (instance) (rate(node_cpu_seconds_total{mode!='idle'}[2m]))",
    "100 - (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes * 100)",
    "sum(kube_pod_status_phase) by (phase)",
    "count by (namespace) (kube_pod_info)",
    "absent(up{job='nothing'})",
    "vector(1) and on() (count(up) > 50)",
    "kube_pod_container_status_restarts_total > 0",
    "topk(3, kube_node_status_capacity{resource='cpu'})",
    "kube_deployment_status_replicas_available / kube_deployment_spec_replicas",
    "sort_desc(count by (node) (kube_pod_info))",
    "label_replace(kube_node_info, 'host', '$1', 'node', '(worker.*)')",
    "kubelet_volume_stats_used_bytes / kubelet_volume_stats_capacity_bytes > bool 0.5",
    "up unless on(job) kube_pod_info",
    "increase(kube_pod_container_status_restarts_total[2m])",
    "2 ^ 10 - time() * 0",
]


@asynccontextmanager
async def both(scenario: str) -> AsyncIterator[Services]:
    """Services with a warm Debian pair; the embedded engine is beside it."""
    world = Store(build(scenario, datetime.now(UTC)).objects)
    services = Services(world, clock=lambda: datetime.now(UTC), engine="debian")
    try:
        async with asyncio.timeout(150):
            while (await ask(services, "status/buildinfo"))["engine"] != "debian":
                await asyncio.sleep(0.2)
        yield services
    finally:
        await services.stop()


async def ask(services: Services, path: str) -> Any:
    path, _, query = path.partition("?")
    status, _headers, body = await services.handle(
        MONITORING, "kube-prometheus-stack-prometheus", "http-web", "GET", f"/api/v1/{path}", query, {}, b""
    )
    assert status == 200, body
    return json.loads(body)["data"]


def comparable(vector: Vector) -> dict[tuple[tuple[str, str], ...], float]:
    return {tuple(sorted(labels.items())): value for labels, value in vector}


def differences(expression: str, mine: Any, real: Any) -> list[str]:
    found = [f"{expression}: only embedded {key}" for key in mine.keys() - real.keys()]
    found += [f"{expression}: only Debian's {key}" for key in real.keys() - mine.keys()]
    # a rate over a window in which one of them began to scrape is extrapolated from fewer samples
    tolerance = 0.15 if "rate(" in expression or "increase(" in expression else 0.02
    for key in mine.keys() & real.keys():
        if not math.isclose(mine[key], real[key], rel_tol=tolerance, abs_tol=1e-6):
            found.append(f"{expression}: {key} embedded {mine[key]} Debian's {real[key]}")
    return found


async def compared(services: Services) -> tuple[int, list[str]]:
    """How many expressions were asked, and where the answers differ."""
    (owner,) = services.cluster.list("prometheuses.monitoring.coreos.com")
    database = services.database(owner)
    rules = [rule.query for group in database.groups for rule in group.rules]
    expressions = [text for text in (*_SHIPPED, *rules) if not _OWN.search(text)]
    found: list[str] = []
    for expression in expressions:
        moment = datetime.now(UTC).timestamp() - 1
        data = await ask(services, f"query?query={quote(expression)}&time={moment}")
        value = database.query(expression, moment)
        if data["resultType"] == "scalar":
            real: Vector = [({}, float(data["result"][1]))]
        else:
            real = [(each["metric"], float(each["value"][1])) for each in data["result"]]
        mine: Vector = value if isinstance(value, list) else [({}, float(value))]
        found += differences(expression, comparable(mine), comparable(real))
    return len(expressions), found


@dataclass(frozen=True)
class Seen:
    """What one pair said, right after it was believed."""

    targets: list[Any]
    alerts: list[Any]
    runtime: Any
    asked: int
    differing: list[str]


@pytest.fixture(scope="module")
def seen() -> Seen:
    if not present:
        pytest.skip("Debian's prometheus and prometheus-alertmanager are not on this machine")

    async def run() -> Seen:
        async with both("grafana-broken") as services:
            targets = (await ask(services, "targets"))["activeTargets"]
            alerts = (await ask(services, "alerts"))["alerts"]
            runtime = await ask(services, "status/runtimeinfo")
            return Seen(targets, alerts, runtime, *await compared(services))

    return asyncio.run(run())


@pytest.mark.slow
def test_both_engines_answer_the_shipped_expressions_alike(seen: Seen) -> None:
    assert seen.asked > 50
    assert seen.differing == []


@pytest.mark.slow
def test_debians_programs_find_the_targets_and_go_on_firing(seen: Seen) -> None:
    assert [target["health"] for target in seen.targets] == ["up"] * 72
    firing = {alert["labels"]["alertname"] for alert in seen.alerts if alert["state"] == "firing"}
    assert {"ArgoAppOutOfSync", "Watchdog"} <= firing
    assert seen.runtime["storageRetention"] == "15d"


def test_an_unknown_engine_or_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="auto, debian, embedded"):
        resolve("thanos")
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert resolve("auto") == "embedded"
    with pytest.raises(ValueError, match="on PATH"):
        resolve("debian")
