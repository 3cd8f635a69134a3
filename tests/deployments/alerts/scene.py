"""The recorded monitoring stack of these tests, and what Alertmanager and Prometheus answer; ways to change both."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from monitoring.snapshot import Snapshot
from tests.deployments.nodes import scene as nodes

Counts = tuple[int, int, int, int]
CASES = Path(__file__).parent / "cases"
MONITORING = "platform-monitoring"
MANAGER, PROMETHEUS = "kube-prometheus-stack-alertmanager", "kube-prometheus-stack-prometheus"
MANAGERS, PROMETHEUSES = "alertmanagers.monitoring.coreos.com", "prometheuses.monitoring.coreos.com"
CONFIGS = "alertmanagerconfigs.monitoring.coreos.com"
MONITORS = "servicemonitors.monitoring.coreos.com"
POD_MONITORS = "podmonitors.monitoring.coreos.com"
RULES = "prometheusrules.monitoring.coreos.com"
OPS = f"{MONITORING}/portal-webhook/ops"
STATUS = "alertmanager /api/v2/status"
SHOWN = "active=true&silenced=true&inhibited=true&unprocessed=true"


_MAY_BE_ABSENT = {
    (CONFIGS, space, f"portal-{kind}") for space in (MONITORING, "dev") for kind in ("webhook", "slack", "email")
}


@cache
def _recorded(name: str) -> Any:
    return yaml.load((CASES / f"{name}.yaml").read_text(), Loader=yaml.CSafeLoader)


def null_config() -> dict[str, Any]:
    """What the chart ships: nobody is told."""
    return {
        "route": {"receiver": "null", "routes": [{"receiver": "null", "matchers": ['alertname="Watchdog"']}]},
        "receivers": [{"name": "null"}],
    }


def with_channel(*more: str, kinds: tuple[str, ...] = ("webhook",), receiver: str = OPS) -> dict[str, Any]:
    """The same with a channel of the portal; ``more`` are matchers of its route."""
    config = null_config()
    test = {"receiver": receiver, "matchers": ['portal_test="true"'], "group_by": ["run"], "group_wait": "1s"}
    route = {
        "receiver": receiver,
        "matchers": ['severity=~"critical|warning"', *more],
        "continue": True,
        "routes": [test],
    }
    config["route"]["routes"].insert(0, route)
    config["receivers"].append({"name": receiver, **{f"{kind}_configs": [{"x": "<secret>"}] for kind in kinds}})
    return config


class Scene(nodes.Scene):
    """See the module; ``alerts`` and ``silences`` are what Alertmanager shows."""

    def __init__(self, name: str = "healthy") -> None:
        self.case: dict[str, Any] = copy.deepcopy(_recorded(name))
        self.absent: list[str] = []
        self.fetches: dict[str, Any] = {}
        self.queries: dict[str, Any] = {}
        self.config = null_config()
        self.alerts: list[dict[str, Any]] = []
        self.silences: list[dict[str, Any]] = []
        self.targets: list[dict[str, Any]] = []
        self.groups: list[dict[str, Any]] = []

    def manager(self, **spec: Any) -> Any:
        """The Alertmanager object; None takes a field out."""
        return self._spec(MANAGERS, MANAGER, spec)

    def prometheus(self, **spec: Any) -> Any:
        return self._spec(PROMETHEUSES, PROMETHEUS, spec)

    def _spec(self, resource: str, name: str, spec: dict[str, Any]) -> Any:
        found = self.get(resource, name)
        for key, value in spec.items():
            if value is None:
                found["spec"].pop(key, None)
            else:
                found["spec"][key] = value
        return found

    def alert(self, name: str, *, silenced: tuple[str, ...] = (), **labels: str) -> dict[str, Any]:
        made = {
            "labels": {"alertname": name, **labels},
            "receivers": [{"name": "null"}],
            "status": {
                "state": "suppressed" if silenced else "active",
                "silencedBy": list(silenced),
                "inhibitedBy": [],
            },
            "startsAt": "2025-11-23T13:57:00.000Z",
            "updatedAt": "2025-11-23T13:57:30.500Z",
        }
        self.alerts.append(made)
        return made

    def silence(self, identity: str, *matchers: tuple[str, str, bool, bool], **more: Any) -> dict[str, Any]:
        made = {
            "id": identity,
            "status": {"state": "active"},
            "matchers": [{"name": n, "value": v, "isRegex": r, "isEqual": e} for n, v, r, e in matchers],
            "comment": "while repairing",
            "createdBy": "olivia",
            "endsAt": "2025-11-23T15:00:00.000Z",
            **more,
        }
        self.silences.append(made)
        return made

    def count(self, counters: Mapping[str, Counts], namespace: str = MONITORING, at: float | None = None) -> None:
        """Counters by integration: notifications, given up, requests, failed requests."""
        from deployments.catalogue.alerts.delivery import counters as query

        names = ("notifications_total", "notifications_failed_total", "notification_requests_total",
                 "notification_requests_failed_total")  # fmt: skip
        self.queries[query(namespace, at).expr] = [
            {"metric": {"__name__": f"alertmanager_{name}", "integration": kind}, "value": [1.0, str(value)]}
            for kind, values in counters.items()
            for name, value in zip(names, values, strict=True)
        ]

    def snapshot(self) -> Snapshot:
        ready = {
            STATUS: {"body": {"config": {"original": yaml.safe_dump(self.config)}}},
            f"alertmanager /api/v2/alerts?{SHOWN}": {"body": self.alerts},
            "alertmanager /api/v2/silences": {"body": self.silences},
            "prometheus /api/v1/targets?state=active": {"body": {"data": {"activeTargets": self.targets}}},
            "prometheus /api/v1/rules": {"body": {"data": {"groups": self.groups}}},
        }
        self.case["fetches"] = {**ready, **self.fetches}
        self.case["queries"] = self.queries
        # what an action asks for and what is not there was still read
        there = {
            (resource, item["metadata"].get("namespace", ""), item["metadata"]["name"])
            for resource, items in self.case["objects"].items()
            for item in items
        }
        self.absent = [f"{resource} {namespace}/{name}" for resource, namespace, name in _MAY_BE_ABSENT - there]
        return super().snapshot()
