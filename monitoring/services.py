"""Writes what was read: Evidence, Spans, requests for a fresh reading (design §5).

The observer is the only writer of Evidence. It knows no items: a *sink* handed in from above ties a moved check to
them, in the same transaction. Database errors are the caller's to handle; Redis errors never come out of here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from django.db import transaction

from common import clock, publish
from common.redaction import redact
from monitoring.models import Check, CheckRequest, Component, Evidence, Span
from monitoring.verdict import Verdict

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

_WRITTEN = ("word", "sentence", "expected", "observed", "cause", "facts", "receipt", "command", "source", "watched")
_SHOWN = ("word", "sentence", "expected", "observed", "cause", "facts")


class Sink(Protocol):
    """What stands above monitoring and wants to know; called inside the transaction that writes the readings."""

    def moved(self, checks: Collection[Check], at: datetime) -> Iterable[str]:
        """These checks opened a new Span. Returns the topics whose rows changed."""

    def touched(self, checks: Collection[Check]) -> Iterable[str]:
        """These checks' readings changed without a new Span (or were asked for). Returns the topics showing them."""


class NoSink:
    """Nobody above wants to know."""

    def moved(self, checks: Collection[Check], at: datetime) -> Iterable[str]:  # noqa: ARG002
        return ()

    def touched(self, checks: Collection[Check]) -> Iterable[str]:  # noqa: ARG002
        return ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One evaluated check, ready to be written.

    ``observed_at``: the oldest polled answer the verdict rests on, or the oldest watch's confirmation when nothing was
    polled. ``receipt`` names the ``watches`` (``{source: [watch keys]}``) and the ``polled`` sources it rests on.
    """

    check: Check
    verdict: Verdict
    observed_at: datetime
    receipt: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    source: str = ""
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """Which checks opened a Span, and which changed in what they show."""

    moved: frozenset[int]
    changed: frozenset[int]


def record(
    check: Check,
    verdict: Verdict,
    at: datetime,
    receipt: Mapping[str, Any],
    *,
    sink: Sink,
    observed_at: datetime | None = None,
    command: str = "",
    source: str = "",
    watched: bool = False,
) -> bool:
    """Write one reading; True when it opened a Span (a transition)."""
    outcome = Outcome(check, verdict, observed_at or at, receipt, command, source, watched)
    return check.pk in record_all([outcome], at, sink).moved


def record_all(
    outcomes: Sequence[Outcome], at: datetime, sink: Sink, guard: Callable[[], None] | None = None
) -> Recorded:
    """Write many readings in one transaction and announce the rows they changed, once it commits.

    ``guard`` runs first, inside the transaction, and may raise to keep a deposed observer from writing.
    """
    with transaction.atomic():
        if guard:
            guard()
        by_id = {outcome.check.pk: outcome for outcome in outcomes}
        before = Evidence.objects.in_bulk(list(by_id))
        fresh = [_evidence(outcome, at) for outcome in by_id.values()]
        written = [row for row in fresh if _differs(before.get(row.pk), row, _WRITTEN)]
        _write(written, fresh, before)
        moved = _move_spans([by_id[row.pk] for row in written], at)
        changed = {row.pk for row in written if _differs(before.get(row.pk), row, _SHOWN)}
        _announce({pk: by_id[pk].check for pk in changed | moved}, moved, at, sink)
    return Recorded(frozenset(moved), frozenset(changed))


def _evidence(outcome: Outcome, at: datetime) -> Evidence:
    verdict = outcome.verdict
    # verdicts quote the cluster, and what the cluster says is hostile
    return Evidence(
        check_ref_id=outcome.check.pk,
        word=verdict.word.value,
        sentence=redact(verdict.sentence),
        expected=redact(verdict.expected, 250),
        observed=redact(verdict.observed, 250),
        cause=verdict.cause[:80],
        facts=_bounded(msgspec.to_builtins(verdict.facts)),
        receipt=dict(outcome.receipt),
        command=outcome.command,
        source=outcome.source,
        watched=outcome.watched,
        observed_at=outcome.observed_at,
        evaluated_at=at,
    )


def _bounded(value: Any, depth: int = 6) -> Any:
    """Facts as JSON with every text redacted and bounded, and no more than 200 entries in any list or object."""
    if isinstance(value, str):
        return redact(value, 500)
    if depth == 0:
        return "…"
    if isinstance(value, dict):
        return {redact(str(key), 200): _bounded(item, depth - 1) for key, item in list(value.items())[:200]}
    if isinstance(value, list):
        return [_bounded(item, depth - 1) for item in value[:200]]
    return value


def _differs(old: Evidence | None, new: Evidence, fields: Iterable[str]) -> bool:
    return old is None or any(_value(old, name) != _value(new, name) for name in fields)


def _value(row: Evidence, name: str) -> Any:
    """A field as it is compared: the time inside a receipt alone is no difference."""
    value = getattr(row, name)
    return {key: item for key, item in value.items() if key != "at"} if name == "receipt" else value


def _write(written: list[Evidence], fresh: list[Evidence], before: Mapping[int, Evidence]) -> None:
    """Whole rows where something changed; one statement for all that only became younger by a poll."""
    fields = [*_WRITTEN, "observed_at", "evaluated_at"]
    Evidence.objects.bulk_create([row for row in written if row.pk not in before])
    for row in written:
        if row.pk in before:  # few at a time: cheaper than the CASE expressions of a bulk_update
            row.save(force_update=True, update_fields=fields)
    changed = {row.pk for row in written}
    younger: dict[datetime, list[int]] = {}
    for row in fresh:
        if row.pk not in changed and row.receipt.get("polled") and row.observed_at > before[row.pk].observed_at:
            younger.setdefault(row.observed_at, []).append(row.pk)
    for observed_at, ids in younger.items():
        Evidence.objects.filter(pk__in=ids).update(observed_at=observed_at, evaluated_at=fresh[0].evaluated_at)


def _move_spans(outcomes: Sequence[Outcome], at: datetime) -> set[int]:
    """Close and open Spans where word or cause changed; the ids of those checks."""
    if not outcomes:
        return set()
    ids = [outcome.check.pk for outcome in outcomes]
    open_spans = {span.check_ref_id: span for span in Span.objects.filter(check_ref__in=ids, closed_at=None)}
    closing: list[int] = []
    opening: list[Span] = []
    for outcome in outcomes:
        verdict, span = outcome.verdict, open_spans.get(outcome.check.pk)
        if span is not None and (span.word, span.cause) == (verdict.word.value, verdict.cause[:80]):
            continue
        if span is not None:
            closing.append(span.pk)
        opening.append(
            Span(
                check_ref_id=outcome.check.pk,
                word=verdict.word.value,
                cause=verdict.cause[:80],
                sentence=redact(verdict.sentence),
                receipt=dict(outcome.receipt),
                opened_at=at,
            )
        )
    Span.objects.filter(pk__in=closing).update(closed_at=at)
    Span.objects.bulk_create(opening)
    return {span.check_ref_id for span in opening}


def _announce(checks: Mapping[int, Check], moved: Collection[int], at: datetime, sink: Sink) -> None:
    if not checks:
        return
    topics = [f"check:{pk}" for pk in checks]
    components = Component.objects.filter(checks__in=list(checks)).values_list("pk", flat=True).distinct()
    topics += [f"component:{pk}" for pk in components]
    opened = [check for pk, check in checks.items() if pk in moved]
    if opened:
        topics += sink.moved(opened, at)
    others = [check for pk, check in checks.items() if pk not in moved]
    if others:
        topics += sink.touched(others)
    publish.publish(*topics)


def request_check(check_ids: Iterable[int], user: AbstractBaseUser | None) -> int:
    """Ask for a fresh reading of these checks; how many requests were new (one open request per check is enough)."""
    with transaction.atomic():
        checks = Check.objects.filter(pk__in=list(check_ids), retired=False)
        asked = set(CheckRequest.objects.filter(check_ref__in=checks, done_at=None).values_list("check_ref", flat=True))
        rows = [
            CheckRequest(cluster=check.cluster, check_ref=check, requested_by=user, requested_at=clock.now())  # type: ignore[misc]
            for check in checks
            if check.pk not in asked
        ]
        CheckRequest.objects.bulk_create(rows)
        publish.publish(*(f"check:{row.check_ref_id}" for row in rows))
        publish.wake(publish.WAKE_OBSERVER)
    return len(rows)


def finish_requests(check_ids: Collection[int], at: datetime, sink: Sink) -> None:
    """The fresh readings of these checks are written: close their requests and say so."""
    with transaction.atomic():
        open_requests = CheckRequest.objects.filter(check_ref__in=check_ids, done_at=None, requested_at__lte=at)
        checks = list(Check.objects.filter(pk__in=open_requests.values("check_ref")))
        if checks:
            open_requests.update(done_at=at)
            publish.publish(*(f"check:{check.pk}" for check in checks), *sink.touched(checks))
