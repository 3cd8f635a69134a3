"""The error pages. The 500 page renders nothing that could fail a second time."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.templatetags.static import static

from common.clock import now
from portal import times
from portal.accounts.access import role
from portal.accounts.views import chosen_theme

_AWAY = "Nothing new is accepted while it is away; runs that were accepted go on when it is back."
_CLICKED = "If you have just clicked, go back in a moment and send the same form again: it counts only once."
#: seconds after which a browser, and whoever reads Retry-After, asks again
_RETRY = 5


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    """400."""
    sentence = "The address or the form could not be read. Go back and try again."
    return _plain(request, "This request makes no sense", sentence, 400)


def denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403 from below the views: a service refused, or the form's token was missing."""
    sentence = str(exception or "") or "Your role may not do this."
    return _plain(request, "Not allowed", sentence, 403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    """404, in the frame for members, bare for strangers (who must not learn what exists)."""
    if not _script(request) and hasattr(request, "user") and role(request) is not None:
        return render(request, "pages/404.html", status=404)
    return _plain(request, "Nothing is at this address", "It may have been retired, or the link is cut short.", 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """500; 503 when it was the database, for then nobody knows what became of a click, and it may be sent again."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        answer = _plain(request, "The database does not answer", _AWAY, 503, _CLICKED)
        answer["Retry-After"] = str(_RETRY)
        return answer
    sentence = "The portal broke, not your cluster. Nothing was changed by this page. Try again in a minute."
    return _plain(request, "Something broke here", sentence, 500)


def _script(request: HttpRequest) -> bool:
    """htmx asked: a whole page would give its title to the page that asked, even where nothing is swapped."""
    return bool(request.headers.get("HX-Request"))


def _plain(request: HttpRequest, title: str, sentence: str, status: int, after: str = "") -> HttpResponse:
    if _script(request):
        said = f"{title}. {sentence} {after}".strip()
        return HttpResponse(said, status=status, content_type="text/plain; charset=utf-8")
    reads = request.method == "GET"
    shown = {
        "title": title,
        "sentence": sentence,
        "after": after,
        "status": status,
        "again": reads and status >= 500,
        "retry": _RETRY if reads and status == 503 else 0,
        "theme": chosen_theme(request),
        "at": times.stamp(now()),
        "icon": _static("favicon.svg"),
        "sheets": [sheet for sheet in map(_static, ("css/tokens.css", "css/app.css")) if sheet],
    }
    return HttpResponse(render_to_string("plain_error.html", shown), status=status)


def _static(name: str) -> str:
    """The address of a static file, empty when the manifest is what is missing: the page is words first."""
    try:
        return static(name)
    except (ValueError, OSError):
        return ""
