"""Beside the page of a plan: its comparison with the cluster while it is open, a new one, its patch for Git."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from common.clock import now
from deployments import messages as wakes
from deployments import services
from deployments.catalogue import registry
from deployments.engine.document import load
from deployments.errors import Refusal
from deployments.models import Plan
from portal.accounts.access import WRITE, member, requires
from portal.views.common import key_of, see_other
from portal.views.planview import plan_view

#: a plan compared so lately is not compared again, however many pages are open
_COMPARED = timedelta(seconds=8)


def fit_context(digest: str) -> dict[str, Any] | None:
    """What the live parts of a plan's page show; the same for everybody."""
    found = Plan.objects.filter(pk=digest).first()
    return {"plan": plan_view(found)} if found is not None else None


@requires("deployments.make_plan", WRITE)
def compare(request: HttpRequest, digest: str) -> HttpResponse:  # noqa: ARG001 - a view
    """An open page asks for a comparison; the answer comes by the stream. Changes nothing in the cluster."""
    found = get_object_or_404(Plan, hash=digest)
    if found.compared_at is None or now() - found.compared_at > _COMPARED:
        wakes.send(wakes.COMPARE, found.pk)
    return HttpResponse(status=204)


@requires("deployments.make_plan", WRITE)
def again(request: HttpRequest, digest: str) -> HttpResponse:
    """The same action with the same parameters, as the cluster is now."""
    found = get_object_or_404(Plan, hash=digest)
    context = request.POST.get("context", "")[:80]
    try:
        internal = registry.get(found.action).internal
        wish = services.request_plan(
            member(request), found.action, found.params, context, key_of(request), internal=internal
        )
    except (Refusal, LookupError) as refusal:
        messages.error(request, str(refusal), extra_tags="failing")
        return see_other(reverse("plan", args=(digest,)))
    return see_other(reverse("plan-request", args=(wish.pk,)))


@requires("deployments.view_run")
def git_patch(request: HttpRequest, digest: str) -> HttpResponse:  # noqa: ARG001 - a view
    """The same change as a patch for Git, to be applied with ``git apply``."""
    found = get_object_or_404(Plan, hash=digest)
    patch = load(found.document).git_patch
    if not patch:
        raise Http404("This plan has no patch for Git.")
    answer = HttpResponse(patch, content_type="text/x-diff; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{found.action}-{found.pk[:8]}.patch"'
    return answer
