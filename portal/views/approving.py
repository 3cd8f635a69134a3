"""A second person decides: what waits for one, yes and no, broken glass and its review."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from common.clock import now
from deployments import approvals, gates, reviews, services
from deployments.errors import NotAllowed, Refusal, TargetBusy
from deployments.models import Plan, Review
from deployments.states import RunState
from portal.accounts.access import READ, WRITE, may, member, requires, role
from portal.checklists.services import item_of_context, link_run
from portal.views import approvalview, holding, running
from portal.views.common import key_of, new_key, see_other
from portal.views.planview import plan_view

_TEXT = 2000


@requires("deployments.view_run")
def index(request: HttpRequest) -> HttpResponse:
    """``/approvals/``: what waits for a second person, what waits for a review."""
    waiting, user = approvalview.waiting(now()), member(request)
    context = {
        "waiting": waiting,
        "mine": {each.approval.run_id for each in waiting if each.approval.requested_by == user.username},
        "may_decide": may(role(request), approvals.RIGHT),
        "glass": approvalview.glass_of(Review.objects.filter(closed_at=None)),
        "closed": [approvalview.glass_of(Review.objects.filter(pk=pk)) for pk in _closed()],
        "topics": ["approvals"],
    }
    return render(request, "pages/approvals.html", context)


def _closed() -> list[int]:
    return list(Review.objects.exclude(closed_at=None).order_by("-closed_at").values_list("pk", flat=True)[:5])


@requires("deployments.approve_plan", WRITE)
def approve(request: HttpRequest, pk: str) -> HttpResponse:
    """A yes to a run of the plan that was read."""
    return _decide(request, pk, "approve")


@requires("deployments.approve_plan", WRITE)
def deny(request: HttpRequest, pk: str) -> HttpResponse:
    """A no."""
    return _decide(request, pk, "deny")


def _decide(request: HttpRequest, pk: str, deed: str) -> HttpResponse:
    """From the list, each run has its own fields (``reason-<run>``); from a plan or a run, there is one form."""
    run = running.find_run(pk)
    if run is None:
        raise Http404("There is no such run.")
    reason = request.POST.get(f"reason-{pk}") or request.POST.get("reason", "")
    read = request.POST.get(f"plan-{pk}") or request.POST.get("plan", "")
    decide = approvals.approve if deed == "approve" else approvals.deny
    try:
        decided = decide(member(request), pk, read[:64], reason[:_TEXT])
    except NotAllowed as refusal:
        return running.run_page(request, run, {"refusal": str(refusal)}, status=403)
    except Refusal as refusal:
        said = {"refusal": str(refusal), "reason_text": reason[:_TEXT]}
        return running.run_page(request, run, said, status=409)
    state = "it is queued." if decided.state == RunState.QUEUED else decided.sentence
    did = "approved" if deed == "approve" else "denied"
    messages.success(request, f"You {did} run {decided.number}: {state}", extra_tags="running")
    from_list = f"plan-{pk}" in request.POST
    return see_other(reverse("approvals") if from_list else reverse("run", args=(pk,)))


# -- broken glass


@requires("deployments.break_glass", (*READ, *WRITE))
def break_glass(request: HttpRequest, digest: str) -> HttpResponse:
    """``/plans/<hash>/break-glass/``: run it now, without the second person, and leave a red review."""
    plan = get_object_or_404(Plan, hash=digest)
    context = request.POST.get("context", request.GET.get("context", ""))[:80]
    if request.method != "POST":
        return _glass_page(request, plan, context)
    said = {name: request.POST.get(name, "")[:_TEXT] for name in ("reason", "confirm", "password")}
    try:
        run = services.break_glass(member(request), plan.pk, key_of(request), context, **said)
    except TargetBusy as busy:
        messages.error(request, str(busy), extra_tags="degraded")
        return see_other(reverse("run", args=(busy.run.pk,)))
    except Refusal as refusal:
        status = 403 if isinstance(refusal, NotAllowed) else 409
        return _glass_page(request, plan, context, str(refusal), said["reason"], status)
    item = item_of_context(context)
    if item is not None:
        link_run(member(request), run, item)
    return see_other(reverse("run", args=(run.pk,)))


def _glass_page(
    request: HttpRequest, plan: Plan, context: str, refusal: str = "", reason: str = "", status: int = 200
) -> HttpResponse:
    shown = {
        "plan": plan_view(plan),
        "plan_context": context,
        "phrase": gates.phrase(plan),
        "refusal": refusal,
        "reason_text": reason,
        "open_glass": holding.read().glass,
        "idempotency_key": new_key(),
    }
    return render(request, "pages/break_glass.html", shown, status=status)


@requires("deployments.view_run")
def review(request: HttpRequest, pk: str) -> HttpResponse:
    """``/runs/<ulid>/review/``: diff and log of a run without its second person, and the form that closes it."""
    return _review_page(request, _reviewed(pk))


def _reviewed(pk: str) -> Review:
    found = Review.objects.select_related("run", "run__plan", "run__requested_by", "opened_by", "closed_by")
    return get_object_or_404(found, run=pk)


def _review_page(
    request: HttpRequest, found: Review, refusal: str = "", finding: str = "", status: int = 200
) -> HttpResponse:
    run = found.run
    context = {
        "glass": approvalview.glass_of(Review.objects.filter(pk=found.pk)),
        "run": running.run_context(run, role(request), now())["run"],
        "plan": plan_view(run.plan),
        "log": running.whole_log(run),
        "why_not": reviews.may_close(member(request), found),
        "refusal": refusal,
        "finding": finding,
    }
    return render(request, "pages/review.html", context, status=status)


@requires("deployments.approve_plan", WRITE)
def close_review(request: HttpRequest, pk: str) -> HttpResponse:
    """A second person has read both and says what they found."""
    found = _reviewed(pk)
    finding = request.POST.get("finding", "")[:_TEXT]
    diff, log = (request.POST.get(name) == "yes" for name in ("read_diff", "read_log"))
    try:
        reviews.close(member(request), pk, finding, read_diff=diff, read_log=log)
    except NotAllowed as refusal:
        return _review_page(request, found, str(refusal), status=403)
    except Refusal as refusal:
        return _review_page(request, found, str(refusal), finding, status=409)
    messages.success(request, f"The review of run {found.run.number} is closed.", extra_tags="running")
    return see_other(reverse("approvals"))
