"""What Debian's Prometheus and Alertmanager read: configuration, targets and rules, written as files.

Targets stand in the configuration itself: file discovery would take one inotify instance for each pool, of which a
user has 128, and several labs on one machine would use them up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.services.cluster import Obj
from lab.services.database import Database
from lab.services.targets import Target

PROMETHEUS, ALERTMANAGER = "prometheus.yml", "alertmanager.yml"
_RULES = "rules"
TARGET_PATH = "/target/{key}/metrics"


@dataclass(frozen=True)
class World:
    """What the pair is told of the lab."""

    owner: Obj
    database: Database
    alertmanager_config: str
    #: by file name, as the operator calls them
    rules: dict[str, Any]
    expose: Callable[[Target], str]

    @property
    def targets(self) -> dict[str, Target]:
        return {key_of(target): target for target in self.database.targets}


def key_of(target: Target) -> str:
    """A name for a target that holds as long as its labels do."""
    identity = json.dumps([target.pool, target.url, target.labels], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """How often Prometheus looks, and at which addresses of the lab."""

    scrape_seconds: int
    exporter: str
    alertmanager: str


class Files:
    """The files of one folder, written only where they change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written: dict[str, str] = {}

    def write(self, world: World, plan: Plan) -> bool:
        """True when something changed and the programs must reload."""
        config = self._config(world, plan)
        rules = {f"{_RULES}/{name}": json.dumps(content, sort_keys=True) for name, content in world.rules.items()}
        changed = [
            *(self._put(name, content) for name, content in rules.items()),
            self._drop({name for name in self._written if name.startswith(f"{_RULES}/")} - rules.keys()),
            self._put(PROMETHEUS, yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False)),
            self._put(ALERTMANAGER, world.alertmanager_config),
        ]
        return any(changed)

    def _drop(self, names: set[str]) -> bool:
        for name in names:
            del self._written[name]
            (self.folder / name).unlink()
        return bool(names)

    def _put(self, name: str, content: str) -> bool:
        if self._written.get(name) == content:
            return False
        self._written[name] = content
        path = self.folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(content, encoding="utf-8")
        fresh.chmod(0o600)
        fresh.replace(path)
        return True

    def _config(self, world: World, plan: Plan) -> Obj:
        spec, metadata = world.owner["spec"], world.owner["metadata"]
        pools: dict[str, list[Target]] = {}
        for target in world.database.targets:
            pools.setdefault(target.pool, []).append(target)
        every = f"{plan.scrape_seconds}s"
        return {
            "global": {
                "scrape_interval": str(spec.get("scrapeInterval") or "30s"),
                "evaluation_interval": str(spec.get("evaluationInterval") or "30s"),
                "external_labels": {"prometheus": f"{metadata['namespace']}/{metadata['name']}"},
            },
            "rule_files": [str(self.folder / _RULES / "*.yaml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [plan.alertmanager]}]}]},
            "scrape_configs": [
                {
                    "job_name": pool,
                    "scrape_interval": every,
                    "scrape_timeout": every,
                    "honor_labels": targets[0].honor_labels,
                    "static_configs": [_listed(target, plan.exporter) for target in targets],
                }
                for pool, targets in sorted(pools.items())
            ],
        }


def _listed(target: Target, exporter: str) -> Obj:
    path = TARGET_PATH.format(key=key_of(target))
    return {"targets": [exporter], "labels": {**target.labels, "__metrics_path__": path}}
