"""The queries behind a project's state: a fixed number, plain rows, JSON decoded only where a reading changed.

A page with 200 items reads 400 checks; making model objects of them costs more than everything else together. So the
small columns are read each time, and the whole rows only of those checks whose small columns differ from last time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, QuerySet, Subquery

from monitoring.models import Check, CheckRequest, Evidence, Source
from monitoring.selectors import Reading, compose
from portal.checklists.models import Attestation, Item, Project

#: an unanswered request older than this no longer reads *checking*: the observer is away, and the sources say so
ASKED_SECONDS = 30


class ItemRecord(NamedTuple):
    """An item with its open span and its newest attestation."""

    pk: int
    key: str
    title: str
    description: str
    phase_id: int
    position: int
    owner: str | None
    due_on: date | None
    remedies: list[str]
    blocked_by: list[str]
    needs_attestation: bool
    attestation: dict[str, Any]
    exempt_until: date | None
    exempt_by: str
    exempt_why: str
    span_word: str | None
    span_at: datetime | None
    span_regressed: bool | None
    signed_by: str | None
    signed_at: datetime | None
    signed_until: datetime | None
    signed_text: str | None


_ITEM_COLUMNS = (
    *("pk", "key", "title", "description", "phase_id", "position", "owner__username", "due_on", "remedies"),
    *("blocked_by", "needs_attestation", "attestation", "exempt_until", "exempt_by", "exempt_why"),
    *("open_span__word", "open_span__opened_at", "open_span__regressed"),
    *("signed_by", "signed_at", "signed_until", "signed_text"),
)


def items(project: Project) -> list[ItemRecord]:
    """The live items in the order of the definition: one query."""
    newest = Attestation.objects.filter(item=OuterRef("pk"), withdrawn_at=None).order_by("-at")
    rows = (
        Item.objects.filter(project=project, retired=False)
        .annotate(
            open_span=FilteredRelation("spans", condition=Q(spans__closed_at=None)),
            signed_by=Subquery(newest.values("by__username")[:1]),
            signed_at=Subquery(newest.values("at")[:1]),
            signed_until=Subquery(newest.values("expires_at")[:1]),
            signed_text=Subquery(newest.values("statement")[:1]),
        )
        .order_by("phase__number", "position", "pk")
    )
    return [ItemRecord(*row) for row in rows.values_list(*_ITEM_COLUMNS)]


@dataclass(slots=True)
class Readings:
    """Every live check of a cluster as it reads now."""

    by_check: dict[int, Reading] = field(default_factory=dict)
    #: checks of which a fresh reading was asked and has not come
    asked: set[int] = field(default_factory=set)
    #: per item: ``(position, binding, check, title)``, sorted
    bound: dict[int, list[tuple[int, int, int, str]]] = field(default_factory=lambda: defaultdict(list))
    sources: list[Source] = field(default_factory=list)


_SMALL = (
    *("pk", "params_hash", "limit_seconds", "evidence__evaluated_at", "evidence__observed_at", "evidence__word"),
    *("evidence__cause", "evidence__sentence"),
)
_BINDING = ("item_checks__item_id", "item_checks__position", "item_checks__pk", "item_checks__title")
_Whole = tuple[tuple[Any, ...], Check, Evidence | None]
#: whole rows by cluster, as they were when their small columns were read
_known: dict[str, dict[int, _Whole]] = {}


def readings(cluster: str, now: datetime) -> Readings:
    """What every live check of a cluster reads: two queries, three when something changed."""
    found = Readings(sources=list(Source.objects.filter(cluster=cluster)))
    by_name = {(source.cluster, source.name): source for source in found.sources}
    small: dict[int, tuple[Any, ...]] = {}
    for row in _small_rows(cluster, now):
        pk, item_id = row[0], row[9]
        small[pk] = row[: len(_SMALL)]
        if row[8]:
            found.asked.add(pk)
        if item_id is not None:
            found.bound[item_id].append((row[10], row[11], pk, row[12]))
    for pk, (_, check, evidence) in _whole_rows(cluster, small).items():
        found.by_check[pk] = compose(check, evidence, by_name, now)
    for bindings in found.bound.values():
        bindings.sort()
    return found


def _small_rows(cluster: str, now: datetime) -> QuerySet[Check, Any]:
    recent = now - timedelta(seconds=ASKED_SECONDS)
    wanted = CheckRequest.objects.filter(check_ref=OuterRef("pk"), done_at=None, requested_at__gte=recent)
    rows = Check.objects.filter(cluster=cluster, retired=False).annotate(asked=Exists(wanted))
    return rows.annotate(item=F("item_checks__item_id")).values_list(*_SMALL, "asked", *_BINDING)


def _whole_rows(cluster: str, small: dict[int, tuple[Any, ...]]) -> dict[int, _Whole]:
    known = _known.get(cluster, {})
    changed = [pk for pk, row in small.items() if pk not in known or known[pk][0] != row]
    fresh: dict[int, _Whole] = {}
    if changed:
        for check in Check.objects.filter(pk__in=changed).select_related("evidence"):
            fresh[check.pk] = (small[check.pk], check, getattr(check, "evidence", None))
    whole = {pk: fresh.get(pk) or known[pk] for pk in small if pk in fresh or pk in known}
    _known[cluster] = whole
    return whole
