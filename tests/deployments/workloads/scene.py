"""The recorded cluster of these tests, and short ways to change, plan and look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from deployments.catalogue import conditions, registry
from deployments.catalogue.action import Condition, PlanDraft
from deployments.catalogue.seen import Seen
from monitoring.snapshot import Snapshot, from_case

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
_CASE = yaml.load((Path(__file__).parent / "cases" / "shop.yaml").read_text(), Loader=yaml.CSafeLoader)


class Scene:
    """One recorded cluster, to be changed by the test before it is read."""

    def __init__(self) -> None:
        self.case: dict[str, Any] = _unshared(_CASE)

    def get(self, resource: str, name: str) -> dict[str, Any]:
        """An object as it will be listed."""
        found: dict[str, Any] = next(o for o in self.case["objects"][resource] if o["metadata"]["name"] == name)
        return found

    def raw(self, resource: str, name: str) -> dict[str, Any]:
        """An object as it will be read whole."""
        found: dict[str, Any] = self.case["raws"][f"{resource} shop/{name}"]
        return found

    def drop(self, resource: str, name: str) -> None:
        self.case["objects"][resource] = [o for o in self.case["objects"][resource] if o["metadata"]["name"] != name]

    def add(self, resource: str, item: dict[str, Any]) -> None:
        self.case["objects"][resource].append(item)

    def tracked(self, resource: str, name: str, app: str) -> None:
        """Let an Application render this object."""
        for item in (self.get(resource, name), self.case["raws"].get(f"{resource} shop/{name}")):
            if item is not None:
                notes = item["metadata"].setdefault("annotations", {})
                notes["argocd.argoproj.io/tracking-id"] = (
                    f"{app}:{item.get('apiVersion', 'v1').rpartition('/')[0]}/{item['kind']}:shop/{name}"
                )

    def later(self, seconds: float) -> Scene:
        self.case["taken_at"] += timedelta(seconds=seconds)
        return self

    @property
    def snapshot(self) -> Snapshot:
        return from_case(self.case)

    def plan(self, slug: str, **params: Any) -> PlanDraft:
        return registry.get(slug).plan(self.snapshot, registry.parse(slug, {"namespace": "shop", **params}))

    def look(self, condition: str, memory: dict[str, Any] | None = None, /, **args: Any) -> Seen:
        return conditions.look(Condition(condition, {"namespace": "shop", **args}), self.snapshot, memory or {})


def unmet(draft: PlanDraft) -> list[str]:
    """What forbids the plan."""
    return [f"{p.sentence}: {p.evidence}" for p in draft.preconditions if not p.met]


def _unshared(value: Any) -> Any:
    """A copy in which nothing is there twice: YAML anchors share objects, and tests change one of them."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value
