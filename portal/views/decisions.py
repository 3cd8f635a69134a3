"""Decisions: what is open with its options as the cluster stands, and what was decided, why and by whom."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from deployments import services
from deployments.errors import Refusal
from portal.accounts.access import WRITE, lowest, may, member, requires, role
from portal.checklists import choices
from portal.checklists.models import Choice, Decision, Project
from portal.views.common import PAGE, key_of, new_key, older, page_number, project, see_other


def open_context(found: Project, key: str) -> dict[str, Any] | None:
    """What the live part of a decision shows; the same for everybody. None: there is no such subject."""
    subject = choices.SUBJECTS.get(key)
    if subject is None:
        return None
    reading = Choice.objects.filter(project=found, key=key).first()
    item = choices.item_of(found, subject)
    asked = reading is not None and choices.is_open(found, subject)
    options = [_shown(option) for option in reading.options] if reading is not None and asked else []
    return {"subject": subject, "reading": reading, "options": options, "item": item}


def _shown(option: dict[str, Any]) -> dict[str, Any]:
    unmet = [p for p in option["preconditions"] if not p["met"]]
    return option | {"unmet": unmet, "count": len(option["preconditions"]), "ready": option["met"]}


@requires("checklists.view_board")
def decisions(request: HttpRequest) -> HttpResponse:
    """``/decisions/``: open ones first, then the records, newest first."""
    here, page = project(), page_number(request)
    records = list(Decision.objects.filter(project=here).order_by("-at", "-pk")[(page - 1) * PAGE : page * PAGE + 1])
    subjects = [open_context(here, key) for key in choices.SUBJECTS]
    context = {
        "subjects": subjects,
        "open": sum(bool(each and each["options"]) for each in subjects),
        "records": records[:PAGE],
        "more": older(request, page, len(records) > PAGE),
    }
    return render(request, "pages/decisions.html", context)


@requires("checklists.view_board")
def decision(request: HttpRequest, key: str) -> HttpResponse:
    """``/decisions/<key>/``: the options side by side, each with what must hold before it can be done."""
    return _page(request, key)


def _page(request: HttpRequest, key: str, refusal: str = "", status: int = 200) -> HttpResponse:
    here = project()
    context = open_context(here, key)
    if context is None:
        raise Http404("There is nothing of that name to decide.")
    context |= {
        "records": Decision.objects.filter(project=here, key__startswith=f"{key}-").order_by("-at")[:10],
        "may_choose": may(role(request), "deployments.make_plan"),
        "choose_role": lowest("deployments.make_plan"),
        "idempotency_key": new_key(),
        "refusal": refusal,
        "topics": [f"decision:{key}"],
    }
    return render(request, "pages/decision.html", context, status=status)


@requires("deployments.make_plan", WRITE)
def choose(request: HttpRequest, key: str) -> HttpResponse:
    """Write the decision down and ask for the plan of what was chosen. Nothing is changed before that plan runs."""
    here = project()
    option, reason = request.POST.get("option", ""), request.POST.get("reason", "")
    try:
        record, chosen = choices.choose(member(request), here, key, option, reason)
    except (choices.ChoiceError, PermissionDenied) as refusal:
        return _page(request, key, str(refusal), status=422)
    item = choices.item_of(here, choices.SUBJECTS[key])
    context = f"item:{item.pk}" if item is not None else ""
    try:
        wish = services.request_plan(member(request), chosen["action"], chosen["params"], context, key_of(request))
    except Refusal as refusal:
        messages.error(request, f"Decided: {record.body['selected']}. {refusal}", extra_tags="degraded")
        return redirect(reverse("decision", args=(key,)))
    return see_other(reverse("plan-request", args=(wish.pk,)))
