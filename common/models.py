"""The append-only audit trail. No foreign keys: an audit row outlives its subject.

Three things keep it: triggers refuse every change (migration 0002), each row carries the hash of the one before it, and
the end of the chain is noted outside the database (:mod:`common.anchors`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Defect:
    """The first thing that is wrong at one number of the chain."""

    seq: int
    sentence: str


def defects() -> Iterator[Defect]:
    """What does not verify, in the order of the rows: changed, missing, added or swapped rows, and a cut end.

    A chain that was written anew from some row on verifies in itself; :mod:`common.anchors` shows that.
    """
    head = AuditHead.objects.filter(pk=1).first() or AuditHead()
    previous, expected = GENESIS, 1
    # rows that are appended meanwhile are not looked at: the head was read first
    for row in AuditEvent.objects.filter(seq__lte=head.seq).order_by("seq").iterator():
        if row.seq != expected:
            yield Defect(expected, f"Row {expected} is missing: the next one is {row.seq}.")
        elif row.hash != row.computed_hash():
            yield Defect(row.seq, f"Row {row.seq} was changed: its hash is not that of its content.")
        elif row.previous != previous:
            yield Defect(row.seq, f"Row {row.seq} does not follow row {row.seq - 1}: one of the two was written anew.")
        previous, expected = row.hash, row.seq + 1
    if expected <= head.seq:
        yield Defect(expected, f"Row {expected} is missing: the head says that there are {head.seq}.")
    elif previous != head.hash:
        yield Defect(head.seq, f"Row {head.seq} is the last, and the head has another hash.")
    last = AuditEvent.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
    if last > max(head.seq, AuditHead.objects.values_list("seq", flat=True).filter(pk=1).first() or 0):
        yield Defect(last, f"Row {last} is there, and the head does not know it.")


def broken_links() -> list[int]:
    """Sequence numbers whose row or link does not verify; empty when the chain is whole."""
    return [defect.seq for defect in defects()]
