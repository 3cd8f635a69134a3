"""A report between upload and import: shown at once by the stored evidence, judged by the cluster a moment later.

The web process opens no cluster connection, so the judging runs beside the observer. A draft is forgotten after a day.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from common import clock
from common.publish import publish
from monitoring import collect
from portal.checklists.evaluation import needs_of
from portal.checklists.importing.accept import accept as accept_preview
from portal.checklists.importing.preview import checks_in, preview
from portal.checklists.models import Project, Report, ReportDraft

if TYPE_CHECKING:
    from django.contrib.auth.models import User

KEPT = timedelta(days=1)
#: a draft nobody has judged for so long is left as it is: the observer was away, and the page says so
WAITED = timedelta(minutes=5)


def make(project: Project, markdown: str, user: User) -> ReportDraft:
    """Keep what was uploaded with a first look at it. :raises ReportError: it cannot be read at all."""
    at = clock.now()
    found = preview(markdown, project, None, at)
    with transaction.atomic():
        ReportDraft.objects.filter(made_at__lt=at - KEPT).delete()
        return ReportDraft.objects.create(
            project=project, markdown=markdown, made_by=user, made_at=at, understood=found.to_json()
        )


def judge_open(readers: collect.Readers, at: datetime) -> int:
    """Judge the claims of every waiting draft by one collection each; how many."""
    waiting = ReportDraft.objects.filter(judged_at=None, made_at__gte=at - WAITED, project__cluster=readers.cluster)
    drafts = list(waiting.select_related("project")[:5])
    for draft in drafts:
        snapshot = collect.once(readers, needs_of(checks_in(draft.markdown, draft.project)))
        found = preview(draft.markdown, draft.project, snapshot, clock.now())
        with transaction.atomic():
            ReportDraft.objects.filter(pk=draft.pk).update(understood=found.to_json(), judged_at=clock.now())
            publish(f"draft:{draft.pk}")
    return len(drafts)


def accept(draft: ReportDraft, user: User) -> Report:
    """Import it, with the verdicts that were shown. Again changes nothing. :raises PermissionDenied: as in accept."""
    with transaction.atomic():
        found = preview(draft.markdown, draft.project, None, clock.now())
        report = accept_preview(found, user)
        if not found.already_imported:
            report.understood = report.understood | {"claims": draft.understood.get("claims", [])}
            report.save(update_fields=["understood"])
    return report
