"""Who opens a live stream: the session of a raw ASGI request, and what its person may hear of at this moment."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from portal import topics as known
from portal.accounts.roles import Role, role_of


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who opened a stream, and which of the topics asked for they may have."""

    user_id: int
    role: Role
    topics: frozenset[str]


def session_key_of(scope: MutableMapping[str, Any]) -> str:
    """The session's key in the cookies of an ASGI request; empty when there is none."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            with contextlib.suppress(CookieError):
                morsel = SimpleCookie(value.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
                if morsel is not None:
                    return morsel.value
    return ""


def resolve(session_key: str, topics: Collection[str]) -> Visitor | None:
    """Who this session belongs to now and which topics they may have; None for nobody."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    role = role_of(user)
    if role is None or user.pk is None:
        return None
    return Visitor(user.pk, role, frozenset(topic for topic in topics if known.allowed(topic, role)))
