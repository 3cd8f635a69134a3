"""Runs: the page of one with its log, what is asked of it, the list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from common.clock import now
from common.publish import position
from deployments import reviews, services, unfollowed
from deployments.catalogue import registry, undoing
from deployments.engine.document import load
from deployments.errors import Refusal
from deployments.fault import point
from deployments.models import FollowUp, LogLine, Run
from deployments.states import ACTIVE, RunState
from portal.accounts.access import WRITE, lowest, may, member, requires, role
from portal.accounts.roles import Role
from portal.checklists.models import Item
from portal.checklists.services import item_of_context
from portal.times import second
from portal.views import approvalview, proposing, remedies
from portal.views.common import PAGE, back, older, page_number, see_other
from portal.views.runview import Log, log_view, run_view
from portal.words import shown

#: lines sent with every change of a run; a page that missed more asks for the rest
TAIL = 60
#: lines on a page; the raw log has all of them
LINES = 3000


def find_run(pk: str) -> Run | None:
    """A run with what its page needs."""
    return Run.objects.select_related("plan", "requested_by", "undo_of", "covered_by").filter(pk=pk).first()


def run_context(run: Run, who: Role | None, at: datetime) -> dict[str, Any]:
    """What the live parts of a run's page show to a role."""
    steps = list(run.steps.all())
    view = run_view(run, steps, at)
    return {
        "run": view,
        "pull": proposing.pull_of(steps),
        "may_cancel": may(who, "deployments.cancel_run"),
        "may_undo": may(who, "deployments.make_plan"),
        "cancel_role": lowest("deployments.cancel_run"),
        "undo_role": lowest("deployments.make_plan"),
        "unfollowed": _unfollowed(run, view.follow_ups),
        "may_settle": may(who, unfollowed.SETTLE),
    }


def _unfollowed(run: Run, follow_ups: Iterable[FollowUp]) -> list[dict[str, Any]]:
    """What was to follow by itself and did not, each with the form that does it by hand (an undo has its button)."""
    found = [row for row in follow_ups if unfollowed.is_broken(row)]
    item = item_of_context(run.context) if found else None
    return [
        {
            "row": row,
            "form": remedies.form(row.action, row.params, item.pk if item else None)
            if row.action != undoing.SLUG
            else "",
        }
        for row in found
    ]


def _log(run: Run, lines: list[LogLine]) -> Log:
    titles = [step.spec.title for step in load(run.plan.document).steps]
    last = run.line_count
    if not lines:
        return log_view([], titles, last)
    before = run.lines.filter(number__lt=lines[0].number, step_index__gte=0).order_by("-number")
    begun = before.values_list("step_index", flat=True).first() if lines[0].number > 1 else None
    return log_view(lines, titles, last, -1 if begun is None else begun)


def whole_log(run: Run) -> Log:
    """The newest :data:`LINES` lines of a run: in most cases all of them."""
    return _log(run, list(run.lines.order_by("-number")[:LINES])[::-1])


def log_tail(run: Run) -> Log:
    """The newest lines of a run."""
    return _log(run, list(run.lines.order_by("-number")[:TAIL])[::-1])


@requires("deployments.view_run")
def run(request: HttpRequest, pk: str) -> HttpResponse:
    """``/runs/<ulid>/``: evidence before and now, steps, log."""
    found = find_run(pk)
    if found is None:
        raise Http404("There is no such run.")
    return run_page(request, found, {})


def run_page(request: HttpRequest, found: Run, said: dict[str, Any], status: int = 200) -> HttpResponse:
    """The page of a run, for the person who asks; ``said`` is what a refused decision adds."""
    moment = now()
    who = role(request)
    panel = approvalview.panel(found, member(request), may(who, reviews.BREAK), moment)
    context = run_context(found, who, moment) | panel | said
    tied = Item.objects.select_related("phase").filter(run_items__run=found).first() or item_of_context(found.context)
    context |= {
        "log": whole_log(found),
        "item": tied,
        "topics": [f"run:{found.pk}", f"approval:{found.pk}"],
    }
    return render(request, "pages/run.html", context, status=status)


def shown_after(request: HttpRequest, run: Run) -> HttpResponse:
    """The answer to a click that led to a run. A browser with scripts gets its page at once, to be put in place of the
    one that asked: a redirect and a whole load more would be half of the time from click to log. Others are sent there.
    """
    address = reverse("run", args=(run.pk,))
    if not request.headers.get("HX-Request"):
        return see_other(address)
    point("answering")
    request.stream_position = position()  # type: ignore[attr-defined]  # as of a page that is asked for: before it is read
    request.path = address
    found = find_run(run.pk)
    assert found is not None
    answer = run_page(request, found, {})
    answer["HX-Push-Url"] = address
    return answer


@requires("deployments.view_run")
def log_text(request: HttpRequest, pk: str) -> HttpResponseBase:  # noqa: ARG001 - a view
    """The whole log as text."""
    found = get_object_or_404(Run, pk=pk)
    response = StreamingHttpResponse(_text(found), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'inline; filename="run-{found.number}.txt"'
    return response


def _text(run: Run) -> Iterator[str]:
    for line in run.lines.order_by("number").iterator(1000):
        yield f"{line.number:>5} {second(line.at)} {line.level:<5} {line.text}\n"


@requires("deployments.view_run")
def log_lines(request: HttpRequest, pk: str) -> HttpResponse:
    """The lines after ``?after=``, grouped as on the page: what a page asks for that missed some."""
    found = find_run(pk)
    raw = request.GET.get("after", "0")
    if found is None or not raw.isdecimal() or len(raw) > 9:
        raise Http404("There are no such lines.")
    lines = list(found.lines.filter(number__gt=int(raw)).order_by("number")[:LINES])
    return render(request, "parts/log_groups.html", {"log": _log(found, lines)})


@requires("deployments.cancel_run", WRITE)
def cancel(request: HttpRequest, pk: str) -> HttpResponse:
    """Ask a run to stop: between steps and inside waits."""
    found = get_object_or_404(Run, pk=pk)
    try:
        services.cancel_run(member(request), found)
    except Refusal as refusal:
        messages.error(request, str(refusal), extra_tags="degraded")
    return back(request, reverse("run", args=(pk,)))


@requires("deployments.view_run")
def runs(request: HttpRequest) -> HttpResponse:
    """``/runs/?state=&action=&actor=``: newest first."""
    state, action = request.GET.get("state", ""), request.GET.get("action", "")[:80]
    actor, page = request.GET.get("actor", "")[:150], page_number(request)
    wanted = Q()
    if state in set(RunState):
        wanted &= Q(state=state)
    if action:
        wanted &= Q(action=action)
    if actor:
        wanted &= Q(requested_by__username__icontains=actor)
    found = list(Run.objects.filter(wanted).select_related("plan", "requested_by")[(page - 1) * PAGE : page * PAGE + 1])
    context = {
        "rows": [row_of(each) for each in found[:PAGE]],
        "total": Run.objects.count(),
        "active": at_work(),
        "states": [(s.value, shown(s.value).label) for s in RunState],
        "actions": [(a.slug, a.title) for a in registry.all_actions()],
        "state": state,
        "action": action,
        "actor": actor,
        "filtered": bool(state or action or actor),
        "more": older(request, page, len(found) > PAGE),
        "topics": ["runs-head", *(f"run-row:{each.pk}" for each in found[:PAGE] if RunState(each.state) in ACTIVE)],
    }
    return render(request, "pages/runs.html", context)


def at_work() -> int:
    """How many runs are not over."""
    return Run.objects.filter(state__in=[s.value for s in ACTIVE]).count()


def row_of(run: Run) -> dict[str, Any]:
    """A run in the list of runs."""
    ended = run.finished_at
    began = run.started_at or run.requested_at
    return {
        "id": run.pk,
        "number": run.number,
        "title": run.plan.title,
        "state": run.state,
        "sentence": run.sentence,
        "requested_by": run.requested_by.get_username(),
        "requested_at": run.requested_at,
        "started_at": run.started_at,
        "elapsed_seconds": (ended - began).total_seconds() if ended else None,
    }
