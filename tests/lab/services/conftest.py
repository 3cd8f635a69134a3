"""The services over the world of a scenario, held in memory: no API server, no controllers."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from lab.controllers import meta
from lab.plain import copied
from lab.scenarios.builder import key_for
from lab.scenarios.world import build
from lab.services import Services
from lab.services.couriers import Outcome
from lab.services.notifying import Delivery

NOW = datetime(2025, 11, 23, 13, 52, tzinfo=UTC)
MONITORING = "platform-monitoring"


class Store:
    """A View whose objects a test changes."""

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        self._objects: dict[str, dict[tuple[str, str], Any]] = defaultdict(dict)
        self.generation = 0
        for obj in objects:
            self._objects[key_for(obj)][meta.key_of(obj)] = copied(obj)

    def list(self, resource: str, namespace: str | None = None, selector: Any = None) -> list[dict[str, Any]]:
        return [
            obj
            for obj in self._objects[resource].values()
            if (namespace is None or obj["metadata"].get("namespace", "") == namespace)
            and (selector is None or meta.matches(obj["metadata"].get("labels"), selector))
        ]

    def get(self, resource: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        return self._objects[resource].get((namespace or "", name))

    def need(self, resource: str, namespace: str | None, name: str) -> dict[str, Any]:
        found = self.get(resource, namespace, name)
        assert found is not None, f"{resource} {namespace}/{name}"
        return found

    def change(self, resource: str, namespace: str | None, name: str, edit: Callable[[Any], None]) -> None:
        found = copied(self.need(resource, namespace, name))
        edit(found)
        self._objects[resource][namespace or "", name] = found
        self.generation += 1

    def put(self, obj: dict[str, Any]) -> None:
        self._objects[key_for(obj)][meta.key_of(obj)] = obj
        self.generation += 1

    def remove(self, resource: str, namespace: str | None, name: str) -> None:
        del self._objects[resource][namespace or "", name]
        self.generation += 1


@cache
def world(scenario: str) -> list[dict[str, Any]]:
    """The scenario's objects, built once; every Store copies them."""
    return build(scenario, NOW).objects


class Desk:
    """Asks the services as the API server's proxy does; the clock is the test's."""

    def __init__(self, scenario: str, engine: str = "embedded") -> None:
        self.now = NOW
        self.store = Store(world(scenario))
        self.services = Services(self.store, clock=lambda: self.now, engine=engine, courier=self._carry)
        #: what Alertmanager had delivered, and how the next ones go
        self.delivered: list[Delivery] = []
        self.outcome = Outcome(delivered=True)

    async def _carry(self, delivery: Delivery, _options: Any) -> Outcome:
        self.delivered.append(delivery)
        return self.outcome

    def send(self) -> int:
        """Let Alertmanager deliver what is due; how many tries that were."""

        async def now() -> int:
            tasks = self.services.send_due()
            await asyncio.gather(*tasks)
            return len(tasks)

        return asyncio.run(now())

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def ask(self, service: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and decoded body of a request to kube-prometheus-stack-<service>."""
        path, _, query = path.partition("?")
        content = json.dumps(body).encode() if body is not None else b""
        name = f"kube-prometheus-stack-{service}"
        status, _headers, answer = asyncio.run(
            self.services.handle(MONITORING, name, "http-web", method, path, query, headers, content)
        )
        try:
            return status, json.loads(answer)
        except ValueError:
            return status, answer.decode()

    def prometheus(self, path: str) -> Any:
        status, body = self.ask("prometheus", "GET", f"/api/v1/{path}")
        assert status == 200, body
        return body["data"]

    def query(self, text: str) -> list[tuple[dict[str, str], float]]:
        from urllib.parse import quote

        result = self.prometheus(f"query?query={quote(text)}")["result"]
        return [(each["metric"], float(each["value"][1])) for each in result]

    def value(self, text: str) -> float:
        found = self.query(text)
        assert len(found) == 1, f"{text}: {found}"
        return found[0][1]


@pytest.fixture
def healthy() -> Desk:
    return Desk("healthy")


@pytest.fixture
def broken() -> Desk:
    return Desk("grafana-broken")
