"""The click that asks for the plan that undoes a run. The plan is read, and run, like any other."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from deployments.errors import Refusal
from deployments.models import Run
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
