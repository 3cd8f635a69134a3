"""The catalogue: every action the portal can plan, and one page for each with its form. Reads the database only."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from deployments.catalogue import registry
from deployments.catalogue.action import Action
from deployments.models import Run
from deployments.selectors import TIERS
from portal.accounts.access import READ, lowest, may, requires, role
from portal.accounts.roles import Role
from portal.checklists.services import item_of_context
from portal.views.common import new_key
from portal.views.remedies import CONTEXT

_PLAN = "deployments.make_plan"
_RECENT = 8
#: what a link may fill in beforehand is cut here
_LONGEST = 2000


@requires("deployments.view_run", READ)
def actions(request: HttpRequest) -> HttpResponse:
    """``/actions/``: what this portal can do, by family; ``?q=`` and ``?tier=`` narrow it."""
    wanted, tier = request.GET.get("q", "").strip()[:80].lower(), request.GET.get("tier", "")
    latest: dict[str, Run] = {}
    for each in Run.objects.order_by("-requested_at")[:200]:
        latest.setdefault(each.action, each)
    every = registry.all_actions()
    found = [a for a in every if _matches(a, wanted) and tier in ("", str(a.tier))]
    found.sort(key=lambda action: (action.family, action.tier, action.title))
    families = [
        (family, [{"action": action, "last_run": latest.get(action.slug)} for action in members])
        for family, members in groupby(found, key=lambda action: action.family)
    ]
    context = {
        "families": families,
        "total": len(every),
        "count": len(found),
        "q": wanted,
        "tier": tier,
        "tiers": [(str(number), f"Tier {number}, {word}") for number, word in enumerate(TIERS)],
    }
    return render(request, "pages/actions.html", context)


def _matches(action: Action, wanted: str) -> bool:
    return wanted in f"{action.slug} {action.title} {action.summary} {action.family}".lower()


@requires("deployments.view_run", READ)
def action(request: HttpRequest, slug: str) -> HttpResponse:
    """``/actions/<slug>/``: what it does, what guards it, and the form that asks for a plan.

    Parameters in the address (``?name=x``) fill the form in: a finding links here with what it knows.
    """
    try:
        found = registry.get(slug)
    except LookupError as error:
        raise Http404(str(error)) from None
    if found.internal:
        raise Http404(f"{found.title} is made by the portal itself.")
    given = {name: request.GET[name][:_LONGEST] for name in request.GET if name != CONTEXT}
    context = request.GET.get(CONTEXT, "")
    return render(request, "pages/action.html", action_context(found, role(request), given, context=context))


def action_context(
    found: Action, who: Role | None, given: dict[str, str], refusal: str = "", context: str = "", wrong: str = ""
) -> dict[str, Any]:
    """The page of an action; ``given`` fills its form in, ``refusal`` says why the last try was none, ``wrong`` which
    parameter it is about, ``context`` names the item that somebody came from."""
    item = item_of_context(context)
    fields = [(field, given.get(field.name, field.shown)) for field in registry.fields(found)]
    return {
        "action": found,
        "item": item,
        "plan_context": f"item:{item.pk}" if item is not None else "",
        "rules": [
            f"{' '.join(rule.verbs)} {rule.resource}{f'.{rule.group}' if rule.group else ''}" for rule in found.rules
        ],
        "needed": [each for each in fields if each[0].required],
        "optional": [each for each in fields if not each[0].required],
        "open_optional": any(
            field.name == wrong or value != field.shown for field, value in fields if not field.required
        ),
        "command": _command(found, given),
        "allowed": may(who, _PLAN),
        "needs": lowest(_PLAN),
        "runs": Run.objects.filter(action=found.slug).select_related("requested_by")[:_RECENT],
        "key": new_key(),
        "refusal": refusal,
        "wrong": wrong,
    }


def _command(found: Action, given: dict[str, str]) -> str:
    """The same by command."""
    names = [field.name for field in registry.fields(found) if field.required or field.name in given]
    params = "".join(f" --param {name}={given.get(name) or '…'}" for name in names)
    return f"manage.py plan {found.slug}{params}"
