"""What an item's page shows beside its checks: the options of the catalogue and the diagnosis. Reads the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.urls import reverse
from django.utils.dateparse import parse_datetime

from deployments.catalogue.action import Action
from deployments.catalogue.registry import fields, get
from monitoring.models import Evidence
from portal.accounts.access import lowest, may
from portal.accounts.roles import Role
from portal.checklists.models import Diagnosis, Item
from portal.checklists.selectors.wholes import ItemPage
from portal.checklists.words import ItemWord

#: names the item in the address of an action's page; no parameter can be called so, the word is Python's own
CONTEXT = "from"
_LETTERS = "ABCDEFGHIJ"
_LONGEST = 4000
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
    #: what the diagnosis knows of its parameters: the button sends them
    params: Mapping[str, str] = field(default_factory=dict)
    #: where the rest of its parameters is asked for, when the diagnosis does not know all that it needs
    form: str = ""

    @property
    def value(self) -> str:
        """What the button sends: ``delete-pod?name=x&namespace=y``."""
        return f"{self.slug}?{urlencode(sorted(self.params.items()))}" if self.params else self.slug

    @property
    def about(self) -> str:
        """What it would act on, in short."""
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in sorted(self.params.items()))


def parse(value: str) -> tuple[str, dict[str, str]]:
    """Slug and parameters of :attr:`Option.value`. What a person could send by hand is checked like any parameters."""
    slug, _, query = value.partition("?")
    return slug, dict(parse_qsl(query, max_num_fields=20)) if len(query) < _LONGEST else {}


def offered(item: Item) -> dict[str, dict[str, str]]:
    """The slugs an item offers with the parameters that are known: those of its diagnosis first, then its own."""
    stored = Diagnosis.objects.filter(item_id=item.pk).first()
    return _offered(tuple(item.remedies), stored.findings if stored is not None else [])


def _offered(own: Iterable[str], findings: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    slugs: dict[str, dict[str, str]] = {}
    for finding in findings:
        known = finding.get("parameters") or {}
        for slug in finding.get("remedies") or ():
            slugs.setdefault(str(slug), {str(k): str(v) for k, v in (known.get(slug) or {}).items()})
    for slug in own:
        slugs.setdefault(slug, {})
    return slugs


def options(page: ItemPage, who: Role | None) -> list[Option]:
    """What can be done about an item, best first: what its diagnosis names, then what its project does; none once the
    item is proven. What the project names and the catalogue lacks is shown as such."""
    if page.row.proven or not page.row.counted:
        return []
    found: list[Option] = []
    allowed, needs = may(who, "deployments.make_plan"), lowest("deployments.make_plan")
    for slug, params in _offered(page.row.remedies, diagnosis(page).findings).items():
        letter = _LETTERS[len(found) % len(_LETTERS)]
        try:
            action = get(slug)
        except LookupError:
            if slug in page.row.remedies:
                title = slug.replace("-", " ").capitalize()
                found.append(Option(slug, letter, title, None, "", best=False, allowed=False, needs=""))
            continue
        best = not any(option.best for option in found) and page.row.word in _CAN_BE_REPAIRED
        form = _form(action, params, page.row.id)
        found.append(
            Option(slug, letter, action.title, action.tier, action.summary, best, allowed, needs, params, form)
        )
    return found[: len(_LETTERS)]


def _form(action: Action, params: Mapping[str, str], item_id: int) -> str:
    """The action's own page, filled in as far as it is known, when something it needs is not; it knows the item."""
    if all(each.name in params for each in fields(action) if each.required):
        return ""
    return form(action.slug, params, item_id)


def form(slug: str, params: Mapping[str, Any], item_id: int | None) -> str:
    """The page of an action with these parameters filled in, reached from an item or from nowhere."""
    given = sorted((name, ", ".join(map(str, v)) if isinstance(v, list | tuple) else v) for name, v in params.items())
    query = urlencode([*given, *([(CONTEXT, f"item:{item_id}")] if item_id is not None else ())])
    return f"{reverse('action', args=(slug,))}{f'?{query}' if query else ''}"


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
