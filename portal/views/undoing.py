"""Undo: the click that asks for its plan, read and run like any other; and what did not follow by itself, settled."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from deployments import unfollowed
from deployments.errors import Refusal
from deployments.models import FollowUp, Run
from deployments.undo import request_undo
from portal.accounts.access import WRITE, member, requires
from portal.views.common import key_of, see_other


@requires("deployments.make_plan", WRITE)
def undo(request: HttpRequest, pk: str) -> HttpResponse:
    """Ask for the undo plan of a run."""
    found = get_object_or_404(Run.objects.select_related("plan"), pk=pk)
    try:
        wish = request_undo(member(request), found, key_of(request))
    except Refusal as refusal:
        messages.error(request, str(refusal), extra_tags="degraded")
        return see_other(reverse("run", args=(pk,)))
    return see_other(reverse("plan-request", args=(wish.pk,)))


@requires("deployments.cancel_run", WRITE)
def settle(request: HttpRequest, pk: str) -> HttpResponse:
    """What was to follow a run by itself was done by hand, says a person."""
    number = request.POST.get("follow", "")
    if not number.isdecimal() or len(number) > 17:
        raise Http404("There is nothing of that number to settle.")
    get_object_or_404(FollowUp, pk=int(number), run=pk)
    try:
        unfollowed.settle(member(request), int(number), request.POST.get("reason", "")[:2000])
    except Refusal as refusal:
        messages.error(request, str(refusal), extra_tags="failing")
    return see_other(reverse("run", args=(pk,)))
