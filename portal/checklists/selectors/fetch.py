"""The queries behind a project's state: a fixed number, raw rows, made into values only where something changed.

A page with 200 items reads 400 checks; making Python values of them costs more than everything else together. So the
facts are compared as the database gives them; rows are converted, and evidence is read whole, only where they differ
from last time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, F, FilteredRelation, OuterRef, Q, QuerySet, Subquery

from deployments import unfollowed
from deployments.models import FollowUp, Run
from deployments.states import ACTIVE, StepState
from monitoring.models import Check, CheckRequest, Evidence, Source
from monitoring.selectors import STALE, Reading, compose
from portal.checklists.models import Attestation, Item, Phase, Project
from portal.checklists.selectors.prepared import Raw, all_of, instances, prepared

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


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a project's state follows from besides the clock, as the database gave it.

    Equal facts and the same stretch of time between two things falling due mean an equal state.
    """

    phases: Raw
    items: Raw
    sources: Raw
    checks: Raw
    runs: Raw


def facts(project: Project) -> Facts:
    """The facts now: five queries, nothing converted."""
    return Facts(
        phases=_phases(project.pk).raw(),
        items=_items(project.pk).raw(),
        sources=_sources(project.cluster).raw(),
        checks=_checks(project.cluster).raw(),
        runs=_runs(project.cluster).raw(),
    )


@prepared
def _phases(project_id: int) -> QuerySet[Phase, Any]:
    return all_of(Phase.objects.filter(project=project_id))


@prepared
def _items(project_id: int) -> QuerySet[Item, Any]:
    newest = Attestation.objects.filter(item=OuterRef("pk"), withdrawn_at=None).order_by("-at")
    rows = (
        Item.objects.filter(project=project_id, retired=False)
        .annotate(
            open_span=FilteredRelation("spans", condition=Q(spans__closed_at=None)),
            signed_by=Subquery(newest.values("by__username")[:1]),
            signed_at=Subquery(newest.values("at")[:1]),
            signed_until=Subquery(newest.values("expires_at")[:1]),
            signed_text=Subquery(newest.values("statement")[:1]),
        )
        .order_by("phase__number", "position", "pk")
    )
    return rows.values_list(*_ITEM_COLUMNS)


@prepared
def _sources(cluster: str) -> QuerySet[Source, Any]:
    return all_of(Source.objects.filter(cluster=cluster))


_SMALL = (
    *("pk", "params_hash", "limit_seconds", "evidence__evaluated_at", "evidence__observed_at", "evidence__word"),
    *("evidence__cause", "evidence__sentence"),
)
_BINDING = ("item_checks__item_id", "item_checks__position", "item_checks__pk", "item_checks__title")


@prepared
def _checks(cluster: str) -> QuerySet[Check, Any]:
    wanted = CheckRequest.objects.filter(check_ref=OuterRef("pk"), done_at=None).order_by("-requested_at")
    rows = Check.objects.filter(cluster=cluster, retired=False)
    rows = rows.annotate(asked_at=Subquery(wanted.values("requested_at")[:1]), item=F("item_checks__item_id"))
    return rows.order_by("pk").values_list(*_SMALL, "asked_at", *_BINDING)


_RUN_COLUMNS = (
    *("id", "number", "state", "sentence", "current_step", "requested_at", "started_at", "plan_id", "plan__title"),
    *("requested_by__username", "run_items__item_id", "context", "total", "done", "follow"),
)


@prepared
def _runs(cluster: str) -> QuerySet[Run, Any]:
    """Unfinished runs, and those of which something was to follow and did not (``follow``)."""
    broken = FollowUp.objects.filter(unfollowed.broken())
    wanted = Q(state__in=[state.value for state in ACTIVE]) | Q(pk__in=broken.values("run"))
    rows = Run.objects.filter(wanted, cluster=cluster)
    total = Count("steps", distinct=True)
    done = Count("steps", filter=Q(steps__state__in=[StepState.DONE, StepState.SKIPPED]), distinct=True)
    follow = Subquery(broken.filter(run=OuterRef("pk")).order_by("due_at").values("pk")[:1])
    return rows.annotate(total=total, done=done, follow=follow).order_by("-requested_at").values_list(*_RUN_COLUMNS)


_FOLLOW_COLUMNS = (
    *("pk", "sentence", "due_at", "run_id", "run__number", "run__plan__title", "run__context"),
    *("started__number", "started__state", "started__sentence"),
)


def follows(runs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was to follow these runs and did not, the oldest first; with its item under ``item``. No query for none."""
    broken = [run["follow"] for run in runs if run["follow"] is not None]
    rows = (
        FollowUp.objects.filter(pk__in=broken).order_by("due_at", "pk").values_list(*_FOLLOW_COLUMNS) if broken else ()
    )
    named = [dict(zip(_FOLLOW_COLUMNS, row, strict=True)) for row in rows]
    return [row | {"item": _item_of(row["run__context"])} for row in named]


def phases(project: Project, found: Facts) -> list[Phase]:
    """The phases in their order."""
    return instances(Phase, _phases(project.pk).values(found.phases))


#: per project: items by their raw row
_known_items: dict[int, dict[tuple[Any, ...], ItemRecord]] = {}


def items(project: Project, found: Facts) -> list[ItemRecord]:
    """The live items in the order of the definition; only new rows are converted."""
    known = _known_items.get(project.pk, {})
    new = [row for row in found.items if row not in known]
    if new:
        known = known | dict(zip(new, (ItemRecord(*row) for row in _items(project.pk).values(new)), strict=True))
    _known_items[project.pk] = {row: known[row] for row in found.items}
    return [known[row] for row in found.items]


def runs(project: Project, found: Facts) -> list[dict[str, Any]]:
    """Unfinished runs and those with a ``follow`` that failed, newest first, once per item they were started for."""
    rows = _runs(project.cluster).values(found.runs) if found.runs else []
    return [_run(dict(zip(_RUN_COLUMNS, row, strict=True))) for row in rows]


def _run(row: dict[str, Any]) -> dict[str, Any]:
    """With its item under ``item``: the one it is tied to, else the one of its context (what follows by itself)."""
    return row | {"item": row["run_items__item_id"] or _item_of(row["context"])}


def _item_of(context: str) -> int | None:
    kind, _, pk = context.partition(":")
    return int(pk) if kind == "item" and pk.isdecimal() else None


@dataclass(slots=True)
class Readings:
    """Every live check of a cluster as it reads now."""

    by_check: dict[int, Reading] = field(default_factory=dict)
    #: checks of which a fresh reading was asked and has not come, with when the asking is forgotten
    asked: dict[int, datetime] = field(default_factory=dict)
    #: per item: ``(position, binding, check, title)``, sorted
    bound: dict[int, list[tuple[int, int, int, str]]] = field(default_factory=lambda: defaultdict(list))
    sources: list[Source] = field(default_factory=list)


@dataclass(slots=True)
class _Whole:
    """A check whole, as it was when its small columns were read."""

    small: tuple[Any, ...]
    check: Check
    evidence: Evidence | None


_known: dict[str, dict[int, _Whole]] = {}


def readings(cluster: str, now: datetime, found: Facts | None = None) -> Readings:
    """What every live check of a cluster reads, from these facts or from two queries; whole rows only of new ones."""
    sources = found.sources if found is not None else _sources(cluster).raw()
    rows = found.checks if found is not None else _checks(cluster).raw()
    read = Readings(sources=_source_rows(cluster, sources))
    small: dict[int, tuple[Any, ...]] = {}
    width = len(_SMALL)
    for row in rows:
        pk, item_id = row[0], row[width + 1]
        small[pk] = row[:width]
        if item_id is not None:
            read.bound[item_id].append((row[width + 2], row[width + 3], pk, row[width + 4]))
    read.by_check = _composed(cluster, _whole_rows(cluster, small), read.sources, now)
    for bindings in read.bound.values():
        bindings.sort()
    asked = [row for row in rows if row[width] is not None]
    for row in _checks(cluster).values(asked) if asked else ():
        until = row[width] + timedelta(seconds=ASKED_SECONDS)
        if until > now:
            read.asked[row[0]] = until
    return read


#: per cluster: the raw rows of its sources and what was made of them
_known_sources: dict[str, tuple[Raw, list[Source]]] = {}


def _source_rows(cluster: str, raw: Raw) -> list[Source]:
    known = _known_sources.get(cluster)
    if known is None or known[0] != raw:
        known = _known_sources[cluster] = (raw, instances(Source, _sources(cluster).values(raw)))
    return known[1]


@dataclass(slots=True)
class _Composed:
    """Readings with what they were made of and when."""

    at: datetime
    sources: list[Source]
    by_check: dict[int, tuple[_Whole, Reading]]


_known_readings: dict[str, _Composed] = {}


def _composed(cluster: str, whole: dict[int, _Whole], sources: list[Source], now: datetime) -> dict[int, Reading]:
    """The readings; those of the same rows are the same objects until the clock turns them stale."""
    last = _known_readings.get(cluster)
    known = last.by_check if last is not None and last.sources is sources and last.at <= now else {}
    by_name = {(source.cluster, source.name): source for source in sources}
    made: dict[int, tuple[_Whole, Reading]] = {}
    for pk, rows in whole.items():
        found = known.get(pk)
        if found is None or found[0] is not rows or not _still_so(found[1], now):
            found = (rows, compose(rows.check, rows.evidence, by_name, now))
        made[pk] = found
    _known_readings[cluster] = _Composed(now, sources, made)
    return {pk: reading for pk, (_, reading) in made.items()}


def _still_so(reading: Reading, now: datetime) -> bool:
    return reading.stale_at is None or reading.word == STALE or now <= reading.stale_at


def _whole_rows(cluster: str, small: dict[int, tuple[Any, ...]]) -> dict[int, _Whole]:
    known = _known.get(cluster, {})
    changed = [pk for pk, row in small.items() if pk not in known or known[pk].small != row]
    fresh: dict[int, _Whole] = {}
    if changed:
        for check in Check.objects.filter(pk__in=changed).select_related("evidence"):
            fresh[check.pk] = _Whole(small[check.pk], check, getattr(check, "evidence", None))
    whole = {pk: fresh.get(pk) or known[pk] for pk in small if pk in fresh or pk in known}
    _known[cluster] = whole
    return whole
