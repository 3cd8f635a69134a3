"""The append-only audit trail. No foreign keys: an audit row outlives its subject."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from common.canonical import digest
from common.clock import now

GENESIS = "0" * 64


class AuditEvent(models.Model):
    """Who did what to what, when; each row carries the hash of the one before it (a chain)."""

    seq = models.PositiveBigIntegerField(unique=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    verb = models.CharField(max_length=40)
    object = models.CharField(max_length=300)
    detail = models.JSONField(default=dict)
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["seq"]

    def __str__(self) -> str:
        return f"{self.seq} {self.actor} {self.verb} {self.object}"

    def computed_hash(self) -> str:
        """The hash this row should carry."""
        return digest([self.previous, self.seq, self.at.isoformat(), self.actor, self.verb, self.object, self.detail])

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert only. :raises TypeError: on a change to a written row."""
        if not self._state.adding:
            raise TypeError("audit rows are append-only")
        super().save(*args, **kwargs)


class AuditHead(models.Model):
    """The end of the chain, in one row: locking it is what keeps two writers from taking the same number."""

    seq = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64, default=GENESIS)

    def __str__(self) -> str:
        return f"{self.seq} {self.hash[:8]}"


def audit(*, actor: str, verb: str, object: str, **detail: Any) -> AuditEvent:
    """Append one row, in the caller's transaction. ``detail`` must be JSON and hold no secret."""
    with transaction.atomic():
        AuditHead.objects.get_or_create(pk=1)
        head = AuditHead.objects.select_for_update().get(pk=1)
        row = AuditEvent(
            seq=head.seq + 1,
            at=now(),
            actor=actor,
            verb=verb,
            object=object[:300],
            detail=detail,
            previous=head.hash,
        )
        row.hash = row.computed_hash()
        row.save(force_insert=True)
        AuditHead.objects.filter(pk=1).update(seq=row.seq, hash=row.hash)
        return row


def broken_links() -> list[int]:
    """Sequence numbers whose row or link does not verify; empty when the chain is whole."""
    broken: list[int] = []
    previous, expected = GENESIS, 1
    for row in AuditEvent.objects.order_by("seq").iterator():
        if row.seq != expected or row.previous != previous or row.hash != row.computed_hash():
            broken.append(row.seq)
        previous, expected = row.hash, row.seq + 1
    return broken
