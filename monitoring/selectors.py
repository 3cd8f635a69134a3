"""What a reading is worth *now*: derived from Evidence, the sources' confirmations and the clock, never stored.

Past its limit a reading is ``stale``, whatever it said last. Reads the database only, in two queries for any number of
checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from monitoring.models import Check, Evidence, Source, SourceSpan, Span
from monitoring.verdict import Word

STALE = "stale"


@dataclass(frozen=True, slots=True)
class Reading:
    """One check as it reads now.

    ``word`` is a verdict or ``stale``; ``last_word`` and ``last_sentence`` are what was read last. ``observed_at`` is
    the last proof that it still holds (for watched checks the source's confirmation); ``stale_at`` is when the clock
    alone turns it stale. Times are None when nothing was read yet (``word`` is then ``unknown``).
    """

    check_id: int
    type: str
    params: Mapping[str, Any]
    word: str
    sentence: str
    last_word: str = ""
    last_sentence: str = ""
    expected: str = ""
    observed: str = ""
    cause: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    receipt: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    source: str = ""
    watched: bool = False
    observed_at: datetime | None = None
    evaluated_at: datetime | None = None
    age_seconds: float | None = None
    limit_seconds: int = 0
    stale_at: datetime | None = None

    @property
    def read(self) -> bool:
        """Whether there is any evidence at all."""
        return self.evaluated_at is not None


@dataclass(frozen=True, slots=True)
class SourceReading:
    """One source as it stands now: ``live``, ``stale``, ``unreachable`` or ``unknown`` (never asked)."""

    source: Source
    word: str
    sentence: str
    age_seconds: float | None
    stale_at: datetime | None


def reading(subject: int | Check | Evidence, now: datetime) -> Reading:
    """One check's reading. :raises KeyError: there is no such check."""
    if isinstance(subject, Evidence):
        subject = subject.check_ref_id
    pk = subject if isinstance(subject, int) else subject.pk
    return readings([pk], now)[pk]


def readings(check_ids: Iterable[int], now: datetime) -> dict[int, Reading]:
    """The readings of many checks in two queries."""
    checks = list(Check.objects.filter(pk__in=list(check_ids)).select_related("evidence"))
    clusters = {check.cluster for check in checks}
    sources = {(row.cluster, row.name): row for row in Source.objects.filter(cluster__in=clusters)} if clusters else {}
    return {check.pk: compose(check, getattr(check, "evidence", None), sources, now) for check in checks}


def compose(
    check: Check, evidence: Evidence | None, sources: Mapping[tuple[str, str], Source], now: datetime
) -> Reading:
    """A reading from rows already fetched; no query."""
    if evidence is None:
        return Reading(
            check_id=check.pk,
            type=check.type,
            params=check.params,
            word=Word.UNKNOWN.value,
            sentence="Nobody has read this yet.",
            limit_seconds=check.limit_seconds,
        )
    confirmed, origin = _confirmed(check, evidence, sources)
    stale_at = confirmed + timedelta(seconds=check.limit_seconds)
    stale = now > stale_at
    return Reading(
        check_id=check.pk,
        type=check.type,
        params=check.params,
        word=STALE if stale else evidence.word,
        sentence=_stale_sentence(evidence, confirmed, origin, sources.get((check.cluster, origin)))
        if stale
        else evidence.sentence,
        last_word=evidence.word,
        last_sentence=evidence.sentence,
        expected=evidence.expected,
        observed=evidence.observed,
        cause=evidence.cause,
        facts=evidence.facts,
        receipt=evidence.receipt,
        command=evidence.command,
        source=evidence.source,
        watched=evidence.watched,
        observed_at=confirmed,
        evaluated_at=evidence.evaluated_at,
        age_seconds=max(0.0, (now - confirmed).total_seconds()),
        limit_seconds=check.limit_seconds,
        stale_at=stale_at,
    )


def _confirmed(check: Check, evidence: Evidence, sources: Mapping[tuple[str, str], Source]) -> tuple[datetime, str]:
    """The oldest proof a reading rests on, and whose it is.

    A watch's confirmation counts from the later of what its source row says and what was known at the evaluation: the
    source row is written every few seconds, the evidence at once.
    """
    polled = evidence.receipt.get("polled") or []
    proofs: list[tuple[datetime, str]] = [(evidence.observed_at, name) for name in polled]
    for name, keys in (evidence.receipt.get("watches") or {}).items():
        source = sources.get((check.cluster, name))
        for key in keys:
            at = _watch_at(source, key) or evidence.observed_at
            proofs.append((at if polled else max(at, evidence.observed_at), name))
    return min(proofs, default=(evidence.observed_at, evidence.source))


def _watch_at(source: Source | None, key: str) -> datetime | None:
    text = (source.watches if source else {}).get(key)
    return datetime.fromisoformat(text) if text else None


def _stale_sentence(evidence: Evidence, confirmed: datetime, origin: str, source: Source | None) -> str:
    name = origin.capitalize() if origin else "Its source"
    why = f" {source.last_error}" if source and source.reachable is False and source.last_error else ""
    return (
        f"{name} has not confirmed this since {confirmed:%H:%M:%S} UTC; it was {evidence.word} then.{why} "
        f"Last reading: {evidence.sentence}"
    )


def sources(cluster: str, now: datetime) -> list[SourceReading]:
    """All sources of a cluster as they stand now. One query."""
    return [source_reading(row, now) for row in Source.objects.filter(cluster=cluster)]


def source_reading(source: Source, now: datetime) -> SourceReading:
    """One source as it stands now."""
    stale_at = source.confirmed_at + timedelta(seconds=source.limit_seconds) if source.confirmed_at else None
    age = max(0.0, (now - source.confirmed_at).total_seconds()) if source.confirmed_at else None
    if source.reachable is False:
        since = f" since {source.confirmed_at:%H:%M:%S} UTC" if source.confirmed_at else ""
        return SourceReading(source, "unreachable", f"Not confirmed{since}. {source.last_error}".strip(), age, stale_at)
    if stale_at is None:
        return SourceReading(source, Word.UNKNOWN.value, source.last_error or "Not read yet.", age, stale_at)
    if now > stale_at:
        sentence = f"No sign of life since {source.confirmed_at:%H:%M:%S} UTC. {source.last_error}".strip()
        return SourceReading(source, STALE, sentence, age, stale_at)
    return SourceReading(source, "live", source.last_error or "Answers.", age, stale_at)


def word_at(check: Check, at: datetime) -> str:
    """What a check read at a past moment: its Span then, ``stale`` if its source had been silent past the limit."""
    covering = Q(opened_at__lte=at) & (Q(closed_at=None) | Q(closed_at__gt=at))
    span = Span.objects.filter(covering, check_ref=check).order_by("-opened_at").first()
    if span is None:
        return Word.UNKNOWN.value
    names = {*(span.receipt.get("watches") or {}), *(span.receipt.get("polled") or [])}
    silent_since = at - timedelta(seconds=check.limit_seconds)
    silent = SourceSpan.objects.filter(
        covering, source__cluster=check.cluster, source__name__in=names, reachable=False, opened_at__lt=silent_since
    )
    return STALE if silent.exists() else span.word
