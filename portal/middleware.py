"""Middleware of our own."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from common.publish import position


def stream_position(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Note the stream's newest id *before* a page reads anything, so that its stream misses nothing it did not show."""

    def middleware(request: HttpRequest) -> HttpResponse:
        wanted = request.method == "GET" and not request.path.startswith(("/static/", "/healthz", "/readyz"))
        request.stream_position = position() if wanted else ""  # type: ignore[attr-defined]
        return get_response(request)

    return middleware
