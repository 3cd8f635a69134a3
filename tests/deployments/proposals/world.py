"""The team's Applications beside a GitHub, as a snapshot: what the plans of proposals are functions of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deployments.catalogue import registry
from deployments.catalogue.action import PlanDraft
from lab.git import Repository
from lab.git.repository import shipped_files
from lab.services.github import NAME, GitHub
from lab.services.http import Request, answer
from monitoring.collect import PLAN_ROUNDS
from monitoring.snapshot import Fetch, GitHubConnection, Need, Objects, Reply, Snapshot, from_case
from tests.deployments.argo.world import APPS, STACK, child, root

NOW = datetime(2025, 11, 23, 14, 0, tzinfo=UTC)
FILE = "bootstrap/apps/monitoring.yaml"


@dataclass
class Scene:
    """Applications and one GitHub. ``errors``: what does not answer, by a part of its path, and in which words."""

    apps: list[dict[str, Any]] = field(default_factory=lambda: [child(), root()])
    files: dict[str, str] = field(default_factory=shipped_files)
    host: str | None = "github.com"
    installation: bool = False
    token: str = "writes"
    errors: dict[str, str] = field(default_factory=dict)
    #: other bodies than GitHub's, by path
    told: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.github = GitHub(Repository(self.files), "writes", "reads")

    def ask(self, method: str, path: str, body: bytes = b"", *, token: str = "") -> Any:
        """One request to GitHub, as somebody else makes it."""
        where, _, query = path.partition("?")
        headers = {"authorization": f"Bearer {token or self.token}"}
        return self.github.handle(Request(method, where, query, headers, body))

    def snapshot(self, needs: Callable[[Snapshot], Iterable[Need]]) -> Snapshot:
        """Read what is needed, in rounds, as the engine does."""
        case = {"taken_at": NOW, "objects": {APPS: self.apps}}
        replies: dict[Need, Reply] = {}
        snapshot = Snapshot("demo", NOW)
        for _ in range(PLAN_ROUNDS):
            wanted = list(needs(snapshot))
            replies |= {need: self._reply(need) for need in wanted if need not in replies}
            listings = from_case(case).listings if any(isinstance(need, Objects) for need in wanted) else {}
            snapshot = Snapshot("demo", NOW, listings, dict(replies))
        return snapshot

    def _reply(self, need: Need) -> Reply:
        if isinstance(need, GitHubConnection):
            if self.host is None:
                return Reply(status=0, error="No GitHub connection: set PORTAL_GITHUB_TOKEN_FILE (docs/github.md).")
            return Reply({"host": self.host, "installation": self.installation, "web": f"https://{self.host}"})
        if not isinstance(need, Fetch):
            return Reply(status=0, error="nobody reads it here")
        self.asked.append(need.path)
        said = next((error for part, error in self.errors.items() if part in need.path), "")
        if said:
            return Reply(status=0, error=said)
        answered = self.ask("GET", need.path)
        if answered.status not in (200, 404):
            return Reply(status=0, error=f"HTTP {answered.status}")
        return Reply(json.loads(self.told.get(need.path, answered.body)), answered.status)


def planned(scene: Scene, slug: str = "propose-in-git", **params: Any) -> PlanDraft:
    """The draft of an action. :raises CannotPlan, Missing:"""
    action = registry.get(slug)
    given = {"application": STACK, "values": "grafana.persistence.size=10Gi"} | params
    parsed = registry.parse(slug, {key: value for key, value in given.items() if value is not None})
    return action.plan(scene.snapshot(lambda seen: action.needs(seen, parsed)), parsed)


def unmet(draft: PlanDraft) -> list[str]:
    """The preconditions that do not hold."""
    return [f"{each.sentence}: {each.evidence}" for each in draft.preconditions if not each.met]


__all__ = ["FILE", "NAME", "STACK", "Scene", "answer", "child", "planned", "root", "unmet"]
