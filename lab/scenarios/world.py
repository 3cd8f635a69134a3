"""Builds a scenario by name: objects, repository files and the logs that containers printed before the lab began."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from lab.controllers.client import Object
from lab.git import Repository
from lab.git.repository import shipped_files
from lab.git.templates import plain
from lab.scenarios import access, argocd, cluster, monitoring
from lab.scenarios.builder import Builder
from lab.scenarios.containers import Logs
from lab.scenarios.settle import Rollout, Settler

NAMES = (
    "grafana-broken",
    "healthy",
    "grafana-two-default-datasources",
    "grafana-slow-start",
    "grafana-health-never-ok",
    "grafana-sqlite-on-nfs",
    "argo-hook-stuck",
    "argo-hook-image",
    "pvc-pending-no-default-class",
    "alertmanager-null-receiver",
    "app-half-deleted",
    "empty",
)
MONITORING_FILE = "bootstrap/apps/monitoring.yaml"
ROLLOUT_MINUTES = 24.0


@dataclass(frozen=True)
class Scenario:
    """How a world differs from the healthy one.

    `values` rewrites the text of the monitoring Application's file; `deployed` rewrites what that gives where the
    cluster still has something else than Git says; `before` gives what Grafana's Deployment ran before a rollout that
    has not come to its end. `change` and `begin` alter objects before they settle, `finish` afterwards. `failed` names
    Applications whose last sync failed as (minutes ago, message, "Kind/name" of the object that failed).
    """

    values: Callable[[str], str] = field(default=lambda text: text)
    deployed: Callable[[str], str] = field(default=lambda text: text)
    before: Callable[[str], str] | None = None
    change: Callable[[Builder], None] = field(default=lambda _world: None)
    begin: Callable[[Builder, Repository], None] = field(default=lambda _world, _repository: None)
    finish: Callable[[Builder, Repository], None] = field(default=lambda _world, _repository: None)
    failed: dict[str, tuple[float, str, str]] = field(default_factory=dict)
    events: bool = False
    nothing: bool = False


@dataclass(frozen=True)
class Built:
    """A scenario ready to be loaded. `intents` has for each uid what a person would have written."""

    objects: list[Object]
    intents: dict[str, Object]
    files: dict[str, str]
    logs: Logs


def _source(text: str) -> Object:
    """The source of the monitoring Application as its file's text says."""
    found: Object = plain(text)["spec"]["source"]
    return found


def build(name: str, now: datetime, seed: int = 1) -> Built:
    """The world of one scenario at `now`. Raises KeyError for an unknown name."""
    if name not in NAMES:
        raise KeyError(name)
    module = importlib.import_module(f"lab.scenarios.{name.replace('-', '_')}")
    scenario: Scenario = module.SCENARIO
    files = shipped_files()
    if scenario.nothing:
        return Built([], {}, files, {})
    files[MONITORING_FILE] = scenario.values(files[MONITORING_FILE])
    repository = Repository(files)
    world = Builder(now)
    cluster.load(world)
    argocd.load(world)
    argocd.load_applications(world, repository)
    access.load(world)
    git = files[MONITORING_FILE]
    deployed = _source(scenario.deployed(git))
    monitoring.load(world, repository, deployed)
    scenario.change(world)
    scenario.begin(world, repository)
    rollouts = []
    if scenario.before:
        earlier = monitoring.grafana_of(world, repository, _source(scenario.before(git)))
        rollouts = [Rollout(earlier, ROLLOUT_MINUTES)]
    settler = Settler(world, random.Random(seed), rollouts)
    settler.run()
    monitoring.settle_applications(world, repository, scenario.failed, deployed)
    scenario.finish(world, repository)
    found = world.objects()
    if scenario.events:
        found += monitoring.events(world)
    return Built(found, world.intents, files, settler.logs)
