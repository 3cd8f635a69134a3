"""The recorded cluster of these tests, and short ways to change it and to draft from it."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deployments.catalogue import conditions, registry
from deployments.catalogue.action import Condition, Patch, PlanDraft
from deployments.catalogue.seen import Seen
from monitoring.snapshot import Snapshot, from_case

CASES = Path(__file__).parent / "cases"
MONITORING = "platform-monitoring"
CLAIM = "prometheus-kube-prometheus-stack-prometheus-db-prometheus-kube-prometheus-stack-prometheus-0"


@cache
def _recorded(name: str) -> Any:
    return yaml.load((CASES / f"{name}.yaml").read_text(), Loader=yaml.CSafeLoader)


class Scene:
    """A recorded cluster that a test may change. Every object is also there whole, as a plan's ``Raw`` needs it."""

    def __init__(self, name: str = "healthy") -> None:
        self.case: dict[str, Any] = copy.deepcopy(_recorded(name))
        self.absent: list[str] = []

    def all(self, resource: str) -> list[Any]:
        found: list[Any] = self.case["objects"].setdefault(resource, [])
        return found

    def get(self, resource: str, name: str, namespace: str = "") -> Any:
        """The object of this name (of pods: whose name starts so), to be changed in place."""
        for item in self.all(resource):
            meta = item["metadata"]
            if meta["name"].startswith(name) and namespace in ("", meta.get("namespace")):
                return item
        raise AssertionError(f"no {resource} {name}")

    def node(self, name: str) -> Any:
        return self.get("nodes", name)

    def pod(self, name: str) -> Any:
        return self.get("pods", name)

    def add(self, resource: str, item: dict[str, Any]) -> Any:
        self.all(resource).append(item)
        return item

    def unread(self, resource: str, sentence: str = "The API server does not answer.") -> None:
        del self.case["objects"][resource]
        self.case.setdefault("errors", {})[resource] = sentence

    def snapshot(self) -> Snapshot:
        raws = {
            f"{resource} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}": item
            for resource, items in self.case["objects"].items()
            for item in items
        }
        raws |= dict.fromkeys(self.absent)
        return from_case({**self.case, "raws": raws | self.case.get("raws", {})})

    # -- asking

    def draft(self, slug: str, **params: Any) -> PlanDraft:
        action, parsed = registry.get(slug), registry.parse(slug, params)
        snapshot = self.snapshot()
        tuple(action.needs(snapshot, parsed))
        drafted = action.plan(snapshot, parsed)
        again = action.plan(self.snapshot(), registry.parse(slug, drafted.params))
        assert again == drafted, "the filled parameters of a draft must give the same draft"
        return drafted

    def look(self, name: str, memory: dict[str, Any] | None = None, /, **args: Any) -> Seen:
        return conditions.look(Condition(name, args), self.snapshot(), memory or {})


def unmet(drafted: PlanDraft) -> list[str]:
    """The preconditions that are not met, with their evidence."""
    return [f"{p.sentence}: {p.evidence}" for p in drafted.preconditions if not p.met]


def body(drafted: PlanDraft, step: int = 0) -> dict[str, Any]:
    """The body a step writes."""
    effect = drafted.steps[step].effect
    assert isinstance(effect, Patch)
    return effect.body
