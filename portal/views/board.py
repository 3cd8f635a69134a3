"""The board: overview, phases, one phase, one item, status, search. The selectors derive, the templates format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from common.clock import now
from deployments.models import Run
from monitoring.models import Component
from portal import times
from portal.accounts.access import WRITE, lowest, may, member, requires, role
from portal.checklists import choices, services
from portal.checklists.models import Item, Phase, Project
from portal.checklists.selectors import board, fetch, item_page, item_rows, phase_page, status_page
from portal.checklists.selectors.shapes import Group, Headline, ItemRow
from portal.checklists.selectors.wholes import Board, HistoryBar, PhasePage
from portal.checklists.words import ROLL_UP
from portal.views import firing, holding, remedies
from portal.views.common import back, new_key, project, source_topics
from portal.views.fresh import conditional
from portal.words import QUIET

STATUS_DAYS = 90
#: how many of the items that hold the phase back the overview shows (templates/parts/holding.html)
HELD_SHOWN = 8
SHOW = ("all", "open", "mine", "proven")


def board_context(found: Board, who: Any) -> dict[str, Any]:
    """What the overview and its live regions show."""
    here = next((phase for phase in found.phases if phase.current), None)
    waiting = sum(need.kind == "approval" and may(who, need.permission) for need in found.needs_you)
    return {
        "board": found,
        "phases": found.phases,
        "components": found.components,
        "running": found.running,
        "running_count": len(found.running),
        "needs_you": waiting,
        "approvals_count": waiting,
        "approvals": any(need.kind == "approval" for need in found.needs_you),
        "needs": [need for need in found.needs_you if may(who, need.permission)],
        "headline_url": reverse("phase", args=(here.number, here.key)) if here else reverse("phases"),
    }


@requires("checklists.view_board")
@conditional
def overview(request: HttpRequest) -> HttpResponse:
    """``/``: where the team stands and what holds it back."""
    loaded = Project.objects.order_by("pk").first()
    if loaded is None:
        return render(request, "pages/phases.html", {"phases": (), "headline": _nothing()})
    found = board(loaded, now())
    topics = ["headline", "board", "running", "freezes", *(f"phase-tile:{phase.id}" for phase in found.phases)]
    topics += source_topics(found.sources) + [f"component:{row.id}" for row in found.components]
    topics += [f"hold:{row.id}" for row in found.held_back[:HELD_SHOWN]]
    context = board_context(found, role(request)) | holding.read().shown(now()) | {"topics": topics}
    return render(request, "pages/overview.html", context)


def _nothing() -> Headline:
    return Headline("No project yet", (), "")


@requires("checklists.view_board")
@conditional
def phases(request: HttpRequest) -> HttpResponse:
    """``/phases/``: every phase with its blocks."""
    loaded = Project.objects.order_by("pk").first()
    if loaded is None:
        return render(request, "pages/phases.html", {"phases": (), "headline": _nothing()})
    found = board(loaded, now())
    context = board_context(found, role(request))
    context |= {
        "headline": found.headline,
        "topics": ["headline", *(f"phase-bar:{phase.id}" for phase in found.phases)],
    }
    return render(request, "pages/phases.html", context)


def _phase(number: int, key: str) -> Phase:
    return get_object_or_404(Phase.objects.select_related("project"), project=project(), number=number, key=key)


def _lists(page: PhasePage, name: str) -> dict[str, tuple[ItemRow, ...]]:
    return {
        "all": page.rows,
        "open": tuple(row for row in page.rows if row.open),
        "mine": tuple(row for row in page.rows if row.owner == name),
        "proven": tuple(row for row in page.rows if row.proven),
    }


def all_groups(page: PhasePage, keep: frozenset[int] | None = None) -> list[Group]:
    """Every word as a group, worst first; empty ones are hidden by the style sheet until a row moves in."""
    notes = {group.word: group.note for group in page.groups}
    rows = [row for row in page.rows if keep is None or row.id in keep]
    return [Group(word, tuple(row for row in rows if row.word is word), notes.get(word, "")) for word in ROLL_UP]


@requires("checklists.view_board")
@conditional
def phase(request: HttpRequest, number: int, key: str) -> HttpResponse:
    """``/phases/<number>-<key>/``: its items by state, worst first. ``?show=open|mine|proven``."""
    page = phase_page(_phase(number, key), now())
    show = request.GET.get("show", "all")
    show = show if show in SHOW else "all"
    lists = _lists(page, member(request).username)
    keep = None if show == "all" else frozenset(row.id for row in lists[show])
    views = [
        {
            "url": f"?show={name}" if name != "all" else "?",
            "title": name.capitalize(),
            "count": len(rows),
            "current": name == show,
        }
        for name, rows in lists.items()
    ]
    context = {
        "page": page,
        "groups": all_groups(page, keep),
        "any_row": bool(lists[show]),
        "filtered": show != "all",
        "views": views,
        "list_key": f"mine:{member(request).pk}" if show == "mine" else show,
        "people": any(row.owner or row.due_on for row in page.rows),
        "verify_url": reverse("phase-verify", args=(number, key)),
        "topics": [f"phase:{page.phase.id}", *(f"item:{row.id}" for row in page.rows)],
    }
    return render(request, "pages/phase.html", context | verify_rights(role(request)))


def verify_rights(who: Any) -> dict[str, Any]:
    """Whether a role may ask for a fresh reading, else which one may."""
    return {
        "can_verify": may(who, "checklists.request_check"),
        "verify_role": lowest("checklists.request_check"),
    }


@requires("checklists.request_check", WRITE)
def verify_phase(request: HttpRequest, number: int, key: str) -> HttpResponse:
    """Ask for a fresh reading of every check of a phase."""
    services.request_phase_check(member(request), _phase(number, key))
    return back(request, reverse("phase", args=(number, key)))


@requires("checklists.request_check", WRITE)
def verify_item(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a fresh reading of every check of an item."""
    services.request_item_check(member(request), _item(pk))
    return back(request, reverse("item", args=(pk,)))


@requires("checklists.attest_item", WRITE)
def attest_item(request: HttpRequest, pk: int) -> HttpResponse:
    """A person's word on an item."""
    try:
        services.attest_item(member(request), _item(pk), request.POST.get("statement", ""))
    except services.ItemError as refusal:
        messages.error(request, str(refusal), extra_tags="failing")
    return redirect("item", pk)


def _item(pk: int) -> Item:
    return get_object_or_404(Item.objects.select_related("project", "phase"), pk=pk, retired=False)


@requires("checklists.view_board")
def item(request: HttpRequest, pk: int) -> HttpResponse:
    """``/items/<id>/``: the claim, why it is or is not so, and what can be done."""
    found = _item(pk)
    page = item_page(found, now())
    who = role(request)
    options = remedies.options(page, who)
    context = {
        "page": page,
        "newest_first": merged(page.history),
        "diagnosis": remedies.diagnosis(page),
        "remedies": options,
        "decision": choices.about(page.row.key),
        "best": next((option for option in options if option.best), None),
        "can_plan": may(who, "deployments.make_plan"),
        "can_attest": may(who, "checklists.attest_item"),
        "verify_url": reverse("item-verify", args=(pk,)),
        "idempotency_key": new_key(),
        "topics": [f"item-page:{pk}"],
    }
    return render(request, "pages/item.html", context | head_context(page.row) | verify_rights(who))


def merged(history: Iterable[HistoryBar]) -> list[HistoryBar]:
    """An item's history, newest first; stretches of one word under changing causes are one line with the last cause."""
    found: list[HistoryBar] = []
    for bar in history:
        if found and found[-1].word == bar.word:
            found[-1] = replace(bar, opened_at=found[-1].opened_at)
        else:
            found.append(bar)
    return found[::-1]


def head_context(row: ItemRow) -> dict[str, Any]:
    """The one light fact beside an item's chip: for how long it has been so."""
    quiet = row.word.value in QUIET or row.since is None
    return {
        "head_fact": "" if quiet or row.since is None else f"for {times.rough((now() - row.since).total_seconds())}"
    }


@requires("checklists.view_board")
@conditional
def status(request: HttpRequest) -> HttpResponse:
    """``/status/``: components with their history, nodes, sources with their age."""
    cluster = project().cluster
    moment = now()
    found = fetch.readings(cluster, moment)
    page = status_page(cluster, moment, STATUS_DAYS, found)
    grouped = [(name, list(rows)) for name, rows in groupby(page.components, key=lambda row: row.group)]
    topics = source_topics(page.sources) + [f"status:{row.id}" for row in page.components] + ["status-head", "firing"]
    context = {"page": page, "component_groups": grouped, "topics": topics} | remedies.nodes(cluster)
    context |= firing.context(found.by_check.values())
    return render(request, "pages/status.html", context)


@requires("checklists.view_board")
def search(request: HttpRequest) -> HttpResponse:
    """``/search?q=``: items, components, runs and actions by any word of their titles, keys and sentences."""
    query = request.GET.get("q", "").strip()[:200]
    groups = _hits(query) if query else []
    only = [hit for group in groups for hit in group["hits"]]
    if len(only) == 1 and request.GET.get("go") == "1":
        return redirect(only[0]["url"])
    return render(request, "pages/search.html", {"query": query, "groups": groups, "total": len(only)})


def _hits(query: str) -> list[dict[str, Any]]:
    from deployments.catalogue.registry import all_actions

    found = Item.objects.filter(retired=False).filter(
        Q(title__icontains=query) | Q(key__icontains=query) | Q(description__icontains=query)
    )
    rows = item_rows([each.pk for each in found[:20]], now())
    components = Component.objects.filter(
        Q(title__icontains=query) | Q(key__icontains=query) | Q(detail__icontains=query)
    )
    number = query.lower().removeprefix("run").strip().lstrip("#")
    runs = Run.objects.select_related("plan").filter(
        Q(plan__title__icontains=query)
        | Q(id__iexact=query)
        | Q(plan__hash__istartswith=query)
        | (Q(number=int(number)) if number.isdecimal() and len(number) < 9 else Q(pk__in=()))
    )
    actions = [a for a in all_actions() if query.lower() in f"{a.slug} {a.title} {a.summary}".lower()]
    return [
        _group("Items", [(reverse("item", args=(r.id,)), r.title, r.sentence, r.word.value) for r in rows.values()]),
        _group(
            "Components", [(f"{reverse('status')}#component-{c.pk}", c.title, c.detail, "") for c in components[:20]]
        ),
        _group(
            "Runs",
            [(reverse("run", args=(r.pk,)), f"Run {r.number}: {r.plan.title}", r.sentence, r.state) for r in runs[:20]],
        ),
        _group("Actions", [(reverse("action", args=(a.slug,)), a.title, a.summary, "") for a in actions]),
    ]


def _group(title: str, hits: list[tuple[str, str, str, str]]) -> dict[str, Any]:
    return {"title": title, "hits": [{"url": u, "title": t, "sentence": s, "word": w} for u, t, s, w in hits]}
