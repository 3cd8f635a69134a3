"""Conditional GET of the board's pages: 304 while nothing was announced, for the same person, look and ten seconds.

Everything a page shows is announced on the stream when it changes, so the stream's newest id stands for the database;
what turns stale by the clock alone is why the time is part of the tag. Without Redis, or with a message to show, there
is no tag.
"""

from __future__ import annotations

import functools
import hashlib
import time
from typing import Any

from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.views.decorators.http import etag

from portal.accounts.access import View

_SECONDS = 10


def tag(request: HttpRequest, *_: Any, **__: Any) -> str | None:
    """The tag of this page for this person now; None when nobody can tell."""
    position = getattr(request, "stream_position", "")
    if not position or len(get_messages(request)):
        return None
    seen = (
        position,
        request.get_full_path(),
        request.session.session_key,
        request.META.get("CSRF_COOKIE", ""),
        request.COOKIES.get("theme", ""),
        request.COOKIES.get("keys", ""),
        int(time.time() / _SECONDS),
    )
    return f'"{hashlib.sha256(repr(seen).encode()).hexdigest()[:24]}"'


def conditional(view: View) -> View:
    """Answer 304 when the tag still fits; the browser asks each time."""
    tagged = etag(tag)(view)

    @functools.wraps(view)
    def fresh(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = tagged(request, *args, **kwargs)
        patch_cache_control(response, private=True, no_cache=True)
        patch_vary_headers(response, ("Cookie",))
        return response

    return fresh
