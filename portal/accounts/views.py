"""Signing in and out, and the person's own look and keys. Each sign-in and sign-out is audited in its transaction."""

from __future__ import annotations

from django import forms
from django.contrib.auth import login, logout
from django.contrib.auth.forms import AuthenticationForm
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme

from common.models import audit
from common.publish import publish
from common.redaction import visible
from portal.accounts.access import READ, WRITE, member, public, requires
from portal.accounts.services import REFUSED, must_wait

YEAR = 365 * 86_400
THEMES = ("auto", "light", "dark")


def chosen_theme(request: HttpRequest) -> str:
    """The look somebody chose; empty where the system's counts."""
    theme = request.COOKIES.get("theme", "")
    return theme if theme in THEMES[1:] else ""


class AppearanceForm(forms.Form):
    """What the account menu offers."""

    theme = forms.ChoiceField(choices=[(t, t) for t in THEMES])
    keys = forms.ChoiceField(choices=[("on", "on"), ("off", "off")], required=False)


def _next(request: HttpRequest) -> str:
    """Where to go on to: only within this portal."""
    target = request.POST.get("next") or request.GET.get("next") or "/"
    allowed = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if allowed else "/"


@public((*READ, *WRITE))
def sign_in(request: HttpRequest) -> HttpResponse:
    """The form; a good name and password start a session."""
    if request.user.is_authenticated and request.method != "POST":
        return redirect(_next(request))
    form = AuthenticationForm(request, data=request.POST or None)
    status, sentence = 200, ""
    if request.method == "POST":
        name = visible(request.POST.get("username", ""), 150)
        if must_wait(name):
            status, sentence = 429, "Too many tries for this name. Wait five minutes, then try again."
        elif form.is_valid():
            user = form.get_user()
            with transaction.atomic():
                login(request, user)
                audit(actor=user.get_username(), verb="sign-in", object=f"user:{user.get_username()}")
            return redirect(_next(request))
        else:
            audit(actor="stranger", verb=REFUSED, object=f"user:{name}")
            status, sentence = 422, "Name and password do not match. Check both and try again."
    context = {"form": form, "next": _next(request), "sentence": sentence}
    return render(request, "pages/sign_in.html", context, status=status)


@requires("checklists.view_board", WRITE)
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session and, through the stream, its open pages."""
    user = member(request)
    with transaction.atomic():
        audit(actor=user.username, verb="sign-out", object=f"user:{user.username}")
        logout(request)
        publish(f"session:{user.pk}")
    return redirect("accounts:sign-in")


@requires("checklists.view_board", WRITE)
def appearance(request: HttpRequest) -> HttpResponse:
    """Keep the choice of theme and of single-key shortcuts in cookies, so that the server renders them."""
    response = redirect(_next(request))
    form = AppearanceForm(request.POST)
    if form.is_valid():
        for name in ("theme", "keys"):
            if form.cleaned_data[name]:
                response.set_cookie(
                    name,
                    form.cleaned_data[name],
                    max_age=YEAR,
                    samesite="Lax",
                    httponly=True,
                    secure=request.is_secure(),
                )
    return response
