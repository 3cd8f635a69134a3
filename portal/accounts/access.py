"""Who may do what: every view declares its permission here, and a test walks the URL map to see that it did.

A permission a role lacks gives a page that names the role which has it (403); a stranger is sent to sign in, and a
stranger's script gets 401: following a redirect would swap the sign-in page into the middle of another one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import render

from portal.accounts.roles import PERMISSIONS, Role, role_of

View = Callable[..., HttpResponseBase]

READ = ("GET", "HEAD")
WRITE = ("POST",)


def role(request: HttpRequest) -> Role | None:
    """The role of who asks, read once a request."""
    if not hasattr(request, "_role"):
        request._role = role_of(request.user)  # type: ignore[attr-defined]
    return cast("Role | None", request._role)  # type: ignore[attr-defined]


def member(request: HttpRequest) -> User:
    """The signed-in person. Only for views behind :func:`requires`."""
    assert isinstance(request.user, User)
    return request.user


def may(who: Role | None, permission: str) -> bool:
    """Whether a role has a permission."""
    return who is not None and permission in PERMISSIONS[who]


def lowest(permission: str) -> str:
    """The least role that has a permission, to be named in "needs role …"."""
    return next((r.value for r in Role if permission in PERMISSIONS[r]), Role.ADMIN.value)


def requires(permission: str, methods: tuple[str, ...] = READ) -> Callable[[View], View]:
    """Only roles with ``permission`` and only these methods."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            who = role(request)
            if who is None:
                return _stranger(request)
            if not may(who, permission):
                return forbidden(request, permission)
            if request.method not in methods:
                return HttpResponseNotAllowed(methods)
            return view(request, *args, **kwargs)

        guarded.permission = permission  # type: ignore[attr-defined]
        guarded.methods = methods  # type: ignore[attr-defined]
        # `guarded` answers strangers itself, with 401 for scripts; the middleware would only redirect.
        return cast("View", login_not_required(guarded))

    return decorate


def public(methods: tuple[str, ...] = READ) -> Callable[[View], View]:
    """For everybody, on purpose: sign-in, probes."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def open_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method not in methods:
                return HttpResponseNotAllowed(methods)
            return view(request, *args, **kwargs)

        open_view.permission = None  # type: ignore[attr-defined]
        open_view.methods = methods  # type: ignore[attr-defined]
        return cast("View", login_not_required(open_view))

    return decorate


def forbidden(request: HttpRequest, permission: str) -> HttpResponse:
    """The 403 page: what is missing and who has it."""
    if request.headers.get("HX-Request"):  # a whole page would give its title to the page that asked
        return HttpResponse(
            f"This needs role {lowest(permission)}.", status=403, content_type="text/plain; charset=utf-8"
        )
    context = {"needs": lowest(permission), "has": role(request)}
    return render(request, "pages/403.html", context, status=403)


def _stranger(request: HttpRequest) -> HttpResponseBase:
    if request.headers.get("HX-Request") or request.headers.get("Accept") == "application/json":
        return HttpResponse("Signed out.", status=401, content_type="text/plain; charset=utf-8")
    return redirect_to_login(request.get_full_path())
