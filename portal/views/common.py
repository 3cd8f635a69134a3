"""What several views need: the project, topics of the stream, a page of a list, one idempotency key a form."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect

from deployments.fault import point
from portal.checklists.models import Project
from portal.checklists.selectors.shapes import SourceRow

PAGE = 50


def project() -> Project:
    """The project this portal shows. :raises Http404: none is loaded."""
    found = Project.objects.order_by("pk").first()
    if found is None:
        raise Http404("No project is loaded.")
    return found


def source_topics(sources: Iterable[SourceRow]) -> list[str]:
    """The stream's topics of these sources."""
    return [source.topic for source in sources]


def new_key() -> str:
    """One per rendered form: the same form sent twice is one request."""
    return uuid.uuid4().hex


def key_of(request: HttpRequest) -> str:
    """The idempotency key of a sent form; a request without one stands for itself."""
    given = request.POST.get("idempotency_key", "")
    return given if given.isalnum() and 8 <= len(given) <= 64 else new_key()


def page_number(request: HttpRequest) -> int:
    """``?page=``, at least 1, never an error."""
    raw = request.GET.get("page", "1")
    return min(max(int(raw), 1), 10_000) if raw.isdecimal() else 1


def older(request: HttpRequest, page: int, more: bool) -> str:
    """The address of the next page of a list with the filters kept; empty on the last one."""
    if not more:
        return ""
    query = {key: value for key, value in request.GET.items() if value and key != "page"}
    return "?" + urlencode(query | {"page": str(page + 1)})


def back(request: HttpRequest, address: str) -> HttpResponse:
    """After a POST: to the page for a person, nothing to swap for htmx, because the stream brings the change."""
    point("answering")
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204)
    return redirect(address)


def see_other(address: str) -> HttpResponseRedirect:
    """303: what was made is over there."""
    point("answering")
    response = HttpResponseRedirect(address)
    response.status_code = 303
    return response
