"""Reads the cluster once and says what every item reads, without any stored evidence. Writes nothing.

For commands and for the importer. What could not be read becomes *unknown* with its sentence; nothing is raised for a
source that does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from common import clock
from monitoring import collect
from monitoring.checks import registry
from monitoring.models import Check
from monitoring.selectors import Reading
from monitoring.snapshot import Need, Snapshot
from monitoring.verdict import Verdict
from portal.checklists.models import Project
from portal.checklists.selectors.load import State, load

CheckSpec = tuple[str, Mapping[str, Any]]
Needs = Callable[[Snapshot], Iterable[Need]]


def checks_of(project: Project) -> list[Check]:
    """The live checks that prove this project's items."""
    bound = Check.objects.filter(cluster=project.cluster, retired=False, item_checks__item__project=project)
    return list(bound.distinct())


def needs_of(specs: Iterable[CheckSpec]) -> Needs:
    """What these checks want to be read, as ``collect.once`` asks for it."""
    listed = [(slug, registry.params_of(slug, params)) for slug, params in specs]

    def needs(snapshot: Snapshot) -> list[Need]:
        return [need for slug, params in listed for need in registry.needs(slug, params, snapshot)]

    return needs


def read_project(readers: collect.Readers, project: Project) -> State:
    """Collect once, evaluate every check of the project, derive its items."""
    checks = checks_of(project)
    snapshot = collect.once(readers, needs_of((check.type, check.params) for check in checks))
    at = clock.now()
    return load(project, at, live={check.pk: reading_of(check, snapshot, at) for check in checks})


def reading_of(check: Check, snapshot: Snapshot, at: datetime) -> Reading:
    """One check judged by this Snapshot."""
    verdict = registry.run(check.type, check.params, snapshot, at)
    return _reading(check, verdict, snapshot.taken_at, at)


def _reading(check: Check, verdict: Verdict, taken_at: datetime, at: datetime) -> Reading:
    return Reading(
        check_id=check.pk,
        type=check.type,
        params=check.params,
        word=verdict.word.value,
        sentence=verdict.sentence,
        last_word=verdict.word.value,
        last_sentence=verdict.sentence,
        expected=verdict.expected,
        observed=verdict.observed,
        cause=verdict.cause,
        facts=verdict.facts,
        command=registry.command(check.type, check.params),
        source=registry.source_of(check.type, check.params),
        watched=registry.watched(check.type, check.params),
        observed_at=taken_at,
        evaluated_at=at,
        age_seconds=max(0.0, (at - taken_at).total_seconds()),
        limit_seconds=check.limit_seconds,
    )


def why_unreadable(snapshot: Snapshot) -> str:
    """One sentence when not a single list could be read, else nothing."""
    errors = [listing.error for listing in snapshot.listings.values()]
    return errors[0] if errors and all(errors) else ""
