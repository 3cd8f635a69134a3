"""Writes a preview: the report, proposed phases and items, checks of their claims, decisions and lessons.

All or nothing, in one transaction with its audit row. The same report twice changes nothing; an item that is already
there is never changed: its definition is the authority on what proves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db import transaction

from common import clock
from common.models import audit
from common.publish import publish
from monitoring.checks import registry
from monitoring.models import Check
from portal.checklists.importing.claims import NOT_CHECKABLE
from portal.checklists.importing.shapes import FoundItem, Preview
from portal.checklists.models import Decision, Item, ItemCheck, Lesson, Origin, Phase, Project, Report

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def accept(preview: Preview, user: User | None) -> Report:
    """Write what the preview proposes; again changes nothing. ``user`` None: by command.

    :raises PermissionDenied: the user may not manage the project.
    """
    if user is not None and not user.has_perm("checklists.manage_project"):
        raise PermissionDenied("Your role may not import reports.")
    with transaction.atomic():
        project = Project.objects.select_for_update().get(key=preview.project)
        known = Report.objects.filter(project=project, digest=preview.digest).first()
        if known is not None:
            return known
        report = _report(project, preview, user)
        phases = _phases(project, preview)
        items = _items(project, preview, phases)
        _checks(project, preview, items)
        _decisions(project, preview, report)
        actor = user.get_username() if user is not None else "command"
        numbers = {"items": len(items), "decisions": len(preview.decisions), "lessons": len(preview.lessons)}
        audit(actor=actor, verb="report.import", object=f"report:{project.key}/{preview.digest[:12]}", **numbers)
        publish(
            *(f"phase:{phase.pk}" for phase in project.phases.all()), *(f"item:{item.pk}" for item in items.values())
        )
    return report


def _report(project: Project, preview: Preview, user: User | None) -> Report:
    tried = [{"text": each.text, "lines": list(each.lines), "item": each.item} for each in preview.attempts]
    understood = preview.to_json() | {"attempts": tried}
    return Report.objects.create(
        project=project,
        digest=preview.digest,
        title=preview.title[:200],
        dated_on=preview.dated_on,
        markdown=preview.markdown,
        understood=understood,
        imported_by=user,
        imported_at=clock.now(),
    )


def _phases(project: Project, preview: Preview) -> dict[str, Phase]:
    """The phases of the project by key, with those that are proposed *and* needed by a proposed item."""
    needed = {item.phase for item in preview.proposed}
    for found in preview.phases:
        values = {
            "number": found.number,
            "title": found.title[:120],
            "claimed_percent": found.claimed_percent,
            "claimed_on": preview.dated_on if found.claimed_percent is not None else None,
        }
        if found.match == "proposed" and found.key in needed:
            Phase.objects.get_or_create(project=project, key=found.key, defaults=values)
    return {phase.key: phase for phase in project.phases.all()}


def _items(project: Project, preview: Preview, phases: dict[str, Phase]) -> dict[str, Item]:
    """The proposed items that were written now, by key."""
    position = project.items.count()
    written: dict[str, Item] = {}
    for found in preview.proposed:
        if found.key in written or found.phase not in phases:
            continue
        values = _values(found, phases[found.phase], preview, position + len(written))
        item, created = Item.objects.get_or_create(project=project, key=found.key, defaults=values)
        if created:
            written[found.key] = item
    return written


def _values(found: FoundItem, phase: Phase, preview: Preview, position: int) -> dict[str, object]:
    return {
        "phase": phase,
        "title": found.title[:200],
        "description": found.detail,
        "position": position,
        "provenance": {"report": preview.title, "digest": preview.digest, "lines": list(found.lines)},
        "origin": Origin.REPORT,
    }


def _checks(project: Project, preview: Preview, items: dict[str, Item]) -> None:
    """Claims under a new item become its checks, where the cluster could be asked. Complaints are not checks."""
    for claim in preview.claims:
        item = items.get(claim.item)
        if item is None or claim.contrary or claim.verdict == NOT_CHECKABLE:
            continue
        known = registry.get(claim.slug)
        check, _ = Check.objects.update_or_create(
            cluster=project.cluster,
            type=claim.slug,
            params_hash=claim.params_hash,
            defaults={"retired": False},
            create_defaults={"params": claim.params, "limit_seconds": known.limit_seconds},
        )
        values = {"title": claim.text[:120], "position": item.item_checks.count(), "origin": Origin.REPORT}
        ItemCheck.objects.get_or_create(item=item, check_ref=check, defaults=values)


def _decisions(project: Project, preview: Preview, report: Report) -> None:
    for decision in preview.decisions:
        body = {
            "selected": decision.selected,
            "reason": decision.reason,
            "alternatives": list(decision.alternatives),
            "points": list(decision.points),
            "lines": list(decision.lines),
        }
        values = {"title": decision.title, "body": body, "report": report, "at": clock.now()}
        Decision.objects.update_or_create(project=project, key=decision.key[:80], defaults=values)
    for lesson in preview.lessons:
        said = {"title": lesson.title, "text": lesson.text, "report": report}
        Lesson.objects.update_or_create(project=project, key=lesson.key[:80], defaults=said)
