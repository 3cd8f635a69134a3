"""Finds out why items are not proven, beside the observer, and stores it for the pages; judges uploaded reports too.

One collection serves every item that is due: its open stretch is new, or its diagnosis is a minute old. Errors of the
cluster or the database cost one round, never the thread; what could not be read gives no finding, never a wrong one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import DatabaseError, close_old_connections
from django.db.models import F, Q

from common import clock
from common.publish import publish
from integrations.errors import SourceError
from monitoring import collect, diagnosis
from monitoring.snapshot import Need, Snapshot
from portal.checklists import choices
from portal.checklists.importing import drafts
from portal.checklists.models import Diagnosis, ItemSpan
from portal.checklists.subjects import subject_of
from portal.checklists.words import ItemWord

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
#: a diagnosis is made anew after this, because causes move while the word stays
AGAIN = timedelta(seconds=60)
#: at most this many items a round, worst news first come
_MOST = 20
_WORDS = (ItemWord.FAILING.value, ItemWord.DEGRADED.value)


class Diagnostician:
    """Diagnoses the items of one cluster."""

    def __init__(self, readers: collect.Readers) -> None:
        self._readers = readers

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``."""
        while not stop.wait(EVERY_SECONDS):
            try:
                close_old_connections()
                self.look()
                drafts.judge_open(self._readers, clock.now())
                choices.read_open(self._readers, clock.now())
            except (SourceError, DatabaseError) as error:
                log.warning("no diagnosis this round: %s", error)

    def look(self) -> int:
        """Diagnose what is due now; how many items."""
        at = clock.now()
        spans = list(_due(self._readers.cluster, at))
        if not spans:
            return 0
        subjects = {span.pk: _subject(span) for span in spans}

        def needs(snapshot: Snapshot) -> Iterable[Need]:
            return [need for subject in subjects.values() for need in diagnosis.needs(snapshot, subject)]

        snapshot = collect.once(self._readers, needs)
        for span in spans:
            _store(span, snapshot, subjects[span.pk], at)
        return len(spans)


def _due(cluster: str, at: datetime) -> Iterable[ItemSpan]:
    """Open stretches that nobody has explained, or not for a minute."""
    unexplained = Q(item__diagnosis=None) | ~Q(item__diagnosis__span=F("pk")) | Q(item__diagnosis__at__lt=at - AGAIN)
    spans = ItemSpan.objects.filter(
        closed_at=None, word__in=_WORDS, item__retired=False, item__project__cluster=cluster
    )
    return spans.filter(unexplained).select_related("item").order_by("item__diagnosis__at", "opened_at")[:_MOST]


def _subject(span: ItemSpan) -> dict[str, Any]:
    checks = span.item.item_checks.values_list("check_ref__type", "check_ref__params")
    return subject_of(span.item.key, checks)


def _store(span: ItemSpan, snapshot: Snapshot, subject: dict[str, Any], at: datetime) -> None:
    found = [msgspec.to_builtins(finding) for finding in diagnosis.diagnose(snapshot, subject, at)]
    before = Diagnosis.objects.filter(item_id=span.item_id).values_list("findings", "span_id").first()
    Diagnosis.objects.update_or_create(item_id=span.item_id, defaults={"span_id": span.pk, "at": at, "findings": found})
    if before is None or list(before) != [found, span.pk]:
        publish(f"item:{span.item_id}")
