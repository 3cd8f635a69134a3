"""Pull requests on the pages: where a plan's change can be proposed, and where a run's proposal is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from deployments import services
from deployments.catalogue.proposals import hub, propose, withdraw
from deployments.engine.document import Document, load
from deployments.errors import Refusal
from deployments.models import Plan, Step
from integrations.github import address
from portal.accounts.access import WRITE, member, requires
from portal.views.common import key_of, see_other

_WEB = re.compile(r"https://[a-z0-9.-]+(:[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Offer:
    """Whether a plan's change can be proposed on GitHub; else ``why_not``, for people. Both empty: nothing to say."""

    ready: bool = False
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class PullLink:
    """A pull request of a run. ``url`` is empty where the connected GitHub is not reached by https."""

    repository: str
    number: int
    url: str
    #: the form that withdraws it
    withdraw: str

    @property
    def title(self) -> str:
        return f"Pull request #{self.number}"


def offer(document: Document) -> Offer:
    """What the page of a plan says about proposing its change."""
    change = document.git_change
    if change is None:
        return Offer()
    if not document.git_host:
        return Offer(why_not="With a GitHub connection the portal opens a pull request instead (docs/github.md).")
    host = document.git_host
    if not change.repository:
        return Offer(why_not="The cluster names no repository for it, so there is no pull request to open.")
    if not address.repository_on(change.repository, host):
        return Offer(why_not=f"{change.repository} is not on {host}, the GitHub this portal is connected to.")
    return Offer(ready=True)


@requires("deployments.make_plan", WRITE)
def ask(request: HttpRequest, digest: str) -> HttpResponse:
    """The click on *Propose in Git* beside a plan: a plan of its own, with the file's real difference."""
    found = get_object_or_404(Plan, hash=digest)
    document = load(found.document)
    if document.git_change is None or not offer(document).ready:
        raise Http404("This plan's change cannot be proposed on GitHub.")
    why = f"instead of {found.title}, plan {found.pk[:8]}"
    params = propose.request_of(document.git_change, why)
    try:
        context = request.POST.get("context", "")[:80]
        wish = services.request_plan(member(request), propose.SLUG, params, context, key_of(request))
    except Refusal as refusal:
        messages.error(request, str(refusal), extra_tags="failing")
        return see_other(reverse("plan", args=(digest,)))
    return see_other(reverse("plan-request", args=(wish.pk,)))


def pull_of(steps: Iterable[Step]) -> PullLink | None:
    """The pull request that the steps of a run have opened, as the engine saw it on GitHub.

    Its address is made here, of the host that the worker is configured with and what names no other: no URL that
    somebody sent is followed.
    """
    for step in steps:
        known: Any = (step.memory or {}).get("pull")
        if not isinstance(known, dict):
            continue
        repository, number = str(known.get("repository")), known.get("number")
        if not hub.is_repository(repository) or not isinstance(number, int) or number < 1:
            continue
        web = str(known.get("web") or "")
        query = urlencode({"repository": repository, "number": number})
        form = f"{reverse('action', args=(withdraw.SLUG,))}?{query}"
        return PullLink(repository, number, f"{web}/{repository}/pull/{number}" if _WEB.fullmatch(web) else "", form)
    return None
