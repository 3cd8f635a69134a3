"""Middleware of our own."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

from common.publish import position
from portal.serving import beside


def stream_position(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Note the stream's newest id *before* a page reads anything, so that its stream misses nothing it did not show."""

    def middleware(request: HttpRequest) -> HttpResponse:
        wanted = request.method == "GET" and not request.path.startswith(("/static/", "/healthz", "/readyz"))
        request.stream_position = position() if wanted else ""  # type: ignore[attr-defined]
        return get_response(request)

    return middleware


def late_settings(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Know the lab's addresses from the first request after it wrote them. Not in the way where nothing is to come."""
    if not beside.is_coming():
        raise MiddlewareNotUsed
    known = False

    def middleware(request: HttpRequest) -> HttpResponse:
        nonlocal known
        known = known or beside.catch_up()
        return get_response(request)

    return middleware
