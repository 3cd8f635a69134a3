"""A report as it would be imported into a project: what it says, what is already there, what the cluster says to it.

Reads the database, writes nothing. With a Snapshot the claims are judged by it; without one (the web process opens no
cluster connection) by the stored evidence of the same checks, as far as there is any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from monitoring.checks import registry
from monitoring.models import Check
from monitoring.selectors import STALE, readings
from monitoring.snapshot import Snapshot
from monitoring.verdict import Verdict, Word
from portal.checklists.importing import claims as claim_reader
from portal.checklists.importing.document import Document, Unit, parse
from portal.checklists.importing.matching import KnownItem, KnownPhase, match_items, match_phases
from portal.checklists.importing.shapes import Attempt, FoundClaim, FoundItem, FoundPhase, Preview
from portal.checklists.importing.text import key_of
from portal.checklists.importing.understand import Understood, rest, understand
from portal.checklists.models import ItemCheck, Project


def preview(markdown: str, project: Project, snapshot: Snapshot | None, now: datetime) -> Preview:
    """What would be imported. :raises ReportError: the text is too large to be a report."""
    document = parse(markdown)
    found = understand(document)
    claims = _claims(document, found, project)
    judge = _by_snapshot(snapshot, now) if snapshot is not None else _by_evidence(project.cluster, now)
    judged = claim_reader.judge_all(claims, judge)
    phases, default = _phases(found, project)
    items = match_items(found.items, _known_items(project), phases, default, document.lines)
    digest = hashlib.sha256(markdown.encode()).hexdigest()
    return Preview(
        project=project.key,
        project_title=project.title,
        title=found.title or "Untitled report",
        dated_on=found.dated_on,
        digest=digest,
        markdown="\n".join(document.lines),
        made_at=now,
        already_imported=project.reports.filter(digest=digest).exists(),
        phases=tuple(phases),
        items=tuple(items),
        claims=tuple(_with_items(judged, items, document.units)),
        decisions=tuple(found.decisions),
        options=tuple(found.options),
        lessons=tuple(found.lessons),
        resources=tuple(found.resources),
        attempts=tuple(_attempts(found, items, document.units)),
        not_understood=rest(document, found),
    )


def checks_in(markdown: str, project: Project) -> list[tuple[str, dict[str, Any]]]:
    """The checks that the report's claims ask for: collect what they need, then make the preview with the Snapshot."""
    document = parse(markdown)
    found = _claims(document, understand(document), project)
    unique = {(claim.slug, claim.params_hash): (claim.slug, claim.params) for claim in found}
    return list(unique.values())[: claim_reader.MAX_CHECKS]


def _claims(document: Document, found: Understood, project: Project) -> list[FoundClaim]:
    checks = ItemCheck.objects.filter(item__project=project, item__retired=False)
    bound = list(checks.values_list("check_ref__type", "check_ref__params"))
    namespaces = [
        str(each["namespace"]) for slug, each in bound if "namespace" in each and slug != "argocd_application"
    ]
    applications = [str(each.get("name", "")) for slug, each in bound if slug == "argocd_application"]
    return claim_reader.find(document, found, namespaces, applications)


def _by_snapshot(snapshot: Snapshot, now: datetime) -> claim_reader.Judge:
    def judge(slug: str, params: Mapping[str, Any]) -> tuple[Verdict, str]:
        return registry.run(slug, params, snapshot, now), registry.command(slug, params)

    return judge


def _by_evidence(cluster: str, now: datetime) -> claim_reader.Judge:
    live = {(c.type, c.params_hash): c.pk for c in Check.objects.filter(cluster=cluster, retired=False)}
    known = readings(live.values(), now)

    def judge(slug: str, params: Mapping[str, Any]) -> tuple[Verdict, str] | None:
        pk = live.get((slug, registry.canonical(slug, params)[1]))
        if pk is None or not known[pk].read:
            return None
        reading = known[pk]
        # what is stale is not evidence any more
        word = Word.UNKNOWN if reading.word == STALE else Word(reading.word)
        return Verdict(word, reading.sentence, cause=reading.cause), reading.command

    return judge


def _known_items(project: Project) -> list[KnownItem]:
    rows = project.items.filter(retired=False).select_related("phase")
    return [KnownItem(row.key, row.title, row.phase.key, tuple(row.aliases)) for row in rows]


def _phases(found: Understood, project: Project) -> tuple[list[FoundPhase], str]:
    """The phases, and the one for items that stand under none: the report's own, else its only one, else a new one."""
    known = [KnownPhase(phase.key, phase.number, phase.title) for phase in project.phases.all()]
    phases = match_phases(found.phases, known)
    own = next((phase for phase in phases if phase.number == found.phase_number), None) or next(iter(phases), None)
    if own is not None:
        return phases, own.key
    if len(known) == 1 or not found.items:
        return phases, known[0].key if known else ""
    title = (found.title or "Imported report")[:120]
    # the same report again finds the phase it proposed the first time by its title
    same = match_phases([FoundPhase("", -1, title, (1, 1))], known)[0]
    number = same.number if same.match == "title" else max((phase.number for phase in known), default=0) + 1
    key = same.key if same.match == "title" else key_of(title, "phase", (phase.key for phase in known))
    return [FoundPhase(key, number, title, (1, 1), same.match if same.match == "title" else "proposed")], key


def _with_items(
    claims: Iterable[FoundClaim], items: Iterable[FoundItem], units: Sequence[Unit]
) -> Iterable[FoundClaim]:
    """Each claim with the key of the item it stands under."""
    by_unit = {item.unit: item.key for item in items}
    for claim in claims:
        around = (claim.unit, *units[claim.unit].parents)
        yield replace(claim, item=next((by_unit[index] for index in around if index in by_unit), ""))


def _attempts(found: Understood, items: Iterable[FoundItem], units: Sequence[Unit]) -> Iterable[Attempt]:
    """What was tried, with the item under whose heading it stands."""
    by_unit = {item.unit: item.key for item in items}
    for attempt in found.attempts:
        around = (*units[attempt.unit].parents, *units[attempt.unit].headings)
        yield replace(attempt, item=next((by_unit[index] for index in around if index in by_unit), ""))
