"""What an item's page shows beside its checks: the options of the catalogue and the diagnosis. Reads the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from deployments.catalogue.registry import get
from monitoring.models import Evidence
from portal.accounts.access import lowest, may
from portal.accounts.roles import Role
from portal.checklists.models import Diagnosis
from portal.checklists.selectors.shapes import ItemPage
from portal.checklists.words import ItemWord

_LETTERS = "ABCDEFGHIJ"
_CAN_BE_REPAIRED = {ItemWord.FAILING, ItemWord.DEGRADED}


@dataclass(frozen=True, slots=True)
class Option:
    """One remedy as the page offers it."""

    slug: str
    letter: str
    title: str
    #: None: named by the project's definition, but not in this version's catalogue
    tier: int | None
    summary: str
    best: bool
    allowed: bool
    needs: str


def options(page: ItemPage, who: Role | None) -> list[Option]:
    """The item's remedies, best first; none once the item is proven. What the catalogue lacks is shown as such."""
    if page.row.proven or not page.row.counted:
        return []
    found: list[Option] = []
    allowed, needs = may(who, "deployments.make_plan"), lowest("deployments.make_plan")
    for slug in page.row.remedies:
        letter = _LETTERS[len(found) % len(_LETTERS)]
        try:
            action = get(slug)
        except LookupError:
            title = slug.replace("-", " ").capitalize()
            found.append(Option(slug, letter, title, None, "", best=False, allowed=False, needs=""))
            continue
        best = not any(option.best for option in found) and page.row.word in _CAN_BE_REPAIRED
        found.append(Option(slug, letter, action.title, action.tier, action.summary, best, allowed, needs))
    return found


def nodes(cluster: str) -> dict[str, Any]:
    """The nodes as the ``nodes`` check read them, with the taints that ``node_taints`` checks confirm."""
    rows = Evidence.objects.filter(check_ref__cluster=cluster, check_ref__type__in=("nodes", "node_taints"))
    taints: dict[str, list[str]] = {}
    every: Evidence | None = None
    for row in rows.select_related("check_ref"):
        params = row.check_ref.params
        if row.check_ref.type == "node_taints" and row.word == "verified":
            taints.setdefault(str(params.get("node", "")), []).extend(map(str, params.get("taints", ())))
        elif row.check_ref.type == "nodes" and not params.get("role"):
            every = row
    if every is None:
        return {"nodes": []}
    shown = [
        {
            "name": str(name),
            "word": every.word if every.word == "verified" else "unknown",
            "taints": taints.get(str(name), []),
        }
        for name in list(every.facts.get("nodes", ()))[:60]
    ]
    return {"nodes": shown, "nodes_sentence": every.sentence}


@dataclass(frozen=True, slots=True)
class DiagnosisView:
    """Why an item is not proven: findings, most likely first, with what follows and what it is not."""

    findings: tuple[dict[str, Any], ...] = ()
    at: datetime | None = None
    consequences: tuple[str, ...] = ()
    ruled_out: tuple[str, ...] = ()


def diagnosis(page: ItemPage) -> DiagnosisView:
    """The stored diagnosis of an item; an empty one while nothing of it is known to be wrong."""
    row = page.row
    if not {row.word, row.evidence_word, row.last_word} & {ItemWord.FAILING, ItemWord.DEGRADED} or row.proven:
        return DiagnosisView()
    stored = Diagnosis.objects.filter(item_id=row.id).first()
    if stored is None:
        return DiagnosisView()
    found = [_finding(raw) for raw in stored.findings]
    top: Mapping[str, Any] = found[0] if found else {}
    return DiagnosisView(
        findings=tuple(found),
        at=stored.at,
        consequences=tuple(top.get("consequences", ())),
        ruled_out=tuple(top.get("ruled_out", ())),
    )


def _finding(raw: Mapping[str, Any]) -> dict[str, Any]:
    return dict(raw) | {"at": parse_datetime(str(raw.get("at") or "")) if raw.get("at") else None}
