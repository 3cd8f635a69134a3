"""Components and sources: what runs, since when, how old the reading is, and how the last days were."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from monitoring.models import Component, Source
from monitoring.selectors import Reading, source_reading
from portal.checklists.selectors import fetch
from portal.checklists.selectors.prepared import Raw, prepared
from portal.checklists.selectors.shapes import ComponentRow, Headline, Part, SourceRow
from portal.checklists.selectors.strips import History, Stretch, history, strip, until
from portal.checklists.selectors.wholes import StatusPage
from portal.checklists.words import CANNOT_TELL, NOT_MET, RANK, ROLL_UP, ItemWord, worst

#: what is read, in the order in which it is shown
SOURCES = {
    "kubernetes": "Kubernetes",
    "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
    "grafana": "Grafana",
    "argocd": "Argo CD",
}
_WORD = {"live": ItemWord.VERIFIED, "stale": ItemWord.STALE}


def status_page(cluster: str, now: datetime, days: int = 90, found: fetch.Readings | None = None) -> StatusPage:
    """Every component and source of a cluster, from these readings of the same moment or its own."""
    found = found or fetch.readings(cluster, now)
    rows = components(component_facts(cluster, days, now), found.by_check, days, now)
    said = components_headline(rows)
    return StatusPage(
        cluster=cluster,
        headline=said,
        components=rows,
        sources=source_rows(cluster, found.sources, now),
        oldest_at=said.oldest_at,
        days=days,
    )


def components_headline(rows: Sequence[ComponentRow]) -> Headline:
    """How many components are in which word, and the sentence of the first that is not well."""
    oldest = min((row.observed_at for row in rows if row.observed_at is not None), default=None)
    shown = []
    for word in ROLL_UP:
        number = sum(row.word is word for row in rows)
        if number and (word in NOT_MET or word in CANNOT_TELL):
            shown.append(Part(number, word, f"{number} {word.label.lower()}", "components"))
    noun = "component" if len(rows) == 1 else "components"
    lead = f"{len(rows)} {noun}{':' if shown else ', all verified' if rows else ''}"
    bad = [row for row in rows if row.word in NOT_MET or row.word in CANNOT_TELL]
    why = bad[0].sentence if bad else "Every component is verified by live evidence." if rows else "No components yet."
    return Headline(lead, tuple(shown), why, oldest)


def answering(rows: Sequence[SourceRow]) -> str:
    """``4 of 5 sources answer``."""
    good = sum(row.word is ItemWord.VERIFIED for row in rows)
    return f"{good} of {len(rows)} sources answer"


def source_rows(cluster: str, sources: Sequence[Source], now: datetime) -> tuple[SourceRow, ...]:
    """The known sources in their order, those nobody has read yet included, then any other."""
    by_name = {source.name: source for source in sources}
    names = [*SOURCES, *(name for name in by_name if name not in SOURCES)]
    return tuple(_source_row(cluster, name, by_name.get(name), now) for name in names)


def _source_row(cluster: str, name: str, source: Source | None, now: datetime) -> SourceRow:
    row = source or Source(pk=0, cluster=cluster, name=name, last_error="The observer has not read it yet.")
    reading = source_reading(row, now)
    word = _WORD.get(reading.word, ItemWord.UNKNOWN)
    return SourceRow(
        id=row.pk or 0,
        cluster=cluster,
        name=name,
        title=SOURCES.get(name, name.capitalize()),
        mode=row.mode,
        word=word,
        sentence=reading.sentence,
        limit_seconds=row.limit_seconds,
        confirmed_at=row.confirmed_at,
        latency_ms=row.latency_ms,
        last_error=row.last_error,
        error_at=row.error_at,
        address=row.address,
        identity=row.identity,
        version=row.version,
        falls_due=reading.stale_at if word is ItemWord.VERIFIED else None,
    )


@dataclass(frozen=True, slots=True)
class ComponentFacts:
    """What the rows of components follow from besides readings. Equal facts, equal rows."""

    rows: Raw
    history: History
    #: up to when their shares are counted
    until: datetime


def component_facts(cluster: str, days: int, now: datetime, ids: Sequence[int] = ()) -> ComponentFacts:
    """The facts of the components of a cluster, or of these: two queries."""
    rows = _components(cluster, tuple(ids)).raw()
    found = history(cluster, (row[-1] for row in rows if row[-1] is not None), days, now)
    return ComponentFacts(rows, found, until(found, now))


@prepared
def _components(cluster: str, ids: tuple[int, ...]) -> QuerySet[Component, Any]:
    rows = Component.objects.filter(cluster=cluster).order_by("position", "pk", "checks")
    rows = rows.filter(pk__in=ids) if ids else rows
    return rows.values_list("id", "key", "title", "group", "detail", "checks")


def components(
    facts: ComponentFacts, readings: Mapping[int, Reading], days: int, now: datetime
) -> tuple[ComponentRow, ...]:
    """The components' rows with their strips."""
    grouped: dict[int, tuple[tuple[Any, ...], list[Reading]]] = {}
    for row in facts.rows:
        own = grouped.setdefault(row[0], (row, []))[1]
        if row[5] in readings:
            own.append(readings[row[5]])
    nodes = _node_count(readings)
    return tuple(_component(row, own, facts.history, days, now, nodes) for row, own in grouped.values())


def _node_count(readings: Mapping[int, Reading]) -> int:
    """How many nodes the cluster has, if a check of all of them says so."""
    every = [r.facts.get("nodes") or () for r in readings.values() if r.type == "nodes" and not r.params.get("role")]
    return max((len(names) for names in every), default=0)


def _component(
    row: tuple[Any, ...], own: Sequence[Reading], found: History, days: int, now: datetime, nodes: int
) -> ComponentRow:
    leader = min(own, key=lambda reading: RANK[ItemWord(reading.word)], default=None)
    bars, percent = strip(found, [(reading.check_id, reading.source) for reading in own], days, now)
    read = [reading.observed_at for reading in own if reading.observed_at is not None]
    due = [reading.stale_at for reading in own if reading.stale_at and reading.word != ItemWord.STALE]
    return ComponentRow(
        id=row[0],
        key=row[1],
        title=row[2],
        group=row[3],
        detail=row[4],
        word=ItemWord(leader.word) if leader else ItemWord.PENDING,
        last_word=worst((ItemWord(r.last_word or r.word) for r in own), ItemWord.PENDING),
        sentence=leader.sentence if leader else "No check is bound to this component yet.",
        ready=_ready(own),
        version=_fact(own, "version").removeprefix("v"),
        runs_on=_runs_on(own, nodes),
        storage=_storage(own),
        retention=_fact(own, "retention"),
        bars=bars,
        percent=percent,
        since=_since(found, leader),
        observed_at=min(read, default=None),
        falls_due=min(due, default=None),
    )


def _since(found: History, leader: Reading | None) -> datetime | None:
    """When the open stretch of the leading check began, if that is inside the days shown."""
    stretches: Sequence[Stretch] = found.checks.get(leader.check_id, ()) if leader else ()
    open_ones = [stretch for stretch in stretches if stretch.open and not stretch.clipped]
    return open_ones[-1].start if open_ones else None


def _ready(own: Sequence[Reading]) -> str:
    counted = [r.facts for r in own if "ready" in r.facts and "desired" in r.facts]
    if len(counted) == 1 and counted[0].get("containers"):
        return str(counted[0]["containers"])
    if not counted:
        return ""
    ready = sum(int(facts["ready"]) for facts in counted)
    return f"{ready}/{max(sum(int(facts['desired']) for facts in counted), 1)}"


def _fact(own: Sequence[Reading], name: str) -> str:
    return next((str(r.facts[name]) for r in own if r.facts.get(name)), "")


def _storage(own: Sequence[Reading]) -> str:
    for reading in own:
        facts = reading.facts
        if reading.type == "pvc_bound" and facts.get("storage_class"):
            return f"{facts.get('size', '')} {facts['storage_class']}".strip()
        if reading.type == "pvc_bound" and facts.get("claims"):
            return f"{facts['claims']} claims"
    return ""


_NUMBERED = re.compile(r"(.*?)(\d+)")


def _runs_on(own: Sequence[Reading], nodes: int) -> str:
    """``worker02``, ``master01–03``, ``all 7 nodes``."""
    workloads = [r for r in own if "nodes" in r.facts and ("kind" in r.facts or r.type == "nodes")]
    if not workloads:
        return ""
    names = sorted({str(name) for r in workloads for name in r.facts["nodes"]})
    if not names:
        return "no pod"
    if nodes and len(names) == nodes > 1:
        return f"all {nodes} nodes"
    matches = [_NUMBERED.fullmatch(name) for name in names]
    if len(names) > 2 and all(matches):
        stems = {match[1] for match in matches if match}
        numbers = [int(match[2]) for match in matches if match]
        if len(stems) == 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            last = matches[-1]
            return f"{names[0]}–{last[2] if last else ''}"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
