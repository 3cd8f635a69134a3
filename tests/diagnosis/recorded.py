"""The recorded cases beside the tests: one YAML file each, read once.

``subject`` or ``subjects`` say what is asked about, ``expect`` what has to be found, ``objects``, ``logs``, ``fetches``
and so on what was read (see ``monitoring.snapshot.from_case``). ``held_out`` names the batch of a case that was written
before the signatures were looked at (docs/diagnosis.md gives the hit rates). A case may start from another one
(``like``) and replace parts of it: what stands there is laid over it, objects by their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from monitoring.collect import ROUNDS
from monitoring.diagnosis import needs
from monitoring.snapshot import Listing, Need, Objects, Reply, Snapshot, from_case

FOLDER = Path(__file__).parent / "cases"
FILES = sorted(FOLDER.glob("*.yaml"))
#: cases whose name starts so must find nothing
NOTHING = {"healthy", "unknown"}


@dataclass(frozen=True)
class Recorded:
    """One case and one of its subjects."""

    path: Path
    case: dict[str, Any]
    subject: dict[str, Any]

    @property
    def first(self) -> str:
        """The id that must be found first, or ``healthy`` or ``unknown``."""
        return self.path.stem.split("_")[0]

    @property
    def snapshot(self) -> Snapshot:
        return snapshot_of(self.path)

    def __str__(self) -> str:
        return f"{self.path.stem}-{self.subject.get('kind')}"


@cache
def load(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    base = case.pop("like", "")
    return _over(load(FOLDER / f"{base}.yaml"), case) if base else case


def _over(base: Mapping[str, Any], case: Mapping[str, Any]) -> dict[str, Any]:
    """The case laid over its base: its ``objects`` resource by resource and object by object, the rest whole."""
    objects = dict(base.get("objects") or {})
    for resource, items in (case.get("objects") or {}).items():
        names = {(item["metadata"].get("namespace"), item["metadata"]["name"]) for item in items}
        kept = [
            i for i in objects.get(resource, []) if (i["metadata"].get("namespace"), i["metadata"]["name"]) not in names
        ]
        objects[resource] = [*kept, *items]
    for resource, lost in (case.get("without") or {}).items():
        objects[resource] = [i for i in objects.get(resource, []) if i["metadata"]["name"] not in lost]
    rest = {key: value for key, value in base.items() if key not in {"subject", "subjects", "without"}}
    return {**rest, **case, "objects": objects}


@cache
def snapshot_of(path: Path) -> Snapshot:
    return from_case(load(path))


def subjects(case: dict[str, Any]) -> list[dict[str, Any]]:
    """A case is about one subject, or about several that have the same cause."""
    found: list[dict[str, Any]] = case.get("subjects") or [case["subject"]]
    return found


CASES = [Recorded(path, load(path), subject) for path in FILES for subject in subjects(load(path))]


def asked_for(whole: Snapshot, subject: Mapping[str, Any], rounds: int = ROUNDS) -> Snapshot:
    """The snapshot cut down to what the diagnosis asks for, in so many rounds, as ``monitoring.collect.once`` does."""
    seen = Snapshot(whole.cluster, whole.taken_at)
    listings: dict[Objects, Listing] = {}
    replies: dict[Need, Reply] = {}
    for _ in range(rounds):
        wanted = list(needs(seen, subject))
        listings |= {
            need: whole.listings[Objects(need.resource)]
            for need in wanted
            if isinstance(need, Objects) and Objects(need.resource) in whole.listings
        }
        replies |= {need: whole.replies[need] for need in wanted if need in whole.replies}
        seen = Snapshot(whole.cluster, whole.taken_at, dict(listings), dict(replies))
    return seen
