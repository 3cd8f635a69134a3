"""Plans and runs: the catalogue, the click, the plan, the run, its log. Opens no connection to a cluster."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from common.clock import now
from deployments import gates, reviews, services
from deployments.catalogue import registry, undoing
from deployments.catalogue.wrong import WrongParameter
from deployments.engine.document import load
from deployments.errors import Refusal, TargetBusy, Unconfirmed
from deployments.models import Lock, Plan, PlanRequest, Run
from deployments.states import RequestState, RunState
from portal.accounts.access import WRITE, lowest, may, member, requires, role
from portal.accounts.roles import Role
from portal.checklists.models import Item
from portal.checklists.services import item_of_context, link_run
from portal.views import approvalview, holding, proposing, remedies, running
from portal.views.catalogue import action_context
from portal.views.common import key_of, new_key, see_other
from portal.views.planview import PlanView, plan_view


def phase_url(card: Any) -> str:
    """The page of a phase."""
    return reverse("phase", args=(card.number, card.key))


# -- asking for a plan ---------------------------------------------------------------------------------------------


@requires("deployments.make_plan", WRITE)
def plan_item(request: HttpRequest, pk: int) -> HttpResponse:
    """The click on an item's remedy."""
    item = get_object_or_404(Item, pk=pk, retired=False)
    slug, params = remedies.parse(request.POST.get("action", ""))
    if slug not in remedies.offered(item):
        raise Http404(f"{slug} is not a remedy of this item.")
    return _ask_plan(request, slug, params, f"item:{item.pk}", reverse("item", args=(pk,)))


@requires("deployments.make_plan", WRITE)
def plan_action(request: HttpRequest, slug: str) -> HttpResponse:
    """The click on an action of the catalogue, with its parameters."""
    given = {key.removeprefix("p-"): request.POST[key] for key in request.POST if key.startswith("p-")}
    try:
        found = registry.get(slug)
    except LookupError as error:
        raise Http404(str(error)) from None
    item = item_of_context(request.POST.get("context", "")[:80])
    context = f"item:{item.pk}" if item is not None else ""
    try:
        params = {name: value for name, value in given.items() if value}
        wish = services.request_plan(member(request), slug, params, context, key_of(request))
    except (Refusal, ValueError) as refusal:
        wrong = refusal.__cause__
        said = (
            f"{wrong.sentence[:1].upper()}{wrong.sentence[1:]}." if isinstance(wrong, WrongParameter) else str(refusal)
        )
        field = wrong.field if isinstance(wrong, WrongParameter) else ""
        shown_again = action_context(found, role(request), given, said, context, field)
        return render(request, "pages/action.html", shown_again, status=422)
    return see_other(reverse("plan-request", args=(wish.pk,)))


def _ask_plan(request: HttpRequest, slug: str, params: dict[str, str], context: str, home: str) -> HttpResponse:
    try:
        wish = services.request_plan(member(request), slug, params, context, key_of(request))
    except (Refusal, LookupError, ValueError) as refusal:
        messages.error(request, str(refusal), extra_tags="failing")
        return redirect(home)
    return see_other(reverse("plan-request", args=(wish.pk,)))


def wish_of(pk: str) -> dict[str, Any] | None:
    """What the page of a plan request shows."""
    wish = PlanRequest.objects.select_related("requested_by").filter(pk=pk).first()
    if wish is None:
        return None
    try:
        title = registry.get(wish.action).title
    except LookupError:
        title = wish.action
    item = item_of_context(wish.context)
    words = {RequestState.QUEUED: "queued", RequestState.PLANNING: "planning", RequestState.FAILED: "failed"}
    waiting = "Reading the cluster and asking the API server what each write would change. Nothing is changed."
    return {
        "wish": {
            "id": wish.pk,
            "title": title,
            "word": words.get(RequestState(wish.state), "planning"),
            "sentence": wish.sentence or waiting,
            "at": wish.requested_at,
            "item": item,
            **_ways_back(wish, item),
            "plan_url": f"{reverse('plan', args=(wish.plan_id,))}?request={wish.pk}" if wish.plan_id else "",
        }
    }


def _ways_back(wish: PlanRequest, item: Item | None) -> dict[str, str]:
    """Where somebody came from, and the form filled in as it was sent; an undo has its run instead."""
    if wish.action == undoing.SLUG:
        return {"back": reverse("run", args=(wish.params["run"],)), "back_text": f"Run {wish.params['number']}"}
    form = remedies.form(wish.action, wish.params, item.pk if item else None)
    if item is not None:
        return {"back": reverse("item", args=(item.pk,)), "back_text": item.title, "form": form}
    return {"back": reverse("actions"), "back_text": "Actions", "form": form}


@requires("deployments.make_plan")
def plan_request(request: HttpRequest, pk: str) -> HttpResponse:
    """A plan being made; once it is there, its page."""
    found = wish_of(pk)
    if found is None:
        raise Http404("There is no such request.")
    if found["wish"]["plan_url"]:
        return redirect(found["wish"]["plan_url"])
    return render(request, "pages/plan_request.html", found | {"topics": [f"plan:{pk}"]})


# -- the plan --------------------------------------------------------------------------------------------------------


@requires("deployments.view_run")
def plan(request: HttpRequest, digest: str) -> HttpResponse:
    """``/plans/<hash>/``: exactly what would be done."""
    found = get_object_or_404(Plan, hash=digest)
    wish = _wish(found, request.GET.get("request", ""))
    return plan_page(request, found, wish.context if wish else "")


def plan_page(request: HttpRequest, found: Plan, context: str, refusal: str = "", status: int = 200) -> HttpResponse:
    """The page of a plan, for the person who asks."""
    shown_to = plan_context(found, role(request), context, refusal)
    waiting = shown_to["waiting_run"]
    shown_to |= approvalview.panel(waiting, member(request), may(role(request), reviews.BREAK), now())
    shown_to["topics"] = [f"plan:{found.pk}", f"freezes:{found.tier}", *([f"approval:{waiting.pk}"] if waiting else [])]
    return render(request, "pages/plan.html", shown_to, status=status)


def _wish(found: Plan, pk: str) -> PlanRequest | None:
    """The request this plan was opened from, else its newest."""
    wishes = found.requests.order_by("-requested_at")
    return (wishes.filter(pk=pk).first() if pk else None) or wishes.first()


def plan_context(found: Plan, who: Role | None, context: str, refusal: str = "") -> dict[str, Any]:
    """What the page of a plan shows to a role."""
    view = plan_view(found)
    document = load(found.document)
    lock = Lock.objects.filter(target_key__in=document.locks).select_related("run").order_by("at").first()
    waits = found.runs.filter(state=RunState.WAITING_FOR_APPROVAL).select_related("plan", "requested_by")
    waiting = waits.first()
    try:
        asks = approvalview.asks(found)
    except Refusal as unreadable:
        asks, refusal = "", str(unreadable)
    holds = holding.read().shown(now(), view.tier)
    return {
        "plan": view,
        "item": item_of_context(context),
        "plan_context": context,
        "refusal": refusal,
        "blocked_by_run": lock.run if lock else None,
        "waiting_run": waiting,
        "asks": asks,
        "proposal": proposing.offer(document),
        "may_propose": may(who, "deployments.make_plan"),
        "phrase": gates.phrase(found),
        **holds,
        "frozen_here": bool(holds.get("frozen")),
        "off_why": "" if waiting else _off(view, who, lock.run if lock else None),
        "run_text": "Ask for approval" if asks else "Run this plan",
        "idempotency_key": new_key(),
    }


def _off(view: PlanView, who: Role | None, holder: Run | None) -> str:
    """Why the button is off; empty when it is on."""
    permission = f"deployments.run_tier{view.tier}"
    if not may(who, permission):
        return f"Off: needs role {lowest(permission)}."
    if view.moved:
        return "Off: the cluster has moved since. Make a new plan."
    unmet = sum(not pre.met for pre in view.preconditions)
    if unmet:
        return f"Off: {unmet} of {len(view.preconditions)} preconditions unmet."
    return f"Off until run {holder.number} ends." if holder is not None else ""


@requires("deployments.make_plan", WRITE)
def run_plan(request: HttpRequest, digest: str) -> HttpResponse:
    """Run exactly this plan. The service asks again for every right and precondition."""
    found = get_object_or_404(Plan, hash=digest)
    context = request.POST.get("context", "")[:80]
    missing = _unconfirmed(request, found)
    if missing:
        return plan_page(request, found, context, missing, status=422)
    typed = request.POST.get("confirm", "")[:300]
    try:
        run = services.start_run(member(request), found.hash, key_of(request), context, confirm=typed)
    except TargetBusy as busy:
        messages.error(request, str(busy), extra_tags="degraded")
        return running.shown_after(request, busy.run)
    except Refusal as refusal:
        status = 422 if isinstance(refusal, Unconfirmed) else 409
        return plan_page(request, found, context, str(refusal), status)
    item = item_of_context(context)
    if item is not None:
        link_run(member(request), run, item)
    return running.shown_after(request, run)


def _unconfirmed(request: HttpRequest, plan: Plan) -> str:
    """What a tier asks a person to do before the click counts."""
    if plan.tier == 2 and request.POST.get("understood") != "yes":
        return "Say first that you know what this interrupts."
    return ""
