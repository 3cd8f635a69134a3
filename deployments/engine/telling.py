"""Tells people outside what must not be found out by looking: broken glass, the stop switch, an unknown outcome.

The audit trail is the outbox (docs/adr/0012): its rows are written with the facts and in one order, and a single row
(:class:`Telling`) says how far they were told. At least once: who dies after sending sends again. Bounded: a message
that is not taken in eight tries, or is a day old, is left out and that is audited.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import F

from common.clock import now
from common.models import AuditEvent, AuditHead, audit
from common.redaction import redact
from deployments.models import Telling
from integrations.errors import Rejected, SourceError
from integrations.webhook import writer

_log = logging.getLogger(__name__)

TRIES = 8
#: who has claimed a message and died is replaced after this
_CLAIMED = timedelta(seconds=30)
_OLD = timedelta(days=1)
_LONGEST_WAIT = 300.0
_AT_ONCE = 5
_TEXT = 600
_SAYINGS = {
    "glass.break": "{actor} broke the glass: run {number} on {cluster} goes without a second person. {reason}",
    "writes.stop": "{actor} stopped all writes to {cluster}. {reason}",
    "writes.allow": "{actor} allowed writes to {cluster} again.",
    "run.outcome_unknown": "Run {number} on {cluster} ended and its outcome is not known. {sentence}",
    "follow.failed": "What was to follow a run on {cluster} by itself did not: {action}. {why}",
}


def tell() -> int:
    """Send what is due, oldest first, until one is not taken. Returns how many were sent. Called every five seconds."""
    if not settings.PORTAL_NOTIFY_URL_FILE:
        return 0
    sent = 0
    while sent < _AT_ONCE and _tell_next():
        sent += 1
    return sent


def _tell_next() -> bool:
    """Whether one was due and sent."""
    row = _cursor()
    moment = now()
    if row.next_at is not None and row.next_at > moment:
        return False
    event = _next_after(row.seq)
    if event is None:
        return False
    mine = Telling.objects.filter(pk=row.pk, seq=row.seq, attempts=row.attempts, next_at=row.next_at)
    if not mine.update(next_at=moment + _CLAIMED, attempts=F("attempts") + 1):
        return False  # another worker has it
    try:
        writer.post(_address(), text_of(event))
    except SourceError as failure:
        _not_taken(row, event, failure)
        return False
    Telling.objects.filter(pk=row.pk).update(seq=event.seq, attempts=0, next_at=None, last_error="", told_at=now())
    return True


def _cursor() -> Telling:
    """How far it is told; begins at the end: what was before a notification address was given is not news."""
    head = AuditHead.objects.filter(pk=1).values_list("seq", flat=True).first() or 0
    row, _ = Telling.objects.get_or_create(cluster=settings.PORTAL_CLUSTER, defaults={"seq": head})
    return row


def _next_after(seq: int) -> AuditEvent | None:
    told = AuditEvent.objects.filter(seq__gt=seq, verb__in=list(_SAYINGS), at__gte=now() - _OLD)
    return told.order_by("seq").first()


def _not_taken(row: Telling, event: AuditEvent, failure: SourceError) -> None:
    tries = row.attempts + 1
    _log.warning("a notification was not taken", extra={"seq": event.seq, "tries": tries, "why": failure.sentence})
    here = Telling.objects.filter(pk=row.pk)
    if tries < TRIES:
        wait = min(_LONGEST_WAIT, max(5.0 * 2 ** (tries - 1), failure.retry_after or 0.0))
        here.update(next_at=now() + timedelta(seconds=wait), last_error=failure.sentence)
        return
    here.update(seq=event.seq, attempts=0, next_at=None, last_error=failure.sentence)
    audit(actor="phaseboard", verb="notify.given_up", object=event.object, of=event.verb, why=failure.sentence)


def _address() -> str:
    """Read at each use, because Secrets are renewed. :raises Rejected: the file cannot be read."""
    path = settings.PORTAL_NOTIFY_URL_FILE
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise Rejected(f"PORTAL_NOTIFY_URL_FILE cannot be read: {error.strerror}.") from None


class _Known(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return ""


def text_of(event: AuditEvent) -> str:
    """The message. What people typed is redacted, bounded, and cannot call a channel (Slack's ``<!channel>``)."""
    known = _Known(event.detail) | {"actor": event.actor, "cluster": settings.PORTAL_CLUSTER}
    said = " ".join(_SAYINGS[event.verb].format_map(_Known(known)).split())
    plain = redact(f"Phaseboard: {said} ({event.at:%H:%M:%S} UTC)", _TEXT)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
